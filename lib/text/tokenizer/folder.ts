/** Tokenizers of Hugging Face folders: tokenizer.json, with tokenizer_config.json and related files if they exist. */
import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import { type NewFile, writeTogether } from '../../io/atomic.js'
import { makeFolder } from '../../io/folders.js'
import { InputFile } from '../../io/input.js'
import { readJson } from '../../io/json.js'
import { checkPath, refusal } from '../../io/refusal.js'
import { Fields } from './fields.js'
import { type Role, roles, Tokenizer, type TokenizerSettings } from './tokenizer.js'

/** The largest file. The largest published one has 34 MB. */
const mostTokenizerBytes = 2 ** 28

const mostTemplateBytes = 2 ** 20

export interface LoadTokenizerOptions {
  /** The token for `padding`, if the folder names none or another one is wanted. */
  readonly padToken?: string
  /** A template for chats instead of the folder's. */
  readonly chatTemplate?: string
}

async function isFile(op: string, path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    throw refusal(op, 'read', path, error)
  }
}

async function fieldsIn(op: string, path: string): Promise<Fields | null> {
  return (await isFile(op, path)) ? new Fields(op, path, await readJson(op, path, mostTokenizerBytes)) : null
}

/** A special token is written as a text, or as a table with its content. */
function specialIn(fields: Fields, role: Role): string | undefined {
  const name = `${role}_token`
  if (!fields.has(name)) return undefined
  return typeof fields.raw(name) === 'string' ? fields.text(name) : fields.table(name).text('content')
}

function templatesIn(fields: Fields): TokenizerSettings['chatTemplate'] {
  const name = 'chat_template'
  if (!fields.has(name)) return null
  if (typeof fields.raw(name) === 'string') return fields.text(name)
  return Object.fromEntries(fields.tables(name).map((entry) => [entry.text('name'), entry.text('template')]))
}

async function textIn(op: string, path: string): Promise<string> {
  const file = await InputFile.open(op, path)
  try {
    if (file.size > mostTemplateBytes)
      throw new ValueError(op, `${path} has ${file.size} bytes, but a template has at most ${mostTemplateBytes}`)
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.head(mostTemplateBytes))
  } catch (error) {
    throw error instanceof TypeError ? new ValueError(op, `${path} is not UTF-8 text`) : error
  } finally {
    await file.close()
  }
}

async function settingsIn(op: string, folder: string, options: LoadTokenizerOptions): Promise<TokenizerSettings> {
  const config = await fieldsIn(op, join(folder, 'tokenizer_config.json'))
  const map = await fieldsIn(op, join(folder, 'special_tokens_map.json'))
  const special: { [R in Role]?: string } = {}
  for (const role of roles) {
    const token = (config && specialIn(config, role)) ?? (map ? specialIn(map, role) : undefined)
    if (token !== undefined) special[role] = token
  }
  if (options.padToken !== undefined) special.pad = options.padToken
  const template = join(folder, 'chat_template.jinja')
  const chatTemplate =
    options.chatTemplate ??
    ((await isFile(op, template)) ? await textIn(op, template) : config && templatesIn(config)) ??
    null
  const sides = ['left', 'right'] as const
  // Folders without a limit store 1e30.
  const most = config?.has('model_max_length') ? config.raw('model_max_length') : null
  return {
    special,
    chatTemplate,
    maxLength: typeof most === 'number' && most > 0 && most < 1e12 ? most : null,
    ...(config && {
      paddingSide: config.choice('padding_side', sides, 'right'),
      truncationSide: config.choice('truncation_side', sides, 'right'),
    }),
  }
}

/** Tokens that only tokenizer_config.json has, as in folders of slow tokenizers. */
async function addListed(op: string, folder: string, tokenizer: Tokenizer): Promise<void> {
  const config = await fieldsIn(op, join(folder, 'tokenizer_config.json'))
  const listed = config?.optional('added_tokens_decoder')
  for (const [key] of listed?.entries() ?? []) {
    const table = (listed as Fields).table(key)
    const content = table.text('content')
    if (tokenizer.idOf(content) !== undefined) continue
    if (Number(key) !== tokenizer.size)
      table.fail(`has the id ${key}, but tokenizer.json has ${tokenizer.size} ids without that token`)
    tokenizer.addTokens([content], { special: table.flag('special', false) })
  }
}

/** The tokenizer of a Hugging Face folder. */
export const AutoTokenizer = {
  /**
   * Loads the tokenizer of a folder, or of a tokenizer.json. It runs nothing; only templates of chats are run, on
   * request. Throws a ValueError that names the file and its fault.
   */
  async load(path: string, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
    const op = 'AutoTokenizer.load'
    checkPath(op, 'read', path)
    checkOptions(op, options, { padToken: true, chatTemplate: true })
    for (const [name, value] of Object.entries(options))
      if (value !== undefined && typeof value !== 'string')
        throw new ValueError(op, `${name} is ${shown(value)}, but must be a text`)
    const single = await isFile(op, path)
    const folder = single ? dirname(path) : path
    const file = single ? path : join(path, 'tokenizer.json')
    if (!(await isFile(op, file)))
      throw new ValueError(
        op,
        `cannot read ${file}: there is no such file; give the path of a folder with a tokenizer.json, which transformers writes with save_pretrained`,
      )
    const json = await readJson(op, file, mostTokenizerBytes)
    const settings = await settingsIn(op, folder, options)
    const { pad, ...others } = settings.special ?? {}
    const tokenizer = new Tokenizer(json, { ...settings, special: {} }, file, op)
    await addListed(op, folder, tokenizer)
    return new Tokenizer(
      tokenizer.toJSON(),
      { ...settings, special: { ...others, ...(pad !== undefined && { pad }) } },
      file,
      op,
    )
  },
}

/**
 * Writes tokenizer.json and tokenizer_config.json into a folder, which is made if it is missing, both or neither.
 * Hugging Face's libraries can load them. Throws ValueError if the system refuses.
 */
export async function saveTokenizer(tokenizer: Tokenizer, folder: string): Promise<void> {
  const op = 'saveTokenizer'
  if (!(tokenizer instanceof Tokenizer)) throw new ValueError(op, `needs a Tokenizer, but got ${kindOf(tokenizer)}`)
  checkPath(op, 'write', folder)
  await makeFolder(op, folder)
  const { special, paddingSide, truncationSide, maxLength, chatTemplate } = tokenizer
  const templates =
    chatTemplate === null || typeof chatTemplate === 'string'
      ? chatTemplate
      : Object.entries(chatTemplate).map(([name, template]) => ({ name, template }))
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...Object.fromEntries(Object.entries(special).map(([role, token]) => [`${role}_token`, token])),
    padding_side: paddingSide,
    truncation_side: truncationSide,
    ...(maxLength !== null && { model_max_length: maxLength }),
    ...(templates !== null && { chat_template: templates }),
  }
  const file = (name: string, value: unknown): NewFile => ({
    path: join(folder, name),
    chunks: [new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)],
  })
  await writeTogether([file('tokenizer.json', tokenizer.toJSON()), file('tokenizer_config.json', config)], op)
}

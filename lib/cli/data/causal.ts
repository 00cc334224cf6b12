/** Rows as a language model learns them: tokens, and which of them count. */
import { createHash } from 'node:crypto'
import { isFiresteelError, kindOf } from '../../core/errors.js'
import type { Files } from '../../data/text/files.js'
import { encodeChat, type Learn } from '../../text/chat/chat.js'
import type { ChatMessage } from '../../text/chat/template.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { FinetuneConfig } from '../config/schema.js'
import { UsageError } from '../exit.js'
import { nearest } from '../nearest.js'
import { type PlacedRow, placedRows, type Row } from './rows.js'

export type Format = NonNullable<FinetuneConfig['data']['format']>

export interface TokenRow {
  readonly ids: Int32Array
  /** The id of each token that is learned, at its own place; -100 for others. */
  readonly labels: Int32Array
  /** Tokens behind the longest row that is allowed. */
  readonly cut: number
  readonly place: string
}

export interface TokenRows {
  readonly format: Format
  readonly rows: readonly TokenRow[]
}

export interface RowOptions {
  readonly format: Format | undefined
  readonly columns: NonNullable<FinetuneConfig['data']['columns']>
  readonly learn: Learn | undefined
  readonly template: string | undefined
  /** The most tokens of a row. */
  readonly most: number
  /** Tokens that the model knows. */
  readonly vocabSize: number
}

const ignored = -100

/** Different faults that are told, and faulty rows that are looked at, before reading stops. */
const [mostFaults, mostFaultyRows] = [5, 100]

/** A fault of one row. The message goes behind its place. */
class RowFault extends Error {}

/** The format that the columns of a row tell. */
export function formatOf(row: Row): Format | null {
  if ('messages' in row) return 'chat'
  if ('prompt' in row && 'completion' in row) return 'completion'
  return 'text' in row ? 'text' : null
}

/** Faults of rows by their words, each told once. */
class RowFaults {
  readonly #places = new Map<string, string[]>()
  #rows = 0

  add(place: string | null, text: string): void {
    const places = this.#places.get(text) ?? []
    if (place !== null) places.push(place)
    this.#places.set(text, places)
    this.#rows++
  }

  get full(): boolean {
    return this.#places.size >= mostFaults || this.#rows >= mostFaultyRows
  }

  throwAny(): void {
    const lines = [...this.#places].map(([text, [first, ...more]]) => {
      const others = more.length === 0 ? '' : ` (and so have ${more.length} more rows, up to ${more.at(-1)})`
      return `${first === undefined ? '' : `${first}: `}${text}${others}`
    })
    if (lines.length > 0)
      throw new UsageError([...lines, ...(this.full ? ['reading stopped there; there may be more'] : [])].join('\n'))
  }
}

/** Reads all rows. Throws UsageError that lists the first faults with file, line and what to do. */
export async function readTokens(files: Files, tokenizer: Tokenizer, options: RowOptions): Promise<TokenRows> {
  const rows: TokenRow[] = []
  const faults = new RowFaults()
  let { format } = options
  try {
    for await (const placed of placedRows(files)) {
      try {
        format ??= guessed(placed)
        rows.push(await tokensOf(placed, format, tokenizer, options))
      } catch (error) {
        faults.add(placed.place, faultText(error))
        if (format === undefined || faults.full) break
      }
    }
  } catch (error) {
    // The file itself, as a torn line. Faults that were found before are told too.
    faults.add(null, faultText(error))
  }
  faults.throwAny()
  if (rows.length === 0 || format === undefined)
    throw new UsageError(`${[files].flat().join(', ')}: there are no rows; give a file with a row on each line`)
  return { format, rows }
}

/** The words of an error without the name of the function, which is none of the user's. */
function faultText(error: unknown): string {
  if (isFiresteelError(error)) {
    const own = error.message.slice(`[${error.op}] `.length)
    return /: the line is no JSON/.test(own) ? `${own}; mend the line, or remove it` : own
  }
  if (error instanceof RowFault || error instanceof UsageError) return error.message
  throw error
}

function guessed({ row }: PlacedRow): Format {
  const format = formatOf(row)
  if (format !== null) return format
  throw new RowFault(
    `the row has ${columnsOf(row)}, but no column messages, prompt with completion, or text; say what it is by data.format, and name its columns by data.columns`,
  )
}

const columnsOf = (row: Row) =>
  Object.keys(row)
    .map((name) => `'${name}'`)
    .join(', ') || 'no columns'

/** A column of a row, by its usual name or by that of the config. */
function column(row: Row, role: keyof RowOptions['columns'], { columns }: RowOptions): unknown {
  const name = columns[role] ?? role
  if (Object.hasOwn(row, name)) return row[name]
  const near = nearest(name, Object.keys(row))
  throw new RowFault(
    `there is no column '${name}'${near === null ? '' : `; did you mean '${near}'?`}${near === null ? ';' : ''} the row has ${columnsOf(row)}; name the right one by data.columns.${role}`,
  )
}

function textIn(row: Row, role: 'prompt' | 'completion' | 'text', options: RowOptions): string {
  const value = column(row, role, options)
  const name = options.columns[role] ?? role
  if (typeof value !== 'string') throw new RowFault(`'${name}' is ${kindOf(value)}, but must be a text`)
  if (role !== 'prompt' && value.trim() === '')
    throw new RowFault(`'${name}' is empty; leave the row out, or fill it in`)
  return value
}

interface Tokens {
  readonly ids: readonly number[]
  readonly isLearned: (index: number) => boolean
}

async function tokensOf(
  { row, place }: PlacedRow,
  format: Format,
  tokenizer: Tokenizer,
  options: RowOptions,
): Promise<TokenRow> {
  const { most, vocabSize } = options
  const { ids, isLearned } =
    format === 'chat' ? await chatOf(row, tokenizer, options) : textOf(row, format, tokenizer, options)
  const stranger = ids.find((id) => id >= vocabSize)
  if (stranger !== undefined)
    throw new RowFault(
      `the tokenizer gives the token ${stranger}, but the model knows ${vocabSize}; it is the tokenizer of another model: give the right one by tokenizer`,
    )
  const kept = Int32Array.from(ids.slice(0, most))
  // A first token is predicted from nothing.
  const labels = kept.map((id, i) => (i > 0 && isLearned(i) ? id : ignored))
  if (labels.every((label) => label === ignored))
    throw nothing(
      ids.length,
      ids.some((_, i) => i > 0 && isLearned(i)),
      format,
      options,
    )
  return { ids: kept, labels, cut: ids.length - kept.length, place }
}

function nothing(length: number, later: boolean, format: Format, { most }: RowOptions): RowFault {
  const what = later
    ? `what is learned comes behind the first ${most} of ${length} tokens; raise data.maxLength, or leave the row out`
    : format === 'chat'
      ? 'no message is of the assistant, or the template leaves its answers out; leave the row out, or mend the template'
      : 'it is one token long, and a first token is predicted from nothing; leave the row out'
  return new RowFault(`nothing is to be learned: ${what}`)
}

async function chatOf(row: Row, tokenizer: Tokenizer, options: RowOptions): Promise<Tokens> {
  const messages = column(row, 'messages', options)
  const name = options.columns.messages ?? 'messages'
  if (!Array.isArray(messages) || messages.length === 0)
    throw new RowFault(
      `'${name}' is ${Array.isArray(messages) ? 'an empty list' : kindOf(messages)}, but must be a list such as [{"role": "user", "content": "..."}]`,
    )
  const { learn, template } = options
  const { tools } = row
  if (tools !== undefined && tools !== null && !Array.isArray(tools))
    throw new RowFault(`'tools' is ${kindOf(tools)}, but must be a list`)
  const { ids, learned } = await encodeChat(messages as ChatMessage[], {
    tokenizer,
    ...(learn && { learn }),
    ...(template !== undefined && { template }),
    ...(Array.isArray(tools) && { tools }),
  })
  return { ids, isLearned: (index) => learned[index] === 1 }
}

/** A text, or a completion behind its prompt, with the token that ends texts. */
function textOf(row: Row, format: 'completion' | 'text', tokenizer: Tokenizer, options: RowOptions): Tokens {
  const prompt = format === 'completion' ? textIn(row, 'prompt', options) : ''
  const text = prompt + textIn(row, format, options)
  const { ids, offsets } = tokenizer.encode(text)
  const end = tokenizer.idFor('eos')
  const all = end === null || ids.at(-1) === end ? ids : [...ids, end]
  return {
    ids: all,
    isLearned: (index) =>
      index >= ids.length || (offsets[index] as readonly [number, number])[1] > prompt.length || ids[index] === end,
  }
}

/** The digest of rows, by which a run that goes on knows its data again. */
export function digestOf(rows: readonly TokenRow[]): string {
  const hash = createHash('sha256')
  for (const { ids, labels } of rows) hash.update(Int32Array.of(ids.length)).update(ids).update(labels)
  return hash.digest('hex')
}

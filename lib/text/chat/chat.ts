/** Chats in tokens, with the tokens that are learned. */
import { isIterable } from '../../core/engine.js'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames, ownOptions } from '../../core/options.js'
import { IterableDataset } from '../../data/iterable.js'
import { Tokenizer } from '../tokenizer/tokenizer.js'
import { renderWithSpans, type Span } from './spans.js'
import { type ChatMessage, ChatTemplate, type ChatVariables } from './template.js'

export interface ChatTemplateOptions {
  readonly tokenizer: Tokenizer
  /** Whether the text ends with the words that make the assistant answer. Default false. */
  readonly addGenerationPrompt?: boolean
  /** Descriptions of tools, as JSON schemas, for templates that know them. */
  readonly tools?: readonly unknown[]
  /** The name of one of the tokenizer's templates, or a template. Default: the tokenizer's. */
  readonly template?: string
  /** Further variables that the template reads, such as `enable_thinking`. */
  readonly variables?: ChatVariables
}

const templateNames: OptionNames<ChatTemplateOptions> = {
  tokenizer: true,
  addGenerationPrompt: true,
  tools: true,
  template: true,
  variables: true,
}

/** Templates of tokenizers, read once. */
const compiled = new WeakMap<Tokenizer, Map<string, Promise<ChatTemplate>>>()

function sourceOf(op: string, { tokenizer, template, tools }: ChatTemplateOptions): string {
  if (!(tokenizer instanceof Tokenizer))
    throw new ValueError(
      op,
      `tokenizer is ${kindOf(tokenizer)}, but must be a Tokenizer, such as AutoTokenizer.load returns`,
    )
  const own = tokenizer.chatTemplate
  const named = (name: string) =>
    own !== null && typeof own === 'object' && Object.hasOwn(own, name) ? own[name] : undefined
  if (template !== undefined) {
    if (typeof template !== 'string') throw new ValueError(op, `template is ${shown(template)}, but must be a text`)
    return named(template) ?? template
  }
  const found = typeof own === 'string' ? own : ((tools && named('tool_use')) ?? named('default'))
  if (found === undefined)
    throw new ValueError(op, 'the tokenizer has no chat template; pass one as `template`, or to AutoTokenizer.load')
  return found
}

function templateOf(op: string, options: ChatTemplateOptions): Promise<ChatTemplate> {
  const source = sourceOf(op, options)
  let own = compiled.get(options.tokenizer)
  if (own === undefined) {
    own = new Map()
    compiled.set(options.tokenizer, own)
  }
  let template = own.get(source)
  if (template === undefined) {
    template = ChatTemplate.compile(source, op)
    own.set(source, template)
  }
  return template
}

function variablesOf({ tokenizer, tools, variables }: ChatTemplateOptions): ChatVariables {
  const special = Object.entries(tokenizer.special).map(([role, token]) => [`${role}_token`, token])
  return { ...Object.fromEntries(special), ...(tools && { tools }), ...variables }
}

function checkTools(op: string, tools: unknown): void {
  if (tools !== undefined && !Array.isArray(tools))
    throw new ValueError(op, `tools are ${kindOf(tools)}, but must be a list`)
}

/**
 * The text of a chat, by the tokenizer's template. It contains the special tokens, so encode it with `specialTokens:
 * false`. Throws ValueError if there is no template, and with the template's words if it refuses the messages.
 */
export async function applyChatTemplate(
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
): Promise<string> {
  const op = 'applyChatTemplate'
  const { addGenerationPrompt = false, tools } = checkOptions(op, options, templateNames)
  checkFlag(op, 'addGenerationPrompt', addGenerationPrompt)
  checkTools(op, tools)
  const template = await templateOf(op, options)
  return template.render(messages, { ...variablesOf(options), add_generation_prompt: addGenerationPrompt }, op)
}

/** The part of a chat that is learned: all answers of the assistant, its last one, or every token. */
export type Learn = 'assistant' | 'last' | 'all'

export interface EncodeChatOptions extends Omit<ChatTemplateOptions, 'addGenerationPrompt'> {
  /** Default 'assistant'. */
  readonly learn?: Learn
}

/** A chat in tokens. */
export interface EncodedChat {
  readonly text: string
  readonly ids: readonly number[]
  /** 1 for tokens that are learned: those with any character of the assistant's. */
  readonly learned: readonly (0 | 1)[]
  /** [from, to) of the learned parts, in UTF-16 units of the text. */
  readonly spans: readonly Span[]
}

const { addGenerationPrompt: _, ...sharedNames } = templateNames
const encodeNames: OptionNames<EncodeChatOptions> = { ...sharedNames, learn: true }

function checkLearn(op: string, learn: Learn): void {
  if (!['assistant', 'last', 'all'].includes(learn))
    throw new ValueError(op, `learn is ${shown(learn)}, but must be 'assistant', 'last' or 'all'`)
}

/**
 * The tokens of a chat, and the ones among them that the assistant must produce. Works with every template: those that
 * mark the answers by `{% generation %}`, and all others, whose text is compared with that of other answers. Throws
 * like `applyChatTemplate`.
 */
export async function encodeChat(messages: readonly ChatMessage[], options: EncodeChatOptions): Promise<EncodedChat> {
  const op = 'encodeChat'
  checkOptions(op, options, encodeNames)
  return encoded(op, messages, options)
}

async function encoded(op: string, messages: readonly ChatMessage[], options: EncodeChatOptions): Promise<EncodedChat> {
  const { tokenizer, tools, learn = 'assistant' } = options
  checkLearn(op, learn)
  checkTools(op, tools)
  const template = await templateOf(op, options)
  const variables = variablesOf(options)
  const answers = learn === 'last' ? 'last' : 'all'
  const { text, learn: spans } =
    learn === 'all'
      ? allOf(template.render(messages, variables, op))
      : renderWithSpans(op, template, messages, { variables, answers })
  const { ids, offsets } = tokenizer.encode(text, { specialTokens: false })
  let next = 0
  const learned = offsets.map(([from, to]): 0 | 1 => {
    while (next < spans.length && (spans[next] as Span)[1] <= from) next++
    const span = spans[next]
    return span !== undefined && span[0] < to && from < span[1] ? 1 : 0
  })
  return { text, ids, learned, spans }
}

function allOf(text: string): { readonly text: string; readonly learn: readonly Span[] } {
  return { text, learn: [[0, text.length]] }
}

/** A row of a file of chats. */
export interface ChatRow {
  readonly messages: readonly ChatMessage[]
  /** The tools of this chat. */
  readonly tools?: readonly unknown[]
}

/** A chat to train on. */
export interface ChatTokens {
  /** Typed arrays, from which batches make int32 tensors. */
  readonly ids: Int32Array
  /** The id of each token that is learned, at its place, and -100 for all others, which no loss counts. */
  readonly labels: Int32Array
  /** The number of tokens that were cut off at the end, because the chat has more than `maxLength`. */
  readonly cut: number
}

export interface ChatRowsOptions extends Omit<EncodeChatOptions, 'tokenizer' | 'tools'> {
  /**
   * The most tokens of a row. Further tokens are cut off, and counted in `cut`. Default: the tokenizer's `maxLength`,
   * if any.
   */
  readonly maxLength?: number
}

const rowNames: OptionNames<ChatRowsOptions> = { template: true, variables: true, learn: true, maxLength: true }

/**
 * Chats in tokens, one after another, for training. Throws ValueError, with the row (counted from 0), if the template
 * refuses its messages, or if nothing in it can be learned. Then it has no answer of the assistant, or none before
 * `maxLength`.
 */
export function chatRows(
  rows: Iterable<ChatRow> | AsyncIterable<ChatRow>,
  tokenizer: Tokenizer,
  options: ChatRowsOptions = {},
): IterableDataset<ChatTokens> {
  const op = 'chatRows'
  const { maxLength, learn = 'assistant', ...own } = ownOptions(op, options, rowNames)
  checkLearn(op, learn)
  if (maxLength !== undefined && !(Number.isSafeInteger(maxLength) && maxLength >= 2))
    throw new ValueError(op, `maxLength is ${shown(maxLength)}, but must be an integer of at least 2`)
  sourceOf(op, { tokenizer, ...own })
  const most = maxLength ?? tokenizer.maxLength ?? Number.POSITIVE_INFINITY
  if (!isIterable(rows))
    throw new ValueError(op, `the rows are ${kindOf(rows)}, but must be a list of { messages }, or the rows of jsonl`)
  return new IterableDataset(async function* () {
    let index = 0
    for await (const row of rows) {
      yield await tokensOf(row, index, { tokenizer, learn, ...own }, most)
      index++
    }
  })
}

async function tokensOf(row: ChatRow, index: number, options: EncodeChatOptions, most: number): Promise<ChatTokens> {
  const op = 'chatRows'
  if (typeof row !== 'object' || row === null || !Array.isArray(row.messages))
    throw new ValueError(op, `row ${index} is ${kindOf(row)}, but must have messages: a list of { role, content }`)
  const { ids, learned } = await named(index, () =>
    encoded(op, row.messages, { ...options, ...(row.tools && { tools: row.tools }) }),
  )
  const kept = Int32Array.from(ids.slice(0, most))
  // Nothing precedes the first token, so it cannot be predicted.
  const labels = kept.map((id, i) => (i > 0 && learned[i] === 1 ? id : -100))
  if (labels.every((label) => label === -100)) {
    const why = learned.includes(1)
      ? `its answers come after the first ${most} of ${ids.length} tokens; raise maxLength, or leave the row out`
      : `it has ${row.messages.length} messages, with roles ${shown(row.messages.map(({ role }) => role))}; ${
          row.messages.some(({ role }) => role === 'assistant')
            ? 'the template leaves the answers out; mend the template'
            : 'leave the row out'
        }`
    throw new ValueError(op, `row ${index} has nothing to learn: ${why}`)
  }
  return { ids: kept, labels, cut: ids.length - kept.length }
}

/** An error in a row, which names the row. */
async function named<T>(index: number, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof ValueError)) throw error
    throw new ValueError(error.op, `row ${index}: ${error.message.slice(`[${error.op}] `.length)}`)
  }
}

/** Chat templates in Jinja, as in tokenizer_config.json and chat_template.jinja. */
import { isFiresteelError, kindOf, ValueError } from '../../core/errors.js'
import { boundedInterpreter, boundedRange, mostTemplate } from './bounds.js'
import { type Jinja, loadJinja, type Statement } from './jinja.js'
import { strftime } from './time.js'

export interface ChatMessage {
  /** 'system', 'user', 'assistant', 'tool', or another role that the template knows. */
  readonly role: string
  /** A text; or parts, of which those of type 'text' have a `text`; or null with tool calls. */
  readonly content?: string | readonly { readonly type: string; readonly text?: string }[] | null
  /** Other fields that the template knows: `tool_calls`, `name`, `reasoning_content`. */
  readonly [key: string]: unknown
}

/** Variables that a template sees besides the messages: `bos_token`, `tools`, ... */
export type ChatVariables = { readonly [name: string]: unknown }

/** A tag of a block that the assistant generates, with the white space around it. */
const generationTags = /(\s*)\{%(-?)\s*(end)?generation\s*(-?)%\}(\s*)/g

/** Marks of such blocks in a rendered text. They are private characters, which no text contains. */
export const [opening, closing] = ['\ue0f0', '\ue0f1']

/** Blocks on separate lines leave no space and no line, as transformers renders: `lstrip_blocks` and `trim_blocks`. */
function stripped(source: string): string {
  return source
    .replace(/\n$/, '')
    .replace(/^[ \t]*(\{[#%-])/gm, '$1')
    .replace(/([#%-]\})\n/g, '$1')
}

/** A chat template in Jinja, which renders the messages of a chat as a text, as transformers does. */
export class ChatTemplate {
  /** Whether the template itself marks what the assistant generates. */
  readonly marksGeneration: boolean
  readonly #jinja: Jinja
  readonly #plain: Statement
  readonly #marked: Statement

  private constructor(jinja: Jinja, plain: Statement, marked: Statement, marksGeneration: boolean) {
    this.#jinja = jinja
    this.#plain = plain
    this.#marked = marked
    this.marksGeneration = marksGeneration
  }

  /**
   * Reads a template. Throws ValueError if it is not one, or has more than 2^20 characters. Rendering is bounded:
   * 10,000,000 steps, texts of 2^24 characters, lists of 65,536 entries.
   */
  static async compile(source: string, op = 'ChatTemplate.compile'): Promise<ChatTemplate> {
    if (typeof source !== 'string') throw new ValueError(op, `a template is ${kindOf(source)}, but must be a text`)
    if (source.length > mostTemplate)
      throw new ValueError(op, `the template has ${source.length} characters, but may have at most ${mostTemplate}`)
    const jinja = await loadJinja()
    const text = stripped(source)
    const withTags = (tag: (end: boolean) => string) =>
      text.replace(
        generationTags,
        (_, before: string, left: string, end: string | undefined, right: string, after: string) =>
          `${left ? '' : before}${tag(end !== undefined)}${right ? '' : after}`,
      )
    const marksGeneration = text.search(generationTags) >= 0
    try {
      const parse = (program: string) => jinja.parse(jinja.tokenize(program))
      const plain = parse(withTags(() => ''))
      const marked = marksGeneration ? parse(withTags((end) => (end ? closing : opening))) : plain
      return new ChatTemplate(jinja, plain, marked, marksGeneration)
    } catch (error) {
      throw new ValueError(op, `the template is not valid Jinja (${(error as Error).message})`)
    }
  }

  /** The text of a chat. Throws ValueError with the template's words if it refuses the messages. */
  render(messages: readonly ChatMessage[], variables: ChatVariables = {}, op = 'ChatTemplate.render'): string {
    return this.#run(op, this.#plain, messages, variables)
  }

  /** The text with `opening` and `closing` around the parts that the template marks as the assistant's. */
  renderMarked(messages: readonly ChatMessage[], variables: ChatVariables, op: string): string {
    return this.#run(op, this.#marked, messages, variables)
  }

  #run(op: string, program: Statement, messages: readonly ChatMessage[], variables: ChatVariables): string {
    checkMessages(op, messages)
    try {
      const globals = new this.#jinja.Environment()
      const refuse = (message: unknown) => {
        throw new ValueError(op, `the template refuses the messages: ${String(message).slice(0, 500)}`)
      }
      const constants = { true: true, false: false, none: null, True: true, False: false, None: null }
      const functions = {
        raise_exception: refuse,
        range: boundedRange(op),
        strftime_now: (format: unknown) => strftime(op, String(format), new Date()),
      }
      const all = { ...constants, ...functions, add_generation_prompt: false, ...variables, messages }
      for (const [name, value] of Object.entries(all)) globals.set(name, value)
      const { value } = boundedInterpreter(this.#jinja, op, globals).run(program)
      return String(value)
    } catch (error) {
      if (isFiresteelError(error)) throw error
      throw new ValueError(op, `the template fails (${(error as Error).message})`)
    }
  }
}

function checkMessages(op: string, messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages)) throw new ValueError(op, `messages are ${kindOf(messages)}, but must be a list`)
  messages.forEach((message: unknown, i) => {
    const role: unknown = typeof message === 'object' && message !== null ? (message as ChatMessage).role : undefined
    if (typeof role !== 'string')
      throw new ValueError(
        op,
        `message ${i} is ${kindOf(message)}${typeof message === 'object' ? ' without a role' : ''}; give { role, content }`,
      )
  })
}

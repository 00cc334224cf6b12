/**
 * The parts of a chat that the assistant must produce. A template that marks them by `{% generation %}` is believed.
 * All other templates render the chat again with a private character in the place of an answer. The text before and
 * after that character is the template's, whatever it does to the answer (trimming it, dropping thoughts).
 */
import { ValueError } from '../../core/errors.js'
import { type ChatMessage, type ChatTemplate, type ChatVariables, closing, opening } from './template.js'

/** [from, to) in UTF-16 units. */
export type Span = readonly [from: number, to: number]

export interface RenderedChat {
  readonly text: string
  /**
   * The text that the assistant must produce: its rendered answers, each with the marker right after it that ends the
   * turn.
   */
  readonly learn: readonly Span[]
}

export interface SpanOptions {
  readonly variables: ChatVariables
  /** The answers that count: all of the assistant's, or only the last one. */
  readonly answers: 'all' | 'last'
}

function commonStart(a: string, b: string): number {
  let i = 0
  while (i < a.length && i < b.length && a[i] === b[i]) i++
  return i
}

function commonEnd(a: string, b: string): number {
  let i = 0
  while (i < a.length && i < b.length && a[a.length - 1 - i] === b[b.length - 1 - i]) i++
  return i
}

export function renderWithSpans(
  op: string,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  { variables, answers }: SpanOptions,
): RenderedChat {
  const text = template.render(messages, variables, op)
  if (template.marksGeneration) {
    const learn = markedSpans(op, template, messages, variables, text)
    return { text, learn: answers === 'all' ? learn : learn.slice(-1) }
  }
  const places = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []))
  const finder = new AnswerFinder(op, template, messages, variables, text)
  const learn: Span[] = []
  for (const place of answers === 'all' ? places : places.slice(-1)) {
    const span = finder.find(place, learn.at(-1)?.[1] ?? 0)
    if (span !== null) learn.push(span)
  }
  return { text, learn }
}

function markedSpans(
  op: string,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  variables: ChatVariables,
  text: string,
): Span[] {
  const learn: Span[] = []
  let plain = ''
  let from: number | null = null
  for (const part of template.renderMarked(messages, variables, op).split(/([\ue0f0\ue0f1])/)) {
    if (part === opening) from = plain.length
    else if (part === closing) {
      if (from !== null) learn.push([from, plain.length])
      from = null
    } else plain += part
  }
  if (plain !== text)
    throw new ValueError(
      op,
      'the generation blocks of the template cannot be found in its text, perhaps because the messages contain U+E0F0',
    )
  return learn
}

class AnswerFinder {
  readonly #op: string
  readonly #template: ChatTemplate
  readonly #messages: readonly ChatMessage[]
  readonly #variables: ChatVariables
  readonly #text: string
  /** A character that no message contains. */
  readonly #mark: string

  constructor(
    op: string,
    template: ChatTemplate,
    messages: readonly ChatMessage[],
    variables: ChatVariables,
    text: string,
  ) {
    this.#op = op
    this.#template = template
    this.#messages = messages
    this.#variables = variables
    this.#text = text
    let code = 0xe0f0
    while (text.includes(String.fromCharCode(code))) code++
    this.#mark = String.fromCharCode(code)
  }

  /** The place of an answer, or null if the template leaves it out. `after` is the end of the one before. */
  find(place: number, after: number): Span | null {
    const text = this.#text
    const around = this.#around(this.#messages, place)
    if (around === null) return null
    const [before, behind] = around
    let from = commonStart(text, before)
    // The template's text for this answer only, such as the beginning of a thought, is the assistant's to produce.
    const prompt = this.#prompt(place)
    if (from < before.length && prompt !== '') {
      const begun = text.slice(0, from).lastIndexOf(prompt)
      if (begun >= after) from = begun + prompt.length
    }
    from = Math.max(from, after)
    const to = Math.max(from, text.length - commonEnd(text.slice(from), behind))
    return [from, to + this.#ending(place, behind, text.slice(to)).length]
  }

  /** The text before and after a mark in the place of an answer. */
  #around(messages: readonly ChatMessage[], place: number): readonly [before: string, behind: string] | null {
    const { role, content } = messages[place] as ChatMessage
    const marked: ChatMessage = {
      role,
      content: Array.isArray(content) ? [{ type: 'text', text: this.#mark }] : this.#mark,
    }
    const parts = this.#render([...messages.slice(0, place), marked, ...messages.slice(place + 1)]).split(this.#mark)
    if (parts.length > 2)
      throw new ValueError(
        this.#op,
        `the template writes message ${place} ${parts.length - 1} times, so it is unclear which copy should be learned; mark it with {% generation %}`,
      )
    return parts.length < 2 ? null : (parts as [string, string])
  }

  /** The text with which the template makes the assistant begin. */
  #prompt(place: number): string {
    const messages = this.#messages.slice(0, place)
    try {
      const without = this.#render(messages)
      const prompted = this.#render(messages, true)
      return prompted.startsWith(without) ? prompted.slice(without.length) : ''
    } catch {
      // A template may refuse a chat that ends there. It then reveals no prompt.
      return ''
    }
  }

  /**
   * The marker that ends a turn, as it stands right after the answer, without anything that belongs to the next turn.
   */
  #ending(place: number, behind: string, rest: string): string {
    let alone = behind
    if (place < this.#messages.length - 1)
      try {
        alone = this.#around(this.#messages.slice(0, place + 1), place)?.[1] ?? ''
      } catch {
        alone = /^<[^<>\s]*>/.exec(behind)?.[0] ?? ''
      }
    const common = rest.slice(0, commonStart(alone, rest))
    // The marker of this turn's end and that of the next turn begin alike.
    const whole = common.length < alone.length ? common.replace(/<[^>]*$/, '') : common
    return whole.trimEnd()
  }

  #render(messages: readonly ChatMessage[], prompt = false): string {
    return this.#template.render(messages, { ...this.#variables, add_generation_prompt: prompt }, this.#op)
  }
}

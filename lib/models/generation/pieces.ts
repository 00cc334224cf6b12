/** Turns tokens into text as they arrive, in pieces of complete characters. */
import type { Plan } from './options.js'

/** The character that decoders write for bytes of an incomplete character. */
const unfinished = '\ufffd'

/**
 * The number of tokens after which the text before a line's end is released. So decoding stays cheap however long the
 * text is.
 */
const mostPending = 64

/**
 * Returns the text of tokens as soon as it cannot change. A character of several tokens waits for its last one. The
 * possible beginning of a stop string waits until it is complete, and is then dropped, or until it turns out not to be
 * one.
 */
export class PieceWriter {
  readonly #plan: Pick<Plan, 'tokenizer' | 'stopStrings'>
  /** Tokens that are decoded together, because the text of a token, such as its spaces, depends on those before it. */
  #tokens: number[] = []
  /** The length of their text that was returned, or that waits in #held. */
  #taken = 0
  #held = ''
  #ended = false

  constructor(plan: Pick<Plan, 'tokenizer' | 'stopStrings'>) {
    this.#plan = plan
  }

  /** Whether a stop string has occurred. */
  get ended(): boolean {
    return this.#ended
  }

  push(token: number): string {
    if (this.#ended) return ''
    this.#tokens.push(token)
    const text = this.#decode()
    if (text.endsWith(unfinished)) return ''
    this.#held += text.slice(this.#taken)
    this.#taken = text.length
    if (this.#tokens.length > mostPending) this.#restart()
    return this.#give(false)
  }

  /** The text that is still waiting. */
  end(): string {
    this.#held += this.#decode().slice(this.#taken)
    return this.#give(true)
  }

  #decode(): string {
    return (this.#plan.tokenizer as NonNullable<Plan['tokenizer']>).decode(this.#tokens)
  }

  /** Continues with only the last tokens, whose text is known. Tokens before them cannot change the following text. */
  #restart(): void {
    this.#tokens = this.#tokens.slice(-mostPending / 4)
    this.#taken = this.#decode().length
  }

  #give(last: boolean): string {
    const { stopStrings } = this.#plan
    const ends = stopStrings.map((each) => this.#held.indexOf(each)).filter((at) => at >= 0)
    if (ends.length > 0) {
      this.#ended = true
      const piece = this.#held.slice(0, Math.min(...ends))
      this.#held = ''
      return piece
    }
    const waiting = last ? 0 : Math.max(0, ...stopStrings.map((each) => beginning(this.#held, each)))
    const piece = this.#held.slice(0, this.#held.length - waiting)
    this.#held = this.#held.slice(piece.length)
    return piece
  }
}

/** The length of the text's end that is the beginning of a stop string. */
function beginning(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length
  return 0
}

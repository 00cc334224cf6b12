/** Text out of tokens as they come, in pieces that are whole characters. */
import type { Plan } from './options.js'

/** The character that decoders write for bytes that are no whole one yet. */
const unfinished = '\ufffd'

/** Tokens after which the text before a line's end is given up, so that decoding stays cheap however long the text is. */
const mostPending = 64

/**
 * Gives the text of tokens as soon as it cannot change. A character of several tokens waits for the last of them, and what may be
 * the beginning of a stop string waits until it is one, and is then left out, or until it is none.
 */
export class PieceWriter {
  readonly #plan: Pick<Plan, 'tokenizer' | 'stopStrings'>
  /** Tokens that are decoded together, because what a token writes depends on those before it, as spaces do. */
  #tokens: number[] = []
  /** How much of their text was given, or waits in #held. */
  #taken = 0
  #held = ''
  #ended = false

  constructor(plan: Pick<Plan, 'tokenizer' | 'stopStrings'>) {
    this.#plan = plan
  }

  /** Whether a stop string was met. */
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

  /** The text that still waits, as it is. */
  end(): string {
    this.#held += this.#decode().slice(this.#taken)
    return this.#give(true)
  }

  #decode(): string {
    return (this.#plan.tokenizer as NonNullable<Plan['tokenizer']>).decode(this.#tokens)
  }

  /** Goes on with the last tokens alone, whose text is known; others before them cannot change what follows. */
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

/** How much of the text's end is the beginning of a stop string. */
function beginning(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length
  return 0
}

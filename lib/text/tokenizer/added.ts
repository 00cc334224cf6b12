/** Tokens that are searched for in a text before any other step. Semantics: Hugging Face tokenizers. */
import type { Aligned } from './aligned.js'

export interface AddedToken {
  readonly content: string
  /** Whether `decode` leaves it out by default. */
  readonly special: boolean
  /** Whether it must not be adjacent to letters or digits. */
  readonly singleWord: boolean
  /** Whether it includes white space before or after it. */
  readonly lstrip: boolean
  readonly rstrip: boolean
  /** Whether it is searched for in the normalized text, instead of the original. */
  readonly normalized: boolean
}

interface Node {
  readonly next: Map<number, Node>
  token: { readonly id: number; readonly added: AddedToken } | null
}

const endsWithWord = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u
const startsWithWord = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u
const spaceAtEnd = /\p{White_Space}*$/u
const spaceAtStart = /^\p{White_Space}*/u

/** A part of a text: a token that was found, or the text between tokens. */
export interface Part {
  readonly text: Aligned
  readonly id: number | null
}

/** Finds tokens, the leftmost first, and the longest of those that begin at the same place. */
export class AddedFinder {
  readonly #root: Node = { next: new Map(), token: null }
  /** The first units of tokens, or null if there is no token. */
  readonly #first: RegExp | null

  /** `form` returns the text to search for: the content, or the normalizer's result for it. */
  constructor(tokens: Iterable<readonly [id: number, added: AddedToken]>, form: (content: string) => string) {
    for (const [id, added] of tokens) {
      const content = form(added.content)
      if (content === '') continue
      let node = this.#root
      for (let i = 0; i < content.length; i++) {
        const unit = content.charCodeAt(i)
        let next = node.next.get(unit)
        if (next === undefined) {
          next = { next: new Map(), token: null }
          node.next.set(unit, next)
        }
        node = next
      }
      node.token ??= { id, added }
    }
    const units = [...this.#root.next.keys()].map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    this.#first = units.length > 0 ? new RegExp(`[${units.join('')}]`, 'g') : null
  }

  split(aligned: Aligned): readonly Part[] {
    const { text } = aligned
    const parts: Part[] = []
    let last = 0
    const between = (to: number) => {
      if (last < to) parts.push({ text: aligned.slice(last, to), id: null })
    }
    const first = this.#first
    if (first === null) return text === '' ? [] : [{ text: aligned, id: null }]
    for (let at = 0; at < text.length; ) {
      first.lastIndex = at
      at = first.exec(text)?.index ?? text.length
      const found = this.#at(text, at)
      if (found === null) {
        at++
        continue
      }
      const { id, added, end } = found
      at = end
      let [from, to] = [end - found.length, end]
      if (added.singleWord && (endsWithWord.test(text.slice(0, from)) || startsWithWord.test(text.slice(to)))) continue
      if (added.lstrip) from = Math.max(last, from - (spaceAtEnd.exec(text.slice(last, from))?.[0].length ?? 0))
      if (added.rstrip) to += spaceAtStart.exec(text.slice(to))?.[0].length ?? 0
      between(from)
      parts.push({ text: aligned.slice(from, to), id })
      last = to
      at = Math.max(at, to)
    }
    between(text.length)
    return parts
  }

  #at(text: string, from: number) {
    let node = this.#root.next.get(text.charCodeAt(from))
    let best: { id: number; added: AddedToken; end: number; length: number } | null = null
    for (let to = from + 1; node !== undefined; node = node.next.get(text.charCodeAt(to++)))
      if (node.token !== null) best = { ...node.token, end: to, length: to - from }
    return best
  }
}

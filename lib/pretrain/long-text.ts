/**
 * The tokens of a long text in a bounded part of memory. An encoding holds about 250 bytes for each character, so a book
 * on one line would take gigabytes. The text is encoded in windows that overlap, and two windows are joined in the middle
 * of a run in which both have the same tokens at the same places.
 */
import { nextTurn } from '../core/host.js'
import type { Encoding } from '../text/tokenizer/encoding.js'

interface Sizes {
  /** Characters of a window. A text of at most two windows is encoded at once. */
  readonly window: number
  /** Characters that two windows share. */
  readonly overlap: number
}

const usual: Sizes = { window: 2 ** 18, overlap: 2 ** 12 }

type Encode = (text: string) => Pick<Encoding, 'ids'> & Partial<Pick<Encoding, 'offsets'>>

/** Tokens with the places of their first and last characters in the whole text. */
interface Part {
  readonly ids: readonly number[]
  readonly offsets: Encoding['offsets']
  /** The place of the window in the text. */
  readonly from: number
}

/** A border of characters, which halves none. */
function border(text: string, place: number): number {
  const code = text.charCodeAt(place)
  return code >= 0xdc00 && code < 0xe000 ? place - 1 : place
}

/** The first token that begins at or after a place. Offsets rise, but tokens may share them. */
function firstFrom({ offsets, from }: Part, place: number): number {
  let [low, high] = [0, offsets.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((offsets[middle]?.[0] ?? 0) + from < place) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * The tokens at which two windows are joined, or null if they differ in the middle half of what they share. A border of
 * tokens that both have lies between two tokens that do not share a character.
 */
function joint(a: Part, b: Part, from: number, to: number): readonly [inA: number, inB: number] | null {
  const quarter = (to - from) >> 2
  const [i, j] = [firstFrom(a, from + quarter), firstFrom(b, from + quarter)]
  const [endA, endB] = [firstFrom(a, to - quarter), firstFrom(b, to - quarter)]
  const count = endA - i
  if (count < 2 || endB - j !== count) return null
  for (let k = 0; k < count; k++) {
    const [own, other] = [a.offsets[i + k] ?? [], b.offsets[j + k] ?? []] as [readonly number[], readonly number[]]
    const isSame = [0, 1].every((end) => (own[end] ?? 0) + a.from === (other[end] ?? 0) + b.from)
    if (a.ids[i + k] !== b.ids[j + k] || !isSame) return null
  }
  for (let k = count >> 1; k < count; k++)
    if ((a.offsets[i + k]?.[0] ?? 0) >= (a.offsets[i + k - 1]?.[1] ?? 0)) return [i + k, j + k]
  return null
}

/**
 * The ids of a text, as `encode` gives them for the whole. Where no overlap shows two windows the same tokens, as in a
 * text without any border of words, the whole text is encoded at once after all.
 */
export async function idsOfLong(encode: Encode, text: string, { window, overlap }: Sizes = usual): Promise<number[]> {
  const whole = () => [...encode(text).ids]
  if (text.length <= 2 * window) return whole()
  const partAt = (from: number, to: number): Part | null => {
    const { ids, offsets } = encode(text.slice(from, to))
    return offsets?.length === ids.length ? { ids, offsets, from } : null
  }
  const found: number[] = []
  let end = border(text, window)
  let before = partAt(0, end)
  let begin = 0
  while (before !== null && end < text.length) {
    const next = border(text, Math.min(text.length, end + window))
    let joined: { readonly part: Part; readonly inA: number; readonly inB: number } | null = null
    for (let shared = overlap; joined === null && shared < window >> 1; shared *= 2) {
      const from = border(text, end - shared)
      const part = partAt(from, next)
      if (part === null) return whole()
      const at = joint(before, part, from, end)
      if (at !== null && at[0] >= begin) joined = { part, inA: at[0], inB: at[1] }
    }
    if (joined === null) return whole()
    for (let i = begin; i < joined.inA; i++) found.push(before.ids[i] as number)
    ;[before, begin, end] = [joined.part, joined.inB, next]
    await nextTurn()
  }
  if (before === null) return whole()
  for (let i = begin; i < before.ids.length; i++) found.push(before.ids[i] as number)
  return found
}

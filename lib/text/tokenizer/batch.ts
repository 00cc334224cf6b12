/** Texts in tokens as arrays of numbers, which threads hand over without a copy. */
import { isFiresteelError } from '../../core/errors.js'
import type { Encoding, Side } from './encoding.js'
import type { Fault, Given } from './messages.js'

/**
 * The tokens of texts, one text after the other: those of text i are from `starts[i]` to `starts[i + 1]`. With padding
 * to the longest, or to more tokens than any text has, all texts have one length, and `ids` can be read as [texts,
 * length].
 */
export interface EncodedBatch {
  /** [texts + 1] */
  readonly starts: Int32Array
  readonly ids: Int32Array
  /** The number of the text of a pair to which a token belongs, as the post-processor says. */
  readonly typeIds: Int32Array
  /** 1 for tokens, 0 for padding. */
  readonly attentionMask: Uint8Array
  /** 1 for what the tokenizer added: special tokens and padding. */
  readonly specialTokensMask: Uint8Array
  /** [from, to) of each token, one pair after the other, in UTF-16 units of its text; 0, 0 for what was added. */
  readonly offsets: Int32Array
  /** [texts], 1 where `maxLength` cut a text. */
  readonly cut: Uint8Array
}

/** The padding of rows: its token, the length, and the side. */
export interface Filling {
  readonly id: number
  readonly typeId: number
  readonly side: Side
  /** The least length of a row. */
  readonly length: number
}

function emptyBatch(texts: number, tokens: number): EncodedBatch {
  return {
    starts: new Int32Array(texts + 1),
    ids: new Int32Array(tokens),
    typeIds: new Int32Array(tokens),
    attentionMask: new Uint8Array(tokens),
    specialTokensMask: new Uint8Array(tokens),
    offsets: new Int32Array(2 * tokens),
    cut: new Uint8Array(texts),
  }
}

function batchOf(encodings: readonly Encoding[]): EncodedBatch {
  const batch = emptyBatch(
    encodings.length,
    encodings.reduce((sum, { ids }) => sum + ids.length, 0),
  )
  let at = 0
  encodings.forEach(({ ids, typeIds, attentionMask, specialTokensMask, offsets, overflowing }, row) => {
    batch.ids.set(ids, at)
    batch.typeIds.set(typeIds, at)
    batch.attentionMask.set(attentionMask, at)
    batch.specialTokensMask.set(specialTokensMask, at)
    for (let i = 0; i < offsets.length; i++) {
      const [from, to] = offsets[i] as readonly [number, number]
      batch.offsets[2 * (at + i)] = from
      batch.offsets[2 * (at + i) + 1] = to
    }
    batch.cut[row] = overflowing.length > 0 ? 1 : 0
    at += ids.length
    batch.starts[row + 1] = at
  })
  return batch
}

/** Texts in tokens, each by itself, so that a fault has a place. */
export function encodePart(
  texts: readonly Given[],
  encode: (text: Given) => readonly Encoding[],
): EncodedBatch | Fault {
  const encodings: Encoding[] = []
  for (const [i, text] of texts.entries())
    try {
      encodings.push(...encode(text))
    } catch (error) {
      if (!isFiresteelError(error)) throw error
      return { text: i, message: error.message.slice(`[${error.op}] `.length) }
    }
  return batchOf(encodings)
}

/** The memory of a batch that is one's own, for handing it over. */
export function buffersOf(batch: EncodedBatch): ArrayBuffer[] {
  return Object.values(batch).map((array: Int32Array | Uint8Array) => array.buffer as ArrayBuffer)
}

/** Calls `visit` with the tokens of each row: those from `first` to `end`. */
function eachRow({ starts, cut }: EncodedBatch, visit: (row: number, first: number, end: number) => void): void {
  for (let row = 0; row < cut.length; row++) visit(row, starts[row] as number, starts[row + 1] as number)
}

/** The longest row. */
export function longestOf(parts: readonly EncodedBatch[]): number {
  let longest = 0
  for (const part of parts) eachRow(part, (_, first, end) => void (longest = Math.max(longest, end - first)))
  return longest
}

/** Joins the parts of a batch, and pads rows if that is asked for. Between two parts, `rest` may let other work run. */
export async function joinedBatch(
  parts: readonly EncodedBatch[],
  filling: Filling | null,
  rest: () => Promise<void>,
): Promise<EncodedBatch> {
  const least = filling?.length ?? 0
  let [texts, tokens] = [0, 0]
  for (const part of parts) {
    texts += part.cut.length
    eachRow(part, (_, first, end) => void (tokens += Math.max(least, end - first)))
  }
  const whole = emptyBatch(texts, tokens)
  let [rows, at] = [0, 0]
  for (const part of parts) {
    whole.cut.set(part.cut, rows)
    if (least === 0) {
      // Views of each row would take longer than the copy.
      copyTokens(whole, at, part, 0, part.ids.length)
      for (let row = 1; row < part.starts.length; row++) whole.starts[rows + row] = at + (part.starts[row] as number)
      at += part.ids.length
      rows += part.cut.length
      await rest()
      continue
    }
    eachRow(part, (row, first, end) => {
      const empty = Math.max(0, least - (end - first))
      const onLeft = filling?.side === 'left' ? empty : 0
      copyTokens(whole, at + onLeft, part, first, end)
      if (filling !== null && empty > 0) fill(whole, onLeft > 0 ? at : at + end - first, empty, filling)
      at += end - first + empty
      whole.starts[rows + row + 1] = at
    })
    rows += part.cut.length
    await rest()
  }
  return whole
}

function copyTokens(to: EncodedBatch, at: number, from: EncodedBatch, first: number, end: number): void {
  to.ids.set(from.ids.subarray(first, end), at)
  to.typeIds.set(from.typeIds.subarray(first, end), at)
  to.attentionMask.set(from.attentionMask.subarray(first, end), at)
  to.specialTokensMask.set(from.specialTokensMask.subarray(first, end), at)
  to.offsets.set(from.offsets.subarray(2 * first, 2 * end), 2 * at)
}

function fill(batch: EncodedBatch, at: number, count: number, { id, typeId }: Filling): void {
  batch.ids.fill(id, at, at + count)
  batch.typeIds.fill(typeId, at, at + count)
  batch.specialTokensMask.fill(1, at, at + count)
}

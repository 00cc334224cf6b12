/**
 * The text to which a decoder attends, as the encoder encoded it, with the keys and values that the decoder's layers
 * compute from it.
 */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { keep, outsideFrames, scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { fromTypedArray } from '../ops/creation.js'
import { indexSelect } from '../ops/indexing/index.js'
import { reshape, transpose, unflatten } from '../ops/shape/index.js'

/** Keys and values of a layer, [B, H, S, D] each. */
export type KeysAndValues = readonly [keys: Tensor, values: Tensor]

/**
 * A batch of encoded texts. Several rows of the decoder, such as beams, may read one of them. They then become queries
 * of one batch row, so that keys and values are stored and read only once for all of them.
 */
export class Source {
  /** [B, S, width] */
  readonly states: Tensor
  /** bool [B, 1, 1, S], true for a column with a token, or null if all are tokens. */
  readonly mask: Tensor | null
  /** The number of the decoder's rows that read each text. They are side by side. */
  readonly copies: number
  readonly #kept: (KeysAndValues | undefined)[]

  constructor(states: Tensor, mask: Tensor | null, copies = 1, kept: (KeysAndValues | undefined)[] = []) {
    this.states = states
    this.mask = mask
    this.copies = copies
    this.#kept = kept
  }

  /** The number of rows that the decoder must have. */
  get rows(): number {
    return (this.states.sizes[0] as number) * this.copies
  }

  /** Keys and values that a layer computes from the states, computed only once if they are to be kept. */
  keysAndValues(layer: number, kept: boolean, make: (states: Tensor) => KeysAndValues): KeysAndValues {
    if (!kept) return make(this.states)
    const found = this.#kept[layer]
    if (found !== undefined) return found
    const made = make(this.states)
    for (const each of made) keep(each)
    this.#kept[layer] = made
    return made
  }

  /** Queries [B copies, H, T, D], rearranged into those of B texts: [B, H, copies T, D]. */
  fold(q: Tensor): Tensor {
    if (this.copies === 1) return q
    const [, heads, columns, size] = q.sizes as readonly [number, number, number, number]
    const beside = transpose(unflatten(q, 0, [-1, this.copies]), 1, 2)
    return reshape(beside, [this.states.sizes[0] as number, heads, this.copies * columns, size])
  }

  /** The inverse: [B, H, copies T, D] -> [B copies, H, T, D]. */
  unfold(out: Tensor): Tensor {
    if (this.copies === 1) return out
    const [, heads, , size] = out.sizes as readonly [number, number, number, number]
    const beside = transpose(unflatten(out, 2, [this.copies, -1]), 1, 2)
    return reshape(beside, [this.rows, heads, -1, size])
  }

  /**
   * The source for a decoder whose row i continues the former row `rows[i]`. Unchanged parts are shared with this
   * source, and parts that are no longer needed are freed. Throws ValueError for a row that does not exist.
   */
  reorder(given: readonly number[]): Source {
    const rows = listOf('Source.reorder', 'rows', given, 'a list of places')
    if (rows.length === 0 || rows.some((row) => !Number.isInteger(row) || row < 0 || row >= this.rows))
      throw new ValueError('Source.reorder', `rows are ${shown(rows)}, but must be places among the ${this.rows} rows`)
    const { texts, copies } = grouped(rows.map((row) => Math.floor(row / this.copies)))
    if (texts.length === this.states.sizes[0] && texts.every((text, i) => text === i))
      return copies === this.copies ? this : new Source(this.states, this.mask, copies, this.#kept)
    const picked = scope(() => {
      const index = fromTypedArray(Int32Array.from(texts), [texts.length], { device: this.states.device })
      const pick = (x: Tensor): Tensor => outsideFrames(() => keep(noGrad(() => indexSelect(x, 0, index))))
      const kept = this.#kept.map((pair): KeysAndValues | undefined => pair && [pick(pair[0]), pick(pair[1])])
      return new Source(pick(this.states), this.mask && pick(this.mask), copies, kept)
    })
    this.dispose()
    return picked
  }

  /** Lets it outlive the scopes in which it was made. The garbage collector or `dispose()` then frees it. */
  keep(): this {
    keep(this.states)
    if (this.mask !== null) keep(this.mask)
    return this
  }

  dispose(): void {
    for (const each of [this.states, this.mask, ...this.#kept.flatMap((pair) => pair ?? [])]) each?.dispose()
    this.#kept.length = 0
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * The texts of rows, each listed once if every text has the same number of adjacent rows, or otherwise one text for
 * each row.
 */
function grouped(rows: readonly number[]): { readonly texts: readonly number[]; readonly copies: number } {
  const texts = rows.filter((text, i) => text !== rows[i - 1])
  const copies = rows.length / texts.length
  const even = rows.every((text, i) => text === texts[Math.floor(i / copies)])
  return even ? { texts, copies } : { texts: rows, copies: 1 }
}

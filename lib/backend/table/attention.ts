/** The rows of attention. */
import type { StridedView } from '../../core/device.js'
import { floats, row, size } from './grammar.js'

const options = {
  lengths: 'in? int32',
  scale: 'number',
  offset: 'integer',
  window: 'integer',
  dropout: 'number',
  random: 'philox',
} as const

/** The sum over i < n of a + i, each clamped to [0, most]. */
function ramp(a: number, n: number, most: number): number {
  const first = Math.min(n, Math.max(0, -a))
  const full = Math.min(n, Math.max(first, most - a))
  return ((full - first) * (2 * a + first + full - 1)) / 2 + (n - full) * most
}

/** The number of pairs of query and key that take part, regardless of masks and lengths, which only the data tell. */
export function pairs(q: StridedView, k: StridedView, offset: number, window: number): number {
  const [queries, keys] = [size(q.sizes, 2), size(k.sizes, 2)]
  const passed = window > 0 ? ramp(offset + 1 - window, queries, keys) : 0
  return size(q.sizes, 0) * size(q.sizes, 1) * (ramp(offset + 1, queries, keys) - passed)
}

export const attention = {
  /**
   * x [B, .., T, D] -> out like it: the first 2 R features of each row in pairs (a, b), features i and R + i, or with
   * `neighbours` 2 i and 2 i + 1, become (a c - b s, a s + b c), with `backwards` (a c + b s, b c - a s); later
   * features are unchanged. Element t of a batch row uses row t of the cosines c and sines s [.., R], or row b T + t if
   * they have B T rows.
   */
  rotary: row(
    {
      out: 'out T',
      x: 'strided T',
      cosines: 'in float32',
      sines: 'in float32',
      neighbours: 'flag',
      backwards: 'flag',
    },
    { calledAs: 'rotaryEmbedding', T: floats, optional: true },
  ),
  /**
   * One call by which a decoder rotates the projections of new columns and stores them: out is q [B, Hq, T, D], rotated
   * as by rotary without `neighbours`; keys [B, Hk, T, D] is k, rotated likewise; values is v. The features of a key
   * are contiguous.
   */
  rotary_append: row(
    {
      out: 'out T',
      keys: 'update T',
      values: 'update T',
      q: 'strided T',
      k: 'strided T',
      v: 'strided T',
      cosines: 'in float32',
      sines: 'in float32',
    },
    { calledAs: 'rotaryEmbedding', T: floats, optional: true, overwritten: ['keys', 'values'] },
  ),
  /**
   * q [B, Hq, Tq, D], k [B, Hk, Tk, D], v [B, Hk, Tk, Dv], Hq a multiple of Hk; out [B, Hq, Tq, Dv]; statistics [B, Hq,
   * 2, Tq]: the largest score m of each query, then each query's sum of exp(score - m). mask, broadcast to [B, Hq, Tq,
   * Tk] by stride 0: bool (true: take part) or float32 (added to the scores). Key j takes part in query i if j <=
   * offset + i (an offset of Tk hides none), if j > offset + i - window unless window is 0, and in batch row b if j <
   * lengths[b]; a length outside [0, Tk] is an error. A row without keys gives 0. A mask is added, so a masked key that
   * is not finite makes the row NaN. Keys hidden by offset, window or lengths never show in the result. Dropout drops
   * element e of [B, Hq, Tq, Tk] by the e-th integer of `random`, and scales the rest by 1 / (1 - dropout).
   */
  attention_forward: row(
    {
      out: 'place T',
      statistics: 'out float32',
      q: 'strided T',
      k: 'strided T',
      v: 'strided T',
      maskBool: 'strided? bool',
      maskAdd: 'strided? float32',
      ...options,
    },
    {
      calledAs: 'scaledDotProductAttention',
      T: floats,
      precision: 'low',
      multiplyAdds: ({ q, k, v, offset, window }) =>
        pairs(q, k, offset, window) * (size(q.sizes, 3) + size(v.sizes, 3)),
    },
  ),
  /** dmask [B, Hq, Tq, Tk] is dense: the gradient of the scores before they are summed to the mask's shape */
  attention_backward: row(
    {
      dq: 'place? T',
      dk: 'place? T',
      dv: 'place? T',
      dmask: 'out? float32',
      dy: 'strided T',
      q: 'strided T',
      k: 'strided T',
      v: 'strided T',
      out: 'strided T',
      statistics: 'in float32',
      maskBool: 'strided? bool',
      maskAdd: 'strided? float32',
      ...options,
    },
    {
      calledAs: 'scaledDotProductAttention backward',
      T: floats,
      multiplyAdds({ q, k, v, offset, window, dq, dk, dv }) {
        // The scores are computed once more, and so is the gradient of the weights, for any of the three gradients.
        const keyed = 1 + (dq === null ? 0 : 1) + (dk === null ? 0 : 1)
        const valued = 1 + (dv === null ? 0 : 1)
        return pairs(q, k, offset, window) * (keyed * size(q.sizes, 3) + valued * size(v.sizes, 3))
      },
    },
  ),
} as const

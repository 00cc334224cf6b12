/**
 * The common part of the fused attention's composite and of attention with other scores: visible keys, and weights from
 * scores.
 */

import type { DType } from '../../core/dtype.js'
import { DTypeError, formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import type { Shape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { arange, fromTypedArray } from '../creation.js'
import { abs, add, div, eq, exp, gt, le, lt, mul, sub, where } from '../elementwise/index.js'
import { peakOf } from '../peak.js'
import { sum } from '../reduce/index.js'
import { expand, reshape, unsqueeze } from '../shape/index.js'

/** The dtypes of lengths and positions. They are options, and errors name them so. */
export const counts: readonly DType[] = ['int32']

/**
 * The keys that a query sees. Query i stands at offset + i among the keys, and sees `window` keys up to there (0 for
 * all) and none later. An offset of Tk hides none.
 */
export interface Span {
  readonly offset: number
  readonly window: number
}

export interface SpanOptions {
  readonly isCausal?: boolean
  readonly offset?: number | undefined
  readonly window?: number | undefined
}

/** The two integers of the kernel. A query's keys begin `window` before its position offset + i and end there. */
export function spanOf(op: string, { isCausal = false, offset, window }: SpanOptions, tk: number): Span {
  if (offset !== undefined) checkSpan(op, 'offset', offset, 0, isCausal)
  if (window !== undefined) checkSpan(op, 'window', window, 1, isCausal)
  return { offset: isCausal ? (offset ?? 0) : tk, window: window ?? 0 }
}

function checkSpan(op: string, name: 'offset' | 'window', value: number, least: number, isCausal: boolean): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer of at least ${least}`)
  if (!isCausal)
    throw new ValueError(
      op,
      `${name} is ${value}, but isCausal is false, and only causal attention depends on which keys come before a query; ` +
        `set isCausal, or leave ${name} out`,
    )
}

/** The differences j - i of key j and query i: int32 [Tq, Tk]. */
function ahead(tq: number, tk: number, device: Tensor['device']): Tensor {
  const count = (n: number) => arange(0, n, 1, { dtype: 'int32', device })
  return sub(unsqueeze(count(tk), 0), unsqueeze(count(tq), 1))
}

/** The masks of offset, window and lengths for scores [.., Tq, Tk], each true where a key takes part in a query. */
export function seenKeys(
  scores: Shape,
  lengths: Tensor | null,
  { offset, window }: Span,
  device: Tensor['device'],
): Tensor[] {
  const [tq, tk] = [scores.at(-2) ?? 0, scores.at(-1) ?? 0]
  const masks: Tensor[] = []
  if (offset < tk - 1) masks.push(le(ahead(tq, tk, device), offset))
  // Positions are clamped to the range of the keys, because they may exceed int32.
  if (window > 0) masks.push(gt(ahead(tq, tk, device), Math.min(Math.max(offset - window, -tq), tk)))
  if (lengths) {
    const keys = arange(0, tk, 1, { dtype: 'int32', device })
    masks.push(lt(keys, reshape(lengths, [lengths.sizes[0] as number, ...scores.slice(1).map(() => 1)])))
  }
  return masks
}

/** The slopes [heads] of linear biases; null if there are none. */
export function slopesOf(op: string, alibi: boolean | Tensor, heads: number, like: Tensor): Tensor | null {
  if (alibi === false) return null
  const dtype = like.dtype === 'float64' ? 'float64' : 'float32'
  if (alibi === true) {
    const slopes = Float64Array.from({ length: heads }, (_, h) => 2 ** ((-8 * (h + 1)) / heads))
    return fromTypedArray(slopes, [heads], { dtype, device: like.device })
  }
  if (!(alibi instanceof Tensor))
    throw new ValueError(op, `alibi is ${shown(alibi)}, but must be true, false or slopes [H]`)
  if (!alibi.dtype.includes('float')) throw new DTypeError(op, `alibi is ${alibi.dtype}, but slopes must be floating`)
  if (formatShape(alibi.sizes) !== `[${heads}]`)
    throw new ShapeError(
      op,
      `alibi is ${formatShape(alibi.sizes)}, but must be [${heads}], one slope for each query head`,
      [alibi.sizes],
    )
  const slopes: Tensor = castTo(alibi, dtype)
  return slopes
}

/** -slope |position of the query - j| of each head, [H, Tq, Tk], from slopes [H]; query i stands at offset + i. */
export function distanceBias(slopes: Tensor, tq: number, tk: number, offset: number): Tensor {
  const { device, dtype } = slopes
  const count = (from: number, n: number) => arange(from, from + n, 1, { dtype: dtype as 'float32', device })
  const distance = abs(sub(unsqueeze(count(0, tk), 0), unsqueeze(count(offset, tq), 1)))
  return mul(reshape(slopes, [slopes.sizes[0] as number, 1, 1]), mul(distance, -1))
}

/** Applies a mask to scores: a bool one (true takes part), or numbers to add. */
export function masked(scores: Tensor, mask: Tensor | null): Tensor {
  if (mask === null) return scores
  return mask.dtype === 'bool' ? where(mask, scores, Number.NEGATIVE_INFINITY) : add(scores, mask)
}

/** Softmax over the visible keys; 0 for a query that sees none. */
export function weigh(given: Tensor, seen: readonly Tensor[]): Tensor {
  const never = Number.NEGATIVE_INFINITY
  let scores = given
  for (const each of seen) scores = where(each, scores, never)
  // The division is guarded so that a row without keys gives 0 instead of NaN.
  const peak = peakOf(scores, -1)
  const open = where(eq(peak, never), 0, peak)
  const e = exp(sub(scores, open))
  const total = sum(e, -1, { keepdim: true })
  return div(e, where(eq(total, 0), 1, total))
}

/** Repeats each key head [B, Hk, Tk, size] for its group of query heads: [B, Hq, Tk, size]. */
export function forGroups(x: Tensor, queryHeads: number): Tensor {
  const [b = 0, hk = 0, tk = 0, size = 0] = x.sizes
  if (hk === queryHeads) return x
  const group = hk === 0 ? 1 : queryHeads / hk
  return reshape(expand(unsqueeze(x, 2), [b, hk, group, tk, size]), [b, queryHeads, tk, size])
}

/** Throws unless a mask is bool or has the dtype of the scores. */
export function checkMaskDType(op: string, mask: Tensor, dtype: string, fits: boolean): void {
  if (mask.dtype === 'bool' || fits) return
  const floating = mask.dtype.startsWith('float') || mask.dtype === 'bfloat16'
  throw new DTypeError(
    op,
    `attnMask is ${mask.dtype}, but must be bool (true takes part) or ${dtype} (added); convert it with ` +
      `.to('${floating ? dtype : 'bool'}')`,
  )
}

/** Whether a mask broadcasts to the scores. */
export function maskFits(mask: Shape, scores: Shape): boolean {
  const lead = scores.length - mask.length
  return lead >= 0 && mask.every((size, i) => size === 1 || size === scores[i + lead])
}

/** Frames of images that are not surrounded by zeros. */
import { namedAs } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { type PadMode, pad } from './shape/index.js'

/** 'reflect' repeats the image mirrored at its outermost elements, 'replicate' these elements, 'circular' the other end. */
export type PaddingMode = 'zeros' | Exclude<PadMode, 'constant'>

/** x with `before` and `after` elements more in its last dimensions. Throws ShapeError where x has not enough of them. */
export function framed(
  op: string,
  x: Tensor,
  before: readonly number[],
  after: readonly number[],
  mode: Exclude<PaddingMode, 'zeros'>,
): Tensor {
  // Amounts to pad by begin with the last dimension.
  const ends = before.map((b, i) => [b, after[i] as number]).reverse()
  return ends.flat().every((amount) => amount === 0) ? x : namedAs(op, () => pad(x, ends.flat(), { mode }))
}

/** Paddings of images other than zeros. */
import { namedAs } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { type PadMode, pad } from './shape/index.js'

/**
 * 'reflect' continues the image mirrored about its outermost elements, 'replicate' repeats these elements, and
 * 'circular' continues with the other end.
 */
export type PaddingMode = 'zeros' | Exclude<PadMode, 'constant'>

/** x with `before` and `after` more elements in its last dimensions. Throws ShapeError if x has too few to continue. */
export function framed(
  op: string,
  x: Tensor,
  before: readonly number[],
  after: readonly number[],
  mode: Exclude<PaddingMode, 'zeros'>,
): Tensor {
  // The amounts begin with the last dimension, as `pad` takes them.
  const ends = before.map((b, i) => [b, after[i] as number]).reverse()
  return ends.flat().every((amount) => amount === 0) ? x : namedAs(op, () => pad(x, ends.flat(), { mode }))
}

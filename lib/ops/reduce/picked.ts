/** Elements chosen along a dimension. */
import type { DType } from '../../core/dtype.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { gather } from '../indexing/index.js'
import { reshape, squeeze } from '../shape/index.js'

/** Values chosen along a dimension, and their indices there. */
export type Selected<D extends DType = DType> = [values: Tensor<Shape, D>, indices: Tensor<Shape, 'int32'>]

/**
 * The elements of x at the indices along `dim` that `choose` gives (of x's shape without dim), and these indices. The
 * gradient goes to the chosen elements. A number counts as a line of one.
 */
export function picked(x: Tensor, dim: number, keepdim: boolean, choose: (line: Tensor) => Tensor): Selected
export function picked(
  x: Tensor,
  dim: number,
  keepdim: boolean,
  choose: (line: Tensor) => Tensor,
): [values: Tensor, indices: Tensor] {
  const line = x.ndim === 0 ? reshape(x, [1]) : x
  const indices = choose(line)
  const values = gather(line, dim, indices)
  if (x.ndim === 0) return [reshape(values, []), reshape(indices, [])]
  return keepdim ? [values, indices] : [squeeze(values, dim), squeeze(indices, dim)]
}

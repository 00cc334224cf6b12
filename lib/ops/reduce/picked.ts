/** Elements that were chosen along a dimension. */
import type { DType } from '../../core/dtype.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { gather } from '../indexing/index.js'
import { reshape, squeeze } from '../shape/index.js'

/** Values that were chosen along a dimension, and their indices there. */
export type Selected<D extends DType = DType> = [values: Tensor<Shape, D>, indices: Tensor<Shape, 'int32'>]

/**
 * The elements of x whose indices along `dim` `choose` gives (x's shape but for dim), and these indices. A gradient goes to
 * where they came from. A number is a line of one.
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

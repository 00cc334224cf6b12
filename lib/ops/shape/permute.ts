/** Views with dimensions in another order. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { operator } from '../operator.js'
import { viewOf } from '../views.js'
import { checkList } from './lists.js'

const permuteRecord = operator<[x: Tensor], readonly number[]>({
  name: 'permute',
  infer: (inputs, dims) => like(inputs[0], picked(inputs[0].sizes, dims)),
  forward: (inputs, dims, { shape }) => viewOf(inputs[0], shape, picked(inputs[0].steps, dims)),
  gradient: {
    saves: () => ({}),
    backward({ attrs }, [g]) {
      const inverse = new Array<number>(attrs.length)
      for (const [i, d] of attrs.entries()) inverse[d] = i
      return [permute(g, inverse)]
    },
  },
})

/** The entries of a list at each of the dimensions. */
const picked = (list: Shape, dims: readonly number[]): Shape => dims.map((d) => list[d] ?? 0)

/**
 * A view with dimensions in another order: dimension i of the result is x's `dims[i]`, so that [1, 2, 0] turns [A, B,
 * C] into [B, C, A]. Throws ValueError unless `dims` names each dimension once.
 */
export function permute<D extends DType>(x: Tensor<Shape, D>, dims: readonly number[]): Tensor<Shape, D>
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  checkTensor('permute', 'x', x)
  checkList('permute', dims, '[1, 0]')
  const order = dims.map((d) => normalizeDim('permute', d, x.ndim))
  if (order.length !== x.ndim || new Set(order).size !== x.ndim)
    throw new ValueError(
      'permute',
      `dims are ${formatShape(dims)}, but must hold each of the ${x.ndim} dimensions of ${formatShape(x.sizes)} once`,
    )
  return apply(permuteRecord, [x], order)
}

/**
 * A view with two dimensions swapped: 0 and 2 turn [A, B, C] into [C, B, A]. Throws ValueError for a dimension that x
 * lacks.
 */
export function transpose<D extends DType>(x: Tensor<Shape, D>, dim0: number, dim1: number): Tensor<Shape, D>
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  checkTensor('transpose', 'x', x)
  const a = normalizeDim('transpose', dim0, x.ndim)
  const b = normalizeDim('transpose', dim1, x.ndim)
  const order = x.sizes.map((_, i) => (i === a ? b : i === b ? a : i))
  return x.ndim === 0 ? x : apply(permuteRecord, [x], order)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    permute(dims: readonly number[]): Tensor<Shape, D>
    transpose(dim0: number, dim1: number): Tensor<Shape, D>
  }
}

defineMethods({
  permute(dims: readonly number[]) {
    return permute(this, dims)
  },
  transpose(dim0: number, dim1: number) {
    return transpose(this, dim0, dim1)
  },
})

/** Views with dimensions in another order. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { defineGetters, defineMethods } from '../../core/methods.js'
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

/** x with its two dimensions swapped; as in PyTorch, a vector or a number is x itself. Throws ShapeError for more. */
export function t<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function t(x: Tensor): Tensor {
  checkTensor('t', 'x', x)
  if (x.ndim > 2)
    throw new ShapeError(
      't',
      `x is ${formatShape(x.sizes)}, but must have at most 2 dimensions; use mT or transpose(0, 1) for more`,
      [x.sizes],
    )
  return x.ndim < 2 ? x : apply(permuteRecord, [x], [1, 0])
}

/** The matrix of `T`, whose dimensions are swapped. */
function turned(x: Tensor): Tensor {
  if (x.ndim !== 2)
    throw new ShapeError(
      'T',
      `transposes a matrix, but this tensor is ${formatShape(x.sizes)}; use mT for the last two dimensions, or permute()`,
      [x.sizes],
    )
  return namedAs('T', () => apply(permuteRecord, [x], [1, 0]))
}

/** The matrices of `mT`, whose dimensions are swapped. */
function turnedEach(x: Tensor): Tensor {
  if (x.ndim < 2)
    throw new ShapeError(
      'mT',
      `transposes matrices, but this tensor is ${formatShape(x.sizes)}; unsqueeze() gives it the dimensions that it lacks`,
      [x.sizes],
    )
  return namedAs('mT', () => transpose(x, -2, -1))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    permute(dims: readonly number[]): Tensor<Shape, D>
    transpose(dim0: number, dim1: number): Tensor<Shape, D>
    t(): Tensor<Shape, D>
    /**
     * A view of a matrix with its dimensions swapped. Throws ShapeError for another number of dimensions, for which
     * PyTorch's `T` is deprecated.
     */
    readonly T: Tensor<Shape, D>
    /** A view of a matrix, or of each of several, with the last two dimensions swapped. Throws ShapeError for less. */
    readonly mT: Tensor<Shape, D>
  }
}

defineMethods({
  permute(dims: readonly number[]) {
    return permute(this, dims)
  },
  transpose(dim0: number, dim1: number) {
    return transpose(this, dim0, dim1)
  },
  t() {
    return t(this)
  },
})

defineGetters({ T: turned, mT: turnedEach })

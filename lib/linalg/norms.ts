/** Norms of vectors and matrices, and condition numbers. */
import { checkTensor } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { normalizeDim, normalizeDims, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { div, mul } from '../ops/elementwise/index.js'
import { keepdimOf } from '../ops/reduce/dims.js'
import {
  amax,
  amin,
  type Dim,
  type MatrixNormOrder,
  matrixNorm as plainMatrixNorm,
  type ReduceOptions,
  sum,
  vectorNorm,
} from '../ops/reduce/index.js'
import { permute, reshape } from '../ops/shape/index.js'
import { inv } from './lu.js'
import { checkMatrices, checkSquare } from './shared.js'
import { svdvals } from './svd.js'

/** 2 and -2 are the largest and the smallest singular value, and 'nuc' is the sum of all. */
export type MatrixOrder = MatrixNormOrder | 2 | -2 | 'nuc'

/** The matrices along two dimensions as the last ones. */
function lastOf(op: string, x: Tensor, dim: readonly [number, number]): readonly [Tensor, readonly number[]] {
  const dims = dim.map((each) => normalizeDim(op, each, x.ndim))
  const [rows, columns] = dims
  if (rows === columns) throw new ValueError(op, `dim is ${shown(dim)}, but must be two dimensions`)
  const others = x.sizes.flatMap((_, d) => (dims.includes(d) ? [] : [d]))
  return [permute(x, [...others, ...dims]), dims]
}

/**
 * PyTorch's linalg.matrix_norm, for the matrices along two dimensions (default: the last two), rows first. 'fro' is the
 * square root of the sum of squares; 1 and -1 are the largest and the smallest sum of |x| in a column, Infinity and
 * -Infinity in a row; 2 and -2 the largest and the smallest singular value, and 'nuc' the sum of all. Throws ValueError
 * for other orders, and DTypeError for integers, and for bfloat16 where singular values are needed.
 */
export function matrixNorm<D extends DType>(
  x: Tensor<Shape, D>,
  order?: MatrixOrder,
  dim?: readonly [number, number],
  options?: ReduceOptions,
): Tensor<Shape, D>
export function matrixNorm(
  x: Tensor,
  order: MatrixOrder = 'fro',
  dim: readonly [number, number] = [-2, -1],
  options: ReduceOptions = {},
): Tensor {
  if (order !== 2 && order !== -2 && order !== 'nuc') return plainMatrixNorm(x, order, dim, options)
  const op = 'matrixNorm'
  const keepdim = keepdimOf(op, options)
  checkMatrices(op, 'x', x)
  if (!Array.isArray(dim) || dim.length !== 2)
    throw new ValueError(op, `dim is ${shown(dim)}, but must be two dimensions`)
  return namedAs(op, () => {
    const [matrices, dims] = lastOf(op, x, dim)
    const s = svdvals(matrices)
    const out = order === 'nuc' ? sum(s, -1) : order === 2 ? amax(s, -1) : amin(s, -1)
    return keepdim
      ? reshape(
          out,
          x.sizes.map((size, d) => (dims.includes(d) ? 1 : size)),
        )
      : out
  })
}

/**
 * PyTorch's linalg.norm. Without an order (null) it is the 2-norm of all elements, or of those along `dim`. With one it
 * is that of vectors, if `dim` is one dimension or x has one, and otherwise that of matrices along two dimensions.
 * Throws ValueError for an order or dimensions that do not fit, and DTypeError for integers.
 */
export function norm<D extends DType>(
  x: Tensor<Shape, D>,
  order?: number | 'fro' | 'nuc' | null,
  dim?: Dim,
  options?: ReduceOptions,
): Tensor<Shape, D>
export function norm(
  x: Tensor,
  order: number | 'fro' | 'nuc' | null = null,
  dim: Dim = null,
  options: ReduceOptions = {},
): Tensor {
  const op = 'norm'
  return namedAs(op, () => {
    if (order === null) return vectorNorm(x, 2, dim, options)
    checkTensor(op, 'x', x)
    const dims = dim === null ? null : normalizeDims(op, dim, x.ndim)
    if ((dims?.length ?? x.ndim) === 1) {
      if (typeof order !== 'number')
        throw new ValueError(op, `order is ${shown(order)}, but must be a number for vectors`)
      return vectorNorm(x, order, dims, options)
    }
    const [rows, columns] = dims ?? [-2, -1]
    if ((dims?.length ?? x.ndim) !== 2 || rows === undefined || columns === undefined)
      throw new ShapeError(op, `an order needs one or two dimensions, but x has ${x.ndim}; choose them by dim`, [
        x.sizes,
      ])
    return matrixNorm(x, order as MatrixOrder, [rows, columns], options)
  })
}

/**
 * PyTorch's linalg.cond: the condition numbers [..] of matrices x [.., m, n]. For null and 2 it is the largest singular
 * value over the smallest, for -2 the other way round; for other orders of `matrixNorm` it is the norm of square
 * matrices times that of their inverses. Throws ValueError for other orders, and for singular matrices where inverses
 * are needed; PyTorch gives Infinity there.
 */
export function cond<D extends DType>(x: Tensor<Shape, D>, order?: MatrixOrder | null): Tensor<Shape, D>
export function cond(x: Tensor, order: MatrixOrder | null = null): Tensor {
  const op = 'cond'
  return namedAs(op, () => {
    if (order === null || order === 2 || order === -2) {
      checkMatrices(op, 'x', x)
      const s = svdvals(x)
      const [largest, least] = [amax(s, -1), amin(s, -1)]
      return order === -2 ? div(least, largest) : div(largest, least)
    }
    checkSquare(op, 'x', x)
    return mul(matrixNorm(x, order), matrixNorm(inv(x), order))
  })
}

/** Lengths of vectors, and distances and angles between them. */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions } from '../../core/options.js'
import { broadcastShapes, countOf, normalizeDim, normalizeDims, reducedShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkScalar, floating, like } from '../common.js'
import { castTo, precise } from '../convert.js'
import { full } from '../creation.js'
import {
  abs,
  add,
  clamp,
  div,
  eq,
  maximum,
  mul,
  ne,
  pow,
  sign,
  sqrt,
  square,
  sub,
  where,
} from '../elementwise/index.js'
import { operator } from '../operator.js'
import { detach, expand, reshape, unsqueeze } from '../shape/index.js'
import { type Dims, kept } from '../totals.js'
import { zerosLike } from '../views.js'
import { type Dim, keepdimOf, type ReduceOptions } from './dims.js'
import { amax, amin } from './extremes.js'
import { sum } from './sums.js'

interface Norm extends Dims {
  readonly p: number
}

const infinite = (p: number) => p === Number.POSITIVE_INFINITY || p === Number.NEGATIVE_INFINITY

/** The norm by its definition. */
function lengthOf(x: Tensor, { dims, keepdim, p }: Norm): Tensor {
  const options = { keepdim }
  if (p === 2) return sqrt(sum(square(x), dims, options))
  if (p === 0) return castTo(sum(ne(x, 0), dims, options), x.dtype)
  const sizes = abs(x)
  if (p === 1) return sum(sizes, dims, options)
  if (infinite(p)) {
    // A vector without elements has no extreme. `infer` lets it pass if its norm is 0.
    if (x.numel === 0) return full(reducedShape(x.sizes, dims, keepdim), 0, { dtype: x.dtype, device: x.device })
    return p > 0 ? amax(sizes, dims, options) : amin(sizes, dims, options)
  }
  return pow(sum(pow(sizes, p), dims, options), 1 / p)
}

/** g / norm^power, but 0 where the norm is 0: it has no derivative there, and 0 is the best subgradient. */
function overPower(g: Tensor, norm: Tensor, power: number): Tensor {
  const none = eq(norm, 0)
  const divisor = where(none, 1, norm)
  return where(none, 0, div(g, power === 1 ? divisor : pow(divisor, power)))
}

/** dnorm/dx * g, as in PyTorch. The norm and its gradient have x's number of dimensions. */
function slope(x: Tensor, norm: Tensor, g: Tensor, { dims, p }: Norm): Tensor {
  if (p === 0) return zerosLike(x)
  if (p === 1) return mul(sign(x), g)
  if (p === 2) return mul(x, overPower(g, norm, 1))
  if (infinite(p)) {
    const sizes = abs(x)
    const winners = castTo(where(eq(norm, norm), eq(sizes, norm), ne(sizes, sizes)), x.dtype)
    return mul(mul(sign(x), winners), div(g, sum(winners, dims, { keepdim: true })))
  }
  if (p < 1) return mul(where(eq(x, 0), 0, mul(sign(x), pow(abs(x), p - 1))), mul(g, pow(norm, 1 - p)))
  const scale = overPower(g, norm, p - 1)
  return mul(p < 2 ? mul(sign(x), pow(abs(x), p - 1)) : mul(x, pow(abs(x), p - 2)), scale)
}

const normRecord = operator<[x: Tensor], Norm>({
  name: 'norm',
  precision: 'float32',
  inputs: [{ name: 'x', dtypes: floating }],
  infer([x], { dims, keepdim, p }) {
    const shape = reducedShape(x.sizes, dims, keepdim)
    const empty = countOf(x.sizes) === 0 && countOf(shape) > 0
    // The norm of no elements is undefined for a negative or infinite p, as in PyTorch.
    if (empty && (p < 0 || infinite(p)))
      throw new ValueError(
        'norm',
        `there is no norm of nothing for p = ${p}: x is ${formatShape(x.sizes)}, reduced over [${dims.join(', ')}]`,
      )
    return like(x, shape)
  },
  forward: ([x], attrs) => noGrad(() => lengthOf(x, attrs)),
  gradient: {
    saves: () => ({ inputs: [0], outputs: [0] }),
    backward(ctx, [g]) {
      const { attrs } = ctx
      const { shape } = ctx.spec(0)
      return [slope(ctx.input(0), kept(ctx.output(0), shape, attrs), kept(g, shape, attrs), attrs)]
    },
  },
})

function checkOrder(op: string, p: number | 'fro'): number {
  if (p === 'fro') return 2
  if (typeof p !== 'number' || Number.isNaN(p))
    throw new ValueError(op, `p is ${shown(p)}, but must be a number, Infinity, -Infinity or 'fro'`)
  return p
}

/**
 * The p-norm of vectors: (sum |x|^p)^(1/p) over `dim`; the largest |x| for Infinity, the smallest for -Infinity, and
 * the count of elements that are not 0 for 0. 'fro' is 2. The gradient is 0 where the norm is 0, and ties share it for
 * an infinite p. bfloat16 is computed in float32. Throws DTypeError for integers.
 */
export function norm<D extends DType>(
  x: Tensor<Shape, D>,
  p?: number | 'fro',
  dim?: Dim,
  options?: ReduceOptions,
): Tensor<Shape, D>
export function norm(x: Tensor, p: number | 'fro' = 2, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('norm', options)
  checkTensor('norm', 'x', x)
  return normOf('norm', x, checkOrder('norm', p), normalizeDims('norm', dim, x.ndim), keepdim)
}

function normOf(op: string, given: Tensor, p: number, dims: readonly number[], keepdim: boolean): Tensor {
  const x = precise(given)
  if (x.dtype === 'bfloat16') return castTo(normOf(op, castTo(x, 'float32'), p, dims, keepdim), 'bfloat16')
  if (!floating.includes(x.dtype))
    throw new DTypeError(
      op,
      `x is ${x.dtype}, but must be float32, float64 or bfloat16; convert it with .to('float32')`,
    )
  return apply(normRecord, [x], { dims, keepdim, p })
}

/** Runs a function of several operators in float32 at least, so that a bfloat16 result is rounded once. */
function inSingle<T extends readonly Tensor[]>(inputs: T, fn: (...wide: T) => Tensor): Tensor {
  const near = inputs.map(precise)
  if (!near.some((x) => x.dtype === 'bfloat16')) return fn(...(near as unknown as T))
  const wide = near.map((x) => (x.dtype === 'bfloat16' ? castTo(x, 'float32') : x))
  const y = fn(...(wide as unknown as T))
  return near.every((x) => x.dtype === 'bfloat16') ? castTo(y, 'bfloat16') : y
}

/**
 * PyTorch's linalg.vector_norm: the p-norm over `dim` (default: all), as by `norm` with a number p. Throws ValueError
 * if p is not a number, DTypeError for integers.
 */
export function vectorNorm<D extends DType>(
  x: Tensor<Shape, D>,
  p?: number,
  dim?: Dim,
  options?: ReduceOptions,
): Tensor<Shape, D>
export function vectorNorm(x: Tensor, p = 2, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const op = 'vectorNorm'
  const keepdim = keepdimOf(op, options)
  checkTensor(op, 'x', x)
  if (typeof p !== 'number' || Number.isNaN(p))
    throw new ValueError(op, `p is ${shown(p)}, but must be a number, Infinity or -Infinity`)
  const dims = normalizeDims(op, dim, x.ndim)
  return namedAs(op, () => normOf(op, x, p, dims, keepdim))
}

/** The orders of matrix norms that need no singular values. */
export type MatrixNormOrder = 'fro' | 1 | -1 | typeof Number.POSITIVE_INFINITY | typeof Number.NEGATIVE_INFINITY

/**
 * PyTorch's linalg.matrix_norm, for the matrices along two dimensions (default: the last two), rows first. 'fro' is the
 * square root of the sum of squares. 1 and -1 are the largest and the smallest sum of |x| in a column, Infinity and
 * -Infinity in a row. Throws ValueError for orders that need singular values (2, -2, 'nuc'), ShapeError if x has fewer
 * than two dimensions, DTypeError for integers.
 */
export function matrixNorm<D extends DType>(
  x: Tensor<Shape, D>,
  order?: MatrixNormOrder,
  dim?: readonly [number, number],
  options?: ReduceOptions,
): Tensor<Shape, D>
export function matrixNorm(
  x: Tensor,
  order: MatrixNormOrder = 'fro',
  dim: readonly [number, number] = [-2, -1],
  options: ReduceOptions = {},
): Tensor {
  const op = 'matrixNorm'
  const keepdim = keepdimOf(op, options)
  checkTensor(op, 'x', x)
  if (order !== 'fro' && order !== 1 && order !== -1 && !infinite(order))
    throw new ValueError(
      op,
      `order is ${shown(order)}, but must be 'fro', 1, -1, Infinity or -Infinity; other norms need singular values`,
    )
  if (!Array.isArray(dim) || dim.length !== 2)
    throw new ValueError(op, `dim is ${shown(dim)}, but must be two dimensions`)
  if (x.ndim < 2)
    throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must have at least two dimensions`, [x.sizes])
  const [rows, columns] = [normalizeDim(op, dim[0], x.ndim), normalizeDim(op, dim[1], x.ndim)]
  const both = normalizeDims(op, [rows, columns], x.ndim)
  return namedAs(op, () => {
    if (order === 'fro') return normOf(op, x, 2, both, keepdim)
    return inSingle([x], (wide) => {
      const [summed, compared] = infinite(order) ? [columns, rows] : [rows, columns]
      const sums = normOf(op, wide, 1, [summed], true)
      const found = order > 0 ? amax(sums, compared, { keepdim: true }) : amin(sums, compared, { keepdim: true })
      return keepdim ? found : reshape(found, reducedShape(x.sizes, both, false))
    })
  })
}

export interface NormalizeOptions {
  /** The order of the norm. Default 2. */
  readonly p?: number
  /** The dimension of the vectors. Default 1. */
  readonly dim?: Dim
  /** The lower bound of the divisor. Default 1e-12. */
  readonly eps?: number
}

/** x / max(norm(x, p) along `dim`, eps): vectors of length 1. */
export function normalize<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: NormalizeOptions): Tensor<S, D>
export function normalize(x: Tensor, options: NormalizeOptions = {}): Tensor {
  const { p = 2, dim = 1, eps = 1e-12 } = checkOptions('normalize', options, { p: true, dim: true, eps: true })
  checkTensor('normalize', 'x', x)
  checkScalar('normalize', 'eps', eps)
  const dims = normalizeDims('normalize', dim, x.ndim)
  return inSingle([x], (wide) =>
    div(wide, clamp(normOf('normalize', wide, checkOrder('normalize', p), dims, true), eps)),
  )
}

export interface CosineSimilarityOptions {
  /** The dimension of the vectors, after broadcasting. Default 1. */
  readonly dim?: number
  /** The lower bound of each length. Default 1e-8. */
  readonly eps?: number
}

/** The lengths of vectors, at least eps. The gradient is always that of the length, as in PyTorch. */
function atLeast(lengths: Tensor, eps: number): Tensor {
  return add(lengths, detach(sub(maximum(lengths, eps), lengths)))
}

/** The cosine of the angle between a and b, which broadcast, along `dim`: sum(a / |a| * b / |b|). */
export function cosineSimilarity<D extends DType>(
  a: Tensor<Shape, D>,
  b: Tensor<Shape, D>,
  options?: CosineSimilarityOptions,
): Tensor<Shape, D>
export function cosineSimilarity(a: Tensor, b: Tensor, options: CosineSimilarityOptions = {}): Tensor {
  const op = 'cosineSimilarity'
  const { dim = 1, eps = 1e-8 } = checkOptions(op, options, { dim: true, eps: true })
  checkTensor(op, 'a', a)
  checkTensor(op, 'b', b)
  checkScalar(op, 'eps', eps)
  const shape = broadcastShapes(op, a.sizes, b.sizes)
  const rank = shape.length
  const d = normalizeDim(op, dim, rank)
  const unit = (x: Tensor) => {
    // Only the vectors' dimension is expanded, because the other dimensions broadcast without copies.
    const whole = [...Array.from({ length: rank - x.ndim }, () => 1), ...x.sizes]
    const wide = expand(
      reshape(x, whole),
      whole.map((size, i) => (i === d ? (shape[i] ?? 1) : size)),
    )
    return div(wide, atLeast(normOf(op, wide, 2, rank === 0 ? [] : [d], true), eps))
  }
  return namedAs(op, () => inSingle([a, b], (u, v) => sum(mul(unit(u), unit(v)), rank === 0 ? [] : [d])))
}

export interface CdistOptions {
  /** The order of the norm, at least 0. Default 2. */
  readonly p?: number
}

/**
 * The distances of all pairs: a [..., P, M] and b [..., R, M] give [..., P, R], the p-norm of each difference. Leading
 * dimensions broadcast. Every difference is computed, so that near points lose no digits. The gradient of a distance of
 * 0 is 0.
 */
export function cdist<D extends DType>(
  a: Tensor<Shape, D>,
  b: Tensor<Shape, D>,
  options?: CdistOptions,
): Tensor<Shape, D>
export function cdist(a: Tensor, b: Tensor, options: CdistOptions = {}): Tensor {
  const { p = 2 } = checkOptions('cdist', options, { p: true })
  checkTensor('cdist', 'a', a)
  checkTensor('cdist', 'b', b)
  if (typeof p !== 'number' || !(p >= 0)) throw new ValueError('cdist', `p is ${shown(p)}, but must be at least 0`)
  if (a.ndim < 2 || b.ndim < 2 || a.sizes.at(-1) !== b.sizes.at(-1))
    throw new ShapeError(
      'cdist',
      `needs points of one size, [..., P, M] and [..., R, M], but a is ${formatShape(a.sizes)} and b ${formatShape(b.sizes)}`,
      [a.sizes, b.sizes],
    )
  broadcastShapes('cdist', a.sizes.slice(0, -2), b.sizes.slice(0, -2))
  // Points without coordinates have distance 0 for any p.
  const order = a.sizes.at(-1) === 0 ? 2 : p
  return namedAs('cdist', () =>
    inSingle([a, b], (u, v) => {
      const apart = sub(unsqueeze(u, -2), unsqueeze(v, -3))
      return normOf('cdist', apart, order, [apart.ndim - 1], false)
    }),
  )
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    norm(p?: number | 'fro', dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
  }
}

defineMethods({
  norm(p?: number | 'fro', dim?: Dim, options?: ReduceOptions) {
    return norm(this, p, dim, options)
  },
})

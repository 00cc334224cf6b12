/** Products over a dimension, total and running. */
import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import type { DType, Summed } from '../../core/dtype.js'
import { namedAs } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, reducedShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { full } from '../creation.js'
import { add, div, eq, le, lt, mul, where } from '../elementwise/index.js'
import { kernel, operator } from '../operator.js'
import { cat, expand, narrow, reshape, select, unsqueeze } from '../shape/index.js'
import { zerosLike } from '../views.js'
import { countable, keepdimOf, type ReduceOptions } from './dims.js'
import { runningSum } from './running.js'
import { sum } from './sums.js'

/** The numbers 0, 1, 2, .. along `dim` of `ndim` dimensions. */
function places(x: Tensor, size: number, dim: number, rank: number): Tensor {
  const ones = expand(full([], 1, { dtype: 'int32', device: x.device }), [size])
  const shape = Array.from({ length: rank }, (_, i) => (i === dim ? size : 1))
  return reshape(runningSum(ones, 0, false), shape)
}

/**
 * The gradient of x for its running products y: the sum of g y from an element on, divided by the element. At the first
 * 0 of a line it uses the products without that 0; behind it the gradient is 0.
 */
function slope(x: Tensor, y: Tensor, g: Tensor, dim: number): Tensor {
  const isZero = eq(x, 0)
  const zeros = runningSum(castTo(isZero, 'int32'), dim, false)
  const first = where(isZero, eq(zeros, 1), isZero)
  const without = apply(cumprodRecord, [where(first, 1, x)], dim)
  const beside = runningSum(mul(g, without), dim, true)
  // A product that is not wanted counts 0, even if it is infinite.
  const wanted = where(eq(g, 0), 0, mul(g, y))
  const others = div(runningSum(wanted, dim, true), where(isZero, 1, x))
  // Behind a zero, even NaN gets none.
  return where(eq(zeros, 0), others, where(first, beside, 0))
}

/**
 * The same without a quotient, so that it can be differentiated. It makes each product of all but one factor, n^2 for
 * each line.
 */
function slopeInFull(x: Tensor, g: Tensor, dim: number): Tensor {
  const n = x.sizes[dim] as number
  // [.., k, i, ..]: the product of the elements after k up to i.
  const from = places(x, n, dim, x.ndim + 1)
  const to = places(x, n, dim + 1, x.ndim + 1)
  const factors = where(le(to, from), 1, unsqueeze(x, dim))
  const behind = where(lt(to, from), 0, apply(cumprodRecord, [factors], dim + 1))
  const ones = full(
    x.sizes.map((size, d) => (d === dim ? 1 : size)),
    1,
    { dtype: x.dtype, device: x.device },
  )
  const before = apply(cumprodRecord, [cat([ones, narrow(x, dim, 0, n - 1)], dim)], dim)
  return mul(before, sum(mul(behind, unsqueeze(g, dim)), dim + 1))
}

const cumprodRecord: Operator<[x: Tensor], number> = operator<[x: Tensor], number>({
  name: 'cumprod',
  infer: ([x]) => like(x),
  forward: kernel('cumprod', ([x], dim, { out }) => ({ out, x, dim })),
  gradient: {
    saves: () => ({ inputs: [0], outputs: [0] }),
    backward(ctx, [g]) {
      const x = ctx.input(0)
      if (x.numel === 0) return [zerosLike(x)]
      // A single number is its own product.
      if (x.ndim === 0) return [g]
      return [ctx.createGraph ? slopeInFull(x, g, ctx.attrs) : slope(x, ctx.output(0), g, ctx.attrs)]
    },
  },
})

/**
 * The running product along `dim`. Its gradient is also right beside zeros. uint8 and bool give int32. A product of
 * integers that int32 cannot hold is a late ValueError.
 */
export function cumprod<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, Summed<D>>
export function cumprod(x: Tensor, dim: number): Tensor {
  checkTensor('cumprod', 'x', x)
  return apply(cumprodRecord, [countable(x)], normalizeDim('cumprod', dim, x.ndim))
}

/**
 * The product over `dim`, or of all elements if `dim` is null; 1 if there are none. Its gradient is also right beside
 * zeros. uint8 and bool give int32. A product of integers that int32 cannot hold, even an intermediate one, is a late
 * ValueError.
 */
export function prod<D extends DType>(
  x: Tensor<Shape, D>,
  dim?: number | null,
  options?: ReduceOptions,
): Tensor<Shape, Summed<D>>
export function prod(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('prod', options)
  checkTensor('prod', 'x', x)
  const d = dim === null ? 0 : normalizeDim('prod', dim, x.ndim)
  return namedAs('prod', () => {
    const counted = countable(x)
    const line = dim === null || x.ndim === 0 ? reshape(counted, [x.numel]) : counted
    const shape =
      dim === null
        ? reducedShape(
            x.sizes,
            x.sizes.map((_, i) => i),
            keepdim,
          )
        : reducedShape(x.sizes, [d], keepdim)
    const n = line.sizes[d] as number
    // The sums of no elements are 0, and give x a gradient without elements.
    if (line.numel === 0) return add(reshape(sum(line, d), shape), 1)
    return reshape(select(apply(cumprodRecord, [line], d), d, n - 1), shape)
  })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    prod(dim?: number | null, options?: ReduceOptions): Tensor<Shape, Summed<D>>
    cumprod(dim: number): Tensor<S, Summed<D>>
  }
}

defineMethods({
  prod(dim?: number | null, options?: ReduceOptions) {
    return prod(this, dim, options)
  },
  cumprod(dim: number) {
    return cumprod(this, dim)
  },
})

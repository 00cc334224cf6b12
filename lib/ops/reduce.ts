/** Reductions over dimensions: sums, extremes and what is built of them. */

import { autocastDType } from '../autograd/autocast.js'
import { noGrad } from '../autograd/mode.js'
import { apply, checkTensor, type Operator } from '../autograd/operator.js'
import { type DType, isFloating, type Summed } from '../core/dtype.js'
import { DTypeError, shown, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { checkOptions } from '../core/options.js'
import { countOf, normalizeDim, normalizeDims, reducedShape, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like, seenAs } from './common.js'
import { castTo } from './convert.js'
import { full } from './creation.js'
import { add, div, eq, exp, log, maximum, mul, sqrt, square, sub, where } from './elementwise/index.js'
import { kernel, operator } from './operator.js'
import { detach, reshape } from './shape/index.js'
import { type Dims, kept, meanRecord, spreadOut, sumRecord, whole } from './totals.js'

export interface ReduceOptions {
  /** Keep reduced dimensions with size 1. Default false. */
  readonly keepdim?: boolean
}

export type Dim = number | readonly number[] | null

/** Sums of bfloat16 stay float32 under autocast. */
function sumDType(x: Tensor): DType | null {
  return x.dtype === 'bfloat16' && autocastDType() !== null ? 'float32' : null
}

function keepdimOf(op: string, options: ReduceOptions): boolean {
  return checkOptions(op, options, { keepdim: true }).keepdim ?? false
}

/** Bytes and truths are counted in int32. */
function countable(x: Tensor): Tensor {
  return x.dtype === 'uint8' || x.dtype === 'bool' ? castTo(x, 'int32') : x
}

/**
 * Sum over `dim` (a number, several, or null for all). Accumulated in float32 or wider, in a fixed order. Of uint8 and bool it
 * is int32. A sum of integers that int32 cannot hold is a late ValueError.
 */
export function sum<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, Summed<D>>
export function sum(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('sum', options)
  checkTensor('sum', 'x', x)
  const dims = normalizeDims('sum', dim, x.ndim)
  return apply(sumRecord, [countable(x)], { dims, keepdim, scale: 1, dtype: sumDType(x) })
}

function sizeOf(x: Tensor, dims: readonly number[]): number {
  return dims.reduce((product, d) => product * (x.sizes[d] ?? 1), 1)
}

/** Mean over `dim`; NaN of nothing. */
export function mean<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function mean(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('mean', options)
  checkTensor('mean', 'x', x)
  const dims = normalizeDims('mean', dim, x.ndim)
  const count = sizeOf(x, dims)
  // Nothing summed is 0, and 0 * NaN is the NaN that a mean of nothing is.
  const scale = count === 0 ? Number.NaN : 1 / count
  return apply(meanRecord, [x], { dims, keepdim, scale, dtype: sumDType(x) })
}

function extreme(name: 'amax' | 'amin') {
  return operator<[x: Tensor], Dims>({
    name,
    infer([x], { dims, keepdim }) {
      const shape = reducedShape(x.sizes, dims, keepdim)
      if (countOf(x.sizes) === 0 && countOf(shape) > 0)
        throw new ValueError(
          name,
          `there is no extreme of nothing: x is [${x.sizes.join(', ')}], reduced over [${dims.join(', ')}]`,
        )
      return like(x, shape)
    },
    forward: kernel(name, ([x], { dims }, { out }) => ({ out: spreadOut(out, x, dims), x })),
    gradient: {
      saves: () => ({ inputs: [0], outputs: [0] }),
      // Ties share the gradient equally, as in PyTorch.
      backward(ctx, [g]) {
        const x = ctx.input(0)
        const winners = castTo(eq(x, kept(ctx.output(0), x.sizes, ctx.attrs)), x.dtype)
        const shares = sum(winners, ctx.attrs.dims, { keepdim: true })
        return [mul(winners, div(kept(g, x.sizes, ctx.attrs), shares))]
      },
    },
  })
}

const amaxRecord = extreme('amax')
const aminRecord = extreme('amin')

/** Largest value over `dim`; NaN if there is one. Throws ValueError where there is nothing to choose from. */
export function amax<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function amax(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('amax', options)
  checkTensor('amax', 'x', x)
  return apply(amaxRecord, [x], { dims: normalizeDims('amax', dim, x.ndim), keepdim })
}

/** Smallest value over `dim`; NaN if there is one. Throws ValueError where there is nothing to choose from. */
export function amin<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function amin(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('amin', options)
  checkTensor('amin', 'x', x)
  return apply(aminRecord, [x], { dims: normalizeDims('amin', dim, x.ndim), keepdim })
}

interface Along {
  readonly dim: number
  readonly keepdim: boolean
}

function argExtreme(name: 'argmax' | 'argmin') {
  return operator<[x: Tensor], Along>({
    name,
    infer([x], { dim, keepdim }) {
      if (x.sizes[dim] === 0)
        throw new ValueError(name, `there is no extreme of nothing: x is [${x.sizes.join(', ')}], dim ${dim}`)
      return { shape: reducedShape(x.sizes, [dim], keepdim), dtype: 'int32' }
    },
    forward: kernel(name, ([x], { dim }, { out }) => ({ out: spreadOut(out, x, [dim]), x, dim })),
    gradient: { differentiable: false, reason: 'the result is an index' },
  })
}

const argmaxRecord = argExtreme('argmax')
const argminRecord = argExtreme('argmin')

function argOf(record: Operator<[x: Tensor], Along>, input: Tensor, dim: number | null, keepdim: boolean): Tensor {
  const x = input.dtype === 'bfloat16' ? castTo(input, 'float32') : input
  if (dim === null) return apply(record, [reshape(x, [x.numel])], { dim: 0, keepdim: false })
  const d = normalizeDim(record.name, dim, x.ndim)
  return x.ndim === 0
    ? apply(record, [reshape(x, [1])], { dim: 0, keepdim: false })
    : apply(record, [x], { dim: d, keepdim })
}

/** Index (int32) of the first largest element along `dim`, or of the flattened tensor where null. */
export function argmax(x: Tensor, dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
export function argmax(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('argmax', options)
  checkTensor('argmax', 'x', x)
  return argOf(argmaxRecord, x, dim, keepdim)
}

/** Index (int32) of the first smallest element along `dim`, or of the flattened tensor where null. */
export function argmin(x: Tensor, dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
export function argmin(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('argmin', options)
  checkTensor('argmin', 'x', x)
  return argOf(argminRecord, x, dim, keepdim)
}

interface Cumsum {
  readonly dim: number
  readonly reverse: boolean
}

const cumsumRecord: Operator<[x: Tensor], Cumsum> = operator<[x: Tensor], Cumsum>({
  name: 'cumsum',
  infer: ([x]) => like(x),
  forward: kernel('cumsum', ([x], attrs, { out }) => ({ out, x, ...attrs })),
  gradient: {
    saves: () => ({}),
    backward: ({ attrs }, [g]) => [apply(cumsumRecord, [g], { dim: attrs.dim, reverse: !attrs.reverse })],
  },
})

/**
 * Running sum along `dim`. Of uint8 and bool it is int32. A sum of integers that int32 cannot hold is a late ValueError.
 */
export function cumsum<S extends Shape, D extends DType>(x: Tensor<S, D>, dim: number): Tensor<S, Summed<D>>
export function cumsum(x: Tensor, dim: number): Tensor {
  checkTensor('cumsum', 'x', x)
  const counted = countable(x)
  return apply(cumsumRecord, [counted], { dim: normalizeDim('cumsum', dim, x.ndim), reverse: false })
}

/** The largest of each sum's terms, or 0 where an infinite one would make inf - inf; and log(sum(exp(x - peak))). */
function logOfSum(x: Tensor, dims: readonly number[]): { peak: Tensor; log: Tensor } {
  const options = { keepdim: true }
  const { dtype, device } = x
  const largest =
    x.numel === 0 ? full(reducedShape(x.sizes, dims, true), 0, { dtype, device }) : amax(detach(x), dims, options)
  const peak = finiteOrZero(largest)
  return { peak, log: log(sum(exp(sub(x, peak)), dims, options)) }
}

/** Extra outputs: peak and log of `logOfSum`, which keep digits that their sum loses where the peak is large. */
const logsumexpRecord = operator<[x: Tensor], Dims, [out: Tensor], [peak: Tensor, log: Tensor]>({
  name: 'logsumexp',
  precision: 'float32',
  infer([x], { dims, keepdim }) {
    if (x.dtype !== 'float32' && x.dtype !== 'float64')
      throw new DTypeError(
        'logsumexp',
        `x is ${x.dtype}, but must be float32 or float64; convert it with .to('float32')`,
      )
    return [like(x, reducedShape(x.sizes, dims, keepdim)), like(x, whole(x, dims)), like(x, whole(x, dims))]
  },
  forward: ([x], { dims }, [spec]) =>
    noGrad(() => {
      const { peak, log } = logOfSum(x, dims)
      return [seenAs(add(log, peak), spec.shape), peak, log]
    }),
  gradient: {
    saves: () => ({ inputs: [0], outputs: [1, 2] }),
    backward(ctx, [g]) {
      const x = ctx.input(0)
      const peak = ctx.output(1)
      const total = ctx.createGraph ? logOfSum(x, ctx.attrs.dims).log : ctx.output(2)
      return [mul(kept(g, x.sizes, ctx.attrs), exp(sub(sub(x, peak), total)))]
    },
  },
})

/** log(sum(exp(x))) over `dim`, without overflow; -Infinity of nothing. */
export function logsumexp<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
export function logsumexp(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('logsumexp', options)
  checkTensor('logsumexp', 'x', x)
  return apply(logsumexpRecord, [x], { dims: normalizeDims('logsumexp', dim, x.ndim), keepdim })
}

export interface VarOptions extends ReduceOptions {
  /** What is subtracted from the count: 1 for the unbiased estimate (default), 0 for the population's. */
  readonly correction?: number
}

interface Spread extends Dims {
  readonly correction: number
}

/** x itself where it is finite, else 0. */
function finiteOrZero(x: Tensor): Tensor {
  return where(eq(sub(x, x), 0), x, 0)
}

/** x minus its mean as rounded; and the mean of this, which the rounding, up to 2^-24 of the mean, has left over. */
function centre(x: Tensor, dims: readonly number[]): { near: Tensor; rest: Tensor } {
  const near = sub(x, mean(x, dims, { keepdim: true }))
  return { near, rest: finiteOrZero(mean(near, dims, { keepdim: true })) }
}

/** x minus its mean, also where the mean is much larger than what is left. */
function centred(x: Tensor, dims: readonly number[]): Tensor {
  const { near, rest } = centre(x, dims)
  return sub(near, rest)
}

/** In float32 at least: squares of rounded differences would say little. */
const widest = (x: Tensor): Tensor => (x.dtype === 'bfloat16' ? castTo(x, 'float32') : x)

/**
 * Extra outputs: those of `centre`. The mean of squares about the true mean is that about the rounded one, less the
 * square of the rest, which saves a pass over memory.
 */
function spread(name: 'var' | 'std') {
  return operator<[x: Tensor], Spread, [out: Tensor], [near: Tensor, rest: Tensor]>({
    name,
    precision: 'float32',
    infer([x], { dims, keepdim }) {
      if (!isFloating(x.dtype) || x.dtype === 'float16')
        throw new DTypeError(
          name,
          `x is ${x.dtype}, but must be float32, float64 or bfloat16; convert it with .to('float32')`,
        )
      const dtype = x.dtype === 'bfloat16' ? 'float32' : x.dtype
      return [
        like(x, reducedShape(x.sizes, dims, keepdim)),
        { shape: x.sizes, dtype },
        { shape: whole(x, dims), dtype },
      ]
    },
    forward: ([x], { dims, correction }, [spec]) =>
      noGrad(() => {
        const { near, rest } = centre(widest(x), dims)
        const squares = sub(mean(square(near), dims, { keepdim: true }), square(rest))
        const count = sizeOf(x, dims)
        const variance = mul(maximum(squares, 0), count / Math.max(0, count - correction))
        const result = castTo(name === 'std' ? sqrt(variance) : variance, x.dtype)
        return [seenAs(result, spec.shape), near, rest]
      }),
    gradient: {
      saves: () => ({ inputs: [0], outputs: name === 'std' ? [0, 1, 2] : [1, 2] }),
      backward(ctx, [gradient]) {
        const { dims, correction } = ctx.attrs
        const { shape } = ctx.spec(0)
        const x = widest(ctx.input(0))
        const freedom = sizeOf(x, dims) - correction
        let g = kept(widest(gradient), shape, ctx.attrs)
        if (name === 'std') {
          const y = kept(widest(ctx.output(0)), shape, ctx.attrs)
          // Equal values: the square root has no derivative, and 0 is its best subgradient.
          g = div(g, mul(where(eq(y, 0), Number.POSITIVE_INFINITY, y), 2))
        }
        if (!(freedom > 0)) return [castTo(mul(g, boundless(x, dims)), ctx.spec(0).dtype)]
        const apart = ctx.createGraph ? centred(x, dims) : sub(ctx.output(1), ctx.output(2))
        return [castTo(mul(apart, mul(g, 2 / freedom)), ctx.spec(0).dtype)]
      },
    },
  })
}

/** The derivative of a variance without degrees of freedom, as PyTorch gives it. */
function boundless(x: Tensor, dims: readonly number[]): Tensor {
  const atMean = eq(x, mean(x, dims, { keepdim: true }))
  return castTo(where(atMean, Number.NaN, Number.POSITIVE_INFINITY), x.dtype)
}

const varRecord = spread('var')
const stdRecord = spread('std')

function spreadOf(record: ReturnType<typeof spread>, x: Tensor, dim: Dim, options: VarOptions): Tensor {
  const { name } = record
  const { keepdim = false, correction = 1 } = checkOptions(name, options, { keepdim: true, correction: true })
  if (!Number.isFinite(correction))
    throw new ValueError(name, `correction is ${shown(correction)}, but must be a finite number`)
  checkTensor(name, 'x', x)
  return apply(record, [x], { dims: normalizeDims(name, dim, x.ndim), keepdim, correction })
}

/** Variance over `dim`, as exact for data far from 0 as for data around it; NaN of nothing and of too few. */
export function variance<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: VarOptions): Tensor<Shape, D>
export function variance(x: Tensor, dim: Dim = null, options: VarOptions = {}): Tensor {
  return spreadOf(varRecord, x, dim, options)
}

/** Standard deviation over `dim`. Its gradient is 0 where all values are equal. */
export function std<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: VarOptions): Tensor<Shape, D>
export function std(x: Tensor, dim: Dim = null, options: VarOptions = {}): Tensor {
  return spreadOf(stdRecord, x, dim, options)
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    sum(dim?: Dim, options?: ReduceOptions): Tensor<Shape, Summed<D>>
    mean(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    amax(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    amin(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    logsumexp(dim?: Dim, options?: ReduceOptions): Tensor<Shape, D>
    var(dim?: Dim, options?: VarOptions): Tensor<Shape, D>
    std(dim?: Dim, options?: VarOptions): Tensor<Shape, D>
    argmax(dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
    argmin(dim?: number | null, options?: ReduceOptions): Tensor<Shape, 'int32'>
    cumsum(dim: number): Tensor<S, Summed<D>>
  }
}

defineMethods({
  sum(dim?: Dim, options?: ReduceOptions) {
    return sum(this, dim, options)
  },
  mean(dim?: Dim, options?: ReduceOptions) {
    return mean(this, dim, options)
  },
  amax(dim?: Dim, options?: ReduceOptions) {
    return amax(this, dim, options)
  },
  amin(dim?: Dim, options?: ReduceOptions) {
    return amin(this, dim, options)
  },
  logsumexp(dim?: Dim, options?: ReduceOptions) {
    return logsumexp(this, dim, options)
  },
  var(dim?: Dim, options?: VarOptions) {
    return variance(this, dim, options)
  },
  std(dim?: Dim, options?: VarOptions) {
    return std(this, dim, options)
  },
  argmax(dim?: number | null, options?: ReduceOptions) {
    return argmax(this, dim, options)
  },
  argmin(dim?: number | null, options?: ReduceOptions) {
    return argmin(this, dim, options)
  },
  cumsum(dim: number) {
    return cumsum(this, dim)
  },
})

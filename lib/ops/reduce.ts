/** Reductions over dimensions: sums, extremes and what is built of them. */
import { autocastDType } from '../autograd/autocast.js'
import {
  apply,
  checkDType,
  checkTensor,
  defineOperator,
  type OperatorRecord,
  type TensorSpec,
} from '../autograd/operator.js'
import { empty, run } from '../backend/dispatch.js'
import { kernels } from '../backend/kernels.js'
import type { DType } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { countOf, normalizeDim, normalizeDims, reducedShape, type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating, arithmetic, checkedSpec } from './elementwise/common.js'
import { castTo } from './elementwise/functions.js'
import { add, div, eq, exp, log, mul, sqrt, square, sub, where } from './elementwise/index.js'
import { detach, expand, reshape } from './shape.js'

export interface ReduceOptions {
  /** Keep reduced dimensions with size 1. Default false. */
  readonly keepdim?: boolean
}

export type Dim = number | readonly number[] | null

/** What the kernels of other reductions take. */
const reducible: readonly DType[] = ['float32', 'float64', 'int32']

interface Reduction {
  readonly dims: readonly number[]
  /** The result's; null: that of x. */
  readonly dtype: DType | null
  /** What the sum is multiplied by (mean: 1 / count). */
  readonly scale: number
}

/** The kernel's form of a reduction keeps every dimension; the public functions drop them with a view. */
const sumRecord = defineOperator<Reduction>({
  name: 'sum',
  precision: kernels.sum.precision,
  asIs: [0],
  infer([x], { dims, dtype }) {
    checkDType('sum', 'x', x as Tensor, arithmetic)
    return { shape: reducedShape((x as Tensor).shape, dims, true), dtype: dtype ?? (x as Tensor).dtype }
  },
  forward([x], { scale }, [spec]) {
    const { shape, dtype } = spec as TensorSpec
    const out = empty((x as Tensor).device, shape, dtype, 'sum')
    run('sum', { out, x: x as Tensor, scale })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward(ctx, [g]) {
      const spread = expand(castTo(g as Tensor, ctx.spec(0).dtype), ctx.spec(0).shape)
      return [ctx.attrs.scale === 1 ? spread : mul(spread, ctx.attrs.scale)]
    },
  },
})

/** Sums of bfloat16 stay float32 under autocast. */
function sumDType(x: Tensor): DType | null {
  return x.dtype === 'bfloat16' && autocastDType() !== null ? 'float32' : null
}

function keepdimOf(op: string, options: ReduceOptions): boolean {
  return checkOptions(op, options, { keepdim: true }).keepdim ?? false
}

function drop(x: Tensor, shape: Shape, dims: readonly number[], keepdim: boolean): Tensor {
  return keepdim ? x : reshape(x, reducedShape(shape, dims, false))
}

/** Sum over `dim` (a number, several, or null for all). Accumulated in float32 or wider, in a fixed order. */
export function sum(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('sum', options)
  checkTensor('sum', 'x', x)
  const dims = normalizeDims('sum', dim, x.ndim)
  return drop(apply(sumRecord, [x], { dims, scale: 1, dtype: sumDType(x) }), x.shape, dims, keepdim)
}

/** Mean over `dim`; NaN of nothing. */
export function mean(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('mean', options)
  checkTensor('mean', 'x', x)
  checkDType('mean', 'x', x, anyFloating)
  const dims = normalizeDims('mean', dim, x.ndim)
  const count = dims.reduce((product, d) => product * (x.shape[d] as number), 1)
  // Nothing summed is 0, and 0 * NaN is the NaN that a mean of nothing is.
  const scale = count === 0 ? Number.NaN : 1 / count
  return drop(apply(sumRecord, [x], { dims, scale, dtype: sumDType(x) }), x.shape, dims, keepdim)
}

/** Sums a gradient over the dimensions that its tensor was broadcast along, rounded once to `dtype`. */
export function sumTo(x: Tensor, shape: Shape, dtype: DType = x.dtype): Tensor {
  if (sameShape(x.shape, shape)) return castTo(x, dtype)
  const lead = x.ndim - shape.length
  const dims: number[] = []
  for (let i = 0; i < x.ndim; i++) if (i < lead || (shape[i - lead] === 1 && x.shape[i] !== 1)) dims.push(i)
  return reshape(apply(sumRecord, [x], { dims, scale: 1, dtype }), shape)
}

function extreme(name: 'amax' | 'amin'): OperatorRecord<readonly number[]> {
  return defineOperator<readonly number[]>({
    name,
    precision: kernels[name].precision,
    infer([input], dims) {
      const x = input as Tensor
      checkDType(name, 'x', x, reducible)
      const shape = reducedShape(x.shape, dims, true)
      if (countOf(x.shape) === 0 && countOf(shape) > 0)
        throw new ValueError(
          name,
          `there is no extreme of nothing: x is [${x.shape.join(', ')}], reduced over [${dims.join(', ')}]`,
        )
      return { shape, dtype: x.dtype }
    },
    forward([x], _dims, [spec]) {
      const { shape, dtype } = spec as TensorSpec
      const out = empty((x as Tensor).device, shape, dtype, name)
      run(name, { out, x: x as Tensor })
      return out
    },
    gradient: {
      saves: () => ({ inputs: [0], outputs: [0] }),
      // Ties share the gradient equally, as in PyTorch.
      backward(ctx, [g]) {
        const x = ctx.input(0)
        const winners = castTo(eq(x, ctx.output(0)), x.dtype)
        return [mul(winners, div(g as Tensor, sum(winners, ctx.attrs, { keepdim: true })))]
      },
    },
  })
}

const amaxRecord = extreme('amax')
const aminRecord = extreme('amin')

/** Largest value over `dim`; NaN if there is one. */
export function amax(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('amax', options)
  checkTensor('amax', 'x', x)
  const dims = normalizeDims('amax', dim, x.ndim)
  return drop(apply(amaxRecord, [x], dims), x.shape, dims, keepdim)
}

/** Smallest value over `dim`; NaN if there is one. */
export function amin(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('amin', options)
  checkTensor('amin', 'x', x)
  const dims = normalizeDims('amin', dim, x.ndim)
  return drop(apply(aminRecord, [x], dims), x.shape, dims, keepdim)
}

function argExtreme(name: 'argmax' | 'argmin'): OperatorRecord<number> {
  return defineOperator<number>({
    name,
    precision: kernels[name].precision,
    infer([input], dim) {
      const x = input as Tensor
      checkDType(name, 'x', x, reducible)
      if (x.shape[dim] === 0)
        throw new ValueError(name, `there is no extreme of nothing: x is [${x.shape.join(', ')}], dim ${dim}`)
      return { shape: reducedShape(x.shape, [dim], true), dtype: 'int32' }
    },
    forward([x], dim, [spec]) {
      const { shape, dtype } = spec as TensorSpec
      const out = empty((x as Tensor).device, shape, dtype, name)
      run(name, { out, x: x as Tensor, dim })
      return out
    },
    gradient: { differentiable: false, reason: 'the result is an index' },
  })
}

const argmaxRecord = argExtreme('argmax')
const argminRecord = argExtreme('argmin')

function argOf(record: OperatorRecord<number>, input: Tensor, dim: number | null, keepdim: boolean): Tensor {
  const x = input.dtype === 'bfloat16' ? castTo(input, 'float32') : input
  if (dim === null) return reshape(apply(record, [reshape(x, [x.numel])], 0), [])
  const d = normalizeDim(record.name, dim, x.ndim)
  const flat = x.ndim === 0 ? reshape(x, [1]) : x
  return drop(apply(record, [flat], d), x.ndim === 0 ? [] : x.shape, x.ndim === 0 ? [] : [d], keepdim && x.ndim > 0)
}

/** Index (int32) of the first largest element along `dim`, or of the flattened tensor where null. */
export function argmax(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('argmax', options)
  checkTensor('argmax', 'x', x)
  return argOf(argmaxRecord, x, dim, keepdim)
}

/** Index (int32) of the first smallest element along `dim`, or of the flattened tensor where null. */
export function argmin(x: Tensor, dim: number | null = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('argmin', options)
  checkTensor('argmin', 'x', x)
  return argOf(argminRecord, x, dim, keepdim)
}

const cumsumRecord: OperatorRecord<{ dim: number; reverse: boolean }> = defineOperator<{
  dim: number
  reverse: boolean
}>({
  name: 'cumsum',
  precision: kernels.cumsum.precision,
  infer: ([x]) => checkedSpec('cumsum', x as Tensor, reducible),
  forward([x], { dim, reverse }, [spec]) {
    const { shape, dtype } = spec as TensorSpec
    const out = empty((x as Tensor).device, shape, dtype, 'cumsum')
    run('cumsum', { out, x: x as Tensor, dim, reverse })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward: ({ attrs }, [g]) => [apply(cumsumRecord, [g as Tensor], { dim: attrs.dim, reverse: !attrs.reverse })],
  },
})

/** Running sum along `dim`. */
export function cumsum<S extends Shape>(x: Tensor<S>, dim: number): Tensor<S> {
  checkTensor('cumsum', 'x', x)
  if (x.ndim === 0) return mul(x, 1) as Tensor<S>
  return apply(cumsumRecord, [x], { dim: normalizeDim('cumsum', dim, x.ndim), reverse: false }) as Tensor<S>
}

/** log(sum(exp(x))) over `dim`, without overflow. */
export function logsumexp(x: Tensor, dim: Dim = null, options: ReduceOptions = {}): Tensor {
  const keepdim = keepdimOf('logsumexp', options)
  checkTensor('logsumexp', 'x', x)
  const dims = normalizeDims('logsumexp', dim, x.ndim)
  const peak = amax(detach(x), dims, { keepdim: true })
  // An infinite peak would make inf - inf; it is then the result by itself.
  const shift = finiteOr(peak, 0)
  const total = add(log(sum(exp(sub(x, shift)), dims, { keepdim: true })), shift)
  return drop(total, x.shape, dims, keepdim)
}

function finiteOr(x: Tensor, value: number): Tensor {
  return where(eq(sub(x, x), 0), x, value)
}

export interface VarOptions extends ReduceOptions {
  /** What is subtracted from the count: 1 for the unbiased estimate (default), 0 for the population's. */
  readonly correction?: number
}

/** Variance over `dim`. */
export function variance(x: Tensor, dim: Dim = null, options: VarOptions = {}): Tensor {
  const { keepdim = false, correction = 1 } = checkOptions('var', options, { keepdim: true, correction: true })
  checkTensor('variance', 'x', x)
  const dims = normalizeDims('var', dim, x.ndim)
  const count = dims.reduce((product, d) => product * (x.shape[d] as number), 1)
  const squares = square(sub(x, mean(x, dims, { keepdim: true })))
  return drop(mul(sum(squares, dims, { keepdim: true }), 1 / Math.max(0, count - correction)), x.shape, dims, keepdim)
}

/** Standard deviation over `dim`. */
export function std(x: Tensor, dim: Dim = null, options: VarOptions = {}): Tensor {
  checkTensor('std', 'x', x)
  return sqrt(variance(x, dim, options))
}

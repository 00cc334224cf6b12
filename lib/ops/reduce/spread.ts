/** Variances and standard deviations over dimensions. */
import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating } from '../../core/dtype.js'
import { DTypeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions } from '../../core/options.js'
import { normalizeDims, reducedShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like, seenAs } from '../common.js'
import { castTo } from '../convert.js'
import { div, eq, maximum, mul, sqrt, square, sub, where } from '../elementwise/index.js'
import { operator } from '../operator.js'
import { type Dims, kept, whole } from '../totals.js'
import { type Dim, finiteOrZero, type ReduceOptions, sizeOf } from './dims.js'
import { mean } from './sums.js'

export interface VarOptions extends ReduceOptions {
  /**
   * The number subtracted from the count: 1 for the unbiased estimate (default), 0 for the variance of a population.
   */
  readonly correction?: number
}

interface Spread extends Dims {
  readonly correction: number
}

/**
 * x minus its rounded mean, and the mean of this difference, which is what rounding (up to 2^-24 of the mean) leaves
 * over.
 */
function centre(x: Tensor, dims: readonly number[]): { near: Tensor; rest: Tensor } {
  const near = sub(x, mean(x, dims, { keepdim: true }))
  return { near, rest: finiteOrZero(mean(near, dims, { keepdim: true })) }
}

/** x minus its mean, exact even if the mean is much larger than the differences. */
function centred(x: Tensor, dims: readonly number[]): Tensor {
  const { near, rest } = centre(x, dims)
  return sub(near, rest)
}

/** Converts to float32 at least, because squares of rounded differences would say little. */
const widest = (x: Tensor): Tensor => (x.dtype === 'bfloat16' ? castTo(x, 'float32') : x)

/**
 * Extra outputs: those of `centre`. The mean square about the true mean is the one about the rounded mean minus the
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
          // The square root has no derivative where all values are equal; 0 is the best subgradient there.
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

function spreadOf(
  record: ReturnType<typeof spread>,
  x: Tensor,
  dim: Dim,
  options: VarOptions,
  name: string = record.name,
): Tensor {
  const { keepdim = false, correction = 1 } = checkOptions(name, options, { keepdim: true, correction: true })
  if (!Number.isFinite(correction))
    throw new ValueError(name, `correction is ${shown(correction)}, but must be a finite number`)
  checkTensor(name, 'x', x)
  return apply(record, [x], { dims: normalizeDims(name, dim, x.ndim), keepdim, correction })
}

function withMean(
  name: string,
  record: ReturnType<typeof spread>,
  x: Tensor,
  dim: Dim,
  options: VarOptions,
): [Tensor, Tensor] {
  const apart = spreadOf(record, x, dim, options, name)
  return [apart, mean(x, dim, { keepdim: options.keepdim ?? false })]
}

/** The variance over `dim`, as exact for data far from 0 as for data around it; NaN if there are too few elements. */
export function variance<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: VarOptions): Tensor<Shape, D>
export function variance(x: Tensor, dim: Dim = null, options: VarOptions = {}): Tensor {
  return spreadOf(varRecord, x, dim, options)
}

/** The standard deviation over `dim`. Its gradient is 0 if all values are equal. */
export function std<D extends DType>(x: Tensor<Shape, D>, dim?: Dim, options?: VarOptions): Tensor<Shape, D>
export function std(x: Tensor, dim: Dim = null, options: VarOptions = {}): Tensor {
  return spreadOf(stdRecord, x, dim, options)
}

/** The variance and the mean over `dim`. */
export function varMean<D extends DType>(
  x: Tensor<Shape, D>,
  dim?: Dim,
  options?: VarOptions,
): [variance: Tensor<Shape, D>, mean: Tensor<Shape, D>]
export function varMean(x: Tensor, dim: Dim = null, options: VarOptions = {}): [Tensor, Tensor] {
  return withMean('varMean', varRecord, x, dim, options)
}

/** The standard deviation and the mean over `dim`. */
export function stdMean<D extends DType>(
  x: Tensor<Shape, D>,
  dim?: Dim,
  options?: VarOptions,
): [std: Tensor<Shape, D>, mean: Tensor<Shape, D>]
export function stdMean(x: Tensor, dim: Dim = null, options: VarOptions = {}): [Tensor, Tensor] {
  return withMean('stdMean', stdRecord, x, dim, options)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    var(dim?: Dim, options?: VarOptions): Tensor<Shape, D>
    std(dim?: Dim, options?: VarOptions): Tensor<Shape, D>
  }
}

defineMethods({
  var(dim?: Dim, options?: VarOptions) {
    return variance(this, dim, options)
  },
  std(dim?: Dim, options?: VarOptions) {
    return std(this, dim, options)
  },
})

/** Covariance, differences between neighbours, and areas under samples. */
import { autocastDType, withAutocast } from '../autograd/autocast.js'
import { checkTensor } from '../autograd/operator.js'
import { type DType, isFloating } from '../core/dtype.js'
import { DeviceError, DTypeError, formatShape, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { defineMethods } from '../core/methods.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { normalizeDim, type Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { castTo, precise, summable } from './convert.js'
import { add, clamp, div, logicalXor, mul, sqrt, sub } from './elementwise/index.js'
import { matmul as typedMatmul } from './matmul.js'
import { dataSync } from './read.js'
import { mean, sum } from './reduce/index.js'
import { cat, detach, diagonal, narrow, reshape, transpose, unsqueeze } from './shape/index.js'
import { checkInteger } from './shape/lists.js'

// matmul without shape types, because sizes here are computed at run time.
const matmul = typedMatmul as (a: Tensor, b: Tensor) => Tensor

export interface CovOptions {
  /** The number subtracted from the count of observations. Default 1. */
  readonly correction?: number
  /**
   * The number of times that each observation was made: int32 [observations], none negative. The tensor is read, and
   * waited for.
   */
  readonly fweights?: Tensor | null
  /** The weight of each observation: floats [observations], none negative. The tensor is read, and waited for. */
  readonly aweights?: Tensor | null
}

const covNames: OptionNames<CovOptions> = { correction: true, fweights: true, aweights: true }

/** The weights of observations, and of each the share that `correction` subtracts. */
interface Weights {
  readonly all: Tensor
  readonly importance: Tensor | null
}

function checkWeights(x: Tensor, name: string, weights: Tensor, isRight: boolean, wanted: string): void {
  const count = x.sizes.at(-1) ?? 1
  if (!isRight) throw new DTypeError('cov', `${name} is ${weights.dtype}, but must be ${wanted}`)
  if (weights.device !== x.device)
    throw new DeviceError(
      'cov',
      `${name} is on ${weights.device.name}, x on ${x.device.name}; move it with .to('${x.device.name}')`,
    )
  if (weights.ndim !== 1 || weights.sizes[0] !== count)
    throw new ShapeError(
      'cov',
      `${name} is ${formatShape(weights.sizes)}, but must be [${count}], the observations of x`,
      [weights.sizes, x.sizes],
    )
  if (weights.device.kind === 'meta') return
  const negative = Array.from(dataSync(detach(weights)), Number).find((value) => value < 0)
  if (negative !== undefined) throw new ValueError('cov', `${name} holds ${negative}, but must hold no negative number`)
}

function weightsOf(x: Tensor, { fweights = null, aweights = null }: CovOptions): Weights | null {
  for (const [name, weights] of Object.entries({ fweights, aweights }))
    if (weights !== null) checkTensor('cov', name, weights)
  if (fweights !== null) checkWeights(x, 'fweights', fweights, fweights.dtype === 'int32', 'int32')
  if (aweights !== null) checkWeights(x, 'aweights', aweights, isFloating(aweights.dtype), 'floating')
  const { dtype } = precise(summable(x))
  const [often, importance] = [fweights && castTo(fweights, dtype), aweights && castTo(aweights, dtype)]
  if (often === null) return importance && { all: importance, importance }
  return { all: importance === null ? often : mul(often, importance), importance }
}

/** The covariances of rows with weighted columns, as in PyTorch and NumPy. */
function weighted(rows: Tensor, { all, importance }: Weights, correction: number): Tensor {
  const total = sum(all)
  const apart = sub(rows, div(sum(mul(rows, all), 1, { keepdim: true }), total))
  const products = withAutocast(null, () => matmul(apart, transpose(mul(apart, all), 0, 1)))
  const lost = importance === null ? correction : mul(div(sum(mul(all, importance)), total), correction)
  return div(products, clamp(sub(total, lost), 0))
}

function covariance(op: string, x: Tensor, correction: number, options: CovOptions = {}): Tensor {
  checkTensor(op, 'x', x)
  if (!isFloating(x.dtype))
    throw new DTypeError(op, `x is ${x.dtype}, but must be floating; convert it with .to('float32')`)
  if (x.ndim > 2)
    throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must be [variables, observations]`, [x.sizes])
  return namedAs(op, () => {
    const weights = weightsOf(x, options)
    const wide = precise(summable(x))
    const count = x.sizes.at(-1) ?? 1
    const rows = reshape(wide, [x.ndim === 2 ? (x.sizes[0] as number) : 1, count])
    if (weights !== null) return weighted(rows, weights, correction)
    const apart = sub(rows, mean(rows, 1, { keepdim: true }))
    // Autocast is off, because every digit of the differences counts.
    const products = withAutocast(null, () => matmul(apart, transpose(apart, 0, 1)))
    return div(products, Math.max(0, count - correction))
  })
}

/**
 * The covariances of variables x [variables, observations]: [variables, variables]. A single variable, a vector or one
 * row, gives a number without dimensions. Observations may have counts (`fweights`) and weights (`aweights`). Throws
 * ValueError unless `correction` is an integer.
 */
export function cov<D extends DType>(x: Tensor<Shape, D>, options?: CovOptions): Tensor<Shape, D>
export function cov(x: Tensor, options: CovOptions = {}): Tensor {
  const { correction = 1 } = checkOptions('cov', options, covNames)
  if (!Number.isInteger(correction))
    throw new ValueError('cov', `correction is ${shown(correction)}, but must be an integer`)
  const all = covariance('cov', x, correction, options)
  return castTo(all.numel === 1 ? reshape(all, []) : all, x.dtype)
}

/**
 * The coefficients of correlation (Pearson) of variables x [variables, observations], from -1 to 1: [variables,
 * variables].
 */
export function corrcoef<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function corrcoef(x: Tensor): Tensor {
  const all = covariance('corrcoef', x, 1)
  return namedAs('corrcoef', () => {
    if (all.numel === 1) return castTo(reshape(div(all, all), []), x.dtype)
    const spread = sqrt(diagonal(all))
    return castTo(clamp(div(div(all, unsqueeze(spread, 1)), spread), -1, 1), x.dtype)
  })
}

export interface DiffOptions {
  /** The number of times that differences are taken. Default 1. */
  readonly n?: number
  /** Default -1. */
  readonly dim?: number
  /** Tensors joined to x along `dim`, before and after it. */
  readonly prepend?: Tensor | null
  readonly append?: Tensor | null
}

const diffNames: OptionNames<DiffOptions> = { n: true, dim: true, prepend: true, append: true }

/**
 * The differences of neighbours along `dim`, one fewer than elements. Those of bool say whether neighbours differ.
 * Throws ShapeError for a tensor without dimensions.
 */
export function diff<D extends DType>(x: Tensor<Shape, D>, options?: DiffOptions): Tensor<Shape, D>
export function diff(x: Tensor, options: DiffOptions = {}): Tensor {
  const { n = 1, dim = -1, prepend = null, append = null } = checkOptions('diff', options, diffNames)
  checkInteger('diff', 'n', n, 0)
  checkTensor('diff', 'x', x)
  if (x.ndim === 0) throw new ShapeError('diff', 'x is one number and has no dimension', [[]])
  const d = normalizeDim('diff', dim, x.ndim)
  for (const [name, part] of Object.entries({ prepend, append })) if (part !== null) checkTensor('diff', name, part)
  return namedAs('diff', () => {
    if (n === 0) return x
    let y =
      prepend === null && append === null
        ? x
        : cat(
            [prepend, x, append].filter((part) => part !== null),
            d,
          )
    for (let i = 0; i < n && (y.sizes[d] as number) > 0; i++) {
      const size = Math.max(0, (y.sizes[d] as number) - 1)
      const [before, after] = [narrow(y, d, 0, size), narrow(y, d, (y.sizes[d] as number) - size, size)]
      y = y.dtype === 'bool' ? logicalXor(before, after) : sub(after, before)
    }
    return y
  })
}

export interface TrapezoidOptions {
  /** The positions of the samples: of y's shape, or a vector along `dim`. */
  readonly x?: Tensor | null
  /** The distance between samples, if x is not given. Default 1. */
  readonly dx?: number
  /** Default -1. */
  readonly dim?: number
}

const trapezoidNames: OptionNames<TrapezoidOptions> = { x: true, dx: true, dim: true }

/**
 * The area under samples y along `dim`, joined by straight lines (the trapezoidal rule). Throws DTypeError for
 * integers, and ShapeError if x fits neither y nor its dimension.
 */
export function trapezoid<D extends DType>(y: Tensor<Shape, D>, options?: TrapezoidOptions): Tensor<Shape, D>
export function trapezoid(y: Tensor, options: TrapezoidOptions = {}): Tensor {
  const op = 'trapezoid'
  const { x = null, dx = 1, dim = -1 } = checkOptions(op, options, trapezoidNames)
  checkTensor(op, 'y', y)
  if (typeof dx !== 'number') throw new ValueError(op, `dx is ${shown(dx)}, but must be a number`)
  if (!isFloating(y.dtype))
    throw new DTypeError(op, `y is ${y.dtype}, but must be floating; convert it with .to('float32')`)
  if (y.ndim === 0) throw new ShapeError(op, 'y is one number and has no dimension', [[]])
  const d = normalizeDim(op, dim, y.ndim)
  const size = y.sizes[d] as number
  if (x !== null) {
    checkTensor(op, 'x', x)
    if (x.ndim !== 1 && formatShape(x.sizes) !== formatShape(y.sizes))
      throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must be y's ${formatShape(y.sizes)}, or a vector`, [
        x.sizes,
        y.sizes,
      ])
    if ((x.ndim === 1 ? x.sizes[0] : x.sizes[d]) !== size)
      throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but there are ${size} samples along dimension ${d}`, [
        x.sizes,
        y.sizes,
      ])
  }
  return namedAs(op, () => {
    const less = Math.max(0, size - 1)
    const pairs = (all: Tensor, along: number) =>
      [narrow(all, along, 0, less), narrow(all, along, size - less, less)] as const
    const wide = (all: Tensor) => precise(summable(all))
    const rounded = (area: Tensor) => (autocastDType() === null ? castTo(area, y.dtype) : area)
    const [left, right] = pairs(wide(y), d)
    const heights = add(left, right)
    if (x === null) return rounded(mul(sum(heights, d), dx / 2))
    const [from, to] = pairs(wide(x), x.ndim === 1 ? 0 : d)
    const widths = sub(to, from)
    const line =
      x.ndim === 1
        ? reshape(
            widths,
            y.sizes.map((_, i) => (i === d ? less : 1)),
          )
        : widths
    return rounded(mul(sum(mul(heights, line), d), 0.5))
  })
}

declare module '../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    cov(options?: CovOptions): Tensor<Shape, D>
    corrcoef(): Tensor<Shape, D>
    diff(options?: DiffOptions): Tensor<Shape, D>
  }
}

defineMethods({
  cov(options?: CovOptions) {
    return cov(this, options)
  },
  corrcoef() {
    return corrcoef(this)
  },
  diff(options?: DiffOptions) {
    return diff(this, options)
  },
})

/**
 * The distance of numbers from their targets. Sums are float64 on the host, so each update reads its outputs and
 * targets.
 */
import { checkDType, checkTensor } from '../../autograd/operator.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { type OptionNames, ownOptions } from '../../core/options.js'
import { sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkOneOf, checkWhole } from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { correlationOf, Moments, spearmanOf } from './moments.js'
import { Column, Largest, type Parts, Sums } from './parts.js'

export interface RegressionOptions {
  /**
   * The way in which the numbers of the columns of [N, D] outputs become one. They become their mean, or for `r2` and
   * `explainedVariance` the mean weighted by the targets' variances. `none` gives a list of them. Default mean.
   */
  readonly multioutput?: 'mean' | 'variance' | 'none'
}

export interface KeptOptions extends RegressionOptions {
  /**
   * The most numbers of outputs, and of targets, that are kept in a pass. Beyond, `compute` throws ValueError. Default
   * 2^24.
   */
  readonly limit?: number
}

type Values = number | number[]

/** The totals of columns: their number, and parts. */
interface OfColumns extends Parts {
  /** The number of columns, or -Infinity before anything was counted. */
  readonly width: Largest
}

type Item = (column: number, output: number, target: number, weight: number) => void

abstract class Regression<P extends OfColumns> extends Measure<Tensor, Tensor, Values, P> {
  protected readonly options: KeptOptions
  #width = 0

  constructor(op: string, options: KeptOptions) {
    super(op, options)
    this.options = options
  }

  /** The value of a column, and its weight if columns are weighted by variance. */
  protected abstract column(totals: P, column: number): readonly [value: number, variance: number]
  /** Prepares for this many columns, and returns the function that adds an item. */
  protected abstract adder(totals: P, width: number): Item
  /** The step after the mean over columns. */
  protected finish(value: number): number {
    return value
  }
  /** Whether items may have different weights. */
  protected readonly takesWeights: boolean = true

  protected value(totals: P): Values {
    const width = Math.max(0, totals.width.value)
    const columns = Array.from({ length: width }, (_, i) => this.column(totals, i))
    const values = columns.map(([value]) => this.finish(value))
    const { multioutput = 'mean' } = this.options
    if (multioutput === 'none') return values
    if (width === 0) return Number.NaN
    const weights = columns.map(([, variance]) => (multioutput === 'variance' ? variance : 1))
    const total = weights.reduce((a, b) => a + b, 0)
    // If no target varies, all columns have the same weight.
    if (total === 0) return values.reduce((a, b) => a + b, 0) / width
    return values.reduce((sum, value, i) => sum + value * (weights[i] as number), 0) / total
  }

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    const { op } = this
    checkTensor(op, 'output', output)
    checkTensor(op, 'target', target)
    if (!sameShape(output.sizes, target.sizes))
      throw new ShapeError(
        op,
        `outputs are ${formatShape(output.sizes)}, targets ${formatShape(target.sizes)}, but must have one shape; ` +
          'of [N, 1] and [N] reshape one',
        [output.sizes, target.sizes],
      )
    const width = output.ndim < 2 ? 1 : (output.sizes[output.ndim - 1] as number)
    const rows = output.ndim < 2 ? output.shape : output.sizes.slice(0, -1)
    if (sampleWeight !== undefined) this.#checkWeight(sampleWeight, rows)
    if (this.#width !== 0 && this.#width !== width)
      throw new ShapeError(op, `outputs have ${width} columns, but those before had ${this.#width}`, [output.sizes])
    this.#width = width
    this.read(
      sampleWeight ? [output, target, sampleWeight] : [output, target],
      (totals, [got = [], is = [], weights]) => {
        totals.width.take(Float64Array.of(width))
        const add = this.adder(totals, width)
        for (let i = 0; i < is.length; i++) {
          const row = Math.floor(i / width)
          add(i % width, got[i] as number, is[i] as number, (weights?.[row] as number | undefined) ?? 1)
        }
      },
    )
  }

  #checkWeight(weight: Tensor, rows: readonly number[]): void {
    checkTensor(this.op, 'sampleWeight', weight)
    checkDType(this.op, 'sampleWeight', weight, ['float32', 'float64', 'float16', 'bfloat16', 'int32'])
    if (!this.takesWeights || !sameShape(weight.sizes, rows))
      throw new ShapeError(
        this.op,
        this.takesWeights
          ? `sampleWeight is ${formatShape(weight.sizes)}, but must be ${formatShape(rows)}: one for each row`
          : 'takes no sampleWeight, because its definition has no weights',
        [weight.sizes, rows],
      )
  }
}

interface Errors extends OfColumns {
  readonly sums: Sums
  readonly weights: Sums
}

class MeanError extends Regression<Errors> {
  readonly #error: (output: number, target: number) => number
  readonly #finish: (mean: number) => number

  constructor(
    op: string,
    options: RegressionOptions,
    error: (output: number, target: number) => number,
    finish: (mean: number) => number = (mean) => mean,
  ) {
    super(op, options)
    this.#error = error
    this.#finish = finish
  }

  fresh(): ResumableMetric<Tensor, Tensor, Values> {
    return new MeanError(this.op, this.options, this.#error, this.#finish)
  }

  protected empty(): Errors {
    return { width: new Largest(), sums: new Sums(), weights: new Sums() }
  }

  protected override finish(value: number): number {
    return this.#finish(value)
  }

  protected adder({ sums, weights }: Errors, width: number): Item {
    sums.grow(width)
    weights.grow(width)
    return (column, output, target, weight) => {
      sums.add(column, weight * this.#error(output, target))
      weights.add(column, weight)
    }
  }

  protected column({ sums, weights }: Errors, column: number): readonly [number, number] {
    return [sums.get(column) / weights.get(column), 1]
  }
}

interface Extremes extends OfColumns {
  readonly largest: Largest
}

class MaxError extends Regression<Extremes> {
  protected override readonly takesWeights = false

  fresh(): ResumableMetric<Tensor, Tensor, Values> {
    return new MaxError(this.op, this.options)
  }

  protected empty(): Extremes {
    return { width: new Largest(), largest: new Largest() }
  }

  protected adder({ largest }: Extremes): Item {
    return (_, output, target) => largest.take(Float64Array.of(Math.abs(target - output)))
  }

  protected column({ largest }: Extremes): readonly [number, number] {
    return [largest.value === Number.NEGATIVE_INFINITY ? Number.NaN : largest.value, 1]
  }
}

interface Spread extends OfColumns {
  readonly moments: Moments
}

/** Computes a column's value and its targets' variance from its moments. */
type OfMoments = (moments: ReturnType<Moments['column']>) => readonly [value: number, variance: number]

class FromMoments extends Regression<Spread> {
  readonly #of: OfMoments

  constructor(op: string, options: RegressionOptions, of: OfMoments) {
    super(op, options)
    this.#of = of
  }

  fresh(): ResumableMetric<Tensor, Tensor, Values> {
    return new FromMoments(this.op, this.options, this.#of)
  }

  protected empty(): Spread {
    return { width: new Largest(), moments: new Moments() }
  }

  protected adder({ moments }: Spread, width: number): Item {
    moments.grow(width)
    return (column, output, target, weight) => moments.add(column, output, target, weight)
  }

  protected column({ moments }: Spread, column: number): readonly [number, number] {
    return this.#of(moments.column(column))
  }
}

interface Pairs extends OfColumns {
  readonly outputs: Column
  readonly targets: Column
  readonly weights: Column
}

type OfPairs = (outputs: Float64Array, targets: Float64Array, weights: Float64Array) => number

/** Metrics that depend on the order of all items of the pass. They keep the items row by row. */
class FromAll extends Regression<Pairs> {
  readonly #of: OfPairs
  protected override readonly takesWeights: boolean

  constructor(op: string, options: KeptOptions, of: OfPairs, takesWeights: boolean) {
    super(op, options)
    this.#of = of
    this.takesWeights = takesWeights
  }

  fresh(): ResumableMetric<Tensor, Tensor, Values> {
    return new FromAll(this.op, this.options, this.#of, this.takesWeights)
  }

  protected empty(): Pairs {
    const column = () => new Column(this.op, this.options.limit ?? 2 ** 24)
    return { width: new Largest(), outputs: column(), targets: column(), weights: column() }
  }

  protected adder({ outputs, targets, weights }: Pairs): Item {
    return (_, output, target, weight) => {
      outputs.push(output)
      targets.push(target)
      weights.push(weight)
    }
  }

  protected column({ width, outputs, targets, weights }: Pairs, column: number): readonly [number, number] {
    const own = (part: Column) => part.dump().filter((_, i) => i % width.value === column)
    return [this.#of(own(outputs), own(targets), own(weights)), 1]
  }
}

/**
 * The smallest value that at least half of the weight does not exceed. With equal weights it is the mean of the middle
 * two.
 */
function medianOf(values: Float64Array, weights: Float64Array): number {
  if (values.some(Number.isNaN) || values.length === 0) return Number.NaN
  const order = [...values.keys()].sort((a, b) => (values[a] as number) - (values[b] as number))
  const half = weights.reduce((a, b) => a + b, 0) / 2
  let below = 0
  for (const [place, i] of order.entries()) {
    below += weights[i] as number
    if (below > half) return values[i] as number
    if (below === half) {
      const next = order.slice(place + 1).find((j) => (weights[j] as number) > 0) ?? i
      return ((values[i] as number) + (values[next] as number)) / 2
    }
  }
  return Number.NaN
}

const regressionNames = { multioutput: true } as const
const keptNames = { ...regressionNames, limit: true } as const

function checked<O extends KeptOptions>(op: string, options: O, names: OptionNames<O>, byVariance = false): O {
  const own = ownOptions(op, options, names)
  checkOneOf(op, 'multioutput', own.multioutput, byVariance ? ['mean', 'variance', 'none'] : ['mean', 'none'])
  checkWhole(op, 'limit', own.limit, 1)
  return own
}

/** A number, or with `multioutput: 'none'` a list of one for each column. */
type RegressionMetric<O> = O extends { readonly multioutput: 'none' }
  ? ResumableMetric<Tensor, Tensor, number[]>
  : ResumableMetric

const typed = (metric: ResumableMetric<Tensor, Tensor, Values>) =>
  metric as unknown as ResumableMetric<Tensor, Tensor, never>

/**
 * The mean absolute error of outputs and targets of the same shape, [N] or [N, D]. NaN while nothing was counted.
 * scikit-learn's mean_absolute_error.
 */
export function mae<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('mae', options ?? {}, regressionNames)
  return typed(new MeanError('mae', own, (output, target) => Math.abs(output - target))) as RegressionMetric<O>
}

/** The mean squared error. Shapes are as for `mae`. scikit-learn's mean_squared_error. */
export function mse<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('mse', options ?? {}, regressionNames)
  return typed(new MeanError('mse', own, (output, target) => (output - target) ** 2)) as RegressionMetric<O>
}

/**
 * The root of the mean squared error, or for several columns the mean of their roots. Shapes are as for `mae`.
 * scikit-learn's root_mean_squared_error.
 */
export function rmse<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('rmse', options ?? {}, regressionNames)
  const metric = new MeanError('rmse', own, (output, target) => (output - target) ** 2, Math.sqrt)
  return typed(metric) as RegressionMetric<O>
}

/**
 * The mean of |output - target| / |target|, where a target of 0 counts as 2^-52. Shapes are as for `mae`.
 * scikit-learn's mean_absolute_percentage_error.
 */
export function mape<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('mape', options ?? {}, regressionNames)
  const error = (output: number, target: number) => Math.abs(output - target) / Math.max(Math.abs(target), 2 ** -52)
  return typed(new MeanError('mape', own, error)) as RegressionMetric<O>
}

/** 1 - lost / spread. If targets do not vary, a perfect result is 1 and any other 0. */
const explained = (lost: number, spread: number) => {
  if (spread !== 0) return 1 - lost / spread
  return lost === 0 ? 1 : Number.isNaN(lost) ? Number.NaN : 0
}

/**
 * The coefficient of determination, 1 - squared errors / squared distances of the targets from their mean. Shapes are
 * as for `mae`. 1 if neither varies, 0 if only the outputs do, NaN for fewer than two items. scikit-learn's r2_score.
 */
export function r2<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('r2', options ?? {}, regressionNames, true)
  const of: OfMoments = ({ count, squaredError, targetSpread }) => [
    count < 2 ? Number.NaN : explained(squaredError, targetSpread),
    targetSpread,
  ]
  return typed(new FromMoments('r2', own, of)) as RegressionMetric<O>
}

/**
 * Like `r2`, except that an error that is the same for all items costs nothing. scikit-learn's
 * explained_variance_score.
 */
export function explainedVariance<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('explainedVariance', options ?? {}, regressionNames, true)
  const of: OfMoments = ({ count, errorSpread, targetSpread }) => [
    count === 0 ? Number.NaN : explained(errorSpread, targetSpread),
    targetSpread,
  ]
  return typed(new FromMoments('explainedVariance', own, of)) as RegressionMetric<O>
}

/** The largest absolute error. Shapes are as for `mae`. scikit-learn's max_error. */
export function maxError(options: object = {}): ResumableMetric {
  ownOptions('maxError', options, {})
  return typed(new MaxError('maxError', {}))
}

/**
 * The median of the absolute errors. Shapes are as for `mae`. Keeps 24 bytes for each number of the pass, up to
 * `limit`. scikit-learn's median_absolute_error.
 */
export function medianAbsoluteError<const O extends KeptOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<KeptOptions>('medianAbsoluteError', options ?? {}, keptNames)
  const of: OfPairs = (outputs, targets, weights) =>
    medianOf(
      outputs.map((output, i) => Math.abs(output - (targets[i] as number))),
      weights,
    )
  return typed(new FromAll('medianAbsoluteError', own, of, true)) as RegressionMetric<O>
}

/** Pearson's correlation, or NaN if outputs or targets do not vary. Shapes are as for `mae`. SciPy's pearsonr. */
export function pearson<const O extends RegressionOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<RegressionOptions>('pearson', options ?? {}, regressionNames)
  const of: OfMoments = (moments) => [correlationOf(moments), 1]
  return typed(new FromMoments('pearson', own, of)) as RegressionMetric<O>
}

/**
 * Spearman's correlation of ranks, where ties share a rank. Shapes are as for `mae`. Keeps 24 bytes for each number of
 * the pass, up to `limit`. SciPy's spearmanr.
 */
export function spearman<const O extends KeptOptions = object>(options?: O): RegressionMetric<O> {
  const own = checked<KeptOptions>('spearman', options ?? {}, keptNames)
  return typed(new FromAll('spearman', own, (a, b) => spearmanOf(a, b), false)) as RegressionMetric<O>
}

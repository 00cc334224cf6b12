/** Precision, recall and related metrics, from hits, predictions and targets counted by class. */
import { noGrad } from '../../autograd/mode.js'
import { ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, type OptionNames, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import {
  checkLabel,
  checkOneOf,
  checkShapeOptions,
  checkThreshold,
  checkWhole,
  type Given,
  given,
  predictedOf,
  type ShapeOptions,
  type ThresholdOptions,
} from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { type Parts, Sums } from './parts.js'

/**
 * The way in which the classes' numbers become one. `binary` takes that of one class, and `micro` counts all together.
 * `macro` is their mean, and `weighted` weights it by how often the class is a target. `samples` is the mean over rows
 * with several labels. `none` gives a list of them all.
 */
export type Average = 'binary' | 'micro' | 'macro' | 'weighted' | 'samples' | 'none'

export interface ClassOptions extends ShapeOptions, ThresholdOptions {
  /**
   * Whether each row has several labels, each of which is set or not. Outputs and targets are then [N, L]. Default
   * false.
   */
  readonly multilabel?: boolean
  /** The number of classes. Only needed if the outputs are labels instead of scores. */
  readonly classes?: number
  /** The classes in the report, in this order. Default: all classes of the outputs, whether they occur or not. */
  readonly labels?: readonly number[]
  /** The value of a share of nothing. Default 0. A mean leaves out NaN. */
  readonly zeroDivision?: 0 | 1 | typeof Number.NaN
}

export interface AverageOptions extends ClassOptions {
  /** Default binary, which needs exactly two classes. */
  readonly average?: Average
  /** The class for `binary`. Default 1. */
  readonly posLabel?: number
}

export interface FBetaOptions extends AverageOptions {
  /** The weight of recall relative to precision. Default 1. */
  readonly beta?: number
}

/** Weighted counts by class, and for `samples` sums over rows. */
interface Counts extends Parts {
  readonly hits: Sums
  readonly predicted: Sums
  readonly actual: Sums
  /** Weighted sum, weight, plain sum and number of the rows' values that are not NaN, and the number of rows. */
  readonly rows: Sums
}

/** A share as numerator and denominator. */
type Ratio = (hits: number, predicted: number, actual: number) => readonly [number, number]

const precisionOf: Ratio = (hits, predicted) => [hits, predicted]
const recallOf: Ratio = (hits, _, actual) => [hits, actual]
const fBetaOf = (beta: number): Ratio => {
  if (beta === Number.POSITIVE_INFINITY) return recallOf
  const square = beta * beta
  return (hits, predicted, actual) => [(1 + square) * hits, square * actual + predicted]
}
const jaccardOf: Ratio = (hits, predicted, actual) => [hits, predicted + actual - hits]

/** The mean of the values that are not NaN. It is unweighted if all weights are 0, as in scikit-learn. */
function meanOf(values: readonly number[], weights?: readonly number[]): number {
  let [sum, weight, plain, count] = [0, 0, 0, 0]
  values.forEach((value, i) => {
    if (Number.isNaN(value)) return
    const w = weights?.[i] ?? 1
    sum += w * value
    weight += w
    plain += value
    count++
  })
  return weight === 0 ? plain / count : sum / weight
}

/** The number of classes. Throws if options or the outputs `before` contradict it. */
export function classesOf(op: string, seen: Given, options: ClassOptions, before: number): number {
  const classes = options.classes ?? seen.classes
  const { sizes } = seen.scores
  if (classes === 0)
    throw new ValueError(op, 'outputs are labels, which do not tell the number of classes; give classes')
  if (seen.kind !== 'labels' && classes !== seen.classes)
    throw new ShapeError(op, `outputs have ${seen.classes} classes, but classes is ${classes}`, [sizes])
  if (before !== 0 && before !== classes)
    throw new ShapeError(op, `outputs have ${classes} classes, but those before had ${before}`, [sizes])
  const outside = options.labels?.find((label) => label >= classes)
  if (outside !== undefined)
    throw new ValueError(op, `labels has ${outside}, but the outputs have classes 0 to ${classes - 1}`)
  return classes
}

abstract class ByClass<V, O extends ClassOptions> extends Measure<Tensor, Tensor, V, Counts> {
  protected readonly options: O
  #classes = 0

  constructor(op: string, options: O) {
    super(op, options)
    this.options = options
  }

  /** Each row's value enters the mean over rows if it has one. */
  protected readonly ofRow: Ratio | null = null

  protected empty(): Counts {
    return { hits: new Sums(), predicted: new Sums(), actual: new Sums(), rows: new Sums(5) }
  }

  protected share(ratio: Ratio, hits: number, predicted: number, actual: number): number {
    const [numerator, denominator] = ratio(hits, predicted, actual)
    return denominator === 0 ? (this.options.zeroDivision ?? 0) : numerator / denominator
  }

  /** The classes in the report, or null while nothing was counted. */
  protected reported({ hits, rows }: Counts): readonly number[] | null {
    if (rows.get(4) === 0) return null
    return this.options.labels ?? Array.from({ length: hits.values.length }, (_, i) => i)
  }

  protected check(_seen: Given, _classes: number): void {}

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    const seen = given(this.op, output, target, sampleWeight, this.options)
    const classes = classesOf(this.op, seen, this.options, this.#classes)
    this.check(seen, classes)
    this.#classes = classes
    noGrad(() => {
      const predicted = predictedOf(seen, this.options)
      const { weight, kind } = seen
      this.read(weight ? [predicted, seen.target, weight] : [predicted, seen.target], (counts, [said, is, weights]) => {
        const numbers = [said, is] as readonly ArrayLike<number>[] as readonly [ArrayLike<number>, ArrayLike<number>]
        if (kind === 'multilabel') this.#countLabels(counts, classes, ...numbers, weights)
        else this.#countRows(counts, classes, ...numbers, weights)
      })
    })
  }

  #countRows(
    { hits, predicted, actual, rows }: Counts,
    classes: number,
    said: ArrayLike<number>,
    is: ArrayLike<number>,
    weights: ArrayLike<number> | undefined,
  ): void {
    const { ignoreIndex = -100 } = this.options
    for (const sums of [hits, predicted, actual]) sums.grow(classes)
    for (let i = 0; i < is.length; i++) {
      const [label, guess] = [is[i] as number, said[i] as number]
      if (label === ignoreIndex) continue
      checkLabel(this.op, label, classes)
      checkLabel(this.op, guess, classes)
      const weight = weights?.[i] ?? 1
      actual.add(label, weight)
      predicted.add(guess, weight)
      if (label === guess) hits.add(label, weight)
      rows.add(4, 1)
    }
  }

  #countLabels(
    { hits, predicted, actual, rows }: Counts,
    classes: number,
    said: ArrayLike<number>,
    is: ArrayLike<number>,
    weights: ArrayLike<number> | undefined,
  ): void {
    const { ignoreIndex = -100 } = this.options
    const counts = this.options.labels && new Set(this.options.labels)
    for (const sums of [hits, predicted, actual]) sums.grow(classes)
    for (let row = 0; row * classes < is.length; row++) {
      const weight = weights?.[row] ?? 1
      const own = [0, 0, 0] as [hits: number, predicted: number, actual: number]
      for (let label = 0; label < classes; label++) {
        const [yes, guess] = [is[row * classes + label] as number, said[row * classes + label] as number]
        if (yes === ignoreIndex) continue
        checkLabel(this.op, yes, 2)
        actual.add(label, weight * yes)
        predicted.add(label, weight * guess)
        hits.add(label, weight * yes * guess)
        if (counts && !counts.has(label)) continue
        own[0] += yes * guess
        own[1] += guess
        own[2] += yes
      }
      rows.add(4, 1)
      const value = this.ofRow === null ? Number.NaN : this.share(this.ofRow, ...own)
      if (Number.isNaN(value)) continue
      rows.addAll([weight * value, weight, value, 1])
    }
  }
}

class Averaged extends ByClass<number | number[], FBetaOptions> {
  readonly #ratio: Ratio
  protected override readonly ofRow: Ratio | null

  constructor(op: string, options: FBetaOptions, ratio: Ratio) {
    super(op, options)
    this.#ratio = ratio
    this.ofRow = ratio
  }

  fresh(): ResumableMetric<Tensor, Tensor, number | number[]> {
    return new Averaged(this.op, this.options, this.#ratio)
  }

  protected override check({ kind }: Given, classes: number): void {
    const { average = 'binary', posLabel = 1 } = this.options
    if (average === 'samples' && kind !== 'multilabel')
      throw new ValueError(this.op, "average 'samples' is for rows of several labels; set multilabel: true as well")
    if (average !== 'binary') return
    if (kind === 'multilabel' || classes !== 2)
      throw new ValueError(
        this.op,
        `average is 'binary', but there are ${classes} ${kind === 'multilabel' ? 'labels' : 'classes'}; ` +
          "use average: 'micro', 'macro', 'weighted' or 'none'",
      )
    if (posLabel > 1)
      throw new ValueError(this.op, `posLabel is ${posLabel}, but must be 0 or 1: there are two classes`)
  }

  protected value(counts: Counts): number | number[] {
    const { average = 'binary', posLabel = 1 } = this.options
    const classes = this.reported(counts)
    if (classes === null) return average === 'none' ? [] : Number.NaN
    const { hits, predicted, actual, rows } = counts
    if (average === 'samples') {
      const [sum, weight, plain, count] = rows.values as unknown as readonly [number, number, number, number]
      return weight === 0 ? plain / count : sum / weight
    }
    if (average === 'micro') {
      const total = (sums: Sums) => classes.reduce((sum, i) => sum + sums.get(i), 0)
      return this.share(this.#ratio, total(hits), total(predicted), total(actual))
    }
    const of = (i: number) => this.share(this.#ratio, hits.get(i), predicted.get(i), actual.get(i))
    if (average === 'binary') return of(posLabel)
    const values = classes.map(of)
    if (average === 'none') return values
    return meanOf(values, average === 'weighted' ? classes.map((i) => actual.get(i)) : undefined)
  }
}

/** Numbers by class, in the order of the classes, and the number of times that each is a target. */
export interface ClassReport {
  readonly precision: number[]
  readonly recall: number[]
  readonly f1: number[]
  readonly support: number[]
}

class PerClass extends ByClass<ClassReport, ClassOptions> {
  fresh(): ResumableMetric<Tensor, Tensor, ClassReport> {
    return new PerClass(this.op, this.options)
  }

  protected value(counts: Counts): ClassReport {
    const classes = this.reported(counts) ?? []
    const { hits, predicted, actual } = counts
    const all = (ratio: Ratio) => classes.map((i) => this.share(ratio, hits.get(i), predicted.get(i), actual.get(i)))
    return {
      precision: all(precisionOf),
      recall: all(recallOf),
      f1: all(fBetaOf(1)),
      support: classes.map((i) => actual.get(i)),
    }
  }
}

export const classNames = {
  ignoreIndex: true,
  classDim: true,
  threshold: true,
  from: true,
  multilabel: true,
  classes: true,
  labels: true,
  zeroDivision: true,
} as const

const averageNames = { ...classNames, average: true, posLabel: true } as const

/** A checked copy of the options. */
export function checkedOptions<O extends ClassOptions>(op: string, options: O, names: OptionNames<O>): O {
  const own = ownOptions(op, options, names)
  checkShapeOptions(op, own)
  checkThreshold(op, own)
  const { multilabel, classes, labels, zeroDivision } = own
  if (multilabel !== undefined) checkFlag(op, 'multilabel', multilabel)
  checkWhole(op, 'classes', classes, 2)
  if (labels !== undefined) {
    const fine =
      Array.isArray(labels) && labels.length > 0 && labels.every((each) => Number.isSafeInteger(each) && each >= 0)
    if (!fine || new Set(labels).size !== labels.length)
      throw new ValueError(op, `labels is ${shown(labels)}, but must be a list of different classes, as in [0, 2]`)
  }
  if (zeroDivision !== undefined && ![0, 1, Number.NaN].includes(zeroDivision))
    throw new ValueError(op, `zeroDivision is ${shown(zeroDivision)}, but must be 0, 1 or NaN`)
  return own
}

function averaged<O extends AverageOptions>(op: string, options: O, names: OptionNames<O>, ratio: (own: O) => Ratio) {
  const own = checkedOptions(op, options, names)
  checkOneOf(op, 'average', own.average, ['binary', 'micro', 'macro', 'weighted', 'samples', 'none'])
  checkWhole(op, 'posLabel', own.posLabel, 0)
  return new Averaged(op, own, ratio(own)) as unknown as ResumableMetric<Tensor, Tensor, never>
}

/** A number, or with `average: 'none'` a list of one for each class. */
type AveragedMetric<O> = O extends { readonly average: 'none' }
  ? ResumableMetric<Tensor, Tensor, number[]>
  : ResumableMetric

/**
 * The share of items predicted as a class that belong to it. Outputs are logits [N, C] (or [N, C, ...], [N, ..., C])
 * with int32 labels, one logit for each item in the shape of the targets, labels, or [N, L] with `multilabel`. NaN
 * while nothing was counted. A label outside the classes is an IndexOutOfRangeError of `compute`. Each update reads two
 * numbers for each row. scikit-learn's precision_score, with all classes of the outputs as its labels.
 */
export function precision<const O extends AverageOptions = object>(options?: O): AveragedMetric<O> {
  return averaged<AverageOptions>('precision', options ?? {}, averageNames, () => precisionOf) as AveragedMetric<O>
}

/** The share of a class's items that were predicted as it. Outputs and options are those of `precision`. */
export function recall<const O extends AverageOptions = object>(options?: O): AveragedMetric<O> {
  return averaged<AverageOptions>('recall', options ?? {}, averageNames, () => recallOf) as AveragedMetric<O>
}

/** The harmonic mean of precision and recall. Outputs and options are those of `precision`. */
export function f1<const O extends AverageOptions = object>(options?: O): AveragedMetric<O> {
  return averaged<AverageOptions>('f1', options ?? {}, averageNames, () => fBetaOf(1)) as AveragedMetric<O>
}

/**
 * The mean of precision and recall in which recall has `beta` times the weight. Outputs and options are those of
 * `precision`. Throws ValueError for a negative `beta`.
 */
export function fBeta<const O extends FBetaOptions = object>(options?: O): AveragedMetric<O> {
  const own: FBetaOptions = options ?? {}
  const names = { ...averageNames, beta: true } as const
  return averaged<FBetaOptions>('fBeta', own, names, ({ beta = 1 }) => {
    if (typeof beta !== 'number' || !(beta >= 0))
      throw new ValueError('fBeta', `beta is ${shown(beta)}, but must be a number of at least 0`)
    return fBetaOf(beta)
  }) as AveragedMetric<O>
}

/**
 * The share of items that are both predicted as a class and of it, among those that are either. Outputs and options are
 * those of `precision`.
 */
export function jaccard<const O extends AverageOptions = object>(options?: O): AveragedMetric<O> {
  return averaged<AverageOptions>('jaccard', options ?? {}, averageNames, () => jaccardOf) as AveragedMetric<O>
}

/** Precision, recall and F1 of each class, and how often it is a target. It is a report, not a number for a Trainer. */
export function perClass(options: ClassOptions = {}): ResumableMetric<Tensor, Tensor, ClassReport> {
  return new PerClass('perClass', checkedOptions('perClass', options, classNames))
}

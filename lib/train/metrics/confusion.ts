/** The confusion matrix, and metrics that are computed from it. */
import { noGrad } from '../../autograd/mode.js'
import { ShapeError } from '../../core/errors.js'
import { checkFlag, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { type ClassOptions, checkedOptions, classesOf } from './counts.js'
import { checkLabel, checkOneOf, given, predictedOf } from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { type Parts, Sums } from './parts.js'

/**
 * Options of metrics that consider pairs of classes, for which subsets of classes and several labels for a row make no
 * sense.
 */
export type PairOptions = Omit<ClassOptions, 'multilabel' | 'zeroDivision' | 'labels'>

interface Pairs extends Parts {
  /** Weights by target * classes + prediction. */
  readonly pairs: Sums
}

/** More classes would make a matrix that nobody can read, and fill the memory. */
const mostClasses = 4096

/** [target][prediction] */
type Matrix = readonly (readonly number[])[]

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)
const rowSums = (matrix: Matrix) => matrix.map(sumOf)
const columnSums = (matrix: Matrix) => matrix.map((_, j) => sumOf(matrix.map((row) => row[j] as number)))

class OfPairs<V, O extends PairOptions> extends Measure<Tensor, Tensor, V, Pairs> {
  readonly #options: O
  readonly #compute: (matrix: Matrix, options: O) => V
  #classes = 0

  constructor(op: string, options: O, compute: (matrix: Matrix, options: O) => V) {
    super(op, options)
    this.#options = options
    this.#compute = compute
  }

  fresh(): ResumableMetric<Tensor, Tensor, V> {
    return new OfPairs(this.op, this.#options, this.#compute)
  }

  protected empty(): Pairs {
    return { pairs: new Sums() }
  }

  protected value({ pairs }: Pairs): V {
    const classes = Math.sqrt(pairs.values.length)
    const rows = Array.from({ length: classes }, (_, i) => [...pairs.values.subarray(i * classes, (i + 1) * classes)])
    return this.#compute(rows, this.#options)
  }

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    const seen = given(this.op, output, target, sampleWeight, this.#options)
    const classes = classesOf(this.op, seen, this.#options, this.#classes)
    if (classes > mostClasses)
      throw new ShapeError(this.op, `there are ${classes} classes, but the matrix has at most ${mostClasses}`, [
        output.sizes,
      ])
    this.#classes = classes
    const { ignoreIndex = -100 } = this.#options
    const { weight } = seen
    noGrad(() => {
      const predicted = predictedOf(seen, this.#options)
      this.read(
        weight ? [predicted, seen.target, weight] : [predicted, seen.target],
        ({ pairs }, [said = [], is = [], weights]) => {
          pairs.grow(classes * classes)
          for (let i = 0; i < is.length; i++) {
            const [label, guess] = [is[i] as number, said[i] as number]
            if (label === ignoreIndex) continue
            checkLabel(this.op, label, classes)
            checkLabel(this.op, guess, classes)
            pairs.add(label * classes + guess, (weights?.[i] as number | undefined) ?? 1)
          }
        },
      )
    })
  }
}

const pairNames = { ignoreIndex: true, classDim: true, threshold: true, from: true, classes: true } as const

function checkedPairs<O extends PairOptions>(op: string, options: O, names: OptionNames<O>): O {
  return checkedOptions<O & ClassOptions>(op, options, names as OptionNames<O & ClassOptions>)
}

export interface ConfusionOptions extends PairOptions {
  /** Whether rows are targets or outputs; columns are the other. Default targets, as in scikit-learn. */
  readonly rows?: 'target' | 'prediction'
  /** Shares instead of counts: of each target's items, of each prediction's, or of all. A share of nothing is 0. */
  readonly normalize?: 'target' | 'prediction' | 'all'
}

function confusionOf(matrix: Matrix, { rows = 'target', normalize }: ConfusionOptions): number[][] {
  const [targets, predictions] = [rowSums(matrix), columnSums(matrix)]
  const all = sumOf(targets)
  const total = (i: number, j: number) => {
    if (normalize === undefined) return 1
    return normalize === 'all' ? all : ((normalize === 'target' ? targets[i] : predictions[j]) as number)
  }
  const share = (i: number, j: number) => {
    const of = total(i, j)
    return of === 0 ? 0 : ((matrix[i] as readonly number[])[j] as number) / of
  }
  return matrix.map((row, i) => row.map((_, j) => (rows === 'target' ? share(i, j) : share(j, i))))
}

/**
 * The number of items of each class that are predicted as each class: a list of rows, one for each target's class, with
 * a number for each predicted class (`rows: 'prediction'` transposes it). Empty while nothing was counted. Outputs are
 * as for `precision`, with at most 4096 classes; the totals take 8 bytes for each pair of them. It is a report, not a
 * number for a Trainer. scikit-learn's confusion_matrix.
 */
export function confusionMatrix(options: ConfusionOptions = {}): ResumableMetric<Tensor, Tensor, number[][]> {
  const own = checkedPairs<ConfusionOptions>('confusionMatrix', options, { ...pairNames, rows: true, normalize: true })
  checkOneOf('confusionMatrix', 'rows', own.rows, ['target', 'prediction'])
  checkOneOf('confusionMatrix', 'normalize', own.normalize, ['target', 'prediction', 'all'])
  return new OfPairs('confusionMatrix', own, confusionOf)
}

export interface BalancedAccuracyOptions extends PairOptions {
  /** Whether chance is 0 instead of 1 / classes. A perfect result stays 1. Default false. */
  readonly adjusted?: boolean
}

function balancedOf(matrix: Matrix, { adjusted = false }: BalancedAccuracyOptions): number {
  const totals = rowSums(matrix)
  const recalls = matrix.flatMap((row, i) => (totals[i] === 0 ? [] : [(row[i] as number) / (totals[i] as number)]))
  const mean = sumOf(recalls) / recalls.length
  const chance = 1 / recalls.length
  return adjusted ? (mean - chance) / (1 - chance) : mean
}

/**
 * The mean recall of the classes that occur among the targets, or NaN while none does. Outputs are as for `precision`.
 * scikit-learn's balanced_accuracy_score.
 */
export function balancedAccuracy(options: BalancedAccuracyOptions = {}): ResumableMetric {
  const own = checkedPairs<BalancedAccuracyOptions>('balancedAccuracy', options, { ...pairNames, adjusted: true })
  if (own.adjusted !== undefined) checkFlag('balancedAccuracy', 'adjusted', own.adjusted)
  return new OfPairs('balancedAccuracy', own, balancedOf)
}

export interface CohenKappaOptions extends PairOptions {
  /** The weight of a miss by several classes: their distance, or its square. By default all misses are equal. */
  readonly weights?: 'linear' | 'quadratic'
}

function kappaOf(matrix: Matrix, { weights }: CohenKappaOptions): number {
  const [targets, predictions] = [rowSums(matrix), columnSums(matrix)]
  const all = sumOf(targets)
  const wrong = (i: number, j: number) => {
    if (weights === undefined) return i === j ? 0 : 1
    return weights === 'linear' ? Math.abs(i - j) : (i - j) ** 2
  }
  let [seen, expected] = [0, 0]
  matrix.forEach((row, i) => {
    row.forEach((count, j) => {
      seen += wrong(i, j) * count
      expected += (wrong(i, j) * (targets[i] as number) * (predictions[j] as number)) / all
    })
  })
  return expected === 0 ? Number.NaN : 1 - seen / expected
}

/**
 * Cohen's kappa, which tells how much better than chance predictions and targets agree. NaN if chance alone would
 * agree, as with a single class. Outputs are as for `precision`. scikit-learn's cohen_kappa_score.
 */
export function cohenKappa(options: CohenKappaOptions = {}): ResumableMetric {
  const own = checkedPairs<CohenKappaOptions>('cohenKappa', options, { ...pairNames, weights: true })
  checkOneOf('cohenKappa', 'weights', own.weights, ['linear', 'quadratic'])
  return new OfPairs('cohenKappa', own, kappaOf)
}

function matthewsOf(matrix: Matrix): number {
  const [targets, predictions] = [rowSums(matrix), columnSums(matrix)]
  const all = sumOf(targets)
  if (all === 0) return Number.NaN
  const dot = (a: readonly number[], b: readonly number[]) => sumOf(a.map((value, i) => value * (b[i] as number)))
  const right = sumOf(matrix.map((row, i) => row[i] as number))
  const spread = (all * all - dot(predictions, predictions)) * (all * all - dot(targets, targets))
  return spread === 0 ? 0 : (right * all - dot(targets, predictions)) / Math.sqrt(spread)
}

/**
 * Matthews' correlation of predictions and targets, for two or more classes, from -1 to 1; 0 if either has only one
 * class. Outputs are as for `precision`. scikit-learn's matthews_corrcoef.
 */
export function matthews(options: PairOptions = {}): ResumableMetric {
  return new OfPairs('matthews', checkedPairs<PairOptions>('matthews', options, pairNames), matthewsOf)
}

/** Metrics of the order of scores, for which all scores of a pass are kept. */
import { noGrad } from '../../autograd/mode.js'
import { ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, type OptionNames, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import {
  averagePrecisionOf,
  type PrecisionRecallCurve,
  prAucOf,
  precisionRecallCurveOf,
  type RocCurve,
  rocAucOf,
  rocCurveOf,
  type Scored,
} from './curves.js'
import {
  checkLabel,
  checkOneOf,
  checkShapeOptions,
  checkWhole,
  type From,
  given,
  rowsOf,
  type ShapeOptions,
} from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { Column, Largest, type Parts } from './parts.js'

export interface RankingOptions extends ShapeOptions {
  /** Whether outputs of several classes are logits or probabilities. Default logits. */
  readonly from?: From
  /**
   * Whether each row has several labels, each of which is set or not. Outputs and targets are then [N, L]. Default
   * false.
   */
  readonly multilabel?: boolean
  /** The most scores of a pass that are kept. Beyond, `compute` throws ValueError. Default 2^24, which take 128 MB. */
  readonly limit?: number
}

export interface AreaOptions extends RankingOptions {
  /**
   * The way in which the numbers of classes, each against the rest, become one. `macro` is their mean, and `weighted`
   * weights it by how often the class is a target. `micro` takes all questions as one. `samples` is the mean over rows
   * with several labels. `none` gives a list of them. Default macro.
   */
  readonly average?: 'macro' | 'weighted' | 'micro' | 'samples' | 'none'
}

export interface RocAucOptions extends AreaOptions {
  /** The comparison of three or more classes: each against the rest, or all pairs of them. Default ovr. */
  readonly multiclass?: 'ovr' | 'ovo'
  /** The area only up to this share of false alarms, corrected so that chance is 0.5. For two classes. */
  readonly maxFpr?: number
}

/**
 * All scores, row by row; the labels of the rows (one, or with `multilabel` one for each score); and the rows' weights.
 */
interface Kept extends Parts {
  /** The number of scores in a row: 1 if there are two classes. */
  readonly width: Largest
  readonly scores: Column
  readonly labels: Column
  readonly weights: Column
}

abstract class Ranked<V, O extends RankingOptions> extends Measure<Tensor, Tensor, V, Kept> {
  protected readonly options: O
  #width = 0

  constructor(op: string, options: O) {
    super(op, options)
    this.options = options
  }

  protected abstract ofBinary(items: Scored): V
  protected abstract ofMany(kept: Kept, width: number): V
  protected abstract ofNothing(): V
  protected check(_width: number, _weighted: boolean): void {}

  protected empty(): Kept {
    const column = () => new Column(this.op, this.options.limit ?? 2 ** 24)
    return { width: new Largest(), scores: column(), labels: column(), weights: column() }
  }

  protected value(kept: Kept): V {
    if (kept.weights.length === 0) return this.ofNothing()
    const { multilabel = false } = this.options
    const width = kept.width.value
    if (width > 1 || multilabel) return this.ofMany(kept, width)
    return this.ofBinary({ scores: kept.scores.dump(), labels: kept.labels.dump(), weights: kept.weights.dump() })
  }

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    const { multilabel = false, from = 'logits', ignoreIndex = -100 } = this.options
    const seen = given(this.op, output, target, sampleWeight, this.options)
    const { kind, classes, weight } = seen
    if (kind === 'labels')
      throw new ShapeError(this.op, 'takes scores of classes, [N, C], or one score for each item, not labels', [
        output.sizes,
      ])
    const width = kind === 'binary' || (kind === 'classes' && classes === 2) ? 1 : classes
    this.check(width, weight !== null)
    if (this.#width !== 0 && this.#width !== width)
      throw new ShapeError(this.op, `outputs have ${classes} classes, but those before had others`, [output.sizes])
    this.#width = width
    noGrad(() => {
      const scores = kind === 'classes' ? rowsOf(seen) : seen.scores
      this.read(
        weight ? [scores, seen.target, weight] : [scores, seen.target],
        (kept, [all = [], is = [], weights]) => {
          kept.width.take(Float64Array.of(width))
          const columns = kind === 'binary' ? 1 : classes
          const row = new Float64Array(columns)
          for (let i = 0; i * columns < all.length; i++) {
            const own = multilabel ? Array.from(is.slice(i * columns, (i + 1) * columns)) : [is[i] as number]
            if (own.some((label) => label === ignoreIndex)) continue
            for (const label of own) checkLabel(this.op, label, multilabel ? 2 : classes)
            row.forEach((_, c) => {
              row[c] = all[i * columns + c] as number
            })
            for (const score of kind === 'classes' ? scoresOf(row, from) : row) kept.scores.push(score)
            for (const label of own) kept.labels.push(label)
            kept.weights.push((weights?.[i] as number | undefined) ?? 1)
          }
        },
      )
    })
  }
}

/**
 * The scores by which items are ranked: one number for two classes, and probabilities for more, because rows are
 * compared.
 */
function scoresOf(row: Float64Array, from: From): ArrayLike<number> & Iterable<number> {
  const [first, second] = row as unknown as readonly [number, number]
  if (row.length === 2) return [from === 'logits' ? second - first : second]
  if (from === 'probabilities') return row
  const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const powers = row.map((value) => Math.exp(value - most))
  const total = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / total)
}

const hasNaN = (numbers: Float64Array) => numbers.some(Number.isNaN)

/** The yes-or-no questions that a number of classes or labels makes. */
class Questions {
  readonly #kept: Kept
  readonly width: number
  readonly #multilabel: boolean
  readonly rows: number

  constructor(kept: Kept, width: number, multilabel: boolean) {
    this.#kept = kept
    this.width = width
    this.#multilabel = multilabel
    this.rows = kept.weights.length
  }

  label(row: number, column: number): number {
    const labels = this.#kept.labels.dump()
    return this.#multilabel ? (labels[row * this.width + column] as number) : Number(labels[row] === column)
  }

  /** The items at the given places, each of which is a row and a column. */
  #items(count: number, place: (i: number) => readonly [row: number, column: number]): Scored {
    const [scores, weights] = [this.#kept.scores.dump(), this.#kept.weights.dump()]
    const items = {
      scores: new Float64Array(count),
      labels: new Float64Array(count),
      weights: new Float64Array(count),
    }
    for (let i = 0; i < count; i++) {
      const [row, column] = place(i)
      items.scores[i] = scores[row * this.width + column] as number
      items.labels[i] = this.label(row, column)
      items.weights[i] = weights[row] as number
    }
    return items
  }

  column(column: number, rows?: readonly number[]): Scored {
    return this.#items(rows?.length ?? this.rows, (i) => [rows?.[i] ?? i, column])
  }

  /** All items of a row have the same weight. */
  row(row: number): Scored {
    const items = this.#items(this.width, (i) => [row, i])
    return { ...items, weights: items.weights.map(() => 1) }
  }

  all(): Scored {
    return this.#items(this.rows * this.width, (i) => [Math.floor(i / this.width), i % this.width])
  }

  weight(row: number): number {
    return this.#kept.weights.dump()[row] as number
  }

  /** The weight of a column's 1s. */
  support(column: number): number {
    let sum = 0
    for (let row = 0; row < this.rows; row++) sum += this.label(row, column) * this.weight(row)
    return sum
  }
}

function average(values: readonly number[], weights: readonly number[]): number {
  let [sum, weight] = [0, 0]
  values.forEach((value, i) => {
    sum += value * (weights[i] as number)
    weight += weights[i] as number
  })
  return sum / weight
}

/** Hand and Till's mean over pairs of classes. */
function overPairs(questions: Questions, of: (items: Scored) => number, weighted: boolean): number {
  const [values, weights]: [number[], number[]] = [[], []]
  for (let a = 0; a < questions.width; a++)
    for (let b = a + 1; b < questions.width; b++) {
      const rows: number[] = []
      for (let row = 0; row < questions.rows; row++)
        if (questions.label(row, a) === 1 || questions.label(row, b) === 1) rows.push(row)
      values.push((of(questions.column(a, rows)) + of(questions.column(b, rows))) / 2)
      weights.push(weighted ? rows.length : 1)
    }
  return average(values, weights)
}

class Area extends Ranked<number | number[], RocAucOptions> {
  readonly #of: (items: Scored) => number

  constructor(op: string, options: RocAucOptions, of: (items: Scored) => number) {
    super(op, options)
    this.#of = of
  }

  fresh(): ResumableMetric<Tensor, Tensor, number | number[]> {
    return new Area(this.op, this.options, this.#of)
  }

  protected override check(width: number, weighted: boolean): void {
    const { average: how = 'macro', multiclass = 'ovr', maxFpr, multilabel = false } = this.options
    if (how === 'samples' && !multilabel)
      throw new ValueError(this.op, "average 'samples' is for rows of several labels; set multilabel: true as well")
    if (maxFpr !== undefined && maxFpr !== 1 && width > 1 && !multilabel)
      throw new ValueError(this.op, `maxFpr is for two classes, but there are ${width}`)
    if (multiclass === 'ovo' && weighted)
      throw new ValueError(this.op, "takes no sampleWeight with multiclass: 'ovo', whose pairs have no weighted form")
  }

  protected ofNothing(): number | number[] {
    return this.options.average === 'none' ? [] : Number.NaN
  }

  protected ofBinary(items: Scored): number | number[] {
    const value = hasNaN(items.scores) ? Number.NaN : this.#of(items)
    return this.options.average === 'none' ? [value] : value
  }

  protected ofMany(kept: Kept, width: number): number | number[] {
    const { average: how = 'macro', multiclass = 'ovr', multilabel = false } = this.options
    const questions = new Questions(kept, width, multilabel)
    const of = (items: Scored) => (hasNaN(items.scores) ? Number.NaN : this.#of(items))
    if (multiclass === 'ovo' && !multilabel) return overPairs(questions, of, how === 'weighted')
    if (how === 'micro') return of(questions.all())
    if (how === 'samples') {
      const rows = Array.from({ length: questions.rows }, (_, row) => row)
      return average(
        rows.map((row) => of(questions.row(row))),
        rows.map((row) => questions.weight(row)),
      )
    }
    const columns = Array.from({ length: width }, (_, column) => column)
    const values = columns.map((column) => of(questions.column(column)))
    if (how === 'none') return values
    return average(
      values,
      columns.map((column) => (how === 'weighted' ? questions.support(column) : 1)),
    )
  }
}

class Curve<V> extends Ranked<V, RankingOptions> {
  readonly #of: (items: Scored) => V

  constructor(op: string, options: RankingOptions, of: (items: Scored) => V) {
    super(op, options)
    this.#of = of
  }

  fresh(): ResumableMetric<Tensor, Tensor, V> {
    return new Curve(this.op, this.options, this.#of)
  }

  protected override check(width: number): void {
    if (width > 1) throw new ValueError(this.op, `is a curve of two classes, but there are ${width}`)
  }

  protected ofNothing(): V {
    return this.#of({ scores: new Float64Array(), labels: new Float64Array(), weights: new Float64Array() })
  }

  protected ofBinary(items: Scored): V {
    if (hasNaN(items.scores)) throw new ValueError(this.op, 'scores that are NaN have no place on a curve')
    return this.#of(items)
  }

  protected ofMany(): V {
    throw new ValueError(this.op, 'is a curve of two classes; leave multilabel out')
  }
}

const rankingNames = { ignoreIndex: true, classDim: true, from: true, multilabel: true, limit: true } as const
const areaNames = { ...rankingNames, average: true } as const

function checked<O extends RankingOptions>(op: string, options: O, names: OptionNames<O>): O {
  const own = ownOptions(op, options, names)
  checkShapeOptions(op, own)
  checkOneOf(op, 'from', own.from, ['logits', 'probabilities'])
  if (own.multilabel !== undefined) checkFlag(op, 'multilabel', own.multilabel)
  checkWhole(op, 'limit', own.limit, 1)
  return own
}

type AreaMetric<O> = O extends { readonly average: 'none' }
  ? ResumableMetric<Tensor, Tensor, number[]>
  : ResumableMetric

function area<O extends AreaOptions>(
  op: string,
  options: O,
  names: OptionNames<O>,
  of: (own: O) => (items: Scored) => number,
) {
  const own = checked<O>(op, options, names)
  checkOneOf(op, 'average', own.average, ['macro', 'weighted', 'micro', 'samples', 'none'])
  return new Area(op, own, of(own)) as unknown as ResumableMetric<Tensor, Tensor, never>
}

/**
 * The area under the ROC curve, which is how often a 1 scores higher than a 0, with ties counted half. Outputs are one
 * score for each item in the shape of the targets, logits [N, C] (or [N, C, ...], [N, ..., C]) with int32 labels, or
 * [N, L] with `multilabel`. NaN if a class has all items or none, and while nothing was counted. Keeps 8 bytes for each
 * score, label and weight of the pass, up to `limit` scores, and sorts them in `compute`. scikit-learn's roc_auc_score.
 * Throws ValueError for a `maxFpr` outside of (0, 1], and for an average that 'ovo' does not have.
 */
export function rocAuc<const O extends RocAucOptions = object>(options?: O): AreaMetric<O> {
  const names = { ...areaNames, multiclass: true, maxFpr: true } as const
  return area<RocAucOptions>('rocAuc', options ?? {}, names, ({ multiclass, maxFpr, average: how = 'macro' }) => {
    checkOneOf('rocAuc', 'multiclass', multiclass, ['ovr', 'ovo'])
    if (maxFpr !== undefined && !(typeof maxFpr === 'number' && maxFpr > 0 && maxFpr <= 1))
      throw new ValueError('rocAuc', `maxFpr is ${shown(maxFpr)}, but must be a share above 0, at most 1`)
    if (multiclass === 'ovo' && how !== 'macro' && how !== 'weighted')
      throw new ValueError('rocAuc', `average is '${how}', but pairs of classes have 'macro' and 'weighted' only`)
    return (items) => rocAucOf(items, maxFpr)
  }) as AreaMetric<O>
}

/**
 * The mean of the precisions at each 1, in the order of the scores. This is the area under the curve of precision and
 * recall, as a sum of steps. 0 for a class without items. Outputs, memory and options are as for `rocAuc`.
 * scikit-learn's average_precision_score.
 */
export function averagePrecision<const O extends AreaOptions = object>(options?: O): AreaMetric<O> {
  return area<AreaOptions>('averagePrecision', options ?? {}, areaNames, () => averagePrecisionOf) as AreaMetric<O>
}

/**
 * The area under the curve of precision and recall by trapezoids, which is larger than `averagePrecision` if there are
 * few scores. Outputs, memory and options are as for `rocAuc`. scikit-learn's auc of its precision_recall_curve.
 */
export function prAuc<const O extends AreaOptions = object>(options?: O): AreaMetric<O> {
  return area<AreaOptions>('prAuc', options ?? {}, areaNames, () => prAucOf) as AreaMetric<O>
}

export interface RocCurveOptions extends RankingOptions {
  /** Whether points on a straight line between others are left out. Default false. */
  readonly dropIntermediate?: boolean
}

/**
 * The ROC curve of two classes, a report. Outputs and memory are as for `rocAuc`. With two logits the thresholds are
 * for their difference. scikit-learn's roc_curve.
 */
export function rocCurve(options: RocCurveOptions = {}): ResumableMetric<Tensor, Tensor, RocCurve> {
  const own = checked<RocCurveOptions>('rocCurve', options, { ...rankingNames, dropIntermediate: true })
  const { dropIntermediate } = own
  if (dropIntermediate !== undefined) checkFlag('rocCurve', 'dropIntermediate', dropIntermediate)
  return new Curve('rocCurve', own, (items) => rocCurveOf(items, dropIntermediate))
}

/**
 * Precision and recall of two classes at each threshold, a report. Like `rocCurve`. scikit-learn's
 * precision_recall_curve.
 */
export function precisionRecallCurve(
  options: RankingOptions = {},
): ResumableMetric<Tensor, Tensor, PrecisionRecallCurve> {
  const own = checked<RankingOptions>('precisionRecallCurve', options, rankingNames)
  return new Curve('precisionRecallCurve', own, precisionRecallCurveOf)
}

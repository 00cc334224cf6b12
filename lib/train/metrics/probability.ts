/** The quality of probabilities: log loss, Brier's score, calibration. */
import { noGrad } from '../../autograd/mode.js'
import { ShapeError } from '../../core/errors.js'
import { checkFlag, type OptionNames, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { where } from '../../ops/elementwise/index.js'
import { gather } from '../../ops/indexing/index.js'
import { max, sum } from '../../ops/reduce/index.js'
import { reshape } from '../../ops/shape/index.js'
import { logSoftmax, softmax } from '../../ops/softmax.js'
import {
  checkLabel,
  checkOneOf,
  checkShapeOptions,
  checkWhole,
  type From,
  type Given,
  given,
  rowsOf,
  type ShapeOptions,
} from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { Largest, type Parts, Sums } from './parts.js'

export interface ProbabilityOptions extends ShapeOptions {
  /** Whether the outputs are logits or probabilities. Default logits. */
  readonly from?: From
}

const probabilityNames = { ignoreIndex: true, classDim: true, from: true } as const

function checked<O extends ProbabilityOptions>(op: string, options: O, names: OptionNames<O>): O {
  const own = ownOptions(op, options, names)
  checkShapeOptions(op, own)
  checkOneOf(op, 'from', own.from, ['logits', 'probabilities'])
  return own
}

const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))

/** The few numbers of each item that an update reads. The device computes them from any number of classes. */
type PerItem = readonly Tensor[]

/** Numbers of one item, in the order of the tensors that were read. */
type Item = readonly number[]

abstract class OfItems<V, P extends Parts, O extends ProbabilityOptions> extends Measure<Tensor, Tensor, V, P> {
  protected readonly options: O

  constructor(op: string, options: O) {
    super(op, options)
    this.options = options
  }

  /** The numbers that the sum over items needs from the outputs: one for each row of `classes`, or for each score. */
  protected abstract perRow(rows: Tensor, labels: Tensor): PerItem
  protected abstract add(totals: P, item: Item, label: number, weight: number, kind: Given['kind']): void

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    const seen = given(this.op, output, target, sampleWeight, this.options)
    const { kind, classes, weight } = seen
    if (kind === 'labels')
      throw new ShapeError(this.op, 'takes scores of classes, [N, C], or one score for each item, not labels', [
        output.sizes,
      ])
    const { ignoreIndex = -100 } = this.options
    noGrad(() => {
      const flat = reshape(seen.target, [-1])
      const safe = where(flat.eq(ignoreIndex), 0, flat)
      const items = kind === 'binary' ? [seen.scores] : this.perRow(rowsOf(seen), reshape(safe, [-1, 1]))
      this.read(weight ? [...items, flat, weight] : [...items, flat], (totals, values) => {
        const columns = values.slice(0, items.length)
        const [labels = [], weights] = values.slice(items.length)
        for (let i = 0; i < labels.length; i++) {
          const label = labels[i] as number
          if (label === ignoreIndex) continue
          checkLabel(this.op, label, classes)
          const item = columns.map((column) => column[i] as number)
          this.add(totals, item, label, (weights?.[i] as number | undefined) ?? 1, kind)
        }
      })
    })
  }

  /** The probability for a single score. */
  protected probability(score: number): number {
    return this.options.from === 'probabilities' ? score : sigmoid(score)
  }
}

/** A weighted sum and its weights. */
interface Mean extends Parts {
  readonly sums: Sums
}

export interface LogLossOptions extends ProbabilityOptions {
  /** Whether the sum is divided by the sum of the weights. Default true. */
  readonly normalize?: boolean
}

const epsilon = 2 ** -52
/** A negative log likelihood within the bounds that scikit-learn sets for float64 probabilities. */
const bounded = (loss: number) => Math.min(Math.max(loss, -Math.log(1 - epsilon)), -Math.log(epsilon))

class LogLoss extends OfItems<number, Mean, LogLossOptions> {
  fresh(): ResumableMetric {
    return new LogLoss('logLoss', this.options)
  }

  protected empty(): Mean {
    return { sums: new Sums(2) }
  }

  protected perRow(rows: Tensor, labels: Tensor): PerItem {
    if (this.options.from === 'probabilities') return [gather(rows, 1, labels).log().neg()]
    return [gather(logSoftmax(rows, 1), 1, labels).neg()]
  }

  protected add({ sums }: Mean, [value = 0]: Item, label: number, weight: number, kind: Given['kind']): void {
    sums.add(0, weight * bounded(kind === 'binary' ? this.#binary(value, label) : value))
    sums.add(1, weight)
  }

  #binary(score: number, label: number): number {
    if (this.options.from === 'probabilities') return -Math.log(label === 1 ? score : 1 - score)
    const signed = label === 1 ? -score : score
    return Math.max(signed, 0) + Math.log1p(Math.exp(-Math.abs(signed)))
  }

  protected value({ sums }: Mean): number {
    if (sums.get(1) === 0) return Number.NaN
    return this.options.normalize === false ? sums.get(0) : sums.get(0) / sums.get(1)
  }
}

/**
 * The mean negative log likelihood of the targets in nats. Outputs are logits [N, C] (or [N, C, ...], [N, ..., C]) with
 * int32 labels, or one logit for each item in the shape of the targets. With `from: 'probabilities'` they are
 * probabilities, which must add up to 1. A probability counts as at least 2^-52, so that no item costs more than 36
 * nats. NaN while nothing was counted. scikit-learn's log_loss.
 */
export function logLoss(options: LogLossOptions = {}): ResumableMetric {
  const own = checked<LogLossOptions>('logLoss', options, { ...probabilityNames, normalize: true })
  if (own.normalize !== undefined) checkFlag('logLoss', 'normalize', own.normalize)
  return new LogLoss('logLoss', own)
}

export interface BrierOptions extends ProbabilityOptions {
  /**
   * Whether the sum of squares over the classes is halved, so that it lies in [0, 1]. By default only for two classes.
   */
  readonly scaleByHalf?: boolean
}

class Brier extends OfItems<number, Mean, BrierOptions> {
  fresh(): ResumableMetric {
    return new Brier('brier', this.options)
  }

  protected empty(): Mean {
    return { sums: new Sums(2) }
  }

  protected perRow(rows: Tensor, labels: Tensor): PerItem {
    const p = this.options.from === 'probabilities' ? rows : softmax(rows, 1)
    const { scaleByHalf = (rows.sizes[1] as number) < 3 } = this.options
    // The sum of p^2 - 2 p_label + 1, which is the sum of the squared differences.
    const squares = sum(p.mul(p), 1)
      .sub(reshape(gather(p, 1, labels), [-1]).mul(2))
      .add(1)
    return [scaleByHalf ? squares.mul(0.5) : squares]
  }

  protected add({ sums }: Mean, [value = 0]: Item, label: number, weight: number, kind: Given['kind']): void {
    const { scaleByHalf = true } = this.options
    sums.add(0, weight * (kind === 'binary' ? (this.probability(value) - label) ** 2 * (scaleByHalf ? 1 : 2) : value))
    sums.add(1, weight)
  }

  protected value({ sums }: Mean): number {
    return sums.get(0) / sums.get(1)
  }
}

/**
 * Brier's score, the mean squared distance of the probabilities from the truth. Outputs are as for `logLoss`. NaN while
 * nothing was counted. scikit-learn's brier_score_loss.
 */
export function brier(options: BrierOptions = {}): ResumableMetric {
  const own = checked<BrierOptions>('brier', options, { ...probabilityNames, scaleByHalf: true })
  if (own.scaleByHalf !== undefined) checkFlag('brier', 'scaleByHalf', own.scaleByHalf)
  return new Brier('brier', own)
}

export interface CalibrationOptions extends ProbabilityOptions {
  /**
   * The number of bins of equal width into which confidence is sorted. Each includes its upper edge but not its lower
   * one. At most 2^16, default 10.
   */
  readonly bins?: number
  /** The expected error, the root of the expected squared error, or the largest error of a bin. Default l1. */
  readonly norm?: 'l1' | 'l2' | 'max'
}

/** The weights of each bin, their confidence, and their hits. */
interface Bins extends Parts {
  readonly weights: Sums
  readonly confidence: Sums
  readonly hits: Sums
}

class CalibrationError extends OfItems<number, Bins, CalibrationOptions> {
  get #bins(): number {
    return this.options.bins ?? 10
  }

  fresh(): ResumableMetric {
    return new CalibrationError('calibrationError', this.options)
  }

  protected empty(): Bins {
    return { weights: new Sums(this.#bins), confidence: new Sums(this.#bins), hits: new Sums(this.#bins) }
  }

  protected perRow(rows: Tensor): PerItem {
    return [...max(this.options.from === 'probabilities' ? rows : softmax(rows, 1), 1)]
  }

  protected add(
    bins: Bins,
    [value = 0, predicted = 0]: Item,
    label: number,
    weight: number,
    kind: Given['kind'],
  ): void {
    const confidence = kind === 'binary' ? this.probability(value) : value
    const hit = kind === 'binary' ? label : Number(predicted === label)
    // NaN goes to a bin where it shows.
    const bin = Number.isNaN(confidence)
      ? 0
      : Math.min(Math.max(Math.ceil(confidence * this.#bins) - 1, 0), this.#bins - 1)
    bins.weights.add(bin, weight)
    bins.confidence.add(bin, weight * confidence)
    bins.hits.add(bin, weight * hit)
  }

  protected value({ weights, confidence, hits }: Bins): number {
    const all = weights.values.reduce((total, weight) => total + weight, 0)
    if (all === 0) return Number.NaN
    const largest = new Largest()
    let [first, second] = [0, 0]
    weights.values.forEach((weight, bin) => {
      if (weight === 0) return
      const gap = Math.abs(hits.get(bin) - confidence.get(bin)) / weight
      largest.take(Float64Array.of(gap))
      first += (weight / all) * gap
      second += (weight / all) * gap * gap
    })
    const { norm = 'l1' } = this.options
    if (norm === 'max') return largest.value
    return norm === 'l2' ? Math.sqrt(second) : first
  }
}

/**
 * The expected calibration error: the distance, bin by bin, of the largest class's probability from the share of items
 * for which it is right. Outputs are as for `logLoss`. With one score for each item it uses the probability of yes. NaN
 * while nothing was counted. Guo et al., "On Calibration of Modern Neural Networks", 2017.
 */
export function calibrationError(options: CalibrationOptions = {}): ResumableMetric {
  const own = checked<CalibrationOptions>('calibrationError', options, { ...probabilityNames, bins: true, norm: true })
  checkWhole('calibrationError', 'bins', own.bins, 1, 2 ** 16)
  checkOneOf('calibrationError', 'norm', own.norm, ['l1', 'l2', 'max'])
  return new CalibrationError('calibrationError', own)
}

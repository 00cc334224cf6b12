/** Shares of right answers, added up on the device. */
import { noGrad } from '../../autograd/mode.js'
import { ShapeError, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { arange } from '../../ops/creation.js'
import { add, eq, ge, logicalAnd, lt, mul, ne, where } from '../../ops/elementwise/index.js'
import { gather } from '../../ops/indexing/index.js'
import { all, sum } from '../../ops/reduce/index.js'
import { reshape } from '../../ops/shape/index.js'
import {
  checkShapeOptions,
  checkThreshold,
  checkWhole,
  type Given,
  given,
  labelsOfShares,
  predictedOf,
  rowsOf,
  type ShapeOptions,
  type ThresholdOptions,
} from './given.js'
import { Measure, type ResumableMetric } from './metric.js'
import { type Parts, Sums } from './parts.js'
import { countedOnDevice, DeviceFraction } from './running.js'

interface Hits extends Parts {
  readonly sums: Sums
}

/** The weighted share of hits. */
abstract class Share<O extends ShapeOptions> extends Measure<Tensor, Tensor, number, Hits> {
  protected readonly options: O
  readonly #device = new DeviceFraction((tensors, take) => this.read(tensors, take))

  constructor(op: string, options: O) {
    super(op, options)
    this.options = options
  }

  /** Checks the arguments. Returns two bool tensors: the items that are hits, and the items that count (null: all). */
  protected abstract judge(
    output: Tensor,
    target: Tensor,
    sampleWeight: Tensor | undefined,
  ): readonly [hits: Tensor, counted: Tensor | null, weight: Tensor | null]

  protected empty(): Hits {
    return { sums: new Sums(2) }
  }

  protected value({ sums }: Hits): number {
    return sums.get(0) / sums.get(1)
  }

  protected override flush(): void {
    this.#device.flush()
  }

  override reset(): void {
    this.#device.clear()
    super.reset()
  }

  update(output: Tensor, target: Tensor, sampleWeight?: Tensor): void {
    noGrad(() => {
      const [hits, counted, weight] = this.judge(output, target, sampleWeight)
      const { numel } = hits
      const ones = hits.to('float32')
      if (counted === null && weight === null) return this.#device.add(sum(ones), numel, numel)
      const weights = weight === null ? (counted as Tensor).to('float32') : this.#weights(weight, counted)
      // Sums of weights are rounded, so each batch's sum goes to the host.
      return this.#device.add(sum(mul(ones, weights)), sum(weights), weight === null ? numel : countedOnDevice)
    })
  }

  #weights(weight: Tensor, counted: Tensor | null): Tensor {
    const weights = weight.to('float32')
    return counted === null ? weights : where(counted, weights, 0)
  }
}

export interface AccuracyOptions extends ShapeOptions, ThresholdOptions {
  /**
   * Whether each row has several labels, each of which is set or not. Outputs and targets are then [N, L]. Default
   * false.
   */
  readonly multilabel?: boolean
  /**
   * A row with `multilabel` counts as right only if all its labels are, as in scikit-learn. Default false: each label
   * counts.
   */
  readonly subset?: boolean
}

const accuracyNames = {
  ignoreIndex: true,
  classDim: true,
  threshold: true,
  from: true,
  multilabel: true,
  subset: true,
} as const

class Accuracy extends Share<AccuracyOptions> {
  fresh(): ResumableMetric {
    return new Accuracy('accuracy', this.options)
  }

  protected judge(output: Tensor, truth: Tensor, sampleWeight: Tensor | undefined) {
    const { ignoreIndex = -100, multilabel = false, subset = false } = this.options
    const target = labelsOfShares('accuracy', output, truth, this.options)
    const seen = given('accuracy', output, target, sampleWeight, this.options)
    const right = this.#right(seen)
    if (!multilabel) return [right, ne(target, ignoreIndex), seen.weight] as const
    if (subset) return [all(right, 1), null, seen.weight] as const
    return [right, ne(target, ignoreIndex), seen.weight && reshape(seen.weight, [-1, 1]).expand(right.sizes)] as const
  }

  #right(seen: Given): Tensor {
    return eq(predictedOf(seen, this.options).to('int32'), seen.target.to('int32'))
  }
}

/**
 * The share of int32 targets that are the largest class of the outputs, or the first of equally large ones. Targets are
 * [N, ...] for outputs [N, C, ...], as for crossEntropy, or for [N, ..., C]. Targets that are `ignoreIndex` do not
 * count. NaN if none counts. Targets may also be shares of classes (float32, of the outputs' shape), as mixup makes
 * them, of which the largest counts. Outputs may also be one logit for each item in the shape of the targets ([N] or
 * [N, 1]), which are then 0 or 1; labels (int32, of the targets' shape); or, with `multilabel`, [N, L]. scikit-learn's
 * accuracy_score. Throws ValueError for `subset` without `multilabel`.
 */
export function accuracy(options: AccuracyOptions = {}): ResumableMetric {
  const own = ownOptions('accuracy', options, accuracyNames)
  checkShapeOptions('accuracy', own)
  checkThreshold('accuracy', own)
  if (own.multilabel !== undefined) checkFlag('accuracy', 'multilabel', own.multilabel)
  if (own.subset !== undefined) checkFlag('accuracy', 'subset', own.subset)
  if (own.subset && !own.multilabel)
    throw new ValueError('accuracy', 'subset is for rows of several labels; set multilabel: true as well')
  return new Accuracy('accuracy', own)
}

class TopK extends Share<ShapeOptions> {
  readonly #k: number

  constructor(k: number, options: ShapeOptions) {
    super('topK', { ...options, k } as ShapeOptions)
    this.#k = k
  }

  fresh(): ResumableMetric {
    return new TopK(this.#k, this.options)
  }

  protected judge(output: Tensor, truth: Tensor, sampleWeight: Tensor | undefined) {
    const target = labelsOfShares('topK', output, truth, this.options)
    const seen = given('topK', output, target, sampleWeight, this.options)
    const { kind, classes, weight } = seen
    if (kind !== 'classes')
      throw new ShapeError('topK', 'takes scores of two or more classes, [N, C], and a label for each row', [
        output.sizes,
        target.sizes,
      ])
    const { ignoreIndex = -100 } = this.options
    const labels = reshape(target, [-1, 1])
    const counted = ne(labels, ignoreIndex)
    const safe = where(counted, labels, 0)
    const scores = rowsOf(seen)
    const own = gather(scores, 1, safe)
    const before = lt(arange(0, classes, 1, { dtype: 'int32', device: scores.device }), safe)
    // The number of classes above the label. A NaN is above all of them, and as a label it is above none.
    const below = add(lt(scores, own).to('int32'), logicalAnd(eq(scores, own), before).to('int32'))
    const hits = ge(sum(below, 1), classes - this.#k)
    return [hits, reshape(counted, [-1]), weight && reshape(weight, [-1])] as const
  }
}

/**
 * The share of targets among the `k` largest classes. Shapes are as for `accuracy`. The class with the larger index
 * ranks first among equal scores, as in scikit-learn's top_k_accuracy_score. A label whose score is NaN is not among
 * them unless all classes are.
 */
export function topK(k: number, options: ShapeOptions = {}): ResumableMetric {
  checkWhole('topK', 'k', k === undefined ? null : k, 1)
  const own = ownOptions('topK', checkOptions('topK', options, { ignoreIndex: true, classDim: true }), {
    ignoreIndex: true,
    classDim: true,
  })
  checkShapeOptions('topK', own)
  return new TopK(k, own)
}

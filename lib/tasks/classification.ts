/** Learning to classify, with one class for each row or any number of them, and learning to predict numbers. */
import { DTypeError, formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkFlag, listOf, type OptionNames, ownOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import type { ProblemType } from '../models/encoder.js'
import { castTo } from '../ops/convert.js'
import { tensor } from '../ops/creation.js'
import { add, maximum, mul, ne } from '../ops/elementwise/index.js'
import { indexSelect } from '../ops/indexing/index.js'
import { binaryCrossEntropyWithLogits, crossEntropy, mseLoss } from '../ops/loss/index.js'
import { sum } from '../ops/reduce/index.js'
import { reshape } from '../ops/shape/index.js'
import { accuracy } from '../train/metrics/accuracy.js'
import { f1 } from '../train/metrics/counts.js'
import { mae, r2 } from '../train/metrics/regression.js'
import type { Loss, Objective } from '../train/objective.js'
import { checkText, forwardInputs, labelsIn, type ScoringModel } from './model.js'
import type { TextBatch } from './rows/text.js'

/** Batches of `textRows`, or [input, labels] for a module of any kind, such as one for images. */
export type ClassificationBatch = TextBatch | readonly [input: Tensor, labels: Tensor]

export interface ClassificationOptions {
  /**
   * Whether a row may have any number of classes. Labels are then float32 [B, classes], with 1 for each class of the
   * row. Default false: int32 [B].
   */
  readonly multiLabel?: boolean
  /** The share of each target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number
  /**
   * A factor for each class. With one class for each row it weights the row, and the mean divides by the sum of
   * weights. With `multiLabel` it weights labels that are set, whereas those that are not have weight 1.
   */
  readonly classWeights?: readonly number[]
  /** With `multiLabel`: the probability above which the metrics count a label as set. Default 0.5. */
  readonly threshold?: number
}

const classificationNames: OptionNames<ClassificationOptions> = {
  multiLabel: true,
  labelSmoothing: true,
  classWeights: true,
  threshold: true,
}

/** Labels that do not count. */
const ignored = -100

/** Throws unless they are factors for classes. Undefined if they are left out. */
export function checkWeights(op: string, weights: readonly number[] | undefined): readonly number[] | undefined {
  if (weights === undefined) return undefined
  const own = listOf(op, 'classWeights', weights, 'a list of numbers')
  if (own.length === 0 || !own.every((weight) => typeof weight === 'number' && Number.isFinite(weight) && weight >= 0))
    throw new ValueError(op, `classWeights are ${shown(own)}, but must be numbers of at least 0, one for each class`)
  return own
}

export function checkSmoothing(op: string, labelSmoothing: number): void {
  if (!(typeof labelSmoothing === 'number' && labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new ValueError(op, `labelSmoothing is ${shown(labelSmoothing)}, but must lie in [0, 1]`)
}

/** The factors as a tensor. Throws unless there is one for each class. */
export function weightsOf(op: string, weights: readonly number[] | undefined, scores: Tensor): Tensor | null {
  if (weights === undefined) return null
  const classes = scores.sizes.at(-1) as number
  if (weights.length !== classes)
    throw new ShapeError(op, `there are ${weights.length} classWeights, but the model has ${classes} classes`, [
      scores.sizes,
    ])
  return tensor(weights, { device: scores.device })
}

/** The way labels are learned. */
export interface ClassLossOptions {
  readonly smoothing: number
  readonly weights: readonly number[] | undefined
}

/** The summed cross entropy of rows of scores [N, C] by int32 labels [N], and the sum of their weights. */
export function weightedLoss(
  op: string,
  scores: Tensor,
  labels: Tensor,
  { smoothing, weights }: ClassLossOptions,
): Loss {
  const weight = weightsOf(op, weights, scores)
  const total = crossEntropy(scores, labels, {
    weight,
    ignoreIndex: ignored,
    labelSmoothing: smoothing,
    reduction: 'sum',
  })
  const counted = castTo(ne(labels, ignored), 'float32')
  const each = weight === null ? counted : mul(counted, indexSelect(weight, 0, maximum(labels, 0)))
  return { total, count: sum(each) }
}

function runOn(op: string, model: ScoringModel, batch: ClassificationBatch): Tensor {
  if (Array.isArray(batch)) return model.forward(batch[0] as Tensor)
  checkText(op, batch)
  return model.forward(batch.ids, forwardInputs(model, batch))
}

/**
 * Throws if the task in a model's configuration, by which `classify` computes scores, is not the one that it learns.
 */
function checkProblem(op: string, model: ScoringModel, problem: ProblemType): void {
  const { config } = model as ScoringModel & { readonly config?: { readonly problemType?: unknown } }
  const own = config?.problemType
  if (own === undefined || own === problem || (own === null && problem === 'single_label_classification')) return
  throw new ValueError(
    op,
    `the problemType of the model is ${kindOf(own)}, but must be '${problem}', because programs that score texts with it read that in its folder; ` +
      `make it with { problemType: '${problem}' }`,
  )
}

function targetOf(op: string, batch: ClassificationBatch): Tensor {
  return Array.isArray(batch) ? (batch[1] as Tensor) : labelsIn(op, batch)
}

function checkScores(op: string, scores: Tensor, most = 2): void {
  if (scores.ndim !== 2)
    throw new ShapeError(op, `the model gives ${formatShape(scores.sizes)}, but must give scores [B, classes]`, [
      scores.sizes,
    ])
  if ((scores.sizes[1] as number) < most)
    throw new ShapeError(
      op,
      'the model gives one score a row, which is not a choice between classes; give it two or more labels, or use regression()',
      [scores.sizes],
    )
}

/**
 * The objective of classifiers, which give scores [B, classes] before softmax. The loss is the summed cross entropy
 * over rows; with `multiLabel`, that of yes and no over rows times classes. Metrics are the accuracy (with `multiLabel`
 * of whole rows) and F1 (macro; with `multiLabel` micro). Works with every model of the head
 * `AutoModel.forSequenceClassification`, and with batches [input, labels] for any module. Throws ShapeError and
 * DTypeError for labels of another form, and ValueError for a model whose `problemType` names another task.
 */
export function classification(
  options: ClassificationOptions = {},
): Objective<ScoringModel, ClassificationBatch, 'accuracy' | 'f1'> {
  const op = 'classification'
  const {
    multiLabel = false,
    labelSmoothing = 0,
    classWeights,
    threshold,
  } = ownOptions(op, options, classificationNames)
  checkFlag(op, 'multiLabel', multiLabel)
  checkSmoothing(op, labelSmoothing)
  const weights = checkWeights(op, classWeights)
  if (threshold !== undefined && !multiLabel)
    throw new ValueError(
      op,
      'threshold is for rows of several labels, because the largest of two or more classes needs none; leave it out',
    )
  const lossOf = (scores: Tensor, labels: Tensor): Loss => {
    if (multiLabel) return labelsLoss(op, scores, labels, { smoothing: labelSmoothing, weights })
    if (labels.dtype !== 'int32')
      throw new DTypeError(
        op,
        `labels are ${labels.dtype}, but one class for each row must be int32; for several classes give multiLabel: true, for numbers use regression()`,
      )
    if (!sameShape(labels.sizes, scores.sizes.slice(0, 1)))
      throw new ShapeError(
        op,
        `labels are ${formatShape(labels.sizes)}, but must be [${scores.sizes[0]}]: one for each row`,
        [labels.sizes, scores.sizes],
      )
    return weightedLoss(op, scores, labels, { smoothing: labelSmoothing, weights })
  }
  const shared = threshold === undefined ? {} : { threshold }
  return {
    loss(model, batch) {
      const target = targetOf(op, batch)
      checkProblem(op, model, multiLabel ? 'multi_label_classification' : 'single_label_classification')
      const output = runOn(op, model, batch)
      checkScores(op, output, multiLabel ? 1 : 2)
      return { ...lossOf(output, target), output, target }
    },
    predict: (model, batch) => runOn(op, model, batch),
    metrics: multiLabel
      ? {
          accuracy: () => accuracy({ multilabel: true, subset: true, ...shared }),
          f1: () => f1({ multilabel: true, average: 'micro', ...shared }),
        }
      : { accuracy: () => accuracy(), f1: () => f1({ average: 'macro' }) },
  }
}

/** The summed cross entropy of yes and no for each class, and their number. Scores and labels are [B, C]. */
function labelsLoss(op: string, scores: Tensor, labels: Tensor, { smoothing, weights }: ClassLossOptions): Loss {
  if (labels.dtype !== 'float32' || !sameShape(labels.sizes, scores.sizes))
    throw new ShapeError(
      op,
      `labels are ${labels.dtype} ${formatShape(labels.sizes)}, but with multiLabel must be float32 ${formatShape(scores.sizes)}: 1 for each ` +
        'class of the row',
      [labels.sizes, scores.sizes],
    )
  const target = smoothing === 0 ? labels : add(mul(labels, 1 - smoothing), smoothing / 2)
  const posWeight = weightsOf(op, weights, scores)
  const total = binaryCrossEntropyWithLogits(scores, target, {
    ...(posWeight === null ? {} : { posWeight }),
    reduction: 'sum',
  })
  return { total, count: scores.numel }
}

/**
 * The objective of models that predict numbers: [B, 1] for labels float32 [B], or [B, K] for [B, K]. The loss is the
 * summed squared error over all numbers, and the metrics are `mae` and `r2`. Works like `classification` with texts and
 * with batches [input, labels]. A model from a folder must have the `problemType` 'regression'.
 */
export function regression(): Objective<ScoringModel, ClassificationBatch, 'mae' | 'r2'> {
  const op = 'regression'
  return {
    loss(model, batch) {
      const labels = targetOf(op, batch)
      checkProblem(op, model, 'regression')
      const output = runOn(op, model, batch)
      checkScores(op, output, 1)
      if (labels.dtype !== 'float32')
        throw new DTypeError(
          op,
          `labels are ${labels.dtype}, but must be float32: numbers to predict; for classes use classification()`,
        )
      const [rows, width] = output.sizes as readonly [number, number]
      const flat = width === 1 && labels.ndim === 1
      if (!sameShape(labels.sizes, flat ? [rows] : [rows, width]))
        throw new ShapeError(
          op,
          `labels are ${formatShape(labels.sizes)}, but must be ${formatShape([rows, width])}${width === 1 ? ` or [${rows}]` : ''}, as the ` +
            'model gives',
          [labels.sizes, output.sizes],
        )
      const target = flat ? reshape(labels, [rows, 1]) : labels
      return { total: mseLoss(output, target, { reduction: 'sum' }), count: rows * width, output, target }
    },
    predict: (model, batch) => runOn(op, model, batch),
    metrics: { mae, r2 },
  }
}

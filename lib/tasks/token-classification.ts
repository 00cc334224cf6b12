/** Learning the class of each token. */
import { DTypeError, formatShape, namedAs, ShapeError } from '../core/errors.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import { sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { reshape } from '../ops/shape/index.js'
import { accuracy } from '../train/metrics/accuracy.js'
import { entityF1 } from '../train/metrics/entities.js'
import type { Objective } from '../train/objective.js'
import { checkSmoothing, checkWeights, weightedLoss } from './classification.js'
import { checkText, forwardInputs, labelsIn, type ScoringModel } from './model.js'
import type { TokenBatch } from './rows/tokens.js'

export interface TokenClassificationOptions {
  /** The share of each target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number
  /** A factor for each class, which weights tokens in the mean. */
  readonly classWeights?: readonly number[]
}

export interface EntityClassificationOptions extends TokenClassificationOptions {
  /**
   * Names of the tags by index, such as `rows.labels`. F1 of entities is then also a metric, `f1`. See
   * `metrics.entityF1`.
   */
  readonly labels: readonly string[]
}

type AnyOptions = TokenClassificationOptions & { readonly labels?: readonly string[] }

const tokenNames: OptionNames<AnyOptions> = { labelSmoothing: true, classWeights: true, labels: true }

/**
 * The objective of models that give scores [B, T, classes] before softmax: summed cross entropy over the labelled
 * tokens. Labels are int32 [B, T], and -100 for other tokens. Metrics are the accuracy over the labelled tokens and, if
 * `labels` are given, F1 of entities. Works with every model of the head `AutoModel.forTokenClassification`. Throws
 * ShapeError and DTypeError for labels of another form.
 */
export function tokenClassification(
  options: EntityClassificationOptions,
): Objective<ScoringModel, TokenBatch, 'accuracy' | 'f1'>
export function tokenClassification(
  options?: TokenClassificationOptions,
): Objective<ScoringModel, TokenBatch, 'accuracy'>
export function tokenClassification(options: AnyOptions = {}): Objective<ScoringModel, TokenBatch, string> {
  const op = 'tokenClassification'
  const { labelSmoothing = 0, classWeights, labels: names } = ownOptions(op, options, tokenNames)
  checkSmoothing(op, labelSmoothing)
  const weights = checkWeights(op, classWeights)
  const f1 = names === undefined ? null : namedAs(op, () => entityF1({ labels: names }))
  const run = (model: ScoringModel, batch: TokenBatch): Tensor => {
    checkText(op, batch)
    const scores = model.forward(batch.ids, forwardInputs(model, batch))
    if (scores.ndim !== 3 || !sameShape(scores.sizes.slice(0, 2), batch.ids.sizes))
      throw new ShapeError(
        op,
        `the model gives ${formatShape(scores.sizes)}, but must give scores [B, T, classes] for ids ${formatShape(batch.ids.sizes)}`,
        [scores.sizes],
      )
    return scores
  }
  return {
    loss(model, batch) {
      const labels = labelsIn(op, batch)
      const output = run(model, batch)
      if (labels.dtype !== 'int32')
        throw new DTypeError(op, `labels are ${labels.dtype}, but must be int32: a class for each token, or -100`)
      if (!sameShape(labels.sizes, batch.ids.sizes))
        throw new ShapeError(
          op,
          `labels are ${formatShape(labels.sizes)}, but must be ${formatShape(batch.ids.sizes)}: one for each token`,
          [labels.sizes, batch.ids.sizes],
        )
      const rows = reshape(output, [labels.numel, output.sizes[2] as number])
      const loss = weightedLoss(op, rows, reshape(labels, [labels.numel]), { smoothing: labelSmoothing, weights })
      return { ...loss, output, target: labels }
    },
    predict: run,
    metrics: { accuracy: () => accuracy({ classDim: -1 }), ...(f1 === null ? {} : { f1: () => f1.fresh() }) },
  }
}

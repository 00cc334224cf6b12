/** Learning to find the answer to a question in a text. */
import type { Tensor } from '../core/tensor.js'
import type { Module } from '../nn/module.js'
import { ge, maximum, where } from '../ops/elementwise/index.js'
import { stack } from '../ops/shape/index.js'
import { accuracy } from '../train/metrics/accuracy.js'
import type { Loss, Objective } from '../train/objective.js'
import { checkText, type ForwardInputs, forwardInputs, labelsIn } from './model.js'
import type { AnswerBatch } from './rows/answers.js'

/** A model that scores each token as the first and as the last of the answer. */
export interface AnsweringModel extends Module {
  forward(ids: Tensor, inputs?: ForwardInputs): { readonly start: Tensor; readonly end: Tensor }
  loss(ids: Tensor, inputs: ForwardInputs & { readonly startPositions: Tensor; readonly endPositions: Tensor }): Loss
}

/** Labels that do not count. */
const ignored = -100

/**
 * The objective of models that find answers: summed cross entropy of both ends over the tokens, and the number of ends
 * that are learned. The metric is the accuracy of the ends, which is the share of first and last tokens that were
 * found. Works with every model of the head `AutoModel.forQuestionAnswering`, over batches of `qaRows`. A window
 * without the answer learns its first token. `predict` gives scores [B, 2, T].
 */
export function questionAnswering(): Objective<AnsweringModel, AnswerBatch, 'accuracy'> {
  const op = 'questionAnswering'
  const joined = ({ start, end }: { readonly start: Tensor; readonly end: Tensor }): Tensor => stack([start, end], 1)
  return {
    loss(model, batch) {
      checkText(op, batch)
      const startPositions = labelsIn(op, batch, 'startPositions')
      const endPositions = labelsIn(op, batch, 'endPositions')
      const { total, count, output } = model.loss(batch.ids, {
        ...forwardInputs(model, batch),
        startPositions,
        endPositions,
      })
      const columns = batch.ids.sizes[1] as number
      const ends: Tensor = stack([startPositions, endPositions], 1)
      // The form that the model's loss takes.
      const target = where(ge(ends, columns), ignored, maximum(ends, 0))
      return { total, count, output: joined(output as { readonly start: Tensor; readonly end: Tensor }), target }
    },
    predict(model, batch) {
      checkText(op, batch)
      return joined(model.forward(batch.ids, forwardInputs(model, batch)))
    },
    metrics: { accuracy: () => accuracy({ classDim: -1 }) },
  }
}

/** The loss of scores of a whole text or image, by the kind of its labels. */
import type { Tensor } from '../core/tensor.js'
import { binaryCrossEntropyWithLogits, mseLoss } from '../ops/loss/index.js'
import { reshape } from '../ops/shape/index.js'
import type { Loss } from '../train/objective.js'
import { checkShaped, type ProblemType } from './encoder.js'
import { classLoss } from './heads.js'

/**
 * Scores [N, classes] against labels: summed cross entropy of classes, int32 [N], -100 where none is learned; of yes and no for
 * each class, float32 [N, classes]; or squares of the errors of numbers, float32 [N, classes] or, where there is one, [N].
 * Without a problem type, one class means numbers, and otherwise the dtype tells, as in transformers.
 */
export function labelledLoss(op: string, output: Tensor, labels: Tensor, problemType: ProblemType | null): Loss {
  const [rows, classes] = output.sizes as readonly [number, number]
  const inferred = labels.dtype === 'int32' ? 'single_label_classification' : 'multi_label_classification'
  const problem: ProblemType = problemType ?? (classes === 1 ? 'regression' : inferred)
  if (problem === 'single_label_classification') {
    checkShaped(op, 'labels', labels, [rows], ['int32'])
    return { ...classLoss(output, labels), target: labels }
  }
  const flat = problem === 'regression' && classes === 1 && labels.ndim === 1
  checkShaped(op, 'labels', labels, flat ? [rows] : [rows, classes], ['float32'])
  const target = flat ? reshape(labels, [rows, 1]) : labels
  const lossOf = problem === 'regression' ? mseLoss : binaryCrossEntropyWithLogits
  const total = lossOf(output, target, { reduction: 'sum' })
  return { total, count: rows * classes, output, target }
}

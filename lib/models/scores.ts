/** Losses of scores: of classes, and of a whole text or image, by the kind of its labels. */
import { checkTensor } from '../autograd/operator.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { ne } from '../ops/elementwise/index.js'
import { binaryCrossEntropyWithLogits, crossEntropy, mseLoss } from '../ops/loss/index.js'
import { sum } from '../ops/reduce/index.js'
import { reshape } from '../ops/shape/index.js'
import type { Loss } from '../train/objective.js'
import { checkShaped, type ProblemType } from './encoder.js'
import { ignored } from './vocabulary.js'

/** Summed cross entropy of the labels that are not `none`, and their count: scores [.., N], int32 labels [..]. */
export function classLoss(scores: Tensor, labels: Tensor, none = ignored): Loss & { count: Tensor } {
  const classes = scores.sizes.at(-1) as number
  const total = crossEntropy(reshape(scores, [labels.numel, classes]), reshape(labels, [labels.numel]), {
    ignoreIndex: none,
    reduction: 'sum',
  })
  return { total, count: sum(castTo(ne(labels, none), 'float32')), output: scores }
}

/**
 * The loss of scores [N, classes] against labels. Labels of classes are int32 [N], with -100 where nothing is learned,
 * and have summed cross entropy. Labels of yes and no for each class are float32 [N, classes], and have summed binary
 * cross entropy. Labels of numbers are float32 [N, classes], or [N] for a single one, and have squared errors. Without
 * a problem type, one class means numbers, and otherwise the dtype decides, as in transformers.
 */
export function labelledLoss(op: string, output: Tensor, labels: Tensor, problemType: ProblemType | null): Loss {
  checkTensor(op, 'labels', labels)
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
  const total =
    problem === 'regression'
      ? mseLoss(output, target, { reduction: 'sum' })
      : binaryCrossEntropyWithLogits(output, target, { reduction: 'sum' })
  return { total, count: rows * classes, output, target }
}

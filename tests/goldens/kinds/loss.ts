import * as ops from '../../../lib/ops/index.js'
import { type Kinds, largest, op } from './kind.js'

export const kinds: Kinds = {
  crossEntropy: op((given) => {
    const weight = given.option<number[] | null>('weight', null)
    return ops.crossEntropy(given.in('logits'), given.in('target'), {
      reduction: given.option('reduction', 'mean'),
      ignoreIndex: given.option('ignoreIndex', -100),
      labelSmoothing: given.option('labelSmoothing', 0),
      weight: weight && ops.tensor(weight, { device: given.device }),
    })
  }, largest),
  mseLoss: op(
    (given) => ops.mseLoss(given.in('input'), given.in('target'), { reduction: given.arg('reduction') }),
    largest,
  ),
}

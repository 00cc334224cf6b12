import type { Tensor } from '../../../lib/core/tensor.js'
import * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kind, type Kinds, largest, op } from './kind.js'

type Options = { readonly [option: string]: unknown }

/** The arguments of a case that are tensors in the call, and numbers in the case. */
const factors = ['weight', 'posWeight']

/** The arguments of a case, as options of the call. */
function optionsOf(given: Given, without: readonly string[] = []): Options {
  const options = Object.entries(given.golden.args).filter(([name]) => !without.includes(name))
  return Object.fromEntries(
    options.map(([name, value]) =>
      factors.includes(name) && value !== null
        ? [name, ops.tensor(value as number[], { device: given.device })]
        : [name, value],
    ),
  )
}

/** A loss of the inputs with these names, in this order, and of the case's arguments. */
const loss = (fn: (...args: never[]) => Tensor, ...names: readonly string[]): Kind =>
  op((given) => fn(...([...names.map((name) => given.in(name)), optionsOf(given)] as never[])), largest)

export const kinds: Kinds = {
  crossEntropy: op((given) => {
    const target = given.in('target')
    const options = optionsOf(given, ['targets'])
    return given.option<string>('targets', 'labels') === 'probabilities'
      ? ops.crossEntropy(given.in('logits'), ops.softmax(target, 1), options)
      : ops.crossEntropy(given.in('logits'), target, options)
  }, largest),
  nllLoss: op((given) => ops.nllLoss(ops.logSoftmax(given.in('x'), 1), given.in('target'), optionsOf(given)), largest),
  mseLoss: loss(ops.mseLoss, 'input', 'target'),
  l1Loss: loss(ops.l1Loss, 'input', 'target'),
  smoothL1Loss: loss(ops.smoothL1Loss, 'input', 'target'),
  huberLoss: loss(ops.huberLoss, 'input', 'target'),
  binaryCrossEntropy: op(
    (given) => ops.binaryCrossEntropy(ops.sigmoid(given.in('input')), given.in('target'), optionsOf(given)),
    largest,
  ),
  binaryCrossEntropyWithLogits: loss(ops.binaryCrossEntropyWithLogits, 'input', 'target'),
  klDiv: op((given) => {
    const target = ops.detach(given.in('target'))
    const goal = given.option('logTarget', false) ? ops.logSoftmax(target, -1) : ops.softmax(target, -1)
    return ops.klDiv(ops.logSoftmax(given.in('input'), -1), goal, optionsOf(given))
  }, largest),
  cosineEmbeddingLoss: loss(ops.cosineEmbeddingLoss, 'a', 'b', 'target'),
  marginRankingLoss: loss(ops.marginRankingLoss, 'a', 'b', 'target'),
  tripletMarginLoss: loss(ops.tripletMarginLoss, 'anchor', 'positive', 'negative'),
  hingeEmbeddingLoss: loss(ops.hingeEmbeddingLoss, 'input', 'target'),
  gaussianNllLoss: op(
    (given) => ops.gaussianNllLoss(given.in('input'), given.in('target'), ops.exp(given.in('var')), optionsOf(given)),
    largest,
  ),
  poissonNllLoss: loss(ops.poissonNllLoss, 'input', 'target'),
  multilabelSoftMarginLoss: loss(ops.multilabelSoftMarginLoss, 'input', 'target'),
  ctcLoss: op(
    (given) =>
      ops.ctcLoss(
        ops.logSoftmax(given.in('x'), -1),
        given.in('targets'),
        given.arg<number[]>('inputLengths'),
        given.arg<number[]>('targetLengths'),
        optionsOf(given, ['inputLengths', 'targetLengths']),
      ),
    largest,
  ),
  supervisedContrastive: loss(ops.supervisedContrastive, 'x', 'labels'),
  ntXent: loss(ops.ntXent, 'a', 'b'),
  infoNce: loss(ops.infoNce, 'a', 'b'),
  clipLoss: loss(ops.clipLoss, 'a', 'b'),
  sigmoidFocalLoss: loss(ops.sigmoidFocalLoss, 'input', 'target'),
  distillationLoss: loss(ops.distillationLoss, 'student', 'teacher'),
}

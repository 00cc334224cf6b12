/** Binary losses, in which each element is a separate probability or logit. */

import { noGrad } from '../../autograd/mode.js'
import { apply } from '../../autograd/operator.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { add, clamp, div, log, log1p, mul, neg, pow, sigmoid, softplus, sub } from '../elementwise/index.js'
import { operator } from '../operator.js'
import { mean, sum } from '../reduce/index.js'
import {
  checkFinite,
  checkFloats,
  checkReduction,
  checkSame,
  inFloats,
  type Reduction,
  type ReductionOptions,
  reduceLoss,
  type ToOne,
} from './reduction.js'

/** log(1 + exp(x)) to the last digit of float64. Above 40 it is x. */
const softened = (x: Tensor): Tensor => softplus(x, { threshold: 40 })

/**
 * Both logarithms are at least -100, and the gradient's denominator is at least 1e-12, as in PyTorch. So a probability
 * of 0 or 1 has a large but finite loss.
 */
const bceRecord = operator<[input: Tensor, target: Tensor]>({
  name: 'binaryCrossEntropy',
  infer: ([input]) => like(input),
  forward: ([x, t]) =>
    noGrad(() => {
      const yes = mul(t, clamp(log(x), -100))
      const no = mul(sub(1, t), clamp(log1p(neg(x)), -100))
      return neg(add(yes, no))
    }),
  gradient: {
    saves: () => ({ inputs: [0, 1] }),
    backward(ctx, [g]) {
      const [x, t] = [ctx.input(0), ctx.input(1)]
      return [
        ctx.needs[0] ? mul(g, div(sub(x, t), clamp(mul(sub(1, x), x), 1e-12))) : null,
        ctx.needs[1] ? mul(g, sub(log1p(neg(x)), log(x))) : null,
      ]
    },
  },
})

export interface BinaryCrossEntropyOptions extends ReductionOptions {
  /** A factor for each element, which broadcasts. */
  readonly weight?: Tensor | null
}

const bceNames: OptionNames<BinaryCrossEntropyOptions> = { reduction: true, weight: true }

const weighted = (losses: Tensor, weight: Tensor | null): Tensor => (weight ? mul(losses, weight) : losses)

/**
 * -(t log(p) + (1 - t) log(1 - p)) for probabilities p and targets t of the same shape; logarithms are at least -100. A
 * p outside of [0, 1] gives NaN. Targets may be bool or integers. If you have logits, binaryCrossEntropyWithLogits is
 * more exact.
 */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  options?: BinaryCrossEntropyOptions & ToOne,
): Tensor<[]>
export function binaryCrossEntropy(input: Tensor, target: Tensor, options?: BinaryCrossEntropyOptions): Tensor
export function binaryCrossEntropy(input: Tensor, target: Tensor, options: BinaryCrossEntropyOptions = {}): Tensor {
  const { reduction = 'mean', weight = null } = checkOptions('binaryCrossEntropy', options, bceNames)
  checkReduction('binaryCrossEntropy', reduction)
  checkFloats('binaryCrossEntropy', { input, target, weight }, ['target'])
  checkSame('binaryCrossEntropy', ['input', input], ['target', target])
  return inFloats('binaryCrossEntropy', { input, target, weight }, ['target'], (x) =>
    reduceLoss(weighted(apply(bceRecord, [x.input, x.target], null), x.weight), reduction),
  )
}

export interface BinaryCrossEntropyWithLogitsOptions extends BinaryCrossEntropyOptions {
  /** A factor for the losses of positive targets, which broadcasts: [C] gives one for each class. */
  readonly posWeight?: Tensor | null
}

const logitsNames: OptionNames<BinaryCrossEntropyWithLogitsOptions> = { reduction: true, weight: true, posWeight: true }

/** (1 - t) x + log(1 + exp(-x)), times posWeight where t is 1. */
function lossOfLogits(x: Tensor, t: Tensor, posWeight: Tensor | null): Tensor {
  const soft = softened(neg(x))
  return add(mul(sub(1, t), x), posWeight ? mul(soft, add(mul(sub(posWeight, 1), t), 1)) : soft)
}

/**
 * Binary cross entropy of sigmoid(input), without overflow. input and target have the same shape; targets may be bool
 * or integers.
 */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options?: BinaryCrossEntropyWithLogitsOptions & ToOne,
): Tensor<[]>
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options?: BinaryCrossEntropyWithLogitsOptions,
): Tensor
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyWithLogitsOptions = {},
): Tensor {
  const op = 'binaryCrossEntropyWithLogits'
  const { reduction = 'mean', weight = null, posWeight = null } = checkOptions(op, options, logitsNames)
  checkReduction(op, reduction)
  checkFloats(op, { input, target, weight, posWeight }, ['target'])
  checkSame(op, ['input', input], ['target', target])
  return inFloats(op, { input, target, weight, posWeight }, ['target'], (x) =>
    reduceLoss(weighted(lossOfLogits(x.input, x.target, x.posWeight), x.weight), reduction),
  )
}

export interface SigmoidFocalLossOptions {
  /** The weight of positive targets; negative ones have 1 - alpha. A negative alpha means no weights. Default 0.25. */
  readonly alpha?: number
  /** The exponent that lowers the weight of examples that are already right. Default 2. */
  readonly gamma?: number
  /** Default 'none', as in torchvision. */
  readonly reduction?: Reduction
}

const focalNames: OptionNames<SigmoidFocalLossOptions> = { alpha: true, gamma: true, reduction: true }

/**
 * alpha_t (1 - p_t)^gamma times binary cross entropy of logits, where p_t is the probability of the target (Lin et al.,
 * 2017). The form is torchvision's. input and target have the same shape; targets may be bool or integers.
 */
export function sigmoidFocalLoss(input: Tensor, target: Tensor, options?: SigmoidFocalLossOptions & ToOne): Tensor<[]>
export function sigmoidFocalLoss(input: Tensor, target: Tensor, options?: SigmoidFocalLossOptions): Tensor
export function sigmoidFocalLoss(input: Tensor, target: Tensor, options: SigmoidFocalLossOptions = {}): Tensor {
  const op = 'sigmoidFocalLoss'
  const { alpha = 0.25, gamma = 2, reduction = 'none' } = checkOptions(op, options, focalNames)
  checkReduction(op, reduction)
  checkFinite(op, 'alpha', alpha)
  checkFinite(op, 'gamma', gamma, 0)
  checkFloats(op, { input, target }, ['target'])
  checkSame(op, ['input', input], ['target', target])
  return inFloats(op, { input, target }, ['target'], ({ input: x, target: t }) => {
    const p = sigmoid(x)
    const wrong = sub(1, add(mul(p, t), mul(sub(1, p), sub(1, t))))
    const losses = mul(lossOfLogits(x, t, null), pow(wrong, gamma))
    return reduceLoss(alpha < 0 ? losses : mul(losses, add(mul(t, 2 * alpha - 1), 1 - alpha)), reduction)
  })
}

const reductionNames: OptionNames<ReductionOptions> = { reduction: true }

/** log(1 + exp(-target input)) for targets 1 and -1. Both broadcast, and targets may be integers. */
export function softMarginLoss(input: Tensor, target: Tensor, options?: ReductionOptions & ToOne): Tensor<[]>
export function softMarginLoss(input: Tensor, target: Tensor, options?: ReductionOptions): Tensor
export function softMarginLoss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {
  const { reduction = 'mean' } = checkOptions('softMarginLoss', options, reductionNames)
  checkReduction('softMarginLoss', reduction)
  return inFloats('softMarginLoss', { input, target }, ['target'], (x) =>
    reduceLoss(softened(neg(mul(x.target, x.input))), reduction),
  )
}

export interface MultilabelSoftMarginLossOptions extends ReductionOptions {
  /** A factor for each class, [C]. */
  readonly weight?: Tensor | null
}

const multilabelNames: OptionNames<MultilabelSoftMarginLossOptions> = { reduction: true, weight: true }

/**
 * The mean over the classes, the last dimension, of binary cross entropy of logits, for targets 0 and 1 of the input's
 * shape: [..., C] -> [...].
 */
export function multilabelSoftMarginLoss(
  input: Tensor,
  target: Tensor,
  options?: MultilabelSoftMarginLossOptions & ToOne,
): Tensor<[]>
export function multilabelSoftMarginLoss(
  input: Tensor,
  target: Tensor,
  options?: MultilabelSoftMarginLossOptions,
): Tensor
export function multilabelSoftMarginLoss(
  input: Tensor,
  target: Tensor,
  options: MultilabelSoftMarginLossOptions = {},
): Tensor {
  const op = 'multilabelSoftMarginLoss'
  const { reduction = 'mean', weight = null } = checkOptions(op, options, multilabelNames)
  checkReduction(op, reduction)
  checkFloats(op, { input, target, weight }, ['target'])
  checkSame(op, ['input', input], ['target', target])
  return inFloats(op, { input, target, weight }, ['target'], (x) => {
    // Both logarithms count, as in PyTorch, because their sum in one formula would be NaN at a logit of -infinity.
    const right = mul(x.target, softened(neg(x.input)))
    const losses = weighted(add(right, mul(sub(1, x.target), softened(x.input))), x.weight)
    const classes = losses.sizes.at(-1) ?? 1
    const rows = losses.ndim === 0 ? losses : classes > 0 ? mean(losses, -1) : div(sum(losses, -1), 0)
    return reduceLoss(rows, reduction)
  })
}

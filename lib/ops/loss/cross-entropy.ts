/** Cross entropy of logits, with indices of classes (fused) or probabilities of classes. */
import { autocastDType } from '../../autograd/autocast.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import { shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { castTo } from '../convert.js'
import { add, div, mul, ne, neg, where } from '../elementwise/index.js'
import { gather, indexSelect } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { sum } from '../reduce/index.js'
import { permute, reshape, unsqueeze } from '../shape/index.js'
import { logSoftmax } from '../softmax.js'
import { checkClasses, checkIgnoreIndex, rowShape } from './classes.js'
import {
  checkFloats,
  checkReduction,
  checkShape,
  inFloats,
  type Reduction,
  type ReductionOptions,
  reduceLoss,
  reductionCodes,
  type ToOne,
} from './reduction.js'

interface CrossEntropy {
  readonly reduction: Reduction
  readonly ignoreIndex: number
  readonly smoothing: number
}

/**
 * logits [N, C], target [N] int32, weight [C] or null. Extra outputs: the rows' statistics that backward reads, and the
 * total weight.
 */
const crossEntropyRecord = operator<
  [logits: Tensor, target: Tensor, weight: Tensor | null],
  CrossEntropy,
  [out: Tensor],
  [statistics: Tensor, total: Tensor]
>({
  name: 'crossEntropy',
  // The target is checked by `infer`, whose error tells how to turn its content into indices of classes.
  inputs: ['logits', { name: 'target', dtypes: 'free' }, 'weight'],
  infer([logits, target, weight], { reduction }) {
    checkClasses('crossEntropy', ['logits', logits], target, weight)
    const dtype = logits.dtype === 'float64' ? 'float64' : 'float32'
    const [rows = 0] = logits.sizes
    return [
      { shape: reduction === 'none' ? [rows] : [], dtype },
      { shape: [2, rows], dtype },
      { shape: [], dtype },
    ]
  },
  forward: kernel('cross_entropy_forward', ([logits, target, weight], attrs, { out, statistics, total }) => ({
    out,
    statistics,
    total,
    logits,
    target,
    weight,
    ignoreIndex: attrs.ignoreIndex,
    smoothing: attrs.smoothing,
    reduction: reductionCodes[attrs.reduction],
  })),
  composite([given, target, weight], { reduction, ignoreIndex, smoothing }) {
    const logits = given.dtype === 'bfloat16' ? castTo(given, 'float32') : given
    const [, classes = 0] = logits.sizes
    const counted = ne(target, ignoreIndex)
    // Any label will do for a row that is not counted, because its loss is masked below.
    const label = where(counted, target, 0)
    const logP = logSoftmax(logits, 1)
    const picked = reshape(gather(logP, 1, unsqueeze(label, 1)), target.sizes)
    const rowWeight = weight ? indexSelect(weight, 0, label) : null
    const nll = neg(rowWeight ? mul(picked, rowWeight) : picked)
    const smooth = smoothing === 0 ? null : neg(sum(weight ? mul(logP, weight) : logP, 1))
    const rows = smooth ? add(mul(nll, 1 - smoothing), mul(smooth, smoothing / classes)) : nll
    const mask = castTo(counted, logits.dtype)
    const losses = where(counted, rows, 0)
    if (reduction === 'none') return losses
    if (reduction === 'sum') return sum(losses)
    return div(sum(losses), sum(rowWeight ? mul(mask, rowWeight) : mask))
  },
  gradient: {
    saves: () => ({ inputs: [0, 1, 2], outputs: [1, 2] }),
    backward: kernel('cross_entropy_backward', (ctx, [dy], { dlogits }) => ({
      dlogits,
      dy,
      statistics: ctx.output(1),
      total: ctx.output(2),
      logits: ctx.input(0),
      target: ctx.input(1),
      weight: ctx.input(2),
      ignoreIndex: ctx.attrs.ignoreIndex,
      smoothing: ctx.attrs.smoothing,
      reduction: reductionCodes[ctx.attrs.reduction],
    })),
  },
})

export interface CrossEntropyOptions extends ReductionOptions {
  /**
   * A factor for each class, [C]. It is a constant if the target is labels: a tensor that wants a gradient is refused.
   */
  readonly weight?: Tensor | null
  /** Rows with this label do not count. Default -100. It cannot be used with targets that are probabilities. */
  readonly ignoreIndex?: number
  /** The share of each target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number
}

const crossEntropyNames: OptionNames<CrossEntropyOptions> = {
  weight: true,
  ignoreIndex: true,
  labelSmoothing: true,
  reduction: true,
}

/** Whether the target holds probabilities: floats of the logits' shape. */
function isOfProbabilities(logits: Tensor, target: Tensor): boolean {
  return anyFloating.includes(target.dtype) && sameShape(target.sizes, logits.sizes)
}

/** -sum_c w_c t_c log p_c. The mean is over rows, regardless of their weights. */
function ofProbabilities(logits: Tensor, target: Tensor, weight: Tensor | null, attrs: CrossEntropy): Tensor {
  const dim = logits.ndim === 1 ? 0 : 1
  const classes = logits.sizes[dim] as number
  checkFloats('crossEntropy', { logits, target, weight })
  if (weight) checkShape('crossEntropy', ['weight', weight], [classes], `logits have ${classes} classes`)
  return inFloats('crossEntropy', { logits, target, weight }, [], (x) => {
    const { smoothing, reduction } = attrs
    const goal = smoothing === 0 ? x.target : add(mul(x.target, 1 - smoothing), smoothing / classes)
    const ofClass = logits.sizes.map((_, d) => (d === dim ? classes : 1))
    const logP = logSoftmax(x.logits, dim)
    const terms = mul(x.weight ? mul(logP, reshape(x.weight, ofClass)) : logP, goal)
    return reduceLoss(neg(sum(terms, dim)), reduction)
  })
}

/**
 * Negative log likelihood of targets under softmax(logits). logits [N, C], [C] or [N, C, d...]. Targets are int32
 * labels, [N], [] or [N, d...]; `mean` then divides by the sum of the counted rows' weights (NaN if none counts). Or
 * they are probabilities of the logits' shape, which may want a gradient; `mean` then divides by the number of rows. A
 * label outside of the classes is a late IndexOutOfRangeError. The loss of bfloat16 logits is computed in float32 and
 * rounded.
 */
export function crossEntropy(logits: Tensor, target: Tensor, options?: CrossEntropyOptions & ToOne): Tensor<[]>
export function crossEntropy(logits: Tensor, target: Tensor, options?: CrossEntropyOptions): Tensor
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkOptions('crossEntropy', options, crossEntropyNames)
  const { weight = null, ignoreIndex, labelSmoothing = 0, reduction = 'mean' } = options
  checkReduction('crossEntropy', reduction)
  if (typeof labelSmoothing !== 'number' || !(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new ValueError('crossEntropy', `labelSmoothing is ${shown(labelSmoothing)}, but must lie in [0, 1]`)
  checkIgnoreIndex('crossEntropy', ignoreIndex)
  checkTensor('crossEntropy', 'logits', logits)
  checkTensor('crossEntropy', 'target', target)
  const attrs = { reduction, ignoreIndex: ignoreIndex ?? -100, smoothing: labelSmoothing }
  if (isOfProbabilities(logits, target)) {
    if (ignoreIndex !== undefined && ignoreIndex >= 0)
      throw new ValueError(
        'crossEntropy',
        `ignoreIndex is ${ignoreIndex}, but the target holds probabilities, which have no label to ignore; leave it out`,
      )
    return ofProbabilities(logits, target, weight, attrs)
  }
  // The kernel reads logits of any float, but weights only in the dtype in which it computes.
  const factors = logits.dtype === 'bfloat16' && weight?.dtype === 'bfloat16' ? castTo(weight, 'float32') : weight
  const loss = ofLabels(logits, target, factors, attrs)
  return logits.dtype === 'bfloat16' && autocastDType() === null ? castTo(loss, 'bfloat16') : loss
}

function ofLabels(logits: Tensor, target: Tensor, weight: Tensor | null, attrs: CrossEntropy): Tensor {
  const { ndim } = logits
  if (ndim === 2) return apply(crossEntropyRecord, [logits, target, weight], attrs)
  // Shapes are checked here too, because below they differ from those that were given.
  checkClasses('crossEntropy', ['logits', logits], target, weight)
  // Classes are moved to the end, and everything else becomes one list of rows.
  const last = ndim === 1 ? logits : permute(logits, [0, ...Array.from({ length: ndim - 2 }, (_, i) => i + 2), 1])
  const rows = reshape(last, [target.numel, logits.sizes[ndim === 1 ? 0 : 1] ?? 0])
  const loss = apply(crossEntropyRecord, [rows, reshape(target, [target.numel]), weight], attrs)
  return attrs.reduction === 'none' ? reshape(loss, rowShape(logits)) : loss
}

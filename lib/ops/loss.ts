/** Losses: cross entropy (fused) and mean squared error. */
import { agree, apply, checkDType, checkTensor } from '../autograd/operator.js'
import { DTypeError, Faults, formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { anyFloating } from './common.js'
import { castTo, precise } from './convert.js'
import { add, div, mul, ne, neg, square, sub, where } from './elementwise/index.js'
import { gather, indexSelect } from './indexing/index.js'
import { kernel, operator } from './operator.js'
import { mean, sum } from './reduce/index.js'
import { permute, reshape, unsqueeze } from './shape/index.js'
import { logSoftmax } from './softmax.js'

export type Reduction = 'mean' | 'sum' | 'none'

const reductionCodes = { none: 0, mean: 1, sum: 2 } as const

function checkReduction(op: string, reduction: Reduction): void {
  if (typeof reduction !== 'string' || !Object.hasOwn(reductionCodes, reduction))
    throw new ValueError(op, `reduction is ${shown(reduction)}, but must be 'mean', 'sum' or 'none'`)
}

interface CrossEntropy {
  readonly reduction: Reduction
  readonly ignoreIndex: number
  readonly smoothing: number
}

/**
 * logits [N, C], target [N] int32, weight [C] or null. Extra outputs: what backward reads of the rows, and the total weight.
 */
const crossEntropyRecord = operator<
  [logits: Tensor, target: Tensor, weight: Tensor | null],
  CrossEntropy,
  [out: Tensor],
  [statistics: Tensor, total: Tensor]
>({
  name: 'crossEntropy',
  // The target's error tells how to make indices of classes of what it holds.
  inputs: ['logits', { name: 'target', dtypes: 'free' }, 'weight'],
  infer([logits, target, weight], { reduction }) {
    checkClasses(logits, target, weight)
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
    // Where a row is not counted any label will do: its loss is masked below.
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

export interface CrossEntropyOptions {
  /** A factor for each class, [C]. */
  readonly weight?: Tensor | null
  /** Rows with this label do not count. Default -100. */
  readonly ignoreIndex?: number
  /** How much of each target is spread over all classes, in [0, 1]. */
  readonly labelSmoothing?: number
  readonly reduction?: Reduction
}

const crossEntropyNames: OptionNames<CrossEntropyOptions> = {
  weight: true,
  ignoreIndex: true,
  labelSmoothing: true,
  reduction: true,
}

/** Throws unless the target is of class indices; the hint depends on what else its shape says that it holds. */
function checkTarget(target: Tensor, logits: Tensor): void {
  checkTensor('crossEntropy', 'target', target)
  const byClass = sameShape(target.sizes, logits.sizes) && !(logits.ndim === 1 && logits.sizes[0] === 1)
  if (target.dtype === 'int32' && !byClass) return
  const dim = logits.ndim === 1 ? 0 : 1
  if (byClass) {
    const message =
      `target is ${target.dtype} ${formatShape(target.sizes)}, the shape of the logits, but must hold an int32 index of a class ` +
      `for each row: of a one-hot target argmax(target, ${dim}). Targets that are probabilities of classes are not supported; ` +
      `their loss is neg(sum(mul(target, logSoftmax(logits, ${dim})), ${dim}))`
    throw target.dtype === 'int32'
      ? new ShapeError('crossEntropy', message, [logits.sizes, target.sizes])
      : new DTypeError('crossEntropy', message)
  }
  checkDType('crossEntropy', 'target', target, ['int32'])
}

/** Throws unless the shapes of logits, target and weights fit, for logits of any number of dimensions. */
function checkClasses(logits: Tensor, target: Tensor, weight: Tensor | null): void {
  checkTarget(target, logits)
  const { ndim } = logits
  const classes = logits.sizes[ndim === 1 ? 0 : 1] ?? 0
  const expected: Shape = ndim <= 1 ? [] : [...logits.sizes.slice(0, 1), ...logits.sizes.slice(2)]
  const faults = new Faults()
  faults.check(ndim >= 1, () => 'logits must have at least one dimension')
  faults.check(
    sameShape(target.sizes, expected),
    () =>
      `logits are ${formatShape(logits.sizes)}, target is ${formatShape(target.sizes)}, but must be ${formatShape(expected)}`,
  )
  faults.check(
    !weight || (weight.ndim === 1 && weight.sizes[0] === classes),
    () => `weight is ${formatShape(weight?.sizes ?? [])}, but must be [${classes}]`,
  )
  faults.throwShape('crossEntropy', [logits.sizes, target.sizes])
}

/**
 * Negative log likelihood of int32 labels under softmax(logits). logits [N, C] with target [N], [C] with [], or
 * [N, C, d...] with [N, d...]. `mean` divides by the sum of the counted rows' weights, and is NaN where none counts. Targets
 * are class indices; probabilities of classes are refused. A label outside of the classes is a late IndexOutOfRangeError.
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkOptions('crossEntropy', options, crossEntropyNames)
  const { weight = null, ignoreIndex = -100, labelSmoothing = 0, reduction = 'mean' } = options
  checkReduction('crossEntropy', reduction)
  if (typeof labelSmoothing !== 'number' || !(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new ValueError('crossEntropy', `labelSmoothing is ${shown(labelSmoothing)}, but must lie in [0, 1]`)
  if (!Number.isSafeInteger(ignoreIndex))
    throw new ValueError('crossEntropy', `ignoreIndex is ${shown(ignoreIndex)}, but must be an integer`)
  checkTensor('crossEntropy', 'logits', logits)
  const attrs = { reduction, ignoreIndex, smoothing: labelSmoothing }
  const { ndim } = logits
  if (ndim === 2) return apply(crossEntropyRecord, [logits, target, weight], attrs)
  // Here too, because what is rearranged below has other shapes than were given.
  checkClasses(logits, target, weight)
  // Classes to the end, everything else one list of rows.
  const last = ndim === 1 ? logits : permute(logits, [0, ...Array.from({ length: ndim - 2 }, (_, i) => i + 2), 1])
  const rows = reshape(last, [target.numel, logits.sizes[ndim === 1 ? 0 : 1] ?? 0])
  const loss = apply(crossEntropyRecord, [rows, reshape(target, [target.numel]), weight], attrs)
  return reduction === 'none' ? reshape(loss, target.sizes) : loss
}

function reduceLoss(losses: Tensor, reduction: Reduction): Tensor {
  if (reduction === 'none') return losses
  // The mean of nothing is 0 / 0; its gradient is empty.
  if (reduction === 'mean') return losses.numel > 0 ? mean(losses) : div(sum(losses), 0)
  return sum(losses)
}

/** Mean of (input - target)^2 over all elements, NaN of none. Throws ShapeError unless both have one shape. */
export function mseLoss(input: Tensor, target: Tensor, options: { reduction?: Reduction } = {}): Tensor {
  const { reduction = 'mean' } = checkOptions('mseLoss', options, { reduction: true })
  checkReduction('mseLoss', reduction)
  checkDType('mseLoss', 'input', input, anyFloating)
  checkDType('mseLoss', 'target', target, anyFloating)
  if (!agree(input, target)) {
    const wider = [input, target].some((x) => x.dtype === 'float64') ? 'float64' : 'float32'
    throw new DTypeError(
      'mseLoss',
      `input is ${input.dtype} and target is ${target.dtype}; convert one with .to('${wider}')`,
    )
  }
  if (!sameShape(input.sizes, target.sizes))
    throw new ShapeError(
      'mseLoss',
      `input is ${formatShape(input.sizes)}, target is ${formatShape(target.sizes)}; they must be equal`,
      [input.sizes, target.sizes],
    )
  return reduceLoss(square(sub(precise(input), precise(target))), reduction)
}

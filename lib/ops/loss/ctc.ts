/**
 * Connectionist temporal classification (Graves et al., 2006): the probability that a sequence of distributions spells
 * a target, in any alignment, with blanks between.
 */
import { apply, checkTensor } from '../../autograd/operator.js'
import { Faults, formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { arange, full, tensor } from '../creation.js'
import { add, clamp, div, exp, gt, log, lt, mul, ne, neg, sub, where } from '../elementwise/index.js'
import { gather } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { cumsum, logsumexp, sum } from '../reduce/index.js'
import { cat, detach, expand, narrow, reshape, select, stack, unsqueeze } from '../shape/index.js'
import { checkLabels } from './classes.js'
import { checkFloats, checkReduction, inFloats, type ReductionOptions, reduceLoss, type ToOne } from './reduction.js'

/** The logarithm that stands for probability 0, finite so that no gradient meets inf - inf. */
const lowest = -1e30

/** The whole numbers 0, 1, ... */
const indices = (count: number, { device }: Tensor): Tensor => arange(0, count, 1, { dtype: 'int32', device })

/**
 * Targets with blanks before, between and after labels: [N, S] -> [N, 2 S + 1]. Places beyond a target's length are
 * blank.
 */
function withBlanks(targets: Tensor, lengths: Tensor, blank: number): Tensor {
  const [n = 0, s = 0] = targets.sizes
  const inside = lt(indices(s, targets), unsqueeze(lengths, 1))
  const label = where(inside, targets, blank)
  const blanks = full([n, s + 1], blank, { dtype: 'int32', device: targets.device })
  const pairs = reshape(stack([narrow(blanks, 1, 0, s), label], 2), [n, 2 * s])
  return cat([pairs, narrow(blanks, 1, s, 1)], 1)
}

/**
 * The loss of each sequence: minus the logsumexp, over its alignments, of the sum of the log probabilities along the
 * alignment. It is infinite if there is no alignment. logProbs [T, N, C], targets [N, S], lengths [N].
 *
 * The gradient is PyTorch's, exp(logProbs) minus the expected number of uses of each class. If logProbs are the log
 * softmax of logits, that is the gradient of the logits too, because the gradient of log softmax leaves it unchanged.
 * It is NaN if there is no alignment.
 */
function negativeLogLikelihood(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: Tensor,
  targetLengths: Tensor,
  blank: number,
  zeroInfinity: boolean,
): Tensor {
  const [steps = 0, n = 0] = logProbs.sizes
  const labels = withBlanks(targets, targetLengths, blank)
  const states = labels.sizes[1] as number
  const emitted = clamp(gather(logProbs, 2, expand(unsqueeze(labels, 0), [steps, n, states])), lowest)
  const none = (count: number) => full([n, count], lowest, { dtype: logProbs.dtype, device: logProbs.device })
  /** Shifts states to later ones, with probability 0 before the first. */
  const later = (x: Tensor, by: number) =>
    cat([none(Math.min(by, states)), narrow(x, 1, 0, Math.max(states - by, 0))], 1)
  // The blank between different labels may be skipped.
  const before = cat([narrow(labels, 1, 0, Math.min(2, states)), narrow(labels, 1, 0, Math.max(states - 2, 0))], 1)
  const skips = ne(labels, before)
  let alpha: Tensor = states > 1 ? cat([mul(none(1), 0), none(states - 1)], 1) : mul(none(1), 0)
  const alphas = [alpha]
  for (let t = 0; t < steps; t++) {
    const ways = [alpha, later(alpha, 1), where(skips, later(alpha, 2), lowest)]
    alpha = add(logsumexp(stack(ways), 0), select(emitted, 0, t))
    alphas.push(alpha)
  }
  const atEnd = reshape(gather(stack(alphas), 0, expand(reshape(inputLengths, [1, n, 1]), [1, n, states])), [n, states])
  const last = mul(unsqueeze(targetLengths, 1), 2)
  const ends = [gather(atEnd, 1, last), where(gt(last, 0), gather(atEnd, 1, clamp(sub(last, 1), 0)), lowest)]
  const nll = neg(reshape(logsumexp(stack(ends), 0), [n]))
  const impossible = gt(nll, -lowest / 10)
  const within = lt(unsqueeze(indices(steps, targets), 1), inputLengths)
  const mass = sum(where(unsqueeze(within, 2), exp(logProbs), 0), [0, 2])
  // The added term has value 0 and gradient exp(logProbs).
  const possible = add(nll, sub(mass, detach(mass)))
  if (zeroInfinity) return where(impossible, 0, possible)
  // -log(0) is inf, with the gradient NaN.
  const infinite = neg(log(mul(where(impossible, mass, 1), sub(1, castTo(impossible, mass.dtype)))))
  return where(impossible, infinite, possible)
}

interface Ctc {
  readonly blank: number
  readonly zeroInfinity: boolean
}

/** logProbs [T, N, C], targets [N, S], lengths [N] int32. Extra output: the logarithm of each state at each step. */
const ctcRecord = operator<
  [logProbs: Tensor, targets: Tensor, inputLengths: Tensor, targetLengths: Tensor],
  Ctc,
  [out: Tensor],
  [alpha: Tensor]
>({
  name: 'ctcLoss',
  infer([logProbs, targets]) {
    const [steps = 0, n = 0] = logProbs.sizes
    return [like(logProbs, [n]), like(logProbs, [n, steps, 2 * (targets.sizes[1] ?? 0) + 1])]
  },
  forward: kernel('ctc_forward', ([logProbs, targets, inputLengths, targetLengths], attrs, { out, alpha }) => ({
    out,
    alpha,
    logProbs,
    targets,
    inputLengths,
    targetLengths,
    ...attrs,
  })),
  composite: ([logProbs, targets, inputLengths, targetLengths], { blank, zeroInfinity }) =>
    negativeLogLikelihood(logProbs, targets, inputLengths, targetLengths, blank, zeroInfinity),
  gradient: {
    saves: () => ({ inputs: [0, 1, 2, 3], outputs: [1] }),
    backward: kernel('ctc_backward', (ctx, [dy], { dlogProbs }) => ({
      dlogProbs,
      dy,
      alpha: ctx.output(1),
      logProbs: ctx.input(0),
      targets: ctx.input(1),
      inputLengths: ctx.input(2),
      targetLengths: ctx.input(3),
      ...ctx.attrs,
    })),
  },
})

export interface CtcLossOptions extends ReductionOptions {
  /** The class that stands for no label. Default 0. */
  readonly blank?: number
  /**
   * Whether the loss and the gradient are 0 for a target without alignment. Default false: they are infinite and NaN.
   */
  readonly zeroInfinity?: boolean
}

const ctcNames: OptionNames<CtcLossOptions> = { blank: true, zeroInfinity: true, reduction: true }

/** Lengths: one number for a sequence without a batch, else a list or an int32 tensor. */
export type CtcLengths = Tensor | number | readonly number[]

const op = 'ctcLoss'

/** Lengths as a list; null if a tensor would have to be read. */
function listed(name: string, lengths: CtcLengths, n: number, most: number): readonly number[] | null {
  if (lengths instanceof Tensor) {
    checkLabels(op, name, lengths)
    if (lengths.numel !== n || lengths.ndim > 1)
      throw new ShapeError(op, `${name} are ${formatShape(lengths.sizes)}, but must be [${n}]`, [lengths.sizes])
    return null
  }
  const list = typeof lengths === 'number' ? [lengths] : lengths
  if (!Array.isArray(list)) checkTensor(op, name, list)
  const faults = new Faults()
  faults.check(list.length === n, () => `${name} are ${list.length}, but there are ${n} sequences`)
  for (const [i, length] of list.entries())
    faults.check(
      Number.isInteger(length) && length >= 0 && length <= most,
      () => `${name}[${i}] is ${shown(length)}, but must be an integer from 0 to ${most}`,
    )
  faults.throwValue(op)
  return list
}

function lengthsOn(lengths: CtcLengths, { device }: Tensor): Tensor {
  if (lengths instanceof Tensor) return reshape(lengths, [lengths.numel])
  return tensor(typeof lengths === 'number' ? [lengths] : [...lengths], { dtype: 'int32', device })
}

/** Concatenated targets as rows: [sum of lengths] -> [N, longest]. */
function rowsOf(targets: Tensor, lengths: Tensor, longest: number): Tensor {
  const n = lengths.numel
  const starts = sub(cumsum(lengths, 0), lengths)
  const k = indices(longest, targets)
  const inside = lt(k, unsqueeze(lengths, 1))
  const at = where(inside, add(unsqueeze(starts, 1), k), 0)
  return longest === 0
    ? reshape(targets, [n, 0])
    : reshape(gather(targets, 0, reshape(at, [n * longest])), [n, longest])
}

/**
 * -log of the probability of each target under logProbs (the log softmax of a network's outputs), over all its
 * alignments. logProbs are [T, N, C] with targets [N, S] or concatenated targets [sum of targetLengths]; or [T, C] with
 * [S]. Targets and lengths are int32; lengths may be lists of numbers. `mean` divides each loss by its target's length
 * (at least 1), then averages. If targets are concatenated and their lengths are a tensor, the lengths are read.
 *
 * The gradient for logProbs is PyTorch's, which is exact if they are normalised. Labels outside of the classes, and too
 * large lengths in tensors, are late errors. Throws ShapeError for logProbs or targets of another shape, and ValueError
 * if `blank` is not a class.
 */
export function ctcLoss(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: CtcLengths,
  targetLengths: CtcLengths,
  options?: CtcLossOptions & ToOne,
): Tensor<[]>
export function ctcLoss(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: CtcLengths,
  targetLengths: CtcLengths,
  options?: CtcLossOptions,
): Tensor
export function ctcLoss(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: CtcLengths,
  targetLengths: CtcLengths,
  options: CtcLossOptions = {},
): Tensor {
  const { blank = 0, zeroInfinity = false, reduction = 'mean' } = checkOptions(op, options, ctcNames)
  checkReduction(op, reduction)
  checkFlag(op, 'zeroInfinity', zeroInfinity)
  checkFloats(op, { logProbs })
  checkLabels(op, 'targets', targets)
  const { ndim, sizes } = logProbs
  if (ndim !== 2 && ndim !== 3)
    throw new ShapeError(op, `logProbs must be [T, N, C] or [T, C], but are ${formatShape(sizes)}`, [sizes])
  if (logProbs.numel === 0)
    throw new ShapeError(op, `logProbs are ${formatShape(sizes)}, which have nothing to align`, [sizes])
  const classes = sizes.at(-1) as number
  if (!Number.isInteger(blank) || blank < 0 || blank >= classes)
    throw new ValueError(op, `blank is ${shown(blank)}, but must be a class, an integer from 0 to ${classes - 1}`)
  const steps = sizes[0] as number
  const n = ndim === 2 ? 1 : (sizes[1] as number)
  const joined = targets.ndim === 1
  if (!joined && !(ndim === 3 && targets.ndim === 2 && targets.sizes[0] === n))
    throw new ShapeError(
      op,
      `targets are ${formatShape(targets.sizes)}, but must be ${ndim === 3 ? `[${n}, S] or ` : ''}[sum of targetLengths], ` +
        `as logProbs are ${formatShape(sizes)}`,
      [targets.sizes, sizes],
    )
  listed('inputLengths', inputLengths, n, steps)
  const targetList = listed('targetLengths', targetLengths, n, targets.sizes.at(-1) as number)
  const ends = lengthsOn(inputLengths, logProbs)
  const sizesOfTargets = lengthsOn(targetLengths, logProbs)
  return inFloats(op, { logProbs }, [], (x) => {
    const rows = joined ? rowsOf(targets, sizesOfTargets, longestOf(targets, sizesOfTargets, targetList)) : targets
    const sequences = reshape(x.logProbs, [steps, n, classes])
    const losses = apply(ctcRecord, [sequences, rows, ends, sizesOfTargets], { blank, zeroInfinity })
    if (reduction === 'mean') return reduceLoss(div(losses, castTo(clamp(sizesOfTargets, 1), losses.dtype)), 'mean')
    return reduceLoss(ndim === 2 ? reshape(losses, []) : losses, reduction)
  })
}

/** The length of the longest concatenated target. Throws unless the lengths add up to the number of labels. */
function longestOf(targets: Tensor, lengths: Tensor, list: readonly number[] | null): number {
  // On meta there are no lengths to read, and only the shape matters.
  if (list === null && targets.device.kind === 'meta') return targets.numel
  const known = list ?? [...(lengths.dataSync() as Int32Array)]
  const total = known.reduce((a, b) => a + b, 0)
  if (known.some((length) => length < 0) || total !== targets.numel)
    throw new ValueError(
      op,
      `targetLengths are ${shown(known)}, in all ${total}, but targets are ${formatShape(targets.sizes)}`,
    )
  return Math.max(0, ...known)
}

/** Losses of signs, pairs and classes that are 0 beyond a margin. */
import { formatShape, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { arange } from '../creation.js'
import { add, clamp, div, eq, gt, lt, mul, ne, neg, relu, sqrt, square, sub, where } from '../elementwise/index.js'
import { gather, indexSelect } from '../indexing/index.js'
import { cumsum, sum } from '../reduce/index.js'
import { reshape, unsqueeze } from '../shape/index.js'
import { checkLabels } from './classes.js'
import {
  checkFinite,
  checkFloats,
  checkReduction,
  checkSame,
  checkShape,
  inFloats,
  type ReductionOptions,
  reduceLoss,
  type ToOne,
} from './reduction.js'

export interface MarginLossOptions extends ReductionOptions {
  readonly margin?: number
}

const marginNames: OptionNames<MarginLossOptions> = { margin: true, reduction: true }

/** The larger of 0 and x, with the whole gradient at 0, as in PyTorch's clamp. */
const atLeastZero = (x: Tensor): Tensor => clamp(x, 0)

/**
 * max(0, margin - target (a - b)) for targets 1 if a must be larger, and -1 if b must be. All broadcast. The default
 * margin is 0.
 */
export function marginRankingLoss(a: Tensor, b: Tensor, target: Tensor, options?: MarginLossOptions & ToOne): Tensor<[]>
export function marginRankingLoss(a: Tensor, b: Tensor, target: Tensor, options?: MarginLossOptions): Tensor
export function marginRankingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginLossOptions = {}): Tensor {
  const { margin = 0, reduction = 'mean' } = checkOptions('marginRankingLoss', options, marginNames)
  checkReduction('marginRankingLoss', reduction)
  checkFinite('marginRankingLoss', 'margin', margin)
  return inFloats('marginRankingLoss', { a, b, target }, ['target'], (x) =>
    reduceLoss(atLeastZero(add(neg(mul(x.target, sub(x.a, x.b))), margin)), reduction),
  )
}

/** input where the target is 1, max(0, margin - input) where it is -1. Both broadcast. The default margin is 1. */
export function hingeEmbeddingLoss(input: Tensor, target: Tensor, options?: MarginLossOptions & ToOne): Tensor<[]>
export function hingeEmbeddingLoss(input: Tensor, target: Tensor, options?: MarginLossOptions): Tensor
export function hingeEmbeddingLoss(input: Tensor, target: Tensor, options: MarginLossOptions = {}): Tensor {
  const { margin = 1, reduction = 'mean' } = checkOptions('hingeEmbeddingLoss', options, marginNames)
  checkReduction('hingeEmbeddingLoss', reduction)
  checkFinite('hingeEmbeddingLoss', 'margin', margin)
  return inFloats('hingeEmbeddingLoss', { input, target }, ['target'], (x) => {
    const apart = where(ne(x.target, 1), atLeastZero(sub(margin, x.input)), 0)
    return reduceLoss(add(apart, where(ne(x.target, -1), x.input, 0)), reduction)
  })
}

/**
 * 1 - cos(a, b) where the target is 1, max(0, cos(a, b) - margin) where it is -1: a and b [N, D] with target [N], or
 * [D] with []. The default margin is 0. Throws ShapeError for another number of dimensions.
 */
export function cosineEmbeddingLoss(
  a: Tensor,
  b: Tensor,
  target: Tensor,
  options?: MarginLossOptions & ToOne,
): Tensor<[]>
export function cosineEmbeddingLoss(a: Tensor, b: Tensor, target: Tensor, options?: MarginLossOptions): Tensor
export function cosineEmbeddingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginLossOptions = {}): Tensor {
  const op = 'cosineEmbeddingLoss'
  const { margin = 0, reduction = 'mean' } = checkOptions(op, options, marginNames)
  checkReduction(op, reduction)
  checkFinite(op, 'margin', margin)
  checkFloats(op, { a, b, target }, ['target'])
  checkSame(op, ['a', a], ['b', b])
  if (a.ndim !== 1 && a.ndim !== 2)
    throw new ShapeError(op, `a and b must be [N, D] or [D], but are ${formatShape(a.sizes)}`, [a.sizes])
  checkShape(op, ['target', target], a.sizes.slice(0, -1), `a is ${formatShape(a.sizes)}`)
  return inFloats(op, { a, b, target }, ['target'], (x) => {
    // The epsilon stands within the root, as in PyTorch.
    const length = (v: Tensor) => add(sum(square(v), -1), 1e-12)
    const cosine = div(sum(mul(x.a, x.b), -1), sqrt(mul(length(x.a), length(x.b))))
    const alike = where(eq(x.target, 1), sub(1, cosine), 0)
    return reduceLoss(add(alike, where(eq(x.target, -1), atLeastZero(sub(cosine, margin)), 0)), reduction)
  })
}

/** Input and targets as rows; [C] is one row. */
function rowsOf(op: string, input: Tensor): { rows: number; classes: number } {
  if (input.ndim !== 1 && input.ndim !== 2)
    throw new ShapeError(op, `input must be [N, C] or [C], but is ${formatShape(input.sizes)}`, [input.sizes])
  return { rows: input.ndim === 1 ? 1 : (input.sizes[0] as number), classes: input.sizes.at(-1) as number }
}

/** Throws unless there is a class to choose. */
function checkClasses(op: string, input: Tensor, classes: number): void {
  if (classes === 0)
    throw new ShapeError(op, `input is ${formatShape(input.sizes)}, which has no class to compare`, [input.sizes])
}

export interface MultiMarginLossOptions extends MarginLossOptions {
  /** The power of each excess, 1 or 2. Default 1. */
  readonly p?: 1 | 2
  /** A factor for each class, [C]. */
  readonly weight?: Tensor | null
}

const multiMarginNames: OptionNames<MultiMarginLossOptions> = { p: true, margin: true, weight: true, reduction: true }

/**
 * sum_i max(0, margin - x_y + x_i)^p / C over all classes i except the target y: input [N, C] with int32 targets [N],
 * or [C] with []. The default margin is 1. A target outside of the classes is a late IndexOutOfRangeError.
 */
export function multiMarginLoss(input: Tensor, target: Tensor, options?: MultiMarginLossOptions & ToOne): Tensor<[]>
export function multiMarginLoss(input: Tensor, target: Tensor, options?: MultiMarginLossOptions): Tensor
export function multiMarginLoss(input: Tensor, target: Tensor, options: MultiMarginLossOptions = {}): Tensor {
  const op = 'multiMarginLoss'
  checkOptions(op, options, multiMarginNames)
  const { p = 1, margin = 1, weight = null, reduction = 'mean' } = options
  checkReduction(op, reduction)
  checkFinite(op, 'margin', margin)
  if (p !== 1 && p !== 2) throw new ValueError(op, `p is ${shown(p)}, but must be 1 or 2`)
  checkFloats(op, { input, weight })
  checkLabels(op, 'target', target)
  const { rows, classes } = rowsOf(op, input)
  checkClasses(op, input, classes)
  checkShape(op, ['target', target], input.sizes.slice(0, -1), `input is ${formatShape(input.sizes)}`)
  if (weight) checkShape(op, ['weight', weight], [classes], `input has ${classes} classes`)
  return inFloats(op, { input, weight }, [], (x) => {
    const table = reshape(x.input, [rows, classes])
    const label = reshape(target, [rows])
    const index = unsqueeze(label, 1)
    const excess = relu(add(sub(table, gather(table, 1, index)), margin))
    const powered = p === 2 ? square(excess) : excess
    const others = ne(arange(0, classes, 1, { dtype: 'int32', device: input.device }), index)
    const losses = div(sum(where(others, powered, 0), 1), classes)
    const weighted = x.weight ? mul(losses, indexSelect(x.weight, 0, label)) : losses
    return reduceLoss(reshape(weighted, target.sizes), reduction)
  })
}

const reductionNames: OptionNames<ReductionOptions> = { reduction: true }

/**
 * sum_ij max(0, 1 - (x_j - x_i)) / C over target classes j and all other classes i: input [N, C] or [C], target of its
 * shape, whose rows list int32 classes up to the first negative number. A class beyond the last is a late
 * IndexOutOfRangeError.
 */
export function multilabelMarginLoss(input: Tensor, target: Tensor, options?: ReductionOptions & ToOne): Tensor<[]>
export function multilabelMarginLoss(input: Tensor, target: Tensor, options?: ReductionOptions): Tensor
export function multilabelMarginLoss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {
  const op = 'multilabelMarginLoss'
  const { reduction = 'mean' } = checkOptions(op, options, reductionNames)
  checkReduction(op, reduction)
  checkFloats(op, { input })
  checkLabels(op, 'target', target)
  checkSame(op, ['input', input], ['target', target])
  const { rows, classes } = rowsOf(op, input)
  checkClasses(op, input, classes)
  return inFloats(op, { input }, [], (x) => {
    const table = reshape(x.input, [rows, classes])
    const listed = reshape(target, [rows, classes])
    const counted = eq(cumsum(lt(listed, 0), 1), 0)
    const label = where(counted, listed, 0)
    const ofClass = arange(0, classes, 1, { dtype: 'int32', device: input.device })
    // [row, listed class, class]
    const same = castTo(eq(unsqueeze(label, 2), ofClass), 'int32')
    const isTarget = gt(sum(mul(same, unsqueeze(castTo(counted, 'int32'), 2)), 1), 0)
    const excess = relu(add(sub(unsqueeze(table, 1), unsqueeze(gather(table, 1, label), 2)), 1))
    const others = where(unsqueeze(isTarget, 1), 0, excess)
    const losses = div(sum(where(unsqueeze(counted, 2), others, 0), [1, 2]), classes)
    return reduceLoss(reshape(losses, input.sizes.slice(0, -1)), reduction)
  })
}

/** Distances of pairs, and losses of triplets. */
import { checkTensor } from '../../autograd/operator.js'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { add, minimum, relu, sub } from '../elementwise/index.js'
import { norm } from '../reduce/index.js'
import { checkFinite, checkReduction, inFloats, type ReductionOptions, reduceLoss, type ToOne } from './reduction.js'

function checkNorm(op: string, p: number): void {
  if (typeof p !== 'number' || !(p >= 0)) throw new ValueError(op, `p is ${shown(p)}, but must be a number from 0 on`)
}

export interface PairwiseDistanceOptions {
  /** The p of the norm, from 0 to Infinity. Default 2. */
  readonly p?: number
  /** Added to each difference, so that equal vectors have a gradient. Default 1e-6. */
  readonly eps?: number
  readonly keepdim?: boolean
}

const distanceNames: OptionNames<PairwiseDistanceOptions> = { p: true, eps: true, keepdim: true }

const distanceOf = (a: Tensor, b: Tensor, p: number, eps: number, keepdim = false): Tensor =>
  norm(add(sub(a, b), eps), p, -1, { keepdim })

/** The p-norm of a - b + eps along the last dimension: [..., D] -> [...]. Both broadcast. */
export function pairwiseDistance(a: Tensor, b: Tensor, options: PairwiseDistanceOptions = {}): Tensor {
  const { p = 2, eps = 1e-6, keepdim = false } = checkOptions('pairwiseDistance', options, distanceNames)
  checkNorm('pairwiseDistance', p)
  checkFinite('pairwiseDistance', 'eps', eps)
  checkFlag('pairwiseDistance', 'keepdim', keepdim)
  return inFloats('pairwiseDistance', { a, b }, [], (x) => distanceOf(x.a, x.b, p, eps, keepdim))
}

type Distance = (a: Tensor, b: Tensor) => Tensor

interface Triplet {
  readonly anchor: Tensor
  readonly positive: Tensor
  readonly negative: Tensor
}

/** The losses of triplets. With `swap` the negative's distance is to the nearer of anchor and positive. */
function tripletLosses({ anchor, positive, negative }: Triplet, distance: Distance, margin: number, swap: boolean) {
  const far = distance(anchor, negative)
  const nearest = swap ? minimum(far, distance(positive, negative)) : far
  return relu(add(sub(distance(anchor, positive), nearest), margin))
}

export interface TripletMarginLossOptions extends ReductionOptions {
  /** The distance by which the negative must be farther away. Default 1. */
  readonly margin?: number
  /** The p of the norm, from 0 to Infinity. Default 2. */
  readonly p?: number
  /** Added to each difference. Default 1e-6. */
  readonly eps?: number
  /**
   * Whether the negative's distance from the positive counts if it is smaller than from the anchor (Balntas et al.,
   * 2016). Default false.
   */
  readonly swap?: boolean
}

const tripletNames: OptionNames<TripletMarginLossOptions> = {
  margin: true,
  p: true,
  eps: true,
  swap: true,
  reduction: true,
}

/**
 * max(0, d(anchor, positive) - d(anchor, negative) + margin), where d is the pairwise distance: three [..., D] ->
 * [...].
 */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options?: TripletMarginLossOptions & ToOne,
): Tensor<[]>
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options?: TripletMarginLossOptions,
): Tensor
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletMarginLossOptions = {},
): Tensor {
  const op = 'tripletMarginLoss'
  checkOptions(op, options, tripletNames)
  const { margin = 1, p = 2, eps = 1e-6, swap = false, reduction = 'mean' } = options
  checkReduction(op, reduction)
  checkFinite(op, 'margin', margin, 0, false)
  checkNorm(op, p)
  checkFinite(op, 'eps', eps)
  checkFlag(op, 'swap', swap)
  return inFloats(op, { anchor, positive, negative }, [], (x) =>
    reduceLoss(
      tripletLosses(x, (a, b) => distanceOf(a, b, p, eps), margin, swap),
      reduction,
    ),
  )
}

export interface TripletMarginWithDistanceLossOptions extends ReductionOptions {
  /** The distance. Default pairwiseDistance. */
  readonly distanceFunction?: (a: Tensor, b: Tensor) => Tensor
  readonly margin?: number
  readonly swap?: boolean
}

const ownDistanceNames: OptionNames<TripletMarginWithDistanceLossOptions> = {
  distanceFunction: true,
  margin: true,
  swap: true,
  reduction: true,
}

/** tripletMarginLoss with the program's own distance, which takes two batches and gives one number for each pair. */
export function tripletMarginWithDistanceLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options?: TripletMarginWithDistanceLossOptions & ToOne,
): Tensor<[]>
export function tripletMarginWithDistanceLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options?: TripletMarginWithDistanceLossOptions,
): Tensor
export function tripletMarginWithDistanceLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletMarginWithDistanceLossOptions = {},
): Tensor {
  const op = 'tripletMarginWithDistanceLoss'
  checkOptions(op, options, ownDistanceNames)
  const { distanceFunction, margin = 1, swap = false, reduction = 'mean' } = options
  checkReduction(op, reduction)
  checkFinite(op, 'margin', margin, 0, false)
  checkFlag(op, 'swap', swap)
  if (distanceFunction !== undefined && typeof distanceFunction !== 'function')
    throw new ValueError(op, `distanceFunction is ${kindOf(distanceFunction)}, but must be a function of two tensors`)
  const distance: Distance = (a, b) => {
    const found = distanceFunction ? distanceFunction(a, b) : distanceOf(a, b, 2, 1e-6)
    checkTensor(op, 'the distance', found)
    return found
  }
  return inFloats(op, { anchor, positive, negative }, [], (x) =>
    reduceLoss(tripletLosses(x, distance, margin, swap), reduction),
  )
}

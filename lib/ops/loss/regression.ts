/** Losses of numbers: squared, absolute and in between, and Gaussian and Poisson likelihoods. */
import { checkTensor } from '../../autograd/operator.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../../core/options.js'
import { sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { full } from '../creation.js'
import { abs, add, clamp, div, exp, gt, log, lt, mul, relu, square, sub, where } from '../elementwise/index.js'
import { detach, unsqueeze } from '../shape/index.js'
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

const reductionNames: OptionNames<ReductionOptions> = { reduction: true }

/** A loss of each element and its target, which have the same shape. */
function ofPairs(
  op: string,
  input: Tensor,
  target: Tensor,
  reduction: Reduction,
  loss: (input: Tensor, target: Tensor) => Tensor,
): Tensor {
  checkReduction(op, reduction)
  checkFloats(op, { input, target })
  checkSame(op, ['input', input], ['target', target])
  return inFloats(op, { input, target }, [], (x) => reduceLoss(loss(x.input, x.target), reduction))
}

/**
 * Mean of (input - target)^2 over all elements; NaN if there are none. Throws ShapeError unless both have the same
 * shape.
 */
export function mseLoss(input: Tensor, target: Tensor, options?: ReductionOptions & ToOne): Tensor<[]>
export function mseLoss(input: Tensor, target: Tensor, options?: ReductionOptions): Tensor
export function mseLoss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {
  const { reduction = 'mean' } = checkOptions('mseLoss', options, reductionNames)
  return ofPairs('mseLoss', input, target, reduction, (x, y) => square(sub(x, y)))
}

/**
 * Mean of |input - target| over all elements; NaN if there are none. Throws ShapeError unless both have the same shape.
 */
export function l1Loss(input: Tensor, target: Tensor, options?: ReductionOptions & ToOne): Tensor<[]>
export function l1Loss(input: Tensor, target: Tensor, options?: ReductionOptions): Tensor
export function l1Loss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {
  const { reduction = 'mean' } = checkOptions('l1Loss', options, reductionNames)
  return ofPairs('l1Loss', input, target, reduction, (x, y) => abs(sub(x, y)))
}

/**
 * d^2 / 2 within (-limit, limit), limit (|d| - limit / 2) beyond. With c the clamped difference, it is c (d - c / 2). At
 * the limits c is constant, so that the second derivative there is PyTorch's, 0.
 */
function huber(x: Tensor, y: Tensor, limit: number): Tensor {
  const distance = sub(x, y)
  const limited = where(lt(abs(distance), limit), distance, detach(clamp(distance, -limit, limit)))
  return mul(limited, sub(distance, mul(limited, 0.5)))
}

export interface SmoothL1LossOptions extends ReductionOptions {
  /** The distance below which the loss is quadratic; 0 gives l1Loss. Default 1. */
  readonly beta?: number
}

const smoothL1Names: OptionNames<SmoothL1LossOptions> = { reduction: true, beta: true }

/**
 * d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, of d = input - target, which have one shape (Girshick, 2015).
 */
export function smoothL1Loss(input: Tensor, target: Tensor, options?: SmoothL1LossOptions & ToOne): Tensor<[]>
export function smoothL1Loss(input: Tensor, target: Tensor, options?: SmoothL1LossOptions): Tensor
export function smoothL1Loss(input: Tensor, target: Tensor, options: SmoothL1LossOptions = {}): Tensor {
  const { reduction = 'mean', beta = 1 } = checkOptions('smoothL1Loss', options, smoothL1Names)
  checkFinite('smoothL1Loss', 'beta', beta, 0)
  return ofPairs('smoothL1Loss', input, target, reduction, (x, y) =>
    beta === 0 ? abs(sub(x, y)) : div(huber(x, y, beta), beta),
  )
}

export interface HuberLossOptions extends ReductionOptions {
  /** The distance up to which the loss is quadratic. Default 1. */
  readonly delta?: number
}

const huberNames: OptionNames<HuberLossOptions> = { reduction: true, delta: true }

/**
 * d^2 / 2 where |d| < delta, else delta (|d| - delta / 2), of d = input - target, which have one shape (Huber, 1964).
 */
export function huberLoss(input: Tensor, target: Tensor, options?: HuberLossOptions & ToOne): Tensor<[]>
export function huberLoss(input: Tensor, target: Tensor, options?: HuberLossOptions): Tensor
export function huberLoss(input: Tensor, target: Tensor, options: HuberLossOptions = {}): Tensor {
  const { reduction = 'mean', delta = 1 } = checkOptions('huberLoss', options, huberNames)
  checkFinite('huberLoss', 'delta', delta, 0, false)
  return ofPairs('huberLoss', input, target, reduction, (x, y) => huber(x, y, delta))
}

export interface GaussianNllLossOptions extends ReductionOptions {
  /** Whether the constant log(2 pi) / 2 counts. Default false. */
  readonly full?: boolean
  /** The lower bound of variances. Smaller ones count as this, but still get a gradient. Default 1e-6. */
  readonly eps?: number
}

const gaussianNames: OptionNames<GaussianNllLossOptions> = { reduction: true, full: true, eps: true }

/**
 * The variance in a shape that broadcasts with the input: unchanged, or with a last dimension of 1 if there is one
 * variance for each row.
 */
function varianceFor(input: Tensor, variance: Tensor): Tensor {
  const rows = input.sizes.slice(0, -1)
  if (sameShape(variance.sizes, input.sizes)) return variance
  if (sameShape(variance.sizes, rows)) return unsqueeze(variance, -1)
  if (variance.sizes.at(-1) === 1 && sameShape(variance.sizes.slice(0, -1), rows)) return variance
  const shapes = [input.sizes, rows, [...rows, 1]].map(formatShape).join(' or ')
  throw new ShapeError('gaussianNllLoss', `variance is ${formatShape(variance.sizes)}, but must be ${shapes}`, [
    variance.sizes,
    input.sizes,
  ])
}

/**
 * The variances, none below eps. The bound is not part of the graph, as in PyTorch, so that a variance that fell too
 * low can still learn.
 */
function limited(variance: Tensor, eps: number): Tensor {
  const raised = add(variance, detach(relu(sub(eps, variance))))
  return where(lt(variance, 0), Number.NaN, raised)
}

/**
 * Negative log likelihood of `target` under normal distributions around `input`: (log(var) + (input - target)^2 / var)
 * / 2. input and target broadcast; variance has input's shape, possibly with a last dimension of 1 or without it, or is
 * one number. A negative variance gives NaN (Nix and Weigend, 1994).
 */
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor | number,
  options?: GaussianNllLossOptions & ToOne,
): Tensor<[]>
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor | number,
  options?: GaussianNllLossOptions,
): Tensor
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor | number,
  options: GaussianNllLossOptions = {},
): Tensor {
  checkOptions('gaussianNllLoss', options, gaussianNames)
  const { reduction = 'mean', full: isFull = false, eps = 1e-6 } = options
  checkReduction('gaussianNllLoss', reduction)
  checkFlag('gaussianNllLoss', 'full', isFull)
  checkFinite('gaussianNllLoss', 'eps', eps, 0, false)
  checkTensor('gaussianNllLoss', 'input', input)
  const number = typeof variance === 'number' ? checkFinite('gaussianNllLoss', 'variance', variance, 0) : null
  const tensor = typeof variance === 'number' ? null : variance
  checkFloats('gaussianNllLoss', { input, target })
  if (number === null) checkFloats('gaussianNllLoss', { 'the variance': tensor })
  const each = tensor && varianceFor(input, tensor)
  return inFloats('gaussianNllLoss', { input, target, variance: each }, [], (x) => {
    const used = x.variance
      ? limited(x.variance, eps)
      : full([], Math.max(number ?? eps, eps), { dtype: x.input.dtype, device: x.input.device })
    const losses = mul(add(log(used), div(square(sub(x.input, x.target)), used)), 0.5)
    return reduceLoss(isFull ? add(losses, 0.5 * Math.log(2 * Math.PI)) : losses, reduction)
  })
}

export interface PoissonNllLossOptions extends ReductionOptions {
  /** Whether the input is the logarithm of the rate. Default true. */
  readonly logInput?: boolean
  /** Whether Stirling's approximation of log(target!) counts, for targets above 1. Default false. */
  readonly full?: boolean
  /** Added to a rate whose logarithm is taken (logInput false). Default 1e-8. */
  readonly eps?: number
}

const poissonNames: OptionNames<PoissonNllLossOptions> = { reduction: true, logInput: true, full: true, eps: true }

/** log(t!) by Stirling's formula where t > 1, else 0. */
function logFactorial(target: Tensor): Tensor {
  const counts = gt(target, 1)
  const t = where(counts, target, 1)
  const stirling = add(sub(mul(t, log(t)), t), mul(log(mul(t, 2 * Math.PI)), 0.5))
  return where(counts, stirling, 0)
}

/**
 * Negative log likelihood of counts under Poisson distributions: exp(input) - target input, or input - target log(input
 * + eps) if `logInput` is false. input and target broadcast; the target may hold integers.
 */
export function poissonNllLoss(input: Tensor, target: Tensor, options?: PoissonNllLossOptions & ToOne): Tensor<[]>
export function poissonNllLoss(input: Tensor, target: Tensor, options?: PoissonNllLossOptions): Tensor
export function poissonNllLoss(input: Tensor, target: Tensor, options: PoissonNllLossOptions = {}): Tensor {
  checkOptions('poissonNllLoss', options, poissonNames)
  const { reduction = 'mean', logInput = true, full = false, eps = 1e-8 } = options
  checkReduction('poissonNllLoss', reduction)
  checkFlag('poissonNllLoss', 'logInput', logInput)
  checkFlag('poissonNllLoss', 'full', full)
  checkFinite('poissonNllLoss', 'eps', eps, 0)
  return inFloats('poissonNllLoss', { input, target }, ['target'], (x) => {
    const losses = logInput
      ? sub(exp(x.input), mul(x.target, x.input))
      : sub(x.input, mul(x.target, log(add(x.input, eps))))
    return reduceLoss(full ? add(losses, logFactorial(x.target)) : losses, reduction)
  })
}

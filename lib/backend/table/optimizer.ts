/**
 * The rows of optimisers: all parameters in one call. shadows: bfloat16 copies of the first shadows.length parameters,
 * written too. d = grad + weightDecay * p, or -grad + weightDecay * p if maximize. If decoupled, d is only the
 * gradient, and p *= 1 - lr * weightDecay before the step. average(m, b, x): m = b * m + (1 - b) * x.
 */
import { float, row } from './grammar.js'

const tensors = { params: 'inout[] T', grads: 'in[] T' } as const
const rest = { weightDecay: 'number', maximize: 'flag', shadows: 'inout[] bfloat16' } as const
const decoupling = { weightDecay: 'number', decoupled: 'flag', maximize: 'flag', shadows: 'inout[] bfloat16' } as const
const facts = { T: float, overwritten: ['shadows'], optional: true } as const

export const optimizer = {
  /**
   * d = grad + weightDecay * p; buf = first ? d : momentum * buf + (1 - dampening) * d;
   * p -= lr * (nesterov ? d + momentum * buf : buf)
   */
  sgd: row(
    {
      params: 'inout[] T',
      grads: 'in[] T',
      momentumBuffers: 'inout[] T',
      lr: 'number',
      momentum: 'number',
      dampening: 'number',
      weightDecay: 'number',
      nesterov: 'flag',
      maximize: 'flag',
      first: 'flag',
      shadows: 'inout[] bfloat16',
    },
    {
      T: float,
      overwritten: ['shadows'],
      optional: true,
    },
  ),
  /** AdamW if decoupled (p *= 1 - lr * weightDecay), else L2 in the gradient; maxSquares is empty unless amsgrad */
  adam: row(
    {
      params: 'inout[] T',
      grads: 'in[] T',
      means: 'inout[] T',
      squares: 'inout[] T',
      maxSquares: 'inout[] T',
      lr: 'number',
      beta1: 'number',
      beta2: 'number',
      eps: 'number',
      weightDecay: 'number',
      decoupled: 'flag',
      maximize: 'flag',
      step: 'integer',
      shadows: 'inout[] bfloat16',
    },
    {
      T: float,
      overwritten: ['shadows'],
      optional: true,
    },
  ),
  /** average(mean, beta1, d); largest = max(beta2 * largest, |d| + eps); p -= rate * mean / largest */
  adamax: row(
    {
      ...tensors,
      means: 'inout[] T',
      largest: 'inout[] T',
      rate: 'number',
      beta1: 'number',
      beta2: 'number',
      eps: 'number',
      ...rest,
    },
    facts,
  ),
  /**
   * Averages of d and d^2; product [] *= momentum; p -= lr * ((1 - momentum) / (1 - product) * d + nextMomentum / (1 -
   * product * nextMomentum) * mean) / (sqrt(square / correction) + eps)
   */
  nadam: row(
    {
      ...tensors,
      means: 'inout[] T',
      squares: 'inout[] T',
      momentumProducts: 'inout[] T',
      lr: 'number',
      beta1: 'number',
      beta2: 'number',
      eps: 'number',
      momentum: 'number',
      nextMomentum: 'number',
      correction: 'number',
      ...decoupling,
    },
    facts,
  ),
  /** Averages of d and d^2; p -= rate * (adapts ? mean / (sqrt(square) + eps) : mean) */
  radam: row(
    {
      ...tensors,
      means: 'inout[] T',
      squares: 'inout[] T',
      lr: 'number',
      beta1: 'number',
      beta2: 'number',
      eps: 'number',
      rate: 'number',
      adapts: 'flag',
      ...decoupling,
    },
    facts,
  ),
  /**
   * average(square, alpha, d^2), average(mean, alpha, d); s = d / (sqrt(square - mean^2) + eps), buf = momentum * buf +
   * s; p -= lr * buf. Without means the root is of square, without momentumBuffers the step is s.
   */
  rmsprop: row(
    {
      ...tensors,
      squares: 'inout[] T',
      means: 'inout[] T',
      momentumBuffers: 'inout[] T',
      lr: 'number',
      alpha: 'number',
      eps: 'number',
      momentum: 'number',
      ...rest,
    },
    facts,
  ),
  /** sum += d^2; p -= rate * d / (sqrt(sum) + eps) */
  adagrad: row({ ...tensors, sums: 'inout[] T', rate: 'number', eps: 'number', ...rest }, facts),
  /**
   * average(square, rho, d^2); s = sqrt(delta + eps) / sqrt(square + eps) * d, average(delta, rho, s^2); p -= lr * s
   */
  adadelta: row(
    { ...tensors, squares: 'inout[] T', deltas: 'inout[] T', lr: 'number', rho: 'number', eps: 'number', ...rest },
    facts,
  ),
  /**
   * p = p * (1 - lr * weightDecay) - lr * sign(average(mean, beta1, d)), while mean becomes average(mean, beta2, d); d
   * is the gradient
   */
  lion: row({ ...tensors, means: 'inout[] T', lr: 'number', beta1: 'number', beta2: 'number', ...rest }, facts),
  /** out [] = (sum |x|^p)^(1/p) over all tensors; p may be Infinity */
  total_norm: { args: { out: 'out T', tensors: 'in[] T', p: 'number' }, T: float },
  /** each tensor *= min(1, maxNorm / (norm + 1e-6)) */
  clip_scale: {
    args: { tensors: 'inout[] T', norm: 'in T', maxNorm: 'number' },
    T: float,
  },
} as const

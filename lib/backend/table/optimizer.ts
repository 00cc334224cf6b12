/**
 * The rows of optimisers: all parameters in one call. shadows: bfloat16 copies of the first shadows.length parameters,
 * written too.
 */
import { float, row } from './grammar.js'

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
  /** decoupled: AdamW (p *= 1 - lr * weightDecay), else L2 in the gradient; maxSquares is empty unless amsgrad */
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
  /** out [] = (sum |x|^p)^(1/p) over all tensors; p may be Infinity */
  total_norm: { args: { out: 'out T', tensors: 'in[] T', p: 'number' }, T: float },
  /** each tensor *= min(1, maxNorm / (norm + 1e-6)) */
  clip_scale: {
    args: { tensors: 'inout[] T', norm: 'in T', maxNorm: 'number' },
    T: float,
  },
} as const

/** The rows of losses. */
import { float } from './grammar.js'

/** `reduction` is 0 none, 1 mean, 2 sum. */
const options = { ignoreIndex: 'integer', smoothing: 'number', reduction: 'integer' } as const

export const loss = {
  /** logits [N, C], read in float32 whatever their dtype; target [N], weight [C]. out is [N] (none) or []; statistics
   * [2, N] holds the largest logit m of each row, then each row's sum of exp(logit - m); total [] is the sum of the counted
   * rows' weights, what mean divides by. A label outside [0, C) that is not ignoreIndex is recorded as an error. */
  cross_entropy_forward: {
    calledAs: 'crossEntropy',
    args: {
      out: 'out T',
      statistics: 'out T',
      total: 'out T',
      logits: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ...options,
    },
    T: float,
    optional: true,
    precision: 'float32',
  },
  /** dy has the shape of the forward's out */
  cross_entropy_backward: {
    calledAs: 'crossEntropy backward',
    args: {
      dlogits: 'out float',
      dy: 'in T',
      statistics: 'in T',
      total: 'in T',
      logits: 'in float',
      target: 'in int32',
      weight: 'in? T',
      ...options,
    },
    T: float,
    optional: true,
  },
} as const

/** The rows of softmax over dim. */
import { float } from './grammar.js'

export const softmax = {
  softmax_forward: {
    calledAs: 'softmax',
    args: { out: 'out T', x: 'in T', dim: 'integer' },
    T: float,
    precision: 'float32',
  },
  /** dx = y * (dy - sum(dy * y)) */
  softmax_backward: {
    calledAs: 'softmax backward',
    args: { dx: 'out T', dy: 'in T', y: 'in T', dim: 'integer' },
    T: float,
  },
  log_softmax_forward: {
    calledAs: 'logSoftmax',
    args: { out: 'out T', x: 'in T', dim: 'integer' },
    T: float,
    precision: 'float32',
  },
  /** dx = dy - exp(y) * sum(dy) */
  log_softmax_backward: {
    calledAs: 'logSoftmax backward',
    args: { dx: 'out T', dy: 'in T', y: 'in T', dim: 'integer' },
    T: float,
  },
} as const

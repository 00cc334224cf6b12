/** The rows of gated functions: of two tensors of the same shape, one decides how much of the other passes. */
import { floats } from './grammar.js'

export const gated = {
  /** out = silu(gate) * up */
  swiglu: { args: { out: 'out T', gate: 'strided T', up: 'strided T' }, T: floats, optional: true },
  /** dgate = dy * up * silu'(gate), dup = dy * silu(gate) */
  swiglu_backward: {
    calledAs: 'swiglu backward',
    args: { dgate: 'out? T', dup: 'out? T', dy: 'strided T', gate: 'strided T', up: 'strided T' },
    T: floats,
    optional: true,
  },
} as const

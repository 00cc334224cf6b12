/** The rows of reductions. */
import { float, numbers, numeric } from './grammar.js'

/** out has x's shape with 1 in each reduced dimension; a dimension is reduced where out has 1. */
const reduction = { args: { out: 'out T', x: 'strided T' }, T: numeric, precision: 'float32' } as const

export const reduce = {
  /** out = scale * sum(x), in x's dtype, or between float32 and bfloat16 in the other one */
  sum: { ...reduction, args: { out: 'out any', x: 'strided T', scale: 'number' }, T: numbers },
  amax: reduction,
  amin: reduction,
  /** indices along dim of the first largest element; NaN counts as largest; out has 1 at dim */
  argmax: {
    args: { out: 'out int32', x: 'strided T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  argmin: {
    args: { out: 'out int32', x: 'strided T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  /** running products along dim; a product that int32 cannot hold is an error */
  cumprod: {
    args: { out: 'out T', x: 'in T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  /** indices along dim of the last of the largest elements so far; NaN counts as largest */
  cummax: {
    args: { out: 'out int32', x: 'in T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  cummin: {
    args: { out: 'out int32', x: 'in T', dim: 'integer' },
    T: numeric,
    precision: 'float32',
  },
  /** log of running sums of exp along dim, without overflow */
  logcumsumexp: {
    args: { out: 'out T', x: 'in T', dim: 'integer', reverse: 'flag' },
    T: float,
    precision: 'float32',
  },
  cumsum: {
    args: { out: 'out T', x: 'in T', dim: 'integer', reverse: 'flag' },
    T: numeric,
    precision: 'float32',
  },
} as const

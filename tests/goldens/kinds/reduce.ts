import * as ops from '../../../lib/ops/index.js'
import { type Kinds, largest, op, reduction } from './kind.js'

export const kinds: Kinds = {
  sum: reduction(ops.sum),
  mean: reduction(ops.mean),
  amax: reduction(ops.amax),
  logsumexp: reduction(ops.logsumexp),
  var: op(
    (given) =>
      ops.variance(given.in('x'), given.arg('dim'), {
        keepdim: given.arg('keepdim'),
        correction: given.arg('correction'),
      }),
    largest,
  ),
  cumsum: op((given) => ops.cumsum(given.in('x'), given.arg('dim')), largest),
}

import * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kinds, largest, op, reduction } from './kind.js'

const keepdim = (given: Given) => ({ keepdim: given.option('keepdim', false) })

const spread = (fn: typeof ops.variance) =>
  op(
    (given) => fn(given.in('x'), given.arg('dim'), { ...keepdim(given), correction: given.option('correction', 1) }),
    largest,
  )

/** JSON cannot express some numbers, which are written as texts. */
const order = (given: Given): number => {
  const p = given.option<number | string>('p', 2)
  return typeof p === 'number' ? p : p.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

const extreme = (fn: typeof ops.max) =>
  op((given) => {
    const dim = given.option<number | null>('dim', null)
    return dim === null ? fn(given.in('x')) : fn(given.in('x'), dim, keepdim(given))
  })

export const kinds: Kinds = {
  sum: reduction(ops.sum),
  mean: reduction(ops.mean),
  amax: reduction(ops.amax),
  amin: reduction(ops.amin),
  max: extreme(ops.max),
  min: extreme(ops.min),
  logsumexp: reduction(ops.logsumexp),
  var: spread(ops.variance),
  std: spread(ops.std),
  cumsum: op((given) => ops.cumsum(given.in('x'), given.arg('dim')), largest),
  prod: op((given) => ops.prod(given.in('x'), given.option<number | null>('dim', null), keepdim(given)), largest),
  cumprod: op((given) => ops.cumprod(given.in('x'), given.arg('dim')), largest),
  logcumsumexp: op((given) => ops.logcumsumexp(given.in('x'), given.arg('dim')), largest),
  norm: op((given) => ops.norm(given.in('x'), order(given), given.option('dim', null), keepdim(given)), largest),
  normalize: op(
    (given) =>
      ops.normalize(given.in('x'), {
        p: order(given),
        dim: given.option('dim', 1),
        eps: given.option('eps', 1e-12),
      }),
    largest,
  ),
  cosineSimilarity: op(
    (given) =>
      ops.cosineSimilarity(given.in('a'), given.in('b'), {
        dim: given.option('dim', 1),
        eps: given.option('eps', 1e-8),
      }),
    largest,
  ),
  cdist: op((given) => ops.cdist(given.in('a'), given.in('b'), { p: order(given) }), largest),
}

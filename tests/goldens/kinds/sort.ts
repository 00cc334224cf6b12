import * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kinds, op } from './kind.js'

const along = (given: Given) => given.option('dim', -1)

export const kinds: Kinds = {
  sort: op((given) => ops.sort(given.in('x'), along(given), { descending: given.option('descending', false) })),
  topk: op((given) =>
    ops.topk(given.in('x'), given.arg('k'), along(given), { largest: given.option('largest', true) }),
  ),
  kthvalue: op((given) =>
    ops.kthvalue(given.in('x'), given.arg('k'), along(given), { keepdim: given.option('keepdim', false) }),
  ),
  median: op((given) => {
    const dim = given.option<number | null>('dim', null)
    return dim === null
      ? ops.median(given.in('x'))
      : ops.median(given.in('x'), dim, { keepdim: given.option('keepdim', false) })
  }),
}

import * as ops from '../../../lib/ops/index.js'
import { type Kinds, largest, op } from './kind.js'

export const kinds: Kinds = {
  softmax: op((given) => ops.softmax(given.in('x'), given.arg('dim')), largest),
  logSoftmax: op((given) => ops.logSoftmax(given.in('x'), given.arg('dim')), largest),
}

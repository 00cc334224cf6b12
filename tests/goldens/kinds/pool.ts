import * as ops from '../../../lib/ops/index.js'
import { type Kinds, largest, op } from './kind.js'

export const kinds: Kinds = {
  maxPool2d: op((given) =>
    ops.maxPool2d(given.in('x'), given.arg('kernelSize'), {
      stride: given.arg('stride'),
      padding: given.arg('padding'),
    }),
  ),
  avgPool2d: op(
    (given) =>
      ops.avgPool2d(given.in('x'), given.arg('kernelSize'), {
        stride: given.arg('stride'),
        padding: given.arg('padding'),
        countIncludePad: given.arg('countIncludePad'),
      }),
    largest,
  ),
}

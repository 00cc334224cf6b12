import * as ops from '../../../lib/ops/index.js'
import { type Kinds, op } from './kind.js'

export const kinds: Kinds = {
  permute: op((given) => ops.permute(given.in('x'), given.arg('dims'))),
  reshape: op((given) => ops.reshape(given.in('x'), given.arg<number[]>('shape'))),
  slice: op((given) => {
    const [start, end] = [given.arg<number[]>('start'), given.arg<number[]>('end')]
    return ops.slice(given.in('x'), ...start.map((from, i) => [from, end[i] as number] as const))
  }),
  pad: op((given) => ops.pad(given.in('x'), given.arg('pad'), given.arg('value'))),
  cat: op((given) => ops.cat([given.in('a'), given.in('b')], given.arg('dim'))),
  stack: op((given) => ops.stack([given.in('a'), given.in('b')], given.arg('dim'))),
  expand: op(
    (given) => ops.expand(given.in('x'), given.arg<number[]>('shape')),
    (given) => given.arg<number[]>('shape').reduce((a, b) => a * b, 1),
  ),
}

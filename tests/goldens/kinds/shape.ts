import * as ops from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kinds, largest, op } from './kind.js'

const repeats = (given: Given): number => [given.arg<number | number[]>('repeats')].flat().reduce((a, b) => a * b, 1)
const slides = (given: Given): ops.UnfoldOptions => ({
  stride: given.option('stride', 1),
  padding: given.option('padding', 0),
  dilation: given.option('dilation', 1),
})

export const kinds: Kinds = {
  permute: op((given) => ops.permute(given.in('x'), given.arg('dims'))),
  reshape: op((given) => ops.reshape(given.in('x'), given.arg<number[]>('shape'))),
  slice: op((given) => {
    const [start, end] = [given.arg<number[]>('start'), given.arg<number[]>('end')]
    return ops.slice(given.in('x'), ...start.map((from, i) => [from, end[i] as number] as const))
  }),
  pad: op((given) => {
    const mode = given.option<ops.PadMode>('mode', 'constant')
    const options = mode === 'constant' ? { mode, value: given.option('value', 0) } : { mode }
    return ops.pad(given.in('x'), given.arg('pad'), options)
  }, largest),
  flip: op((given) => ops.flip(given.in('x'), given.arg('dims'))),
  roll: op((given) => ops.roll(given.in('x'), given.arg('shifts'), given.option('dims', undefined))),
  tile: op((given) => ops.tile(given.in('x'), given.arg('repeats')), repeats),
  repeatInterleave: op(
    (given) => ops.repeatInterleave(given.in('x'), given.arg('repeats'), given.option('dim', undefined)),
    repeats,
  ),
  tril: op((given) => ops.tril(given.in('x'), given.option('diagonal', 0))),
  triu: op((given) => ops.triu(given.in('x'), given.option('diagonal', 0))),
  diagonal: op((given) =>
    ops.diagonal(given.in('x'), given.option('offset', 0), given.option('dim1', 0), given.option('dim2', 1)),
  ),
  unfold: op((given) => ops.unfold(given.in('x'), given.arg('kernelSize'), slides(given)), largest),
  fold: op(
    (given) => ops.fold(given.in('x'), given.arg('outputSize'), given.arg('kernelSize'), slides(given)),
    largest,
  ),
  pixelShuffle: op((given) => ops.pixelShuffle(given.in('x'), given.arg('upscaleFactor'))),
  pixelUnshuffle: op((given) => ops.pixelUnshuffle(given.in('x'), given.arg('downscaleFactor'))),
  cat: op((given) => ops.cat([given.in('a'), given.in('b')], given.arg('dim'))),
  stack: op((given) => ops.stack([given.in('a'), given.in('b')], given.arg('dim'))),
  expand: op(
    (given) => ops.expand(given.in('x'), given.arg<number[]>('shape')),
    (given) => given.arg<number[]>('shape').reduce((a, b) => a * b, 1),
  ),
}

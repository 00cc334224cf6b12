import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, integers, label, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import { named, unaryZeros, type ZeroSizes } from './zero.js'

const shapes: readonly [f.Shape, number][] = [
  [[1], 0],
  [[31], 0],
  [[33, 32], 1],
  [[33, 32], 0],
  [[3, 5, 31], 1],
  [[0, 3], 1],
  [[3, 0], 0],
  [[3, 0], 1],
  [[0, 0], 1],
  [[2, 0, 3], 1],
  [[2, 5003], -1],
  [[517, 9], 1],
]

export const cases: readonly Case[] = (['softmax', 'logSoftmax'] as const).flatMap((op) => {
  const fn = op === 'softmax' ? f.softmax : f.logSoftmax
  return [
    ...shapes.map(([shape, dim]) => ({
      op,
      name: `${label(shape)} along ${dim}`,
      inputs: [normal(shape, 2)],
      call: (x: f.Tensor) => fn(x, dim),
      length: shape[dim < 0 ? dim + shape.length : dim] as number,
    })),
    { op, name: 'far from 0', inputs: [normal([5, 7], 3, 900)], call: (x: f.Tensor) => fn(x, 1), length: 7 },
  ]
})

export const errors: readonly ErrorCase[] = [
  {
    op: 'softmax',
    name: 'a dimension too many',
    code: 'ERR_VALUE',
    mentions: ['2'],
    call: (make) => f.softmax(make(normal([3, 4])), 2),
  },
  {
    op: 'logSoftmax',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN'],
    call: (make) => f.logSoftmax(make(normal([3])), Number.NaN),
  },
  {
    op: 'softmax',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.softmax(make(integers([3], 0, 9)), 0),
  },
]

export const calls: readonly PublicCall[] = [
  sound('softmax', f.softmax, () => [t(2, 3), 1]),
  sound('logSoftmax', f.logSoftmax, () => [t(2, 3), 1]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...named(['softmax', 'logSoftmax'], (fn: (x: f.Tensor, dim: number) => f.Tensor) => unaryZeros((x) => fn(x, 1))),
}

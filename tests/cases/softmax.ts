import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, exactly, integers, label, normal } from './case.js'
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

const seeded = () => new f.Generator(1234, 5)

const plain: readonly Case[] = (['softmax', 'logSoftmax', 'softmin'] as const).flatMap((op) => {
  const fn = f[op]
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

/** A choice whose gradient is that of the soft result. */
const hard = { 'finite differences': 'the result is constant, and its gradient is that of another function' } as const

export const cases: readonly Case[] = [
  ...plain,
  ...shapes.flatMap(([shape, dim]): Case[] => {
    const choices = shape.at(dim) as number
    const common = { op: 'gumbelSoftmax', inputs: [normal(shape)], length: choices }
    const name = `${label(shape)} along ${dim}`
    const soft: Case = { ...common, name, call: (x) => f.gumbelSoftmax(x, { dim, generator: seeded() }) }
    if (choices === 0) return [soft]
    return [
      soft,
      {
        ...common,
        name: `hard, ${name}`,
        call: (x) => f.gumbelSoftmax(x, { dim, hard: true, generator: seeded() }),
        without: hard,
      },
    ]
  }),
  {
    op: 'gumbelSoftmax',
    name: 'a temperature, and infinite logits',
    inputs: [exactly([2, 3], 'float', [Number.NEGATIVE_INFINITY, 1, 2, 0, Number.NEGATIVE_INFINITY, -1])],
    call: (x) => f.gumbelSoftmax(x, { tau: 0.5, generator: seeded() }),
    length: 3,
  },
]

/** The number of cases that are excused, by check. */
export const excused = { 'finite differences': 9 }

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
  {
    op: 'softmin',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.softmin(make(integers([3], 0, 9)), 0),
  },
  {
    op: 'softmin',
    name: 'a dimension too many',
    code: 'ERR_VALUE',
    mentions: ['2'],
    call: (make) => f.softmin(make(normal([3, 4])), 2),
  },
  {
    op: 'gumbelSoftmax',
    name: 'tau 0',
    code: 'ERR_VALUE',
    mentions: ['tau is 0', 'more than 0'],
    call: (make) => f.gumbelSoftmax(make(normal([3])), { tau: 0 }),
  },
  {
    op: 'gumbelSoftmax',
    name: 'a dimension too many',
    code: 'ERR_VALUE',
    mentions: ['2'],
    call: (make) => f.gumbelSoftmax(make(normal([3, 4])), { dim: 2 }),
  },
  {
    op: 'gumbelSoftmax',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['logits', 'int32'],
    call: (make) => f.gumbelSoftmax(make(integers([3], 0, 9))),
  },
]

export const calls: readonly PublicCall[] = [
  sound('softmax', f.softmax, () => [t(2, 3), 1]),
  sound('logSoftmax', f.logSoftmax, () => [t(2, 3), 1]),
  sound('softmin', f.softmin, () => [t(2, 3), 1]),
  sound('gumbelSoftmax', f.gumbelSoftmax, () => [
    t(2, 3),
    { tau: 0.5, hard: true, dim: 1, generator: new f.Generator(3) },
  ]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  gumbelSoftmax: unaryZeros((x) => f.gumbelSoftmax(x, { dim: 1, generator: seeded() })),
  // Nothing can be chosen from nothing, in PyTorch neither.
  'gumbelSoftmax of the hard kind': unaryZeros((x) => f.gumbelSoftmax(x, { hard: true, generator: seeded() }), {
    refuses: ['n'],
  }),
  ...named(['softmax', 'logSoftmax', 'softmin'], (fn: (x: f.Tensor, dim: number) => f.Tensor) =>
    unaryZeros((x) => fn(x, 1)),
  ),
}

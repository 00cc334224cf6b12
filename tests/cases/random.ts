import * as f from '../../lib/index.js'
import { bits, type Case, constant, type ErrorCase, integers, label, normal, ragged } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import { creation, unaryZeros, type ZeroSizes } from './zero.js'

const seeded = () => new f.Generator(1234, 5)

/** Random tensors need no input: this one carries the shape and the device. */
const draws: readonly [string, (x: f.Tensor) => f.Tensor][] = [
  ['random_uniform', (x) => f.rand(x.shape, { device: x.device, generator: seeded(), low: -1, high: 3 })],
  ['random_normal', (x) => f.randn(x.shape, { device: x.device, generator: seeded(), mean: 0.5, std: 2 })],
  ['random_integers', (x) => f.randint(-1000, 2000, x.shape, { device: x.device, generator: seeded() })],
]

export const cases: readonly Case[] = [
  ...draws.flatMap(([op, draw]) =>
    ragged.map((shape) => ({
      op,
      name: label(shape),
      inputs: [bits(shape)],
      call: draw,
      without: { layouts: 'there is no input to read' },
    })),
  ),
  ...ragged.map((shape) => ({
    op: 'dropout',
    name: label(shape),
    inputs: [normal(shape)],
    call: (x: f.Tensor) => f.dropout(x, 0.3, { generator: seeded() }),
  })),
  ...[1, 1e-9, 0.999].map((p) => ({
    op: 'dropout',
    name: `p = ${p}`,
    inputs: [normal([333])],
    call: (x: f.Tensor) => f.dropout(x, p, { generator: seeded() }),
  })),
  {
    op: 'dropout',
    name: 'not in training',
    inputs: [constant(normal([33]))],
    call: (x) => f.dropout(f.dropout(x, 0.5, { training: false }), 0.1, { generator: seeded() }),
  },
]

/** How many of the cases are excused from which check. */
export const excused = { layouts: 24 }

export const errors: readonly ErrorCase[] = [
  {
    op: 'dropout',
    name: 'p NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'p is'],
    call: (make) => f.dropout(make(normal([3])), Number.NaN),
  },
  {
    op: 'dropout',
    name: 'p 1.5',
    code: 'ERR_VALUE',
    mentions: ['1.5'],
    call: (make) => f.dropout(make(normal([3])), 1.5),
  },
  {
    op: 'dropout',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.dropout(make(integers([3], 0, 9)), 0.5),
  },
  {
    op: 'rand',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'low'],
    call: () => f.rand([3], { low: Number.NaN }),
  },
  {
    op: 'randn',
    name: 'a negative std',
    code: 'ERR_VALUE',
    mentions: ['-1', 'std'],
    call: () => f.randn([3], { std: -1 }),
  },
  { op: 'randn', name: 'a negative size', code: 'ERR_VALUE', mentions: ['-3'], call: () => f.randn([-3]) },
  {
    op: 'randint',
    name: 'nothing to choose from',
    code: 'ERR_VALUE',
    mentions: ['5'],
    call: () => f.randint(5, 5, [3]),
  },
  { op: 'randint', name: 'NaN', code: 'ERR_VALUE', mentions: ['NaN'], call: () => f.randint(Number.NaN, 5, [3]) },
]

export const calls: readonly PublicCall[] = [
  sound('dropout', f.dropout, () => [t(3), 0.5, { training: true }]),
  sound('rand', f.rand, () => [[2, 3], { low: -1, high: 2, generator: new f.Generator(3), requiresGrad: true }]),
  sound('randn', f.randn, () => [[2, 3], { mean: 1, std: 2 }]),
  sound('randint', f.randint, () => [0, 5, [2, 3], { dtype: 'float32' }]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  dropout: unaryZeros((x) => f.dropout(x, 0.5, { generator: new f.Generator(1) })),
  rand: creation(({ m = 0, n = 0 }) => f.rand([m, n], { generator: new f.Generator(1) })),
  randn: creation(({ m = 0, n = 0 }) => f.randn([m, n], { generator: new f.Generator(1) })),
  randint: creation(({ m = 0, n = 0 }) => f.randint(0, 9, [m, n], { generator: new f.Generator(1) })),
}

import * as f from '../../lib/index.js'
import {
  bits,
  type Case,
  constant,
  type ErrorCase,
  integers,
  label,
  normal,
  positive,
  ragged,
  uniform,
} from './case.js'
import * as dropout from './dropout.js'
import { type PublicCall, sound, t } from './sound.js'
import { creation, unaryZeros, type ZeroSizes } from './zero.js'

const seeded = () => new f.Generator(1234, 5)

/** Probabilities, two of which are certain. */
const chances = { ...uniform([4, 333], 0, 1), differentiable: false }

/** Random tensors need no input, so this one only carries the shape and the device. */
const draws: readonly [string, (x: f.Tensor) => f.Tensor][] = [
  ['random_uniform', (x) => f.rand(x.shape, { device: x.device, generator: seeded(), low: -1, high: 3 })],
  ['random_normal', (x) => f.randn(x.shape, { device: x.device, generator: seeded(), mean: 0.5, std: 2 })],
  ['randLike', (x) => f.randLike(x, { dtype: 'float32', generator: seeded(), low: -1, high: 3 })],
  ['randnLike', (x) => f.randnLike(x, { dtype: 'float32', generator: seeded(), mean: 0.5, std: 2 })],
  ['randintLike', (x) => f.randintLike(x, -9, 20, { dtype: 'int32', generator: seeded() })],
  ['randperm', (x) => f.randperm(x.numel, { device: x.device, generator: seeded() })],
  ['exponential', (x) => f.exponential(x.shape, { device: x.device, generator: seeded(), lambd: 2 })],
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
    op: 'normal',
    name: label(shape),
    inputs: [normal(shape), positive(shape)],
    call: (mean: f.Tensor, std: f.Tensor) => f.normal(mean, std, { generator: seeded() }),
  })),
  {
    op: 'normal',
    name: 'beside a number',
    inputs: [positive([3, 1])],
    call: (x) => [f.normal(x, 2, { generator: seeded() }), f.normal(2, x, { generator: seeded() })],
  },
  {
    op: 'bernoulli',
    name: 'of chances',
    inputs: [chances],
    call: (x) => f.bernoulli(f.clamp(x, 0, 1), { generator: seeded() }),
  },
  {
    op: 'bernoulli',
    name: 'of one chance',
    inputs: [bits([333])],
    call: (x) => [0, 0.3, 1].map((p) => f.bernoulli(x, { p, generator: seeded() })),
  },
  {
    op: 'multinomial',
    name: 'with replacement',
    inputs: [chances],
    call: (x) => f.multinomial(x, 50, { replacement: true, generator: seeded() }),
    without: { meta: 'there are no weights to choose by' },
  },
  {
    op: 'multinomial',
    name: 'each once',
    inputs: [{ ...uniform([33], 1, 2), differentiable: false }],
    call: (x) => f.multinomial(x, 33, { generator: seeded() }),
    without: { meta: 'there are no weights to choose by' },
  },
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
  ...dropout.cases,
]

/** The number of cases that are excused, by check. */
export const excused = { layouts: 64, meta: 2 }

export const errors: readonly ErrorCase[] = [
  ...dropout.errors,
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
  {
    op: 'randLike',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.randLike(make(integers([3], 0, 9))),
  },
  { op: 'randn', name: 'a negative size', code: 'ERR_VALUE', mentions: ['-3'], call: () => f.randn([-3]) },
  {
    op: 'randint',
    name: 'nothing to choose from',
    code: 'ERR_VALUE',
    mentions: ['5'],
    call: () => f.randint(5, 5, [3]),
  },
  {
    op: 'bernoulli',
    name: 'no probability',
    code: 'ERR_VALUE',
    mentions: ['probability'],
    call: (make) => f.bernoulli(make(normal([33], 9))),
  },
  {
    op: 'bernoulli',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.bernoulli(make(integers([3], 0, 2))),
  },
  {
    op: 'multinomial',
    name: 'more than there are',
    code: 'ERR_VALUE',
    mentions: ['4 of the 3'],
    call: (make) => f.multinomial(make(positive([3])), 4),
  },
  {
    op: 'multinomial',
    name: 'a negative weight',
    code: 'ERR_VALUE',
    mentions: ['-'],
    call: (make) => f.multinomial(make(uniform([3], -2, -1)), 1),
  },
  { op: 'randperm', name: 'a negative size', code: 'ERR_VALUE', mentions: ['-3'], call: () => f.randperm(-3) },
  { op: 'normal', name: 'numbers alone', code: 'ERR_VALUE', mentions: ['shape'], call: () => f.normal(0, 1) },
  {
    op: 'normal',
    name: 'shapes that do not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[2]', '[3]'],
    call: (make) => f.normal(make(normal([2])), make(positive([3]))),
  },
  {
    op: 'exponential',
    name: 'no rate',
    code: 'ERR_VALUE',
    mentions: ['lambd', '0'],
    call: () => f.exponential([3], { lambd: 0 }),
  },
  { op: 'randint', name: 'NaN', code: 'ERR_VALUE', mentions: ['NaN'], call: () => f.randint(Number.NaN, 5, [3]) },
]

export const { layers } = dropout

export const calls: readonly PublicCall[] = [
  ...dropout.calls,
  sound('dropout', f.dropout, () => [t(3), 0.5, { training: true }]),
  sound('rand', f.rand, () => [[2, 3], { low: -1, high: 2, generator: new f.Generator(3), requiresGrad: true }]),
  sound('randn', f.randn, () => [[2, 3], { mean: 1, std: 2 }]),
  sound('randLike', f.randLike, () => [t(2, 3), { low: -1, high: 2, generator: new f.Generator(3) }]),
  sound('randnLike', f.randnLike, () => [t(2, 3), { mean: 1, std: 2 }]),
  sound('randintLike', f.randintLike, () => [t(2, 3), 0, 5, { dtype: 'int32' }]),
  sound('bernoulli', f.bernoulli, () => [t(3), { p: 0.5, generator: new f.Generator(3) }]),
  sound('multinomial', f.multinomial, () => [t(3), 2, { replacement: true, generator: new f.Generator(3) }]),
  sound('randperm', f.randperm, () => [5, { dtype: 'float32' }]),
  sound('normal', f.normal, () => [t(3), t(3), { generator: new f.Generator(3) }], 'randn', 'add', 'mul'),
  sound('exponential', f.exponential, () => [[2, 3], { lambd: 2 }], 'rand'),
  sound('randint', f.randint, () => [0, 5, [2, 3], { dtype: 'float32' }]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...dropout.zeroSizes,
  dropout: unaryZeros((x) => f.dropout(x, 0.5, { generator: new f.Generator(1) })),
  rand: creation(({ m = 0, n = 0 }) => f.rand([m, n], { generator: new f.Generator(1) })),
  randn: creation(({ m = 0, n = 0 }) => f.randn([m, n], { generator: new f.Generator(1) })),
  randLike: unaryZeros((x) => f.randLike(x, { generator: new f.Generator(1) })),
  randnLike: unaryZeros((x) => f.randnLike(x, { generator: new f.Generator(1) })),
  randintLike: unaryZeros((x) => f.randintLike(x, 0, 9, { generator: new f.Generator(1) })),
  bernoulli: unaryZeros((x) => f.bernoulli(x, { p: 0.5, generator: new f.Generator(1) })),
  multinomial: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [positive([m, n])],
    call: ([x]) => f.multinomial(x as f.Tensor, 2, { generator: new f.Generator(1) }),
    refuses: ['n'],
  },
  randperm: {
    sizes: { m: 3 },
    inputs: () => [],
    call: (_, { m = 0 }) => f.randperm(m, { generator: new f.Generator(1) }),
  },
  normal: unaryZeros((x) => f.normal(x, 1, { generator: new f.Generator(1) })),
  exponential: creation(({ m = 0, n = 0 }) => f.exponential([m, n], { generator: new f.Generator(1) })),
  randint: creation(({ m = 0, n = 0 }) => f.randint(0, 9, [m, n], { generator: new f.Generator(1) })),
}

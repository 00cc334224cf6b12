import * as f from '../../lib/index.js'
import {
  bits,
  bytes,
  type Case,
  constant,
  distinct,
  type ErrorCase,
  exactly,
  type Input,
  integers,
  label,
  normal,
} from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import { named, unaryZeros, type ZeroSizes } from './zero.js'

type Dim = number | readonly number[] | null

/** A shape, what is reduced, and how many elements that is. */
const reductions: readonly [f.Shape, Dim, number][] = [
  [[], null, 1],
  [[1], 0, 1],
  [[31], null, 31],
  [[33, 32], 0, 33],
  [[33, 32], 1, 32],
  [[33, 32], -1, 32],
  [[5, 31, 3], 1, 31],
  [[5, 31, 3], [0, 2], 15],
  [[2, 3, 4, 5], [1, 3], 15],
  [[40007], null, 40007],
  [[3, 9001], 1, 9001],
  [[9001, 3], 0, 9001],
]

function reduce(
  op: string,
  fn: (x: f.Tensor, dim: Dim, options?: { keepdim?: boolean }) => f.Tensor,
  input: (shape: f.Shape) => Input,
  more: Partial<Case> = {},
): Case[] {
  return reductions.map(([shape, dim, length], i) => ({
    op,
    name: `${fn.name} of ${label(shape)} over ${dim === null ? 'all' : String(dim)}`,
    inputs: [input(shape)],
    call: (x) => fn(x, dim, { keepdim: i % 2 === 0 }),
    length,
    ...more,
  }))
}

const x = normal([3, 4])

const finite: readonly Case[] = [
  ...reduce('sum', f.sum, normal),
  ...reduce('mean', f.mean, normal),
  // The difference from the mean cancels, and std has a pole at 0: more of the dtype's digits go.
  ...reduce('var', f.variance, normal).slice(2),
  ...reduce('std', f.std, normal).slice(2),
  ...(
    [
      ['var', f.variance],
      ['std', f.std],
    ] as const
  ).map(([op, fn]) => ({
    op,
    name: 'far from 0',
    inputs: [normal([3, 257], 1 / 16, 4096)],
    call: (t: f.Tensor) => fn(t, 1),
    length: 257,
  })),
  { op: 'sum', name: 'of nothing', inputs: [normal([0, 3])], call: (t) => f.sum(t, 0) },
  { op: 'sum', name: 'of nothing to nothing', inputs: [normal([0, 3])], call: (t) => f.sum(t, 1) },
  { op: 'sum', name: 'uint8', inputs: [bytes([5, 333])], call: (t) => f.sum(t, 1) },
  { op: 'sum', name: 'bool', inputs: [bits([5, 33])], call: (t) => f.sum(t) },
  { op: 'cumsum', name: 'bool', inputs: [bits([5, 33])], call: (t) => f.cumsum(t, 0) },
  { op: 'sum', name: 'int32', inputs: [integers([5, 33], -99, 99)], call: (t) => f.sum(t, 1) },
  { op: 'logsumexp', name: 'of columns', inputs: [normal([33, 5])], call: (t) => f.logsumexp(t, 0), length: 33 },
  {
    op: 'logsumexp',
    name: 'far from 0',
    inputs: [normal([3, 31], 10, 500)],
    call: (t) => f.logsumexp(t, 1),
    length: 31,
  },
  ...reduce('amax', f.amax, distinct),
  ...reduce('amin', f.amin, distinct),
  {
    op: 'amax',
    name: 'ties share the gradient',
    inputs: [{ ...integers([33, 7], 0, 3), kind: 'float', differentiable: true }],
    call: (t) => f.amax(t, 1),
    length: 7,
    without: { 'finite differences': 'a tie is a kink' },
  },
  { op: 'amax', name: 'int32', inputs: [integers([5, 33], -99, 99)], call: (t) => f.amax(t, 0) },
  { op: 'amin', name: 'int32', inputs: [integers([5, 33], -99, 99)], call: (t) => f.amin(t, 0) },
  ...(['argmax', 'argmin'] as const).flatMap((op) => [
    ...reductions
      .filter(([, dim]) => !Array.isArray(dim))
      .map(([shape, dim]) => ({
        op,
        name: `${label(shape)} over ${dim === null ? 'all' : String(dim)}`,
        inputs: [constant(distinct(shape))],
        call: (t: f.Tensor) => f[op](t, dim as number | null),
      })),
    { op, name: 'the first of equals', inputs: [integers([33, 7], 0, 3)], call: (t: f.Tensor) => f[op](t, 1) },
  ]),
  ...(
    [
      [[1], 0],
      [[0], 0],
      [[31], 0],
      [[33, 32], 0],
      [[33, 32], 1],
      [[5, 31, 3], -2],
      [[3, 5001], 1],
    ] as const
  ).map(([shape, dim]) => ({
    op: 'cumsum',
    name: `${label(shape)} along ${dim}`,
    inputs: [normal(shape)],
    call: (t: f.Tensor) => f.cumsum(t, dim),
    length: shape[dim < 0 ? dim + shape.length : dim] as number,
  })),
  { op: 'cumsum', name: 'int32', inputs: [integers([5, 33], -99, 99)], call: (t) => f.cumsum(t, 1) },
]

/** Rows with NaN and infinities, and one without. */
const rows = exactly([4, 3], 'float', [
  1,
  Number.NaN,
  3,
  Number.POSITIVE_INFINITY,
  2,
  1,
  Number.NEGATIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  5,
  3,
  2,
  1,
])

const atEnds: readonly Case[] = (
  [
    ['sum', (t) => f.sum(t, 1)],
    ['amax', (t) => f.amax(t, 1)],
    ['amin', (t) => f.amin(t, 1)],
    ['argmax', (t) => f.argmax(t, 1)],
    ['argmin', (t) => f.argmin(t, 1)],
    ['cumsum', (t) => f.cumsum(t, 1)],
    ['exp', (t) => f.logsumexp(t, 1)],
    ['softmax', (t) => f.softmax(t, 1)],
    ['logSoftmax', (t) => f.logSoftmax(t, 1)],
  ] as readonly [string, (t: f.Tensor) => f.Tensor][]
).map(([op, fn]) => ({
  op,
  name: `NaN and infinities in rows: ${op}`,
  inputs: [rows],
  call: fn,
  length: 3,
}))

export const cases: readonly Case[] = [...finite, ...atEnds]

/** Two halves of the range of int32, and one more. */
const tooMuch = exactly([3, 2], 'int32', [2 ** 30, 1, 2 ** 30 - 1, 1, 1, 1])

/** How many of the cases are excused from which check. */
export const excused = { 'finite differences': 1 }

export const errors: readonly ErrorCase[] = [
  {
    op: 'sum',
    name: 'beyond int32',
    code: 'ERR_VALUE',
    mentions: ['int32', ".to('float32')"],
    call: (make) => f.sum(make(tooMuch), 0),
  },
  {
    op: 'cumsum',
    name: 'beyond int32',
    code: 'ERR_VALUE',
    mentions: ['int32', ".to('float32')"],
    call: (make) => f.cumsum(make(tooMuch), 0),
  },
  { op: 'sum', name: 'a dimension too many', code: 'ERR_VALUE', mentions: ['2'], call: (make) => f.sum(make(x), 2) },
  { op: 'sum', name: 'a dimension twice', code: 'ERR_VALUE', mentions: ['1'], call: (make) => f.sum(make(x), [1, -1]) },
  { op: 'sum', name: 'NaN', code: 'ERR_VALUE', mentions: ['NaN'], call: (make) => f.sum(make(x), Number.NaN) },
  {
    op: 'mean',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.mean(make(integers([4], 0, 9))),
  },
  {
    op: 'amax',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 3]'],
    call: (make) => f.amax(make(normal([0, 3])), 0),
  },
  {
    op: 'argmax',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[3, 0]'],
    call: (make) => f.argmax(make(normal([3, 0])), 1),
  },
  {
    op: 'cumsum',
    name: 'a dimension too many',
    code: 'ERR_VALUE',
    mentions: ['3'],
    call: (make) => f.cumsum(make(x), 3),
  },
]

export const calls: readonly PublicCall[] = [
  ...(['sum', 'mean', 'amax', 'amin', 'logsumexp', 'std'] as const).map((name) =>
    sound(name, f[name], () => [t(2, 3), [0, -1], { keepdim: true }], 'variance', 'var', 'sum'),
  ),
  sound('var', f.variance, () => [t(2, 3), 1, { correction: 1 }], 'variance'),
  sound('argmax', f.argmax, () => [t(2, 3), 1, { keepdim: true }]),
  sound('argmin', f.argmin, () => [t(2, 3), null, { keepdim: false }]),
  sound('cumsum', f.cumsum, () => [t(2, 3), 1]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  cumsum: unaryZeros((x) => f.cumsum(x, 1)),
  sum: unaryZeros((x) => f.sum(x, 0), { fills: { m: 0 } }),
  'sum of all': unaryZeros((x) => f.sum(x), { fills: { m: 0, n: 0 } }),
  mean: unaryZeros((x) => f.mean(x, 0), { fills: { m: Number.NaN } }),
  'mean of all': unaryZeros((x) => f.mean(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  variance: unaryZeros((x) => f.variance(x, 0), { fills: { m: Number.NaN } }),
  'variance of all': unaryZeros((x) => f.variance(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  std: unaryZeros((x) => f.std(x, 0), { fills: { m: Number.NaN } }),
  'std of all': unaryZeros((x) => f.std(x), { fills: { m: Number.NaN, n: Number.NaN } }),
  logsumexp: unaryZeros((x) => f.logsumexp(x, 0), { fills: { m: Number.NEGATIVE_INFINITY } }),
  ...named(['amax', 'amin', 'argmax', 'argmin'], (fn: (x: f.Tensor, dim: number) => f.Tensor) => ({
    ...unaryZeros((x) => fn(x, 0), { refuses: ['m'] }),
    inputs: ({ m = 0, n = 0 }) => [distinct([m, n])],
  })),
  'amax of all': unaryZeros((x) => f.amax(x), { refuses: ['m', 'n'] }),
  'argmax of all': unaryZeros((x) => f.argmax(x), { refuses: ['m', 'n'] }),
}

/**
 * Cases of reductions. The file is over 600 lines because all share the same shapes, dimensions and special values.
 */
import * as f from '../../lib/index.js'
import {
  awayFrom,
  bits,
  bytes,
  type Case,
  constant,
  distinct,
  drawn,
  type ErrorCase,
  exactly,
  type Input,
  integers,
  label,
  normal,
  noSteps,
} from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import * as statistics from './statistics.js'
import { named, unaryZeros, type ZeroSizes } from './zero.js'

type Dim = number | readonly number[] | null

/** A shape, the reduced dimensions, and the number of elements in them. */
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
  // The difference from the mean cancels, and std has a pole at 0, so more of the dtype's digits are lost.
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

/** Elements whose sizes also differ, so that no extreme of sizes is a tie. */
const apart = (t: f.Tensor) => f.add(t, 1 / 64)

const norms: readonly Case[] = [
  ...[0, 1, 2, 3, 0.5, 1.5, -1].flatMap((p) => [
    {
      op: 'norm',
      name: `p = ${p} of rows`,
      inputs: [awayFrom([5, 33], [0])],
      call: (t: f.Tensor) => f.norm(t, p, 1, { keepdim: p > 1 }),
      length: 33,
    },
    {
      op: 'norm',
      name: `p = ${p} of all`,
      inputs: [awayFrom([3, 5], [0])],
      call: (t: f.Tensor) => f.norm(t, p),
      length: 15,
    },
  ]),
  ...[Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map((p) => ({
    op: 'norm',
    name: `p = ${p}`,
    inputs: [distinct([4, 5, 3])],
    call: (t: f.Tensor) => f.norm(apart(t), p, [0, 2]),
    length: 12,
  })),
  {
    op: 'norm',
    name: 'of zeros',
    inputs: [constant(exactly([2, 3], 'float', [0, 0, 0, 0, -2, 0]))],
    call: (t) => [1, 2, 3, 1.5, 0.5, Number.POSITIVE_INFINITY].map((p) => f.norm(t, p, 1)),
  },
  { op: 'norm', name: 'of nothing', inputs: [normal([0, 3])], call: (t) => f.norm(t, 2, 0) },
  ...[1, 3, Number.POSITIVE_INFINITY].map((p) => ({
    op: 'vectorNorm',
    name: `p = ${p}`,
    inputs: [distinct([4, 5, 3])],
    call: (t: f.Tensor) => [f.vectorNorm(apart(t), p, [0, 2], { keepdim: true }), f.vectorNorm(apart(t), p)],
    length: 60,
  })),
  ...(['fro', 1, -1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY] as const).map((order) => ({
    op: 'matrixNorm',
    name: `order ${order}`,
    inputs: [distinct([4, 5, 3])],
    call: (t: f.Tensor) => [
      f.matrixNorm(apart(t), order),
      f.matrixNorm(apart(t), order, [2, 0]),
      f.matrixNorm(apart(t), order, [0, 1], { keepdim: true }),
    ],
    length: 20,
  })),
  ...([1, 2, Number.POSITIVE_INFINITY] as const).map((p) => ({
    op: 'normalize',
    name: `p = ${p}`,
    inputs: [distinct([4, 5, 3])],
    call: (t: f.Tensor) => f.normalize(apart(t), { p, dim: p === 1 ? [0, 2] : 1 }),
    length: 12,
  })),
  {
    op: 'cosineSimilarity',
    name: 'of rows',
    inputs: [normal([4, 33]), normal([4, 33])],
    call: (a, b) => f.cosineSimilarity(a as f.Tensor, b as f.Tensor),
    length: 33,
  },
  {
    op: 'cosineSimilarity',
    name: 'of all pairs',
    inputs: [normal([3, 1, 5]), normal([4, 5])],
    call: (a, b) => f.cosineSimilarity(a as f.Tensor, b as f.Tensor, { dim: -1, eps: 1e-3 }),
    length: 5,
  },
  {
    op: 'cosineSimilarity',
    name: 'along a dimension that one lacks',
    inputs: [normal([3, 4, 5]), normal([4, 5])],
    call: (a, b) => f.cosineSimilarity(a as f.Tensor, b as f.Tensor, { dim: 0 }),
    length: 3,
  },
  ...[1, 2, 3].map((p) => ({
    op: 'cdist',
    name: `p = ${p}`,
    inputs: [normal([2, 4, 3]), normal([5, 3], 1, 4)],
    call: (a: f.Tensor, b: f.Tensor) => f.cdist(a, b, { p }),
    length: 15,
  })),
  {
    op: 'cdist',
    name: 'of the same points',
    inputs: [constant(normal([33, 3]))],
    call: (t) => f.cdist(t, t),
    length: 33,
  },
]

const without0: Input = exactly([2, 3], 'float', [1, Number.NaN, 3, Number.NaN, Number.NaN, Number.NaN])

const chosen: readonly Case[] = [
  ...(['max', 'min'] as const).flatMap((op): Case[] => [
    { op, name: 'of all', inputs: [distinct([4, 5])], call: (t) => f[op](t) },
    { op, name: 'along rows', inputs: [distinct([4, 33])], call: (t) => f[op](t, 1, { keepdim: true }) },
    { op, name: 'along the middle', inputs: [distinct([4, 5, 3])], call: (t) => f[op](t, -2) },
    { op, name: 'of a number', inputs: [distinct([])], call: (t) => f[op](t, 0) },
    { op, name: 'int32', inputs: [integers([5, 33], -9, 9)], call: (t) => [f[op](t), ...f[op](t, 0)] },
    { op, name: 'uint8', inputs: [bytes([5, 33])], call: (t) => [f[op](t), ...f[op](t, 0)] },
    { op, name: 'NaN and infinities', inputs: [rows], call: (t) => [f[op](t), ...f[op](t, 1)] },
  ]),
  { op: 'aminmax', name: 'of columns', inputs: [distinct([4, 5])], call: (t) => f.aminmax(t, 0) },
  { op: 'nansum', name: 'of rows', inputs: [without0], call: (t) => f.nansum(t, 1) },
  { op: 'nansum', name: 'of columns', inputs: [normal([4, 5])], call: (t) => f.nansum(t, 0), length: 4 },
  { op: 'nansum', name: 'int32', inputs: [integers([5, 33], -9, 9)], call: (t) => f.nansum(t, 1) },
  { op: 'nanmean', name: 'of rows', inputs: [without0], call: (t) => f.nanmean(t, 1) },
  { op: 'nanmean', name: 'of columns', inputs: [normal([4, 5])], call: (t) => f.nanmean(t, 0), length: 4 },
  ...(['any', 'all', 'countNonzero'] as const).flatMap((op): Case[] => [
    { op, name: 'bool', inputs: [bits([5, 3])], call: (t) => [f[op](t), f[op](t, 0), f[op](t, 1, { keepdim: true })] },
    { op, name: 'NaN and infinities', inputs: [rows], call: (t) => f[op](t, 1) },
    { op, name: 'int32', inputs: [integers([5, 3], -1, 2)], call: (t) => f[op](t, [0]) },
    { op, name: 'nothing', inputs: [normal([0, 3])], call: (t) => f[op](t, 0) },
  ]),
  ...(['varMean', 'stdMean'] as const).map((op) => ({
    op,
    name: 'of rows',
    inputs: [normal([4, 33])],
    call: (t: f.Tensor) => f[op](t, 1, { correction: 0, keepdim: true }),
    length: 33,
  })),
]

/** One, two and no zeros in a line. */
const withZeros: Input = {
  ...normal([3, 5]),
  values: (random, count) => drawn(count, (i) => ([6, 11, 13].includes(i) ? 0 : 0.5 + random())),
}

const alongDim: { readonly [op: string]: (x: f.Tensor, dim: number) => f.Tensor | readonly f.Tensor[] } = {
  cumprod: f.cumprod,
  logcumsumexp: f.logcumsumexp,
  cummax: f.cummax,
  cummin: f.cummin,
}

/** Numbers of lines around those that are taken together, along the last dimension and another. */
const alongs: readonly [f.Shape, number][] = [
  [[], 0],
  [[0], 0],
  [[1], 0],
  [[31, 9], 0],
  [[33, 9], 1],
  [[3, 17, 5], 1],
]

const running: readonly Case[] = [
  ...Object.entries(alongDim).flatMap(([op, fn]): Case[] =>
    alongs.map(([shape, dim]) => ({
      op,
      name: `${label(shape)} along ${dim}`,
      inputs: [op === 'cumprod' ? awayFrom(shape, [0], 1) : distinct(shape)],
      call: (t) => fn(t, dim),
      length: shape[dim] ?? 1,
    })),
  ),
  ...Object.entries(alongDim)
    .slice(1)
    .map(([op, fn]) => ({
      op,
      name: 'NaN and infinities in rows',
      inputs: [rows],
      call: (t: f.Tensor) => fn(t, 1),
    })),
  { op: 'cummax', name: 'the last of equals', inputs: [integers([33, 7], 0, 3)], call: (t) => f.cummax(t, 1) },
  { op: 'cummin', name: 'the last of equals', inputs: [integers([33, 7], 0, 3)], call: (t) => f.cummin(t, 0) },
  {
    op: 'logcumsumexp',
    name: 'far from 0',
    inputs: [normal([3, 31], 100)],
    call: (t) => f.logcumsumexp(t, 1),
    length: 31,
  },
  { op: 'cumprod', name: 'zeros', inputs: [withZeros], call: (t) => f.cumprod(t, 1), length: 5 },
  { op: 'cumprod', name: 'int32', inputs: [integers([5, 9], -3, 3)], call: (t) => f.cumprod(t, 1) },
  { op: 'prod', name: 'of rows', inputs: [normal([4, 7])], call: (t) => f.prod(t, 1), length: 7 },
  { op: 'prod', name: 'of columns', inputs: [normal([7, 4])], call: (t) => f.prod(t, 0, { keepdim: true }), length: 7 },
  {
    op: 'prod',
    name: 'of all',
    inputs: [normal([3, 2, 2])],
    call: (t) => f.prod(t, null, { keepdim: true }),
    length: 12,
  },
  { op: 'prod', name: 'of zeros', inputs: [withZeros], call: (t) => f.prod(t, -1), length: 5 },
  { op: 'prod', name: 'of a number', inputs: [normal([])], call: (t) => f.prod(t, 0) },
  { op: 'prod', name: 'bool', inputs: [bits([5, 3], 0.9)], call: (t) => f.prod(t, 1) },
]

/** Gradients of NaN and infinity, which every device must give to the same elements. */
const beyond: readonly Case[] = (
  [
    ['max', (x) => f.max(x), [1, Number.NaN, -2, Number.NaN]],
    ['min', (x) => f.min(x), [1, Number.NaN, -2, Number.NaN]],
    ['prod', (x) => f.prod(x), [Number.POSITIVE_INFINITY, 1, 2, 0.5]],
  ] as const satisfies readonly [string, (x: f.Tensor) => f.Tensor, readonly number[]][]
).map(([op, call, values]) => ({
  op,
  name: 'the gradient of NaN and infinity',
  inputs: [{ ...exactly([4], 'float', values), differentiable: true }],
  call,
  without: noSteps,
}))

export const cases: readonly Case[] = [
  ...finite,
  ...atEnds,
  ...beyond,
  ...norms,
  ...chosen,
  ...running,
  ...statistics.cases,
]

/** Two halves of the range of int32, and one more. */
const tooMuch = exactly([3, 2], 'int32', [2 ** 30, 1, 2 ** 30 - 1, 1, 1, 1])

/** The number of cases that are excused, by check. */
export const excused = { 'finite differences': 4 }

export const errors: readonly ErrorCase[] = [
  ...statistics.errors,
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
  {
    op: 'max',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 3]'],
    call: (make) => f.max(make(normal([0, 3]))),
  },
  {
    op: 'min',
    name: 'of a dimension of nothing',
    code: 'ERR_VALUE',
    mentions: ['[3, 0]'],
    call: (make) => f.min(make(normal([3, 0])), 1),
  },
  {
    op: 'nanmean',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.nanmean(make(integers([4], 0, 9))),
  },
  {
    op: 'norm',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.norm(make(integers([4], 0, 9))),
  },
  {
    op: 'vectorNorm',
    name: 'of a name',
    code: 'ERR_VALUE',
    mentions: ["'fro'"],
    call: (make) => f.vectorNorm(make(x), 'fro' as never),
  },
  {
    op: 'matrixNorm',
    name: 'of singular values',
    code: 'ERR_VALUE',
    mentions: ['order is 2', 'singular values'],
    call: (make) => f.matrixNorm(make(x), 2 as never),
  },
  {
    op: 'matrixNorm',
    name: 'of a vector',
    code: 'ERR_SHAPE',
    mentions: ['[4]', 'two dimensions'],
    call: (make) => f.matrixNorm(make(normal([4]))),
  },
  {
    op: 'matrixNorm',
    name: 'one dimension twice',
    code: 'ERR_VALUE',
    mentions: ['dim 1', 'twice'],
    call: (make) => f.matrixNorm(make(x), 1, [1, -1]),
  },
  { op: 'norm', name: 'p NaN', code: 'ERR_VALUE', mentions: ['NaN'], call: (make) => f.norm(make(x), Number.NaN) },
  {
    op: 'norm',
    name: 'of nothing',
    code: 'ERR_VALUE',
    mentions: ['[0, 3]', '-Infinity'],
    call: (make) => f.norm(make(normal([0, 3])), Number.NEGATIVE_INFINITY, 0),
  },
  {
    op: 'cdist',
    name: 'points of other sizes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3, 5]'],
    call: (make) => f.cdist(make(x), make(normal([3, 5]))),
  },
  {
    op: 'cdist',
    name: 'p -1',
    code: 'ERR_VALUE',
    mentions: ['-1'],
    call: (make) => f.cdist(make(x), make(x), { p: -1 }),
  },
  {
    op: 'cosineSimilarity',
    name: 'vectors of other sizes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3, 5]'],
    call: (make) => f.cosineSimilarity(make(x), make(normal([3, 5]))),
  },
]

export const calls: readonly PublicCall[] = [
  ...statistics.calls,
  ...(['sum', 'mean', 'amax', 'amin', 'logsumexp', 'std'] as const).map((name) =>
    sound(name, f[name], () => [t(2, 3), [0, -1], { keepdim: true }], 'variance', 'var', 'sum'),
  ),
  sound('var', f.variance, () => [t(2, 3), 1, { correction: 1 }], 'variance'),
  sound('argmax', f.argmax, () => [t(2, 3), 1, { keepdim: true }]),
  sound('argmin', f.argmin, () => [t(2, 3), null, { keepdim: false }]),
  sound('cumsum', f.cumsum, () => [t(2, 3), 1]),
  ...(['nansum', 'nanmean', 'countNonzero', 'any', 'all', 'aminmax'] as const).map((name) =>
    sound(name, f[name], () => [t(2, 3), [0, -1], { keepdim: true }], 'sum', 'ne', 'eq', 'amin', 'where'),
  ),
  sound('prod', f.prod, () => [t(2, 3), 1, { keepdim: true }], 'cumprod'),
  sound('cumprod', f.cumprod, () => [t(2, 3), 1]),
  sound('cummax', f.cummax, () => [t(2, 3), 1]),
  sound('cummin', f.cummin, () => [t(2, 3), 1]),
  sound('logcumsumexp', f.logcumsumexp, () => [t(2, 3), 1]),
  sound('max', f.max, () => [t(2, 3), 1, { keepdim: true }], 'amax', 'argmax'),
  sound('min', f.min, () => [t(2, 3), 1, { keepdim: true }], 'amin', 'argmin'),
  sound('varMean', f.varMean, () => [t(2, 3), 1, { correction: 1, keepdim: true }], 'var', 'mean'),
  sound('stdMean', f.stdMean, () => [t(2, 3), 1, { correction: 1, keepdim: true }], 'std', 'mean'),
  sound('norm', f.norm, () => [t(2, 3), 3, [0, -1], { keepdim: true }]),
  sound('vectorNorm', f.vectorNorm, () => [t(2, 3), 3, [0, -1], { keepdim: true }], 'norm'),
  sound('matrixNorm', f.matrixNorm, () => [t(2, 3, 4), 'fro', [0, -1], { keepdim: true }], 'norm'),
  sound('normalize', f.normalize, () => [t(2, 3), { p: 3, dim: 0, eps: 1 }], 'norm'),
  sound('cosineSimilarity', f.cosineSimilarity, () => [t(2, 3), t(2, 3), { dim: 0, eps: 3 }], 'norm'),
  sound('cdist', f.cdist, () => [t(2, 3), t(4, 3), { p: 3 }], 'norm', 'sub'),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...statistics.zeroSizes,
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
  prod: unaryZeros((x) => f.prod(x, 0), { fills: { m: 1 } }),
  'prod of all': unaryZeros((x) => f.prod(x), { fills: { m: 1, n: 1 } }),
  cumprod: unaryZeros((x) => f.cumprod(x, 1)),
  cummax: unaryZeros((x) => f.cummax(x, 0)),
  cummin: unaryZeros((x) => f.cummin(x, 0)),
  logcumsumexp: unaryZeros((x) => f.logcumsumexp(x, 0)),
  nansum: unaryZeros((x) => f.nansum(x, 0), { fills: { m: 0 } }),
  nanmean: unaryZeros((x) => f.nanmean(x, 0), { fills: { m: Number.NaN } }),
  countNonzero: unaryZeros((x) => f.countNonzero(x, 0), { fills: { m: 0 } }),
  any: unaryZeros((x) => f.any(x, 0), { fills: { m: 0 } }),
  all: unaryZeros((x) => f.all(x, 0), { fills: { m: 1 } }),
  varMean: unaryZeros((x) => f.varMean(x, 0), { fills: { m: Number.NaN } }),
  stdMean: unaryZeros((x) => f.stdMean(x, 0), { fills: { m: Number.NaN } }),
  ...named(['max', 'min', 'aminmax'], (fn: (x: f.Tensor, dim: number) => f.Tensor[]) => ({
    ...unaryZeros((x) => fn(x, 0), { refuses: ['m'] }),
    inputs: ({ m = 0, n = 0 }) => [distinct([m, n])],
  })),
  norm: unaryZeros((x) => f.norm(x, 2, 0), { fills: { m: 0 } }),
  'norm to infinity': unaryZeros((x) => f.norm(x, Number.POSITIVE_INFINITY, 0), { refuses: ['m'] }),
  vectorNorm: unaryZeros((x) => f.vectorNorm(x, 2, 0), { fills: { m: 0 } }),
  matrixNorm: unaryZeros((x) => f.matrixNorm(x), { fills: { m: 0, n: 0 } }),
  normalize: unaryZeros((x) => f.normalize(x)),
  cosineSimilarity: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
    call: ([a, b]) => f.cosineSimilarity(a as f.Tensor, b as f.Tensor),
    fills: { n: 0 },
  },
  cdist: {
    sizes: { p: 3, r: 2, m: 4 },
    inputs: ({ p = 0, r = 0, m = 0 }) => [normal([p, m]), normal([r, m])],
    call: ([a, b]) => f.cdist(a as f.Tensor, b as f.Tensor),
    fills: { m: 0 },
  },
  'amax of all': unaryZeros((x) => f.amax(x), { refuses: ['m', 'n'] }),
  'argmax of all': unaryZeros((x) => f.argmax(x), { refuses: ['m', 'n'] }),
}

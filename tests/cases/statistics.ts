/** Cases of covariances, differences, areas and vectors. They belong to the reduce family, whose file imports them. */
import * as f from '../../lib/index.js'
import { bits, type Case, constant, type ErrorCase, exactly, integers, normal, positive } from './case.js'
import { ints, type PublicCall, sound, t } from './sound.js'
import { unaryZeros, type ZeroSizes } from './zero.js'

const x = normal([4, 9])

export const cases: readonly Case[] = [
  ...[0, 1].map(
    (correction): Case => ({
      op: 'cov',
      name: `correction ${correction}`,
      inputs: [x],
      call: (x) => f.cov(x, { correction }),
      length: 36,
      roundings: 64,
    }),
  ),
  ...[0, 1].map(
    (correction): Case => ({
      op: 'cov',
      name: `of weighted observations, correction ${correction}`,
      inputs: [x, exactly([9], 'int32', [1, 2, 0, 3, 1, 1, 2, 1, 1]), positive([9])],
      call: (x, fweights, aweights) => [
        f.cov(x, { correction, fweights: fweights as f.Tensor, aweights: aweights as f.Tensor }),
        f.cov(x, { correction, fweights: fweights as f.Tensor }),
        f.cov(x, { correction, aweights: aweights as f.Tensor }),
      ],
      length: 36,
      roundings: 128,
    }),
  ),
  { op: 'cov', name: 'of a vector', inputs: [normal([33])], call: (x) => f.cov(x), length: 33, roundings: 64 },
  {
    op: 'corrcoef',
    name: 'of a matrix',
    inputs: [x],
    call: (x) =>
      f
        .corrcoef(x)
        .mul(f.tensor([[0, 1, 2, 3]], { device: x.device, dtype: x.dtype }))
        .tril(-1),
    length: 36,
    roundings: 256,
  },
  { op: 'corrcoef', name: 'of a vector', inputs: [constant(normal([9]))], call: (x) => f.corrcoef(x), length: 9 },
  ...[0, 1, 2, 5].map(
    (n): Case => ({
      op: 'diff',
      name: `${n} times`,
      inputs: [normal([4, 5, 3])],
      call: (x) => f.diff(x, { n, dim: 1 }),
      length: 16,
    }),
  ),
  {
    op: 'diff',
    name: 'with more at both ends',
    inputs: [normal([4, 5]), normal([4, 2]), normal([4, 1])],
    call: (x, before, after) => f.diff(x, { prepend: before, append: after }),
  },
  {
    op: 'diff',
    name: 'of truths and integers',
    inputs: [bits([4, 5]), integers([4, 5], -9, 9)],
    call: (x, y) => [f.diff(x), f.diff(y, { dim: 0, n: 2 })],
  },
  {
    op: 'trapezoid',
    name: 'evenly',
    inputs: [normal([4, 5])],
    call: (y) => [f.trapezoid(y), f.trapezoid(y, { dx: 0.5, dim: 0 })],
    length: 10,
  },
  {
    op: 'trapezoid',
    name: 'where they lie',
    inputs: [normal([4, 5]), normal([4, 5]), normal([4])],
    call: (y, x, v) => [f.trapezoid(y, { x }), f.trapezoid(y, { x: v, dim: 0 })],
    length: 10,
  },
  {
    op: 'cross',
    name: 'of the last',
    inputs: [normal([5, 3]), normal([1, 3])],
    call: (a, b) => f.cross(a, b),
    length: 10,
  },
  { op: 'cross', name: 'of the first', inputs: [normal([3, 4]), normal([3, 4])], call: (a, b) => f.cross(a, b, 0) },
  { op: 'vander', name: 'falling', inputs: [normal([5])], call: (x) => f.vander(x), length: 5, roundings: 64 },
  {
    op: 'vander',
    name: 'rising, and integers',
    inputs: [normal([5]), integers([4], -3, 4)],
    call: (x, y) => [
      f.vander(x, { N: 3, increasing: true }),
      f.vander(y),
      f.vander(x, { N: 1 }),
      f.vander(x, { N: 0 }),
    ],
    length: 5,
  },
  {
    op: 'cartesianProd',
    name: 'of three',
    inputs: [normal([3]), normal([2]), normal([4])],
    call: (...vectors) => f.cartesianProd(vectors),
    length: 12,
  },
  ...[0, 1, 2, 3, 5, 6].map(
    (r): Case => ({
      op: 'combinations',
      name: `${r} of five`,
      inputs: [normal([5])],
      call: (x) => [f.combinations(x, { r }), f.combinations(x, { r, withReplacement: true })],
      length: 210,
    }),
  ),
  {
    op: 'combinations',
    name: 'of far more than there are',
    inputs: [normal([3])],
    call: (x) => f.combinations(x, { r: 2 ** 40 }),
    length: 0,
  },
  { op: 'cartesianProd', name: 'of one', inputs: [normal([3])], call: (x) => f.mul(f.cartesianProd([x]), 2) },
]

const cube = normal([2, 3, 4])

export const errors: readonly ErrorCase[] = [
  { op: 'cov', name: 'three dimensions', code: 'ERR_SHAPE', mentions: ['[2, 3, 4]'], call: (m) => f.cov(m(cube)) },
  {
    op: 'cov',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (m) => f.cov(m(integers([3], 0, 9))),
  },
  {
    op: 'cov',
    name: 'weights of other observations',
    code: 'ERR_SHAPE',
    mentions: ['aweights is [4]', '[9]'],
    call: (m) => f.cov(m(x), { aweights: m(normal([4])) }),
  },
  {
    op: 'cov',
    name: 'frequencies that are no integers',
    code: 'ERR_DTYPE',
    mentions: ['fweights is float32', 'int32'],
    call: (m) => f.cov(m(x), { fweights: m(positive([9])) }),
  },
  {
    op: 'cov',
    name: 'negative weights',
    code: 'ERR_VALUE',
    mentions: ['fweights holds -1'],
    call: (m) => f.cov(m(x), { fweights: m(exactly([9], 'int32', [1, 1, 1, 1, 1, 1, 1, 1, -1])) }),
  },
  {
    op: 'corrcoef',
    name: 'three dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 4]'],
    call: (m) => f.corrcoef(m(cube)),
  },
  { op: 'diff', name: 'a number', code: 'ERR_SHAPE', mentions: ['one number'], call: (m) => f.diff(m(normal([]))) },
  { op: 'diff', name: 'half a time', code: 'ERR_VALUE', mentions: ['0.5'], call: (m) => f.diff(m(x), { n: 0.5 }) },
  {
    op: 'trapezoid',
    name: 'places of another shape',
    code: 'ERR_SHAPE',
    mentions: ['[4]', '9 samples'],
    call: (m) => f.trapezoid(m(x), { x: m(normal([4])) }),
  },
  {
    op: 'cross',
    name: 'vectors of 4',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 4]', 'dimension 2'],
    call: (m) => f.cross(m(cube), m(cube)),
  },
  {
    op: 'combinations',
    name: 'a matrix',
    code: 'ERR_SHAPE',
    mentions: ['[4, 9]'],
    call: (m) => f.combinations(m(x)),
  },
  {
    op: 'combinations',
    name: 'of half an element',
    code: 'ERR_VALUE',
    mentions: ['r', '0.5'],
    call: (m) => f.combinations(m(normal([3])), { r: 0.5 }),
  },
  {
    op: 'combinations',
    name: 'more than can be indexed',
    code: 'ERR_VALUE',
    mentions: ['40 elements', '2147483647'],
    call: (m) => f.combinations(m(normal([40])), { r: 20 }),
  },
  { op: 'vander', name: 'a matrix', code: 'ERR_SHAPE', mentions: ['[4, 9]'], call: (m) => f.vander(m(x)) },
  {
    op: 'cartesianProd',
    name: 'a matrix',
    code: 'ERR_SHAPE',
    mentions: ['[4, 9]'],
    call: (m) => f.cartesianProd([m(normal([2])), m(x)]),
  },
]

export const calls: readonly PublicCall[] = [
  sound('cov', f.cov, () => [t(2, 3), { correction: 0, fweights: ints([3]), aweights: f.ones([3]) }]),
  sound('corrcoef', f.corrcoef, () => [t(2, 3)]),
  sound('diff', f.diff, () => [t(2, 3), { n: 1, dim: 1, prepend: t(2, 1), append: t(2, 1) }]),
  sound('trapezoid', f.trapezoid, () => [t(2, 3), { x: t(2, 3), dx: 2, dim: 1 }]),
  sound('cross', f.cross, () => [t(2, 3), t(2, 3), 1]),
  sound('vander', f.vander, () => [t(3), { N: 2, increasing: true }]),
  sound('combinations', f.combinations, () => [t(3), { r: 2, withReplacement: true }]),
  sound('cartesianProd', f.cartesianProd, () => [[t(2), t(3)]]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  cov: unaryZeros((x) => f.cov(x), { fills: { n: Number.NaN } }),
  corrcoef: unaryZeros((x) => f.corrcoef(x), { fills: { n: Number.NaN } }),
  diff: unaryZeros((x) => f.diff(x)),
  trapezoid: unaryZeros((x) => f.trapezoid(x), { fills: { n: 0 } }),
  cross: {
    sizes: { m: 2 },
    inputs: ({ m = 0 }) => [normal([m, 3]), normal([m, 3])],
    call: ([a, b]) => f.cross(a as f.Tensor, b as f.Tensor),
  },
  vander: { sizes: { m: 3 }, inputs: ({ m = 0 }) => [normal([m])], call: ([x]) => f.vander(x as f.Tensor) },
  combinations: {
    sizes: { m: 3 },
    inputs: ({ m = 0 }) => [normal([m])],
    call: ([x]) => f.combinations(x as f.Tensor),
  },
  cartesianProd: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [normal([m]), normal([n])],
    call: (vectors) => f.cartesianProd(vectors),
  },
}

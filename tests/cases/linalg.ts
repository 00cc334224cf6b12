/**
 * Factorisations of `firesteel/linalg`, and what follows from them. The file is long, because all prepare matrices alike.
 */
import * as f from '../../lib/index.js'
import * as l from '../../lib/linalg/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import type { Sizes, ZeroSizes } from './zero.js'

type Tensor = f.Tensor

const product = f.matmul as (a: Tensor, b: Tensor) => Tensor
const identity = (x: Tensor) => {
  const n = x.size(-1) as number
  return f.eye(n, n, { dtype: x.dtype, device: x.device }) as Tensor
}
const turned = (x: Tensor) => x.transpose(-2, -1) as Tensor
/** Symmetric matrices, whose gradient is that of both triangles. */
const symmetric = (x: Tensor) => f.add(x, turned(x)) as Tensor
/** Symmetric positive definite matrices of moderate condition. */
const definite = (x: Tensor) => f.add(f.div(product(x, turned(x)), x.size(-1) as number), identity(x)) as Tensor
/** Matrices far from singular. */
const regular = (x: Tensor) => f.add(x, f.mul(identity(x), 3)) as Tensor
/** Matrices whose eigenvalues or singular values are apart: the rows have sizes of their own. */
const apart = (x: Tensor) => {
  const [m, n] = [x.size(-2) as number, x.size(-1) as number]
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32'
  const spread = f.eye(m, n, { dtype, device: x.device }) as Tensor
  const steps = f.arange(1, m + 1, 1, { dtype, device: x.device }) as Tensor
  return f.add(f.mul(x, 0.25), f.mul(spread, f.unsqueeze(steps, -1))) as Tensor
}

/** The conditions of the matrices multiply roundings. */
const loose = { length: 256, roundings: 512 } as const
/** Larger matrices, whose gradients have as long sums. */
const large = { length: 4096, roundings: 4096 } as const

const triangular: readonly Case[] = [
  { op: 'cholesky', name: 'a batch', inputs: [normal([2, 1, 4, 4])], call: (x) => l.cholesky(definite(x)), ...loose },
  {
    op: 'cholesky',
    name: 'upper',
    inputs: [normal([3, 3])],
    call: (x) => l.cholesky(definite(x), { upper: true }),
    ...loose,
  },
  { op: 'cholesky', name: 'blocks', inputs: [normal([2, 65, 65])], call: (x) => l.cholesky(definite(x)), ...large },
  {
    op: 'cholesky',
    name: 'all threads',
    inputs: [constant(normal([150, 150]))],
    call: (x) => l.cholesky(definite(x)),
    ...large,
  },
  {
    op: 'choleskySolve',
    name: 'both triangles',
    inputs: [normal([2, 3, 3]), normal([3, 2])],
    call: (a, b) => {
      const factor = l.cholesky(definite(a as Tensor))
      return [l.choleskySolve(b as Tensor, factor), l.choleskySolve(b as Tensor, turned(factor), { upper: true })]
    },
    ...loose,
  },
  ...[true, false].flatMap((upper) =>
    [true, false].flatMap((unitriangular) =>
      [true, false].map(
        (left): Case => ({
          op: 'solveTriangular',
          name: `${upper ? 'upper' : 'lower'}${unitriangular ? ', unit' : ''}${left ? '' : ', from the right'}`,
          inputs: [normal([2, 1, 3, 3], 0.5), normal(left ? [4, 3, 2] : [4, 2, 3])],
          call: (a, b) => l.solveTriangular(regular(a as Tensor), b as Tensor, { upper, unitriangular, left }),
          ...loose,
        }),
      ),
    ),
  ),
  ...[true, false].map(
    (upper): Case => ({
      op: 'solveTriangular',
      name: `${upper ? 'upper' : 'lower'} blocks`,
      inputs: [constant(normal([2, 130, 130], 0.1)), normal([2, 130, 5])],
      call: (a, b) => l.solveTriangular(regular(a as Tensor), b as Tensor, { upper }),
      ...large,
    }),
  ),
]

const factors: readonly Case[] = [
  ...(
    [
      ['square', [2, 3, 3]],
      ['tall', [2, 4, 3]],
      ['wide', [3, 5]],
      ['blocks', [70, 66]],
    ] as const
  ).flatMap(([name, shape]): Case[] => [
    { op: 'luFactor', name, inputs: [normal(shape)], call: (x) => l.luFactor(apart(x)), ...large },
    { op: 'lu', name, inputs: [normal(shape)], call: (x) => l.lu(x), ...large },
  ]),
  {
    op: 'solve',
    name: 'a batch',
    inputs: [normal([2, 1, 3, 3]), normal([2, 3, 2])],
    call: (a, b) => l.solve(regular(a as Tensor), b as Tensor),
    ...loose,
  },
  {
    op: 'solve',
    name: 'from the right',
    inputs: [normal([3, 3]), normal([2, 3])],
    call: (a, b) => l.solve(regular(a as Tensor), b as Tensor, { left: false }),
    ...loose,
  },
  {
    op: 'solve',
    name: 'vectors',
    inputs: [normal([2, 3, 3]), normal([2, 3]), normal([3])],
    call: (a, b, c) => [
      l.solve(regular(a as Tensor), b as Tensor),
      l.solve(regular(a as Tensor), c as Tensor, { left: false }),
    ],
    ...loose,
  },
  {
    op: 'solve',
    name: 'all threads',
    inputs: [constant(normal([300, 300], 0.05)), constant(normal([300, 3]))],
    call: (a, b) => l.solve(regular(a as Tensor), b as Tensor),
    ...large,
  },
  { op: 'inv', name: 'a batch', inputs: [normal([2, 3, 3])], call: (x) => l.inv(regular(x)), ...loose },
  { op: 'det', name: 'a batch', inputs: [normal([2, 2, 3, 3])], call: (x) => l.det(x), ...loose },
  { op: 'slogdet', name: 'a batch', inputs: [normal([3, 4, 4])], call: (x) => l.slogdet(x), ...loose },
]

const vectors: readonly Case[] = [
  ...(
    [
      ['square', [2, 3, 3], 'reduced'],
      ['tall', [2, 5, 3], 'reduced'],
      ['wide', [3, 5], 'reduced'],
      ['complete of wide', [3, 4], 'complete'],
    ] as const
  ).map(
    ([name, shape, mode]): Case => ({
      op: 'qr',
      name,
      inputs: [normal(shape)],
      call: (x) => l.qr(apart(x), { mode }),
      ...loose,
    }),
  ),
  {
    op: 'qr',
    name: 'complete',
    inputs: [constant(normal([2, 5, 3]))],
    call: (x) => l.qr(x as Tensor, { mode: 'complete' }),
    ...loose,
  },
  {
    op: 'qr',
    name: 'blocks',
    inputs: [constant(normal([2, 70, 40])), constant(normal([40, 70])), constant(normal([90, 33]))],
    call: (...all) => all.flatMap((x, i) => l.qr(x as Tensor, { mode: i < 2 ? 'reduced' : 'complete' })),
    ...large,
  },
  { op: 'eigh', name: 'a batch', inputs: [normal([2, 3, 3])], call: (x) => l.eigh(symmetric(apart(x))), ...loose },
  {
    op: 'eigh',
    name: 'the upper triangle',
    inputs: [constant(normal([2, 4, 4]))],
    call: (x) => [...l.eigh(x as Tensor, { uplo: 'U' }), ...l.eigh(x as Tensor)],
    ...loose,
  },
  {
    op: 'eigh',
    name: 'all threads',
    inputs: [constant(normal([66, 66]))],
    call: (x) => l.eigh(symmetric(apart(x))),
    ...large,
  },
  {
    op: 'eigvalsh',
    name: 'equal ones',
    inputs: [normal([3, 3], 0.25)],
    call: (x) => l.eigvalsh(f.add(symmetric(x), identity(x))),
    ...loose,
  },
  ...(
    [
      ['square', [2, 3, 3]],
      ['tall', [5, 3]],
      ['wide', [3, 5]],
    ] as const
  ).map(
    ([name, shape]): Case => ({
      op: 'svd',
      name,
      inputs: [normal(shape)],
      call: (x) => l.svd(apart(x), { fullMatrices: false }),
      ...loose,
    }),
  ),
  {
    op: 'svd',
    name: 'full matrices',
    inputs: [normal([2, 5, 3]), normal([3, 5])],
    call: (...all) =>
      all.flatMap((x) => {
        // The vectors of a null space are not determined; the projection on it is.
        const [u, s, vh] = l.svd(apart(x as Tensor))
        const [left, right] = [u.detach(), vh.detach()]
        const space = left.size(-1) === 5 ? left.narrow(-1, 3, 2) : turned(right.narrow(-2, 3, 2))
        return [s, product(space, turned(space))]
      }),
    ...loose,
    without: { 'second derivative': 'the first one reads full vectors, which have no gradient' },
  },
  {
    op: 'svd',
    name: 'all threads',
    inputs: [constant(normal([70, 40]))],
    call: (x) => l.svd(apart(x as Tensor), { fullMatrices: false }),
    ...large,
  },
  { op: 'svdvals', name: 'a batch', inputs: [normal([2, 4, 3])], call: (x) => l.svdvals(x), ...loose },
]

const composed: readonly Case[] = [
  ...(
    [
      ['tall', [2, 4, 3]],
      ['wide', [3, 5]],
    ] as const
  ).flatMap(([name, shape]): Case[] => [
    { op: 'pinv', name, inputs: [normal(shape)], call: (x) => l.pinv(apart(x)), ...loose },
    {
      op: 'lstsq',
      name,
      inputs: [normal(shape), normal([shape.at(-2) as number, 2])],
      call: (a, b) => {
        const { solution, residuals, rank, singularValues } = l.lstsq(apart(a as Tensor), b as Tensor)
        return [solution, ...(name === 'tall' ? [residuals] : []), rank, singularValues]
      },
      ...loose,
    },
  ]),
  {
    op: 'pinv',
    name: 'of a lower rank',
    inputs: [constant(normal([4, 2])), constant(normal([2, 3]))],
    call: (a, b) => {
      const x = product(a as Tensor, b as Tensor)
      return [l.pinv(x), l.matrixRank(x), l.matrixRank(x, { atol: 1e3 }), l.matrixRank(x, { rtol: 0.99 })]
    },
    ...large,
  },
  {
    op: 'matrixNorm',
    name: 'by singular values',
    inputs: [normal([3, 2, 4])],
    call: (x) => [
      l.matrixNorm(x, 2),
      l.matrixNorm(x, -2, [0, 2], { keepdim: true }),
      l.matrixNorm(x, 'nuc'),
      l.norm(x, 'nuc', [1, 0]),
      l.norm(x, 1, -1),
      l.norm(x),
    ],
    ...loose,
  },
  {
    op: 'cond',
    name: 'orders',
    inputs: [normal([2, 3, 3])],
    call: (x) => [l.cond(apart(x)), l.cond(apart(x), -2), l.cond(apart(x), 1), l.cond(apart(x), 'fro')],
    ...loose,
  },
  {
    op: 'matrixPower',
    name: 'powers',
    inputs: [normal([2, 3, 3], 0.5)],
    call: (x) => [-2, 0, 1, 5].map((n) => l.matrixPower(regular(x), n)),
    ...large,
  },
  {
    op: 'matrixRank',
    name: 'of full and less',
    inputs: [constant(exactly([3, 2, 2], 'float', [1, 2, 2, 4, 1, 0, 0, 1, 0, 0, 0, 0]))],
    call: (x) => l.matrixRank(x),
  },
  {
    op: 'matrixExp',
    name: 'small and large',
    inputs: [normal([2, 3, 3], 0.3)],
    call: (x) => [l.matrixExp(x), l.matrixExp(f.mul(x, 9))],
    without: { meta: 'its elements say how often to square' },
    ...large,
  },
  {
    op: 'multiDot',
    name: 'row to column',
    inputs: [normal([4]), normal([4, 2]), normal([2, 5]), normal([5])],
    call: (...all) => [l.multiDot(all), l.multiDot(all.slice(1, 3)), l.multiDot(all.slice(0, 3))],
    ...loose,
  },
  {
    op: 'vander',
    name: 'powers',
    inputs: [normal([2, 3])],
    call: (x) => [l.vander(x), l.vander(x, { n: 5 })],
    ...loose,
  },
]

export const cases: readonly Case[] = [...triangular, ...factors, ...vectors, ...composed]

/** The number of cases that are excused, by check. */
export const excused = { 'second derivative': 1, meta: 1 }

const square = normal([3, 3])
const singular = exactly([2, 2, 2], 'float', [2, 0, 0, 1, 1, 2, 2, 4])
const indefinite = exactly([2, 2, 2], 'float', [2, 0, 0, 1, 1, 2, 2, 1])

const error = (
  op: string,
  name: string,
  code: ErrorCase['code'],
  mentions: ErrorCase['mentions'],
  call: ErrorCase['call'],
): ErrorCase => ({ op, name, code, mentions, call })

export const errors: readonly ErrorCase[] = [
  error('cholesky', 'not square', 'ERR_SHAPE', ['[3, 4]'], (make) => l.cholesky(make(normal([3, 4])))),
  error('cholesky', 'a vector', 'ERR_SHAPE', ['[3]'], (make) => l.cholesky(make(normal([3])))),
  error('cholesky', 'integers', 'ERR_DTYPE', ['int32', 'float32'], (make) => l.cholesky(make(integers([2, 2], 0, 5)))),
  error('cholesky', 'bfloat16', 'ERR_DTYPE', ['bfloat16', 'float32'], (make) =>
    l.cholesky(make(square).to('bfloat16')),
  ),
  error('cholesky', 'not definite', 'ERR_VALUE', ['matrix 1', 'order 2'], (make) => l.cholesky(make(indefinite))),
  error('solveTriangular', 'rows that do not fit', 'ERR_SHAPE', ['[3, 3]', '[4, 2]'], (make) =>
    l.solveTriangular(make(square), make(normal([4, 2])), { upper: true }),
  ),
  error('choleskySolve', 'batches that do not fit', 'ERR_SHAPE', ['[2]', '[4]'], (make) =>
    l.choleskySolve(make(normal([2, 3, 1])), make(normal([4, 3, 3]))),
  ),
  error('luFactor', 'singular', 'ERR_VALUE', ['matrix 1', '2'], (make) => l.luFactor(make(singular))),
  error('solve', 'singular', 'ERR_VALUE', ['matrix 1'], (make) => l.solve(make(singular), make(normal([2, 2, 2])))),
  error('solve', 'a longer vector', 'ERR_SHAPE', ['[3, 3]', '4'], (make) => l.solve(make(square), make(normal([4])))),
  error('inv', 'singular', 'ERR_VALUE', ['matrix 1'], (make) => l.inv(make(singular))),
  error('det', 'not square', 'ERR_SHAPE', ['[3, 4]'], (make) => l.det(make(normal([3, 4])))),
  error('qr', 'another mode', 'ERR_VALUE', ["'r'", 'complete'], (make) => l.qr(make(square), { mode: 'r' as never })),
  error('eigh', 'another triangle', 'ERR_VALUE', ["'X'", "'L'"], (make) =>
    l.eigh(make(square), { uplo: 'X' as never }),
  ),
  error('eigh', 'NaN', 'ERR_VALUE', ['matrix 1', 'NaN'], (make) =>
    l.eigh(make(exactly([2, 1, 1], 'float', [1, Number.NaN]))),
  ),
  error('svd', 'infinity', 'ERR_VALUE', ['matrix 0', 'infinity'], (make) =>
    l.svd(make(exactly([1, 1, 2], 'float', [1, Number.POSITIVE_INFINITY]))),
  ),
  error('pinv', 'a negative tolerance', 'ERR_VALUE', ['-1'], (make) => l.pinv(make(square), { rtol: -1 })),
  error(
    'lstsq',
    'rows that do not fit',
    'ERR_SHAPE',
    ['[3, 4]', '[4, 2]'],
    (make) => l.lstsq(make(normal([3, 4])), make(normal([4, 2]))).solution,
  ),
  error('matrixPower', 'half a power', 'ERR_VALUE', ['0.5'], (make) => l.matrixPower(make(square), 0.5)),
  error('matrixExp', 'NaN', 'ERR_VALUE', ['matrix 0', 'NaN'], (make) =>
    l.matrixExp(make(exactly([1, 1], 'float', [Number.NaN]))),
  ),
  error('multiDot', 'one matrix', 'ERR_VALUE', ['1 tensors'], (make) => l.multiDot([make(square)])),
  error('vander', 'no power', 'ERR_VALUE', ['0'], (make) => l.vander(make(normal([3])), { n: 0 })),
]

const full = (...shape: number[]) => f.add(t(...shape), f.mul(f.eye(shape.at(-1) as number), 4)) as Tensor

export const calls: readonly PublicCall[] = [
  sound('cholesky', l.cholesky, () => [f.eye(3), { upper: true }]),
  sound('choleskySolve', l.choleskySolve, () => [t(3, 2), full(3, 3), { upper: true }]),
  sound('solveTriangular', l.solveTriangular, () => [
    full(3, 3),
    t(3, 3),
    { upper: true, left: false, unitriangular: true },
  ]),
  sound('luFactor', l.luFactor, () => [full(3, 3)]),
  sound('lu', l.lu, () => [t(3, 3)]),
  sound('solve', l.solve, () => [full(3, 3), t(3, 3), { left: false }]),
  sound('inv', l.inv, () => [full(3, 3)]),
  sound('det', l.det, () => [t(3, 3)]),
  sound('slogdet', l.slogdet, () => [t(3, 3)]),
  sound('qr', l.qr, () => [t(4, 3), { mode: 'complete' }]),
  sound('eigh', l.eigh, () => [t(3, 3), { uplo: 'U' }]),
  sound('eigvalsh', l.eigvalsh, () => [t(3, 3), { uplo: 'U' }]),
  sound('svd', l.svd, () => [t(4, 3), { fullMatrices: false }]),
  sound('svdvals', l.svdvals, () => [t(4, 3)]),
  sound('pinv', l.pinv, () => [t(4, 3), { atol: 0.1, rtol: 0.1 }]),
  sound('matrixRank', l.matrixRank, () => [t(4, 3), { atol: 0.1, rtol: 0.1 }]),
  sound('lstsq', l.lstsq, () => [t(4, 3), t(4, 2), { atol: 0.1, rtol: 0.1 }], 'matrixRank'),
  sound('matrixNorm', l.matrixNorm, () => [t(2, 3), 2, [0, 1], { keepdim: true }]),
  sound('norm', l.norm, () => [t(2, 3), 3, [0], { keepdim: true }]),
  sound('cond', l.cond, () => [full(3, 3), 2]),
  sound('matrixPower', l.matrixPower, () => [full(3, 3), 2]),
  sound('matrixExp', l.matrixExp, () => [t(3, 3)]),
  sound('multiDot', l.multiDot, () => [[t(3, 3), t(3, 2)]]),
  sound('vander', l.vander, () => [t(3), { n: 2 }]),
]

/** Calls with square matrices [b, n, n]. */
const squares = (call: (x: Tensor) => Tensor | readonly Tensor[], more: Partial<ZeroSizes> = {}): ZeroSizes => ({
  sizes: { b: 2, n: 3 },
  inputs: ({ b = 0, n = 0 }) => [normal([b, n, n])],
  call: ([x]) => call(x as Tensor),
  ...more,
})
const systems = (call: (a: Tensor, b: Tensor) => Tensor): ZeroSizes => ({
  sizes: { b: 2, n: 3, k: 2 },
  inputs: ({ b = 0, n = 0, k = 0 }: Sizes) => [normal([b, n, n]), normal([b, n, k])],
  call: ([a, b]) => call(regular(a as Tensor), b as Tensor),
})
const anyMatrices = (call: (x: Tensor) => Tensor | readonly Tensor[]): ZeroSizes => ({
  sizes: { b: 2, m: 4, n: 3 },
  inputs: ({ b = 0, m = 0, n = 0 }) => [normal([b, m, n])],
  call: ([x]) => call(x as Tensor),
})

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  cholesky: squares((x) => l.cholesky(definite(x))),
  choleskySolve: systems((a, b) => l.choleskySolve(b, a)),
  solveTriangular: systems((a, b) => l.solveTriangular(a, b, { upper: true })),
  solve: systems((a, b) => l.solve(a, b)),
  inv: squares((x) => l.inv(regular(x))),
  det: squares((x) => l.det(x), { fills: { n: 1 } }),
  slogdet: squares((x) => l.slogdet(x)),
  luFactor: anyMatrices((x) => l.luFactor(x)),
  lu: anyMatrices((x) => l.lu(x)),
  qr: anyMatrices((x) => l.qr(x)),
  eigh: squares((x) => l.eigh(symmetric(apart(x)))),
  eigvalsh: squares((x) => l.eigvalsh(symmetric(x))),
  svd: anyMatrices((x) => l.svd(apart(x), { fullMatrices: false })),
  svdvals: anyMatrices((x) => l.svdvals(x)),
  pinv: anyMatrices((x) => l.pinv(apart(x))),
  matrixRank: anyMatrices((x) => l.matrixRank(x)),
  lstsq: {
    sizes: { m: 4, n: 3, k: 2 },
    inputs: ({ m = 0, n = 0, k = 0 }) => [normal([m, n]), normal([m, k])],
    call: ([a, b]) => l.lstsq(apart(a as Tensor), b as Tensor).solution,
  },
  cond: squares((x) => l.cond(regular(x)), { refuses: ['n'] }),
  matrixPower: squares((x) => l.matrixPower(x, 2)),
  matrixExp: squares((x) => l.matrixExp(x)),
  multiDot: {
    sizes: { m: 4, n: 3, k: 2 },
    inputs: ({ m = 0, n = 0, k = 0 }) => [normal([m, n]), normal([n, k]), normal([k, m])],
    call: (all) => l.multiDot(all),
    fills: { n: 0, k: 0 },
  },
  vander: { sizes: { m: 3 }, inputs: ({ m = 0 }) => [normal([m])], call: ([x]) => l.vander(x as Tensor, { n: 4 }) },
}

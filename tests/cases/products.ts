/** Cases of products under their names, and of einsum. They belong to the matmul family, whose file imports them. */
import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, integers, label, normal } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

/** Products of matrices under all their names. Autocast runs them in bfloat16. */
export const matrixProducts: readonly string[] = [
  'matmul',
  'einsum',
  'mm',
  'mv',
  'dot',
  'vdot',
  'bmm',
  'inner',
  'tensordot',
  'addmm',
  'addmv',
  'baddbmm',
  'bilinear',
]

/** Equations, shapes, and the longest sum of forward or backward. */
const equations: readonly (readonly [string, readonly f.Shape[], number])[] = [
  [
    'ij,jk->ik',
    [
      [2, 3],
      [3, 4],
    ],
    4,
  ],
  [
    'ij,jk',
    [
      [17, 33],
      [33, 9],
    ],
    33,
  ],
  [
    ' b i j , b j k -> b i k ',
    [
      [2, 3, 4],
      [2, 4, 5],
    ],
    5,
  ],
  [
    'ij,ij->',
    [
      [3, 4],
      [3, 4],
    ],
    12,
  ],
  ['i,j->ij', [[3], [4]], 4],
  ['i,j->ji', [[3], [4]], 4],
  [
    'bhid,bhjd->bhij',
    [
      [2, 2, 5, 4],
      [2, 2, 3, 4],
    ],
    5,
  ],
  // The layouts of attention's projections, which are strides and no copies.
  [
    'bqhd,bkhd->bhqk',
    [
      [2, 3, 2, 4],
      [2, 5, 2, 4],
    ],
    5,
  ],
  [
    'bhqk,bkhd->bqhd',
    [
      [2, 2, 3, 5],
      [2, 5, 2, 4],
    ],
    5,
  ],
  [
    '...ij,jk->...ik',
    [
      [2, 5, 3, 4],
      [4, 6],
    ],
    30,
  ],
  [
    '...a,...b->...ab',
    [
      [3, 1, 4],
      [5, 2],
    ],
    15,
  ],
  [
    'i...,i...->...',
    [
      [3, 2, 4],
      [3, 4],
    ],
    6,
  ],
  ['...,...', [[2, 3], [3]], 2],
  // The letters lie in other orders in memory than in the result.
  [
    'abcd,cdef->efab',
    [
      [2, 3, 4, 5],
      [4, 5, 2, 3],
    ],
    20,
  ],
  [
    'abcd,dcef->efba',
    [
      [2, 3, 4, 5],
      [5, 4, 2, 3],
    ],
    20,
  ],
  // Diagonals, traces, sums.
  ['ii->i', [[4, 4]], 1],
  ['ii', [[4, 4]], 4],
  ['...ii->...i', [[2, 3, 3]], 1],
  ['iijj->ij', [[2, 2, 3, 3]], 1],
  [
    'iji,jk->ki',
    [
      [3, 2, 3],
      [2, 4],
    ],
    12,
  ],
  [
    'abc,cd->d',
    [
      [2, 3, 4],
      [4, 5],
    ],
    24,
  ],
  [
    'ab,cd->',
    [
      [2, 3],
      [4, 5],
    ],
    120,
  ],
  ['ij->ji', [[2, 3]], 1],
  [
    'bA,Aa',
    [
      [2, 3],
      [3, 4],
    ],
    4,
  ],
  // Sizes of 1 broadcast.
  [
    'ij,jk->ik',
    [
      [2, 1],
      [3, 4],
    ],
    12,
  ],
  [
    'ij,ij->ij',
    [
      [1, 3],
      [2, 3],
    ],
    2,
  ],
  // More than two operands.
  [
    'bhwc,hkc,wkc->bhwk',
    [
      [2, 3, 4, 5],
      [3, 6, 5],
      [4, 6, 5],
    ],
    60,
  ],
  [
    'ab,bc,cd,de',
    [
      [2, 3],
      [3, 4],
      [4, 5],
      [5, 2],
    ],
    60,
  ],
  ['ab,b,a', [[2, 3], [3], [2]], 6],
  [
    'ab,ab,ab->ab',
    [
      [2, 3],
      [2, 3],
      [2, 3],
    ],
    3,
  ],
  [',ij,->ij', [[], [2, 3], []], 6],
  [
    'ij,jk->ik',
    [
      [2, 0],
      [0, 4],
    ],
    4,
  ],
]

const product = (
  op: string,
  call: (...factors: f.Tensor[]) => f.Tensor,
  length: number,
  ...shapes: readonly f.Shape[]
): Case => ({
  op,
  name: shapes.map(label).join(' and '),
  inputs: shapes.map((shape) => normal(shape)),
  call,
  length,
})

type Pick = Extract<f.TensordotDims, readonly unknown[]>
const pick: Pick = [
  [1, -1],
  [2, 0],
]

export const cases: readonly Case[] = [
  ...equations.map(([equation, shapes, length]) => ({
    op: 'einsum',
    name: `${equation} of ${shapes.map(label).join(', ')}`,
    inputs: shapes.map((shape) => normal(shape)),
    call: (...operands: f.Tensor[]) => f.einsum(equation, ...operands),
    length,
  })),
  product('mm', (a, b) => f.mm(a as f.Tensor, b as f.Tensor), 4, [2, 3], [3, 4]),
  product('mv', (a, b) => f.mv(a as f.Tensor, b as f.Tensor), 33, [9, 33], [33]),
  product('dot', (a, b) => f.dot(a as f.Tensor, b as f.Tensor), 33, [33], [33]),
  product('vdot', (a, b) => f.vdot(a as f.Tensor, b as f.Tensor), 33, [33], [33]),
  product('bmm', (a, b) => f.bmm(a as f.Tensor, b as f.Tensor), 5, [2, 3, 4], [2, 4, 5]),
  product('outer', (a, b) => f.outer(a as f.Tensor, b as f.Tensor), 5, [3], [5]),
  product('inner', (a, b) => f.inner(a as f.Tensor, b as f.Tensor), 20, [2, 3, 4], [5, 4]),
  product('tensordot', (a, b) => f.tensordot(a as f.Tensor, b as f.Tensor), 20, [2, 3, 4], [3, 4, 5]),
  product('tensordot', (a, b) => f.tensordot(a as f.Tensor, b as f.Tensor, pick), 20, [2, 3, 4], [4, 5, 3]),
  product('tensordot', (a, b) => f.tensordot(a as f.Tensor, b as f.Tensor, 0), 6, [2, 3], [2]),
  product('kron', (a, b) => f.kron(a as f.Tensor, b as f.Tensor), 12, [2, 3], [4, 3]),
  product('kron', (a, b) => f.kron(a as f.Tensor, b as f.Tensor), 12, [2], [2, 4, 3]),
  product('addmm', (i, a, b) => f.addmm(i as f.Tensor, a as f.Tensor, b as f.Tensor), 4, [2, 4], [2, 3], [3, 4]),
  product(
    'addmm',
    (i, a, b) => f.addmm(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: 0.5, alpha: -2 }),
    4,
    [4],
    [2, 3],
    [3, 4],
  ),
  product(
    'addmv',
    (i, a, b) => f.addmv(i as f.Tensor, a as f.Tensor, b as f.Tensor, { alpha: 3 }),
    4,
    [2],
    [2, 3],
    [3],
  ),
  product('addr', (i, a, b) => f.addr(i as f.Tensor, a as f.Tensor, b as f.Tensor), 5, [3, 5], [3], [5]),
  product(
    'addr',
    (i, a, b) => f.addr(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: -1, alpha: 3 }),
    15,
    [5],
    [3],
    [5],
  ),
  product(
    'baddbmm',
    (i, a, b) => f.baddbmm(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: 2, alpha: 0.5 }),
    8,
    [1, 3, 5],
    [2, 3, 4],
    [2, 4, 5],
  ),
  product(
    'bilinear',
    (x, y, w, b) => f.bilinear(x as f.Tensor, y as f.Tensor, w as f.Tensor, b as f.Tensor),
    60,
    [2, 5, 3],
    [2, 5, 4],
    [6, 3, 4],
    [6],
  ),
  product('bilinear', (x, y, w) => f.bilinear(x as f.Tensor, y as f.Tensor, w as f.Tensor), 12, [3], [4], [6, 3, 4]),
]

const a = normal([2, 3])

const einsumError = (
  name: string,
  code: ErrorCase['code'],
  equation: string,
  shapes: readonly f.Shape[],
  mentions: ErrorCase['mentions'],
): ErrorCase => ({
  op: 'einsum',
  name,
  code,
  mentions,
  call: (make) => f.einsum(equation, ...shapes.map((shape) => make(normal(shape)))),
})

export const errors: readonly ErrorCase[] = [
  einsumError(
    'sizes of a letter that differ',
    'ERR_SHAPE',
    'ij,jk',
    [
      [2, 3],
      [4, 5],
    ],
    ['letter j', '4', '3', '[2, 3]', '[4, 5]'],
  ),
  einsumError('a diagonal of sizes that differ', 'ERR_SHAPE', 'ii', [[2, 3]], ['letter i', '[2, 3]']),
  einsumError(
    'an ellipsis that does not broadcast',
    'ERR_SHAPE',
    '...a,...a',
    [
      [2, 3],
      [4, 3],
    ],
    ["'...'", '2', '4'],
  ),
  einsumError('a letter of no operand', 'ERR_VALUE', 'ij->ik', [[2, 3]], ['letter k', 'ij->ik']),
  einsumError('a letter twice in the result', 'ERR_VALUE', 'ij->ii', [[2, 3]], ['letter i', 'twice']),
  einsumError('a sign', 'ERR_VALUE', 'i?', [[2, 3]], ['?']),
  einsumError('too few letters', 'ERR_VALUE', 'i', [[2, 3]], ['[2, 3]', '2 dimensions', '1 letters']),
  einsumError('too few operands', 'ERR_VALUE', 'i,j', [[2]], ['2 terms', '1 operands']),
  einsumError('two arrows', 'ERR_VALUE', 'i->i->i', [[2]], ['->']),
  {
    op: 'mm',
    name: 'a vector',
    code: 'ERR_SHAPE',
    mentions: ['[K, N]', '[3]'],
    call: (make) => f.mm(make(a), make(normal([3]))),
  },
  {
    op: 'bmm',
    name: 'batches that differ',
    code: 'ERR_SHAPE',
    mentions: ['B is 1', '2'],
    call: (make) => f.bmm(make(normal([2, 3, 4])), make(normal([1, 4, 5]))),
  },
  {
    op: 'dot',
    name: 'lengths that differ',
    code: 'ERR_SHAPE',
    mentions: ['[4]', '[3]'],
    call: (make) => f.dot(make(normal([3])), make(normal([4]))),
  },
  {
    op: 'mv',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.mv(make(integers([2, 3], 0, 9)), make(integers([3], 0, 9))),
  },
  {
    op: 'tensordot',
    name: 'sizes that differ',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3]', 'dimension 1', '2'],
    call: (make) => f.tensordot(make(a), make(a), 1),
  },
  {
    op: 'tensordot',
    name: 'too many dimensions',
    code: 'ERR_VALUE',
    mentions: ['3', '0 to 2'],
    call: (make) => f.tensordot(make(a), make(a), 3),
  },
  {
    op: 'inner',
    name: 'last sizes that differ',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3]', '[4]'],
    call: (make) => f.inner(make(a), make(normal([4]))),
  },
  {
    op: 'addmm',
    name: 'an input that does not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[5]', '[2, 4]'],
    call: (make) => f.addmm(make(normal([5])), make(a), make(normal([3, 4]))),
  },
  {
    op: 'addr',
    name: 'a matrix, and an input of another size',
    code: 'ERR_SHAPE',
    mentions: ['a must be [M]', '[2, 3]'],
    call: (make) => f.addr(make(normal([5])), make(a), make(normal([3]))),
  },
  {
    op: 'kron',
    name: 'five dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[1, 1, 1, 1, 2]', '4'],
    call: (make) => f.kron(make(normal([1, 1, 1, 1, 2])), make(a)),
  },
  {
    op: 'bilinear',
    name: 'all that does not fit',
    code: 'ERR_SHAPE',
    mentions: ['x2', '[2, 4]', 'bias is [5]'],
    call: (make) => f.bilinear(make(a), make(normal([2, 4])), make(normal([6, 3, 5])), make(normal([5]))),
  },
]

export const calls: readonly PublicCall[] = [
  sound('einsum', f.einsum, () => ['ij,jk->ik', t(2, 3), t(3, 4)]),
  sound('mm', f.mm, () => [t(2, 3), t(3, 4)]),
  sound('mv', f.mv, () => [f.ones([2, 3]), f.ones([3])]),
  sound('dot', f.dot, () => [t(3), t(3)]),
  sound('vdot', f.vdot, () => [t(3), t(3)]),
  sound('bmm', f.bmm, () => [t(2, 3, 4), t(2, 4, 5)]),
  sound('outer', f.outer, () => [t(3), t(4)]),
  sound('inner', f.inner, () => [t(2, 3), t(4, 3)]),
  sound('tensordot', f.tensordot, () => [t(2, 3), t(3, 4), [[1], [0]]]),
  sound('kron', f.kron, () => [t(2, 3), t(3, 4)]),
  sound('addmm', f.addmm, () => [t(2, 4), t(2, 3), t(3, 4), { beta: 2, alpha: 3 }]),
  sound('addmv', f.addmv, () => [t(2), t(2, 3), t(3), { beta: 2, alpha: 3 }]),
  sound('addr', f.addr, () => [t(2, 3), t(2), t(3), { beta: 2, alpha: 3 }]),
  sound('baddbmm', f.baddbmm, () => [t(2, 3, 5), t(2, 3, 4), t(2, 4, 5), { beta: 2, alpha: 3 }]),
  sound('bilinear', f.bilinear, () => [t(2, 3), t(2, 4), t(5, 3, 4), t(5)]),
]

export const layers: readonly PublicCall[] = layer(
  'Bilinear',
  f.nn.Bilinear,
  (): [number, number, number, { bias: boolean }] => [3, 4, 5, { bias: true }],
  () => [t(2, 3), t(2, 4)],
  'bilinear',
)

/** A product with `k` as the only size that makes it 0 without being empty. */
const zeros = (
  call: (...factors: f.Tensor[]) => f.Tensor,
  ...forms: readonly (readonly ('b' | 'm' | 'k' | 'n')[])[]
): ZeroSizes => {
  const sizes = { b: 2, m: 3, k: 4, n: 5 }
  const used = Object.fromEntries(Object.entries(sizes).filter(([name]) => forms.flat().includes(name as never)))
  return {
    sizes: used,
    inputs: (given) => forms.map((form) => normal(form.map((name) => given[name] as number))),
    call: (inputs) => call(...inputs),
    ...('k' in used ? { fills: { k: 0 } } : {}),
  }
}

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  einsum: zeros((a, b) => f.einsum('bmk,bkn->bmn', a as f.Tensor, b as f.Tensor), ['b', 'm', 'k'], ['b', 'k', 'n']),
  mm: zeros((a, b) => f.mm(a as f.Tensor, b as f.Tensor), ['m', 'k'], ['k', 'n']),
  mv: zeros((a, b) => f.mv(a as f.Tensor, b as f.Tensor), ['m', 'k'], ['k']),
  dot: zeros((a, b) => f.dot(a as f.Tensor, b as f.Tensor), ['k'], ['k']),
  vdot: zeros((a, b) => f.vdot(a as f.Tensor, b as f.Tensor), ['k'], ['k']),
  bmm: zeros((a, b) => f.bmm(a as f.Tensor, b as f.Tensor), ['b', 'm', 'k'], ['b', 'k', 'n']),
  outer: zeros((a, b) => f.outer(a as f.Tensor, b as f.Tensor), ['m'], ['n']),
  inner: zeros((a, b) => f.inner(a as f.Tensor, b as f.Tensor), ['m', 'k'], ['n', 'k']),
  tensordot: zeros((a, b) => f.tensordot(a as f.Tensor, b as f.Tensor, 1), ['b', 'm', 'k'], ['k', 'n']),
  kron: zeros((a, b) => f.kron(a as f.Tensor, b as f.Tensor), ['b', 'm'], ['n', 'm']),
  addmm: {
    ...zeros(
      (i, a, b) => f.addmm(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: 0 }),
      ['m', 'n'],
      ['m', 'k'],
      ['k', 'n'],
    ),
  },
  addmv: zeros(
    (i, a, b) => f.addmv(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: 0 }),
    ['m'],
    ['m', 'k'],
    ['k'],
  ),
  addr: zeros((i, a, b) => f.addr(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: 0 }), ['m', 'n'], ['m'], ['n']),
  baddbmm: zeros(
    (i, a, b) => f.baddbmm(i as f.Tensor, a as f.Tensor, b as f.Tensor, { beta: 0 }),
    ['b', 'm', 'n'],
    ['b', 'm', 'k'],
    ['b', 'k', 'n'],
  ),
  bilinear: zeros(
    (x, y, w) => f.bilinear(x as f.Tensor, y as f.Tensor, w as f.Tensor),
    ['b', 'm'],
    ['b', 'k'],
    ['n', 'm', 'k'],
  ),
}

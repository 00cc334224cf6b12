/** x[...], read and written. */
import * as f from '../../../lib/index.js'
import { bits, bytes, type Case, type ErrorCase, exactly, type Input, integers, normal, updated } from '../case.js'
import { type PublicCall, sound, t } from '../sound.js'
import type { ZeroSizes } from '../zero.js'

const x = normal([5, 4, 3])
/** A fixed tensor, on a device that has elements even if the case runs on meta. */
const mask = (shape: number[], third = 1) =>
  f.fromTypedArray(
    Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Number(i % 3 === third)),
    shape,
    { dtype: 'bool', device: 'reference' },
  )
const number = (value: number) => f.tensor(value, { dtype: 'int32', device: 'reference' })

/** The contents of the brackets. `i` and `j` are tensors of indices that broadcast together. */
const brackets: readonly (readonly [string, (i: f.Tensor, j: f.Tensor) => readonly f.Index[]])[] = [
  ['indices side by side', (i, j) => [i, j]],
  ['nothing', () => []],
  ['integers', () => [1, -2]],
  ['an integer in a tensor', () => [number(-1), 2]],
  ['slices', () => ['1:', ':-1', '::2']],
  ['a slice beyond the end', () => ['-9:9', '3:1']],
  ['the last dimension', () => ['...', 0]],
  ['new dimensions', () => [null, 2, null, '...', '0:2', null]],
  ['indices', (i) => [i]],
  ['indices of the middle', (i) => [':', i]],
  ['indices of the last', (i) => ['...', i]],
  ['indices side by side, behind', (i, j) => ['1:4', i, j]],
  ['indices apart', (i, j) => [i, '1:', j]],
  ['indices apart by a new dimension', (i, j) => [i, null, j]],
  ['indices side by side once an integer is gone', (i, j) => [i, 1, j]],
  ['three indices', (i, j) => [i, j, [2]]],
  ['a list', () => [[3, -1, 0, 3]]],
  [
    'nested lists',
    () => [
      ':',
      [
        [0, 1, -1],
        [2, 2, 0],
      ],
    ],
  ],
  ['an empty list', () => [[], '1:']],
  ['a typed array', () => [Int32Array.of(4, 0)]],
  ['a mask of all', () => [mask([5, 4, 3])]],
  ['a mask of rows', () => [mask([5])]],
  ['a mask of two dimensions', () => [mask([5, 4])]],
  ['a mask behind', () => ['::2', mask([4, 3])]],
  ['a mask in a list', () => [':', [true, false, false, true]]],
  ['a mask beside indices', (i) => [i.narrow(0, 0, 1), mask([4])]],
  ['a mask apart from indices', (i) => [mask([5]), ':', i.index(0, '0:2')]],
  ['a mask without truths', () => [mask([5, 4], 4)]],
  ['a truth', () => [true, 1]],
  ['an untruth', () => ['...', false]],
]

const i: Input = exactly([2, 3], 'int32', [1, -1, 0, 2, 0, -2])
const j: Input = exactly([3], 'int32', [2, 0, -3])

const pickedShape = (of: (typeof brackets)[number][1]): f.Shape => {
  const made = (input: Input) =>
    f.fromTypedArray(Int32Array.from(input.values(Math.random, 0)), input.shape, { device: 'reference' })
  return f.zeros([5, 4, 3], { device: 'reference' }).index(...of(made(i), made(j))).shape
}

const read: readonly Case[] = brackets.map(([name, of]) => ({
  op: 'index',
  name,
  inputs: [x, i, j],
  call: (x, i, j) => f.index(x, ...of(i, j)).mul(1),
  length: 30,
}))

const written: readonly Case[] = brackets.flatMap(([name, of]): Case[] => {
  const shape = pickedShape(of)
  return [
    {
      op: 'indexPut',
      name,
      inputs: [x, normal(shape), i, j],
      call: (x, v, i, j) => [f.indexPut(x, of(i, j), 2.5), f.indexPut(x, of(i, j), v, { accumulate: true })],
      length: 30,
    },
    {
      op: 'indexPut_',
      name,
      inputs: [updated(x), updated(x), normal(shape), i, j],
      call: (x, y, v, i, j) =>
        f.noGrad(() => [
          f.indexPut_(x, of(i, j), v),
          f.indexPut_(y, of(i, j), v, { accumulate: true }),
          f.indexPut_(f.clone(x), of(i, j), -1),
        ]),
      length: 30,
    },
  ]
})

const once = exactly([2, 2], 'int32', [3, 0, 1, -1])

export const cases: readonly Case[] = [
  ...read,
  ...written,
  {
    op: 'index',
    name: 'bytes, and more rows than there are',
    inputs: [bytes([5, 4]), integers([333], -5, 5)],
    call: (x, i) => f.index(x, i, ':3'),
  },
  {
    op: 'index',
    name: 'many elements',
    inputs: [normal([50, 3, 40]), integers([3001], -50, 50), integers([3001], 0, 40)],
    call: (x, i, j) => f.index(x, i, ':', j),
    length: 100,
  },
  {
    op: 'indexPut',
    name: 'values that broadcast',
    inputs: [x, normal([1, 1, 2, 1, 3]), once],
    call: (x, v, i) => f.indexPut(x, [i], v),
    length: 5,
  },
  {
    op: 'indexPut',
    name: 'one value under a mask',
    inputs: [x, normal([]), bits([5, 4])],
    call: (x, v, m) => f.indexPut(x, [m], v),
    length: 60,
  },
  {
    op: 'indexPut',
    name: 'integers and truths, added up',
    inputs: [integers([5], -9, 9), bits([5]), bytes([5]), integers([33], 0, 5), bits([33])],
    call: (x, b, u, i, v) => [
      f.indexPut(x, [i], 3, { accumulate: true }),
      f.indexPut(b, [i], v, { accumulate: true }),
      f.indexPut(u, [i], 200, { accumulate: true }),
      f.indexPut(u, [i], v),
    ],
  },
  {
    op: 'indexPut_',
    name: 'integers and truths, added up',
    inputs: [updated(integers([5], -9, 9)), updated(bits([5])), updated(bytes([5])), integers([33], 0, 5), bits([33])],
    call: (x, b, u, i, v) => [
      f.indexPut_(x, [i], 3, { accumulate: true }),
      f.indexPut_(b, [i], v, { accumulate: true }),
      f.indexPut_(u, [i], 200, { accumulate: true }),
      f.indexPut_(u, ['1:'], 200, { accumulate: true }),
    ],
  },
  {
    op: 'indexPut_',
    name: 'into a view, from itself',
    inputs: [updated(normal([6, 5])), exactly([3], 'int32', [2, 0, -1])],
    call: (x, i) => {
      f.transpose(x, 0, 1)
        .index('1:4')
        .indexPut_([[0, 2], i.narrow(0, 0, 2)], 7)
      f.indexPut_(x, [i], f.slice(x, [0, 3]))
      return f.indexPut_(x, [[1, 0], '::2'], f.slice(x, [0, 2], [0, 3]), { accumulate: true })
    },
  },
  {
    op: 'indexPut_',
    name: 'one value under a mask',
    inputs: [updated(x), bits([5, 4])],
    call: (x, m) => f.indexPut_(x, [m], 0),
  },
]

const bad = exactly([2], 'int32', [4, -6])

export const errors: readonly ErrorCase[] = [
  {
    op: 'index',
    name: 'an integer outside',
    code: 'ERR_VALUE',
    mentions: ['5', '[5, 4, 3]'],
    call: (m) => f.index(m(x), 5),
  },
  {
    op: 'index',
    name: 'no text of a slice',
    code: 'ERR_VALUE',
    mentions: ["'1-3'"],
    call: (m) => f.index(m(x), '1-3' as ':'),
  },
  { op: 'index', name: 'a step of 0', code: 'ERR_VALUE', mentions: ['step 0'], call: (m) => f.index(m(x), '::0') },
  {
    op: 'index',
    name: 'too many',
    code: 'ERR_VALUE',
    mentions: ['4 dimensions', '[5, 4, 3]'],
    call: (m) => f.index(m(x), 0, 0, 0, 0),
  },
  { op: 'index', name: 'all twice', code: 'ERR_VALUE', mentions: ['...'], call: (m) => f.index(m(x), '...', 0, '...') },
  {
    op: 'index',
    name: 'undefined',
    code: 'ERR_VALUE',
    mentions: ['undefined'],
    call: (m) => f.index(m(x), undefined as never),
  },
  {
    op: 'index',
    name: 'a list with half a one',
    code: 'ERR_VALUE',
    mentions: ['1.5'],
    call: (m) => f.index(m(x), [0, 1.5]),
  },
  {
    op: 'index',
    name: 'a list with one outside',
    code: 'ERR_INDEX',
    mentions: ['-5', 'dimension 1', '[5, 4, 3]'],
    call: (m) => f.index(m(x), ':', [0, -5]),
  },
  {
    op: 'index',
    name: 'one outside',
    code: 'ERR_INDEX',
    mentions: ['-6', 'size 5'],
    call: (m) => f.index(m(x), m(bad)),
  },
  {
    op: 'index',
    name: 'one outside of two dimensions',
    code: 'ERR_INDEX',
    mentions: ['4', 'dimension 1', 'size 4'],
    call: (m) => f.index(m(x), [0, 0], m(exactly([2], 'int32', [0, 4]))),
  },
  {
    op: 'index',
    name: 'floats',
    code: 'ERR_DTYPE',
    mentions: ['float32', 'int32'],
    call: (m) => f.index(m(x), m(normal([2]))),
  },
  { op: 'index', name: 'bytes', code: 'ERR_DTYPE', mentions: ['uint8'], call: (m) => f.index(m(x), m(bytes([5]))) },
  {
    op: 'index',
    name: 'a mask of other sizes',
    code: 'ERR_SHAPE',
    mentions: ['[4, 3]', '[5, 4]'],
    call: (m) => f.index(m(x), m(bits([4, 3]))),
  },
  {
    op: 'index',
    name: 'indices that do not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[2]', '[3]'],
    call: (m) => f.index(m(x), [0, 1], [0, 1, 2]),
  },
  {
    op: 'indexPut',
    name: 'values of another shape',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3]', '[2, 4, 3]'],
    call: (m) => f.indexPut(m(x), [[0, 1]], m(normal([2, 3]))),
  },
  {
    op: 'indexPut',
    name: 'one outside',
    code: 'ERR_INDEX',
    mentions: ['-6'],
    call: (m) => f.indexPut(m(x), [m(bad)], 1),
  },
  {
    op: 'indexPut',
    name: 'a number that bytes do not hold',
    code: 'ERR_DTYPE',
    mentions: ['300'],
    call: (m) => f.indexPut(m(bytes([3])), [0], 300),
  },
  {
    op: 'indexPut_',
    name: 'one outside',
    code: 'ERR_INDEX',
    mentions: ['-6'],
    call: (m) => f.indexPut_(m(x), [m(bad)], 1),
  },
  {
    op: 'indexPut_',
    name: 'a mask alone',
    code: 'ERR_VALUE',
    mentions: ['array', '[mask]'],
    call: (m) => f.indexPut_(m(x), m(bits([5])) as never, 1),
  },
  {
    op: 'indexPut_',
    name: 'a tensor that wants a gradient',
    code: 'ERR_AUTOGRAD',
    mentions: ['noGrad'],
    call: (m) => {
      const w = m(x)
      w.requiresGrad = true
      return f.indexPut_(w, [0], 1)
    },
  },
  {
    op: 'indexPut_',
    name: 'a value that wants a gradient',
    code: 'ERR_AUTOGRAD',
    mentions: ['indexPut()'],
    call: (m) => {
      const w = m(normal([3]))
      w.requiresGrad = true
      return f.indexPut_(m(x), [0], w)
    },
  },
  {
    op: 'indexPut_',
    name: 'elements that are one in memory',
    code: 'ERR_VALUE',
    mentions: ['share memory'],
    call: (m) => f.indexPut_(f.expand(m(normal([1, 3])), [2, 3]), [0], 1),
  },
]

export const calls: readonly PublicCall[] = [
  sound('index', f.index, () => [t(2, 3), 0, '1:']),
  sound('index', f.index, () => [t(2, 3), [0, 1], [true, false, true]]),
  sound('indexPut', f.indexPut, () => [t(2, 3), [[0, 1]], t(3), { accumulate: true }]),
  sound('indexPut_', f.indexPut_, () => [t(2, 3), [[0, 1]], t(3), { accumulate: true }]),
]

const placed = (call: (x: f.Tensor, i: f.Tensor, v: f.Tensor) => f.Tensor): ZeroSizes => ({
  sizes: { m: 3, n: 2, i: 4 },
  inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i], 0, 3), normal([i, n])],
  call: ([x, i, v]) => call(x as f.Tensor, i as f.Tensor, v as f.Tensor),
  refuses: ['m'],
})

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  index: placed((x, i) => f.index(x, i)),
  'index of two': { ...placed((x, i) => f.index(x, i, f.mul(i, 0))), refuses: ['m', 'n'] },
  indexPut: placed((x, i, v) => f.indexPut(x, [i], v)),
  indexPut_: placed((x, i, v) => f.noGrad(() => f.indexPut_(f.clone(x), [i], v))),
}

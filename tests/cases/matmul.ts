import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, label, normal } from './case.js'
import * as named from './products.js'
import { type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

/** Shapes of a and b, and the longest sum of forward or backward. */
const products: readonly [f.Shape, f.Shape, number][] = [
  [[1, 1], [1, 1], 1],
  [[31], [31], 31],
  [[31], [31, 33], 33],
  [[32, 31], [31], 32],
  [[31, 33], [33, 32], 33],
  [[1, 300], [300, 7], 300],
  [[7, 1], [1, 300], 300],
  [[0, 3], [3, 5], 5],
  [[3, 0], [0, 5], 5],
  [[3, 5], [5, 0], 5],
  [[2, 3, 5, 7], [2, 3, 7, 4], 7],
  [[3, 1, 5, 7], [2, 7, 4], 21],
  [[5, 7], [3, 2, 7, 4], 24],
  // These are deeper and wider than the blocks that are packed at a time.
  [[131, 1031], [1031, 67], 1031],
  [[17, 19], [19, 2053], 2053],
]

const transposed = (t: f.Tensor) => f.transpose(t, -1, -2)

/** A factor in blocks, which wants no gradient. */
const stored = (x: f.Tensor, dtype: f.BlockDType) => f.noGrad(() => x.detach().to(dtype))
/** The number of elements in a block, by block dtype. */
const formats = { q8_0: 32, q4_0: 32, nf4: 64 } as const

const ofBlocks = (Object.entries(formats) as [f.BlockDType, number][]).flatMap(([dtype, block]): Case[] => [
  ...(
    [
      [[1, 512], 9],
      [[1, 512 + block], 5],
      [[3, block], 33],
      [[2, 5, 1024], 67],
      [[70, 448], 31],
      [[0, block], 4],
    ] as const
  ).map(([shape, out]) => {
    const inner = shape[shape.length - 1] as number
    return {
      op: 'linear',
      name: `${label(shape)} to ${out} by a weight of ${dtype}`,
      inputs: [normal(shape), constant(normal([out, inner])), normal([out])],
      call: (x: f.Tensor, w: f.Tensor, b: f.Tensor) => f.linear(x, stored(w, dtype), b),
      length: Math.max(inner, out, 70),
    }
  }),
  ...(
    [
      [
        [1, 9],
        [9, 512 + block],
      ],
      [
        [31, 65],
        [65, 192],
      ],
      [
        [2, 3, 5],
        [5, block],
      ],
      [
        [2, 3, 7, 5],
        [3, 5, block],
      ],
      [
        [3, 0],
        [0, block],
      ],
    ] as const
  ).map(([a, b]) => ({
    op: 'matmul',
    name: `${label(a)} times ${label(b)} of ${dtype}`,
    inputs: [normal(a), constant(normal(b))],
    call: (x: f.Tensor, y: f.Tensor) => f.matmul(x, stored(y, dtype)),
    length: Math.max(...a, ...b),
  })),
])

export const cases: readonly Case[] = [
  ...named.cases,
  ...products.map(([a, b, length]) => ({
    op: 'matmul',
    name: `${label(a)} times ${label(b)}`,
    inputs: [normal(a), normal(b)],
    call: (x: f.Tensor, y: f.Tensor) => f.matmul(x, y),
    length,
  })),
  {
    op: 'matmul',
    name: 'transposed on both sides',
    inputs: [normal([70, 33]), normal([65, 70])],
    call: (a, b) => f.matmul(transposed(a), transposed(b)),
    length: 70,
  },
  {
    op: 'matmul',
    name: 'a matrix with itself',
    inputs: [normal([9, 9])],
    call: (a) => f.matmul(a, a),
    length: 18,
  },
  // Gradients that are added to existing ones.
  {
    op: 'matmul',
    name: 'factors of several products',
    inputs: [normal([2, 9, 33]), normal([2, 33, 9]), normal([33, 9])],
    call: (a, b, c) => f.add(f.matmul(f.matmul(a, b), f.matmul(a, c)), f.matmul(a, b)),
    length: 297,
  },
  {
    op: 'matmul',
    name: 'layers that share input and weight',
    inputs: [normal([2, 5, 33]), normal([33, 33], 0.2), normal([33])],
    call: (x, w, b) => f.add(f.linear(f.linear(x, w, b), w), f.linear(x, w, b)),
    length: 1089,
  },
  ...(
    [
      [[1, 1], 1],
      [[31], 33],
      [[32, 31], 33],
      [[0, 31], 31],
      [[2, 3, 31], 8],
      [[2, 0, 31], 31],
      [[65, 517], 128],
    ] as const
  ).flatMap(([shape, out]) => {
    const last = shape[shape.length - 1] as number
    const length = Math.max(last, out, 65)
    return [
      {
        op: 'linear',
        name: `${label(shape)} to ${out}`,
        inputs: [normal(shape), normal([out, last]), normal([out])],
        call: (x: f.Tensor, w: f.Tensor, b: f.Tensor) => f.linear(x, w, b),
        length,
      },
      {
        op: 'linear',
        name: `${label(shape)} to ${out} without a bias`,
        inputs: [normal(shape), normal([out, last])],
        call: (x: f.Tensor, w: f.Tensor) => f.linear(x, w),
        length,
      },
    ]
  }),
  ...ofBlocks,
]

const a = normal([3, 4])

export const errors: readonly ErrorCase[] = [
  ...named.errors,
  {
    op: 'matmul',
    name: 'inner sizes that differ',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3, 5]', '4 and 3'],
    call: (make) => f.matmul(make(a), make(normal([3, 5])) as f.Tensor),
  },
  {
    op: 'matmul',
    name: 'batches that do not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[2]', '[3]'],
    call: (make) => f.matmul(make(normal([2, 3, 4])), make(normal([3, 4, 5])) as f.Tensor),
  },
  {
    op: 'matmul',
    name: 'a scalar',
    code: 'ERR_SHAPE',
    mentions: ['[]'],
    call: (make) => f.matmul(make(a), make(normal([])) as f.Tensor),
  },
  {
    op: 'matmul',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (make) => f.matmul(make(integers([3, 4], 0, 9)), make(integers([4, 3], 0, 9)) as f.Tensor),
  },
  {
    op: 'linear',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[6, 5]', 'bias is [5]', '[6]'],
    call: (make) => f.linear(make(a), make(normal([6, 5])) as f.Tensor, make(normal([5]))),
  },
]

export const { layers } = named

export const calls: readonly PublicCall[] = [
  ...named.calls,
  sound('matmul', f.matmul, () => [t(2, 3), t(3, 4)]),
  sound('linear', f.linear, () => [t(2, 3), t(4, 3), t(4)]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...named.zeroSizes,
  matmul: {
    sizes: { b: 2, m: 3, k: 4, n: 5 },
    inputs: ({ b = 0, m = 0, k = 0, n = 0 }) => [normal([b, m, k]), normal([k, n])],
    call: ([a, b]) => f.matmul(a as f.Tensor, b as f.Tensor),
    fills: { k: 0 },
  },
  'matmul of vectors': {
    sizes: { k: 4 },
    inputs: ({ k = 0 }) => [normal([k]), normal([k])],
    call: ([a, b]) => f.matmul(a as f.Tensor, b as never),
    fills: { k: 0 },
  },
  linear: {
    sizes: { t: 2, m: 3, k: 4, n: 5 },
    inputs: ({ t = 0, m = 0, k = 0, n = 0 }) => [
      normal([t, m, k]),
      normal([n, k]),
      exactly([n], 'float', new Array<number>(n).fill(7)),
    ],
    call: ([x, w, b]) => f.linear(x as f.Tensor, w as never, b as never),
    fills: { k: 7 },
  },
}

import * as f from '../../../lib/index.js'
import { type Case, call, constant, type ErrorCase, exactly, integers, normal } from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import type { ZeroSizes } from '../zero.js'

const x = normal([5, 4])

export const cases: readonly Case[] = [
  {
    op: 'index_select',
    name: 'rows',
    inputs: [x, integers([33], 0, 5)],
    call: (t, i) => f.indexSelect(t, 0, i),
    length: 33,
  },
  {
    op: 'index_select',
    name: 'columns',
    inputs: [x, integers([3], 0, 4)],
    call: (t, i) => f.indexSelect(t, -1, i),
    length: 3,
  },
  {
    op: 'index_select',
    name: 'middle',
    inputs: [normal([3, 7, 5]), integers([9], 0, 7)],
    call: (t, i) => f.indexSelect(t, 1, i),
    length: 9,
  },
  { op: 'index_select', name: 'nothing', inputs: [x, integers([0], 0, 4)], call: (t, i) => f.indexSelect(t, 0, i) },
  {
    op: 'index_select',
    name: 'int32',
    inputs: [integers([5, 4], 0, 99), integers([3], 0, 4)],
    call: (t, i) => f.indexSelect(t, 1, i),
  },
  {
    op: 'index_select',
    name: 'many',
    inputs: [normal([50, 33]), integers([3001], 0, 50)],
    call: (t, i) => f.indexSelect(t, 0, i),
    length: 3001,
  },
  {
    op: 'embedding',
    name: 'embedding',
    inputs: [integers([3, 7], 0, 5), x],
    call: (i, w) => f.embedding(i, w),
    length: 21,
  },
  {
    op: 'embedding',
    name: 'two embeddings of one weight',
    inputs: [integers([3, 7], 0, 5), integers([7], 0, 5), x],
    call: (i, j, w) => f.add(f.embedding(i, w), f.embedding(j, w)),
    length: 28,
  },
  {
    op: 'embedding',
    name: 'with padding',
    inputs: [integers([3, 7], 0, 5), x],
    call: (i, w) => f.embedding(i, w, { paddingIdx: 2 }),
    length: 21,
    without: {
      'finite differences': 'the padding row takes part in the output, but is given no gradient',
    },
  },
  {
    op: 'embedding',
    name: 'scaled by frequency',
    inputs: [integers([3, 7], 0, 5), x],
    call: (i, w) => f.embedding(i, w, { scaleGradByFreq: true }),
    length: 21,
    without: {
      'finite differences': 'the gradient is divided by how often a row was asked for, as PyTorch defines it',
    },
  },
  ...(['q8_0', 'q4_0', 'nf4'] as const).flatMap((dtype): Case[] => [
    {
      op: 'embedding',
      name: `rows of ${dtype}`,
      inputs: [integers([3, 7], 0, 5), constant(normal([5, 192]))],
      call: (i, w) => f.embedding(i, w.to(dtype)),
    },
    {
      op: 'index_select',
      name: `rows of ${dtype}`,
      inputs: [constant(normal([2, 5, 64])), integers([9], 0, 5)],
      call: (t, i) => f.indexSelect(t.to(dtype), 1, i).to('float32'),
    },
  ]),
  {
    op: 'index_add',
    name: 'rows',
    inputs: [normal([33, 4]), integers([33], 0, 5)],
    call: (dy, i) => call('index_add', [dy, i], { dim: 0, size: 5, skip: -1 }),
    length: 33,
  },
  {
    op: 'index_add',
    name: 'middle, to more rows than are used',
    inputs: [normal([2, 9, 3]), integers([9], 2, 5)],
    call: (dy, i) => call('index_add', [dy, i], { dim: 1, size: 8, skip: -1 }),
    length: 9,
  },
  {
    op: 'gather',
    name: 'last dimension',
    inputs: [x, integers([5, 3], 0, 4)],
    call: (t, i) => f.gather(t, 1, i),
    length: 3,
  },
  {
    op: 'gather',
    name: 'first dimension, fewer columns',
    inputs: [x, integers([9, 2], 0, 5)],
    call: (t, i) => f.gather(t, 0, i),
    length: 9,
  },
  {
    op: 'gather',
    name: 'three dimensions',
    inputs: [normal([3, 7, 5]), integers([2, 33, 5], 0, 7)],
    call: (t, i) => f.gather(t, 1, i),
    length: 33,
  },
  { op: 'gather', name: 'nothing', inputs: [x, integers([0, 4], 0, 4)], call: (t, i) => f.gather(t, 0, i) },
  {
    op: 'scatter_add',
    name: 'last dimension',
    inputs: [normal([5, 9]), integers([5, 9], 0, 4)],
    call: (dy, i) => call('scatter_add', [dy, i], { dim: 1, shape: [5, 4] }),
    length: 9,
  },
  {
    op: 'scatter_add',
    name: 'first dimension, into more columns',
    inputs: [normal([33, 2]), integers([33, 2], 0, 5)],
    call: (dy, i) => call('scatter_add', [dy, i], { dim: 0, shape: [5, 4] }),
    length: 33,
  },
]

const bad = exactly([3], 'int32', [0, 5, 1])

/** The number of cases that are excused, by check. */
export const excused = { 'finite differences': 2 }

export const errors: readonly ErrorCase[] = [
  {
    op: 'index_select',
    name: 'an index out of range',
    code: 'ERR_INDEX',
    mentions: ['5'],
    call: (make) => f.indexSelect(make(x), 0, make(bad)),
  },
  {
    op: 'embedding',
    name: 'an id out of range',
    code: 'ERR_INDEX',
    mentions: ['5'],
    call: (make) => f.embedding(make(bad), make(x)),
  },
  {
    op: 'embedding',
    name: 'a negative id',
    code: 'ERR_INDEX',
    mentions: ['-1'],
    call: (make) => f.embedding(make(exactly([2], 'int32', [0, -1])), make(x)),
  },
  {
    op: 'gather',
    name: 'an index out of range',
    code: 'ERR_INDEX',
    mentions: ['7'],
    call: (make) => f.gather(make(x), 1, make(exactly([1, 2], 'int32', [3, 7]))),
  },
  {
    op: 'indexSelect',
    name: 'an index of floats',
    code: 'ERR_DTYPE',
    mentions: ['index', 'int32'],
    call: (make) => f.indexSelect(make(x), 0, make(normal([3]))),
  },
  {
    op: 'indexSelect',
    name: 'an index of two dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[2, 2]'],
    call: (make) => f.indexSelect(make(x), 0, make(integers([2, 2], 0, 3))),
  },
  {
    op: 'gather',
    name: 'an index too large',
    code: 'ERR_SHAPE',
    mentions: ['[9, 1]', '[5, 4]'],
    call: (make) => f.gather(make(x), 1, make(integers([9, 1], 0, 3))),
  },
  {
    op: 'embedding',
    name: 'ids of floats',
    code: 'ERR_DTYPE',
    mentions: ['ids', 'int32'],
    call: (make) => f.embedding(make(normal([3])), make(x)),
  },
  {
    op: 'embedding',
    name: 'weights of one dimension',
    code: 'ERR_SHAPE',
    mentions: ['[4]'],
    call: (make) => f.embedding(make(bad), make(normal([4]))),
  },
  {
    op: 'embedding',
    name: 'padding NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN'],
    call: (make) => f.embedding(make(bad), make(x), { paddingIdx: Number.NaN }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('embedding', f.embedding, () => [
    ints([3]),
    t(2, 4),
    { paddingIdx: 0, maxNorm: 1, normType: 2, scaleGradByFreq: false },
  ]),
  sound('gather', f.gather, () => [t(2, 3), 1, ints([2, 2])]),
  sound('indexSelect', f.indexSelect, () => [t(2, 3), 1, ints([2])], 'index_select'),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  indexSelect: {
    sizes: { m: 3, n: 2, i: 4 },
    inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i], 0, 3)],
    call: ([x, i]) => f.indexSelect(x as f.Tensor, 0, i as f.Tensor),
    refuses: ['m'],
  },
  embedding: {
    sizes: { m: 3, n: 2, i: 4, j: 2 },
    inputs: ({ m = 0, n = 0, i = 0, j = 0 }) => [integers([i, j], 0, 3), normal([m, n])],
    call: ([i, w]) => f.embedding(i as f.Tensor, w as f.Tensor, { paddingIdx: (w as f.Tensor).shape[0] ? 1 : null }),
    refuses: ['m'],
  },
  gather: {
    sizes: { m: 3, n: 2, i: 4 },
    inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i, n], 0, 3)],
    call: ([x, i]) => f.gather(x as f.Tensor, 0, i as f.Tensor),
    refuses: ['m'],
  },
}

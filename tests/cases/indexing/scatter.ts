/** Elements that are written, added up or chosen where indices and masks say. */
import * as f from '../../../lib/index.js'
import { bits, bytes, type Case, distinct, type ErrorCase, exactly, integers, normal } from '../case.js'
import { bools, ints, type PublicCall, sound, t } from '../sound.js'
import { unaryZeros, type ZeroSizes } from '../zero.js'

const x = normal([5, 4])
/** Indices in which no place occurs twice along dimension 1. */
const apart = exactly([2, 3], 'int32', [3, 0, 1, 2, 1, 0])
const many = integers([9, 3], 0, 5)
const reductions = ['sum', 'prod', 'mean', 'amax', 'amin'] as const
/** A mask that is read, on a device that has elements even if the case runs on meta. */
const mask = (shape: number[]) =>
  f.fromTypedArray(
    Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Number(i % 3 === 1)),
    shape,
    {
      dtype: 'bool',
      device: 'reference',
    },
  )

export const cases: readonly Case[] = [
  {
    op: 'scatter',
    name: 'a smaller index',
    inputs: [x, apart, normal([2, 3])],
    call: (t, i, s) => f.scatter(t, 1, i, s),
  },
  {
    op: 'scatter',
    name: 'a larger source',
    inputs: [x, apart, normal([4, 4])],
    call: (t, i, s) => f.scatter(t, 1, i, s),
  },
  { op: 'scatter', name: 'a number', inputs: [x, many], call: (t, i) => f.scatter(t, 0, i, -2.5) },
  {
    op: 'scatter',
    name: 'three dimensions',
    inputs: [normal([3, 5, 300]), exactly([3, 1, 1], 'int32', [4, 0, 2]), normal([3, 1, 300])],
    call: (t, i, s) => f.scatter(t, 1, f.expand(i, [3, 1, 257]), s),
  },
  {
    op: 'scatter',
    name: 'bytes, the last of two holds',
    inputs: [bytes([4]), exactly([3], 'int32', [1, 1, 2]), bytes([3])],
    call: (t, i, s) => f.scatter(t, 0, i, s),
  },
  { op: 'scatter', name: 'bool', inputs: [bits([5, 4]), many], call: (t, i) => f.scatter(t, 0, i, 1) },
  { op: 'scatter', name: 'nothing', inputs: [x, integers([0, 4], 0, 1)], call: (t, i) => f.scatter(t, 0, i, 1) },
  {
    op: 'scatter',
    name: 'one number',
    inputs: [normal([]), exactly([], 'int32', [0]), normal([])],
    call: (t, i, s) => f.scatter(t, 0, i, s),
  },
  ...(['add', 'multiply'] as const).map(
    (reduce): Case => ({
      op: 'scatter',
      name: reduce,
      inputs: [x, many, normal([9, 3])],
      call: (t, i, s) => f.scatter(t, 0, i, s, { reduce }),
      length: 10,
    }),
  ),
  {
    op: 'scatterAdd',
    name: 'first dimension',
    inputs: [x, many, normal([9, 4])],
    call: (t, i, s) => f.scatterAdd(t, 0, i, s),
    length: 10,
  },
  {
    op: 'scatterAdd',
    name: 'last dimension',
    inputs: [x, integers([5, 33], 0, 4), normal([5, 33])],
    call: (t, i, s) => f.scatterAdd(t, -1, i, s),
    length: 34,
  },
  {
    op: 'scatterAdd',
    name: 'int32',
    inputs: [integers([5], -9, 9), integers([33], 0, 5), integers([33], -9, 9)],
    call: (t, i, s) => f.scatterAdd(t, 0, i, s),
  },
  ...reductions.flatMap((reduce) =>
    [true, false].map(
      (includeSelf): Case => ({
        op: 'scatterReduce',
        name: `${reduce} ${includeSelf ? 'with' : 'without'} self`,
        inputs: [distinct([5, 4]), many, distinct([9, 3])],
        call: (t, i, s) => f.scatterReduce(f.add(t, 0.03), 0, i, s, reduce, { includeSelf }),
        length: 10,
        roundings: 64,
      }),
    ),
  ),
  ...reductions
    .filter((reduce) => reduce !== 'mean')
    .map(
      (reduce): Case => ({
        op: 'scatterReduce',
        name: `${reduce} of int32 without self`,
        inputs: [integers([5], -9, 9), integers([7], 0, 4), integers([7], -9, 9)],
        call: (t, i, s) => f.scatterReduce(t, 0, i, s, reduce, { includeSelf: false }),
      }),
    ),
  {
    op: 'indexAdd',
    name: 'rows',
    inputs: [x, integers([33], 0, 5), normal([33, 4])],
    call: (t, i, s) => f.indexAdd(t, 0, i, s),
    length: 34,
  },
  {
    op: 'indexAdd',
    name: 'middle, times a number',
    inputs: [normal([3, 5, 7]), integers([9], 0, 5), normal([3, 9, 7])],
    call: (t, i, s) => f.indexAdd(t, 1, i, s, { alpha: -2 }),
    length: 10,
  },
  {
    op: 'indexAdd',
    name: 'int32',
    inputs: [integers([5, 9], -9, 9), integers([3], 0, 5), integers([3, 9], -9, 9)],
    call: (t, i, s) => f.indexAdd(t, 0, i, s),
  },
  {
    op: 'indexCopy',
    name: 'columns',
    inputs: [x, exactly([3], 'int32', [3, 0, 2]), normal([5, 3])],
    call: (t, i, s) => f.indexCopy(t, 1, i, s),
  },
  { op: 'indexFill', name: 'rows', inputs: [x, integers([3], 0, 5)], call: (t, i) => f.indexFill(t, 0, i, 9) },
  { op: 'maskedFill', name: 'a number', inputs: [x, bits([5, 1])], call: (t, m) => f.maskedFill(t, m, -1), length: 4 },
  {
    op: 'maskedFill',
    name: 'a tensor',
    inputs: [x, bits([2, 5, 4]), normal([])],
    call: (t, m, v) => f.maskedFill(t, m, v as f.Tensor<[]>),
    length: 40,
  },
  { op: 'maskedFill', name: 'int32', inputs: [integers([4], 0, 9), bits([4])], call: (t, m) => f.maskedFill(t, m, -1) },
  { op: 'maskedSelect', name: 'broadcast', inputs: [x], call: (t) => f.maskedSelect(t, mask([3, 5, 1])), length: 3 },
  { op: 'maskedSelect', name: 'bool', inputs: [bits([5, 4])], call: (t) => f.maskedSelect(t, mask([5, 4])) },
  {
    op: 'maskedScatter',
    name: 'broadcast',
    inputs: [x, normal([3, 5])],
    call: (t, s) => f.maskedScatter(t, mask([4]), s),
  },
  {
    op: 'takeAlongDim',
    name: 'broadcast',
    inputs: [normal([5, 1, 4]), integers([1, 3, 9], 0, 4)],
    call: (t, i) => f.takeAlongDim(t, i, 2),
    length: 27,
  },
  {
    op: 'takeAlongDim',
    name: 'of all',
    inputs: [x, integers([2, 3], 0, 20)],
    call: (t, i) => f.takeAlongDim(t, i),
    length: 6,
  },
  {
    op: 'take',
    name: 'of all, from both ends',
    inputs: [x, integers([2, 3], -20, 20)],
    call: (t, i) => f.take(t, i),
    length: 6,
  },
  { op: 'oneHot', name: 'said', inputs: [integers([3, 4], 0, 6)], call: (i) => f.oneHot(i, 6) },
]

const wrong = exactly([1, 2], 'int32', [3, 5])

export const errors: readonly ErrorCase[] = [
  {
    op: 'scatter',
    name: 'an index out of range',
    code: 'ERR_INDEX',
    mentions: ['5'],
    call: (m) => f.scatter(m(x), 1, m(wrong), 1),
  },
  {
    op: 'scatter',
    name: 'an index too large',
    code: 'ERR_SHAPE',
    mentions: ['[9, 3]', '[5, 4]'],
    call: (m) => f.scatter(m(x), 1, m(many), 1),
  },
  {
    op: 'scatter',
    name: 'a source too small',
    code: 'ERR_SHAPE',
    mentions: ['[9, 3]', '[8, 3]'],
    call: (m) => f.scatter(m(x), 0, m(many), m(normal([8, 3]))),
  },
  {
    op: 'scatter',
    name: 'another dtype',
    code: 'ERR_DTYPE',
    mentions: ['float32', 'int32'],
    call: (m) => f.scatter(m(x), 0, m(many), m(integers([9, 3], 0, 3))),
  },
  {
    op: 'scatter',
    name: 'an unknown reduction',
    code: 'ERR_VALUE',
    mentions: ['mean'],
    call: (m) => f.scatter(m(x), 0, m(many), 1, { reduce: 'mean' as never }),
  },
  {
    op: 'scatterAdd',
    name: 'bool',
    code: 'ERR_DTYPE',
    mentions: ['bool'],
    call: (m) => f.scatterAdd(m(bits([5, 4])), 0, m(many), m(bits([9, 3]))),
  },
  {
    op: 'scatterAdd',
    name: 'an index of floats',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (m) => f.scatterAdd(m(x), 0, m(normal([5, 4])).to('float32'), m(x)),
  },
  {
    op: 'scatterReduce',
    name: 'the mean of integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: (m) => f.scatterReduce(m(many), 0, m(many), m(many), 'mean'),
  },
  {
    op: 'scatterReduce',
    name: 'no reduction',
    code: 'ERR_VALUE',
    mentions: ['undefined'],
    call: (m) => f.scatterReduce(m(x), 0, m(many), m(normal([9, 3])), undefined as never),
  },
  {
    op: 'indexAdd',
    name: 'other rows',
    code: 'ERR_SHAPE',
    mentions: ['[3, 3]', '[3, 4]'],
    call: (m) => f.indexAdd(m(x), 0, m(integers([3], 0, 5)), m(normal([3, 3]))),
  },
  {
    op: 'indexAdd',
    name: 'an index out of range',
    code: 'ERR_INDEX',
    mentions: ['7'],
    call: (m) => f.indexAdd(m(x), 0, m(exactly([1], 'int32', [7])), m(normal([1, 4]))),
  },
  {
    op: 'indexCopy',
    name: 'an index of two dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[9, 3]'],
    call: (m) => f.indexCopy(m(x), 0, m(many), m(normal([9, 4]))),
  },
  {
    op: 'maskedFill',
    name: 'a mask of integers',
    code: 'ERR_DTYPE',
    mentions: ['int32', 'bool'],
    call: (m) => f.maskedFill(m(x), m(many), 1),
  },
  {
    op: 'maskedFill',
    name: 'several values',
    code: 'ERR_SHAPE',
    mentions: ['[5, 4]'],
    call: (m) => f.maskedFill(m(x), m(bits([5, 4])), m(x) as never),
  },
  {
    op: 'maskedScatter',
    name: 'too few elements',
    code: 'ERR_SHAPE',
    mentions: ['2', '7'],
    call: (m) => f.maskedScatter(m(x), mask([5, 4]), m(normal([2]))),
  },
  {
    op: 'takeAlongDim',
    name: 'another number of dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[5, 4]', '[3]'],
    call: (m) => f.takeAlongDim(m(x), m(integers([3], 0, 4)), 0),
  },
  {
    op: 'oneHot',
    name: 'a class out of range',
    code: 'ERR_INDEX',
    mentions: ['5'],
    call: (m) => f.oneHot(m(wrong), 5),
  },
  ...(
    [
      ['scatterAdd', (x, i) => f.scatterAdd(x, 1, i, x)],
      ['scatterReduce', (x, i) => f.scatterReduce(x, 1, i, x, 'amax')],
      ['indexCopy', (x, i) => f.indexCopy(x, 1, f.reshape(i, [2]), f.narrow(x, 1, 0, 2))],
      ['indexFill', (x, i) => f.indexFill(x, 1, f.reshape(i, [2]), 1)],
      ['takeAlongDim', (x, i) => f.takeAlongDim(x, i, 1)],
      ['take', (x, i) => f.take(f.narrow(x, 0, 0, 1), i)],
    ] as [string, (x: f.Tensor, i: f.Tensor) => f.Tensor][]
  ).map(
    ([op, call]): ErrorCase => ({
      op,
      name: 'an index out of range',
      code: 'ERR_INDEX',
      mentions: ['5'],
      call: (m) => call(m(x), m(wrong)),
    }),
  ),
  { op: 'oneHot', name: 'no classes', code: 'ERR_VALUE', mentions: ['0'], call: (m) => f.oneHot(m(wrong), 0) },
]

export const calls: readonly PublicCall[] = [
  sound('scatter', f.scatter, () => [t(2, 3), 1, ints([2, 2]), t(2, 2), { reduce: 'add' }]),
  sound('scatterAdd', f.scatterAdd, () => [t(2, 3), 1, ints([2, 2]), t(2, 2)], 'scatter'),
  sound(
    'scatterReduce',
    f.scatterReduce,
    () => [t(2, 3), 1, ints([2, 2]), t(2, 2), 'mean', { includeSelf: false }],
    'scatter',
  ),
  sound('indexAdd', f.indexAdd, () => [t(2, 3), 1, ints([2]), t(2, 2), { alpha: 2 }]),
  sound('indexCopy', f.indexCopy, () => [t(2, 3), 1, ints([2]), t(2, 2)], 'scatter'),
  sound('indexFill', f.indexFill, () => [t(2, 3), 1, ints([2]), 3], 'scatter'),
  sound('maskedFill', f.maskedFill, () => [t(2, 3), bools(2, 3), 3]),
  sound('maskedSelect', f.maskedSelect, () => [t(2, 3), bools(2, 3)]),
  sound('maskedScatter', f.maskedScatter, () => [t(2, 3), bools(2, 3), t(4)]),
  sound('takeAlongDim', f.takeAlongDim, () => [t(2, 3), ints([2, 1]), 1], 'gather'),
  sound('take', f.take, () => [t(2, 3), ints([2, 1])]),
  sound('oneHot', f.oneHot, () => [ints([3]), 4], 'scatter'),
]

type Made = readonly f.Tensor[]
const placed = (call: (x: f.Tensor, index: f.Tensor, src: f.Tensor) => f.Tensor): ZeroSizes => ({
  sizes: { m: 3, n: 2, i: 4 },
  inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i, n], 0, 3), normal([i, n])],
  call: ([x, index, src]: Made) => call(x as f.Tensor, index as f.Tensor, src as f.Tensor),
  refuses: ['m'],
})
const sliced = (call: (x: f.Tensor, index: f.Tensor, src: f.Tensor) => f.Tensor): ZeroSizes => ({
  ...placed(call),
  inputs: ({ m = 0, n = 0, i = 0 }) => [normal([m, n]), integers([i], 0, 3), normal([i, n])],
})

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  scatter: placed((x, i, s) => f.scatter(x, 0, i, s)),
  scatterAdd: placed((x, i, s) => f.scatterAdd(x, 0, i, s)),
  scatterReduce: placed((x, i, s) => f.scatterReduce(x, 0, i, s, 'amax')),
  indexAdd: sliced((x, i, s) => f.indexAdd(x, 0, i, s)),
  'indexCopy by scatter': sliced((x, i, s) => f.indexCopy(x, 0, i, s)),
  'indexFill by scatter': sliced((x, i) => f.indexFill(x, 0, i, 1)),
  maskedFill: unaryZeros((x) => f.maskedFill(x, x.gt(0), 1)),
  maskedSelect: unaryZeros((x) => f.maskedSelect(x, x.gt(0))),
  maskedScatter: unaryZeros((x) => f.maskedScatter(x, x.gt(0), x)),
  'takeAlongDim by gather': placed((x, i) => f.takeAlongDim(x, i, 0)),
  take: placed((x, i) => f.take(x, i)),
  oneHot: {
    sizes: { m: 3, n: 2 },
    inputs: ({ m = 0, n = 0 }) => [integers([m, n], 0, 3)],
    call: ([i]) => f.oneHot(i as f.Tensor, 3),
  },
}

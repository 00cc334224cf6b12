/** Creation functions. They have no inputs, so only their sizes and options vary. */
import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import { creation, unaryZeros, type ZeroSizes } from './zero.js'

/**
 * Methods that are not functions. They are called as the fuzzers call them, perhaps on something that is not a tensor.
 */
const methods = f.Tensor.prototype as f.Tensor

export const cases: readonly Case[] = [
  ...(['ij', 'xy'] as const).map(
    (indexing): Case => ({
      op: 'meshgrid',
      name: indexing,
      inputs: [normal([3]), normal([4]), normal([])],
      call: (...axes) => f.meshgrid(axes, { indexing }).map((each) => f.mul(each, 2)),
      length: 12,
    }),
  ),
]
export const errors: readonly ErrorCase[] = [
  { op: 'linspace', name: 'half a step', code: 'ERR_VALUE', mentions: ['1.5'], call: () => f.linspace(0, 1, 1.5) },
  {
    op: 'linspace',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32'],
    call: () => f.linspace(0, 1, 2, { dtype: 'int32' as never }),
  },
  {
    op: 'meshgrid',
    name: 'a matrix',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3]'],
    call: (m) => f.meshgrid([m(normal([2, 3]))]),
  },
  { op: 'zeros', name: 'a size of -1', code: 'ERR_VALUE', mentions: ['-1'], call: () => f.zeros([2, -1]) },
  {
    op: 'trilIndices',
    name: 'half a row',
    code: 'ERR_VALUE',
    mentions: ['rows', '1.5'],
    call: () => f.trilIndices(1.5, 2),
  },
  { op: 'eye', name: 'half a row', code: 'ERR_VALUE', mentions: ['1.5'], call: () => f.eye(1.5) },
  {
    op: 'arange',
    name: 'a step of 0',
    code: 'ERR_VALUE',
    mentions: ['step', '0'],
    call: () => f.arange(0, 4, 0),
  },
]

export const calls: readonly PublicCall[] = [
  sound('linspace', f.linspace, () => [0, 1, 5, { dtype: 'float32' }]),
  sound('logspace', f.logspace, () => [0, 1, 5, { base: 2, dtype: 'float32' }]),
  sound('zerosLike', f.zerosLike, () => [t(2, 3), { dtype: 'int32' }]),
  sound('onesLike', f.onesLike, () => [t(2, 3), { dtype: 'int32' }]),
  sound('fullLike', f.fullLike, () => [t(2, 3), 2, { dtype: 'int32' }]),
  sound('emptyLike', f.emptyLike, () => [t(2, 3), { dtype: 'int32' }]),
  ...(['newZeros', 'newOnes', 'newEmpty'] as const).map((name) => ({
    ...sound(
      name,
      (x: f.Tensor, shape: number[], options: f.CreationOptions) => methods[name].call(x, shape, options),
      () => [t(2), [2, 3], { dtype: 'int32' }],
    ),
    self: 0,
  })),
  {
    ...sound(
      'newFull',
      (x: f.Tensor, shape: number[], value: number, options) => methods.newFull.call(x, shape, value, options),
      () => [t(2), [2, 3], 2, { dtype: 'int32' }],
    ),
    self: 0,
  },
  {
    ...sound(
      'newTensor',
      (x: f.Tensor, value: number[], options) => methods.newTensor.call(x, value, options),
      () => [t(2), [2, 3], { dtype: 'int32' }],
    ),
    self: 0,
  },
  ...(['trilIndices', 'triuIndices'] as const).map((name) => sound(name, f[name], () => [2, 3, 1, { dtype: 'int32' }])),
  sound('empty', f.empty, () => [[2, 3], { dtype: 'int32' }]),
  sound('meshgrid', f.meshgrid, () => [[t(2), t(3)], { indexing: 'xy' }]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  linspace: creation(({ m = 0 }) => f.linspace(0, 1, m)),
  logspace: creation(({ m = 0 }) => f.logspace(0, 1, m)),
  zerosLike: unaryZeros((x) => f.zerosLike(x)),
  onesLike: unaryZeros((x) => f.onesLike(x)),
  fullLike: unaryZeros((x) => f.fullLike(x, 2)),
  emptyLike: unaryZeros((x) => f.emptyLike(x)),
  meshgrid: unaryZeros((x) => f.meshgrid([f.reshape(x, [-1]), f.ones([2], { device: x.device })])),
  empty: creation(({ m = 0, n = 0 }) => f.empty([m, n])),
  trilIndices: creation(({ m = 0, n = 0 }) => f.trilIndices(m, n)),
  triuIndices: creation(({ m = 0, n = 0 }) => f.triuIndices(m, n)),
  zeros: creation(({ m = 0, n = 0 }) => f.zeros([m, n])),
  ones: creation(({ m = 0, n = 0 }) => f.ones([m, n])),
  full: creation(({ m = 0, n = 0 }) => f.full([m, n], 2)),
  eye: creation(({ m = 0, n = 0 }) => f.eye(m, n)),
  arange: creation(({ m = 0 }) => f.arange(0, m)),
  tensor: creation(({ m = 0, n = 0 }) => f.tensor(Array.from({ length: m }, () => new Array<number>(n).fill(1)))),
  fromTypedArray: creation(({ m = 0, n = 0 }) => f.fromTypedArray(new Float32Array(m * n), [m, n])),
}

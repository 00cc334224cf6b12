/** Cases of pooling volumes. */
import * as f from '../../lib/index.js'
import {
  type Case,
  constant,
  distinct,
  drawn,
  type ErrorCase,
  exactly,
  integers,
  label,
  normal,
  type Random,
} from './case.js'
import { ints, layer, type PublicCall, sound, t } from './sound.js'
import type { Sizes, ZeroSizes } from './zero.js'

const windows: readonly (readonly [f.Shape, f.Triple, f.MaxPool3dOptions])[] = [
  [[1, 1, 1, 1, 1], 1, {}],
  [[2, 2, 4, 4, 5], 2, {}],
  [[1, 2, 5, 4, 6], [3, 2, 2], { stride: [2, 1, 2], padding: [1, 1, 0] }],
  [[2, 4, 5, 3], [2, 3, 1], { stride: 2, padding: [1, 1, 0], ceilMode: true }],
  [[0, 2, 4, 4, 4], 2, {}],
]

/** Volumes, and sizes to pool them to, which divide, do not divide, are larger, stay the same, or are 0. */
const outputs: readonly (readonly [f.Shape, f.OutputSize3d])[] = [
  [
    [2, 2, 4, 6, 2],
    [2, 3, 1],
  ],
  [
    [1, 2, 5, 4, 7],
    [3, null, 4],
  ],
  [[2, 3, 2, 4], 5],
  [
    [1, 2, 3, 2, 4],
    [2, 0, 3],
  ],
]

const { NaN: nan } = Number

/** Numbers above 0 that are apart from each other, in random order. */
function aboveZero(random: Random, count: number): Float64Array {
  const order = distinct([count]).values(random, count)
  return drawn(count, (k) => (order[k] as number) + count / 32 + 0.5)
}

export const cases: readonly Case[] = [
  ...windows.flatMap(([shape, kernel, options]): Case[] => [
    {
      op: 'maxPool3d',
      name: `${label(shape)} by ${String(kernel)} ${JSON.stringify(options)}`,
      inputs: [distinct(shape)],
      call: (x) => f.maxPool3d(x, kernel, options),
      length: 27,
    },
    ...[true, false].map(
      (pads): Case => ({
        op: 'avgPool3d',
        name: `${label(shape)} by ${String(kernel)} ${JSON.stringify(options)}${pads ? '' : ' without padding'}`,
        inputs: [normal(shape)],
        call: (x) => f.avgPool3d(x, kernel, { ...options, countIncludePad: pads }),
        length: 27,
      }),
    ),
  ]),
  {
    op: 'maxPool3d',
    name: 'dilated, with indices',
    inputs: [distinct([1, 2, 5, 4, 5])],
    call: (x) => f.maxPool3d(x, 2, { stride: [1, 2, 1], dilation: [2, 1, 3], padding: 1, returnIndices: true }),
    length: 8,
  },
  {
    op: 'maxPool3d',
    name: 'NaN wins, and the first of equal elements',
    inputs: [constant(exactly([1, 1, 2, 2, 4], 'float', [1, nan, 3, 2, 5, 0, 4, 4, 8, 8, 4, 1, 8, 0, 4, 4]))],
    call: (x) => f.maxPool3d(x, 2, { returnIndices: true }),
  },
  {
    op: 'avgPool3d',
    name: 'divided by a number',
    inputs: [normal([1, 2, 4, 3, 5])],
    call: (x) => f.avgPool3d(x, [2, 3, 2], { padding: 1, ceilMode: true, divisorOverride: -5 }),
    length: 12,
  },
  ...outputs.flatMap(([shape, size]): Case[] => [
    {
      op: 'adaptiveAvgPool3d',
      name: `${label(shape)} to ${JSON.stringify(size)}`,
      inputs: [normal(shape)],
      call: (x) => f.adaptiveAvgPool3d(x, size),
      length: 64,
    },
    {
      op: 'adaptiveMaxPool3d',
      name: `${label(shape)} to ${JSON.stringify(size)}`,
      inputs: [distinct(shape)],
      call: (x) => f.adaptiveMaxPool3d(x, size, { returnIndices: true }),
      length: 8,
    },
  ]),
  ...[2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(
    (p): Case => ({
      op: 'lpPool3d',
      name: `of p ${p}`,
      inputs: [{ ...distinct([1, 2, 4, 5, 4]), values: aboveZero }],
      call: (x) => f.lpPool3d(x, p, [1, 2, 3], { stride: 2, ceilMode: true }),
      length: 20,
      roundings: 64,
    }),
  ),
  {
    op: 'maxUnpool3d',
    name: 'windows side by side',
    inputs: [normal([1, 2, 1, 2]), exactly([1, 2, 1, 2], 'int32', [0, 3, 13, 10])],
    call: (x, i) => f.maxUnpool3d(x, i, 2),
  },
  {
    op: 'maxUnpool3d',
    name: 'two windows with one maximum, at another size',
    inputs: [normal([1, 1, 2, 1, 2]), exactly([1, 1, 2, 1, 2], 'int32', [6, 6, 11, 119])],
    call: (x, i) => f.maxUnpool3d(x, i, [2, 3, 3], { stride: [3, 2, 2], outputSize: [6, 4, 5] }),
    length: 2,
  },
]

const x = normal([1, 2, 4, 5, 5])

export const errors: readonly ErrorCase[] = [
  {
    op: 'maxPool3d',
    name: 'a window too deep',
    code: 'ERR_SHAPE',
    mentions: ['5 x 5 x 5', '[1, 2, 4, 5, 5]', 'padding 0 x 0 x 0'],
    call: (make) => f.maxPool3d(make(x), 5),
  },
  {
    op: 'maxPool3d',
    name: 'padding of more than half',
    code: 'ERR_SHAPE',
    mentions: ['padding 2 x 0 x 0', 'kernel 2 x 2 x 2'],
    call: (make) => f.maxPool3d(make(x), 2, { padding: [2, 0, 0] }),
  },
  {
    op: 'avgPool3d',
    name: 'an image without a batch',
    code: 'ERR_SHAPE',
    mentions: ['[2, 5, 5]', '[C, D, H, W]'],
    call: (make) => f.avgPool3d(make(normal([2, 5, 5])), 2),
  },
  {
    op: 'avgPool3d',
    name: 'a kernel of a plane',
    code: 'ERR_VALUE',
    mentions: ['kernelSize is [2, 2]', '[depth, height, width]'],
    call: (make) => f.avgPool3d(make(x), [2, 2] as never),
  },
  {
    op: 'adaptiveAvgPool3d',
    name: 'a negative size',
    code: 'ERR_VALUE',
    mentions: ['-1', '[depth, height, width]'],
    call: (make) => f.adaptiveAvgPool3d(make(x), [2, -1, 2]),
  },
  {
    op: 'adaptiveMaxPool3d',
    name: 'nothing to pool',
    code: 'ERR_SHAPE',
    mentions: ['[1, 2, 0, 5, 5]', 'only N may be 0'],
    call: (make) => f.adaptiveMaxPool3d(make(normal([1, 2, 0, 5, 5])), 2),
  },
  {
    op: 'lpPool3d',
    name: 'p 0',
    code: 'ERR_VALUE',
    mentions: ['p is 0'],
    call: (make) => f.lpPool3d(make(x), 0, 2),
  },
  {
    op: 'maxUnpool3d',
    name: 'a size that is too large',
    code: 'ERR_VALUE',
    mentions: ['[9, 4, 4]', '[4, 4, 4]'],
    call: (make) =>
      f.maxUnpool3d(make(normal([1, 2, 2, 2])), make(integers([1, 2, 2, 2], 0, 9)), 2, { outputSize: [9, 4, 4] }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('maxPool3d', f.maxPool3d, () => [
    t(1, 2, 4, 5, 5),
    2,
    { stride: 2, padding: 1, dilation: 1, ceilMode: true, returnIndices: true },
  ]),
  sound('avgPool3d', f.avgPool3d, () => [
    t(1, 2, 4, 5, 5),
    2,
    { stride: 2, padding: 1, ceilMode: true, countIncludePad: false, divisorOverride: 3 },
  ]),
  sound('adaptiveAvgPool3d', f.adaptiveAvgPool3d, () => [t(1, 2, 4, 5, 5), [2, 3, 2]]),
  sound('adaptiveMaxPool3d', f.adaptiveMaxPool3d, () => [t(1, 2, 4, 5, 5), [2, 3, 2], { returnIndices: true }]),
  sound('lpPool3d', f.lpPool3d, () => [t(1, 2, 4, 5, 5), 2, 2, { stride: 2, ceilMode: true }], 'avgPool3d'),
  sound('maxUnpool3d', f.maxUnpool3d, () => [
    t(1, 2, 2, 3, 3),
    ints([1, 2, 2, 3, 3], 9),
    2,
    { stride: 2, padding: 0, outputSize: [4, 6, 7] },
  ]),
]

const volume = () => [t(1, 2, 6, 5, 6)]

export const layers: readonly PublicCall[] = [
  ...layer(
    'MaxPool3d',
    f.nn.MaxPool3d,
    () => [2, { stride: 1, padding: 1, dilation: 2, ceilMode: true, returnIndices: false }],
    volume,
    'maxPool3d',
  ),
  ...layer(
    'AvgPool3d',
    f.nn.AvgPool3d,
    () => [2, { stride: 1, padding: 1, ceilMode: true, countIncludePad: false, divisorOverride: 3 }],
    volume,
    'avgPool3d',
  ),
  ...layer(
    'AdaptiveAvgPool3d',
    f.nn.AdaptiveAvgPool3d,
    (): [f.OutputSize3d] => [[4, null, 2]],
    volume,
    'adaptiveAvgPool3d',
  ),
  ...layer(
    'AdaptiveMaxPool3d',
    f.nn.AdaptiveMaxPool3d,
    (): [f.OutputSize3d, f.AdaptiveMaxPoolOptions] => [[4, 2, 3], { returnIndices: false }],
    volume,
    'adaptiveMaxPool3d',
  ),
  ...layer('LPPool3d', f.nn.LPPool3d, () => [2, 3, { stride: 2, ceilMode: true }], volume, 'lpPool3d'),
  ...layer(
    'MaxUnpool3d',
    f.nn.MaxUnpool3d,
    () => [2, { stride: 2, padding: 0 }],
    () => [t(1, 2, 2, 3, 3), ints([1, 2, 2, 3, 3], 9), [4, 6, 7]],
    'maxUnpool3d',
  ),
]

const sizes = { n: 2, c: 2, d: 3, h: 4, w: 3 }
const inputs = ({ n = 0, c = 0, d = 0, h = 0, w = 0 }: Sizes) => [distinct([n, c, d, h, w])]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  maxPool3d: { sizes, inputs, call: ([x]) => f.maxPool3d(x as f.Tensor, 2), refuses: ['d', 'h', 'w'] },
  avgPool3d: { sizes, inputs, call: ([x]) => f.avgPool3d(x as f.Tensor, 2), refuses: ['d', 'h', 'w'] },
  adaptiveAvgPool3d: {
    sizes,
    inputs,
    call: ([x]) => f.adaptiveAvgPool3d(x as f.Tensor, [2, 3, 2]),
    refuses: ['d', 'h', 'w'],
  },
  adaptiveMaxPool3d: {
    sizes,
    inputs,
    call: ([x]) => f.adaptiveMaxPool3d(x as f.Tensor, [2, 3, 2]),
    refuses: ['c', 'd', 'h', 'w'],
  },
  lpPool3d: { sizes, inputs, call: ([x]) => f.lpPool3d(x as f.Tensor, 3, 2), refuses: ['d', 'h', 'w'] },
  maxUnpool3d: {
    sizes,
    inputs: ({ n = 0, c = 0, d = 0, h = 0, w = 0 }) => [normal([n, c, d, h, w]), integers([n, c, d, h, w], 0, 4)],
    call: ([x, i]) => f.maxUnpool3d(x as f.Tensor, i as f.Tensor, 2),
    refuses: ['c', 'd', 'h', 'w'],
  },
}

/** Cases of convolutions of volumes. */
import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, label, normal } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

interface Convolution<O> {
  /** [N, C, D, H, W], or without N */
  readonly x: readonly number[]
  /** out, kD, kH, kW */
  readonly kernel: readonly [number, number, number, number]
  readonly options: O
}

const convolutions: readonly Convolution<f.Conv3dOptions>[] = [
  { x: [1, 1, 1, 1, 1], kernel: [1, 1, 1, 1], options: {} },
  { x: [2, 3, 4, 3, 5], kernel: [4, 3, 2, 3], options: { padding: 1 } },
  { x: [1, 4, 5, 4, 3], kernel: [6, 3, 3, 1], options: { groups: 2, stride: [2, 1, 2], padding: [1, 1, 0] } },
  { x: [1, 2, 5, 4, 6], kernel: [2, 2, 3, 2], options: { dilation: [3, 1, 2], padding: [1, 0, 1], stride: [1, 2, 1] } },
  { x: [1, 2, 4, 3, 3], kernel: [3, 2, 3, 2], options: { padding: 'same', dilation: [1, 1, 1] } },
  { x: [1, 3, 3, 3, 3], kernel: [3, 2, 2, 2], options: { padding: 'valid', groups: 3 } },
  { x: [0, 3, 3, 4, 5], kernel: [2, 2, 3, 3], options: {} },
]

const transposed: readonly Convolution<f.ConvTranspose3dOptions>[] = [
  { x: [1, 1, 1, 1, 1], kernel: [1, 1, 1, 1], options: {} },
  { x: [2, 3, 3, 2, 4], kernel: [4, 3, 2, 3], options: { padding: 1 } },
  {
    x: [1, 4, 3, 2, 3],
    kernel: [6, 3, 2, 1],
    options: { groups: 2, stride: [2, 3, 1], padding: [1, 0, 0], outputPadding: [1, 2, 0] },
  },
  // outputPadding exceeds the stride, and a stride beyond the kernel leaves planes that nothing reaches.
  { x: [1, 2, 2, 2, 3], kernel: [2, 2, 1, 2], options: { dilation: [3, 1, 2], outputPadding: [2, 0, 1] } },
  { x: [1, 2, 3, 2, 2], kernel: [2, 1, 2, 1], options: { stride: [3, 1, 2], outputPadding: [2, 0, 1] } },
  { x: [0, 2, 3, 2, 2], kernel: [2, 2, 2, 2], options: {} },
]

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1)

function nameOf(x: readonly number[], kernel: readonly number[], options: object, bias: boolean): string {
  return `${label(x)} by ${label(kernel)} ${JSON.stringify(options)}${bias ? ' and a bias' : ''}`
}

export const cases: readonly Case[] = [
  ...convolutions.map(({ x, kernel, options }, i): Case => {
    const [out, ...taps] = kernel
    const weight = normal([out, (x[1] as number) / (options.groups ?? 1), ...taps])
    const bias = i % 2 === 1
    return {
      op: 'conv3d',
      name: nameOf(x, kernel, options, bias),
      inputs: [normal(x), weight, ...(bias ? [normal([out])] : [])],
      call: (from, w, b) => f.conv3d(from, w, b ?? null, options),
      length: Math.max((x[1] as number) * product(taps), product(kernel), (x[0] as number) * product(x.slice(2))),
    }
  }),
  ...transposed.map(({ x, kernel, options }, i): Case => {
    const [out, ...taps] = kernel
    const weight = normal([x[1] as number, out / (options.groups ?? 1), ...taps])
    const bias = i % 2 === 1
    return {
      op: 'convTranspose3d',
      name: nameOf(x, kernel, options, bias),
      inputs: [normal(x), weight, ...(bias ? [normal([out])] : [])],
      call: (from, w, b) => f.convTranspose3d(from, w, b ?? null, options),
      length: Math.max(x[1] as number, out) * product(taps) * Math.max(1, x[0] as number) * product(x.slice(2)),
    }
  }),
  {
    op: 'conv3d',
    name: 'a volume without a batch',
    inputs: [normal([2, 3, 4, 3]), normal([2, 2, 2, 3, 2])],
    call: (x, w) => f.conv3d(x, w),
    length: 24,
  },
  {
    op: 'convTranspose3d',
    name: 'a volume without a batch',
    inputs: [normal([2, 3, 2, 3]), normal([2, 2, 2, 3, 2]), normal([2])],
    call: (x, w, b) => f.convTranspose3d(x, w, b as f.Tensor),
    length: 24,
  },
]

const x = normal([1, 3, 4, 5, 5])
const w = normal([2, 3, 3, 3, 3])

export const errors: readonly ErrorCase[] = [
  {
    op: 'conv3d',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[1, 3, 4, 5, 5]', '3 channels', 'takes 4', 'bias is [3]'],
    call: (make) => f.conv3d(make(x), make(normal([2, 4, 3, 3, 3])), make(normal([3]))),
  },
  {
    op: 'conv3d',
    name: 'an image without a batch',
    code: 'ERR_SHAPE',
    mentions: ['[N, C, D, H, W] or [C, D, H, W]', '[3, 5, 5]'],
    call: (make) => f.conv3d(make(normal([3, 5, 5])), make(w)),
  },
  {
    op: 'conv3d',
    name: 'a kernel too deep',
    code: 'ERR_SHAPE',
    mentions: ['reaches over 5 x 3 x 3', 'volume 4 x 5 x 5'],
    call: (make) => f.conv3d(make(x), make(w), null, { dilation: [2, 1, 1] }),
  },
  {
    op: 'conv3d',
    name: 'stride of a plane',
    code: 'ERR_VALUE',
    mentions: ['stride is [1, 2]', 'a number or [depth, height, width]'],
    call: (make) => f.conv3d(make(x), make(w), null, { stride: [1, 2] as never }),
  },
  {
    op: 'conv3d',
    name: 'padding same with a stride',
    code: 'ERR_VALUE',
    mentions: ["'same'", 'stride is 1 x 2 x 1'],
    call: (make) => f.conv3d(make(x), make(w), null, { padding: 'same', stride: [1, 2, 1] }),
  },
  {
    op: 'conv3d',
    name: 'padding of an unknown word',
    code: 'ERR_VALUE',
    mentions: ["'full'", "'same' or 'valid'"],
    call: (make) => f.conv3d(make(x), make(w), null, { padding: 'full' as never }),
  },
  {
    op: 'convTranspose3d',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: [
      '[1, 3, 4, 5, 5]',
      '3 channels',
      'takes 4',
      'do not divide into 3 groups',
      'bias is [3], but must be [6]',
    ],
    call: (make) => f.convTranspose3d(make(x), make(normal([4, 2, 3, 3, 3])), make(normal([3])), { groups: 3 }),
  },
  {
    op: 'convTranspose3d',
    name: 'padding that leaves nothing',
    code: 'ERR_SHAPE',
    mentions: ['-2 x 7 x 7', 'positive'],
    call: (make) => f.convTranspose3d(make(x), make(normal([3, 2, 3, 3, 3])), null, { padding: [4, 0, 0] }),
  },
  {
    op: 'convTranspose3d',
    name: 'outputPadding of a stride',
    code: 'ERR_VALUE',
    mentions: ['outputPadding is 0 x 2 x 0', 'stride 1 x 2 x 1', 'dilation 1 x 1 x 1'],
    call: (make) =>
      f.convTranspose3d(make(x), make(normal([3, 2, 3, 3, 3])), null, { outputPadding: [0, 2, 0], stride: [1, 2, 1] }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('conv3d', f.conv3d, () => [
    t(1, 2, 4, 5, 5),
    t(2, 2, 3, 3, 3),
    t(2),
    { stride: 1, padding: 1, dilation: 1, groups: 1 },
  ]),
  sound('convTranspose3d', f.convTranspose3d, () => [
    t(1, 2, 3, 4, 4),
    t(2, 2, 3, 3, 3),
    t(2),
    { stride: 2, padding: 1, outputPadding: 1, dilation: 1, groups: 1 },
  ]),
]

export const layers: readonly PublicCall[] = [
  ...layer(
    'Conv3d',
    f.nn.Conv3d,
    (): [number, number, number, f.nn.Conv3dLayerOptions] => [
      2,
      4,
      3,
      { bias: true, stride: 1, padding: 1, dilation: 1, groups: 2, paddingMode: 'reflect' },
    ],
    () => [t(1, 2, 4, 5, 5)],
    'conv3d',
  ),
  ...layer(
    'ConvTranspose3d',
    f.nn.ConvTranspose3d,
    (): [number, number, number, object] => [
      2,
      4,
      3,
      { bias: true, stride: 2, padding: 1, outputPadding: 1, dilation: 1, groups: 1 },
    ],
    () => [t(1, 2, 3, 5, 4), [6, 10, 8]],
    'convTranspose3d',
  ),
]

const sizes = { n: 2, c: 2, d: 3, h: 4, w: 3, o: 3 }
export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  conv3d: {
    sizes,
    inputs: ({ n = 0, c = 0, d = 0, h = 0, w = 0, o = 0 }) => [
      normal([n, c, d, h, w]),
      normal([o, c, 2, 2, 2]),
      normal([o]),
    ],
    call: ([x, w, b]) => f.conv3d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'd', 'h', 'w', 'o'],
  },
  convTranspose3d: {
    sizes,
    inputs: ({ n = 0, c = 0, d = 0, h = 0, w = 0, o = 0 }) => [
      normal([n, c, d, h, w]),
      normal([c, o, 2, 2, 2]),
      normal([o]),
    ],
    call: ([x, w, b]) => f.convTranspose3d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'd', 'h', 'w', 'o'],
  },
}

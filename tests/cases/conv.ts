import fc from 'fast-check'
import * as f from '../../lib/index.js'
import { type Case, call, type ErrorCase, label, normal } from './case.js'
import * as transposed from './conv-transpose.js'
import * as volume from './conv-volume.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

interface Convolution {
  readonly x: readonly [number, number, number, number]
  /** out, kH, kW */
  readonly kernel: readonly [number, number, number]
  readonly options: f.Conv2dOptions
}

const convolutions: readonly Convolution[] = [
  { x: [1, 1, 1, 1], kernel: [1, 1, 1], options: {} },
  { x: [2, 3, 7, 8], kernel: [4, 3, 3], options: {} },
  { x: [2, 3, 7, 8], kernel: [4, 3, 2], options: { padding: 1 } },
  { x: [1, 2, 9, 7], kernel: [3, 3, 3], options: { stride: 2, padding: [1, 2] } },
  { x: [2, 4, 8, 9], kernel: [6, 3, 3], options: { groups: 2, padding: 1, stride: [1, 2] } },
  { x: [2, 6, 6, 5], kernel: [6, 3, 3], options: { groups: 6, padding: 1 } },
  { x: [1, 3, 11, 11], kernel: [2, 3, 3], options: { dilation: [2, 3], padding: 2 } },
  { x: [2, 5, 6, 7], kernel: [33, 1, 1], options: {} },
  { x: [1, 2, 5, 5], kernel: [3, 5, 5], options: { padding: 4 } },
  { x: [1, 2, 4, 9], kernel: [2, 1, 4], options: { stride: [3, 1] } },
  { x: [0, 3, 7, 8], kernel: [4, 3, 3], options: {} },
  { x: [2, 3, 8, 7], kernel: [4, 4, 3], options: { padding: 'same' } },
  { x: [1, 2, 6, 7], kernel: [3, 2, 4], options: { padding: 'same', dilation: [1, 3] } },
  { x: [1, 2, 6, 7], kernel: [3, 3, 2], options: { padding: 'valid' } },
  { x: [3, 17, 19, 21], kernel: [33, 3, 3], options: { padding: 1 } },
  // There are more channels than a block of the weight's gradient holds (about 512 / (kH kW)), and a rest.
  { x: [1, 65, 6, 7], kernel: [4, 3, 3], options: { padding: 1 } },
  { x: [2, 80, 5, 5], kernel: [7, 3, 3], options: { padding: 1, stride: 2 } },
  { x: [1, 96, 7, 7], kernel: [5, 3, 3], options: { padding: 1, stride: [1, 2] } },
  { x: [1, 100, 6, 5], kernel: [3, 3, 3], options: { padding: 2, dilation: 2 } },
  { x: [1, 33, 6, 6], kernel: [5, 5, 5], options: { padding: 2 } },
  { x: [1, 24, 8, 7], kernel: [6, 7, 7], options: { padding: 3 } },
  { x: [1, 192, 4, 6], kernel: [5, 2, 2], options: { stride: 2 } },
  { x: [1, 576, 3, 3], kernel: [4, 1, 1], options: { stride: 2 } },
  { x: [1, 200, 5, 4], kernel: [6, 3, 3], options: { groups: 2, padding: 1 } },
]

/** x [N, C, L], kernel [out, k] */
const rows: readonly { x: readonly number[]; kernel: readonly [number, number]; options: f.Conv1dOptions }[] = [
  { x: [1, 1, 1], kernel: [1, 1], options: {} },
  { x: [2, 3, 19], kernel: [4, 3], options: { padding: 1 } },
  { x: [2, 4, 19], kernel: [6, 5], options: { stride: 2, padding: [2], groups: 2 } },
  { x: [1, 3, 33], kernel: [3, 3], options: { dilation: 3, padding: 'valid' } },
  { x: [1, 3, 17], kernel: [2, 4], options: { dilation: 3, padding: 'same' } },
  { x: [3, 6, 11], kernel: [6, 3], options: { groups: 6, padding: 'same' } },
  { x: [0, 3, 7], kernel: [4, 3], options: {} },
  { x: [2, 17, 70], kernel: [33, 3], options: { padding: 1 } },
]

function rowCase({ x, kernel: [out, k], options }: (typeof rows)[number], bias: boolean): Case {
  const [n = 0, c = 0, length = 0] = x
  return {
    op: 'conv1d',
    name: `${label(x)} by ${label([out, k])} ${JSON.stringify(options)}${bias ? ' and a bias' : ''}`,
    inputs: [normal(x), normal([out, c / (options.groups ?? 1), k]), ...(bias ? [normal([out])] : [])],
    call: (from, weight, b) => f.conv1d(from, weight, b ?? null, options),
    length: Math.max(c * k, out * k, n * length),
  }
}

function lengthOf({ x: [n, c, h, w], kernel: [out, kh, kw] }: Convolution): number {
  return Math.max(c * kh * kw, out * kh * kw, n * h * w)
}

function caseOf(conv: Convolution, bias: boolean): Case {
  const [out, kh, kw] = conv.kernel
  const weight = normal([out, conv.x[1] / (conv.options.groups ?? 1), kh, kw])
  return {
    op: 'conv2d',
    name: `${label(conv.x)} by ${label(conv.kernel)} ${JSON.stringify(conv.options)}${bias ? ' and a bias' : ''}`,
    inputs: bias ? [normal(conv.x), weight, normal([out])] : [normal(conv.x), weight],
    call: (x, w, b) => f.conv2d(x, w, b ?? null, conv.options),
    length: lengthOf(conv),
  }
}

const plain = { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 } as const

export const cases: readonly Case[] = [
  ...convolutions.map((conv, i) => caseOf(conv, i % 2 === 1)),
  ...rows.map((each, i) => rowCase(each, i % 2 === 1)),
  ...transposed.cases,
  ...volume.cases,
  {
    op: 'conv1d',
    name: 'a row without a batch',
    inputs: [normal([3, 6]), normal([2, 3, 3])],
    call: (x, w) => f.conv1d(x, w),
    length: 9,
  },
  {
    op: 'conv2d',
    name: 'an image without a batch',
    inputs: [normal([3, 6, 5]), normal([2, 3, 3, 3])],
    call: (x, w) => f.conv2d(x, w),
    length: 27,
  },
  {
    op: 'conv2d_input_gradient',
    name: 'by itself',
    inputs: [normal([2, 4, 4, 4]), normal([4, 2, 3, 3])],
    call: (dy, w) => call('conv2d_input_gradient', [dy, w], { ...plain, shape: [2, 4, 8, 8] }),
    length: 36,
  },
  {
    op: 'conv2d_weight_gradient',
    name: 'by itself',
    inputs: [normal([2, 4, 4, 4]), normal([2, 4, 8, 8])],
    call: (dy, x) => call('conv2d_weight_gradient', [dy, x], { ...plain, shape: [4, 2, 3, 3] }),
    length: 128,
  },
]

const size = (least: number, most: number) => fc.integer({ min: least, max: most })

export const properties: readonly { readonly name: string; readonly cases: fc.Arbitrary<Case> }[] = [
  {
    name: 'conv2d',
    cases: fc
      .record({
        n: size(0, 3),
        groups: size(1, 3),
        cIn: size(1, 9),
        cOut: size(1, 9),
        h: size(1, 14),
        w: size(1, 34),
        kh: size(1, 4),
        kw: size(1, 5),
        stride: fc.tuple(size(1, 3), size(1, 3)),
        padding: fc.tuple(size(0, 3), size(0, 3)),
        dilation: fc.tuple(size(1, 2), size(1, 3)),
        bias: fc.boolean(),
      })
      .filter(
        (c) =>
          c.dilation[0] * (c.kh - 1) < c.h + 2 * c.padding[0] && c.dilation[1] * (c.kw - 1) < c.w + 2 * c.padding[1],
      )
      .map(({ n, groups, cIn, cOut, h, w, kh, kw, stride, padding, dilation, bias }) =>
        caseOf(
          {
            x: [n, cIn * groups, h, w],
            kernel: [cOut * groups, kh, kw],
            options: { stride, padding, dilation, groups },
          },
          bias,
        ),
      ),
  },
]

const x = normal([1, 3, 5, 5])
const w = normal([2, 3, 3, 3])

export const errors: readonly ErrorCase[] = [
  ...transposed.errors,
  ...volume.errors,
  {
    op: 'conv1d',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[1, 3, 5, 5]', '[N, C, L]', 'takes 4', 'bias is [3]'],
    call: (make) => f.conv1d(make(x), make(normal([2, 4, 3])), make(normal([3]))),
  },
  {
    op: 'conv1d',
    name: 'a kernel too large',
    code: 'ERR_SHAPE',
    mentions: ['reaches over 7', 'row of 5'],
    call: (make) => f.conv1d(make(normal([1, 3, 5])), make(normal([2, 3, 7]))),
  },
  {
    op: 'conv1d',
    name: 'padding same with a stride',
    code: 'ERR_VALUE',
    mentions: ["'same'", 'stride is 2'],
    call: (make) => f.conv1d(make(normal([1, 3, 5])), make(normal([2, 3, 3])), null, { padding: 'same', stride: 2 }),
  },
  {
    op: 'conv2d',
    name: 'padding of an unknown word',
    code: 'ERR_VALUE',
    mentions: ["'full'", "'same' or 'valid'"],
    call: (make) => f.conv2d(make(x), make(w), null, { padding: 'full' as never }),
  },
  {
    op: 'conv2d',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[1, 3, 5, 5]', '3 channels', 'takes 4', 'bias is [3]'],
    call: (make) => f.conv2d(make(x), make(normal([2, 4, 3, 3])), make(normal([3]))),
  },
  {
    op: 'conv2d',
    name: 'a kernel too large',
    code: 'ERR_SHAPE',
    mentions: ['7 x 7', '5 x 5'],
    call: (make) => f.conv2d(make(x), make(normal([2, 3, 7, 7]))),
  },
  {
    op: 'conv2d',
    name: 'stride NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'stride'],
    call: (make) => f.conv2d(make(x), make(w), null, { stride: Number.NaN }),
  },
  {
    op: 'conv2d',
    name: 'stride 0',
    code: 'ERR_VALUE',
    mentions: ['0', 'stride'],
    call: (make) => f.conv2d(make(x), make(w), null, { stride: 0 }),
  },
  {
    op: 'conv2d',
    name: 'padding -1',
    code: 'ERR_VALUE',
    mentions: ['-1', 'padding'],
    call: (make) => f.conv2d(make(x), make(w), null, { padding: -1 }),
  },
  {
    op: 'conv2d',
    name: 'dilation 1.5',
    code: 'ERR_VALUE',
    mentions: ['1.5', 'dilation'],
    call: (make) => f.conv2d(make(x), make(w), null, { dilation: 1.5 }),
  },
  {
    op: 'conv2d',
    name: 'groups NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'groups'],
    call: (make) => f.conv2d(make(x), make(w), null, { groups: Number.NaN }),
  },
]

export const calls: readonly PublicCall[] = [
  ...transposed.calls,
  ...volume.calls,
  sound('conv1d', f.conv1d, () => [t(1, 2, 5), t(2, 2, 3), t(2), { stride: 1, padding: 1, dilation: 1, groups: 1 }]),
  sound('conv2d', f.conv2d, () => [
    t(1, 2, 5, 5),
    t(2, 2, 3, 3),
    t(2),
    { stride: 1, padding: 1, dilation: 1, groups: 1 },
  ]),
]

export const layers: readonly PublicCall[] = [
  ...transposed.layers,
  ...volume.layers,
  ...layer(
    'Conv1d',
    f.nn.Conv1d,
    (): [number, number, number, f.nn.Conv1dLayerOptions] => [
      2,
      4,
      3,
      { bias: true, stride: 1, padding: 1, dilation: 1, groups: 2, paddingMode: 'reflect' },
    ],
    () => [t(1, 2, 5)],
    'conv1d',
  ),
]

const image = { n: 2, c: 2, h: 5, w: 4 }
export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...transposed.zeroSizes,
  ...volume.zeroSizes,
  conv1d: {
    sizes: { n: 2, c: 2, l: 5, o: 3 },
    inputs: ({ n = 0, c = 0, l = 0, o = 0 }) => [normal([n, c, l]), normal([o, c, 2]), normal([o])],
    call: ([x, w, b]) => f.conv1d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'l', 'o'],
  },
  conv2d: {
    sizes: { ...image, o: 3 },
    inputs: ({ n = 0, c = 0, h = 0, w = 0, o = 0 }) => [normal([n, c, h, w]), normal([o, c, 2, 2]), normal([o])],
    call: ([x, w, b]) => f.conv2d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'h', 'w', 'o'],
  },
}

import fc from 'fast-check'
import * as f from '../../lib/index.js'
import {
  type Case,
  call,
  constant,
  distinct,
  type ErrorCase,
  exactly,
  type Input,
  integers,
  label,
  normal,
  positive,
} from './case.js'
import * as volume from './pool-volume.js'
import { ints, layer, type PublicCall, sound, t } from './sound.js'
import type { Sizes, ZeroSizes } from './zero.js'

type Window = readonly [f.Shape, f.Pair, f.MaxPool2dOptions]

const windows: readonly Window[] = [
  [[1, 1, 1, 1], 1, {}],
  [[2, 3, 8, 8], 2, {}],
  [[2, 3, 7, 9], 2, {}],
  [[1, 2, 9, 33], [3, 2], { stride: [2, 1], padding: 1 }],
  [[1, 2, 7, 9], 3, { stride: 1, padding: 1 }],
  [[3, 8, 9], [2, 3], {}],
  [[0, 3, 8, 8], 2, {}],
  [[2, 33, 40, 37], 3, { stride: 2, padding: 1 }],
  // The last windows extend beyond the end, and one would begin after it.
  [[1, 2, 8, 10], 3, { stride: 2, ceilMode: true }],
  [[1, 2, 5, 6], [2, 3], { stride: 3, padding: 1, ceilMode: true }],
  [[1, 1, 2, 2], 3, { stride: 2, ceilMode: true }],
]

const signals: readonly (readonly [f.Shape, number, { stride?: number; padding?: number; ceilMode?: boolean }])[] = [
  [[2, 3, 14], 3, { stride: 2, padding: 1 }],
  [[3, 37], 5, { stride: 1 }],
  [[2, 1, 8], 3, { stride: 2, padding: 1, ceilMode: true }],
]

/** Planes, and sizes to pool them to, which divide, do not divide, are larger, or stay the same. */
const outputs: readonly (readonly [f.Shape, f.OutputSize])[] = [
  [
    [2, 3, 6, 8],
    [3, 2],
  ],
  [
    [2, 3, 7, 8],
    [2, 3],
  ],
  [[3, 7, 8], 5],
  [
    [1, 2, 3, 4],
    [7, 4],
  ],
  [
    [1, 2, 3, 35],
    [null, 17],
  ],
  [[1, 2, 5, 5], 1],
  [
    [1, 2, 5, 5],
    [0, 2],
  ],
]

/** `distinct` above 0, so that sizes differ as the elements do. */
const above0 = (shape: f.Shape): Input => ({
  ...distinct(shape),
  values: (random, count) => Float64Array.from(distinct(shape).values(random, count), (x) => x + 4),
})

function maxCase(shape: f.Shape, kernel: f.Pair, options: f.MaxPool2dOptions): Case {
  return {
    op: 'maxPool2d',
    name: `${label(shape)} by ${String(kernel)} ${JSON.stringify(options)}`,
    inputs: [distinct(shape)],
    call: (x) => f.maxPool2d(x, kernel, options),
    length: 9,
  }
}

function averageCase(
  shape: f.Shape,
  kernel: f.Pair,
  { dilation: _, returnIndices: __, ...options }: f.MaxPool2dOptions,
  pads: boolean,
): Case {
  return {
    op: 'avgPool2d',
    name: `${label(shape)} by ${String(kernel)} ${JSON.stringify(options)}${pads ? '' : ' without padding'}`,
    inputs: [normal(shape)],
    call: (x) => f.avgPool2d(x, kernel, { ...options, countIncludePad: pads }),
    length: 25,
  }
}

export const cases: readonly Case[] = [
  ...volume.cases,
  ...windows.map((window) => maxCase(...window)),
  maxCase([1, 2, 9, 11], [3, 2], { dilation: [2, 3], stride: 1 }),
  maxCase([1, 2, 9, 11], 2, { dilation: 3, stride: 2, padding: 1, ceilMode: true }),
  ...signals.flatMap(([shape, kernel, options]): Case[] => [
    {
      op: 'maxPool1d',
      name: `${label(shape)} by ${kernel} ${JSON.stringify(options)}`,
      inputs: [distinct(shape)],
      call: (x) => f.maxPool1d(x, kernel, { ...options, dilation: 2 }),
      length: 5,
    },
    {
      op: 'avgPool1d',
      name: `${label(shape)} by ${kernel} ${JSON.stringify(options)}`,
      inputs: [normal(shape)],
      call: (x) => f.avgPool1d(x, [kernel], { ...options, countIncludePad: shape.length === 2 }),
      length: 5,
    },
    {
      op: 'lpPool1d',
      name: `${label(shape)} by ${kernel} ${JSON.stringify(options)}`,
      inputs: [positive(shape)],
      call: (x) => f.lpPool1d(x, 3, kernel, { ceilMode: true }),
      length: 20,
      roundings: 64,
    },
  ]),
  {
    op: 'avgPool2d',
    name: 'divided by a number',
    inputs: [normal([1, 2, 7, 9])],
    call: (x) => f.avgPool2d(x, [3, 2], { padding: 1, ceilMode: true, divisorOverride: -5 }),
    length: 6,
  },
  {
    op: 'maxPool2d',
    name: 'with indices',
    inputs: [distinct([2, 3, 7, 9])],
    call: (x) => f.maxPool2d(x, 3, { stride: 2, returnIndices: true }),
    length: 4,
  },
  {
    op: 'maxPool1d',
    name: 'with indices',
    inputs: [distinct([3, 9])],
    call: (x) => f.maxPool1d(x, 3, { stride: 2, returnIndices: true }),
    length: 2,
  },
  ...[2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(
    (p): Case => ({
      op: 'lpPool2d',
      name: `of p ${p}`,
      inputs: [above0([1, 2, 6, 7])],
      call: (x) => f.lpPool2d(x, p, [2, 3], { stride: 2, ceilMode: true }),
      length: 20,
      roundings: 64,
    }),
  ),
  ...outputs.flatMap(([shape, size]): Case[] => [
    {
      op: 'adaptiveAvgPool2d',
      name: `${label(shape)} to ${JSON.stringify(size)}`,
      inputs: [normal(shape)],
      call: (x) => f.adaptiveAvgPool2d(x, size),
      length: 64,
    },
    {
      op: 'adaptiveMaxPool2d',
      name: `${label(shape)} to ${JSON.stringify(size)}`,
      inputs: [distinct(shape)],
      call: (x) => f.adaptiveMaxPool2d(x, size, { returnIndices: true }),
      length: 4,
    },
  ]),
  ...[1, 4, 5, 11, 13].flatMap((size): Case[] => [
    {
      op: 'adaptiveAvgPool1d',
      name: `11 to ${size}`,
      inputs: [normal(size === 4 ? [3, 11] : [2, 3, 11])],
      call: (x) => f.adaptiveAvgPool1d(x, size),
      length: 11,
    },
    {
      op: 'adaptiveMaxPool1d',
      name: `11 to ${size}`,
      inputs: [distinct(size === 4 ? [3, 11] : [2, 3, 11])],
      call: (x) => f.adaptiveMaxPool1d(x, size),
      length: 4,
    },
  ]),
  {
    op: 'maxUnpool2d',
    name: 'windows side by side',
    inputs: [normal([1, 2, 2, 3]), exactly([1, 2, 2, 3], 'int32', [0, 3, 11, 12, 15, 23, 6, 2, 5, 18, 14, 17])],
    call: (x, i) => f.maxUnpool2d(x, i, 2),
  },
  {
    op: 'maxUnpool2d',
    name: 'two windows with one maximum, at another size',
    inputs: [normal([1, 2, 2]), exactly([1, 2, 2], 'int32', [6, 6, 11, 24])],
    call: (x, i) => f.maxUnpool2d(x, i, 3, { stride: 2, outputSize: [5, 5] }),
    length: 2,
  },
  {
    op: 'maxUnpool1d',
    name: 'with padding',
    inputs: [normal([2, 3]), exactly([2, 3], 'int32', [0, 2, 3, 1, 1, 4])],
    call: (x, i) => f.maxUnpool1d(x, i, 3, { stride: 2, padding: 1 }),
    length: 2,
  },
  {
    op: 'adaptive_max_pool2d_forward',
    name: 'NaN wins, infinities and ties',
    inputs: [
      constant(
        exactly([1, 1, 2, 5], 'float', [
          Number.NEGATIVE_INFINITY,
          Number.NEGATIVE_INFINITY,
          Number.NaN,
          2,
          2,
          Number.NEGATIVE_INFINITY,
          Number.NEGATIVE_INFINITY,
          3,
          1,
          2,
        ]),
      ),
    ],
    call: (x) => f.adaptiveMaxPool2d(x, [1, 3], { returnIndices: true }),
  },
  ...(
    [
      [[2, 5, 4, 3], 3],
      [[2, 5, 4], 4],
      [[1, 2, 3, 2, 2], 5],
    ] as const
  ).map(
    ([shape, size]): Case => ({
      op: 'localResponseNorm',
      name: `${label(shape)} over ${size}`,
      inputs: [normal(shape)],
      call: (x) => f.localResponseNorm(x, size, { alpha: 0.3, beta: 0.6, k: 1.5 }),
      length: 16,
      roundings: 48,
    }),
  ),
  ...windows.flatMap(([shape, kernel, options]) => [
    averageCase(shape, kernel, options, true),
    averageCase(shape, kernel, options, false),
  ]),
  {
    op: 'max_pool2d_backward',
    name: 'by itself, two windows with one maximum',
    inputs: [normal([1, 1, 1, 3]), exactly([1, 1, 1, 3], 'int32', [1, 1, 5])],
    call: (dy, i) => call('max_pool2d_backward', [dy, i], [1, 1, 2, 4]),
    length: 2,
  },
  {
    op: 'avg_pool2d_backward',
    name: 'by itself',
    inputs: [normal([1, 2, 3, 3])],
    call: (dy) =>
      call('avg_pool2d_backward', [dy], {
        kernel: [3, 2],
        stride: [2, 3],
        padding: [1, 0],
        dilation: [1, 1],
        ceilMode: false,
        countIncludePad: true,
        divisor: 0,
        shape: [1, 2, 6, 9],
      }),
    length: 6,
  },
  {
    op: 'maxPool2d',
    name: 'NaN wins',
    inputs: [constant(exactly([1, 1, 2, 4], 'float', [1, Number.NaN, 3, 2, 5, 0, 4, 8]))],
    call: (x) => f.maxPool2d(x, 2),
  },
]

const size = (least: number, most: number) => fc.integer({ min: least, max: most })

const anyWindow: fc.Arbitrary<Window> = fc
  .record({
    shape: fc.tuple(size(0, 2), size(1, 5), size(1, 17), size(1, 35)),
    kernel: fc.tuple(size(1, 4), size(1, 5)),
    stride: fc.tuple(size(1, 4), size(1, 3)),
    pads: fc.tuple(fc.boolean(), fc.boolean()),
  })
  .map(
    ({ shape, kernel, stride, pads }): Window => [
      shape,
      kernel,
      { stride, padding: [pads[0] ? Math.floor(kernel[0] / 2) : 0, pads[1] ? Math.floor(kernel[1] / 2) : 0] },
    ],
  )
  .filter(([shape, kernel, { padding }]) => {
    const [kh, kw] = kernel as readonly [number, number]
    const [ph, pw] = padding as readonly [number, number]
    return kh <= (shape[2] as number) + 2 * ph && kw <= (shape[3] as number) + 2 * pw
  })

export const properties: readonly { readonly name: string; readonly cases: fc.Arbitrary<Case> }[] = [
  { name: 'maxPool2d', cases: anyWindow.map((window) => maxCase(...window)) },
  {
    name: 'avgPool2d',
    cases: fc.tuple(anyWindow, fc.boolean()).map(([window, pads]) => averageCase(...window, pads)),
  },
]

const x = normal([1, 2, 5, 5])

export const errors: readonly ErrorCase[] = [
  ...volume.errors,
  {
    op: 'maxPool2d',
    name: 'a window too large',
    code: 'ERR_SHAPE',
    mentions: ['6 x 6', '[1, 2, 5, 5]'],
    call: (make) => f.maxPool2d(make(x), 6),
  },
  {
    op: 'maxPool2d',
    name: 'padding of more than half',
    code: 'ERR_SHAPE',
    mentions: ['2 x 2'],
    call: (make) => f.maxPool2d(make(x), 2, { padding: 2 }),
  },
  {
    op: 'avgPool2d',
    name: 'two dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[5, 5]'],
    call: (make) => f.avgPool2d(make(normal([5, 5])), 2),
  },
  {
    op: 'maxPool2d',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'kernelSize'],
    call: (make) => f.maxPool2d(make(x), Number.NaN),
  },
  {
    op: 'maxPool1d',
    name: 'an image',
    code: 'ERR_SHAPE',
    mentions: ['[1, 2, 5, 5]', '[N, C, L]'],
    call: (make) => f.maxPool1d(make(x), 2),
  },
  {
    op: 'avgPool1d',
    name: 'a window too large',
    code: 'ERR_SHAPE',
    mentions: ['6', '[2, 5]'],
    call: (make) => f.avgPool1d(make(normal([2, 5])), 6),
  },
  {
    op: 'avgPool2d',
    name: 'a divisor of 0',
    code: 'ERR_VALUE',
    mentions: ['divisorOverride is 0'],
    call: (make) => f.avgPool2d(make(x), 2, { divisorOverride: 0 }),
  },
  {
    op: 'lpPool2d',
    name: 'p 0',
    code: 'ERR_VALUE',
    mentions: ['p is 0'],
    call: (make) => f.lpPool2d(make(x), 0, 2),
  },
  {
    op: 'adaptiveAvgPool2d',
    name: 'a negative size',
    code: 'ERR_VALUE',
    mentions: ['-1'],
    call: (make) => f.adaptiveAvgPool2d(make(x), [2, -1]),
  },
  {
    op: 'adaptiveMaxPool2d',
    name: 'nothing to pool',
    code: 'ERR_SHAPE',
    mentions: ['[1, 2, 0, 5]'],
    call: (make) => f.adaptiveMaxPool2d(make(normal([1, 2, 0, 5])), 2),
  },
  {
    op: 'maxUnpool2d',
    name: 'a size too far away',
    code: 'ERR_VALUE',
    mentions: ['[13, 10]', '[10, 10]'],
    call: (make) => f.maxUnpool2d(make(x), make(integers([1, 2, 5, 5], 0, 9)), 2, { outputSize: [13, 10] }),
  },
  {
    op: 'maxUnpool1d',
    name: 'other indices',
    code: 'ERR_SHAPE',
    mentions: ['[2, 4]', '[2, 5]'],
    call: (make) => f.maxUnpool1d(make(normal([2, 5])), make(integers([2, 4], 0, 4)), 2),
  },
  {
    op: 'localResponseNorm',
    name: 'two dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[2, 5]'],
    call: (make) => f.localResponseNorm(make(normal([2, 5])), 2),
  },
  {
    op: 'avgPool2d',
    name: 'stride NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'stride'],
    call: (make) => f.avgPool2d(make(x), 2, { stride: Number.NaN }),
  },
]

export const calls: readonly PublicCall[] = [
  ...volume.calls,
  sound('maxPool2d', f.maxPool2d, () => [
    t(1, 2, 5, 5),
    2,
    { stride: 2, padding: 1, dilation: 1, ceilMode: true, returnIndices: true },
  ]),
  sound('maxPool1d', f.maxPool1d, () => [
    t(1, 2, 5),
    2,
    { stride: 2, padding: 1, dilation: 1, ceilMode: true, returnIndices: true },
  ]),
  sound('avgPool2d', f.avgPool2d, () => [
    t(1, 2, 5, 5),
    2,
    { stride: 2, padding: 1, ceilMode: true, countIncludePad: false, divisorOverride: 3 },
  ]),
  sound('avgPool1d', f.avgPool1d, () => [
    t(1, 2, 5),
    2,
    { stride: 2, padding: 1, ceilMode: true, countIncludePad: false },
  ]),
  sound('lpPool2d', f.lpPool2d, () => [t(1, 2, 5, 5), 2, 2, { stride: 2, ceilMode: true }], 'avgPool2d'),
  sound('lpPool1d', f.lpPool1d, () => [t(1, 2, 5), 2, 2, { stride: 2, ceilMode: true }], 'avgPool1d'),
  sound('adaptiveAvgPool2d', f.adaptiveAvgPool2d, () => [t(1, 2, 5, 5), [2, 3]]),
  sound('adaptiveAvgPool1d', f.adaptiveAvgPool1d, () => [t(1, 2, 5), 3]),
  sound('adaptiveMaxPool2d', f.adaptiveMaxPool2d, () => [t(1, 2, 5, 5), [2, 3], { returnIndices: true }]),
  sound('adaptiveMaxPool1d', f.adaptiveMaxPool1d, () => [t(1, 2, 5), 3, { returnIndices: true }]),
  sound('maxUnpool2d', f.maxUnpool2d, () => [
    t(1, 2, 3, 3),
    ints([1, 2, 3, 3], 9),
    2,
    { stride: 2, padding: 0, outputSize: [6, 7] },
  ]),
  sound('maxUnpool1d', f.maxUnpool1d, () => [t(2, 3), ints([2, 3], 3), 2, { stride: 2, padding: 0, outputSize: [7] }]),
  sound('localResponseNorm', f.localResponseNorm, () => [t(1, 3, 5), 3, { alpha: 0.1, beta: 0.5, k: 2 }]),
]

const imageLayer = () => [t(1, 2, 6, 6)]
const signalLayer = () => [t(1, 2, 6)]

export const layers: readonly PublicCall[] = [
  ...volume.layers,
  ...layer(
    'MaxPool1d',
    f.nn.MaxPool1d,
    () => [2, { stride: 1, padding: 1, dilation: 2, ceilMode: true, returnIndices: false }],
    signalLayer,
    'maxPool1d',
  ),
  ...layer(
    'MaxPool2d',
    f.nn.MaxPool2d,
    () => [2, { stride: 1, padding: 1, dilation: 2, ceilMode: true, returnIndices: false }],
    imageLayer,
    'maxPool2d',
  ),
  ...layer(
    'AvgPool1d',
    f.nn.AvgPool1d,
    () => [2, { stride: 1, padding: 1, ceilMode: true, countIncludePad: false }],
    signalLayer,
    'avgPool1d',
  ),
  ...layer(
    'AvgPool2d',
    f.nn.AvgPool2d,
    () => [2, { stride: 1, padding: 1, ceilMode: true, countIncludePad: false, divisorOverride: 3 }],
    imageLayer,
    'avgPool2d',
  ),
  ...layer('LPPool1d', f.nn.LPPool1d, () => [2, 3, { stride: 2, ceilMode: true }], signalLayer, 'lpPool1d'),
  ...layer('LPPool2d', f.nn.LPPool2d, () => [2, 3, { stride: 2, ceilMode: true }], imageLayer, 'lpPool2d'),
  ...layer('AdaptiveAvgPool1d', f.nn.AdaptiveAvgPool1d, () => [4], signalLayer, 'adaptiveAvgPool1d'),
  ...layer(
    'AdaptiveAvgPool2d',
    f.nn.AdaptiveAvgPool2d,
    (): [f.OutputSize] => [[4, null]],
    imageLayer,
    'adaptiveAvgPool2d',
  ),
  ...layer(
    'AdaptiveMaxPool1d',
    f.nn.AdaptiveMaxPool1d,
    () => [4, { returnIndices: false }],
    signalLayer,
    'adaptiveMaxPool1d',
  ),
  ...layer(
    'AdaptiveMaxPool2d',
    f.nn.AdaptiveMaxPool2d,
    (): [f.OutputSize, f.AdaptiveMaxPoolOptions] => [[4, 2], { returnIndices: false }],
    imageLayer,
    'adaptiveMaxPool2d',
  ),
  ...layer(
    'LocalResponseNorm',
    f.nn.LocalResponseNorm,
    () => [3, { alpha: 0.1, beta: 0.5, k: 2 }],
    signalLayer,
    'localResponseNorm',
  ),
  ...layer(
    'MaxUnpool1d',
    f.nn.MaxUnpool1d,
    () => [2, { stride: 2, padding: 0 }],
    () => [t(2, 3), ints([2, 3], 3), [7]],
    'maxUnpool1d',
  ),
  ...layer(
    'MaxUnpool2d',
    f.nn.MaxUnpool2d,
    () => [2, { stride: 2, padding: 0 }],
    () => [t(1, 2, 3, 3), ints([1, 2, 3, 3], 9), [6, 7]],
    'maxUnpool2d',
  ),
]

const image = { n: 2, c: 2, h: 5, w: 4 }
const imageOf = ({ n = 0, c = 0, h = 0, w = 0 }: Sizes) => [distinct([n, c, h, w])]

const signal = { n: 2, c: 2, l: 5 }
const signalOf = ({ n = 0, c = 0, l = 0 }: Sizes) => [distinct([n, c, l])]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...volume.zeroSizes,
  maxPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.maxPool2d(x as f.Tensor, 2), refuses: ['h', 'w'] },
  avgPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.avgPool2d(x as f.Tensor, 2), refuses: ['h', 'w'] },
  lpPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.lpPool2d(x as f.Tensor, 3, 2), refuses: ['h', 'w'] },
  maxPool1d: { sizes: signal, inputs: signalOf, call: ([x]) => f.maxPool1d(x as f.Tensor, 2), refuses: ['l'] },
  avgPool1d: { sizes: signal, inputs: signalOf, call: ([x]) => f.avgPool1d(x as f.Tensor, 2), refuses: ['l'] },
  lpPool1d: { sizes: signal, inputs: signalOf, call: ([x]) => f.lpPool1d(x as f.Tensor, 3, 2), refuses: ['l'] },
  adaptiveAvgPool2d: {
    sizes: image,
    inputs: imageOf,
    call: ([x]) => f.adaptiveAvgPool2d(x as f.Tensor, [2, 3]),
    refuses: ['h', 'w'],
  },
  adaptiveAvgPool1d: {
    sizes: signal,
    inputs: signalOf,
    call: ([x]) => f.adaptiveAvgPool1d(x as f.Tensor, 2),
    refuses: ['l'],
  },
  adaptiveMaxPool2d: {
    sizes: image,
    inputs: imageOf,
    call: ([x]) => f.adaptiveMaxPool2d(x as f.Tensor, [2, 3]),
    refuses: ['c', 'h', 'w'],
  },
  adaptiveMaxPool1d: {
    sizes: signal,
    inputs: signalOf,
    call: ([x]) => f.adaptiveMaxPool1d(x as f.Tensor, 2),
    refuses: ['c', 'l'],
  },
  maxUnpool2d: {
    sizes: image,
    inputs: ({ n = 0, c = 0, h = 0, w = 0 }) => [normal([n, c, h, w]), integers([n, c, h, w], 0, 4)],
    call: ([x, i]) => f.maxUnpool2d(x as f.Tensor, i as f.Tensor, 2),
    refuses: ['c', 'h', 'w'],
  },
  maxUnpool1d: {
    sizes: signal,
    inputs: ({ n = 0, c = 0, l = 0 }) => [normal([n, c, l]), integers([n, c, l], 0, 4)],
    call: ([x, i]) => f.maxUnpool1d(x as f.Tensor, i as f.Tensor, 2),
    refuses: ['c', 'l'],
  },
  localResponseNorm: { sizes: signal, inputs: signalOf, call: ([x]) => f.localResponseNorm(x as f.Tensor, 2) },
}

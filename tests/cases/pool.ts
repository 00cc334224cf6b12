import fc from 'fast-check'
import * as f from '../../lib/index.js'
import { type Case, call, constant, distinct, type ErrorCase, exactly, label, normal } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
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
]

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
  { dilation: _, ...options }: f.MaxPool2dOptions,
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
  ...windows.map((window) => maxCase(...window)),
  maxCase([1, 2, 9, 11], [3, 2], { dilation: [2, 3], stride: 1 }),
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
        countIncludePad: true,
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
    op: 'avgPool2d',
    name: 'stride NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'stride'],
    call: (make) => f.avgPool2d(make(x), 2, { stride: Number.NaN }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('maxPool2d', f.maxPool2d, () => [t(1, 2, 5, 5), 2, { stride: 2, padding: 1, dilation: 1 }]),
  sound('avgPool2d', f.avgPool2d, () => [t(1, 2, 5, 5), 2, { stride: 2, padding: 1, countIncludePad: false }]),
]

const image = { n: 2, c: 2, h: 5, w: 4 }
const imageOf = ({ n = 0, c = 0, h = 0, w = 0 }: Sizes) => [distinct([n, c, h, w])]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  maxPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.maxPool2d(x as f.Tensor, 2), refuses: ['h', 'w'] },
  avgPool2d: { sizes: image, inputs: imageOf, call: ([x]) => f.avgPool2d(x as f.Tensor, 2), refuses: ['h', 'w'] },
}

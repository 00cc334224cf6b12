import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, label, normal } from './case.js'
import * as grid from './grid.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

type Form = readonly [f.Shape, f.InterpolateOptions]

/** Signals, images around the width of a register, and volumes, for larger, smaller and equal sizes. */
const forms: readonly Form[] = [
  ...(['nearest', 'nearest-exact', 'area', 'linear'] as const).flatMap((mode): Form[] => [
    [[2, 3, 5], { size: 9, mode }],
    [[1, 2, 17], { size: 6, mode }],
    [[2, 1, 7], { scaleFactor: 1.7, mode }],
  ]),
  ...(['nearest', 'nearest-exact', 'area', 'bilinear', 'bicubic'] as const).flatMap((mode): Form[] => [
    [[2, 3, 5, 6], { size: [7, 9], mode }],
    [[1, 2, 9, 35], { size: [4, 17], mode }],
    [[1, 1, 5, 6], { size: [5, 11], mode }],
    [[1, 2, 4, 3], { scaleFactor: [2, 2.6], mode }],
    [[1, 2, 4, 3], { scaleFactor: [2, 2.6], mode, recomputeScaleFactor: true }],
  ]),
  ...(['nearest', 'area', 'trilinear'] as const).flatMap((mode): Form[] => [
    [[1, 2, 3, 4, 5], { size: [5, 3, 7], mode }],
    [[1, 2, 4, 3, 5], { size: [2, 6, 5], mode }],
  ]),
  [[2, 1, 5], { size: 9, mode: 'linear', alignCorners: true }],
  [[2, 1, 5], { size: 1, mode: 'linear', alignCorners: true }],
  ...(['bilinear', 'bicubic'] as const).flatMap((mode): Form[] => [
    [[2, 1, 5, 6], { size: [8, 3], mode, alignCorners: true }],
    [[1, 2, 9, 7], { size: [4, 10], mode, antialias: true }],
    [[1, 2, 9, 7], { scaleFactor: 0.4, mode, antialias: true, alignCorners: false }],
  ]),
  [[1, 2, 9, 7], { size: [4, 10], mode: 'lanczos', antialias: true }],
  [[1, 1, 3, 4, 5], { scaleFactor: 1.5, mode: 'trilinear', alignCorners: true }],
  // These have more planes and rows than a chunk.
  [[3, 5, 56, 56], { scaleFactor: 2, mode: 'bilinear' }],
  [[5, 40, 90], { size: 181, mode: 'linear' }],
]

export const cases: readonly Case[] = [
  ...grid.cases,
  ...forms.map(
    ([shape, options]): Case => ({
      op: 'interpolate',
      name: `${label(shape)} ${JSON.stringify(options)}`,
      inputs: [normal(shape)],
      call: (x) => f.interpolate(x, options),
      length: 64,
    }),
  ),
  {
    op: 'resample',
    name: 'nearest is a copy: -0, infinities and NaN',
    inputs: [constant(exactly([1, 1, 4], 'float', [-0, Number.NaN, Number.POSITIVE_INFINITY, -1]))],
    call: (x) => f.interpolate(x, { size: 8 }),
  },
  {
    op: 'resample',
    name: 'by way of an average',
    inputs: [normal([2, 3, 7, 8])],
    call: (x) => f.adaptiveAvgPool2d(x, [3, 5]),
    length: 12,
  },
]

const error = (
  name: string,
  code: ErrorCase['code'],
  shape: f.Shape,
  options: unknown,
  ...mentions: ErrorCase['mentions']
): ErrorCase => ({
  op: 'interpolate',
  name,
  code,
  mentions,
  call: (make) => f.interpolate(make(normal(shape)), options as f.InterpolateOptions),
})

export const errors: readonly ErrorCase[] = [
  ...grid.errors,
  error('neither size nor factor', 'ERR_VALUE', [1, 2, 5], {}, 'size', 'scaleFactor'),
  error('size and factor', 'ERR_VALUE', [1, 2, 5], { size: 2, scaleFactor: 2 }, 'both'),
  error('a mode that is none', 'ERR_VALUE', [1, 2, 5], { size: 2, mode: 'cubic' }, "'cubic'", 'bicubic'),
  error('corners of nearest', 'ERR_VALUE', [1, 2, 5], { size: 2, alignCorners: true }, 'alignCorners', "'nearest'"),
  error('antialias of area', 'ERR_VALUE', [1, 2, 5], { size: 2, mode: 'area', antialias: true }, 'antialias', "'area'"),
  error('lanczos without antialias', 'ERR_VALUE', [1, 2, 5, 5], { size: 2, mode: 'lanczos' }, 'antialias'),
  error('a factor to recompute from a size', 'ERR_VALUE', [1, 2, 5], { size: 2, recomputeScaleFactor: true }, 'size'),
  error('a size of 0', 'ERR_VALUE', [1, 2, 5], { size: 0 }, 'size is 0'),
  error('a factor of -1', 'ERR_VALUE', [1, 2, 5], { scaleFactor: -1 }, '-1'),
  error('bilinear signals', 'ERR_SHAPE', [1, 2, 5], { size: 2, mode: 'bilinear' }, '[1, 2, 5]', '[N, C, H, W]'),
  error('a matrix', 'ERR_SHAPE', [2, 5], { size: 2 }, '[2, 5]', '[N, C, L]'),
  error('two sizes for a signal', 'ERR_SHAPE', [1, 2, 5], { size: [2, 3] }, '[2, 3]', '[1, 2, 5]'),
  error('a factor that leaves nothing', 'ERR_SHAPE', [1, 2, 5], { scaleFactor: 0.1 }, '[1, 2, 5]', '[0]'),
]

export const calls: readonly PublicCall[] = [
  ...grid.calls,
  sound('interpolate', f.interpolate, () => [
    t(1, 2, 5, 6),
    { scaleFactor: [2, 1.5], mode: 'bilinear', alignCorners: true, recomputeScaleFactor: true, antialias: false },
  ]),
  sound('interpolate', f.interpolate, () => [t(1, 2, 5, 6), { size: [4, 7] }]),
]

export const layers: readonly PublicCall[] = [
  ...layer(
    'Upsample',
    f.nn.Upsample,
    (): [f.nn.UpsampleOptions] => [
      { scaleFactor: 2, mode: 'bilinear', alignCorners: false, recomputeScaleFactor: true },
    ],
    () => [t(1, 2, 4, 4)],
    'interpolate',
  ),
  ...layer(
    'UpsamplingNearest2d',
    f.nn.UpsamplingNearest2d,
    () => [{ scaleFactor: 2 }],
    () => [t(1, 2, 4, 4)],
    'interpolate',
  ),
  ...layer(
    'UpsamplingBilinear2d',
    f.nn.UpsamplingBilinear2d,
    () => [{ size: [3, 5] }],
    () => [t(1, 2, 4, 4)],
    'interpolate',
  ),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...grid.zeroSizes,
  interpolate: {
    sizes: { n: 2, c: 2, l: 5 },
    inputs: ({ n = 0, c = 0, l = 0 }) => [normal([n, c, l])],
    call: ([x]) => f.interpolate(x as f.Tensor, { size: 3, mode: 'linear' }),
    refuses: ['c', 'l'],
  },
  'interpolate of areas': {
    sizes: { n: 2, c: 2, h: 5, w: 4 },
    inputs: ({ n = 0, c = 0, h = 0, w = 0 }) => [normal([n, c, h, w])],
    call: ([x]) => f.interpolate(x as f.Tensor, { size: 3, mode: 'area' }),
    refuses: ['h', 'w'],
  },
}

/** Cases of transposed convolutions. */
import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, label, normal } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

interface Transposed {
  /** [N, C, ...space] */
  readonly x: readonly number[]
  /** [out, ...kernel] */
  readonly kernel: readonly number[]
  readonly options: f.ConvTranspose2dOptions
}

const planar: readonly Transposed[] = [
  { x: [1, 1, 1, 1], kernel: [1, 1, 1], options: {} },
  { x: [2, 3, 5, 6], kernel: [4, 3, 3], options: {} },
  { x: [2, 4, 6, 5], kernel: [6, 3, 3], options: { stride: 2, padding: 1, groups: 2, outputPadding: 1 } },
  { x: [1, 4, 4, 5], kernel: [3, 3, 2], options: { stride: [3, 2], padding: [2, 0], dilation: [2, 1] } },
  { x: [1, 2, 4, 3], kernel: [2, 2, 2], options: { stride: 2 } },
  // A stride beyond the kernel leaves positions that nothing reaches.
  { x: [2, 3, 4, 3], kernel: [2, 2, 1], options: { stride: [3, 2], outputPadding: [2, 1] } },
  // outputPadding exceeds the stride, which only a dilation allows.
  { x: [1, 2, 4, 3], kernel: [3, 3, 2], options: { dilation: [3, 2], outputPadding: [2, 1] } },
  { x: [1, 2, 4, 3], kernel: [3, 2, 2], options: { stride: 2, dilation: 5, padding: 2, outputPadding: [4, 3] } },
  { x: [0, 3, 5, 6], kernel: [4, 3, 3], options: {} },
  { x: [2, 17, 9, 11], kernel: [33, 3, 3], options: { padding: 1 } },
  { x: [1, 6, 5, 4], kernel: [6, 3, 3], options: { groups: 6, stride: 2, padding: 1 } },
]

const rows: readonly Transposed[] = [
  { x: [2, 3, 7], kernel: [4, 3], options: {} },
  { x: [2, 4, 9], kernel: [6, 3], options: { stride: 2, padding: 1, groups: 2, outputPadding: 1 } },
  { x: [2, 4, 9], kernel: [3, 3], options: { stride: 3, padding: 2, dilation: 2 } },
  { x: [1, 2, 5], kernel: [3, 2], options: { dilation: 4, outputPadding: 3 } },
  { x: [0, 2, 5], kernel: [3, 2], options: {} },
]

function caseOf({ x, kernel: [out = 1, ...space], options }: Transposed, bias: boolean): Case {
  const op = space.length === 1 ? 'convTranspose1d' : 'convTranspose2d'
  const [, channels = 1] = x
  const perGroup = out / (options.groups ?? 1)
  const taps = space.reduce((a, b) => a * b, 1)
  return {
    op,
    name: `${label(x)} by ${label([out, ...space])} ${JSON.stringify(options)}${bias ? ' and a bias' : ''}`,
    inputs: [normal(x), normal([channels, perGroup, ...space]), ...(bias ? [normal([out])] : [])],
    call: (from, weight, b) =>
      space.length === 1
        ? f.convTranspose1d(from, weight, b ?? null, options as f.ConvTranspose1dOptions)
        : f.convTranspose2d(from, weight, b ?? null, options),
    length: Math.max(channels, out) * taps * x.slice(2).reduce((a, b) => a * b, 1) * Math.max(1, x[0] ?? 1),
  }
}

export const cases: readonly Case[] = [
  ...planar.map((each, i) => caseOf(each, i % 2 === 1)),
  ...rows.map((each, i) => caseOf(each, i % 2 === 0)),
  {
    op: 'convTranspose2d',
    name: 'an image without a batch',
    inputs: [normal([3, 4, 5]), normal([3, 2, 3, 3]), normal([2])],
    call: (x, w, b) => f.convTranspose2d(x, w, b as f.Tensor),
    length: 27,
  },
  {
    op: 'convTranspose1d',
    name: 'a row without a batch',
    inputs: [normal([3, 5]), normal([3, 2, 3])],
    call: (x, w) => f.convTranspose1d(x, w),
    length: 9,
  },
]

const x = normal([1, 3, 5, 5])
const w = normal([3, 2, 3, 3])

export const errors: readonly ErrorCase[] = [
  {
    op: 'convTranspose2d',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[1, 3, 5, 5]', '3 channels', 'takes 4', 'do not divide into 3 groups', 'bias is [3], but must be [6]'],
    call: (make) => f.convTranspose2d(make(x), make(normal([4, 2, 3, 3])), make(normal([3])), { groups: 3 }),
  },
  {
    op: 'convTranspose2d',
    name: 'an image without a height',
    code: 'ERR_SHAPE',
    mentions: ['[N, C, H, W]', '[3, 5]'],
    call: (make) => f.convTranspose2d(make(normal([3, 5])), make(w)),
  },
  {
    op: 'convTranspose2d',
    name: 'padding that leaves nothing',
    code: 'ERR_SHAPE',
    mentions: ['-1 x 1', 'positive'],
    call: (make) => f.convTranspose2d(make(x), make(w), null, { padding: [4, 3] }),
  },
  {
    op: 'convTranspose2d',
    name: 'outputPadding of a stride',
    code: 'ERR_VALUE',
    mentions: ['outputPadding is 2 x 2', 'stride 2 x 1', 'dilation 1 x 1'],
    call: (make) => f.convTranspose2d(make(x), make(w), null, { outputPadding: 2, stride: [2, 1] }),
  },
  {
    op: 'convTranspose1d',
    name: 'channels that differ',
    code: 'ERR_SHAPE',
    mentions: ['[1, 2, 3, 5]', '[N, C, L]', 'takes 4'],
    call: (make) => f.convTranspose1d(make(normal([1, 2, 3, 5])), make(normal([4, 2, 3]))),
  },
  {
    op: 'convTranspose1d',
    name: 'stride of a plane',
    code: 'ERR_VALUE',
    mentions: ['stride is [1, 2]', 'a number or [width]'],
    call: (make) =>
      f.convTranspose1d(make(normal([1, 2, 5])), make(normal([2, 2, 3])), null, { stride: [1, 2] as never }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('convTranspose1d', f.convTranspose1d, () => [
    t(1, 2, 5),
    t(2, 2, 3),
    t(2),
    { stride: 2, padding: 1, outputPadding: 1, dilation: 1, groups: 1 },
  ]),
  sound('convTranspose2d', f.convTranspose2d, () => [
    t(1, 2, 5, 5),
    t(2, 2, 3, 3),
    t(2),
    { stride: 2, padding: 1, outputPadding: 1, dilation: 1, groups: 1 },
  ]),
]

const options = { bias: true, stride: 2, padding: 1, outputPadding: 1, dilation: 1, groups: 1 } as const
export const layers: readonly PublicCall[] = [
  ...layer(
    'ConvTranspose1d',
    f.nn.ConvTranspose1d,
    (): [number, number, number, object] => [2, 4, 3, { ...options }],
    () => [t(1, 2, 5)],
    'convTranspose1d',
  ),
  ...layer(
    'ConvTranspose2d',
    f.nn.ConvTranspose2d,
    (): [number, number, number, object] => [2, 4, 3, { ...options }],
    () => [t(1, 2, 5, 4), [10, 8]],
    'convTranspose2d',
  ),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  convTranspose1d: {
    sizes: { n: 2, c: 2, l: 5, o: 3 },
    inputs: ({ n = 0, c = 0, l = 0, o = 0 }) => [normal([n, c, l]), normal([c, o, 2]), normal([o])],
    call: ([x, w, b]) => f.convTranspose1d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'l', 'o'],
  },
  convTranspose2d: {
    sizes: { n: 2, c: 2, h: 5, w: 4, o: 3 },
    inputs: ({ n = 0, c = 0, h = 0, w = 0, o = 0 }) => [normal([n, c, h, w]), normal([c, o, 2, 2]), normal([o])],
    call: ([x, w, b]) => f.convTranspose2d(x as f.Tensor, w as f.Tensor, b as f.Tensor),
    refuses: ['c', 'h', 'w', 'o'],
  },
}

/** Windows, padding by a tensor's own elements, channels that become places, and other ways to cut and join. */
import * as f from '../../../lib/index.js'
import * as nn from '../../../lib/nn/index.js'
import { bits, type Case, call, type ErrorCase, integers, normal } from '../case.js'
import { layer, type PublicCall, sound, t } from '../sound.js'
import { mn, unaryZeros, type ZeroSizes } from '../zero.js'

const x = normal([3, 4])
const image = normal([2, 3, 7, 6])
const modes = ['reflect', 'replicate', 'circular'] as const

export const cases: readonly Case[] = [
  ...modes.flatMap((mode): Case[] => [
    { op: 'pad', name: `${mode}`, inputs: [image], call: (t) => f.pad(t, [2, 1, 1, 3], { mode }), length: 9 },
    {
      op: 'pad',
      name: `${mode}, three dimensions, cut too`,
      inputs: [normal([4, 5, 6])],
      call: (t) => f.pad(t, [-1, 3, 2, -2, 3, 0], { mode }),
      length: 27,
    },
    { op: 'pad', name: `${mode} of bool`, inputs: [bits([5, 6])], call: (t) => f.pad(t, [2, 2], { mode }) },
    { op: 'pad', name: `${mode} by nothing`, inputs: [x], call: (t) => f.pad(t, [0, 0], { mode }) },
  ]),
  { op: 'pad', name: 'by a named value', inputs: [x], call: (t) => f.pad(t, [1, 2], { mode: 'constant', value: 3 }) },
  { op: 'windows', name: 'that overlap', inputs: [x], call: (t) => f.mul(t.unfold(1, 3, 1), 2), length: 3 },
  { op: 'windows', name: 'apart', inputs: [normal([9, 5])], call: (t) => f.mul(t.unfold(0, 2, 3), 2) },
  {
    op: 'windows',
    name: 'large ones',
    inputs: [normal([2, 40])],
    call: (t) => f.mul(t.unfold(-1, 33, 3), 2),
    length: 3,
  },
  { op: 'windows', name: 'of no elements', inputs: [x], call: (t) => f.mul(t.unfold(1, 0, 2), 2) },
  { op: 'windows', name: 'int32', inputs: [integers([7], 0, 9)], call: (t) => f.mul(t.unfold(0, 3, 2), 2) },
  {
    op: 'overlay',
    name: 'with gaps in the windows',
    inputs: [normal([3, 4, 3])],
    call: (t) => call('overlay', [t], { dim: 1, count: 4, step: 1, size: 3, dilation: 2, length: 9 }),
    length: 4,
  },
  {
    op: 'overlay',
    name: 'with few windows',
    inputs: [normal([3, 2, 5])],
    call: (t) => call('overlay', [t], { dim: 1, count: 2, step: 2, size: 5, dilation: 1, length: 8 }),
    length: 4,
  },
  {
    op: 'unfold',
    name: 'all options',
    inputs: [image],
    call: (t) => f.unfold(t, [3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2] }),
    length: 6,
  },
  { op: 'unfold', name: 'one image', inputs: [normal([2, 5, 5])], call: (t) => f.unfold(t, 3), length: 9 },
  {
    op: 'unfold',
    name: 'tiles',
    inputs: [integers([1, 2, 4, 6], 0, 99)],
    call: (t) => f.unfold(t, 2, { stride: 2 }),
  },
  {
    op: 'fold',
    name: 'all options',
    inputs: [normal([2, 18, 16])],
    call: (t) => f.fold(t, [7, 6], [3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2] }),
    length: 6,
  },
  { op: 'fold', name: 'one image', inputs: [normal([18, 9])], call: (t) => f.fold(t, 5, 3), length: 9 },
  { op: 'pixelShuffle', name: 'by 2', inputs: [normal([2, 8, 3, 4])], call: (t) => f.pixelShuffle(t, 2) },
  { op: 'pixelShuffle', name: 'without a batch', inputs: [normal([9, 3, 2])], call: (t) => f.pixelShuffle(t, 3) },
  { op: 'pixelUnshuffle', name: 'by 2', inputs: [normal([2, 2, 2, 6, 4])], call: (t) => f.pixelUnshuffle(t, 2) },
  { op: 'channelShuffle', name: 'three groups', inputs: [normal([2, 6, 3, 5])], call: (t) => f.channelShuffle(t, 3) },
  { op: 'unflatten', name: 'one free', inputs: [normal([2, 12])], call: (t) => f.mul(f.unflatten(t, -1, [3, -1]), 2) },
  {
    op: 'squeeze',
    name: 'chosen dimensions',
    inputs: [normal([1, 3, 1, 1])],
    call: (t) => f.mul(f.squeeze(t, [0, 1, -1]), 2),
  },
  {
    op: 'expandAs',
    name: 'another',
    inputs: [normal([3, 1])],
    call: (t) => f.mul(f.expandAs(t, f.zeros([3, 4])), 2),
    length: 4,
  },
  {
    op: 'tensorSplit',
    name: 'in three',
    inputs: [normal([8, 2])],
    call: (t) => f.tensorSplit(t, 3).map((each) => f.mul(each, 2)),
  },
  {
    op: 'tensorSplit',
    name: 'at places',
    inputs: [normal([2, 8])],
    call: (t) => f.tensorSplit(t, [2, 1, -3, 9], 1).map((each) => f.mul(each, 2)),
    length: 2,
  },
  { op: 'unbind', name: 'the last', inputs: [x], call: (t) => f.unbind(t, -1).map((each) => f.mul(each, 2)) },
  ...(['hstack', 'vstack', 'dstack'] as const).flatMap((op): Case[] => [
    { op, name: 'matrices', inputs: [x, x], call: (...t) => f[op](t) },
    { op, name: 'vectors', inputs: [normal([3]), normal([3])], call: (...t) => f[op](t) },
    { op, name: 'numbers', inputs: [normal([]), normal([])], call: (...t) => f[op](t) },
  ]),
  {
    op: 'blockDiag',
    name: 'matrices, a vector and a number',
    inputs: [x, normal([2]), normal([]), normal([2, 1])],
    call: (...t) => f.blockDiag(t),
  },
]

export const errors: readonly ErrorCase[] = [
  {
    op: 'pad',
    name: 'more to reflect than there is',
    code: 'ERR_SHAPE',
    mentions: ['4', '3', '[3, 4]'],
    call: (m) => f.pad(m(x), [4, 0], { mode: 'reflect' }),
  },
  {
    op: 'pad',
    name: 'more than once around',
    code: 'ERR_SHAPE',
    mentions: ['5', '[3, 4]'],
    call: (m) => f.pad(m(x), [0, 5], { mode: 'circular' }),
  },
  {
    op: 'pad',
    name: 'an unknown mode',
    code: 'ERR_VALUE',
    mentions: ['symmetric'],
    call: (m) => f.pad(m(x), [1, 1], { mode: 'symmetric' as never }),
  },
  {
    op: 'pad',
    name: 'a value of no use',
    code: 'ERR_VALUE',
    mentions: ['reflect', '1'],
    call: (m) => f.pad(m(x), [1, 1], { mode: 'reflect', value: 1 }),
  },
  {
    op: 'unfold',
    name: 'a window too large',
    code: 'ERR_SHAPE',
    mentions: ['5', '[3, 4]'],
    call: (m) => m(x).unfold(1, 5, 1),
  },
  { op: 'unfold', name: 'a step of 0', code: 'ERR_VALUE', mentions: ['0'], call: (m) => m(x).unfold(1, 2, 0) },
  { op: 'unfold', name: 'no image', code: 'ERR_SHAPE', mentions: ['[3, 4]'], call: (m) => f.unfold(m(x), 2) },
  {
    op: 'unfold',
    name: 'a kernel too large',
    code: 'ERR_SHAPE',
    mentions: ['8', '7'],
    call: (m) => f.unfold(m(image), 8),
  },
  {
    op: 'fold',
    name: 'columns of another image',
    code: 'ERR_SHAPE',
    mentions: ['[2, 18, 15]', '16'],
    call: (m) => f.fold(m(normal([2, 18, 15])), [5, 5], 2),
  },
  {
    op: 'pixelShuffle',
    name: 'channels that do not divide',
    code: 'ERR_SHAPE',
    mentions: ['3', '4'],
    call: (m) => f.pixelShuffle(m(image), 2),
  },
  {
    op: 'pixelUnshuffle',
    name: 'a height that does not divide',
    code: 'ERR_SHAPE',
    mentions: ['7', '2'],
    call: (m) => f.pixelUnshuffle(m(image), 2),
  },
  {
    op: 'channelShuffle',
    name: 'channels that do not divide',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 7, 6]', '2'],
    call: (m) => f.channelShuffle(m(image), 2),
  },
  {
    op: 'unflatten',
    name: 'sizes that do not make it up',
    code: 'ERR_SHAPE',
    mentions: ['[3, 2]', '4'],
    call: (m) => f.unflatten(m(x), 1, [3, 2]),
  },
  {
    op: 'expandAs',
    name: 'a misfit',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3]'],
    call: (m) => f.expandAs(m(x), m(normal([3]))),
  },
  {
    op: 'tensorSplit',
    name: 'no pieces',
    code: 'ERR_VALUE',
    mentions: ['0'],
    call: (m) => f.tensorSplit(m(x), 0)[0] as f.Tensor,
  },
  {
    op: 'unbind',
    name: 'one number',
    code: 'ERR_VALUE',
    mentions: ['one number'],
    call: (m) => f.unbind(m(normal([]))),
  },
  {
    op: 'blockDiag',
    name: 'three dimensions',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 4]', 'two dimensions'],
    call: (m) => f.blockDiag([m(x), m(normal([2, 3, 4]))]),
  },
  { op: 'hstack', name: 'nothing', code: 'ERR_VALUE', mentions: ['empty'], call: () => f.hstack([]) },
]

export const calls: readonly PublicCall[] = [
  sound('pad', f.pad, () => [t(2, 3), [1, 1], { mode: 'reflect' }]),
  sound('pad', f.pad, () => [t(2, 3), [1, 1], { mode: 'constant', value: 1 }]),
  sound('unfold', f.unfold, () => [t(1, 2, 4, 4), 2, { stride: 1, padding: 1, dilation: 1 }]),
  sound('fold', f.fold, () => [t(1, 8, 9), 4, 2, { stride: 1, padding: 0, dilation: 1 }]),
  sound('pixelShuffle', f.pixelShuffle, () => [t(1, 4, 2, 2), 2]),
  sound('pixelUnshuffle', f.pixelUnshuffle, () => [t(1, 1, 4, 4), 2]),
  sound('channelShuffle', f.channelShuffle, () => [t(1, 4, 2, 2), 2]),
  sound('unflatten', f.unflatten, () => [t(2, 6), 1, [2, 3]]),
  sound('expandAs', f.expandAs, () => [t(1, 3), t(2, 3)]),
  sound('broadcastTo', f.broadcastTo, () => [t(1, 3), [2, 3]]),
  sound('tensorSplit', f.tensorSplit, () => [t(4, 3), 2, 0]),
  sound('unbind', f.unbind, () => [t(4, 3), 0]),
  sound('hstack', f.hstack, () => [[t(2, 3), t(2, 3)]]),
  sound('vstack', f.vstack, () => [[t(2, 3), t(2, 3)]]),
  sound('dstack', f.dstack, () => [[t(2, 3), t(2, 3)]]),
  sound('blockDiag', f.blockDiag, () => [[t(2, 3), t(3)]]),
]

const images = (call: (x: f.Tensor) => f.Tensor, c = 2): ZeroSizes => ({
  sizes: { n: 2, c },
  inputs: ({ n = 0, c = 0 }) => [normal([n, c, 4, 4])],
  call: ([x]) => call(x as f.Tensor),
})

const lists = (call: (list: readonly f.Tensor[]) => f.Tensor): ZeroSizes => ({
  sizes: mn,
  inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
  call,
})

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  'pad replicate': unaryZeros((x) => f.pad(x, [1, 1], { mode: 'replicate' }), { refuses: ['n'] }),
  unfold: images((x) => f.unfold(x, 2)),
  fold: {
    sizes: { n: 2, c: 2 },
    inputs: ({ n = 0, c = 0 }) => [normal([n, c * 4, 9])],
    call: ([x]) => f.fold(x as f.Tensor, 4, 2),
  },
  pixelShuffle: images((x) => f.pixelShuffle(x, 2), 4),
  pixelUnshuffle: images((x) => f.pixelUnshuffle(x, 2)),
  channelShuffle: images((x) => f.channelShuffle(x, 2)),
  unflatten: unaryZeros((x) => f.unflatten(x, 1, [x.shape[1] as number, 1])),
  expandAs: unaryZeros((x) => f.expandAs(x, x)),
  broadcastTo: unaryZeros((x) => f.broadcastTo(x, [2, ...x.shape])),
  tensorSplit: unaryZeros((x) => f.tensorSplit(x, 2)),
  unbind: unaryZeros((x) => f.stack([f.ones([2]), ...f.unbind(f.reshape(x, [-1])).map((each) => f.expand(each, [2]))])),
  hstack: lists((list) => f.hstack(list)),
  vstack: lists((list) => f.vstack(list)),
  dstack: lists((list) => f.dstack(list)),
  blockDiag: lists((list) => f.blockDiag(list)),
}

const pads = [
  [nn.ConstantPad1d, nn.ZeroPad1d, nn.ReflectionPad1d, nn.ReplicationPad1d, nn.CircularPad1d],
  [nn.ConstantPad2d, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d],
  [nn.ConstantPad3d, nn.ZeroPad3d, nn.ReflectionPad3d, nn.ReplicationPad3d, nn.CircularPad3d],
] as const

export const layers: readonly PublicCall[] = [
  ...pads.flatMap(([Constant, ...others], i) => {
    const amounts = new Array<number>(2 * i + 2).fill(1)
    const input = () => [t(2, 2, ...new Array<number>(i + 1).fill(3))]
    return [
      ...layer(Constant.name, Constant, (): [nn.Padding, number] => [amounts, 2], input, 'pad'),
      ...others.flatMap((Pad) => layer(Pad.name, Pad, (): [nn.Padding] => [amounts], input, 'pad')),
    ]
  }),
  ...layer(
    'Unfold',
    nn.Unfold,
    (): [number, f.UnfoldOptions] => [2, { stride: 1, padding: 1, dilation: 1 }],
    () => [t(1, 2, 4, 4)],
    'unfold',
  ),
  ...layer(
    'Fold',
    nn.Fold,
    (): [number, number, f.UnfoldOptions] => [4, 2, { stride: 1, padding: 0, dilation: 1 }],
    () => [t(1, 8, 9)],
    'fold',
  ),
  ...layer(
    'PixelShuffle',
    nn.PixelShuffle,
    (): [number] => [2],
    () => [t(1, 4, 2, 2)],
    'pixelShuffle',
  ),
  ...layer(
    'PixelUnshuffle',
    nn.PixelUnshuffle,
    (): [number] => [2],
    () => [t(1, 1, 4, 4)],
    'pixelUnshuffle',
  ),
  ...layer(
    'ChannelShuffle',
    nn.ChannelShuffle,
    (): [number] => [2],
    () => [t(1, 4, 2, 2)],
    'channelShuffle',
  ),
  ...layer(
    'Unflatten',
    nn.Unflatten,
    (): [number, number[]] => [1, [2, 3]],
    () => [t(2, 6)],
    'unflatten',
  ),
]

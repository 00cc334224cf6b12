import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, label, normal, positive, updated } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import { mn, type ZeroSizes } from './zero.js'

/** Shape and the number of trailing dimensions to normalise. */
const tails: readonly [f.Shape, number][] = [
  [[1, 2], 1],
  [[31], 1],
  [[33, 32], 1],
  [[3, 5, 31], 1],
  [[3, 4, 9], 2],
  [[0, 7], 1],
  [[3, 0], 1],
  [[0, 0], 1],
  [[3, 2051], 1],
  [[517, 33], 1],
]

const images: readonly f.Shape[] = [
  [5, 3],
  [2, 33, 3],
  [3, 4, 5, 7],
  [1, 2, 31],
  [0, 3],
  [0, 3, 5],
  [4, 3, 0],
  [4, 0],
  [4, 0, 3],
  [0, 0],
  [9, 2, 33, 35],
]

/** Shape, groups, and whether there are weight and bias. Rows of a group are cut if they are few and long. */
const grouped: readonly [f.Shape, number, boolean][] = [
  [[2, 6, 5, 3], 3, true],
  [[2, 5, 7], 1, true],
  [[3, 12], 2, true],
  [[2, 4, 3], 4, false],
  [[1, 6, 31], 2, false],
  [[3, 33, 32], 11, true],
  [[0, 4, 3], 2, true],
  [[2, 4, 0], 2, true],
  [[2, 0, 3], 2, false],
  [[1, 4, 4096], 2, true],
  [[1, 4, 4099], 2, true],
  [[17, 2, 4100], 1, true],
]

const instances: readonly f.Shape[] = [
  [2, 3, 5, 4],
  [3, 33, 31],
  [1, 2, 2],
  [0, 3, 5],
  [2, 0, 4],
  [2, 3, 2, 3, 4],
]

export const cases: readonly Case[] = [
  ...grouped.map(([shape, groups, affine]): Case => {
    const c = [shape[1] as number]
    return {
      op: 'groupNorm',
      name: `${label(shape)} in ${groups} groups${affine ? '' : ' without parameters'}`,
      inputs: [normal(shape, 1, 0.5), ...(affine ? [positive(c), normal(c)] : [])],
      call: (x, w, b) => f.groupNorm(x, groups, w, b, affine ? {} : { eps: 1e-3 }),
      length:
        (shape.reduce((a, b) => a * b, 1) / Math.max(1, c[0] as number)) * 2 * Math.max(1, (c[0] as number) / groups),
    }
  }),
  ...instances.flatMap((shape): Case[] => {
    const c = [shape[1] as number]
    const length = (shape.reduce((a, b) => a * b, 1) / Math.max(1, c[0] as number)) * 2
    const inputs = [normal(shape, 1, 0.5), positive(c), normal(c), updated(normal(c)), updated(positive(c))]
    return [
      {
        op: 'instanceNorm',
        name: `${label(shape)} without parameters or statistics`,
        inputs: [normal(shape, 1, 0.5)],
        call: (x) => f.instanceNorm(x, null, null, { eps: 1e-3 }),
        length,
      },
      {
        op: 'instanceNorm',
        name: `${label(shape)} with running statistics`,
        inputs,
        call: (x, weight, bias, mean, variance) => [
          f.instanceNorm(x, mean, variance, { weight, bias, momentum: 0.3 } as f.InstanceNormOptions),
          mean as f.Tensor,
          variance as f.Tensor,
        ],
        length,
      },
      {
        op: 'instanceNorm',
        name: `${label(shape)} by running statistics`,
        inputs,
        call: (x, weight, bias, mean, variance) =>
          f.instanceNorm(x, mean, variance, { weight, bias, useInputStats: false } as f.InstanceNormOptions),
        length,
      },
    ]
  }),
  ...tails.flatMap(([shape, dims]): Case[] => {
    const tail = shape.slice(shape.length - dims)
    const length = Math.max(...shape, 1) * 2
    return [
      {
        op: 'rmsNorm',
        name: `${label(shape)} over ${dims}`,
        inputs: [normal(shape, 1, 0.5), positive(tail)],
        call: (x, w) => f.rmsNorm(x, tail, w, { eps: 1e-5 }),
        length,
      },
      {
        op: 'rmsNorm',
        name: `${label(shape)} over ${dims} without a weight`,
        inputs: [normal(shape, 1, 0.5)],
        call: (x) => f.rmsNorm(x, tail, null, shape.length === 1 ? {} : { eps: 1e-2 }),
        length,
      },
    ]
  }),
  ...tails.flatMap(([shape, dims]): Case[] => {
    const tail = shape.slice(shape.length - dims)
    // Rows of a sum of squares, or columns of a gradient of the parameters, around the sizes by which they are cut.
    const length = Math.max(...shape, 1) * 2
    return [
      {
        op: 'layerNorm',
        name: `${label(shape)} over ${dims}`,
        inputs: [normal(shape, 1, 0.5), positive(tail), normal(tail)],
        call: (x, w, b) => f.layerNorm(x, tail, w, b),
        length,
      },
      {
        op: 'layerNorm',
        name: `${label(shape)} over ${dims} without parameters`,
        inputs: [normal(shape, 1, 0.5)],
        call: (x) => f.layerNorm(x, tail, null, null, { eps: 1e-3 }),
        length,
      },
    ]
  }),
  ...images.flatMap((shape): Case[] => {
    const c = [shape[1] as number]
    const length = (shape.reduce((a, b) => a * b, 1) / Math.max(c[0] as number, 1)) * 2
    return [
      {
        op: 'batchNorm',
        name: `${label(shape)} in training`,
        inputs: [normal(shape, 1, 0.5), positive(c), normal(c), updated(normal(c)), updated(positive(c))],
        call: (x, weight, bias, mean, variance) => [
          f.batchNorm(x, mean as f.Tensor, variance as f.Tensor, {
            weight: weight as f.Tensor,
            bias: bias as f.Tensor,
            training: true,
            momentum: 0.3,
          }),
          mean as f.Tensor,
          variance as f.Tensor,
        ],
        length,
      },
      {
        op: 'batchNorm',
        name: `${label(shape)} in evaluation`,
        inputs: [normal(shape, 1, 0.5), positive(c), normal(c), updated(normal(c)), updated(positive(c))],
        call: (x, weight, bias, mean, variance) =>
          f.batchNorm(x, mean as f.Tensor, variance as f.Tensor, {
            weight: weight as f.Tensor,
            bias: bias as f.Tensor,
          }),
        length,
      },
      {
        op: 'batchNorm',
        name: `${label(shape)} in training without parameters or statistics`,
        inputs: [normal(shape, 1, 0.5)],
        call: (x) => f.batchNorm(x, null, null, { training: true }),
        length,
      },
    ]
  }),
  {
    op: 'batchNorm',
    name: 'a frozen weight with a learnt bias',
    inputs: [constant(normal([5, 3])), constant(positive([3])), normal([3])],
    call: (x, weight, bias) =>
      f.batchNorm(x, null, null, { weight: weight as f.Tensor, bias: bias as f.Tensor, training: true }),
    length: 10,
  },
]

const x = normal([3, 4])

export const errors: readonly ErrorCase[] = [
  {
    op: 'groupNorm',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['4 channels do not divide into 3 groups', 'weight is [3]', 'bias is [5]'],
    call: (make) => f.groupNorm(make(x), 3, make(normal([3])), make(normal([5]))),
  },
  {
    op: 'groupNorm',
    name: 'one value in each group',
    code: 'ERR_VALUE',
    mentions: ['[1, 4]', '4 groups', 'fewer'],
    call: (make) => f.groupNorm(make(normal([1, 4])), 4),
  },
  {
    op: 'groupNorm',
    name: 'no groups',
    code: 'ERR_VALUE',
    mentions: ['numGroups is 0'],
    call: (make) => f.groupNorm(make(x), 0),
  },
  {
    op: 'instanceNorm',
    name: 'nothing to normalise over',
    code: 'ERR_SHAPE',
    mentions: ['[N, C, ...]', '[3, 4]', 'weight is [3]'],
    call: (make) => f.instanceNorm(make(x), null, null, { weight: make(normal([3])) }),
  },
  {
    op: 'instanceNorm',
    name: 'one running statistic of two',
    code: 'ERR_SHAPE',
    mentions: ['belong together'],
    call: (make) => f.instanceNorm(make(normal([2, 3, 4])), make(normal([3]))),
  },
  {
    op: 'instanceNorm',
    name: 'running statistics that are not there',
    code: 'ERR_SHAPE',
    mentions: ['useInputStats: false'],
    call: (make) => f.instanceNorm(make(normal([2, 3, 4])), null, null, { useInputStats: false }),
  },
  {
    op: 'instanceNorm',
    name: 'one value per channel',
    code: 'ERR_VALUE',
    mentions: ['[2, 3, 1]', 'more than one value'],
    call: (make) => f.instanceNorm(make(normal([2, 3, 1]))),
  },
  {
    op: 'rmsNorm',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', 'end in [5]', 'weight is [4]'],
    call: (make) => f.rmsNorm(make(x), [5], make(normal([4]))),
  },
  {
    op: 'rmsNorm',
    name: 'eps as a text',
    code: 'ERR_VALUE',
    mentions: ["'1'", 'eps'],
    call: (make) => f.rmsNorm(make(x), [4], null, { eps: '1' as never }),
  },
  {
    op: 'layerNorm',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', 'end in [5]', 'weight is [4]', 'bias is [3]'],
    call: (make) => f.layerNorm(make(x), [5], make(normal([4])), make(normal([3]))),
  },
  {
    op: 'layerNorm',
    name: 'eps NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'eps'],
    call: (make) => f.layerNorm(make(x), [4], null, null, { eps: Number.NaN }),
  },
  {
    op: 'batchNorm',
    name: 'eps -1',
    code: 'ERR_VALUE',
    mentions: ['-1', 'eps'],
    call: (make) => f.batchNorm(make(x), null, null, { training: true, eps: -1 }),
  },
  {
    op: 'batchNorm',
    name: 'momentum NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'momentum'],
    call: (make) => f.batchNorm(make(x), null, null, { training: true, momentum: Number.NaN }),
  },
  {
    op: 'batchNorm',
    name: 'evaluation without statistics',
    code: 'ERR_SHAPE',
    mentions: ['runningMean'],
    call: (make) => f.batchNorm(make(x), null, null),
  },
  {
    op: 'batchNorm',
    name: 'one value per channel',
    code: 'ERR_VALUE',
    mentions: ['[1, 4]'],
    call: (make) => f.batchNorm(make(normal([1, 4])), null, null, { training: true }),
  },
  {
    op: 'batchNorm',
    name: 'a running statistic whose elements are one in memory',
    code: 'ERR_VALUE',
    mentions: ['runningVar', '[4]', 'clone()'],
    call: (make) => f.batchNorm(make(x), make(normal([4])), make(normal([1])).expand([4]), { training: true }),
  },
  {
    op: 'batchNorm',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['4 channels', 'weight is [3]', 'runningMean is [5]'],
    call: (make) => f.batchNorm(make(x), make(normal([5])), make(normal([4])), { weight: make(normal([3])) }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('groupNorm', f.groupNorm, () => [t(2, 4, 3), 2, t(4), t(4), { eps: 1e-5 }]),
  sound('instanceNorm', f.instanceNorm, () => [
    t(2, 3, 4),
    t(3),
    t(3),
    { weight: t(3), bias: t(3), useInputStats: true, momentum: 0.1, eps: 1e-5 },
  ]),
  sound('rmsNorm', f.rmsNorm, () => [t(2, 3), [3], t(3), { eps: 1e-5 }]),
  sound('layerNorm', f.layerNorm, () => [t(2, 3), [3], t(3), t(3), { eps: 1e-5 }]),
  sound('batchNorm', f.batchNorm, () => [
    t(2, 3),
    t(3),
    t(3),
    { weight: t(3), bias: t(3), training: true, momentum: 0.1, eps: 1e-5 },
  ]),
]

const instanceOptions = (): [number, f.nn.InstanceNormLayerOptions] => [
  3,
  { eps: 1e-5, momentum: 0.1, affine: true, bias: true, trackRunningStats: true },
]
const batchOptions = (): [number, f.nn.BatchNormLayerOptions] => instanceOptions()
export const layers: readonly PublicCall[] = [
  ...layer(
    'GroupNorm',
    f.nn.GroupNorm,
    (): [number, number, f.nn.GroupNormLayerOptions] => [2, 4, { eps: 1e-5, affine: true, bias: true }],
    () => [t(2, 4, 3)],
    'groupNorm',
  ),
  ...layer(
    'RMSNorm',
    f.nn.RMSNorm,
    (): [number, f.nn.RmsNormLayerOptions] => [4, { eps: 1e-5, elementwiseAffine: true }],
    () => [t(2, 4)],
    'rmsNorm',
  ),
  ...layer('InstanceNorm1d', f.nn.InstanceNorm1d, instanceOptions, () => [t(2, 3, 4)], 'instanceNorm'),
  ...layer('InstanceNorm2d', f.nn.InstanceNorm2d, instanceOptions, () => [t(2, 3, 4, 2)], 'instanceNorm'),
  ...layer('InstanceNorm3d', f.nn.InstanceNorm3d, instanceOptions, () => [t(2, 3, 4, 2, 2)], 'instanceNorm'),
  ...layer('BatchNorm3d', f.nn.BatchNorm3d, batchOptions, () => [t(2, 3, 4, 2, 2)], 'batchNorm'),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  groupNorm: {
    sizes: { m: 3, n: 2, t: 4 },
    inputs: ({ m = 0, n = 0, t = 0 }) => [normal([m, n, t]), normal([n]), normal([n])],
    call: ([x, w, b]) => f.groupNorm(x as f.Tensor, 2, w as f.Tensor, b as f.Tensor),
  },
  instanceNorm: {
    sizes: { m: 3, n: 2, t: 4 },
    inputs: ({ m = 0, n = 0, t = 0 }) => [normal([m, n, t]), normal([n]), normal([n])],
    call: ([x, weight, bias]) => f.instanceNorm(x as f.Tensor, null, null, { weight, bias } as never),
  },
  rmsNorm: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([n])],
    call: ([x, w]) => f.rmsNorm(x as f.Tensor, [(x as f.Tensor).shape[1] as number], w as f.Tensor),
  },
  layerNorm: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([n]), normal([n])],
    call: ([x, w, b]) => f.layerNorm(x as f.Tensor, [(x as f.Tensor).shape[1] as number], w as f.Tensor, b as f.Tensor),
  },
  batchNorm: {
    sizes: { m: 3, n: 2, t: 4 },
    inputs: ({ m = 0, n = 0, t = 0 }) => [normal([m, n, t]), normal([n]), normal([n])],
    call: ([x, weight, bias]) => f.batchNorm(x as f.Tensor, null, null, { weight, bias, training: true } as never),
  },
}

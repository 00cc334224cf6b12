import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, label, normal, positive, updated } from './case.js'
import { type PublicCall, sound, t } from './sound.js'
import { mn, type ZeroSizes } from './zero.js'

/** Shape and the number of trailing dimensions to normalise. */
const layers: readonly [f.Shape, number][] = [
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

export const cases: readonly Case[] = [
  ...layers.flatMap(([shape, dims]): Case[] => {
    const tail = shape.slice(shape.length - dims)
    // Rows of a sum of squares, or columns of a gradient of the parameters.
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
  sound('layerNorm', f.layerNorm, () => [t(2, 3), [3], t(3), t(3), { eps: 1e-5 }]),
  sound('batchNorm', f.batchNorm, () => [
    t(2, 3),
    t(3),
    t(3),
    { weight: t(3), bias: t(3), training: true, momentum: 0.1, eps: 1e-5 },
  ]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
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

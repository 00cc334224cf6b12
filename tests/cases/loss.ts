import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, normal, positive } from './case.js'
import { ints, type PublicCall, sound, t } from './sound.js'
import { mn, type ZeroSizes } from './zero.js'

const reductions = ['mean', 'sum', 'none'] as const

export const cases: readonly Case[] = [
  ...reductions.flatMap((reduction): Case[] => [
    {
      op: 'crossEntropy',
      name: reduction,
      inputs: [normal([33, 7]), integers([33], 0, 7)],
      call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction }),
      length: 40,
    },
    {
      op: 'crossEntropy',
      name: `${reduction} with weights, ignored labels and smoothing`,
      inputs: [normal([31, 5]), integers([31], 0, 5), constant(positive([5]))],
      call: (x, y, weight) =>
        f.crossEntropy(x, y as f.Tensor, {
          reduction,
          weight: weight as f.Tensor,
          ignoreIndex: 2,
          labelSmoothing: 0.2,
        }),
      length: 36,
    },
    {
      op: 'crossEntropy',
      name: `${reduction} of images`,
      inputs: [normal([2, 5, 3, 4]), integers([2, 3, 4], 0, 5)],
      call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction, labelSmoothing: 0.1 }),
      length: 29,
    },
  ]),
  {
    op: 'crossEntropy',
    name: 'one row',
    inputs: [normal([7]), integers([], 0, 7)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 8,
  },
  {
    op: 'crossEntropy',
    name: 'one class',
    inputs: [normal([5, 1]), integers([5], 0, 1)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 6,
  },
  {
    op: 'crossEntropy',
    name: 'no rows',
    inputs: [normal([0, 7]), integers([0], 0, 7)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction: 'sum' }),
  },
  // Their mean is NaN: tests/unit/empty.test.ts.
  ...(['sum', 'none'] as const).map(
    (reduction): Case => ({
      op: 'crossEntropy',
      name: `no rows, ${reduction} with weights and smoothing`,
      inputs: [normal([0, 7]), integers([0], 0, 7), constant(positive([7]))],
      call: (x, y, weight) =>
        f.crossEntropy(x, y as f.Tensor, { reduction, weight: weight as f.Tensor, labelSmoothing: 0.1 }),
    }),
  ),
  {
    op: 'crossEntropy',
    name: 'no rows and no classes',
    inputs: [normal([0, 0]), integers([0], 0, 1)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction: 'sum' }),
  },
  ...(['sum', 'none'] as const).map(
    (reduction): Case => ({
      op: 'mseLoss',
      name: `mse ${reduction} of no rows`,
      inputs: [normal([0, 7]), normal([0, 7])],
      call: (x, y) => f.mseLoss(x as f.Tensor, y as f.Tensor, { reduction }),
    }),
  ),
  {
    op: 'crossEntropy',
    name: 'many classes and rows',
    inputs: [normal([257, 1031], 3), integers([257], 0, 1031)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 1300,
  },
  {
    op: 'crossEntropy',
    name: 'far from 0',
    inputs: [normal([5, 7], 10, 900), integers([5], 0, 7)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 12,
  },
  ...reductions.map((reduction) => ({
    op: 'mseLoss',
    name: `mse ${reduction}`,
    inputs: [normal([5, 33]), normal([5, 33])],
    call: (x: f.Tensor, y: f.Tensor) => f.mseLoss(x, y, { reduction }),
    length: 165,
  })),
]

const logits = normal([3, 4])
const labels = (...values: number[]) => exactly([values.length], 'int32', values)

export const errors: readonly ErrorCase[] = [
  {
    op: 'crossEntropy',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[2]', '[3]'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, 1))),
  },
  {
    op: 'crossEntropy',
    name: 'labels of floats',
    code: 'ERR_DTYPE',
    mentions: ['target', 'int32'],
    call: (make) => f.crossEntropy(make(logits), make(normal([3]))),
  },
  {
    op: 'crossEntropy',
    name: 'a one-hot target of floats',
    code: 'ERR_DTYPE',
    mentions: ['float32 [3, 4]', 'argmax(target, 1)', 'probabilities of classes are not supported'],
    call: (make) => f.crossEntropy(make(logits), make(normal([3, 4]))),
  },
  {
    op: 'crossEntropy',
    name: 'a one-hot target of integers',
    code: 'ERR_SHAPE',
    mentions: ['int32 [3, 4]', 'argmax(target, 1)'],
    call: (make) => f.crossEntropy(make(logits), make(integers([3, 4], 0, 2))),
  },
  {
    op: 'crossEntropy',
    name: 'a one-hot target of one row',
    code: 'ERR_DTYPE',
    mentions: ['float32 [4]', 'argmax(target, 0)'],
    call: (make) => f.crossEntropy(make(normal([4])), make(normal([4]))),
  },
  {
    op: 'crossEntropy',
    name: 'a weight of another size',
    code: 'ERR_SHAPE',
    mentions: ['[3]', '[4]'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, 1, 2)), { weight: make(normal([3])) }),
  },
  {
    op: 'crossEntropy',
    name: 'smoothing NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'labelSmoothing'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, 1, 2)), { labelSmoothing: Number.NaN }),
  },
  {
    op: 'crossEntropy',
    name: 'ignoreIndex NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'ignoreIndex'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, 1, 2)), { ignoreIndex: Number.NaN }),
  },
  {
    op: 'crossEntropy',
    name: 'a label out of range',
    code: 'ERR_INDEX',
    mentions: ['9', '4'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, 9, 2))),
  },
  {
    op: 'crossEntropy',
    name: 'a negative label that is not the ignored one',
    code: 'ERR_INDEX',
    mentions: ['-7', '4'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, -7, 2))),
  },
  {
    op: 'mseLoss',
    name: 'labels for a target',
    code: 'ERR_DTYPE',
    mentions: ['target is int32', "to('float32')"],
    call: (make) => f.mseLoss(make(normal([3])), make(labels(0, 1, 2))),
  },
  {
    op: 'mseLoss',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[4]'],
    call: (make) => f.mseLoss(make(logits), make(normal([4]))),
  },
]

export const calls: readonly PublicCall[] = [
  sound(
    'crossEntropy',
    f.crossEntropy,
    () => [t(3, 2), ints([3]), { ignoreIndex: -100, labelSmoothing: 0.1, reduction: 'sum' }],
    'cross_entropy_forward',
  ),
  sound('mseLoss', f.mseLoss, () => [t(3), t(3), { reduction: 'mean' }]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  crossEntropy: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), exactly([m], 'int32', [0, 1, 1].slice(0, m))],
    call: ([x, y]) => f.crossEntropy(x as f.Tensor, y as f.Tensor),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
  mseLoss: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
    call: ([x, y]) => f.mseLoss(x as f.Tensor, y as f.Tensor),
    fills: { m: Number.NaN, n: Number.NaN },
  },
}

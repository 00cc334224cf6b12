import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, normal, positive } from './case.js'

const reductions = ['mean', 'sum', 'none'] as const

export const cases: readonly Case[] = [
  ...reductions.flatMap((reduction): Case[] => [
    {
      op: 'cross_entropy',
      name: reduction,
      inputs: [normal([33, 7]), integers([33], 0, 7)],
      call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction }),
      length: 40,
    },
    {
      op: 'cross_entropy',
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
      op: 'cross_entropy',
      name: `${reduction} of images`,
      inputs: [normal([2, 5, 3, 4]), integers([2, 3, 4], 0, 5)],
      call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction, labelSmoothing: 0.1 }),
      length: 29,
    },
  ]),
  {
    op: 'cross_entropy',
    name: 'one row',
    inputs: [normal([7]), integers([], 0, 7)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 8,
  },
  {
    op: 'cross_entropy',
    name: 'one class',
    inputs: [normal([5, 1]), integers([5], 0, 1)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 6,
  },
  {
    op: 'cross_entropy',
    name: 'no rows',
    inputs: [normal([0, 7]), integers([0], 0, 7)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction: 'sum' }),
  },
  {
    op: 'cross_entropy',
    name: 'many classes and rows',
    inputs: [normal([257, 1031], 3), integers([257], 0, 1031)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 1300,
  },
  {
    op: 'cross_entropy',
    name: 'far from 0',
    inputs: [normal([5, 7], 10, 900), integers([5], 0, 7)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 12,
  },
  ...reductions.map((reduction) => ({
    op: 'square',
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
    op: 'cross_entropy',
    name: 'a label out of range',
    code: 'ERR_INDEX',
    mentions: ['9', '4'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, 9, 2))),
  },
  {
    op: 'cross_entropy',
    name: 'a negative label that is not the ignored one',
    code: 'ERR_INDEX',
    mentions: ['-7', '4'],
    call: (make) => f.crossEntropy(make(logits), make(labels(0, -7, 2))),
  },
  {
    op: 'mseLoss',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[4]'],
    call: (make) => f.mseLoss(make(logits), make(normal([4]))),
  },
]

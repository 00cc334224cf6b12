/** Losses whose targets are classes. */
import * as f from '../../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, normal, positive, uniform } from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import { mn, type ZeroSizes } from '../zero.js'

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
  // These are left out, because their mean is NaN: tests/unit/empty.test.ts.
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
  ...reductions.flatMap((reduction): Case[] => [
    {
      op: 'crossEntropy',
      name: `${reduction} with probabilities`,
      inputs: [normal([6, 5]), uniform([6, 5], 0, 0.4)],
      call: (x, y) => f.crossEntropy(x, y as f.Tensor, { reduction }),
      length: 40,
    },
    {
      op: 'crossEntropy',
      name: `${reduction} with probabilities of images, weights and smoothing`,
      inputs: [normal([2, 5, 3]), uniform([2, 5, 3], 0, 0.4), constant(positive([5]))],
      call: (x, y, weight) =>
        f.crossEntropy(x, y as f.Tensor, { reduction, weight: weight as f.Tensor, labelSmoothing: 0.2 }),
      length: 40,
    },
    {
      op: 'nllLoss',
      name: reduction,
      inputs: [normal([33, 7]), integers([33], 0, 7)],
      call: (x, y) => f.nllLoss(x, y as f.Tensor, { reduction }),
      length: 33,
    },
    {
      op: 'nllLoss',
      name: `${reduction} of images with weights and ignored labels`,
      inputs: [normal([2, 5, 3, 4]), integers([2, 3, 4], 0, 5), constant(positive([5]))],
      call: (x, y, weight) => f.nllLoss(x, y as f.Tensor, { reduction, weight: weight as f.Tensor, ignoreIndex: 2 }),
      length: 24,
    },
    ...([1, 2] as const).map(
      (p): Case => ({
        op: 'multiMarginLoss',
        name: `${reduction} of power ${p} with weights`,
        inputs: [normal([9, 5]), integers([9], 0, 5), constant(positive([5]))],
        call: (x, y, weight) =>
          f.multiMarginLoss(x, y as f.Tensor, { reduction, p, margin: 0.7, weight: weight as f.Tensor }),
        length: 50,
        ...(p === 1 ? {} : { roundings: 32 }),
      }),
    ),
    {
      op: 'multilabelMarginLoss',
      name: reduction,
      inputs: [
        normal([4, 5]),
        exactly([4, 5], 'int32', [3, 0, -1, 1, 9, 2, 2, 4, -5, 0, -1, 0, 1, 2, 3, 0, 1, 2, 3, 4]),
      ],
      call: (x, y) => f.multilabelMarginLoss(x, y as f.Tensor, { reduction }),
      length: 100,
    },
  ]),
  {
    op: 'crossEntropy',
    name: 'one row of probabilities',
    inputs: [normal([7]), uniform([7], 0, 0.3)],
    call: (x, y) => f.crossEntropy(x, y as f.Tensor),
    length: 8,
  },
  {
    op: 'nllLoss',
    name: 'one row',
    inputs: [normal([7]), integers([], 0, 7)],
    call: (x, y) => f.nllLoss(x, y as f.Tensor),
    length: 1,
  },
  {
    op: 'nllLoss',
    name: 'many classes and rows',
    inputs: [normal([57, 1031]), integers([57], 0, 1031)],
    call: (x, y) => f.nllLoss(x, y as f.Tensor),
    length: 57,
  },
  {
    op: 'multiMarginLoss',
    name: 'one row',
    inputs: [normal([7]), integers([], 0, 7)],
    call: (x, y) => f.multiMarginLoss(x, y as f.Tensor),
    length: 8,
  },
  {
    op: 'multilabelMarginLoss',
    name: 'one row',
    inputs: [normal([4]), exactly([4], 'int32', [1, 3, -1, 2])],
    call: (x, y) => f.multilabelMarginLoss(x, y as f.Tensor),
    length: 16,
  },
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
    name: 'a one-hot target of integers',
    code: 'ERR_SHAPE',
    mentions: ['int32 [3, 4]', 'argmax(target, 1)'],
    call: (make) => f.crossEntropy(make(logits), make(integers([3, 4], 0, 2))),
  },
  {
    op: 'crossEntropy',
    name: 'probabilities of other classes',
    code: 'ERR_DTYPE',
    mentions: ['target', 'float32', 'int32'],
    call: (make) => f.crossEntropy(make(logits), make(normal([3, 5]))),
  },
  {
    op: 'crossEntropy',
    name: 'an ignored label beside probabilities',
    code: 'ERR_VALUE',
    mentions: ['ignoreIndex is 1', 'probabilities'],
    call: (make) => f.crossEntropy(make(logits), make(normal([3, 4])), { ignoreIndex: 1 }),
  },
  {
    op: 'crossEntropy',
    name: 'a weight of another size beside probabilities',
    code: 'ERR_SHAPE',
    mentions: ['[3]', '[4]'],
    call: (make) => f.crossEntropy(make(logits), make(normal([3, 4])), { weight: make(normal([3])) }),
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
    op: 'nllLoss',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[2]', '[3]'],
    call: (make) => f.nllLoss(make(logits), make(labels(0, 1))),
  },
  {
    op: 'nllLoss',
    name: 'a weight of another size',
    code: 'ERR_SHAPE',
    mentions: ['[3]', '[4]'],
    call: (make) => f.nllLoss(make(logits), make(labels(0, 1, 2)), { weight: make(normal([3])) }),
  },
  {
    op: 'nllLoss',
    name: 'probabilities',
    code: 'ERR_DTYPE',
    mentions: ['float32 [3, 4]', 'argmax(target, 1)'],
    call: (make) => f.nllLoss(make(logits), make(logits)),
  },
  {
    op: 'multiMarginLoss',
    name: 'p 3',
    code: 'ERR_VALUE',
    mentions: ['p is 3', '1 or 2'],
    call: (make) => f.multiMarginLoss(make(logits), make(labels(0, 1, 2)), { p: 3 as never }),
  },
  {
    op: 'multiMarginLoss',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[2]', '[3]', '[3, 4]'],
    call: (make) => f.multiMarginLoss(make(logits), make(labels(0, 1))),
  },
  {
    op: 'multiMarginLoss',
    name: 'no classes',
    code: 'ERR_SHAPE',
    mentions: ['[2, 0]'],
    call: (make) => f.multiMarginLoss(make(normal([2, 0])), make(labels(0, 0))),
  },
  {
    op: 'multilabelMarginLoss',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3]'],
    call: (make) => f.multilabelMarginLoss(make(logits), make(labels(0, 1, 2))),
  },
  {
    op: 'multilabelMarginLoss',
    name: 'an image',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 4]'],
    call: (make) => f.multilabelMarginLoss(make(normal([2, 3, 4])), make(integers([2, 3, 4], 0, 2))),
  },
]

export const calls: readonly PublicCall[] = [
  sound(
    'crossEntropy',
    f.crossEntropy,
    () => [t(3, 2), ints([3]), { ignoreIndex: -100, labelSmoothing: 0.1, reduction: 'sum' }],
    'cross_entropy_forward',
  ),
  sound('crossEntropy', f.crossEntropy, () => [t(3, 2), t(3, 2), { weight: t(2), reduction: 'none' }]),
  sound(
    'nllLoss',
    f.nllLoss,
    () => [t(3, 2), ints([3]), { weight: t(2), ignoreIndex: -100, reduction: 'sum' }],
    'gather',
    'index_select',
  ),
  sound(
    'multiMarginLoss',
    f.multiMarginLoss,
    () => [t(3, 2), ints([3]), { p: 2, margin: 0.5, weight: t(2), reduction: 'sum' }],
    'gather',
    'index_select',
  ),
  sound('multilabelMarginLoss', f.multilabelMarginLoss, () => [t(3, 2), ints([3, 2]), { reduction: 'sum' }], 'gather'),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  crossEntropy: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), exactly([m], 'int32', [0, 1, 1].slice(0, m))],
    call: ([x, y]) => f.crossEntropy(x as f.Tensor, y as f.Tensor),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
  'crossEntropy with probabilities': {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n])],
    call: ([x, y]) => f.crossEntropy(x as f.Tensor, y as f.Tensor),
    fills: { m: Number.NaN, n: 0 },
  },
  nllLoss: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), exactly([m], 'int32', [0, 1, 1].slice(0, m))],
    call: ([x, y]) => f.nllLoss(x as f.Tensor, y as f.Tensor),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
  multiMarginLoss: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), exactly([m], 'int32', [0, 1, 1].slice(0, m))],
    call: ([x, y]) => f.multiMarginLoss(x as f.Tensor, y as f.Tensor),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
  multilabelMarginLoss: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), integers([m, n], 0, 2)],
    call: ([x, y]) => f.multilabelMarginLoss(x as f.Tensor, y as f.Tensor),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
}

/** Losses of the logits of a linear layer. */
import * as f from '../../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, normal, positive } from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import type { ZeroSizes } from '../zero.js'

const reductions = ['mean', 'sum', 'none'] as const
const tensor = (x: unknown) => x as f.Tensor

export const cases: readonly Case[] = [
  ...reductions.flatMap((reduction): Case[] => [
    {
      op: 'linearCrossEntropy',
      name: reduction,
      inputs: [normal([19, 5]), normal([7, 5]), integers([19], 0, 7)],
      call: (x, w, y) => f.linearCrossEntropy(x as f.Tensor, w as f.Tensor, y as f.Tensor, { reduction }),
      length: 60,
    },
    {
      op: 'linearCrossEntropy',
      name: `${reduction} with bias, weights, ignored labels and smoothing`,
      inputs: [normal([3, 7, 4]), normal([9, 4]), normal([9]), integers([3, 7], 0, 9), constant(positive([9]))],
      call: (x, w, linearBias, y, weight) =>
        f.linearCrossEntropy(tensor(x), tensor(w), tensor(y), {
          linearBias: tensor(linearBias),
          weight: tensor(weight),
          reduction,
          ignoreIndex: 2,
          labelSmoothing: 0.2,
        }),
      length: 90,
      roundings: 40,
    },
    {
      op: 'linearCrossEntropy',
      name: `${reduction} with a soft cap`,
      inputs: [normal([11, 4]), normal([6, 4], 3), integers([11], 0, 6)],
      call: (x, w, y) => f.linearCrossEntropy(tensor(x), tensor(w), tensor(y), { reduction, softcap: 4 }),
      length: 60,
      roundings: 60,
    },
  ]),
  ...[10, 100, 1000].map(
    (scale): Case => ({
      op: 'linearCrossEntropy',
      name: `logits of about ${scale}`,
      inputs: [normal([7, 3]), normal([5, 3], scale), integers([7], 0, 5)],
      call: (x, w, y) => f.linearCrossEntropy(tensor(x), tensor(w), tensor(y)),
      length: 30 + 8 * scale,
    }),
  ),
  {
    op: 'linearCrossEntropy',
    name: 'one row',
    inputs: [normal([4]), normal([7, 4]), integers([], 0, 7)],
    call: (x, w, y) => f.linearCrossEntropy(tensor(x), tensor(w), tensor(y)),
    length: 12,
  },
  {
    op: 'linearCrossEntropy',
    name: 'no rows',
    inputs: [normal([0, 4]), normal([7, 4]), integers([0], 0, 7)],
    call: (x, w, y) => f.linearCrossEntropy(tensor(x), tensor(w), tensor(y), { reduction: 'sum' }),
  },
  {
    op: 'linearCrossEntropy',
    name: 'every row ignored',
    inputs: [normal([5, 4]), normal([7, 4]), exactly([5], 'int32', [3, 3, 3, 3, 3])],
    call: (x, w, y) => f.linearCrossEntropy(tensor(x), tensor(w), tensor(y), { reduction: 'sum', ignoreIndex: 3 }),
  },
  {
    op: 'tokenLogProbs',
    name: 'of a batch with ignored labels and a bias',
    inputs: [normal([2, 9, 5]), normal([11, 5]), normal([11]), integers([2, 9], 0, 11)],
    call: (x, w, linearBias, y) =>
      f.tokenLogProbs(tensor(x), tensor(w), tensor(y), { linearBias: tensor(linearBias), ignoreIndex: 4 }),
    length: 60,
    roundings: 40,
  },
  {
    op: 'tokenLogProbs',
    name: 'of more rows and classes, with a soft cap',
    inputs: [normal([67, 33]), normal([130, 33], 0.3), integers([67], 0, 130)],
    call: (x, w, y) => f.tokenLogProbs(tensor(x), tensor(w), tensor(y), { softcap: 30 }),
    length: 400,
    roundings: 60,
  },
]

const x = normal([3, 4])
const weight = normal([5, 4])
const labels = (...values: number[]) => exactly([values.length], 'int32', values)

/** The calls that both functions refuse. */
const refused = (op: string, call: typeof f.tokenLogProbs): readonly ErrorCase[] => [
  {
    op,
    name: 'another number of features',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[5, 3]'],
    call: (make) => call(make(x), make(normal([5, 3])), make(labels(0, 1, 2))),
  },
  {
    op,
    name: 'another number of labels, and a bias of another size',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[2]', '[3]', 'linearBias is [4]', '[5]'],
    call: (make) => call(make(x), make(weight), make(labels(0, 1)), { linearBias: make(normal([4])) }),
  },
  {
    op,
    name: 'a weight that is no matrix',
    code: 'ERR_SHAPE',
    mentions: ['[V, D]', '[4]'],
    call: (make) => call(make(x), make(normal([4])), make(labels(0, 1, 2))),
  },
  {
    op,
    name: 'labels of floats',
    code: 'ERR_DTYPE',
    mentions: ['target', 'int32'],
    call: (make) => call(make(x), make(weight), make(normal([3]))),
  },
  {
    op,
    name: 'a soft cap of 0',
    code: 'ERR_VALUE',
    mentions: ['softcap is 0', 'above 0'],
    call: (make) => call(make(x), make(weight), make(labels(0, 1, 2)), { softcap: 0 }),
  },
  {
    op,
    name: 'ignoreIndex NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'ignoreIndex'],
    call: (make) => call(make(x), make(weight), make(labels(0, 1, 2)), { ignoreIndex: Number.NaN }),
  },
  {
    op,
    name: 'a label out of range',
    code: 'ERR_INDEX',
    mentions: ['9', '5'],
    call: (make) => call(make(x), make(weight), make(labels(0, 9, 2))),
  },
  {
    op,
    name: 'a negative label that is not the ignored one',
    code: 'ERR_INDEX',
    mentions: ['-7', '5'],
    call: (make) => call(make(x), make(weight), make(labels(0, -7, 2))),
  },
]

export const errors: readonly ErrorCase[] = [
  ...refused('linearCrossEntropy', f.linearCrossEntropy),
  ...refused('tokenLogProbs', f.tokenLogProbs),
  {
    op: 'linearCrossEntropy',
    name: 'a weight of another size',
    code: 'ERR_SHAPE',
    mentions: ['weight is [4]', '[5]'],
    call: (make) => f.linearCrossEntropy(make(x), make(weight), make(labels(0, 1, 2)), { weight: make(normal([4])) }),
  },
  {
    op: 'linearCrossEntropy',
    name: 'a weight that wants a gradient',
    code: 'ERR_AUTOGRAD',
    mentions: ['weight', 'constant'],
    call: (make) => {
      const factors = make(positive([5]))
      factors.requiresGrad = true
      return f.linearCrossEntropy(make(x), make(weight), make(labels(0, 1, 2)), { weight: factors })
    },
  },
  {
    op: 'linearCrossEntropy',
    name: 'smoothing NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'labelSmoothing'],
    call: (make) => f.linearCrossEntropy(make(x), make(weight), make(labels(0, 1, 2)), { labelSmoothing: Number.NaN }),
  },
]

export const calls: readonly PublicCall[] = [
  sound(
    'linearCrossEntropy',
    f.linearCrossEntropy,
    () => [
      t(3, 2),
      t(4, 2),
      ints([3]),
      { linearBias: t(4), weight: t(4), softcap: 3, ignoreIndex: -100, labelSmoothing: 0.1, reduction: 'sum' },
    ],
    'linear_cross_entropy_forward',
    'gather',
    'index_select',
  ),
  sound(
    'tokenLogProbs',
    f.tokenLogProbs,
    () => [t(3, 2), t(4, 2), ints([3]), { linearBias: t(4), softcap: 3, ignoreIndex: -100 }],
    'linear_cross_entropy_forward',
    'gather',
  ),
]

const sizes = { m: 3, n: 2, d: 4 }
const rows = (m: number) => exactly([m], 'int32', [0, 1, 1].slice(0, m))

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  linearCrossEntropy: {
    sizes,
    inputs: ({ m = 0, n = 0, d = 0 }) => [normal([m, d]), normal([n, d]), rows(m)],
    call: ([x, w, y]) => f.linearCrossEntropy(tensor(x), tensor(w), tensor(y)),
    refuses: ['n'],
    fills: { m: Number.NaN },
  },
  tokenLogProbs: {
    sizes,
    inputs: ({ m = 0, n = 0, d = 0 }) => [normal([m, d]), normal([n, d]), rows(m)],
    call: ([x, w, y]) => f.tokenLogProbs(tensor(x), tensor(w), tensor(y)),
    refuses: ['n'],
  },
}

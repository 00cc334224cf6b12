/** Losses of single elements, each with its own target. */
import * as f from '../../../lib/index.js'
import {
  bits,
  type Case,
  constant,
  drawn,
  type ErrorCase,
  type Input,
  integers,
  normal,
  positive,
  uniform,
} from '../case.js'
import { type PublicCall, sound, t } from '../sound.js'
import { mn, type ZeroSizes } from '../zero.js'

const reductions = ['mean', 'sum', 'none'] as const

type Loss = (input: f.Tensor, target: f.Tensor, options?: never) => f.Tensor

/** A case for each reduction, with these options. */
const reduced = (op: string, fn: Loss, what: string, inputs: readonly Input[], options: object = {}): Case[] =>
  reductions.map((reduction) => ({
    op,
    name: `${reduction} ${what}`,
    inputs,
    call: (x, y) => fn(x as f.Tensor, y as f.Tensor, { reduction, ...options } as never),
    length: 165,
  }))

const two = [normal([5, 33], 1.5), normal([5, 33])]
const chances = uniform([5, 7], 0.1, 0.9)
const signs: Input = {
  ...integers([5, 33], 0, 2),
  values: (r, n) => drawn(n, () => (r() < 0.5 ? -1 : 1)),
}

export const cases: readonly Case[] = [
  ...reduced('mseLoss', f.mseLoss, 'of pairs', two),
  ...reduced('l1Loss', f.l1Loss, 'of pairs', two),
  ...reduced('smoothL1Loss', f.smoothL1Loss, 'of pairs', two),
  ...reduced('smoothL1Loss', f.smoothL1Loss, 'with beta 0.3', two, { beta: 0.3 }),
  ...reduced('smoothL1Loss', f.smoothL1Loss, 'with beta 0', two, { beta: 0 }),
  ...reduced('huberLoss', f.huberLoss, 'of pairs', two),
  ...reduced('huberLoss', f.huberLoss, 'with delta 2.5', two, { delta: 2.5 }),
  ...reduced('poissonNllLoss', f.poissonNllLoss, 'of logarithms', [normal([5, 33]), constant(positive([5, 33]))]),
  ...reduced('poissonNllLoss', f.poissonNllLoss, 'in full', [positive([5, 33]), uniform([5, 33], 0.1, 4)], {
    logInput: false,
    full: true,
    eps: 1e-3,
  }),
  ...reduced('poissonNllLoss', f.poissonNllLoss, 'of counts', [normal([5, 33]), integers([5, 33], 0, 6)], {
    full: true,
  }),
  ...reduced('binaryCrossEntropy', f.binaryCrossEntropy, 'of shares', [chances, uniform([5, 7], 0.1, 0.9)]),
  ...reduced('binaryCrossEntropy', f.binaryCrossEntropy, 'of bits', [chances, bits([5, 7])]),
  ...reduced('binaryCrossEntropyWithLogits', f.binaryCrossEntropyWithLogits, 'of shares', [
    normal([5, 7], 4),
    uniform([5, 7], 0, 1),
  ]),
  ...reduced('binaryCrossEntropyWithLogits', f.binaryCrossEntropyWithLogits, 'of bits', [normal([5, 7]), bits([5, 7])]),
  ...reduced('sigmoidFocalLoss', f.sigmoidFocalLoss, 'of bits', [normal([5, 7]), bits([5, 7])]),
  ...reduced('sigmoidFocalLoss', f.sigmoidFocalLoss, 'without alpha', [normal([5, 7]), bits([5, 7])], {
    alpha: -1,
    gamma: 1.5,
  }),
  ...reduced('softMarginLoss', f.softMarginLoss, 'of signs', [normal([5, 33]), signs]),
  ...reduced('multilabelSoftMarginLoss', f.multilabelSoftMarginLoss, 'of bits', [normal([5, 7]), bits([5, 7])]),
  ...reduced('hingeEmbeddingLoss', f.hingeEmbeddingLoss, 'of signs', [normal([5, 33]), signs]),
  ...reduced('klDiv', f.klDiv, 'of pairs', [normal([5, 7]), uniform([5, 7], 0.1, 0.6)]),
  ...reduced('klDiv', f.klDiv, 'of logarithms', [normal([5, 7]), normal([5, 7])], { logTarget: true }),
  ...([false, true] as const).map(
    (logTarget): Case => ({
      op: 'klDiv',
      name: `the mean of rows${logTarget ? ', of logarithms' : ''}`,
      inputs: [normal([5, 7]), uniform([5, 7], 0.1, 0.6)],
      call: (x, y) => f.klDiv(x as f.Tensor, y as f.Tensor, { reduction: 'batchmean', logTarget }),
      length: 35,
    }),
  ),
  ...reductions.flatMap((reduction): Case[] => [
    {
      op: 'binaryCrossEntropy',
      name: `${reduction} with weights of columns`,
      inputs: [chances, bits([5, 7]), positive([7])],
      call: (x, y, weight) =>
        f.binaryCrossEntropy(x as f.Tensor, y as f.Tensor, { reduction, weight: weight as f.Tensor }),
      length: 35,
    },
    {
      op: 'binaryCrossEntropyWithLogits',
      name: `${reduction} with weights and weights of positives`,
      inputs: [normal([5, 7]), bits([5, 7]), positive([5, 1]), constant(positive([7]))],
      call: (x, y, weight, posWeight) =>
        f.binaryCrossEntropyWithLogits(x as f.Tensor, y as f.Tensor, {
          reduction,
          weight: weight as f.Tensor,
          posWeight: posWeight as f.Tensor,
        }),
      length: 35,
    },
    {
      op: 'multilabelSoftMarginLoss',
      name: `${reduction} with weights of classes`,
      inputs: [normal([5, 7]), bits([5, 7]), constant(positive([7]))],
      call: (x, y, weight) =>
        f.multilabelSoftMarginLoss(x as f.Tensor, y as f.Tensor, { reduction, weight: weight as f.Tensor }),
      length: 35,
    },
    ...(
      [
        ['of each element', [5, 7]],
        ['of rows', [5]],
        ['of rows, kept', [5, 1]],
      ] as const
    ).map(
      ([what, shape]): Case => ({
        op: 'gaussianNllLoss',
        name: `${reduction} with variances ${what}`,
        inputs: [normal([5, 7]), normal([5, 7]), positive(shape)],
        call: (x, y, variance) =>
          f.gaussianNllLoss(x as f.Tensor, y as f.Tensor, variance as f.Tensor, {
            reduction,
            full: shape.length === 1,
          }),
        length: 70,
      }),
    ),
  ]),
  {
    op: 'gaussianNllLoss',
    name: 'with one variance',
    inputs: [normal([5, 7]), normal([5, 7])],
    call: (x, y) => f.gaussianNllLoss(x as f.Tensor, y as f.Tensor, 0.7),
    length: 70,
  },
  {
    op: 'hingeEmbeddingLoss',
    name: 'with a margin, of floats',
    inputs: [normal([9]), constant({ ...signs, kind: 'float', shape: [9] })],
    call: (x, y) => f.hingeEmbeddingLoss(x as f.Tensor, y as f.Tensor, { margin: 0.4 }),
    length: 9,
  },
  ...(['sum', 'none'] as const).map(
    (reduction): Case => ({
      op: 'mseLoss',
      name: `${reduction} of no rows`,
      inputs: [normal([0, 7]), normal([0, 7])],
      call: (x, y) => f.mseLoss(x as f.Tensor, y as f.Tensor, { reduction }),
    }),
  ),
]

const x = normal([3, 4])
const same: { readonly [op: string]: Loss } = {
  mseLoss: f.mseLoss,
  l1Loss: f.l1Loss,
  smoothL1Loss: f.smoothL1Loss,
  huberLoss: f.huberLoss,
  binaryCrossEntropy: f.binaryCrossEntropy,
  binaryCrossEntropyWithLogits: f.binaryCrossEntropyWithLogits,
  sigmoidFocalLoss: f.sigmoidFocalLoss,
  multilabelSoftMarginLoss: f.multilabelSoftMarginLoss,
}
const all: { readonly [op: string]: Loss } = {
  ...same,
  poissonNllLoss: f.poissonNllLoss,
  softMarginLoss: f.softMarginLoss,
  hingeEmbeddingLoss: f.hingeEmbeddingLoss,
  klDiv: f.klDiv,
}

/** A call with an option that is not allowed. */
const wrong = (op: string, fn: Loss, option: string, value: unknown): ErrorCase => ({
  op,
  name: `${option} ${String(value)}`,
  code: 'ERR_VALUE',
  mentions: [option, String(value)],
  call: (make) => fn(make(x), make(x), { [option]: value } as never),
})

export const errors: readonly ErrorCase[] = [
  ...Object.entries(all).map(([op, fn]) => wrong(op, fn, 'reduction', 'median')),
  ...Object.entries(same).map(
    ([op, fn]): ErrorCase => ({
      op,
      name: 'shapes',
      code: 'ERR_SHAPE',
      mentions: ['[3, 4]', '[4]'],
      call: (make) => fn(make(x), make(normal([4]))),
    }),
  ),
  ...Object.entries<(a: f.Tensor, b: f.Tensor) => f.Tensor>({
    poissonNllLoss: f.poissonNllLoss,
    softMarginLoss: f.softMarginLoss,
    klDiv: f.klDiv,
  }).map(
    ([op, fn]): ErrorCase => ({
      op,
      name: 'shapes that do not broadcast',
      code: 'ERR_SHAPE',
      mentions: ['[3, 4]', '[5]'],
      call: (make) => fn(make(x), make(normal([5]))),
    }),
  ),
  ...(['mseLoss', 'l1Loss', 'huberLoss'] as const).map(
    (op): ErrorCase => ({
      op,
      name: 'labels for a target',
      code: 'ERR_DTYPE',
      mentions: ['target is int32', "to('float32')"],
      call: (make) => f[op](make(normal([3])), make(integers([3], 0, 3))),
    }),
  ),
  wrong('smoothL1Loss', f.smoothL1Loss, 'beta', -1),
  wrong('huberLoss', f.huberLoss, 'delta', 0),
  wrong('poissonNllLoss', f.poissonNllLoss, 'eps', Number.NaN),
  wrong('poissonNllLoss', f.poissonNllLoss, 'full', 1),
  wrong('sigmoidFocalLoss', f.sigmoidFocalLoss, 'gamma', -2),
  wrong('hingeEmbeddingLoss', f.hingeEmbeddingLoss, 'margin', Number.POSITIVE_INFINITY),
  wrong('klDiv', f.klDiv, 'logTarget', 'yes'),
  {
    op: 'gaussianNllLoss',
    name: 'a variance of another shape',
    code: 'ERR_SHAPE',
    mentions: ['[4]', '[3, 4]', '[3, 1]'],
    call: (make) => f.gaussianNllLoss(make(x), make(x), make(positive([4]))),
  },
  {
    op: 'gaussianNllLoss',
    name: 'no variance',
    code: 'ERR_DTYPE',
    mentions: ['the variance', 'null'],
    call: (make) => f.gaussianNllLoss(make(x), make(x), null as never),
  },
  {
    op: 'gaussianNllLoss',
    name: 'a negative variance',
    code: 'ERR_VALUE',
    mentions: ['variance is -1'],
    call: (make) => f.gaussianNllLoss(make(x), make(x), -1),
  },
  {
    op: 'klDiv',
    name: 'the mean of rows of one number',
    code: 'ERR_SHAPE',
    mentions: ['batchmean'],
    call: (make) => f.klDiv(make(normal([])), make(positive([])), { reduction: 'batchmean' }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('mseLoss', f.mseLoss, () => [t(3), t(3), { reduction: 'mean' }]),
  sound('l1Loss', f.l1Loss, () => [t(3), t(3), { reduction: 'mean' }]),
  sound('smoothL1Loss', f.smoothL1Loss, () => [t(3), t(3), { reduction: 'mean', beta: 0.5 }]),
  sound('huberLoss', f.huberLoss, () => [t(3), t(3), { reduction: 'mean', delta: 0.5 }]),
  sound('gaussianNllLoss', f.gaussianNllLoss, () => [
    t(3, 2),
    t(3, 2),
    0.5,
    { reduction: 'mean', full: true, eps: 1e-6 },
  ]),
  sound('poissonNllLoss', f.poissonNllLoss, () => [
    t(3),
    t(3),
    { reduction: 'mean', logInput: false, full: true, eps: 1e-8 },
  ]),
  sound('binaryCrossEntropy', f.binaryCrossEntropy, () => [t(3), t(3), { reduction: 'mean', weight: t(3) }]),
  sound('binaryCrossEntropyWithLogits', f.binaryCrossEntropyWithLogits, () => [
    t(3),
    t(3),
    { reduction: 'mean', weight: t(3), posWeight: t(3) },
  ]),
  sound('sigmoidFocalLoss', f.sigmoidFocalLoss, () => [t(3), t(3), { reduction: 'mean', alpha: 0.25, gamma: 2 }]),
  sound('softMarginLoss', f.softMarginLoss, () => [t(3), t(3), { reduction: 'mean' }]),
  sound('multilabelSoftMarginLoss', f.multilabelSoftMarginLoss, () => [
    t(3, 2),
    t(3, 2),
    { reduction: 'mean', weight: t(2) },
  ]),
  sound('hingeEmbeddingLoss', f.hingeEmbeddingLoss, () => [t(3), t(3), { reduction: 'mean', margin: 1 }]),
  sound('klDiv', f.klDiv, () => [t(3), t(3), { reduction: 'batchmean', logTarget: true }]),
]

const empty = { m: Number.NaN, n: Number.NaN }
const ofPairs = (fn: Loss): ZeroSizes => ({
  sizes: mn,
  inputs: ({ m = 0, n = 0 }) => [uniform([m, n], 0.2, 0.8), uniform([m, n], 0.2, 0.8)],
  call: ([x, y]) => fn(x as f.Tensor, y as f.Tensor),
  fills: empty,
})

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...Object.fromEntries(Object.entries(all).map(([op, fn]) => [op, ofPairs(fn)])),
  sigmoidFocalLoss: { ...ofPairs((x, y) => f.sigmoidFocalLoss(x, y, { reduction: 'mean' })) },
  gaussianNllLoss: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n]), positive([m, 1])],
    call: ([x, y, v]) => f.gaussianNllLoss(x as f.Tensor, y as f.Tensor, v as f.Tensor),
    fills: empty,
  },
}

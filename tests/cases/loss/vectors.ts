/** Losses of vectors: of their distances and angles, and of distributions. */
import * as f from '../../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, type Input, integers, normal, positive } from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import { mn, type ZeroSizes } from '../zero.js'

const reductions = ['mean', 'sum', 'none'] as const
const norms = [0, 1, 2, 2.5, Number.POSITIVE_INFINITY] as const

const vectors = normal([6, 5])
const signs = exactly([6], 'int32', [1, -1, -1, 1, 1, -1])
/** Two of one label, three of another, and one alone. */
const groups = exactly([6], 'int32', [2, 0, 2, 0, 7, 0])

type Two = (a: f.Tensor, b: f.Tensor, options?: f.ContrastiveLossOptions) => f.Tensor
const contrastive: { readonly [op: string]: Two } = { ntXent: f.ntXent, infoNce: f.infoNce, clipLoss: f.clipLoss }

const distance = (a: f.Tensor, b: f.Tensor) => a.sub(b).square().sum(-1)

export const cases: readonly Case[] = [
  ...norms.flatMap((p): Case[] => [
    {
      op: 'pairwiseDistance',
      name: `norm ${p}`,
      inputs: [vectors, normal([6, 5])],
      call: (a, b) => f.pairwiseDistance(a as f.Tensor, b as f.Tensor, { p, eps: 0.01, keepdim: p === 1 }),
      length: 10,
      roundings: 40,
    },
    {
      op: 'tripletMarginLoss',
      name: `norm ${p}`,
      inputs: [vectors, normal([6, 5]), normal([6, 5])],
      call: (a, b, c) => f.tripletMarginLoss(a as f.Tensor, b as f.Tensor, c as f.Tensor, { p, margin: 0.8 }),
      length: 60,
      roundings: 40,
    },
  ]),
  {
    op: 'pairwiseDistance',
    name: 'one vector against several',
    inputs: [vectors, normal([5])],
    call: (a, b) => f.pairwiseDistance(a as f.Tensor, b as f.Tensor),
    length: 10,
  },
  ...reductions.flatMap((reduction): Case[] => [
    {
      op: 'tripletMarginLoss',
      name: `${reduction} with the nearer negative`,
      inputs: [vectors, normal([6, 5]), normal([6, 5])],
      call: (a, b, c) =>
        f.tripletMarginLoss(a as f.Tensor, b as f.Tensor, c as f.Tensor, { reduction, swap: true, eps: 1e-3 }),
      length: 60,
    },
    {
      op: 'tripletMarginWithDistanceLoss',
      name: reduction,
      inputs: [vectors, normal([6, 5]), normal([6, 5])],
      call: (a, b, c) =>
        f.tripletMarginWithDistanceLoss(a as f.Tensor, b as f.Tensor, c as f.Tensor, {
          reduction,
          distanceFunction: distance,
          margin: 2,
          swap: true,
        }),
      length: 60,
    },
    {
      op: 'cosineEmbeddingLoss',
      name: reduction,
      inputs: [vectors, normal([6, 5]), signs],
      call: (a, b, y) => f.cosineEmbeddingLoss(a as f.Tensor, b as f.Tensor, y as f.Tensor, { reduction, margin: 0.1 }),
      length: 40,
    },
    {
      op: 'marginRankingLoss',
      name: reduction,
      inputs: [normal([6]), normal([6]), signs],
      call: (a, b, y) => f.marginRankingLoss(a as f.Tensor, b as f.Tensor, y as f.Tensor, { reduction, margin: 0.3 }),
      length: 6,
    },
    {
      op: 'supervisedContrastive',
      name: reduction,
      inputs: [vectors, groups],
      call: (x, y) => f.supervisedContrastive(x as f.Tensor, y as f.Tensor, { reduction, temperature: 0.3 }),
      length: 100,
      roundings: 64,
    },
    ...Object.entries(contrastive).map(
      ([op, fn]): Case => ({
        op,
        name: `${reduction} with a temperature`,
        inputs: [vectors, normal([6, 5])],
        call: (a, b) => fn(a as f.Tensor, b as f.Tensor, { reduction, temperature: 0.4 }),
        length: 100,
        roundings: 64,
      }),
    ),
    {
      op: 'distillationLoss',
      name: reduction,
      inputs: [normal([4, 5]), constant(normal([4, 5]))],
      call: (x, y) => f.distillationLoss(x as f.Tensor, y as f.Tensor, { reduction, temperature: 3 }),
      length: 40,
    },
  ]),
  ...Object.entries(contrastive).map(
    ([op, fn]): Case => ({
      op,
      name: 'with a temperature that is learnt',
      inputs: [vectors, normal([6, 5]), positive([])],
      call: (a, b, temperature) => fn(a as f.Tensor, b as f.Tensor, { temperature: temperature as f.Tensor }),
      length: 100,
      roundings: 64,
    }),
  ),
  {
    op: 'infoNce',
    name: 'hard negatives',
    inputs: [vectors, normal([6, 5]), normal([4, 5])],
    call: (a, b, negatives) =>
      f.infoNce(a as f.Tensor, b as f.Tensor, { negatives: negatives as f.Tensor, temperature: 0.5 }),
    length: 100,
    roundings: 64,
  },
  {
    op: 'supervisedContrastive',
    name: 'several views, and a temperature that is learnt',
    inputs: [normal([3, 2, 4]), integers([3], 0, 2), positive([1])],
    call: (x, y, temperature) =>
      f.supervisedContrastive(x as f.Tensor, y as f.Tensor, { temperature: temperature as f.Tensor }),
    length: 100,
    roundings: 64,
  },
  {
    op: 'distillationLoss',
    name: 'classes first, the mean of rows',
    inputs: [normal([4, 5]), constant(normal([4, 5]))],
    call: (x, y) => f.distillationLoss(x as f.Tensor, y as f.Tensor, { dim: 0 }),
    length: 40,
  },
  {
    op: 'cosineEmbeddingLoss',
    name: 'one pair',
    inputs: [normal([5]), normal([5]), exactly([], 'int32', [1])],
    call: (a, b, y) => f.cosineEmbeddingLoss(a as f.Tensor, b as f.Tensor, y as f.Tensor),
    length: 20,
  },
  {
    op: 'tripletMarginWithDistanceLoss',
    name: 'with the usual distance',
    inputs: [vectors, normal([6, 5]), normal([6, 5])],
    call: (a, b, c) => f.tripletMarginWithDistanceLoss(a as f.Tensor, b as f.Tensor, c as f.Tensor),
    length: 60,
  },
]

const x = normal([3, 4])
const of = (fn: (...args: never[]) => f.Tensor, inputs: readonly Input[], options: object): ErrorCase['call'] => {
  return (make) => fn(...([...inputs.map(make), options] as never[]))
}

export const errors: readonly ErrorCase[] = [
  {
    op: 'infoNce',
    name: 'negatives of another width',
    code: 'ERR_SHAPE',
    mentions: ['negatives are [3, 5]', '[M, 4]'],
    call: (make) => f.infoNce(make(x), make(x), { negatives: make(normal([3, 5])) }),
  },
  ...Object.entries({ ...contrastive, supervisedContrastive: f.supervisedContrastive }).flatMap(
    ([op, fn]): ErrorCase[] => {
      const second = op === 'supervisedContrastive' ? integers([3], 0, 2) : x
      return [
        {
          op,
          name: 'temperature 0',
          code: 'ERR_VALUE',
          mentions: ['temperature is 0'],
          call: of(fn, [x, second], { temperature: 0 }),
        },
        {
          op,
          name: 'several temperatures',
          code: 'ERR_SHAPE',
          mentions: ['temperature is [3]'],
          call: (make) => fn(make(x), make(second), { temperature: make(positive([3])) }),
        },
        {
          op,
          name: 'vectors without a batch',
          code: 'ERR_SHAPE',
          mentions: ['[4]'],
          call: of(fn, [normal([4]), op === 'supervisedContrastive' ? integers([4], 0, 2) : normal([4])], {}),
        },
        {
          op,
          name: 'shapes',
          code: 'ERR_SHAPE',
          mentions: op === 'supervisedContrastive' ? ['[2]', '[3]'] : ['[3, 4]', '[2, 4]'],
          call: of(fn, [x, op === 'supervisedContrastive' ? integers([2], 0, 2) : normal([2, 4])], {}),
        },
      ]
    },
  ),
  {
    op: 'pairwiseDistance',
    name: 'a negative norm',
    code: 'ERR_VALUE',
    mentions: ['p is -1'],
    call: of(f.pairwiseDistance, [x, x], { p: -1 }),
  },
  {
    op: 'pairwiseDistance',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3, 5]'],
    call: of(f.pairwiseDistance, [x, normal([3, 5])], {}),
  },
  {
    op: 'tripletMarginLoss',
    name: 'margin 0',
    code: 'ERR_VALUE',
    mentions: ['margin is 0'],
    call: of(f.tripletMarginLoss, [x, x, x], { margin: 0 }),
  },
  {
    op: 'tripletMarginWithDistanceLoss',
    name: 'a distance that is none',
    code: 'ERR_DTYPE',
    mentions: ['the distance'],
    call: of(f.tripletMarginWithDistanceLoss, [x, x, x], { distanceFunction: () => 3 }),
  },
  {
    op: 'tripletMarginWithDistanceLoss',
    name: 'a distance by name',
    code: 'ERR_VALUE',
    mentions: ["'cosine'"],
    call: of(f.tripletMarginWithDistanceLoss, [x, x, x], { distanceFunction: 'cosine' }),
  },
  {
    op: 'cosineEmbeddingLoss',
    name: 'targets of other rows',
    code: 'ERR_SHAPE',
    mentions: ['[2]', '[3]', '[3, 4]'],
    call: of(f.cosineEmbeddingLoss, [x, x, integers([2], 0, 2)], {}),
  },
  {
    op: 'cosineEmbeddingLoss',
    name: 'images',
    code: 'ERR_SHAPE',
    mentions: ['[2, 3, 4]'],
    call: of(f.cosineEmbeddingLoss, [normal([2, 3, 4]), normal([2, 3, 4]), integers([2], 0, 2)], {}),
  },
  {
    op: 'marginRankingLoss',
    name: 'margin NaN',
    code: 'ERR_VALUE',
    mentions: ['margin is NaN'],
    call: of(f.marginRankingLoss, [x, x, x], { margin: Number.NaN }),
  },
  {
    op: 'distillationLoss',
    name: 'shapes',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3, 5]'],
    call: of(f.distillationLoss, [x, normal([3, 5])], {}),
  },
  {
    op: 'distillationLoss',
    name: 'a reduction that there is not',
    code: 'ERR_VALUE',
    mentions: ["'batch'", 'batchmean'],
    call: of(f.distillationLoss, [x, x], { reduction: 'batch' }),
  },
]

export const calls: readonly PublicCall[] = [
  sound('pairwiseDistance', f.pairwiseDistance, () => [t(3, 2), t(3, 2), { p: 2, eps: 1e-6, keepdim: true }]),
  sound('tripletMarginLoss', f.tripletMarginLoss, () => [
    t(3, 2),
    t(3, 2),
    t(3, 2),
    { margin: 1, p: 2, eps: 1e-6, swap: true, reduction: 'sum' },
  ]),
  sound('tripletMarginWithDistanceLoss', f.tripletMarginWithDistanceLoss, () => [
    t(3, 2),
    t(3, 2),
    t(3, 2),
    { distanceFunction: distance, margin: 1, swap: true, reduction: 'sum' },
  ]),
  sound('cosineEmbeddingLoss', f.cosineEmbeddingLoss, () => [
    t(3, 2),
    t(3, 2),
    ints([3]),
    { margin: 0.5, reduction: 'sum' },
  ]),
  sound('marginRankingLoss', f.marginRankingLoss, () => [t(3), t(3), ints([3]), { margin: 0.5, reduction: 'sum' }]),
  sound('ntXent', f.ntXent, () => [t(3, 2), t(3, 2), { temperature: 0.5, reduction: 'sum' }]),
  sound('infoNce', f.infoNce, () => [t(3, 2), t(3, 2), { temperature: 0.5, negatives: t(4, 2), reduction: 'sum' }]),
  sound('clipLoss', f.clipLoss, () => [t(3, 2), t(3, 2), { temperature: t(1), reduction: 'sum' }]),
  sound('supervisedContrastive', f.supervisedContrastive, () => [
    t(3, 2),
    ints([3]),
    { temperature: 0.5, reduction: 'sum' },
  ]),
  sound('distillationLoss', f.distillationLoss, () => [
    t(3, 2),
    t(3, 2),
    { temperature: 2, dim: -1, reduction: 'batchmean' },
  ]),
]

const matrices = (count: number, call: ZeroSizes['call'], more: Partial<ZeroSizes> = {}): ZeroSizes => ({
  sizes: mn,
  inputs: ({ m = 0, n = 0 }) => Array.from({ length: count }, () => normal([m, n])),
  call,
  ...more,
})

type Three = [f.Tensor, f.Tensor, f.Tensor]
const noRows = { fills: { m: Number.NaN } }

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  pairwiseDistance: matrices(2, ([a, b]) => f.pairwiseDistance(a as f.Tensor, b as f.Tensor), { fills: { n: 0 } }),
  tripletMarginLoss: matrices(3, (x) => f.tripletMarginLoss(...(x as unknown as Three)), {
    fills: { m: Number.NaN, n: 1 },
  }),
  tripletMarginWithDistanceLoss: matrices(3, (x) => f.tripletMarginWithDistanceLoss(...(x as unknown as Three)), {
    fills: { m: Number.NaN, n: 1 },
  }),
  cosineEmbeddingLoss: {
    ...matrices(2, (x) => f.cosineEmbeddingLoss(...(x as unknown as Three)), { fills: { m: Number.NaN, n: 1 } }),
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), normal([m, n]), integers([m], 1, 2)],
  },
  marginRankingLoss: matrices(3, (x) => f.marginRankingLoss(...(x as unknown as Three)), {
    fills: { m: Number.NaN, n: Number.NaN },
  }),
  ...Object.fromEntries(
    Object.entries(contrastive).map(([op, fn]) => [
      op,
      matrices(2, ([a, b]) => fn(a as f.Tensor, b as f.Tensor), noRows),
    ]),
  ),
  supervisedContrastive: {
    ...matrices(1, ([x, y]) => f.supervisedContrastive(x as f.Tensor, y as f.Tensor), noRows),
    inputs: ({ m = 0, n = 0 }) => [normal([m, n]), integers([m], 0, 1)],
  },
  distillationLoss: matrices(2, ([x, y]) => f.distillationLoss(x as f.Tensor, y as f.Tensor), {
    fills: { m: Number.NaN, n: 0 },
  }),
}

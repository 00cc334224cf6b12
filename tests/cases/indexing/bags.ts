/** Bags of embeddings, which belong to the family of indexing. */
import * as f from '../../../lib/index.js'
import { type Case, constant, type ErrorCase, exactly, integers, normal } from '../case.js'
import { ints, layer, type PublicCall, sound, t } from '../sound.js'
import type { ZeroSizes } from '../zero.js'

const modes = ['sum', 'mean', 'max'] as const
const table = normal([11, 5])
const ids = exactly([9], 'int32', [3, 0, 3, 10, 7, 7, 2, 3, 1])

export const cases: readonly Case[] = [
  ...modes.flatMap((mode): Case[] => [
    {
      op: 'embeddingBag',
      name: `${mode} of rows`,
      inputs: [integers([3, 4], 0, 11), table],
      call: (x, weight) => f.embeddingBag(x as f.Tensor, weight as f.Tensor, { mode }),
      length: 12,
    },
    {
      op: 'embeddingBag',
      name: `${mode} of bags of any size, with padding`,
      inputs: [ids, table],
      call: (x, weight) =>
        f.embeddingBag(x as f.Tensor, weight as f.Tensor, { mode, offsets: [0, 2, 2, 7, 8, 9], paddingIdx: -8 }),
      length: 12,
    },
    {
      op: 'embeddingBag',
      name: `${mode} with the end of the last bag`,
      inputs: [ids, table, exactly([4], 'int32', [0, 1, 6, 8])],
      call: (x, weight, offsets) =>
        f.embeddingBag(x as f.Tensor, weight as f.Tensor, {
          mode,
          offsets: offsets as f.Tensor,
          includeLastOffset: true,
        }),
      length: 12,
    },
    {
      op: 'embeddingBag',
      name: `${mode} of nothing`,
      inputs: [exactly([0], 'int32', []), constant(table)],
      call: (x, weight) => f.embeddingBag(x as f.Tensor, weight as f.Tensor, { mode, offsets: [0, 0] }),
    },
  ]),
  {
    op: 'embeddingBag',
    name: 'rows with weights',
    inputs: [integers([3, 4], 0, 11), table, normal([3, 4])],
    call: (x, weight, perSampleWeights) =>
      f.embeddingBag(x as f.Tensor, weight as f.Tensor, {
        mode: 'sum',
        perSampleWeights: perSampleWeights as f.Tensor,
        paddingIdx: 3,
      }),
    length: 12,
  },
  {
    op: 'embeddingBag',
    name: 'bags with weights',
    inputs: [ids, table, normal([9])],
    call: (x, weight, perSampleWeights) =>
      f.embeddingBag(x as f.Tensor, weight as f.Tensor, {
        mode: 'sum',
        perSampleWeights: perSampleWeights as f.Tensor,
        offsets: [0, 4, 4],
      }),
    length: 12,
  },
]

const wrong = (
  name: string,
  code: ErrorCase['code'],
  mentions: ErrorCase['mentions'],
  options: f.EmbeddingBagOptions,
  shape: f.Shape = [9],
): ErrorCase => ({
  op: 'embeddingBag',
  name,
  code,
  mentions,
  call: (make) => f.embeddingBag(make(integers(shape, 0, 11)), make(table), options),
})

export const errors: readonly ErrorCase[] = [
  wrong('no offsets', 'ERR_VALUE', ['[9]', 'offsets'], {}),
  wrong('offsets beside rows', 'ERR_VALUE', ['[3, 4]', 'offsets'], { offsets: [0] }, [3, 4]),
  wrong('offsets that descend', 'ERR_VALUE', ['[0, 5, 3]', 'ascend'], { offsets: [0, 5, 3] }),
  wrong('offsets beyond the ids', 'ERR_VALUE', ['[0, 10]', '9'], { offsets: [0, 10] }),
  wrong('offsets that begin late', 'ERR_VALUE', ['[1, 3]'], { offsets: [1, 3] }),
  wrong('no last offset', 'ERR_VALUE', ['includeLastOffset'], { offsets: [], includeLastOffset: true }),
  wrong('a mode that there is not', 'ERR_VALUE', ["'median'"], { mode: 'median' as never, offsets: [0] }),
  wrong('padding outside of the table', 'ERR_VALUE', ['paddingIdx 11'], { offsets: [0], paddingIdx: 11 }),
  wrong('a limit of no length', 'ERR_VALUE', ['maxNorm is 0'], { offsets: [0], maxNorm: 0 }),
  wrong('a norm of no order', 'ERR_VALUE', ['normType is 0'], { offsets: [0], maxNorm: 1, normType: 0 }),
  wrong('three dimensions', 'ERR_SHAPE', ['[2, 3, 4]'], {}, [2, 3, 4]),
  {
    op: 'embeddingBag',
    name: 'weights of a mean',
    code: 'ERR_VALUE',
    mentions: ["'mean'", "'sum'"],
    call: (make) =>
      f.embeddingBag(make(integers([3, 4], 0, 11)), make(table), { perSampleWeights: make(normal([3, 4])) }),
  },
  {
    op: 'embeddingBag',
    name: 'weights of another shape',
    code: 'ERR_SHAPE',
    mentions: ['[4]', '[3, 4]'],
    call: (make) =>
      f.embeddingBag(make(integers([3, 4], 0, 11)), make(table), {
        mode: 'sum',
        perSampleWeights: make(normal([4])),
      }),
  },
]

export const calls: readonly PublicCall[] = [
  sound(
    'embeddingBag',
    f.embeddingBag,
    () => [
      ints([4]),
      t(3, 2),
      {
        mode: 'sum',
        offsets: [0, 2, 4],
        perSampleWeights: t(4),
        paddingIdx: 1,
        includeLastOffset: true,
        maxNorm: 9,
        normType: 1,
      },
    ],
    'embedding',
  ),
]

export const layers: readonly PublicCall[] = layer(
  'EmbeddingBag',
  f.nn.EmbeddingBag,
  (): [number, number, f.nn.EmbeddingBagLayerOptions] => [
    3,
    2,
    { mode: 'sum', paddingIdx: 1, includeLastOffset: true, maxNorm: 9, normType: 1 },
  ],
  () => [ints([4]), [0, 2, 4], t(4)],
  'embeddingBag',
  'embedding',
)

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  embeddingBag: {
    sizes: { b: 3, n: 2, m: 4, e: 2 },
    inputs: ({ b = 0, n = 0, m = 0, e = 0 }) => [integers([b, n], 0, 1), normal([m, e])],
    call: ([x, weight]) => f.embeddingBag(x as f.Tensor, weight as f.Tensor),
    refuses: ['m'],
    fills: { n: 0 },
  },
}

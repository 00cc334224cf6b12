/** Cases of dropout of channels, and of dropout that keeps mean and variance. */
import * as f from '../../lib/index.js'
import { type Case, constant, type ErrorCase, integers, label, normal } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import { unaryZeros, type ZeroSizes } from './zero.js'

const { nn } = f
const seeded = () => new f.Generator(1234, 5)

/** Functions with the shapes that they take, by a word that names what is special about one. */
const forms: readonly [
  op: 'dropout1d' | 'dropout2d' | 'dropout3d' | 'alphaDropout' | 'featureAlphaDropout',
  shapes: { readonly [what: string]: f.Shape },
][] = [
  ['dropout1d', { batch: [3, 33, 7], 'no batch': [33, 7], 'no length': [3, 5, 0] }],
  ['dropout2d', { batch: [3, 33, 4, 5], 'one dimension of space': [3, 33, 7], large: [2, 517, 9, 8] }],
  ['dropout3d', { batch: [2, 9, 2, 3, 4], 'no batch': [9, 2, 3, 4] }],
  ['alphaDropout', { vector: [333], number: [], large: [70001], 'no elements': [3, 0] }],
  ['featureAlphaDropout', { 'no space': [5, 33], batch: [3, 33, 4, 5], 'no channels': [3, 0, 2] }],
]

export const cases: readonly Case[] = forms.flatMap(([op, shapes]): Case[] => [
  ...Object.entries(shapes).map(([what, shape]) => ({
    op,
    name: `${what}: ${label(shape)}`,
    inputs: [normal(shape)],
    call: (x: f.Tensor) => f.nn.functional[op](x, 0.3, { training: true, generator: seeded() }),
  })),
  ...[1, 0.999].map((p) => ({
    op,
    name: `p = ${p}`,
    inputs: [normal([2, 3, 4, 5])],
    call: (x: f.Tensor) =>
      f.nn.functional[op](op === 'dropout1d' ? f.flatten(x, 2) : x, p, { training: true, generator: seeded() }),
  })),
  {
    op,
    name: 'not in training',
    inputs: [constant(normal([2, 3, 4, 5]))],
    call: (x) => f.nn.functional[op](op === 'dropout1d' ? f.flatten(x, 2) : x, 0.5, { training: false }),
  },
])

const refuses = (op: (typeof forms)[number][0], shape: f.Shape, ...mentions: string[]): ErrorCase => ({
  op,
  name: `of ${label(shape)}`,
  code: 'ERR_SHAPE',
  mentions: [label(shape), ...mentions],
  call: (make) => f.nn.functional[op](make(normal(shape)), 0.5, { training: true }),
})

export const errors: readonly ErrorCase[] = [
  refuses('dropout1d', [4], '[channels, length]', 'dropout()'),
  refuses('dropout1d', [2, 3, 4, 5], '[batch, channels, length]'),
  refuses('dropout2d', [3, 4], '[batch, channels, height, width]'),
  refuses('dropout3d', [2, 3, 4], '[batch, channels, depth, height, width]'),
  refuses('featureAlphaDropout', [4], '[batch, channels, ...]', 'alphaDropout()'),
  ...forms.flatMap(([op]): ErrorCase[] => [
    {
      op,
      name: 'p NaN',
      code: 'ERR_VALUE',
      mentions: ['NaN', 'p is'],
      call: (make) => f.nn.functional[op](make(normal([2, 3, 4])), Number.NaN),
    },
    {
      op,
      name: 'integers',
      code: 'ERR_DTYPE',
      mentions: ['int32'],
      call: (make) => f.nn.functional[op](make(integers([2, 3, 4], 0, 9)), 0.5),
    },
  ]),
]

/** The options of a call, with a generator of its own, because each call must draw the same numbers. */
const on = () => ({ training: true, generator: new f.Generator(3) })

export const calls: readonly PublicCall[] = [
  sound('dropout1d', f.dropout1d, () => [t(2, 3, 4), 0.5, on()]),
  sound('dropout2d', f.dropout2d, () => [t(2, 3, 4, 5), 0.5, on()]),
  sound('dropout3d', f.dropout3d, () => [t(2, 3, 1, 2, 2), 0.5, on()]),
  sound('alphaDropout', f.alphaDropout, () => [t(3), 0.5, on()]),
  sound('featureAlphaDropout', f.featureAlphaDropout, () => [t(2, 3), 0.5, on()]),
]

const generator = () => ({ generator: new f.Generator(3) })

export const layers: readonly PublicCall[] = [
  ...layer(
    'Dropout1d',
    nn.Dropout1d,
    () => [0.5, generator()],
    () => [t(2, 3, 4)],
    'dropout1d',
  ),
  ...layer(
    'Dropout2d',
    nn.Dropout2d,
    () => [0.5, generator()],
    () => [t(2, 3, 4, 5)],
    'dropout2d',
  ),
  ...layer(
    'Dropout3d',
    nn.Dropout3d,
    () => [0.5, generator()],
    () => [t(2, 3, 1, 2, 2)],
    'dropout3d',
  ),
  ...layer(
    'AlphaDropout',
    nn.AlphaDropout,
    () => [0.5, generator()],
    () => [t(3)],
    'alphaDropout',
  ),
  ...layer(
    'FeatureAlphaDropout',
    nn.FeatureAlphaDropout,
    () => [0.5, generator()],
    () => [t(2, 3)],
    'featureAlphaDropout',
  ),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  dropout1d: unaryZeros((x) => f.dropout1d(x, 0.5, generator())),
  dropout2d: unaryZeros((x) => f.dropout2d(f.reshape(x, [...x.shape, 1, 1]), 0.5, generator())),
  dropout3d: unaryZeros((x) => f.dropout3d(f.reshape(x, [...x.shape, 1, 1]), 0.5, generator())),
  alphaDropout: unaryZeros((x) => f.alphaDropout(x, 0.5, { training: true, ...generator() })),
  featureAlphaDropout: unaryZeros((x) => f.featureAlphaDropout(x, 0.5, { training: true, ...generator() })),
}

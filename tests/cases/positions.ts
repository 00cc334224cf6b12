/** Positions of elements, which belong to the family of attention. */
import * as f from '../../lib/index.js'
import { type Case, type ErrorCase, exactly, normal } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

const x = normal([2, 3, 5, 8])
const shown = (options: object) => JSON.stringify(options)
const spans = { originalMaxPositions: 4, factor: 4 }
const scalings: readonly f.RotaryScaling[] = [
  { type: 'linear', factor: 4 },
  { type: 'dynamic', ...spans },
  { type: 'yarn', ...spans, betaFast: 0.4, betaSlow: 0.1 },
  { type: 'yarn', ...spans, mscale: 1.2, mscaleAllDim: 0.7, truncate: false },
  { type: 'llama3', ...spans, lowFreqFactor: 0.5, highFreqFactor: 2 },
  { type: 'longrope', ...spans, shortFactor: [1, 1, 2, 3], longFactor: [1, 2, 3, 4] },
]

export const cases: readonly Case[] = [
  ...[{}, { offset: 3, base: 100 }].map(
    (options): Case => ({
      op: 'sinusoidalEncoding',
      name: shown(options),
      inputs: [normal([2, 5, 7])],
      call: (y) => f.sinusoidalEncoding(y as f.Tensor, options),
    }),
  ),
  ...[
    {},
    { layout: 'pairs', offset: 3 } as const,
    { dims: 4, base: 500 },
    { dims: 4, layout: 'pairs' } as const,
    { dims: 0 },
    { offset: 1000 },
    ...scalings.map((scaling) => ({ scaling })),
  ].map(
    (options): Case => ({
      op: 'rotaryEmbedding',
      name: shown(options),
      inputs: [x],
      call: (y) => f.rotaryEmbedding(y as f.Tensor, options),
    }),
  ),
  ...(
    [
      [[5], [4, 0, 9, 9, 1]],
      [
        [2, 5],
        [4, 0, 9, 9, 1, 0, 0, 70_000, 3, 2],
      ],
    ] as const
  ).map(
    ([shape, positions]): Case => ({
      op: 'rotaryEmbedding',
      name: `positions ${positions.join()}`,
      inputs: [x, exactly(shape, 'int32', positions)],
      call: (y, at) =>
        f.rotaryEmbedding(y as f.Tensor, { positions: at as f.Tensor, length: 9, scaling: scalings[1] ?? null }),
    }),
  ),
]

const rotary = (
  name: string,
  code: ErrorCase['code'],
  mentions: readonly string[],
  call: ErrorCase['call'],
): ErrorCase => ({
  op: 'rotaryEmbedding',
  name,
  code,
  mentions,
  call,
})

export const errors: readonly ErrorCase[] = [
  {
    op: 'sinusoidalEncoding',
    name: 'a vector',
    code: 'ERR_SHAPE',
    mentions: ['[4]', '[.., T, D]'],
    call: (make) => f.sinusoidalEncoding(make(normal([4]))),
  },
  rotary('an odd number of features', 'ERR_SHAPE', ['x has 7 features', 'dims'], (make) =>
    f.rotaryEmbedding(make(normal([5, 7]))),
  ),
  rotary('more features than there are', 'ERR_SHAPE', ['dims is 10', '[2, 3, 5, 8]'], (make) =>
    f.rotaryEmbedding(make(x), { dims: 10 }),
  ),
  rotary('a layout that there is not', 'ERR_VALUE', ["layout is 'split'", "'halves' or 'pairs'"], (make) =>
    f.rotaryEmbedding(make(x), { layout: 'split' as 'pairs' }),
  ),
  rotary(
    'a scaling that there is not',
    'ERR_VALUE',
    ["of type 'ntk'", 'linear, dynamic, yarn, llama3, longrope'],
    (make) => f.rotaryEmbedding(make(x), { scaling: { type: 'ntk' } as never }),
  ),
  rotary('a scaling without its factor', 'ERR_VALUE', ['scaling.factor is undefined', 'a number from 1 on'], (make) =>
    f.rotaryEmbedding(make(x), { scaling: { type: 'linear' } as never }),
  ),
  rotary('an option of another scaling', 'ERR_VALUE', ['there is no option scaling.betaFast'], (make) =>
    f.rotaryEmbedding(make(x), { scaling: { type: 'linear', factor: 2, betaFast: 1 } as never }),
  ),
  rotary('factors for other pairs', 'ERR_VALUE', ['scaling.shortFactor', '4 positive numbers'], (make) =>
    f.rotaryEmbedding(make(x), { scaling: { type: 'longrope', ...spans, shortFactor: [1], longFactor: [1] } }),
  ),
  rotary('positions of other elements', 'ERR_SHAPE', ['positions is [4]', '[5] or [2, 5]'], (make) =>
    f.rotaryEmbedding(make(x), { positions: make(exactly([4], 'int32', [0, 1, 2, 3])) }),
  ),
  rotary('positions and offset', 'ERR_VALUE', ['both offset (2) and positions'], (make) =>
    f.rotaryEmbedding(make(x), { offset: 2, positions: make(exactly([5], 'int32', [0, 1, 2, 3, 4])) }),
  ),
  rotary(
    'positions without the length that a scaling follows',
    'ERR_VALUE',
    ["scaling 'dynamic'", 'give length'],
    (make) =>
      f.rotaryEmbedding(make(x), {
        positions: make(exactly([5], 'int32', [0, 1, 2, 3, 4])),
        scaling: { type: 'dynamic', ...spans },
      }),
  ),
  rotary('base 0', 'ERR_VALUE', ['base is 0'], (make) => f.rotaryEmbedding(make(x), { base: 0 })),
]

export const calls: readonly PublicCall[] = [
  sound('sinusoidalEncoding', f.sinusoidalEncoding, () => [t(2, 3, 4), { offset: 2, base: 100 }]),
  sound('rotaryEmbedding', f.rotaryEmbedding, () => [
    t(2, 3, 4),
    { base: 100, layout: 'pairs', offset: 2, dims: 2, scaling: { type: 'linear', factor: 2 } },
  ]),
  sound('rotaryEmbedding', f.rotaryEmbedding, () => [
    t(2, 3, 4),
    { positions: f.tensor([2, 0, 1], { dtype: 'int32' }), length: 3, scaling: { type: 'dynamic', ...spans } },
  ]),
]

const sizes = { b: 2, t: 3, d: 4 }
const rows = ({ b = 0, t = 0, d = 0 }) => [normal([b, t, d])]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  sinusoidalEncoding: { sizes, inputs: rows, call: ([y]) => f.sinusoidalEncoding(y as f.Tensor) },
  rotaryEmbedding: { sizes, inputs: rows, call: ([y]) => f.rotaryEmbedding(y as f.Tensor, { layout: 'pairs' }) },
}

export const layers: readonly PublicCall[] = [
  ...layer(
    'SinusoidalEncoding',
    f.nn.SinusoidalEncoding,
    (): ConstructorParameters<typeof f.nn.SinusoidalEncoding> => [{ base: 100 }],
    () => [t(2, 3, 4), { offset: 1 }],
    'sinusoidalEncoding',
  ),
  ...layer(
    'LearnedPositions',
    f.nn.LearnedPositions,
    (): ConstructorParameters<typeof f.nn.LearnedPositions> => [5, 4, { std: 0.1 }],
    () => [t(2, 3, 4), { offset: 1 }],
    ...['LearnedPositions', 'add'],
  ),
  ...layer(
    'RotaryEmbedding',
    f.nn.RotaryEmbedding,
    (): ConstructorParameters<typeof f.nn.RotaryEmbedding> => [
      { base: 100, layout: 'pairs', dims: 2, scaling: { type: 'linear', factor: 2 } },
    ],
    () => [t(2, 3, 4), { positions: f.tensor([2, 0, 1], { dtype: 'int32' }), length: 3 }],
    'rotaryEmbedding',
  ),
]

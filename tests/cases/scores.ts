/** Attention with chosen scores, which belongs to the family of attention. */
import * as f from '../../lib/index.js'
import { bits, type Case, type ErrorCase, integers, normal } from './case.js'
import { layer, type PublicCall, sound, t } from './sound.js'
import type { ZeroSizes } from './zero.js'

type Three = readonly [f.Tensor, f.Tensor, f.Tensor]
const [b, tq, tk, dq, dk, dv] = [2, 3, 4, 5, 6, 7]
const [q, k, v] = [normal([b, tq, dq]), normal([b, tk, dk]), normal([b, tk, dv])]
const same = normal([b, tk, dq])
const lengths = (device: f.Device) => f.tensor([3, 0], { dtype: 'int32', device })

export const cases: readonly Case[] = [
  {
    op: 'generalScores',
    name: 'queries and keys of other sizes',
    inputs: [q, k, normal([dq, dk])],
    call: (...x) => f.generalScores(...(x as unknown as Three)),
    length: dq * dk + tq * tk * b,
  },
  {
    op: 'additiveScores',
    name: 'queries and keys of other sizes',
    inputs: [q, k, normal([8, dq]), normal([8, dk]), normal([8])],
    call: (...x) => f.additiveScores(...(x as unknown as Parameters<typeof f.additiveScores>)),
    length: 8 * (dq + dk) + tq * tk * b,
    roundings: 64,
  },
  {
    op: 'cosineScores',
    name: 'scaled',
    inputs: [q, same],
    call: (x, y) => f.cosineScores(x as f.Tensor, y as f.Tensor, { scale: 5 }),
    length: 2 * dq + tk,
    roundings: 64,
  },
  {
    op: 'cosineScores',
    name: 'of zeros',
    inputs: [q, { ...same, values: (_, count) => new Float64Array(count), differentiable: false }],
    call: (x, y) => f.cosineScores(x as f.Tensor, y as f.Tensor, { eps: 1e-3 }),
    length: dq,
  },
  ...(['scaledDot', 'dot', 'cosine'] as const).flatMap((score): Case[] =>
    [false, true].map((needWeights) => ({
      op: 'attention',
      name: `${score}${needWeights ? ', with weights' : ''}`,
      inputs: [q, same, v, bits([tq, tk], 0.8)],
      call: (x, y, z, attnMask) =>
        needWeights
          ? f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, { score, attnMask: attnMask ?? null, needWeights })
          : f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, { score, attnMask: attnMask ?? null }),
      length: 2 * (dq + tq + tk) + dv,
      roundings: 64,
    })),
  ),
  {
    op: 'attention',
    name: 'a function, masked, causal, of lengths, with dropout',
    inputs: [q, k, v, normal([dq, dk]), normal([tq, tk])],
    call: (x, y, z, weight, attnMask) =>
      f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, {
        score: (one, other) => f.generalScores(one, other, weight as f.Tensor),
        attnMask: attnMask ?? null,
        isCausal: true,
        offset: 1,
        window: 2,
        lengths: lengths((x as f.Tensor).device),
        dropoutP: 0.3,
        generator: new f.Generator(3),
      }),
    length: 2 * (dq * dk + tq + tk) + dv,
    roundings: 64,
  },
  ...[3, 1].map(
    (keyHeads): Case => ({
      op: 'attention',
      name: `${keyHeads} heads of keys for 3 of queries, linear biases, weights and a grouped function`,
      inputs: [normal([b, 3, tq, dq]), normal([b, keyHeads, tk, dq]), normal([b, keyHeads, tk, dv])],
      call: (x, y, z) =>
        f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, {
          score: f.cosineScores,
          alibi: true,
          isCausal: true,
          needWeights: true,
        }),
      length: 3 * (2 * (dq + tq + tk) + dv),
      roundings: 64,
    }),
  ),
  {
    op: 'attention',
    name: 'of a single sequence',
    inputs: [normal([tq, dq]), normal([tk, dq]), normal([tk, dv])],
    call: (x, y, z) => f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, { scale: 0.5 }),
    length: 2 * (dq + tq + tk) + dv,
    roundings: 64,
  },
  {
    op: 'attention',
    name: 'of five dimensions, with linear biases of a slope of its own',
    inputs: [normal([2, 1, 2, tq, dq]), normal([2, 1, 2, tk, dq]), normal([2, 1, 2, tk, dv])],
    call: (x, y, z) =>
      f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, {
        score: 'dot',
        alibi: f.tensor([0.25], { device: (x as f.Tensor).device, dtype: (x as f.Tensor).dtype }),
      }),
    length: 2 * (dq + tq + tk) + dv,
    roundings: 64,
  },
]

const bad = (
  name: string,
  code: ErrorCase['code'],
  mentions: readonly string[],
  call: ErrorCase['call'],
  op = 'attention',
) => ({ op, name, code, mentions, call }) satisfies ErrorCase

export const errors: readonly ErrorCase[] = [
  bad('a score that there is not', 'ERR_VALUE', ["score is 'luong'", "'scaledDot', 'dot', 'cosine'"], (make) =>
    f.attention(make(q), make(same), make(v), { score: 'luong' as 'dot' }),
  ),
  bad('a score of another shape', 'ERR_SHAPE', ['score gave [2, 3, 5]', '[2, 3, 4]'], (make) =>
    f.attention(make(q), make(same), make(v), { score: (x) => x }),
  ),
  bad('a score that is no tensor', 'ERR_VALUE', ['score gave the number 3'], (make) =>
    f.attention(make(q), make(same), make(v), { score: (() => 3) as never }),
  ),
  bad('scale of a function', 'ERR_VALUE', ['scale is 2', 'multiply in it'], (make) =>
    f.attention(make(q), make(same), make(v), { score: f.cosineScores, scale: 2 }),
  ),
  bad('a dot product of other sizes', 'ERR_SHAPE', ['[2, 3, 5]', '[2, 4, 6]'], (make) =>
    f.attention(make(q), make(k), make(v)),
  ),
  bad(
    'all that does not fit, at once',
    'ERR_SHAPE',
    ['differ before [T, D]', 'k and v differ in time', '[3, 5, 6]'],
    (make) => f.attention(make(q), make(normal([3, 5, 6])), make(v)),
  ),
  bad('a mask that does not broadcast', 'ERR_SHAPE', ['attnMask [3, 9]', '[2, 3, 4]'], (make) =>
    f.attention(make(q), make(same), make(v), { attnMask: make(bits([3, 9])) }),
  ),
  bad('lengths of a single sequence', 'ERR_SHAPE', ['lengths is [2]', '[B, .., T, D]'], (make) =>
    f.attention(make(normal([3, 5])), make(normal([4, 5])), make(normal([4, 5])), {
      lengths: make(integers([2], 0, 2)),
    }),
  ),
  bad('slopes of other heads', 'ERR_SHAPE', ['alibi is [3]', '[1]'], (make) =>
    f.attention(make(q), make(same), make(v), { score: 'cosine', alibi: make(normal([3])) }),
  ),
  bad(
    'weights of other sizes',
    'ERR_SHAPE',
    ['[6, 5]', '[5, 6]'],
    (make) => f.generalScores(make(q), make(k), make(normal([6, 5]))),
    'generalScores',
  ),
  bad(
    'all weights of other sizes',
    'ERR_SHAPE',
    ['queryWeight is [8, 6]', 'keyWeight is [7, 6]', '[8, 5]'],
    (make) => f.additiveScores(make(q), make(k), make(normal([8, 6])), make(normal([7, 6])), make(normal([8]))),
    'additiveScores',
  ),
  bad('eps 0', 'ERR_VALUE', ['eps is 0'], (make) => f.cosineScores(make(q), make(same), { eps: 0 }), 'cosineScores'),
  bad(
    'other sizes',
    'ERR_SHAPE',
    ['[2, 3, 5]', '[2, 4, 6]'],
    (make) => f.cosineScores(make(q), make(k)),
    'cosineScores',
  ),
]

export const calls: readonly PublicCall[] = [
  sound('generalScores', f.generalScores, () => [t(2, 3, 4), t(2, 5, 6), t(4, 6)]),
  sound('additiveScores', f.additiveScores, () => [t(2, 3, 4), t(2, 5, 6), t(7, 4), t(7, 6), t(7)]),
  sound('cosineScores', f.cosineScores, () => [t(2, 3, 4), t(2, 5, 4), { scale: 2, eps: 1e-6 }]),
  sound(
    'attention',
    f.attention,
    () => [
      ...[t(1, 2, 3, 4), t(1, 2, 5, 4), t(1, 2, 5, 4)],
      {
        ...{ score: 'cosine', scale: 2, attnMask: t(3, 5), isCausal: true, offset: 2, window: 2, alibi: true },
        ...{ lengths: f.tensor([4], { dtype: 'int32' }), dropoutP: 0.5, needWeights: true },
        generator: new f.Generator(3),
      },
    ],
    'scaledDotProductAttention',
  ),
]

const qkv = ({ b = 0, t = 0, s = 0, d = 0, e = 0 }) => [normal([b, t, d]), normal([b, s, d]), normal([b, s, e])]
const sizes = { b: 2, t: 3, s: 4, d: 5, e: 6 }

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  attention: {
    sizes,
    inputs: qkv,
    call: ([x, y, z]) => f.attention(x as f.Tensor, y as f.Tensor, z as f.Tensor, { score: 'cosine' }),
    fills: { s: 0 },
  },
  generalScores: {
    sizes: { b: 2, t: 3, s: 4, d: 5, e: 6 },
    inputs: ({ b = 0, t = 0, s = 0, d = 0, e = 0 }) => [normal([b, t, d]), normal([b, s, e]), normal([d, e])],
    call: ([x, y, w]) => f.generalScores(x as f.Tensor, y as f.Tensor, w as f.Tensor),
  },
  additiveScores: {
    sizes: { b: 2, t: 3, s: 4, d: 5, e: 6, h: 7 },
    inputs: ({ b = 0, t = 0, s = 0, d = 0, e = 0, h = 0 }) => [
      ...[normal([b, t, d]), normal([b, s, e]), normal([h, d]), normal([h, e]), normal([h])],
    ],
    call: (x) => f.additiveScores(...(x as Parameters<typeof f.additiveScores>)),
  },
  cosineScores: {
    sizes: { b: 2, t: 3, s: 4, d: 5 },
    inputs: ({ b = 0, t = 0, s = 0, d = 0 }) => [normal([b, t, d]), normal([b, s, d])],
    call: ([x, y]) => f.cosineScores(x as f.Tensor, y as f.Tensor),
  },
}

export const layers: readonly PublicCall[] = layer(
  'ScoreAttention',
  f.nn.ScoreAttention,
  (): ConstructorParameters<typeof f.nn.ScoreAttention> => [
    4,
    { score: 'additive', keyDim: 3, hiddenDim: 5, dropout: 0.2 },
  ],
  () => [t(1, 2, 4), t(1, 3, 3), t(1, 3, 3), { attnMask: t(2, 3), isCausal: true, needWeights: true }],
  ...['attention', 'additiveScores', 'linear', 'ScoreAttention', 'add'],
)

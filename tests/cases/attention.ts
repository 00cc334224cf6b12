import fc from 'fast-check'
import * as f from '../../lib/index.js'
import { bits, type Case, constant, type ErrorCase, type Input, integers, label, normal, positive } from './case.js'
import * as positions from './positions.js'
import * as scores from './scores.js'
import { type PublicCall, sound, t } from './sound.js'
import * as transformers from './transformers.js'
import type { ZeroSizes } from './zero.js'

interface Heads {
  readonly batch: number
  readonly queryHeads: number
  readonly keyHeads: number
  readonly queries: number
  readonly keys: number
  readonly size: number
  readonly valueSize: number
}

type Mask = 'none' | 'bool' | 'added' | 'added to all rows'

const three = (q: f.Tensor, k: f.Tensor, v: f.Tensor, options: f.AttentionOptions = {}) =>
  f.scaledDotProductAttention(q, k, v, options)

function caseOf(heads: Heads, mask: Mask, options: f.AttentionOptions, seed = 0): Case {
  const { batch, queryHeads, keyHeads, queries, keys, size, valueSize } = heads
  const masks: Input[] =
    mask === 'none'
      ? []
      : mask === 'bool'
        ? [bits([batch, 1, queries, keys], 0.7)]
        : [normal(mask === 'added' ? [queryHeads, queries, keys] : [1, keys])]
  return {
    op: 'scaledDotProductAttention',
    name: `${label(Object.values(heads))} mask ${mask} ${JSON.stringify(options)}`,
    inputs: [
      normal([batch, queryHeads, queries, size]),
      normal([batch, keyHeads, keys, size]),
      normal([batch, keyHeads, keys, valueSize]),
      ...masks,
    ],
    call: (q, k, v, attnMask) =>
      three(q as f.Tensor, k as f.Tensor, v as f.Tensor, {
        ...options,
        attnMask: attnMask ?? null,
        generator: new f.Generator(11 + seed),
      }),
    length: (queries + keys) * batch * queryHeads + size + valueSize,
    roundings: 64,
  }
}

/** The number of real keys in each batch row. */
function withLengths(sizes: Heads, mask: Mask, options: f.AttentionOptions, counts: readonly number[]): Case {
  const without = caseOf(sizes, mask, options)
  return {
    ...without,
    name: `${without.name} lengths ${counts}`,
    call: (q, k, v, attnMask) =>
      three(q as f.Tensor, k as f.Tensor, v as f.Tensor, {
        ...options,
        attnMask: attnMask ?? null,
        lengths: f.tensor(counts, { dtype: 'int32', device: (q as f.Tensor).device }),
        generator: new f.Generator(11),
      }),
  }
}

const heads = (
  batch: number,
  queryHeads: number,
  keyHeads: number,
  queries: number,
  keys: number,
  size: number,
  valueSize: number,
): Heads => ({ batch, queryHeads, keyHeads, queries, keys, size, valueSize })

/** Heads side by side in each row of one projection, as in models; the result has the same layout. */
function ofProjection(queryHeads: number, keyHeads: number, size: number): Case {
  const [batch, t] = [2, 9]
  const widths = [queryHeads, keyHeads, keyHeads].map((count) => count * size)
  return {
    op: 'scaledDotProductAttention',
    name: `${queryHeads} and ${keyHeads} heads of ${size} of one projection`,
    inputs: [normal([batch, t, (queryHeads + 2 * keyHeads) * size])],
    call: (x) => {
      const parts = (x as f.Tensor).split(widths, 2)
      const [q, k, v] = parts.map((z) => z.reshape([batch, t, -1, size]).transpose(1, 2))
      const y = three(q as f.Tensor, k as f.Tensor, v as f.Tensor, { isCausal: true })
      return y.transpose(1, 2).reshape([batch, t, queryHeads * size])
    },
    length: 2 * t * batch * queryHeads + 2 * size,
    roundings: 64,
  }
}

export const cases: readonly Case[] = [
  ...scores.cases,
  ...positions.cases,
  ofProjection(2, 2, 4),
  ofProjection(4, 2, 3),
  caseOf(heads(1, 1, 1, 1, 1, 1, 1), 'none', {}),
  caseOf(heads(2, 2, 2, 5, 7, 4, 3), 'none', {}),
  caseOf(heads(2, 2, 2, 5, 5, 4, 4), 'none', { isCausal: true }),
  caseOf(heads(1, 2, 2, 7, 4, 3, 3), 'none', { isCausal: true, scale: 0.3 }),
  caseOf(heads(1, 4, 2, 5, 6, 4, 4), 'bool', {}),
  caseOf(heads(1, 6, 2, 5, 6, 4, 4), 'added', {}),
  caseOf(heads(2, 2, 1, 5, 5, 4, 4), 'added to all rows', { isCausal: true }),
  caseOf(heads(2, 2, 2, 5, 7, 4, 4), 'none', { dropoutP: 0.3 }),
  caseOf(heads(1, 4, 1, 5, 7, 4, 4), 'bool', { dropoutP: 0.5, isCausal: true }),
  caseOf(heads(0, 2, 2, 5, 7, 4, 4), 'none', {}),
  caseOf(heads(1, 2, 2, 0, 7, 4, 4), 'none', {}),
  caseOf(heads(1, 2, 2, 0, 7, 4, 4), 'added', { isCausal: true }),
  caseOf(heads(1, 0, 0, 5, 7, 4, 4), 'none', {}),
  caseOf(heads(1, 0, 2, 5, 7, 4, 4), 'none', {}),
  ...(['none', 'bool', 'added'] as const).map((mask) => caseOf(heads(1, 4, 2, 5, 0, 4, 4), mask, {})),
  caseOf(heads(1, 4, 2, 5, 0, 4, 4), 'none', { isCausal: true, dropoutP: 0.3 }),
  caseOf(heads(1, 2, 2, 5, 7, 0, 4), 'none', { isCausal: true }),
  caseOf(heads(1, 2, 2, 5, 7, 4, 0), 'bool', {}),
  // These are longer than a tile of keys and of queries, at sizes around the width of a vector.
  caseOf(heads(1, 2, 2, 130, 131, 33, 31), 'none', {}),
  caseOf(heads(1, 2, 1, 131, 131, 32, 32), 'added', { isCausal: true }),
  // Queries after a cache of keys, windows, and lengths, also at the edges of tiles and vectors.
  caseOf(heads(2, 2, 1, 3, 7, 4, 3), 'none', { isCausal: true, offset: 4 }),
  caseOf(heads(1, 2, 2, 5, 9, 4, 4), 'bool', { isCausal: true, offset: 2, window: 3, dropoutP: 0.3 }),
  caseOf(heads(1, 2, 2, 6, 6, 4, 4), 'added', { isCausal: true, window: 1 }),
  caseOf(heads(1, 2, 2, 6, 4, 4, 4), 'none', { isCausal: true, window: 2 }),
  caseOf(heads(1, 1, 1, 131, 260, 8, 7), 'none', { isCausal: true, offset: 129, window: 121 }),
  caseOf(heads(1, 2, 1, 200, 200, 7, 8), 'none', { isCausal: true, window: 33 }),
  caseOf(heads(1, 2, 2, 2, 3, 4, 4), 'none', { isCausal: true, offset: 2 ** 40, window: 2 ** 41 }),
  caseOf(heads(2, 4, 2, 5, 7, 4, 3), 'none', { alibi: true }),
  caseOf(heads(1, 3, 3, 5, 7, 4, 4), 'bool', { alibi: true, isCausal: true, offset: 2 }),
  caseOf(heads(1, 2, 1, 6, 6, 4, 4), 'added', { alibi: true, isCausal: true, window: 3, dropoutP: 0.3 }),
  caseOf(heads(1, 2, 2, 131, 250, 8, 8), 'none', { alibi: true, isCausal: true, offset: 119 }),
  {
    op: 'scaledDotProductAttention',
    name: 'linear biases that learn',
    inputs: [normal([1, 2, 3, 4]), normal([1, 2, 5, 4]), normal([1, 2, 5, 4]), positive([2])],
    call: (q, k, v, alibi) => three(q as f.Tensor, k as f.Tensor, v as f.Tensor, { alibi: alibi as f.Tensor }),
    length: 60,
    roundings: 64,
  },
  withLengths(heads(3, 2, 1, 4, 6, 4, 3), 'none', {}, [2, 0, 6]),
  withLengths(heads(2, 2, 2, 5, 7, 4, 4), 'bool', { isCausal: true, offset: 2, window: 4, dropoutP: 0.3 }, [5, 1]),
  withLengths(heads(2, 1, 1, 9, 250, 8, 8), 'added', {}, [121, 239]),
  {
    op: 'scaledDotProductAttention',
    name: 'rows without any key give 0',
    inputs: [normal([1, 1, 3, 4]), normal([1, 1, 5, 4]), normal([1, 1, 5, 4]), constant(bits([3, 5], 0))],
    call: (q, k, v, mask) => three(q as f.Tensor, k as f.Tensor, v as f.Tensor, { attnMask: mask ?? null }),
    length: 20,
  },
  {
    op: 'scaledDotProductAttention',
    name: 'without heads',
    inputs: [normal([2, 5, 4]), normal([2, 3, 4]), normal([2, 3, 4])],
    call: (q, k, v) => three(q as f.Tensor, k as f.Tensor, v as f.Tensor),
    length: 30,
  },
  {
    op: 'scaledDotProductAttention',
    name: 'heads side by side, as a projection leaves them',
    inputs: [normal([2, 5, 24])],
    call(x) {
      const parts = f.split(x as f.Tensor, 8, -1).map((part) => f.transpose(f.reshape(part, [2, 5, 2, 4]), 1, 2))
      return three(parts[0] as f.Tensor, parts[1] as f.Tensor, parts[2] as f.Tensor, { isCausal: true })
    },
    length: 50,
    roundings: 64,
  },
]

const size = (least: number, most: number) => fc.integer({ min: least, max: most })

export const properties: readonly { readonly name: string; readonly cases: fc.Arbitrary<Case> }[] = [
  {
    name: 'attention',
    cases: fc
      .record({
        batch: size(0, 2),
        keyHeads: size(1, 3),
        group: size(1, 3),
        queries: size(0, 70),
        keys: size(1, 70),
        size: size(1, 35),
        valueSize: size(1, 35),
        mask: fc.constantFrom<Mask>('none', 'bool', 'added', 'added to all rows'),
        isCausal: fc.boolean(),
        dropoutP: fc.constantFrom(0, 0, 0.4),
      })
      .map(({ mask, isCausal, dropoutP, group, ...h }) =>
        caseOf(heads(h.batch, h.keyHeads * group, h.keyHeads, h.queries, h.keys, h.size, h.valueSize), mask, {
          isCausal,
          dropoutP,
        }),
      ),
  },
]

const q = normal([1, 2, 3, 4])

export const errors: readonly ErrorCase[] = [
  ...scores.errors,
  ...positions.errors,
  {
    op: 'scaledDotProductAttention',
    name: 'all that does not fit, at once',
    code: 'ERR_SHAPE',
    mentions: ['[1, 2, 3, 4]', '[2, 3, 5, 6]', 'batch sizes differ', '2 query heads', '3 key heads'],
    call: (make) => three(make(q), make(normal([2, 3, 5, 6])), make(normal([2, 3, 5, 6]))),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'a mask that does not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[3, 9]', '[1, 2, 3, 3]'],
    call: (make) => three(make(q), make(q), make(q), { attnMask: make(bits([3, 9])) }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'a mask of integers',
    code: 'ERR_DTYPE',
    mentions: ['attnMask is int32', 'true takes part', "to('bool')"],
    call: (make) => three(make(q), make(q), make(q), { attnMask: make(integers([3, 3], 0, 2)) }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'keys of another dtype',
    code: 'ERR_DTYPE',
    mentions: ['float32, int32 and float32'],
    call: (make) => three(make(q), make(integers([1, 2, 3, 4], 0, 2)), make(q)),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'offset without isCausal',
    code: 'ERR_VALUE',
    mentions: ['offset is 2', 'isCausal is false', 'set isCausal, or leave offset out'],
    call: (make) => three(make(q), make(q), make(q), { offset: 2 }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'window without isCausal',
    code: 'ERR_VALUE',
    mentions: ['window is 2', 'isCausal is false'],
    call: (make) => three(make(q), make(q), make(q), { window: 2, isCausal: false }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'a negative offset',
    code: 'ERR_VALUE',
    mentions: ['offset is -1', 'at least 0'],
    call: (make) => three(make(q), make(q), make(q), { isCausal: true, offset: -1 }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'a window of no key',
    code: 'ERR_VALUE',
    mentions: ['window is 0', 'at least 1'],
    call: (make) => three(make(q), make(q), make(q), { isCausal: true, window: 0 }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'lengths of other rows',
    code: 'ERR_SHAPE',
    mentions: ['lengths is [2]', 'must be [1]'],
    call: (make) => three(make(q), make(q), make(q), { lengths: make(integers([2], 0, 2)) }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'lengths that are no integers',
    code: 'ERR_DTYPE',
    mentions: ['lengths', 'float32', 'int32'],
    call: (make) => three(make(q), make(q), make(q), { lengths: make(normal([1])) }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'slopes of other heads',
    code: 'ERR_SHAPE',
    mentions: ['alibi is [3]', '[2]', 'one slope for each query head'],
    call: (make) => three(make(q), make(q), make(q), { alibi: make(normal([3])) }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'scale NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'scale'],
    call: (make) => three(make(q), make(q), make(q), { scale: Number.NaN }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'dropout NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'dropoutP is'],
    call: (make) => three(make(q), make(q), make(q), { dropoutP: Number.NaN }),
  },
  {
    op: 'scaledDotProductAttention',
    name: 'dropout 2',
    code: 'ERR_VALUE',
    mentions: ['2'],
    call: (make) => three(make(q), make(q), make(q), { dropoutP: 2 }),
  },
]

export const calls: readonly PublicCall[] = [
  ...scores.calls,
  ...positions.calls,
  sound('scaledDotProductAttention', f.scaledDotProductAttention, () => [
    ...[t(1, 2, 3, 4), t(1, 2, 3, 4), t(1, 2, 3, 4)],
    { isCausal: true, scale: 1 },
  ]),
  sound('scaledDotProductAttention', f.scaledDotProductAttention, () => [
    ...[t(2, 3, 4), t(2, 3, 4), t(2, 3, 4)],
    { attnMask: t(3, 3), dropoutP: 0.5, generator: new f.Generator(3) },
  ]),
  sound('scaledDotProductAttention', f.scaledDotProductAttention, () => [
    ...[t(1, 2, 3, 4), t(1, 2, 5, 4), t(1, 2, 5, 4)],
    { isCausal: true, offset: 2, window: 2, alibi: true, lengths: f.tensor([4], { dtype: 'int32' }) },
  ]),
]

export const layers: readonly PublicCall[] = [...scores.layers, ...positions.layers, ...transformers.layers]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...scores.zeroSizes,
  ...positions.zeroSizes,
  scaledDotProductAttention: {
    sizes: { b: 2, h: 2, t: 3, s: 4, d: 8, e: 8 },
    inputs: ({ b = 0, h = 0, t = 0, s = 0, d = 0, e = 0 }) => [
      normal([b, h, t, d]),
      normal([b, h, s, d]),
      normal([b, h, s, e]),
    ],
    call: ([q, k, v]) => f.scaledDotProductAttention(q as f.Tensor, k as f.Tensor, v as f.Tensor),
    fills: { s: 0 },
  },
}

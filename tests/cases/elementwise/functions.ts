/** Cases of the functions of one tensor beyond plain arithmetic, and of predicates of elements. */
import * as f from '../../../lib/index.js'
import {
  awayFrom,
  bits,
  type Case,
  constant,
  drawn,
  type ErrorCase,
  exactly,
  integers,
  normal,
  uniform,
} from '../case.js'
import { type PublicCall, sound, t } from '../sound.js'
import { mn, named, type Unary, unaryZeros, type ZeroSizes } from '../zero.js'
import { kinkAt, type Make, pairs, smooth, unary } from './forms.js'

const between =
  (low: number, high: number): Make =>
  (shape) =>
    uniform(shape, low, high)
/** Numbers away from the steps of rounding. */
const offSteps: Make = (shape) => ({
  ...normal(shape),
  values: (random, count) => drawn(count, () => Math.floor(random() * 7) - 3 + 0.1 + 0.3 * random()),
})

/** 1.0, 1.1 or 1.2 */
const tenths: Make = (shape) => ({
  ...normal(shape),
  values: (random, count) => drawn(count, () => 1 + Math.floor(random() * 3) / 10),
})

/** Without tiny numbers, at which a power of the reciprocal is beyond float32. */
const ends = exactly([9], 'float', [Number.NaN, Infinity, -Infinity, 0, -0, -1, -2.5, 0.001, 1e6])

const ranges = {
  expm1: between(-2, 2),
  exp2: between(-3, 3),
  log2: between(0.3, 5),
  log10: between(0.3, 5),
  tan: between(-1.2, 1.2),
  asin: between(-0.9, 0.9),
  acos: between(-0.9, 0.9),
  atan: between(-3, 3),
  sinh: between(-2, 2),
  cosh: between(-2, 2),
  asinh: between(-3, 3),
  acosh: between(1.3, 4),
  atanh: between(-0.8, 0.8),
  erfc: between(-2, 2),
  erfinv: between(-0.8, 0.8),
  lgamma: between(0.4, 5),
  digamma: between(0.4, 5),
  sinc: between(-3, 3),
  rad2deg: smooth,
  deg2rad: smooth,
  ceil: offSteps,
  trunc: offSteps,
  round: offSteps,
  frac: offSteps,
} satisfies { [name: string]: Make }
type Name = keyof typeof ranges
const names = Object.keys(ranges) as Name[]
const rounding = ['floor', 'ceil', 'trunc', 'round'] as const
const truths = ['isnan', 'isinf', 'isfinite', 'logicalNot'] as const
const combining = ['logicalAnd', 'logicalOr', 'logicalXor'] as const

/** Numbers at the ends of the range, and at the ends of functions' domains. */
const special = exactly([22], 'float', [
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5],
  ...[20, -20, 87, -87, 1e-30, -1e-30, 1e30, -1e30, 3.5],
])

export const cases: readonly Case[] = [
  ...names.flatMap((name) => unary(name, (x) => f[name](x), ranges[name])),
  // The sine and tangent of large numbers depends on steps that float32 lacks.
  ...names.map((op) => ({
    op,
    name: 'NaN, infinities and ends',
    inputs: [
      op === 'tan' || op === 'deg2rad' || op === 'sinc'
        ? exactly([6], 'float', [Number.NaN, Number.POSITIVE_INFINITY, 0, -0, 1e-30, -1.5])
        : special,
    ],
    call: (x: f.Tensor) => f[op](x),
  })),
  ...[1, 2, 5].flatMap((n) => [
    ...unary('polygamma', (x) => f.polygamma(n, x), between(0.7, 3), { roundings: 64 }).map((c) => ({
      ...c,
      name: `${n} ${c.name}`,
    })),
    {
      op: 'polygamma',
      name: `${n} of NaN, infinities and ends`,
      inputs: [ends],
      call: (x: f.Tensor) => f.polygamma(n, x),
    },
  ]),
  ...(['lgamma', 'digamma'] as const).map((op) => ({
    op,
    name: 'between negative integers',
    inputs: [offSteps([67])],
    call: (x: f.Tensor) => f[op](x),
    roundings: 64,
  })),
  ...rounding.map((op) => ({
    op,
    name: 'int32',
    inputs: [integers([67], -9, 9)],
    call: (x: f.Tensor) => f[op](x),
  })),
  ...[2, -1].map((decimals) => ({
    op: 'round',
    name: `${decimals} decimals`,
    inputs: [
      {
        ...constant(normal([67])),
        // There are no ties, because a number near a tie may be rounded to either side.
        values: (random: () => number, count: number) => drawn(count, () => 7 * (Math.floor(random() * 9) - 4 + 0.123)),
      },
    ],
    call: (x: f.Tensor) => f.round(x, { decimals }),
  })),
  ...unary('logit', (x) => f.logit(x), between(0.1, 0.9)),
  { op: 'logit', name: 'eps', inputs: [awayFrom([67], [0.2, 0.8], 0.5)], call: (x) => f.logit(x, { eps: 0.2 }) },
  { op: 'logit', name: 'NaN, infinities and ends', inputs: [special], call: (x) => f.logit(x) },
  ...unary('nanToNum', (x) => f.nanToNum(x), smooth),
  {
    op: 'nanToNum',
    name: 'chosen numbers',
    inputs: [special],
    call: (x) => f.nanToNum(x, { nan: 3, posinf: 4, neginf: -5 }),
  },
  { op: 'nanToNum', name: 'int32', inputs: [integers([9], -9, 9)], call: (x) => f.nanToNum(x) },
  ...unary('clampMin', (x) => f.clampMin(x, 0.5), kinkAt(0.5)),
  ...unary('clampMax', (x) => f.clampMax(x, 0.5), kinkAt(0.5)),
  ...truths.flatMap((op): Case[] => [
    { op, name: 'NaN, infinities and ends', inputs: [special], call: (x) => f[op](x) },
    { op, name: 'int32', inputs: [integers([67], -2, 2)], call: (x) => f[op](x) },
    { op, name: 'bool', inputs: [bits([5, 7])], call: (x) => f[op](x) },
  ]),
  ...combining.flatMap((op): Case[] => [
    ...pairs.map(([a, b]) => ({
      op,
      name: `[${a}] and [${b}]`,
      inputs: [bits(a), bits(b)],
      call: (x: f.Tensor, y: f.Tensor) => f[op](x, y),
    })),
    { op, name: 'floats and int32', inputs: [special, integers([22], -1, 2)], call: (x, y) => f[op](x, y) },
  ]),
  ...pairs.map(([a, b]) => ({
    op: 'isclose',
    name: `[${a}] and [${b}]`,
    inputs: [constant(tenths(a)), constant(tenths(b))],
    call: (x: f.Tensor, y: f.Tensor) => f.isclose(x, y, { rtol: 1e-2, atol: 1e-2 }),
  })),
  ...[false, true].map((equalNan) => ({
    op: 'isclose',
    name: `ends, NaN ${equalNan ? 'equal' : 'unequal'}`,
    inputs: [special, exactly([1], 'float', [Number.POSITIVE_INFINITY])],
    call: (x: f.Tensor, y: f.Tensor) => f.isclose(x, f.where(f.isnan(x), x, y), { equalNan }),
  })),
]

const whole = integers([4], 0, 9)

export const errors: readonly ErrorCase[] = [
  ...(['frac', 'rad2deg', 'deg2rad', 'logit', 'expm1', 'asin', 'cosh'] as const).map(
    (op): ErrorCase => ({
      op,
      name: 'integers',
      code: 'ERR_DTYPE',
      mentions: ['int32', 'float32'],
      call: (make) => f[op](make(whole)),
    }),
  ),
  {
    op: 'round',
    name: 'half a decimal',
    code: 'ERR_VALUE',
    mentions: ['decimals', '0.5'],
    call: (make) => f.round(make(normal([4])), { decimals: 0.5 }),
  },
  {
    op: 'polygamma',
    name: 'an order below 0',
    code: 'ERR_VALUE',
    mentions: ['n is -1'],
    call: (make) => f.polygamma(-1, make(normal([4]))),
  },
  {
    op: 'logit',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['eps', 'NaN'],
    call: (make) => f.logit(make(normal([4])), { eps: Number.NaN }),
  },
  {
    op: 'nanToNum',
    name: 'a string',
    code: 'ERR_VALUE',
    mentions: ['posinf', "'1'"],
    call: (make) => f.nanToNum(make(normal([4])), { posinf: '1' as never }),
  },
  {
    op: 'isclose',
    name: 'a negative tolerance',
    code: 'ERR_VALUE',
    mentions: ['atol', '-1'],
    call: (make) => f.isclose(make(normal([4])), make(normal([4])), { atol: -1 }),
  },
  {
    op: 'logicalAnd',
    name: 'shapes that do not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[3]', '[4]'],
    call: (make) => f.logicalAnd(make(bits([3])), make(bits([4]))),
  },
]

const closer = { rtol: 1e-5, atol: 1e-8, equalNan: true }

export const calls: readonly PublicCall[] = [
  ...[...names.filter((name) => name !== 'round'), ...truths].map((name) =>
    sound(name, f[name], () => [t(2, 3)], ...(name === 'isfinite' ? ['isinf', 'isnan'] : [])),
  ),
  ...combining.map((name) => sound(name, f[name], () => [t(2, 3), t(3)], 'where', 'ne')),
  sound('round', f.round, () => [t(2, 3), { decimals: 1 }]),
  sound('polygamma', f.polygamma, () => [1, t(2, 3)]),
  sound('logit', f.logit, () => [t(2, 3), { eps: 0.1 }], 'clamp'),
  sound('nanToNum', f.nanToNum, () => [t(2, 3), { nan: 0, posinf: 1, neginf: -1 }], 'where'),
  sound('clampMin', f.clampMin, () => [t(2, 3), 0], 'clamp'),
  sound('clampMax', f.clampMax, () => [t(2, 3), 0], 'clamp'),
  sound('isclose', f.isclose, () => [t(2, 3), t(3), closer], 'eq', 'sub', 'logicalAnd', 'logicalOr', 'le'),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...named([...names, ...truths, 'logit', 'nanToNum'], (fn: Unary) => unaryZeros((x) => fn(x))),
  polygamma: unaryZeros((x) => f.polygamma(2, x)),
  clampMin: unaryZeros((x) => f.clampMin(x, 1)),
  clampMax: unaryZeros((x) => f.clampMax(x, 1)),
  ...named([...combining, 'isclose'], (fn: (a: f.Tensor, b: f.Tensor) => f.Tensor) => ({
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [bits([m, n]), bits([n])],
    call: ([a, b]) => fn((a as f.Tensor).to('float32'), (b as f.Tensor).to('float32')),
  })),
}

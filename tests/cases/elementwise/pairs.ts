/** Cases of the functions of two and three tensors beyond plain arithmetic, and of two different dtypes. */
import * as f from '../../../lib/index.js'
import {
  awayFrom,
  bits,
  bytes,
  type Case,
  constant,
  drawn,
  type ErrorCase,
  exactly,
  integers,
  normal,
  positive,
  uniform,
} from '../case.js'
import { ints, type PublicCall, sound, t } from '../sound.js'
import { mn, named, type ZeroSizes } from '../zero.js'
import { binary, type Make, pairs, smooth } from './forms.js'

/** Pairs whose quotients are away from integers, where remainders jump. */
const dividends: Make = (shape) => ({
  ...normal(shape),
  values: (random, count) => drawn(count, () => Math.floor(random() * 9) - 4 + 0.2 + 0.5 * random()),
})
const one: Make = (shape) => uniform(shape, 0.98, 1.02)
const nearOne: Make = (shape) => ({
  ...one(shape),
  values: (random, count) => drawn(count, () => 0.995 + 0.01 * random()),
})
/** Whole numbers plus a rest. With two different rests no two numbers are near each other. */
const beside =
  (rest: number): Make =>
  (shape) => ({
    ...normal(shape),
    values: (random, count) => drawn(count, () => Math.floor(random() * 7) - 3 + rest),
  })
const [farLeft, farRight] = [beside(0.1), beside(0.6)]
const nonzero: Make = (shape) => awayFrom(shape, [0])

const floats = ['atan2', 'hypot', 'copysign', 'logaddexp', 'logaddexp2', 'xlogy'] as const
const extremes = ['fmax', 'fmin'] as const
const rests = ['fmod', 'remainder'] as const
const modes = ['trunc', 'floor'] as const

const ends = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0, 1, -1, 3, -2.5, 1e30, -1e-30]
const column = exactly([11, 1], 'float', ends)
const row = exactly([11], 'float', ends)

const dtypes = {
  float: (s: f.Shape) => constant(normal(s)),
  int32: (s: f.Shape) => integers(s, 1, 9),
  uint8: bytes,
  bool: bits,
}
type Kind = keyof typeof dtypes
const kinds = Object.keys(dtypes) as Kind[]
/** Two tensors of two dtypes, with and without dimensions. */
const mixed = kinds.flatMap((a) =>
  kinds.flatMap((b) =>
    a === b
      ? []
      : (
          [
            [[3, 5], [5]],
            [[5], []],
            [[], [5]],
            [[], []],
          ] as const
        ).map(([left, right]) => ({ a, b, left, right })),
  ),
)
const promoting: { readonly [op: string]: (a: f.Tensor, b: f.Tensor) => f.Tensor } = {
  add: f.add,
  mul: f.mul,
  maximum: f.maximum,
  minimum: f.minimum,
  eq: f.eq,
  lt: f.lt,
  where: (a: f.Tensor, b: f.Tensor) => f.where(f.gt(b, 1), a, b),
}

export const cases: readonly Case[] = [
  ...binary('atan2', f.atan2, nonzero, positive),
  ...binary('hypot', f.hypot, nonzero, positive),
  ...binary('copysign', f.copysign, nonzero, nonzero),
  ...binary('logaddexp', f.logaddexp, smooth, smooth),
  ...binary('logaddexp2', f.logaddexp2, smooth, smooth),
  ...extremes.flatMap((op) => [
    ...binary(op, f[op], farLeft, farRight),
    { op, name: 'NaN, infinities and zeros', inputs: [column, row], call: f[op] },
    { op, name: 'int32 and floats', inputs: [integers([67], -3, 3), constant(normal([67]))], call: f[op] },
    { op, name: 'bytes', inputs: [bytes([67])], call: (x: f.Tensor) => f[op](x, 99) },
  ]),
  ...binary('xlogy', f.xlogy, nonzero, positive),
  ...binary('heaviside', f.heaviside, (s) => constant(nonzero(s)), smooth),
  ...binary('fmod', f.fmod, dividends, nearOne),
  ...binary('remainder', f.remainder, dividends, nearOne),
  ...[...floats, ...rests].map((op) => ({
    op,
    name: 'NaN, infinities and zeros',
    inputs: [column, row],
    call: (a: f.Tensor, b: f.Tensor) => f[op](a, b),
  })),
  {
    op: 'heaviside',
    name: 'NaN, infinities and zeros',
    inputs: [column, row],
    call: f.heaviside,
  },
  ...modes.flatMap((roundingMode): Case[] => [
    ...binary('quotient', (a, b) => f.div(a, b, { roundingMode }), dividends, nearOne).map((c) => ({
      ...c,
      name: `${roundingMode} of ${c.name}`,
    })),
    {
      op: 'quotient',
      name: `${roundingMode} of NaN, infinities and zeros`,
      // No float32 is a quotient of the other dtypes.
      inputs: [exactly([9, 1], 'float', ends.slice(0, 9)), exactly([9], 'float', ends.slice(0, 9))],
      call: (a, b) => f.div(a, b, { roundingMode }),
    },
    {
      op: 'quotient',
      name: `${roundingMode} of int32`,
      inputs: [integers([5, 33], -99, 99), integers([33], 1, 9)],
      call: (a, b) => f.div(a, f.sub(b, 10), { roundingMode }),
    },
    {
      op: 'quotient',
      name: `${roundingMode} of the least int32`,
      inputs: [exactly([2], 'int32', [-(2 ** 31), 7])],
      call: (a) => f.div(a, -1, { roundingMode }),
    },
  ]),
  ...rests.flatMap((op): Case[] => [
    {
      op,
      name: 'int32',
      inputs: [integers([5, 33], -99, 99), integers([33], 1, 9)],
      call: (a, b) => f[op](a, f.sub(b, 10)),
    },
    { op, name: 'bytes', inputs: [bytes([67])], call: (a) => f[op](a, 7) },
  ]),
  { op: 'floorDivide', name: 'floats', inputs: [dividends([5, 33]), nearOne([33])], call: f.floorDivide },
  { op: 'floorDivide', name: 'int32', inputs: [integers([67], -99, 99)], call: (a) => f.floorDivide(a, 7) },
  {
    op: 'pow',
    name: 'int32',
    inputs: [integers([5, 33], -5, 5), integers([33], -3, 40)],
    call: f.pow,
  },
  ...[0, 1, 2, 31].map((exponent) => ({
    op: 'pow_scalar',
    name: `int32 ** ${exponent}`,
    inputs: [integers([67], -9, 9)],
    call: (x: f.Tensor) => f.pow(x, exponent),
  })),
  ...[0.3, 0.7].flatMap((weight): Case[] => [
    ...binary('lerp', (a, b) => f.lerp(a, b, weight), smooth, smooth).map((c) => ({
      ...c,
      name: `${c.name} by ${weight}`,
    })),
  ]),
  {
    op: 'lerp',
    name: 'by a tensor',
    inputs: [normal([5, 33]), normal([33]), awayFrom([5, 1], [0.5], 0.5)],
    call: f.lerp,
    length: 33,
  },
  ...pairs.flatMap(([a, b, length]): Case[] =>
    (['addcmul', 'addcdiv'] as const).flatMap((op) => [
      {
        op,
        name: `[${a}] and [${b}]`,
        inputs: [smooth(a), smooth(b), positive(b)],
        call: (x: f.Tensor, y: f.Tensor, z: f.Tensor) => f[op](x, y, z, { value: -0.5 }),
        length,
      },
    ]),
  ),
  ...Object.entries(promoting).flatMap(([op, call]) =>
    mixed.map(({ a, b, left, right }) => ({
      op,
      name: `${a} [${left}] and ${b} [${right}]`,
      inputs: [dtypes[a](left), dtypes[b](right)],
      call: (x: f.Tensor, y: f.Tensor) => call(x, y),
    })),
  ),
  ...kinds.map((kind) => ({
    op: 'div',
    name: `int32 by ${kind}`,
    inputs: [integers([5], -9, 9), dtypes[kind]([4, 5])],
    call: f.div,
  })),
  ...(['add', 'mul', 'maximum', 'where'] as const).map((op) => ({
    op,
    name: 'int32 and a fraction',
    inputs: [integers([5], -9, 9)],
    call: (x: f.Tensor) => (op === 'where' ? f.where(f.gt(x, 0), x, 0.5) : f[op as 'add'](x, 0.5)),
  })),
  { op: 'add', name: 'a gradient through int32', inputs: [normal([5]), integers([5], -9, 9)], call: f.add },
]

const x = normal([3, 4])
const whole = integers([4], 0, 9)

export const errors: readonly ErrorCase[] = [
  ...(['sub', 'fmod', 'remainder', 'pow', 'floorDivide'] as const).map(
    (op): ErrorCase => ({
      op,
      name: 'bool and bool',
      code: 'ERR_DTYPE',
      mentions: ['bool', ".to('int32')"],
      call: (make) => f[op](make(bits([4])), make(bits([4]))),
    }),
  ),
  {
    op: 'pow',
    name: 'int32 to a negative power',
    code: 'ERR_DTYPE',
    mentions: ['-2', ".to('float32')"],
    call: (make) => f.pow(make(whole), -2),
  },
  {
    op: 'div',
    name: 'another rounding mode',
    code: 'ERR_VALUE',
    mentions: ["'ceil'", "'floor'"],
    call: (make) => f.div(make(x), 2, { roundingMode: 'ceil' as never }),
  },
  ...(['fmod', 'remainder', 'atan2', 'hypot'] as const).map(
    (op): ErrorCase => ({
      op,
      name: 'shapes that do not broadcast',
      code: 'ERR_SHAPE',
      mentions: ['[3, 4]', '[3]'],
      call: (make) => f[op](make(x), make(normal([3]))),
    }),
  ),
  {
    op: 'lerp',
    name: 'a weight of NaN',
    code: 'ERR_VALUE',
    mentions: ['weight', 'NaN'],
    call: (make) => f.lerp(make(x), make(x), Number.NaN),
  },
  {
    op: 'addcmul',
    name: 'a string',
    code: 'ERR_VALUE',
    mentions: ['value', 'string'],
    call: (make) => f.addcmul(make(x), make(x), make(x), { value: '2' as never }),
  },
]

export const calls: readonly PublicCall[] = [
  ...[...floats, ...rests].flatMap((name) => [
    sound(name, f[name], () => [t(2, 3), t(3)]),
    sound(name, f[name], () => [t(2, 3), 2]),
  ]),
  ...extremes.flatMap((name) => [
    sound(name, f[name], () => [t(2, 3), t(3)], 'where'),
    sound(name, f[name], () => [t(2, 3), 2], 'where'),
  ]),
  sound('heaviside', f.heaviside, () => [t(2, 3), t(3)], 'where'),
  sound('heaviside', f.heaviside, () => [t(2, 3), 2], 'where'),
  sound('floorDivide', f.floorDivide, () => [t(2, 3), t(3)], 'div'),
  sound('floorDivide', f.floorDivide, () => [t(2, 3), 2], 'div'),
  sound('div', f.div, () => [t(2, 3), t(3), { roundingMode: 'floor' }]),
  sound('add', f.add, () => [t(2, 3), ints([3])]),
  sound('lerp', f.lerp, () => [t(2, 3), t(3), t(3)], 'sub', 'mul', 'add', 'where', 'abs', 'lt'),
  sound('lerp', f.lerp, () => [t(2, 3), t(3), 0.5], 'sub', 'mul', 'add'),
  sound('addcmul', f.addcmul, () => [t(2, 3), t(3), t(3), { value: 2 }], 'mul', 'add'),
  sound('addcdiv', f.addcdiv, () => [t(2, 3), t(3), t(3), { value: 2 }], 'div', 'mul', 'add'),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...named(
    [...floats, ...extremes, ...rests, 'heaviside', 'floorDivide'],
    (fn: (a: f.Tensor, b: f.Tensor) => f.Tensor) => ({
      sizes: mn,
      inputs: ({ m = 0, n = 0 }) => [positive([m, n]), positive([n])],
      call: ([a, b]) => fn(a as f.Tensor, b as f.Tensor),
    }),
  ),
  ...named(['lerp', 'addcmul', 'addcdiv'], (fn: (a: f.Tensor, b: f.Tensor, c: f.Tensor) => f.Tensor) => ({
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [positive([m, n]), positive([n]), positive([1, n])],
    call: ([a, b, c]) => fn(a as f.Tensor, b as f.Tensor, c as f.Tensor),
  })),
}

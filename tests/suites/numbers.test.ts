/**
 * Numbers beside tensors: every entry that takes one, with every dtype, on every device. The result is that of real
 * numbers (JavaScript's, rounded to the dtype; int32 wraps around), or a typed error that names the entry. An error is
 * allowed only if the dtype cannot hold the number or the entry does not accept the dtype.
 */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import * as ops from '../../lib/ops/index.js'
import { families } from '../cases/index.js'
import { devices } from './support.js'

const numbers = [
  ...[0, 1, 2, 0.5, -0.5, 1.5, 256, -1, -256, 1e-45, 1e39, -1e39, -0, 3, 0.1, 255, 300],
  ...[2 ** 31, 2 ** 31 - 1, -(2 ** 31), -(2 ** 31) - 1, 2 ** 40],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
]

const reals = [
  -1.5,
  -1,
  -0,
  0,
  0.1,
  0.5,
  1,
  1.5,
  2,
  256,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
]
const elements: { readonly [D in Exclude<f.DType, f.BlockDType>]: readonly number[] } = {
  float32: [...reals, 1e38, 1e-38],
  float64: [...reals, 1e300, 1e-300],
  bfloat16: reals,
  float16: reals,
  int32: [-(2 ** 31), -256, -1, 0, 1, 2, 256, 2 ** 31 - 1],
  uint8: [0, 1, 2, 44, 255],
  bool: [0, 1],
}
const dtypes = Object.keys(elements) as (keyof typeof elements)[]

const ranges: { readonly [D in f.DType]?: readonly [number, number] } = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 255],
  bool: [0, 1],
}

function holds(dtype: f.DType, number: number): boolean {
  const range = ranges[dtype]
  return range === undefined || (Number.isInteger(number) && number >= range[0] && number <= range[1])
}

const words = new Uint32Array(1)
const singles = new Float32Array(words.buffer)
/** Rounds to nearest, ties to even. */
function rounded(number: number, dtype: f.DType): number {
  if (dtype === 'float64' || !Number.isFinite(number) || ranges[dtype]) return number
  singles[0] = number
  if (dtype === 'float32') return singles[0] as number
  if (dtype === 'bfloat16') {
    if (!Number.isFinite(singles[0])) return singles[0] as number
    const word = words[0] as number
    words[0] = ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) << 16
    return singles[0] as number
  }
  // float16: spacing 2^(exponent - 10), at least 2^-24
  const size = Math.abs(singles[0] as number)
  if (size >= 65520) return Math.sign(number) * Number.POSITIVE_INFINITY
  const spacing = 2 ** Math.max(Math.floor(Math.log2(size || 2 ** -24)) - 10, -24)
  const steps = size / spacing
  const even = Math.round(steps) - (steps % 1 === 0.5 && Math.round(steps) % 2 === 1 ? 1 : 0)
  return Math.sign(number) * even * spacing
}

const floats: readonly f.DType[] = ['float32', 'float64', 'bfloat16']
const arithmetic: readonly f.DType[] = [...floats, 'int32']
const computing: readonly f.DType[] = [...arithmetic, 'uint8', 'bool']
/** A power whose exponent is a number: 0.5 and -0.5 are sqrt and rsqrt. */
const root = (x: number, y: number) => (x === Number.NEGATIVE_INFINITY && Math.abs(y) === 0.5 ? Number.NaN : pow(x, y))
const pow = (x: number, y: number) => (x === 1 || (x === -1 && Math.abs(y) === Number.POSITIVE_INFINITY) ? 1 : x ** y)

interface Entry {
  /** The name in its errors, by default the key up to the first space. */
  readonly op?: string
  readonly dtypes: readonly f.DType[]
  call(x: f.Tensor, number: number): f.Tensor
  /** The element of the result for an element of x. */
  real(x: number, number: number): number
  /** Whether the result is as large as x. pad adds one element at the end. */
  readonly appends?: boolean
  /** Any number goes with any dtype. */
  readonly any?: boolean
  /** Numbers that are accepted with integers although integers cannot hold them. */
  readonly takes?: (number: number) => boolean
  /** Like `real`, for results that a JavaScript number cannot hold exactly. */
  readonly int32?: (x: number, number: number) => number
  /** bfloat16 and the number are computed in float32, and rounded once. */
  readonly wide?: boolean
  /**
   * The dtype of the result follows from both: a fraction makes integers float32, an integer makes bool int32. Or it is
   * always floating.
   */
  readonly promotes?: 'numbers' | 'floats'
  /** Numbers that are refused with integers although integers can hold them. */
  readonly refuses?: (number: number) => boolean
}

/** The dtype of an entry's result. */
function resultOf({ promotes, any }: Entry, dtype: f.DType, number: number): f.DType {
  if (any) return 'bool'
  if (!promotes || ranges[dtype] === undefined) return dtype
  if (promotes === 'floats' || !Number.isInteger(number)) return 'float32'
  return dtype === 'bool' ? 'int32' : dtype
}

const comparisons = {
  eq: (a: number, b: number) => a === b,
  ne: (a: number, b: number) => a !== b,
  lt: (a: number, b: number) => a < b,
  le: (a: number, b: number) => a <= b,
  gt: (a: number, b: number) => a > b,
  ge: (a: number, b: number) => a >= b,
}

/** The expected result of int32, which wraps around. Reciprocals are truncated to integers. */
function wholePow(x: number, y: number): number {
  if (y < 0) return Math.abs(x) === 1 ? x ** Math.abs(y % 2) : 0
  let [power, square] = [1n, BigInt(x)]
  for (let rest = BigInt(y); rest > 0n; rest >>= 1n, square = BigInt.asIntN(32, square * square))
    if (rest & 1n) power = BigInt.asIntN(32, power * square)
  return Number(power)
}

const binary: { readonly [name: string]: Omit<Entry, 'call'> } = {
  add: { dtypes: computing, real: (x, n) => x + n, wide: true, promotes: 'numbers' },
  sub: { dtypes: [...arithmetic, 'uint8'], real: (x, n) => x - n, wide: true, promotes: 'numbers' },
  mul: { dtypes: computing, real: (x, n) => x * n, wide: true, int32: Math.imul, promotes: 'numbers' },
  div: { dtypes: computing, real: (x, n) => x / n, promotes: 'floats' },
  maximum: { dtypes: computing, real: Math.max, promotes: 'numbers' },
  minimum: { dtypes: computing, real: Math.min, promotes: 'numbers' },
  pow: { dtypes: computing, real: pow, int32: wholePow, promotes: 'numbers', refuses: (n) => n < 0 },
}
type Both = (a: f.Tensor | number, b: f.Tensor | number) => f.Tensor
type Method = (number: number) => f.Tensor
const method = (x: f.Tensor, name: string, number: number) =>
  ((x as unknown as { [name: string]: Method })[name] as Method).call(x, number)

const chosen = (x: f.Tensor) => f.tensor(new Array(x.numel).fill(false), { device: x.device })

const entries: { readonly [name: string]: Entry } = {
  ...Object.fromEntries(
    Object.entries(binary).flatMap(([name, entry]): [string, Entry][] => {
      const fn = ops[name as 'add'] as unknown as Both
      const { real, int32 = real, wide = false } = entry
      const { refuses: _, ...rest } = entry
      const beside = name === 'pow' ? { ...entry, real: root } : entry
      return [
        [name, { ...beside, call: fn, wide: wide || name === 'pow', int32 }],
        [
          `${name} with the number first`,
          { ...rest, call: (x, n) => fn(n, x), real: (x, n) => real(n, x), wide, int32: (x, n) => int32(n, x) },
        ],
        [`${name} as a method`, { ...beside, call: (x, n) => method(x, name, n), wide: wide || name === 'pow', int32 }],
      ]
    }),
  ),
  ...Object.fromEntries(
    Object.entries(comparisons).flatMap(([name, truth]): [string, Entry][] => {
      const real = (x: number, n: number) => Number(truth(x, n))
      const fn = ops[name as 'eq']
      return [
        [name, { dtypes, call: fn, real, any: true }],
        [`${name} as a method`, { dtypes, call: (x, n) => method(x, name, n), real, any: true }],
      ]
    }),
  ),
  where: { dtypes, call: (x, n) => f.where(chosen(x), x, n), real: (_x, n) => n, promotes: 'numbers' },
  'where with the number first': {
    dtypes,
    call: (x, n) => f.where(f.eq(chosen(x), 0), n, x),
    real: (_x, n) => n,
    promotes: 'numbers',
  },
  'clamp from below': {
    dtypes: arithmetic,
    call: (x, n) => f.clamp(x, n),
    real: Math.max,
    takes: (n) => n === Number.NEGATIVE_INFINITY,
    wide: true,
  },
  'clamp from above': {
    dtypes: arithmetic,
    call: (x, n) => f.clamp(x, undefined, n),
    real: Math.min,
    takes: (n) => n === Number.POSITIVE_INFINITY,
    wide: true,
  },
  'clamp as a method': {
    dtypes: arithmetic,
    call: (x, n) => x.clamp(n, n),
    real: (x, n) => Math.min(Math.max(x, n), n),
    wide: true,
  },
  pad: { dtypes, call: (x, n) => f.pad(x, [0, 1], n), real: (_x, n) => n, appends: true },
  fill_: { dtypes, call: (x, n) => x.fill_(n), real: (_x, n) => n },
  scatter: {
    dtypes,
    call: (x, n) => f.scatter(x, 0, f.arange(x.numel, undefined, 1, { device: x.device }), n),
    real: (_x, n) => n,
  },
  indexPut: { dtypes, call: (x, n) => f.indexPut(x, [':'], n), real: (_x, n) => n },
  indexPut_: { dtypes, call: (x, n) => f.indexPut_(x.clone(), [':'], n), real: (_x, n) => n },
  maskedFill: { dtypes, call: (x, n) => f.maskedFill(x, f.onesLike(x, { dtype: 'bool' }), n), real: (_x, n) => n },
}

/**
 * Entries that also take a number, but are checked only by their cases, because they round more often than `near`
 * allows.
 */
const takers = [
  'atan2',
  'hypot',
  'copysign',
  'logaddexp',
  'logaddexp2',
  'fmax',
  'fmin',
  'xlogy',
  'fmod',
  'remainder',
  'heaviside',
  'bitwiseAnd',
  'bitwiseOr',
  'bitwiseXor',
  'bitwiseLeftShift',
  'bitwiseRightShift',
  'floorDivide',
  'lerp',
]

/** The calls of families. Their tensors other than the first may accept a number. */
const others = Object.values(families)
  .flatMap(({ calls = [] }) => calls)
  .filter(
    ({ names: [name = ''] }) =>
      !takers.includes(name) && !Object.keys(entries).some((entry) => entry.split(' ')[0] === name),
  )
  // The parameters of a distribution are not elements of a tensor, so any number is allowed.
  .filter(({ names: [name = ''] }) => name !== 'normal')

it.each(others.map((call) => [call.names[0] as string, call] as const))(
  '%s takes no number beside elements',
  (_name, call) => {
    const positions = call.args().flatMap((arg, i) => (i > 0 && arg instanceof f.Tensor ? [i] : []))
    for (const i of positions) {
      const args = call.args()
      args[i] = 1.5
      expect(() => call.call(...(args as never[])), `argument ${i}`).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(VALUE|DTYPE|SHAPE)$/) }),
      )
    }
  },
)

/** The tolerance of results that pass through float32: two units in the last place. */
const digits: { readonly [D in f.DType]?: number } = { float32: 2 ** -22, bfloat16: 2 ** -7, float64: 2 ** -50 }

function near(got: number, want: number, dtype: f.DType): boolean {
  if (Object.is(got, want) || got === want || (Number.isNaN(got) && Number.isNaN(want))) return true
  // The least normal number of float32. Smaller numbers may be rounded on the way.
  return Math.abs(got - want) <= (digits[dtype] ?? 0) * Math.abs(want) + (dtype === 'float64' ? 0 : 2 ** -140)
}

function read(x: f.Tensor): number[] {
  const plain = x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x
  return [...plain.dataSync()]
}

describe.each(devices.map((device) => [device.name, device] as const))('%s', (_name, device) => {
  const supported = dtypes.filter((dtype) => device.supports(dtype))
  const made = (dtype: keyof typeof elements) => {
    const integers = ranges[dtype] !== undefined
    const values = [...elements[dtype]]
    return integers || dtype === 'float32' || dtype === 'float64'
      ? f.tensor(values, { dtype, device })
      : f.tensor(values, { device }).to(dtype)
  }

  describe.each(Object.entries(entries))('%s', (name, entry) => {
    const op = entry.op ?? (name.split(' ')[0] as string)

    it.each(supported)('%s', (dtype) => {
      const wrong: string[] = []
      const inputs = read(made(dtype))
      for (const number of numbers) {
        const resultDType = resultOf(entry, dtype, number)
        const integers = ranges[dtype] !== undefined
        const held = entry.promotes ? resultDType : dtype
        const refused = integers && ranges[held] !== undefined && entry.refuses?.(number) === true
        const fits = entry.any || (holds(held, number) && !refused) || entry.takes?.(number) === true
        const may = entry.dtypes.includes(dtype) && fits
        let result: f.Tensor
        try {
          result = entry.call(made(dtype), number)
        } catch (error) {
          const { code, op: named, message } = error as f.FiresteelError
          if (
            code !== 'ERR_DTYPE' ||
            named !== op ||
            !(message.includes(dtype) || message.includes(resultOf(entry, dtype, number)))
          )
            wrong.push(`${number}: ${message}`)
          else if (may) wrong.push(`${number} is refused: ${message}`)
          else if (entry.dtypes.includes(dtype) && !message.includes('.to('))
            wrong.push(`${number}: no hint in ${message}`)
          continue
        }
        if (!may) {
          wrong.push(`${number} is not refused`)
          continue
        }
        if (result.dtype !== resultDType) wrong.push(`${number} gives ${result.dtype}`)
        const whole = ranges[held] !== undefined
        const beside = whole ? number : rounded(number, entry.wide && dtype === 'bfloat16' ? 'float32' : held)
        const want = inputs.map((x) => {
          const real = (whole && entry.int32 ? entry.int32 : entry.real)(whole ? x : rounded(x, held), beside)
          if (entry.any) return real
          if (!whole) return rounded(real, held)
          return held === 'int32'
            ? Number(BigInt.asIntN(32, BigInt(real)))
            : held === 'uint8'
              ? Number(BigInt.asUintN(8, BigInt(real)))
              : real
        })
        const got = read(result)
        const at = entry.appends ? got.slice(inputs.length) : got
        at.forEach((value, i) => {
          if (!near(value, want[i] as number, held))
            wrong.push(`${number} beside ${inputs[i]} is ${value}, not ${want[i]}`)
        })
      }
      expect(wrong).toEqual([])
    })
  })
})

/** Cases of the bits of integers. */
import * as f from '../../../lib/index.js'
import { bits, bytes, type Case, type ErrorCase, exactly, integers, normal } from '../case.js'
import { ints, type PublicCall, sound } from '../sound.js'
import { mn, named, type ZeroSizes } from '../zero.js'
import { binary, type Make } from './forms.js'

const ends = [0, 1, -1, 2, -7, 2 ** 31 - 1, -(2 ** 31), 0x5a5a5a5a]
const logical = ['bitwiseAnd', 'bitwiseOr', 'bitwiseXor'] as const
const shifts = ['bitwiseLeftShift', 'bitwiseRightShift'] as const
const records = ['bitwise_and', 'bitwise_or', 'bitwise_xor', 'bitwise_left_shift', 'bitwise_right_shift'] as const
const functions = [...logical, ...shifts]
const wide: Make = (shape) => integers(shape, -(2 ** 31), 2 ** 31)

export const cases: readonly Case[] = [
  ...functions.flatMap((name, i): Case[] => [
    ...binary(
      records[i] as string,
      (a, b) => f[name](a, b),
      wide,
      (s) => (i < 3 ? wide(s) : integers(s, 0, 32)),
    ),
    {
      op: name,
      name: 'at the ends, beside bytes, and beside a number',
      inputs: [exactly([8, 1], 'int32', ends), exactly([6], 'int32', [-1, 0, 1, 31, 32, 40]), bytes([6])],
      call: (a, b, c) => [f[name](a, b), f[name](a, c), f[name](c, f.bitwiseAnd(b, 7)), f[name](a, 3), f[name](c, 9)],
    },
    {
      op: name,
      name: 'of bytes',
      inputs: [bytes([70]), bytes([70])],
      call: (a, b) => f[name](a, i < 3 ? b : f.remainder(b, 11)),
    },
  ]),
  ...logical.map(
    (name): Case => ({
      op: name,
      name: 'of truths',
      inputs: [bits([33]), bits([33]), integers([33], -9, 9)],
      call: (a, b, c) => [f[name](a, b), f[name](a, c)],
    }),
  ),
  {
    op: 'bitwiseNot',
    name: 'of all kinds',
    inputs: [exactly([8], 'int32', ends), bytes([33]), bits([33])],
    call: (a, b, c) => [f.bitwiseNot(a), f.bitwiseNot(b), f.bitwiseNot(c)],
  },
]

export const errors: readonly ErrorCase[] = [
  ...functions.map(
    (op): ErrorCase => ({
      op,
      name: 'floats',
      code: 'ERR_DTYPE',
      mentions: ['float32'],
      call: (make) => f[op](make(normal([3])), make(integers([3], 0, 9))),
    }),
  ),
  ...shifts.map(
    (op): ErrorCase => ({
      op,
      name: 'two of truths',
      code: 'ERR_DTYPE',
      mentions: ['bool'],
      call: (make) => f[op](make(bits([3])), make(bits([3]))),
    }),
  ),
  {
    op: 'bitwiseNot',
    name: 'floats',
    code: 'ERR_DTYPE',
    mentions: ['float32'],
    call: (make) => f.bitwiseNot(make(normal([3]))),
  },
]

export const calls: readonly PublicCall[] = [
  ...functions.flatMap((name) => [
    sound(name, f[name], () => [ints([2, 3]), ints([3])]),
    sound(name, f[name], () => [ints([2, 3]), 2]),
  ]),
  sound('bitwiseNot', f.bitwiseNot, () => [ints([2, 3])]),
]

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...named(functions, (fn: (a: f.Tensor, b: f.Tensor) => f.Tensor) => ({
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [integers([m, n], 0, 9), integers([n], 0, 9)],
    call: ([a, b]) => fn(a as f.Tensor, b as f.Tensor),
  })),
  bitwiseNot: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [integers([m, n], 0, 9)],
    call: ([x]) => f.bitwiseNot(x as f.Tensor),
  },
}

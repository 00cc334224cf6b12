import * as f from '../../lib/index.js'
import {
  awayFrom,
  bits,
  bytes,
  type Case,
  constant,
  drawn,
  type ErrorCase,
  exactly,
  type Input,
  integers,
  label,
  normal,
  noSteps,
  positive,
  uniform,
} from './case.js'
import * as activations from './elementwise/activations.js'
import * as bitwise from './elementwise/bitwise.js'
import { binary, kinkAt, type Make, pairs, smooth, unary } from './elementwise/forms.js'
import * as functions from './elementwise/functions.js'
import * as pairsOfTensors from './elementwise/pairs.js'
import { bools, type PublicCall, sound, t } from './sound.js'
import { mn, named, type Unary, unaryZeros, type ZeroSizes } from './zero.js'

const piecewise = (shape: f.Shape) => integers(shape, -2, 3)
/** The second is shifted, so that no finite difference reaches ties and near ties with the first. */
const apart: Make = (shape) => ({
  ...normal(shape),
  values: (random, count) => drawn(count, () => Math.round(random() * 8) / 4 + 1 / 8),
})
const quarters: Make = (shape) => ({
  ...normal(shape),
  values: (random, count) => drawn(count, () => Math.round(random() * 8) / 4),
})

const finite: readonly Case[] = [
  ...binary('add', f.add, smooth, smooth),
  ...binary('sub', f.sub, smooth, smooth),
  ...binary('mul', f.mul, smooth, smooth),
  ...binary('div', f.div, smooth, positive),
  ...binary('maximum', f.maximum, quarters, apart),
  ...binary('minimum', f.minimum, quarters, apart),
  ...binary('pow', f.pow, positive, smooth),
  {
    op: 'maximum',
    name: 'ties share the gradient',
    inputs: [positive([7])],
    call: (x) => f.maximum(x, f.mul(x, 1)),
    without: { 'finite differences': 'a tie is a kink' },
  },
  ...(['eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const).flatMap((op) => [
    ...binary(
      op,
      f[op],
      (s) => constant(quarters(s)),
      (s) => constant(quarters(s)),
    ),
    { op, name: 'int32', inputs: [piecewise([5, 33]), piecewise([33])], call: f[op] },
    { op, name: 'bytes', inputs: [bytes([67]), bytes([67])], call: f[op] },
    { op, name: 'a number', inputs: [constant(quarters([35]))], call: (x: f.Tensor) => f[op](x, 0.5) },
  ]),
  ...(['add', 'sub', 'mul', 'maximum', 'minimum'] as const).map((op) => ({
    op,
    name: 'int32',
    inputs: [integers([4, 35], -1000, 1000), integers([35], -1000, 1000)],
    call: (a: f.Tensor, b: f.Tensor) => f[op](a, b),
  })),
  ...unary('add_scalar', (x) => f.add(f.mul(x, -1.5), 0.25), smooth),
  ...unary('mul_scalar', (x) => f.mul(x, -1.5), smooth),
  ...unary('sub_scalar', (x) => f.sub(2, x), smooth).map((c) => ({ ...c, name: `2 - ${c.name}` })),
  { op: 'mul_scalar', name: 'int32', inputs: [integers([37], -99, 99)], call: (x) => f.mul(f.add(x, 3), -2) },
  ...[2, 3, 0.5, -1, -1.5, 1].flatMap((exponent) =>
    unary('pow_scalar', (x) => f.pow(x, exponent), positive).map((c) => ({ ...c, name: `${c.name} ** ${exponent}` })),
  ),
  ...[2, 3].map((exponent) => ({
    op: 'pow_scalar',
    name: `negative numbers ** ${exponent}`,
    inputs: [awayFrom([33], [0])],
    call: (x: f.Tensor) => f.pow(x, exponent),
  })),
  ...pairs.map(([left, right, length]) => ({
    op: 'where',
    name: `${label(left)} and ${label(right)}`,
    inputs: [bits(left), normal(right), normal(left)],
    call: (c: f.Tensor, a: f.Tensor, b: f.Tensor) => f.where(c, a, b),
    length,
  })),
  { op: 'where', name: 'int32', inputs: [bits([33]), piecewise([33]), piecewise([])], call: f.where },
  {
    op: 'where',
    name: 'a number',
    inputs: [bits([3, 33]), normal([33])],
    call: (c, x) => f.where(c, x, -1),
    length: 3,
  },
  ...unary('neg', f.neg, smooth),
  ...unary('abs', f.abs, kinkAt(0)),
  ...unary('sign', f.sign, kinkAt(0)),
  ...unary('floor', f.floor, (shape) => uniform(shape, 0.1, 0.9)),
  ...unary('square', f.square, smooth),
  ...unary('exp', f.exp, smooth),
  ...unary('log', f.log, positive),
  ...unary('log1p', f.log1p, (shape) => uniform(shape, -0.5, 3)),
  ...unary('sqrt', f.sqrt, positive),
  ...unary('rsqrt', f.rsqrt, positive),
  ...unary('reciprocal', f.reciprocal, positive),
  ...unary('sin', f.sin, smooth),
  ...unary('cos', f.cos, smooth),
  ...unary('erf', f.erf, smooth),
  ...(['neg', 'abs', 'sign', 'square'] as const).map((op) => ({
    op,
    name: 'int32',
    inputs: [integers([69], -1000, 1000)],
    call: (x: f.Tensor) => f[op](x),
  })),
  ...unary('clamp', (x) => f.clamp(x, -1, 0.5), kinkAt(-1, 0.5)),
  { op: 'clamp', name: 'from below only', inputs: [awayFrom([35], [0.5])], call: (x) => f.clamp(x, 0.5) },
  { op: 'clamp', name: 'int32', inputs: [integers([35], -9, 9)], call: (x) => f.clamp(x, -3, 4) },
  {
    op: 'clamp',
    name: 'between tensors',
    inputs: [normal([5, 7], 2), normal([7]), normal([5, 1], 1, 0.7)],
    call: (x, low, high) => f.clamp(x, low, high),
    length: 35,
  },
  {
    op: 'clamp',
    name: 'a tensor on one side',
    inputs: [normal([5, 7], 2), normal([7])],
    call: (x, limit) => [f.clamp(x, limit), f.clamp(x, null, limit), f.clamp(x, -1, limit)],
    length: 10,
  },
  {
    op: 'clamp',
    name: 'of int32 between tensors',
    inputs: [integers([35], -9, 9), integers([35], -4, 2)],
    call: (x, low) => f.clamp(x, low, 3),
  },
  ...unary(
    'cast',
    (x) => x.to('int32'),
    (shape) => constant(normal(shape, 100)),
  ).map((c) => ({
    ...c,
    name: `${c.name} to int32`,
  })),
  ...(['bfloat16', 'float16', 'uint8', 'bool'] as const).map((dtype) => ({
    op: 'cast',
    name: `to ${dtype} and back`,
    // The operands are positive and below 256, which both C++ and JavaScript define for bytes.
    inputs: [constant(uniform([3, 35], 0, 255))],
    call: (x: f.Tensor) => x.to('float32').to(dtype).to('float32'),
  })),
  ...(['q8_0', 'q4_0', 'nf4'] as const).map((dtype) => ({
    op: 'cast',
    name: `to ${dtype} and back`,
    inputs: [constant(normal([5, 192]))],
    call: (x: f.Tensor) => x.to(dtype).to(x.dtype),
  })),
  { op: 'cast', name: 'int32 to float32', inputs: [integers([67], -9, 9)], call: (x) => x.to('float32') },
  { op: 'cast', name: 'bool to float32', inputs: [bits([67])], call: (x) => x.to('float32') },
  {
    op: 'cast',
    name: 'with a gradient through bfloat16',
    inputs: [normal([33])],
    call: (x) => x.to('bfloat16').to(x.dtype),
    without: {
      'finite differences': 'rounding makes steps',
      devices: 'values near a step round to either side, depending on the float32 they came from',
    },
  },
  ...unary('relu', f.relu, kinkAt(0)),
  { op: 'relu', name: 'int32', inputs: [integers([67], -9, 9)], call: f.relu },
  ...unary('sigmoid', f.sigmoid, smooth),
  ...unary('tanh', f.tanh, smooth),
  ...unary('silu', f.silu, smooth),
  ...unary('mish', f.mish, smooth),
  ...unary('hardswish', f.hardswish, kinkAt(-3, 3)),
  ...unary('gelu', f.gelu, smooth),
  ...unary('gelu', (x) => f.gelu(x, { approximate: 'tanh' }), smooth).map((c) => ({ ...c, name: `${c.name} tanh` })),
  ...unary('softplus', f.softplus, smooth),
  {
    op: 'softplus',
    name: 'beta and threshold',
    inputs: [awayFrom([67], [1])],
    call: (x) => f.softplus(x, { beta: 2, threshold: 2 }),
    without: { 'finite differences': 'it jumps at the threshold: only near it, but so would a step' },
  },
  ...unary('elu', (x) => f.elu(x, { alpha: 0.7 }), kinkAt(0)),
  ...unary('leakyRelu', (x) => f.leakyRelu(x, { negativeSlope: 0.2 }), kinkAt(0)),
]

/** Arguments at the ends of the numbers. Results that are NaN, infinite or zero are the same on every device. */
const special = exactly([11], 'float', [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0,
  -0,
  1,
  -1,
  20,
  -20,
  87,
  -87,
])
const ends: readonly [string, (x: f.Tensor) => f.Tensor][] = [
  ...(
    ['neg', 'abs', 'sign', 'floor', 'square', 'exp', 'log', 'log1p', 'sqrt', 'rsqrt', 'reciprocal', 'erf'] as const
  ).map((op): [string, (x: f.Tensor) => f.Tensor] => [op, f[op]]),
  ...(['relu', 'sigmoid', 'tanh', 'gelu', 'softplus', 'elu', 'hardswish', 'silu', 'mish'] as const).map(
    (op): [string, (x: f.Tensor) => f.Tensor] => [op, (x) => f[op](x)],
  ),
  ['leakyRelu', (x) => f.leakyRelu(x)],
  ['clamp', (x) => f.clamp(x, -2, 3)],
  ['maximum', (x) => f.maximum(x, f.mul(x, -1))],
  ['minimum', (x) => f.minimum(f.mul(x, -1), x)],
  ['pow_scalar', (x) => f.pow(x, 3)],
  ['gt', (x) => f.gt(x, f.mul(x, -1))],
  ['eq', (x) => f.eq(x, x)],
  ['where', (x) => f.where(f.gt(x, 0), x, f.exp(x))],
]

const atEnds: readonly Case[] = ends.map(([op, fn]) => ({
  op,
  name: 'NaN, infinities and zeros',
  inputs: [{ ...special, differentiable: true }],
  call: fn,
  without: noSteps,
}))

const parts = [functions, activations, pairsOfTensors, bitwise]

export const cases: readonly Case[] = [...finite, ...atEnds, ...parts.flatMap((part) => part.cases)]

const x = normal([3, 4])

/** The number of cases that are excused, by check. */
export const excused = { 'finite differences': 44, devices: 1 }

export const errors: readonly ErrorCase[] = [
  ...parts.flatMap((part) => part.errors),
  {
    op: 'add',
    name: 'shapes that do not broadcast',
    code: 'ERR_SHAPE',
    mentions: ['[3, 4]', '[3]'],
    call: (make) => f.add(make(x), make(normal([3]))),
  },
  {
    op: 'exp',
    name: 'integers',
    code: 'ERR_DTYPE',
    mentions: ['int32', 'float32'],
    call: (make) => f.exp(make(integers([4], 0, 9))),
  },
  ...(['add', 'sub', 'mul', 'maximum', 'minimum', 'clamp'] as const).flatMap((op) =>
    (op === 'clamp' ? [1.5, 2 ** 31, Number.NaN] : [2 ** 31, -(2 ** 40)]).map((number) => ({
      op,
      name: `int32 and ${number}`,
      code: 'ERR_DTYPE' as const,
      mentions: ['int32', `${number}`, ".to('float32')"],
      call: (make: (input: Input) => f.Tensor) =>
        (f[op] as (x: f.Tensor, number: number) => f.Tensor)(make(integers([4], 0, 9)), number),
    })),
  ),
  {
    op: 'where',
    name: 'uint8 and 256',
    code: 'ERR_DTYPE',
    mentions: ['uint8', '256', ".to('int32')"],
    call: (make) => f.where(make(bits([4])), make(bytes([4])), 256),
  },
  {
    op: 'elu',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'alpha'],
    call: (make) => f.elu(make(x), { alpha: Number.NaN }),
  },
  {
    op: 'leakyRelu',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'negativeSlope'],
    call: (make) => f.leakyRelu(make(x), { negativeSlope: Number.NaN }),
  },
  {
    op: 'softplus',
    name: 'NaN',
    code: 'ERR_VALUE',
    mentions: ['NaN', 'beta'],
    call: (make) => f.softplus(make(x), { beta: Number.NaN }),
  },
  {
    op: 'softplus',
    name: 'beta 0',
    code: 'ERR_VALUE',
    mentions: ['0'],
    call: (make) => f.softplus(make(x), { beta: 0 }),
  },
  {
    op: 'where',
    name: 'a condition of floats',
    code: 'ERR_DTYPE',
    mentions: ['condition', 'bool', 'float32'],
    call: (make) => f.where(make(x), make(x), make(x)),
  },
]

export const layers: readonly PublicCall[] = activations.layers

export const calls: readonly PublicCall[] = [
  ...parts.flatMap((part) => part.calls),
  ...[
    ...([
      'relu',
      'sigmoid',
      'tanh',
      'silu',
      'mish',
      'hardswish',
      'neg',
      'abs',
      'sign',
      'floor',
      'square',
      'exp',
    ] as const),
    ...(['log', 'log1p', 'sqrt', 'rsqrt', 'reciprocal', 'sin', 'cos', 'erf'] as const),
  ].map((name) => sound(name, f[name], () => [t(2, 3)])),
  ...(['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const).flatMap(
    (name) => [sound(name, f[name], () => [t(2, 3), t(3)]), sound(name, f[name], () => [t(2, 3), 2])],
  ),
  sound('where', f.where, () => [bools(2, 3), t(2, 3), t(2, 3)]),
  sound('clamp', f.clamp, () => [t(2, 3), 0, 1]),
  sound('gelu', f.gelu, () => [t(3), { approximate: 'tanh' }]),
  sound('softplus', f.softplus, () => [t(3), { beta: 1, threshold: 20 }]),
  sound('elu', f.elu, () => [t(3), { alpha: 1 }]),
  sound('leakyRelu', f.leakyRelu, () => [t(3), { negativeSlope: 0.1 }]),
]

const unaryNames = [
  ...['abs', 'cos', 'elu', 'erf', 'exp', 'floor', 'gelu', 'hardswish', 'leakyRelu', 'log'],
  ...['log1p', 'mish', 'neg', 'reciprocal', 'relu', 'rsqrt', 'sigmoid', 'sign', 'silu', 'sin', 'softplus', 'sqrt'],
  ...['square', 'tanh'],
]
const binaryNames = ['add', 'sub', 'mul', 'div', 'maximum', 'minimum', 'pow', 'eq', 'ne', 'lt', 'le', 'gt', 'ge']

export const zeroSizes: { readonly [call: string]: ZeroSizes } = {
  ...functions.zeroSizes,
  ...activations.zeroSizes,
  ...pairsOfTensors.zeroSizes,
  ...bitwise.zeroSizes,
  ...named(unaryNames, (fn: Unary) => unaryZeros(fn)),
  ...named(binaryNames, (fn: (a: f.Tensor, b: f.Tensor) => f.Tensor) => ({
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [positive([m, n]), positive([n])],
    call: ([a, b]) => fn(a as f.Tensor, b as f.Tensor),
  })),
  where: {
    sizes: mn,
    inputs: ({ m = 0, n = 0 }) => [bits([m, n]), normal([m, n]), normal([1, n])],
    call: ([c, a, b]) => f.where(c as f.Tensor, a as f.Tensor, b as f.Tensor),
  },
  clamp: unaryZeros((x) => f.clamp(x, 0, 1)),
}

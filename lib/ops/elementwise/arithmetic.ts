/** Arithmetic of two tensors, with broadcasting. */

import { apply, type Operator } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { DTypeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { castTo } from '../convert.js'
import { kernel, operator } from '../operator.js'
import { zerosLike } from '../views.js'
import { besideNumber, binary, both, combined, none, theOther } from './binary.js'
import { eq, ge, gt, lt, where } from './compare.js'
import { quotient } from './division.js'
import { abs, log, neg } from './functions.js'
import { checkNumber } from './numbers.js'
import type {
  BinaryMethod,
  Fits,
  FitsShape,
  FloatResult,
  Operand,
  Promoted,
  PromotedFloat,
  Result,
  With,
} from './operand.js'

const records = {
  add: binary('add', none, (_x, g) => g),
  sub: binary('sub', none, (_x, g, i) => (i === 0 ? g : neg(g))),
  mul: binary('mul', theOther, (x, g, i) => mul(g, x(1 - i))),
  div: binary(
    'div',
    (needs) => (needs[1] ? both : [1]),
    // The gradient of b does not use the square of b, which leaves the range of the dtype long before the quotient
    // does.
    (x, g, i) => (i === 0 ? div(g, x(1)) : neg(mul(g, div(div(x(0), x(1)), x(1))))),
  ),
  maximum: binary(
    'maximum',
    () => both,
    (x, g, i) => share(g, x(i), x(1 - i), 'lt'),
  ),
  minimum: binary(
    'minimum',
    () => both,
    (x, g, i) => share(g, x(i), x(1 - i), 'gt'),
  ),
  pow: binary(
    'pow',
    () => both,
    (x, g, i) => mul(g, i === 0 ? slopeOfBase(x(0), x(1)) : slopeOfExponent(x(0), x(1))),
  ),
}

/** The share of a gradient that an operand gets: none where it loses, half at a tie. NaN never loses. */
function share(g: Tensor, a: Tensor, b: Tensor, loses: 'gt' | 'lt'): Tensor {
  return where(loses === 'gt' ? gt(a, b) : lt(a, b), 0, where(eq(a, b), mul(g, 0.5), g))
}

/** The smallest normal float32. Smaller numbers may have no finite reciprocal. */
const leastNormal = 2 ** -126

/** y x^(y - 1). It is 0 at y = 0 even if x^-1 is not finite, because x^0 is 1 for every x, NaN included. */
function slopeOfBase(x: Tensor, y: Tensor): Tensor {
  const less = sub(y, 1)
  return mul(y, pow(x, where(eq(y, 0), where(ge(abs(x), leastNormal), less, 0), less)))
}

/** x^y log x. It is 0 at x = 0 and y >= 0; another x is used there to keep the derivatives of log finite. */
function slopeOfExponent(x: Tensor, y: Tensor): Tensor {
  const constant = ge(where(eq(x, 0), y, -1), 0)
  const base = where(constant, 1, x)
  return mul(pow(base, y), log(base))
}

interface Affine {
  readonly scale: number
  readonly shift: number
}

/**
 * The record of x * scale + shift, which covers arithmetic of a tensor and a number. Each operator has its own, so that
 * errors name the called function.
 */
function scalarRecord(op: 'add' | 'sub' | 'mul'): Operator<[x: Tensor], Affine> {
  return operator<[x: Tensor], Affine>({
    name: `${op}_scalar`,
    op,
    inputs: ['the other operand'],
    infer: (inputs) => like(inputs[0]),
    forward: kernel('affine', (inputs, { scale, shift }, { out }) => ({ out, x: inputs[0], scale, shift })),
    gradient: {
      saves: () => ({}),
      backward: ({ attrs }, [g]) => [
        attrs.scale === 1 ? g : apply(scalarRecords.mul, [g], { scale: attrs.scale, shift: -0 }),
      ],
    },
  })
}

const scalarRecords = {
  add: scalarRecord('add'),
  sub: scalarRecord('sub'),
  mul: scalarRecord('mul'),
}

/**
 * x * scale + shift, which stands for x `op` value or value `op` x. A product has the shift -0, because adding 0 turns
 * -0 into 0.
 */
function scaled(op: keyof typeof scalarRecords, x: Tensor, scale: number, shift: number, value: number): Tensor {
  // A value that is not a tensor, such as null, has no dtype. The operator's own checks refuse it.
  const dtype = x?.dtype
  if (dtype !== 'int32' && dtype !== 'uint8' && dtype !== 'bool') return apply(scalarRecords[op], [x], { scale, shift })
  if (dtype === 'bool' && op === 'sub')
    throw new DTypeError(op, "takes no tensor of bool; convert it with .to('int32')")
  const other = besideNumber(x, value)
  if (other.dtype === 'float32') return apply(scalarRecords[op], [other], { scale, shift })
  checkNumber(op, value, other.dtype)
  // x - (-2 ** 31) wraps around, as all sums of int32 do.
  return castTo(apply(scalarRecords[op], [castTo(other, 'int32')], { scale, shift: shift | 0 }), other.dtype)
}

/** a + b with broadcasting. Either may be a number. Throws ShapeError, DTypeError. */
export function add<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'add'>): Result<A, B>
export function add(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('add', a, 1, b, b)
  if (typeof a === 'number' && typeof b !== 'number') return scaled('add', b, 1, a, a)
  return combined(records.add, null, a, b)
}

/** a - b with broadcasting. */
export function sub<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'sub'>): Result<A, B>
export function sub(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('sub', a, 1, -b, b)
  if (typeof a === 'number' && typeof b !== 'number') return scaled('sub', b, -1, a, a)
  return combined(records.sub, null, a, b, 'integers')
}

/** a * b, element by element, with broadcasting. */
export function mul<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'mul'>): Result<A, B>
export function mul(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return scaled('mul', a, b, -0, b)
  if (typeof a === 'number' && typeof b !== 'number') return scaled('mul', b, a, -0, a)
  return combined(records.mul, null, a, b)
}

/** The dtype of a quotient. The rounding mode decides whether integers give an integer or a float. */
type Quotient<A extends Operand, B extends Operand> = Result<A, B> | FloatResult<A, B>

export interface DivOptions {
  /** Null, the default, does not round. 'trunc' rounds towards 0 and 'floor' downwards, both without a gradient. */
  readonly roundingMode?: 'trunc' | 'floor' | null
}

const divNames: OptionNames<DivOptions> = { roundingMode: true }

/**
 * a / b with broadcasting. Integers become float32, unless a rounding mode is given; a divisor of 0 is then a late
 * error. Throws ValueError for an unknown rounding mode.
 */
export function div<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'div'>): FloatResult<A, B>
export function div<A extends Operand, B extends Operand>(
  a: A,
  b: B & Fits<A, B, 'div'>,
  options: DivOptions,
): Quotient<A, B>
export function div(a: Operand, b: Operand, options?: DivOptions): Tensor {
  if (options === undefined) return combined(records.div, null, a, b, 'floats')
  const { roundingMode = null } = checkOptions('div', options, divNames)
  if (roundingMode === null) return combined(records.div, null, a, b, 'floats')
  if (roundingMode !== 'trunc' && roundingMode !== 'floor')
    throw new ValueError('div', `roundingMode is ${shown(roundingMode)}, but must be 'trunc', 'floor' or null`)
  return quotient(a, b, roundingMode)
}

/** The larger of each pair; NaN if either is NaN. */
export function maximum<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'maximum'>): Result<A, B>
export function maximum(a: Operand, b: Operand): Tensor {
  return combined(records.maximum, null, a, b)
}

/** The smaller of each pair; NaN if either is NaN. */
export function minimum<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'minimum'>): Result<A, B>
export function minimum(a: Operand, b: Operand): Tensor {
  return combined(records.minimum, null, a, b)
}

const powScalar = operator<[x: Tensor], number>({
  name: 'pow_scalar',
  op: 'pow',
  infer: ([x]) => like(x),
  forward: kernel('pow_scalar', ([x], exponent, { out }) => ({ out, x, exponent })),
  gradient: {
    saves: () => ({ inputs: [0] }),
    // x^0 is 1 for every x, NaN and 0 included.
    backward: (ctx, [g]) => [ctx.attrs === 0 ? zerosLike(g) : mul(g, mul(pow(ctx.input(0), ctx.attrs - 1), ctx.attrs))],
  },
})

function powOfNumber(x: Tensor, exponent: number): Tensor {
  const dtype = x?.dtype
  if (dtype !== 'int32' && dtype !== 'uint8' && dtype !== 'bool') return apply(powScalar, [x], exponent)
  const other = besideNumber(x, exponent)
  if (other.dtype === 'float32') return apply(powScalar, [other], exponent)
  if (exponent < 0)
    throw new DTypeError(
      'pow',
      `a tensor of ${dtype} to the power of ${exponent} is not made of integers; convert it with .to('float32')`,
    )
  checkNumber('pow', exponent, other.dtype)
  return castTo(apply(powScalar, [castTo(other, 'int32')], exponent), other.dtype)
}

/**
 * a to the power of b, with broadcasting. Integers wrap around. A negative exponent of two integer tensors gives the
 * truncated 1 / a^-b. The exponents 0.5 and -0.5, as numbers, are sqrt and rsqrt, so that -infinity gives NaN.
 */
export function pow<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'pow'>): Result<A, B>
export function pow(a: Operand, b: Operand): Tensor {
  if (typeof b === 'number' && typeof a !== 'number') return powOfNumber(a, b)
  return combined(records.pow, null, a, b, 'integers')
}

// Covariant by annotation: see core/methods.ts.
/** @ts-expect-error TS2636, as core/methods.ts says */
type DivMethod<out S extends Shape, out D extends DType> = {
  <B extends Operand>(b: B & FitsShape<S, B, 'div'>): Tensor<With<S, B>, PromotedFloat<D, B>>
  <B extends Operand>(
    b: B & FitsShape<S, B, 'div'>,
    options: DivOptions,
  ): Tensor<With<S, B>, Promoted<D, B> | PromotedFloat<D, B>>
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    add: BinaryMethod<S, D, 'add'>
    sub: BinaryMethod<S, D, 'sub'>
    mul: BinaryMethod<S, D, 'mul'>
    div: DivMethod<S, D>
    pow: BinaryMethod<S, D, 'pow'>
    maximum: BinaryMethod<S, D, 'maximum'>
    minimum: BinaryMethod<S, D, 'minimum'>
  }
}

defineMethods({
  add(b: Operand) {
    return add(this, b)
  },
  sub(b: Operand) {
    return sub(this, b)
  },
  mul(b: Operand) {
    return mul(this, b)
  },
  div(b: Operand, options?: DivOptions) {
    return options === undefined ? div(this, b) : div(this, b, options)
  },
  pow(b: Operand) {
    return pow(this, b)
  },
  maximum(b: Operand) {
    return maximum(this, b)
  },
  minimum(b: Operand) {
    return minimum(this, b)
  },
})

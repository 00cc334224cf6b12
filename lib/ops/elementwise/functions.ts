/** Functions of one tensor: signs, powers, exponentials, rounding, special values. */

import { checkDType, checkTensor } from '../../autograd/operator.js'
import { type DType, isFloating } from '../../core/dtype.js'
import { namedAs, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, checkScalar } from '../common.js'
import { castTo } from '../convert.js'
import { once } from '../widened.js'
import { add, div, mul, sub } from './arithmetic.js'
import { clamp } from './clamp.js'
import { eq, ge, le, ne, where } from './compare.js'
import { nothing, simple } from './unary.js'

export const neg = simple('neg', 'nothing', (g) => neg(g))
export const abs = simple('abs', 'x', (g, x) => mul(g, sign(x)))
export const sign = simple('sign', 'nothing', nothing)
export const floor = simple('floor', 'nothing', nothing)
export const ceil = simple('ceil', 'nothing', nothing)
/** The whole part, towards 0. */
export const trunc = simple('trunc', 'nothing', nothing)
const nearest = simple('round', 'nothing', nothing)
export const square = simple('square', 'x', (g, x) => mul(g, mul(x, 2)))
export const exp = simple('exp', 'y', (g, y) => mul(g, y))
/** exp(x) - 1, exact near 0 */
export const expm1 = simple('expm1', 'y', (g, y) => mul(g, add(y, 1)))
export const exp2 = simple('exp2', 'y', (g, y) => mul(g, mul(y, Math.LN2)))
export const log = simple('log', 'x', (g, x) => div(g, x))
export const log2 = simple('log2', 'x', (g, x) => div(g, mul(x, Math.LN2)))
export const log10 = simple('log10', 'x', (g, x) => div(g, mul(x, Math.LN10)))
/** log(1 + x), exact near 0 */
export const log1p = simple('log1p', 'x', (g, x) => div(g, add(x, 1)))
export const sqrt = simple('sqrt', 'y', (g, y) => div(g, mul(y, 2)))
export const rsqrt = simple('rsqrt', 'y', (g, y) => mul(g, mul(mul(y, square(y)), -0.5)))
export const reciprocal = simple('reciprocal', 'y', (g, y) => neg(mul(g, square(y))))
export const erf = simple('erf', 'x', (g, x) => mul(g, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))))
/** 1 - erf(x), exact where that is small */
export const erfc = simple('erfc', 'x', (g, x) => mul(g, mul(exp(neg(square(x))), -2 / Math.sqrt(Math.PI))))
/** The y with erf(y) = x; infinite at 1 and -1, NaN beyond. */
export const erfinv = simple('erfinv', 'y', (g, y) => mul(g, mul(exp(square(y)), Math.sqrt(Math.PI) / 2)))

/** x - trunc(x): has the sign of x. */
export function frac<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function frac(x: Tensor): Tensor {
  checkDType('frac', 'x', x, anyFloating)
  return namedAs('frac', () => sub(x, trunc(x)))
}

/**
 * Rounds to the nearest whole number, ties to the even one. With `decimals`, rounds to that many digits after the point
 * (before it, if negative). Throws ValueError unless `decimals` is an integer.
 */
export function round<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: RoundOptions): Tensor<S, D>
export function round(x: Tensor, options: RoundOptions = {}): Tensor {
  const { decimals = 0 } = checkOptions('round', options, { decimals: true })
  if (!Number.isInteger(decimals))
    throw new ValueError('round', `decimals is ${shown(decimals)}, but must be an integer`)
  if (decimals === 0) return nearest(x)
  checkDType('round', 'x', x, anyFloating)
  const scale = 10 ** Math.abs(decimals)
  return once('round', [x], (v) =>
    decimals > 0 ? div(nearest(mul(v, scale)), scale) : mul(nearest(div(v, scale)), scale),
  )
}

export interface RoundOptions {
  /** Default 0. */
  readonly decimals?: number
}

/** Radians in degrees: 180 / pi x. */
export const rad2deg = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> =>
  scaledBy('rad2deg', x, 180 / Math.PI)
/** Degrees in radians: pi / 180 x. */
export const deg2rad = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> =>
  scaledBy('deg2rad', x, Math.PI / 180)

function scaledBy<S extends Shape, D extends DType>(op: string, x: Tensor<S, D>, factor: number): Tensor<S, D>
function scaledBy(op: string, x: Tensor, factor: number): Tensor {
  checkDType(op, 'x', x, anyFloating)
  return namedAs(op, () => mul(x, factor))
}

export interface LogitOptions {
  /** Clamps x to [eps, 1 - eps]. Null, the default, does not clamp, and numbers outside [0, 1] give NaN. */
  readonly eps?: number | null
}

/** log(x / (1 - x)), the inverse of sigmoid. */
export function logit<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: LogitOptions): Tensor<S, D>
export function logit(x: Tensor, options: LogitOptions = {}): Tensor {
  const { eps = null } = checkOptions('logit', options, { eps: true })
  checkDType('logit', 'x', x, anyFloating)
  if (eps !== null) checkScalar('logit', 'eps', eps)
  return once('logit', [x], (v) => {
    // The factor NaN makes the gradient NaN too.
    const within = () => castTo(where(ge(v, 0), where(le(v, 1), 1, Number.NaN), Number.NaN), v.dtype)
    const p = eps === null ? mul(v, within()) : clamp(v, eps, 1 - eps)
    return sub(log(p), log1p(neg(p)))
  })
}

export interface NanToNumOptions {
  /** The number for NaN. Default 0. */
  readonly nan?: number
  /** The number for infinity. Null, the default, is the largest number of the dtype. */
  readonly posinf?: number | null
  /** The number for -infinity. Null, the default, is the least number of the dtype. */
  readonly neginf?: number | null
}

const nanToNumNames: OptionNames<NanToNumOptions> = { nan: true, posinf: true, neginf: true }
const largest: { readonly [D in DType]?: number } = {
  float64: Number.MAX_VALUE,
  bfloat16: 255 * 2 ** 120,
}

/**
 * Replaces NaN and infinities by numbers, which have no gradient. Returns x itself if it holds integers. Throws
 * ValueError if a replacement is not a number.
 */
export function nanToNum<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: NanToNumOptions): Tensor<S, D>
export function nanToNum(x: Tensor, options: NanToNumOptions = {}): Tensor {
  const { nan = 0, posinf = null, neginf = null } = checkOptions('nanToNum', options, nanToNumNames)
  checkTensor('nanToNum', 'x', x)
  for (const [name, value] of Object.entries({ nan, posinf: posinf ?? 0, neginf: neginf ?? 0 }))
    if (typeof value !== 'number') throw new ValueError('nanToNum', `${name} is ${shown(value)}, but must be a number`)
  if (!isFloating(x.dtype)) return x
  const limit = largest[x.dtype] ?? 2 ** 128 - 2 ** 104
  const finite = where(eq(x, Number.NEGATIVE_INFINITY), neginf ?? -limit, x)
  return where(ne(x, x), nan, where(eq(x, Number.POSITIVE_INFINITY), posinf ?? limit, finite))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    neg(): Tensor<S, D>
    abs(): Tensor<S, D>
    sign(): Tensor<S, D>
    square(): Tensor<S, D>
    exp(): Tensor<S, D>
    exp2(): Tensor<S, D>
    expm1(): Tensor<S, D>
    log(): Tensor<S, D>
    log2(): Tensor<S, D>
    log10(): Tensor<S, D>
    log1p(): Tensor<S, D>
    sqrt(): Tensor<S, D>
    rsqrt(): Tensor<S, D>
    reciprocal(): Tensor<S, D>
    erf(): Tensor<S, D>
    erfc(): Tensor<S, D>
    erfinv(): Tensor<S, D>
    floor(): Tensor<S, D>
    ceil(): Tensor<S, D>
    trunc(): Tensor<S, D>
    frac(): Tensor<S, D>
    rad2deg(): Tensor<S, D>
    deg2rad(): Tensor<S, D>
    round(options?: RoundOptions): Tensor<S, D>
    logit(options?: LogitOptions): Tensor<S, D>
    nanToNum(options?: NanToNumOptions): Tensor<S, D>
  }
}

defineMethods({
  neg() {
    return neg(this)
  },
  abs() {
    return abs(this)
  },
  sign() {
    return sign(this)
  },
  square() {
    return square(this)
  },
  exp() {
    return exp(this)
  },
  exp2() {
    return exp2(this)
  },
  expm1() {
    return expm1(this)
  },
  log() {
    return log(this)
  },
  log2() {
    return log2(this)
  },
  log10() {
    return log10(this)
  },
  log1p() {
    return log1p(this)
  },
  sqrt() {
    return sqrt(this)
  },
  rsqrt() {
    return rsqrt(this)
  },
  reciprocal() {
    return reciprocal(this)
  },
  erf() {
    return erf(this)
  },
  erfc() {
    return erfc(this)
  },
  erfinv() {
    return erfinv(this)
  },
  floor() {
    return floor(this)
  },
  ceil() {
    return ceil(this)
  },
  trunc() {
    return trunc(this)
  },
  frac() {
    return frac(this)
  },
  rad2deg() {
    return rad2deg(this)
  },
  deg2rad() {
    return deg2rad(this)
  },
  round(options?: RoundOptions) {
    return round(this, options)
  },
  logit(options?: LogitOptions) {
    return logit(this, options)
  },
  nanToNum(options?: NanToNumOptions) {
    return nanToNum(this, options)
  },
})

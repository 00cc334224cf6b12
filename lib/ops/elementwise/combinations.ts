/** Functions of two and three tensors that are not plain arithmetic. */

import { checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { namedAs, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkScalar } from '../common.js'
import { castTo } from '../convert.js'
import { zerosLike } from '../views.js'
import { once } from '../widened.js'
import { softplus } from './activations.js'
import { add, div, mul, sub } from './arithmetic.js'
import { alike, binary, both, combined } from './binary.js'
import { eq, ge, gt, le, lt, ne, where } from './compare.js'
import { abs, log, neg, square } from './functions.js'
import type { BinaryMethod, Fits, FloatMethod, FloatResult, Operand, Result } from './operand.js'

const records = {
  atan2: binary(
    'atan2',
    () => both,
    (x, g, i) => {
      const squares = add(square(x(0)), square(x(1)))
      // At the origin the angle is undefined, so its gradient is set to 0.
      const slope = where(eq(squares, 0), 0, div(x(1 - i), squares))
      return mul(g, i === 0 ? slope : neg(slope))
    },
  ),
  hypot: binary(
    'hypot',
    () => both,
    (x, g, i) => mul(g, div(x(i), hypot(x(0), x(1)))),
  ),
  // The sign of the slope of a's magnitude does not matter where a is 0.
  copysign: binary(
    'copysign',
    (needs) => (needs[0] ? both : [1]),
    (x, g, i) => (i === 1 ? zerosLike(x(1)) : where(eq(x(0), 0), 0, mul(g, div(copysign(x(0), x(1)), x(0))))),
  ),
}

/** The angle of the point (b, a) in (-pi, pi], with broadcasting. */
export function atan2<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'atan2'>): FloatResult<A, B>
export function atan2(a: Operand, b: Operand): Tensor {
  return combined(records.atan2, null, a, b, 'floats')
}

/** sqrt(a^2 + b^2) without overflow, with broadcasting. */
export function hypot<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'hypot'>): FloatResult<A, B>
export function hypot(a: Operand, b: Operand): Tensor {
  return combined(records.hypot, null, a, b, 'floats')
}

/** |a| with the sign of b, broadcast; zeros have signs. */
export function copysign<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'copysign'>): FloatResult<A, B>
export function copysign(a: Operand, b: Operand): Tensor {
  return combined(records.copysign, null, a, b, 'floats')
}

/** log(exp(a) + exp(b)) without overflow, with broadcasting. */
export function logaddexp<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'logaddexp'>): FloatResult<A, B>
export function logaddexp(a: Operand, b: Operand): Tensor {
  return addedExponentials('logaddexp', a, b, 1)
}

/** log2(2^a + 2^b) without overflow, with broadcasting. */
export function logaddexp2<A extends Operand, B extends Operand>(
  a: A,
  b: B & Fits<A, B, 'logaddexp2'>,
): FloatResult<A, B>
export function logaddexp2(a: Operand, b: Operand): Tensor {
  return addedExponentials('logaddexp2', a, b, Math.LN2)
}

/** log(exp(beta a) + exp(beta b)) / beta */
function addedExponentials(op: string, a: Operand, b: Operand, beta: number): Tensor {
  const [x, y] = alike(op, a, b, true)
  return once(op, [x, y], (v, w) => {
    const first = gt(v, w)
    const distance = where(first, sub(w, v), sub(v, w))
    // The difference of two equal infinities is NaN.
    const known = where(eq(v, w), where(ne(distance, distance), 0, distance), distance)
    return add(where(first, v, w), softplus(known, { beta }))
  })
}

/** a log(b), with broadcasting; 0 where a is 0, unless b is NaN. */
export function xlogy<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'xlogy'>): FloatResult<A, B>
export function xlogy(a: Operand, b: Operand): Tensor {
  const [x, y] = alike('xlogy', a, b, true)
  return once('xlogy', [x, y], (v, w) => {
    // The 1 keeps the gradient of the branch that is not taken finite.
    const known = where(eq(v, 0), where(le(w, 0), 1, where(eq(w, Number.POSITIVE_INFINITY), 1, w)), w)
    const product = mul(v, log(known))
    // -0 becomes 0.
    return where(eq(v, 0), add(product, 0), product)
  })
}

/** The larger of two elements, with broadcasting; beside NaN the other one. a has the whole gradient of a tie. */
export function fmax<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'fmax'>): Result<A, B>
export function fmax(a: Operand, b: Operand): Tensor {
  return preferred('fmax', a, b, ge)
}

/** The smaller of two elements, with broadcasting; beside NaN the other one. a has the whole gradient of a tie. */
export function fmin<A extends Operand, B extends Operand>(a: A, b: B & Fits<A, B, 'fmin'>): Result<A, B>
export function fmin(a: Operand, b: Operand): Tensor {
  return preferred('fmin', a, b, le)
}

function preferred(op: string, a: Operand, b: Operand, wins: (a: Tensor, b: Tensor) => Tensor): Tensor {
  const [x, y] = alike(op, a, b)
  return namedAs(op, () => where(wins(x, y), x, where(ne(y, y), x, y)))
}

/** 0 where x is below 0, 1 where it is above, and `values` where it is 0, with broadcasting. The gradient of x is 0. */
export function heaviside<A extends Operand, B extends Operand>(x: A, values: B & Fits<A, B, 'heaviside'>): Result<A, B>
export function heaviside(x: Operand, values: Operand): Tensor {
  const [a, b] = alike('heaviside', x, values)
  return namedAs('heaviside', () => where(eq(a, 0), b, castTo(gt(a, 0), a.dtype)))
}

/**
 * start + weight (end - start), with broadcasting. The weight is a number or a tensor, and the result is exact at 0 and
 * 1. Throws ShapeError, DTypeError.
 */
export function lerp(start: Tensor, end: Tensor, weight: Operand): Tensor {
  checkTensor('lerp', 'start', start)
  checkTensor('lerp', 'end', end)
  if (typeof weight === 'number') {
    checkScalar('lerp', 'weight', weight)
    return once('lerp', [start, end], (a, b) =>
      Math.abs(weight) < 0.5 ? add(a, mul(sub(b, a), weight)) : sub(b, mul(sub(b, a), 1 - weight)),
    )
  }
  checkTensor('lerp', 'weight', weight)
  return once('lerp', [start, end, weight], (a, b, w) => {
    const near = lt(abs(w), 0.5)
    // One product serves both ends, because the gradient of a product that is not taken would be 0 times infinity.
    return add(where(near, a, b), mul(sub(b, a), where(near, w, sub(w, 1))))
  })
}

export interface AddcOptions {
  /** The factor of the product or quotient. Default 1. */
  readonly value?: number
}

/** x + value * a * b, with broadcasting. */
export function addcmul(x: Tensor, a: Tensor, b: Tensor, options: AddcOptions = {}): Tensor {
  return scaledSum('addcmul', x, a, b, options, mul)
}

/** x + value * a / b of floats, with broadcasting. */
export function addcdiv(x: Tensor, a: Tensor, b: Tensor, options: AddcOptions = {}): Tensor {
  return scaledSum('addcdiv', x, a, b, options, div)
}

function scaledSum(
  op: string,
  x: Tensor,
  a: Tensor,
  b: Tensor,
  options: AddcOptions,
  joined: (a: Tensor, b: Tensor) => Tensor,
): Tensor {
  const { value = 1 } = checkOptions(op, options, { value: true })
  if (typeof value !== 'number') throw new ValueError(op, `value is ${typeof value}, but must be a number`)
  for (const [name, tensor] of Object.entries({ x, a, b })) checkTensor(op, name, tensor)
  return once(op, [x, a, b], (sum, left, right) => {
    const term = joined(left, right)
    return add(sum, value === 1 ? term : mul(term, value))
  })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    atan2: FloatMethod<S, D, 'atan2'>
    hypot: FloatMethod<S, D, 'hypot'>
    copysign: FloatMethod<S, D, 'copysign'>
    logaddexp: FloatMethod<S, D, 'logaddexp'>
    logaddexp2: FloatMethod<S, D, 'logaddexp2'>
    fmax: BinaryMethod<S, D, 'fmax'>
    fmin: BinaryMethod<S, D, 'fmin'>
    xlogy: FloatMethod<S, D, 'xlogy'>
    heaviside: BinaryMethod<S, D, 'heaviside'>
    lerp(end: Tensor, weight: Operand): Tensor
    addcmul(a: Tensor, b: Tensor, options?: AddcOptions): Tensor
    addcdiv(a: Tensor, b: Tensor, options?: AddcOptions): Tensor
  }
}

defineMethods({
  atan2(b: Operand) {
    return atan2(this, b)
  },
  hypot(b: Operand) {
    return hypot(this, b)
  },
  copysign(b: Operand) {
    return copysign(this, b)
  },
  logaddexp(b: Operand) {
    return logaddexp(this, b)
  },
  logaddexp2(b: Operand) {
    return logaddexp2(this, b)
  },
  fmax(b: Operand) {
    return fmax(this, b)
  },
  fmin(b: Operand) {
    return fmin(this, b)
  },
  xlogy(b: Operand) {
    return xlogy(this, b)
  },
  heaviside(b: Operand) {
    return heaviside(this, b)
  },
  lerp(end: Tensor, weight: Operand) {
    return lerp(this, end, weight)
  },
  addcmul(a: Tensor, b: Tensor, options?: AddcOptions) {
    return addcmul(this, a, b, options)
  },
  addcdiv(a: Tensor, b: Tensor, options?: AddcOptions) {
    return addcdiv(this, a, b, options)
  },
})

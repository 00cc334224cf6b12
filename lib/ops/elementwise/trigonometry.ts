/** Trigonometric and hyperbolic functions, of angles in radians, and their inverses. */

import { checkDType } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { defineMethods } from '../../core/methods.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { once } from '../widened.js'
import { add, div, mul, sub } from './arithmetic.js'
import { lt, where } from './compare.js'
import { abs, neg, rsqrt, square } from './functions.js'
import { simple } from './unary.js'

/** 1 - x^2, to the last digits near 1 */
const inside = (x: Tensor): Tensor => mul(sub(1, x), add(x, 1))
/** x^2 - 1 of a number that is not negative. At x = -1 itself the factors would give -0. */
const outside = (x: Tensor): Tensor => mul(sub(x, 1), add(x, 1))

export const sin = simple('sin', 'x', (g, x) => mul(g, cos(x)))
export const cos = simple('cos', 'x', (g, x) => neg(mul(g, sin(x))))
export const tan = simple('tan', 'y', (g, y) => mul(g, add(square(y), 1)))
/** NaN beyond [-1, 1]. */
export const asin = simple('asin', 'x', (g, x) => mul(g, rsqrt(inside(x))))
/** NaN beyond [-1, 1]. */
export const acos = simple('acos', 'x', (g, x) => neg(mul(g, rsqrt(inside(x)))))
export const atan = simple('atan', 'x', (g, x) => div(g, add(square(x), 1)))
export const sinh = simple('sinh', 'x', (g, x) => mul(g, cosh(x)))
export const cosh = simple('cosh', 'x', (g, x) => mul(g, sinh(x)))
export const asinh = simple('asinh', 'x', (g, x) => mul(g, rsqrt(add(square(x), 1))))
/** NaN below 1. */
export const acosh = simple('acosh', 'x', (g, x) => mul(g, rsqrt(outside(abs(x)))))
/** Infinite at 1 and -1, NaN beyond. */
export const atanh = simple('atanh', 'x', (g, x) => div(g, inside(x)))

/**
 * sin(a) / a for angles up to 1, as its Taylor series to the term a^18 / 19!. The quotient's own derivatives would
 * lose all digits near 0, and be NaN there.
 */
function sineByAngle(a: Tensor): Tensor {
  const squared = square(a)
  let sum = add(mul(squared, 0), 1)
  for (let k = 18; k > 0; k -= 2) sum = sub(1, mul(mul(squared, sum), 1 / (k * (k + 1))))
  return sum
}

/** sin(pi x) / (pi x), and 1 at 0. */
export function sinc<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function sinc(x: Tensor): Tensor {
  checkDType('sinc', 'x', x, anyFloating)
  return once('sinc', [x], (v) => {
    const angle = mul(v, Math.PI)
    const near = lt(abs(angle), 1)
    const far = where(near, 1, angle)
    return where(near, sineByAngle(where(near, angle, 0)), div(sin(far), far))
  })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    sin(): Tensor<S, D>
    cos(): Tensor<S, D>
    tan(): Tensor<S, D>
    asin(): Tensor<S, D>
    acos(): Tensor<S, D>
    atan(): Tensor<S, D>
    sinh(): Tensor<S, D>
    cosh(): Tensor<S, D>
    asinh(): Tensor<S, D>
    acosh(): Tensor<S, D>
    atanh(): Tensor<S, D>
    sinc(): Tensor<S, D>
  }
}

defineMethods({
  sin() {
    return sin(this)
  },
  cos() {
    return cos(this)
  },
  tan() {
    return tan(this)
  },
  asin() {
    return asin(this)
  },
  acos() {
    return acos(this)
  },
  atan() {
    return atan(this)
  },
  sinh() {
    return sinh(this)
  },
  cosh() {
    return cosh(this)
  },
  asinh() {
    return asinh(this)
  },
  acosh() {
    return acosh(this)
  },
  atanh() {
    return atanh(this)
  },
  sinc() {
    return sinc(this)
  },
})

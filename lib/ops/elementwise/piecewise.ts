/** Piecewise linear activations, and variants of ELU and softplus, composed of other functions. */

import { noGrad } from '../../autograd/mode.js'
import { apply, checkDType } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating, checkScalar, like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { once } from '../widened.js'
import { elu, softplus, tanh } from './activations.js'
import { add, div, mul, sub } from './arithmetic.js'
import { clamp } from './clamp.js'
import { gt, le, lt, where } from './compare.js'
import { abs, expm1, neg } from './functions.js'

const seluAlpha = 1.6732632423543772,
  seluScale = 1.0507009873554805

/** 1.0507 elu(x) with alpha 1.6733, which has a fixed point at mean 0 and variance 1 (Klambauer et al., 2017). */
export function selu<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function selu(x: Tensor): Tensor {
  checkDType('selu', 'x', x, anyFloating)
  return once('selu', [x], (v) => mul(elu(v, { alpha: seluAlpha }), seluScale))
}

/**
 * x where positive, else alpha (exp(x / alpha) - 1): an ELU with slope 1 at 0 (Barron, 2017). Throws ValueError if
 * alpha is 0.
 */
export function celu<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: { alpha?: number }): Tensor<S, D>
export function celu(x: Tensor, options: { alpha?: number } = {}): Tensor {
  const { alpha = 1 } = checkOptions('celu', options, { alpha: true })
  checkScalar('celu', 'alpha', alpha)
  if (alpha === 0) throw new ValueError('celu', 'alpha is 0, but x is divided by it')
  checkDType('celu', 'x', x, anyFloating)
  // The derivative of elu, unlike that of expm1, does not vanish in the rounding of exp(x) - 1 to -1.
  const curve = alpha > 0 ? elu : expm1
  return once('celu', [x], (v) => {
    const positive = gt(v, 0)
    return where(positive, v, mul(curve(div(where(positive, 0, v), alpha)), alpha))
  })
}

/** x / (1 + |x|) */
export function softsign<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function softsign(x: Tensor): Tensor {
  checkDType('softsign', 'x', x, anyFloating)
  return once('softsign', [x], (v) => div(v, add(abs(v), 1)))
}

/** log(sigmoid(x)), without overflow */
export function logSigmoid<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function logSigmoid(x: Tensor): Tensor {
  checkDType('logSigmoid', 'x', x, anyFloating)
  // Above 40, softplus equals its argument to the last digit of a float64. The difference from 0 is never -0.
  return once('logSigmoid', [x], (v) => sub(0, softplus(neg(v), { threshold: 40 })))
}

/** x - tanh(x) */
export function tanhshrink<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function tanhshrink(x: Tensor): Tensor {
  checkDType('tanhshrink', 'x', x, anyFloating)
  return once('tanhshrink', [x], (v) => sub(v, tanh(v)))
}

/** A function of `lambd` with the gradient 1 where |x| > lambd, and 0 elsewhere, where x is NaN too. */
const shrinking = (name: 'softshrink' | 'hardshrink', shrunk: (x: Tensor, lambd: number) => Tensor) =>
  operator<[x: Tensor], number>({
    name,
    infer: ([x]) => like(x),
    forward: ([x], lambd) => noGrad(() => shrunk(x, lambd)),
    gradient: {
      saves: () => ({ inputs: [0] }),
      backward: (ctx, [g]) => [where(gt(abs(ctx.input(0)), ctx.attrs), g, 0)],
    },
  })
const softshrinkOf = shrinking('softshrink', (x, lambd) => sub(x, clamp(x, -lambd, lambd)))
const hardshrinkOf = shrinking('hardshrink', (x, lambd) => where(le(abs(x), lambd), 0, x))

/** x moved towards 0 by lambd, and 0 where |x| <= lambd. Throws ValueError for a lambd below 0. */
export function softshrink<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options?: { lambd?: number },
): Tensor<S, D>
export function softshrink(x: Tensor, options: { lambd?: number } = {}): Tensor {
  const { lambd = 0.5 } = checkOptions('softshrink', options, { lambd: true })
  if (!(checkScalar('softshrink', 'lambd', lambd) >= 0))
    throw new ValueError('softshrink', `lambd is ${lambd}, but must not be negative`)
  checkDType('softshrink', 'x', x, anyFloating)
  return once('softshrink', [x], (v) => apply(softshrinkOf, [v], lambd))
}

/** x, but 0 where |x| <= lambd. */
export function hardshrink<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options?: { lambd?: number },
): Tensor<S, D>
export function hardshrink(x: Tensor, options: { lambd?: number } = {}): Tensor {
  const { lambd = 0.5 } = checkOptions('hardshrink', options, { lambd: true })
  checkScalar('hardshrink', 'lambd', lambd)
  checkDType('hardshrink', 'x', x, anyFloating)
  return once('hardshrink', [x], (v) => apply(hardshrinkOf, [v], lambd))
}

/** x clamped, with the gradient 1 within the limits, and 0 elsewhere: at the limits themselves, and where x is NaN. */
const hardtanhOf = operator<[x: Tensor], { readonly min: number; readonly max: number }>({
  name: 'hardtanh',
  infer: ([x]) => like(x),
  forward: kernel('clamp', ([x], { min, max }, { out }) => ({ out, x, min, max })),
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward(ctx, [g]) {
      const [x, { min, max }] = [ctx.input(0), ctx.attrs]
      return [where(gt(x, min), where(lt(x, max), g, 0), 0)]
    },
  },
})
const limited = (x: Tensor, min: number, max: number): Tensor => apply(hardtanhOf, [x], { min, max })

export interface HardtanhOptions {
  /** Default -1. */
  readonly minVal?: number
  /** Default 1. */
  readonly maxVal?: number
}

/**
 * x clamped to [minVal, maxVal], without a gradient at the limits themselves. Throws ValueError if the limits are
 * reversed.
 */
export function hardtanh<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: HardtanhOptions): Tensor<S, D>
export function hardtanh(x: Tensor, options: HardtanhOptions = {}): Tensor {
  const { minVal = -1, maxVal = 1 } = checkOptions('hardtanh', options, { minVal: true, maxVal: true })
  checkScalar('hardtanh', 'minVal', minVal)
  checkScalar('hardtanh', 'maxVal', maxVal)
  if (minVal > maxVal) throw new ValueError('hardtanh', `minVal is ${minVal}, but must be at most maxVal, ${maxVal}`)
  checkDType('hardtanh', 'x', x, anyFloating)
  return once('hardtanh', [x], (v) => limited(v, minVal, maxVal))
}

/** x clamped to [0, 6] */
export function relu6<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function relu6(x: Tensor): Tensor {
  checkDType('relu6', 'x', x, anyFloating)
  return once('relu6', [x], (v) => limited(v, 0, 6))
}

/** (x + 3) / 6, clamped to [0, 1] */
export function hardsigmoid<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function hardsigmoid(x: Tensor): Tensor {
  checkDType('hardsigmoid', 'x', x, anyFloating)
  return once('hardsigmoid', [x], (v) => div(limited(add(v, 3), 0, 6), 6))
}

/** x where it exceeds `threshold`, else `value`. */
export function threshold<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  threshold: number,
  value: number,
): Tensor<S, D>
export function threshold(x: Tensor, threshold: number, value: number): Tensor {
  checkScalar('threshold', 'threshold', threshold)
  checkScalar('threshold', 'value', value)
  checkDType('threshold', 'x', x, anyFloating)
  return once('threshold', [x], (v) => where(le(v, threshold), value, v))
}

/** Functions of one tensor: powers, exponentials, rounding, limits. */

import { noGrad } from '../../autograd/mode.js'
import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { zerosLike } from '../views.js'
import { add, div, ge, le, maximum, minimum, mul, where } from './arithmetic.js'
import { checkNumber } from './numbers.js'

/** The names of kernels of one tensor, all with the arguments of `exp`. */
type UnaryName =
  | 'neg'
  | 'abs'
  | 'sign'
  | 'square'
  | 'exp'
  | 'log'
  | 'log1p'
  | 'sqrt'
  | 'rsqrt'
  | 'reciprocal'
  | 'sin'
  | 'cos'
  | 'erf'
  | 'floor'
type Derivative = (g: Tensor, saved: Tensor) => Tensor

/** A function of one tensor without options. `derivative` gives dy/dx * g from the saved input (x) or output (y). */
function simple(name: UnaryName, saved: 'x' | 'y' | 'nothing', derivative: Derivative) {
  const record = operator<[x: Tensor]>({
    name,
    infer: (inputs) => like(inputs[0]),
    forward: kernel(name, (inputs, _attrs, { out }) => ({ out, x: inputs[0] })),
    gradient: {
      saves: () => (saved === 'x' ? { inputs: [0] } : saved === 'y' ? { outputs: [0] } : {}),
      backward: (ctx, [g]) => [derivative(g, saved === 'x' ? ctx.input(0) : saved === 'y' ? ctx.output(0) : g)],
    },
  })
  function call<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
  function call(x: Tensor): Tensor {
    return apply(record, [x], null)
  }
  return call
}

/** Of what is constant. A function, because the two modules import each other. */
const nothing: Derivative = (g) => zerosLike(g)

export const neg = simple('neg', 'nothing', (g) => neg(g))
export const abs = simple('abs', 'x', (g, x) => mul(g, sign(x)))
export const sign = simple('sign', 'nothing', nothing)
export const floor = simple('floor', 'nothing', nothing)
export const square = simple('square', 'x', (g, x) => mul(g, mul(x, 2)))
export const exp = simple('exp', 'y', (g, y) => mul(g, y))
export const log = simple('log', 'x', (g, x) => div(g, x))
export const log1p = simple('log1p', 'x', (g, x) => div(g, add(x, 1)))
export const sqrt = simple('sqrt', 'y', (g, y) => div(g, mul(y, 2)))
export const rsqrt = simple('rsqrt', 'y', (g, y) => mul(g, mul(mul(y, square(y)), -0.5)))
export const reciprocal = simple('reciprocal', 'y', (g, y) => neg(mul(g, square(y))))
export const sin = simple('sin', 'x', (g, x) => mul(g, cos(x)))
export const cos = simple('cos', 'x', (g, x) => neg(mul(g, sin(x))))
export const erf = simple('erf', 'x', (g, x) => mul(g, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))))

const clampRecord = operator<[x: Tensor], { readonly min: number; readonly max: number }>({
  name: 'clamp',
  infer: ([x]) => like(x),
  forward: kernel('clamp', ([x], { min, max }, { out }) => ({ out, x, min, max })),
  composite([x], { min, max }) {
    // `maximum` and `minimum` share a gradient at a tie; x itself has the whole of it within the limits, and there is none beyond.
    const limited = noGrad(() => {
      const above = min === Number.NEGATIVE_INFINITY ? x : maximum(x, min)
      return max === Number.POSITIVE_INFINITY ? above : minimum(above, max)
    })
    return where(ge(x, min), where(le(x, max), x, limited), limited)
  },
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward: kernel('clamp_backward', (ctx, [dy], { dx }) => ({ dx, dy, x: ctx.input(0), ...ctx.attrs })),
    formula(ctx, [g]) {
      const x = ctx.input(0)
      return [where(ge(x, ctx.attrs.min), where(le(x, ctx.attrs.max), g, 0), 0)]
    },
  },
})

/**
 * Values limited to [min, max]; a limit that is left out, or an infinite one, does not limit, and a limit of NaN gives NaN.
 * A tensor of int32 takes whole limits only.
 */
export function clamp<S extends Shape, D extends DType>(x: Tensor<S, D>, min?: number, max?: number): Tensor<S, D>
export function clamp(x: Tensor, min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY): Tensor {
  checkTensor('clamp', 'x', x)
  for (const limit of [min, max])
    if (typeof limit !== 'number') throw new ValueError('clamp', `a limit is ${shown(limit)}, but must be a number`)
  if (min !== Number.NEGATIVE_INFINITY) checkNumber('clamp', min, x.dtype)
  if (max !== Number.POSITIVE_INFINITY) checkNumber('clamp', max, x.dtype)
  return apply(clampRecord, [x], { min, max })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    neg(): Tensor<S, D>
    abs(): Tensor<S, D>
    sign(): Tensor<S, D>
    square(): Tensor<S, D>
    exp(): Tensor<S, D>
    log(): Tensor<S, D>
    log1p(): Tensor<S, D>
    sqrt(): Tensor<S, D>
    rsqrt(): Tensor<S, D>
    reciprocal(): Tensor<S, D>
    sin(): Tensor<S, D>
    cos(): Tensor<S, D>
    erf(): Tensor<S, D>
    floor(): Tensor<S, D>
    clamp(min?: number, max?: number): Tensor<S, D>
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
  log() {
    return log(this)
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
  sin() {
    return sin(this)
  },
  cos() {
    return cos(this)
  },
  erf() {
    return erf(this)
  },
  floor() {
    return floor(this)
  },
  clamp(min?: number, max?: number) {
    return clamp(this, min, max)
  },
})

/**
 * Activation functions, each with a fused backward kernel, and with a composite as oracle and for second derivatives.
 */

import { apply, type Operator } from '../../autograd/operator.js'
import { calledAs } from '../../backend/table/index.js'
import type { DType } from '../../core/dtype.js'
import { shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkScalar, like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { add, div, maximum, mul, sub } from './arithmetic.js'
import { clamp } from './clamp.js'
import { ge, gt, le, where } from './compare.js'
import { erf, exp, log1p, neg } from './functions.js'
import { reluFormula } from './relu-gradient.js'

type Activation<A> = <S extends Shape, D extends DType>(x: Tensor<S, D>, attrs: A) => Tensor<S, D>
type Attributes = { readonly [name: string]: number | boolean }
/**
 * Computes dx by operators, so that the gradient has a graph of its own. `saved` is the tensor that backward reads: x
 * or the output.
 */
type Formula<A> = (dy: Tensor, saved: Tensor, attrs: A) => Tensor

function caller<A>(record: Operator<[x: Tensor], A>): Activation<A> {
  function call<S extends Shape, D extends DType>(x: Tensor<S, D>, attrs: A): Tensor<S, D>
  function call(x: Tensor, attrs: A): Tensor {
    return apply(record, [x], attrs)
  }
  return call
}

/**
 * An activation with kernels `name` and `name_backward`, which take the attributes as arguments. Backward reads x. A
 * second derivative goes through the composite, or through the formula if the composite has corners that the function
 * lacks.
 */
function activation<A extends Attributes>(
  name: 'silu' | 'mish' | 'hardswish' | 'gelu' | 'softplus' | 'elu' | 'leaky_relu',
  composite: (x: Tensor, attrs: A) => Tensor,
  formula?: Formula<A>,
): Activation<A> {
  const record = operator<[x: Tensor], A>({
    // The name under which the program calls it.
    name: calledAs(name),
    infer: (inputs) => like(inputs[0]),
    forward: kernel(name, (inputs, attrs, { out }) => ({ out, x: inputs[0], ...attrs })),
    composite: ([x], attrs) => composite(x, attrs),
    gradient: {
      saves: () => ({ inputs: [0] }),
      backward: kernel(`${name}_backward`, (ctx, [dy], { dx }) => ({ dx, dy, x: ctx.input(0), ...ctx.attrs })),
      ...(formula && { formula: (ctx, [g]) => [formula(g, ctx.input(0), ctx.attrs)] }),
    },
  })
  return caller(record)
}

/** An activation whose gradient is computed from its output y. */
function activationOfOutput(
  name: 'relu' | 'sigmoid' | 'tanh',
  composite: (x: Tensor) => Tensor,
  formula: (dy: Tensor, y: Tensor) => Tensor,
): Activation<null> {
  const record = operator<[x: Tensor]>({
    name,
    infer: (inputs) => like(inputs[0]),
    forward: kernel(name, (inputs, _attrs, { out }) => ({ out, x: inputs[0] })),
    composite: ([x]) => composite(x),
    gradient: {
      saves: () => ({ outputs: [0] }),
      backward: kernel(`${name}_backward`, (ctx, [dy], { dx }) => ({ dx, dy, y: ctx.output(0) })),
      formula: (ctx, [g]) => [formula(g, ctx.output(0))],
    },
  })
  return caller(record)
}

type None = { readonly [name: string]: never }
const none: None = {}

/** log(1 + exp(x)) without overflow */
const stableSoftplus = (x: Tensor): Tensor => add(maximum(x, 0), log1p(exp(neg(absolute(x)))))
const absolute = (x: Tensor): Tensor => maximum(x, neg(x))
/** 1 / (1 + exp(-x)), with an exponential of at most 1, so that a gradient has no 0 times infinity. */
function logistic(x: Tensor): Tensor {
  const positive = ge(x, 0)
  const small = exp(where(positive, neg(x), x))
  return div(where(positive, 1, small), add(small, 1))
}

// The comparison is written this way round so that NaN stays NaN.
const reluOf = activationOfOutput('relu', (x) => where(le(x, 0), 0, x), reluFormula)
const sigmoidOf = activationOfOutput('sigmoid', logistic, (dy, y) => mul(dy, mul(y, sub(1, y))))
const tanhOf = activationOfOutput(
  'tanh',
  (x) => sub(mul(logistic(mul(x, 2)), 2), 1),
  (dy, y) => mul(dy, sub(1, mul(y, y))),
)
const siluOf = activation<None>('silu', (x) => mul(x, sigmoid(x)))
const mishOf = activation<None>('mish', (x) => mul(x, tanh(softplus(x))))
const hardswishOf = activation<None>(
  'hardswish',
  (x) => mul(x, div(clamp(add(x, 3), 0, 6), 6)),
  // The clamp keeps the branch that is not taken finite.
  (dy, x) => where(le(x, -3), 0, where(ge(x, 3), dy, mul(dy, add(div(clamp(x, -3, 3), 3), 0.5)))),
)
const geluOf = activation<{ readonly tanhApproximation: boolean }>('gelu', (x, { tanhApproximation }) => {
  const inner = tanhApproximation
    ? tanh(mul(add(x, mul(mul(x, mul(x, x)), 0.044715)), Math.sqrt(2 / Math.PI)))
    : erf(mul(x, Math.SQRT1_2))
  return mul(mul(x, 0.5), add(inner, 1))
})
const softplusOf = activation<{ readonly beta: number; readonly threshold: number }>(
  'softplus',
  (x, { beta, threshold }) => where(gt(mul(x, beta), threshold), x, mul(stableSoftplus(mul(x, beta)), 1 / beta)),
  (dy, x, { beta, threshold }) => where(gt(mul(x, beta), threshold), dy, mul(dy, sigmoid(mul(x, beta)))),
)
const eluOf = activation<{ readonly alpha: number }>(
  'elu',
  (x, { alpha }) => where(gt(x, 0), x, mul(sub(exp(where(gt(x, 0), 0, x)), 1), alpha)),
  // At 0 the slope is alpha and its derivative 0, as in PyTorch.
  (dy, x, { alpha }) => where(gt(x, 0), dy, mul(dy, mul(exp(where(ge(x, 0), 0, x)), alpha))),
)
const leakyReluOf = activation<{ readonly slope: number }>('leaky_relu', (x, { slope }) =>
  where(gt(x, 0), x, mul(x, slope)),
)

/** max(x, 0), element by element; NaN stays NaN. */
export const relu = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => reluOf(x, null)
/** 1 / (1 + exp(-x)) */
export const sigmoid = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => sigmoidOf(x, null)
/** The hyperbolic tangent. */
export const tanh = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => tanhOf(x, null)
/** x * sigmoid(x) */
export const silu = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => siluOf(x, none)
/** x * tanh(softplus(x)) */
export const mish = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => mishOf(x, none)
/** x * clamp(x + 3, 0, 6) / 6 */
export const hardswish = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => hardswishOf(x, none)

export interface GeluOptions {
  /** 'none': x/2 (1 + erf(x / sqrt 2)); 'tanh': GPT-2's approximation. */
  readonly approximate?: 'none' | 'tanh'
}

const geluNames: OptionNames<GeluOptions> = { approximate: true }

/**
 * The Gaussian error linear unit of each element (Hendrycks and Gimpel, 2016). Throws ValueError for an unknown
 * `approximate`.
 */
export function gelu<S extends Shape, D extends DType>(x: Tensor<S, D>, options: GeluOptions = {}): Tensor<S, D> {
  const { approximate = 'none' } = checkOptions('gelu', options, geluNames)
  if (approximate !== 'none' && approximate !== 'tanh')
    throw new ValueError('gelu', `approximate is ${shown(approximate)}, but must be 'none' or 'tanh'`)
  return geluOf(x, { tanhApproximation: approximate === 'tanh' })
}

/**
 * log(1 + exp(beta x)) / beta, or x itself if beta x > threshold. The defaults are 1 and 20. Throws ValueError if beta
 * is 0.
 */
export function softplus<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options: { beta?: number; threshold?: number } = {},
): Tensor<S, D> {
  checkOptions('softplus', options, { beta: true, threshold: true })
  const beta = checkScalar('softplus', 'beta', options.beta ?? 1)
  if (beta === 0) throw new ValueError('softplus', 'beta is 0, but must be a number other than 0')
  return softplusOf(x, { beta, threshold: checkScalar('softplus', 'threshold', options.threshold ?? 20) })
}

/** x where positive, else alpha (exp(x) - 1). */
export function elu<S extends Shape, D extends DType>(x: Tensor<S, D>, options: { alpha?: number } = {}): Tensor<S, D> {
  const { alpha = 1 } = checkOptions('elu', options, { alpha: true })
  return eluOf(x, { alpha: checkScalar('elu', 'alpha', alpha) })
}

/** x where not negative, else negativeSlope x. */
export function leakyRelu<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options: { negativeSlope?: number } = {},
): Tensor<S, D> {
  const { negativeSlope = 0.01 } = checkOptions('leakyRelu', options, { negativeSlope: true })
  return leakyReluOf(x, { slope: checkScalar('leakyRelu', 'negativeSlope', negativeSlope) })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    relu(): Tensor<S, D>
    sigmoid(): Tensor<S, D>
    tanh(): Tensor<S, D>
    silu(): Tensor<S, D>
    gelu(options?: GeluOptions): Tensor<S, D>
  }
}

defineMethods({
  relu() {
    return relu(this)
  },
  sigmoid() {
    return sigmoid(this)
  },
  tanh() {
    return tanh(this)
  },
  silu() {
    return silu(this)
  },
  gelu(options?: GeluOptions) {
    return gelu(this, options)
  },
})

/** Activation functions, each with a fused backward kernel, and its composite for oracles and second derivatives. */

import { apply, defineOperator, type TensorSpec } from '../../autograd/operator.js'
import { kernelOf } from '../../backend/call.js'
import { run } from '../../backend/dispatch.js'
import { type KernelSpec, kernels } from '../../backend/table/index.js'
import type { DType } from '../../core/dtype.js'
import { shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { add, div, ge, gt, le, maximum, minimum, mul, sub, where } from './arithmetic.js'
import { anyFloating, arithmetic, checkedSpec, checkScalar, like, specOf } from './common.js'
import { clamp, erf, exp, log1p, neg } from './functions.js'

type Name = 'relu' | 'silu' | 'mish' | 'hardswish' | 'gelu' | 'softplus' | 'elu' | 'leaky_relu' | 'sigmoid' | 'tanh'

/** dx from dy and the output y, within a backward pass. */
type OutputGradient = (dy: Tensor, y: Tensor, createGraph: boolean) => Tensor

/** By the kernel `name`_backward, or by `formula` where the gradient wants a graph of its own. */
function gradientOfOutput(
  name: 'relu' | 'sigmoid' | 'tanh',
  formula: (dy: Tensor, y: Tensor) => Tensor,
): OutputGradient {
  const kernel = kernelOf(`${name}_backward`)
  return (dy, y, createGraph) => {
    if (createGraph) return formula(dy, y)
    const dx = like(y, specOf(y), `${name} backward`)
    run(kernel, { dx, dy, y })
    return dx
  }
}

/** dx from dy and x, of operators: for a gradient with a graph of its own. */
type InputGradient<A> = (dy: Tensor, x: Tensor, attrs: A) => Tensor

/**
 * One activation: kernels `name` and `name_backward` with the attributes as their arguments. Backward reads x, unless
 * `ofOutput` gives the gradient from the output. A second derivative goes through the composite, or through `ofInput`, where
 * the composite has corners that the function has not.
 */
function activation<A extends { readonly [name: string]: number | boolean }>(
  name: Name,
  composite: (x: Tensor, attrs: A) => Tensor,
  ofOutput: OutputGradient | null = null,
  ofInput: InputGradient<A> | null = null,
): <S extends Shape, D extends DType>(x: Tensor<S, D>, attrs: A) => Tensor<S, D> {
  // As the program calls it.
  const op = name === 'leaky_relu' ? 'leakyRelu' : name
  const allowed = name === 'relu' ? arithmetic : anyFloating
  const kernel = kernelOf(name as 'relu')
  const backwardKernel = kernelOf(`${name}_backward` as 'silu_backward')
  const { precision = 'widest' }: KernelSpec = kernels[name]
  const record = defineOperator<A>({
    name: op,
    precision,
    infer: ([x]) => checkedSpec(op, x as Tensor, allowed),
    forward([x], attrs, [out]) {
      const y = like(x as Tensor, out as TensorSpec, op)
      run(kernel, { out: y, x: x as Tensor, ...attrs })
      return y
    },
    composite: ([x], attrs) => composite(x as Tensor, attrs),
    gradient: {
      saves: () => (ofOutput ? { outputs: [0] } : { inputs: [0] }),
      backward(ctx, [g]) {
        const dy = g as Tensor
        if (ofOutput) return [ofOutput(dy, ctx.output(0), ctx.createGraph)]
        const x = ctx.input(0)
        if (ctx.createGraph && ofInput !== null) return [ofInput(dy, x, ctx.attrs)]
        const dx = like(x, specOf(x), `${op} backward`)
        run(backwardKernel, { dx, dy, x, ...ctx.attrs })
        return [dx]
      },
      fused: ofOutput === null && ofInput === null,
    },
  })
  return (x, attrs) => apply(record, [x], attrs) as typeof x
}

type None = { readonly [name: string]: never }
const none: None = {}

/** log(1 + exp(x)) without overflow */
const stableSoftplus = (x: Tensor): Tensor => add(maximum(x, 0), log1p(exp(neg(absolute(x)))))
const absolute = (x: Tensor): Tensor => maximum(x, neg(x))
const logistic = (x: Tensor): Tensor => div(1, add(exp(neg(x)), 1))

/** relu's, also for operators that end in it: dy where y is not 0. */
export const reluGradient = gradientOfOutput('relu', (dy, y) => where(le(y, 0), 0, dy))
// The comparison this way round: NaN stays NaN.
const reluOf = activation<None>('relu', (x) => where(le(x, 0), 0, x), reluGradient)
const sigmoidOf = activation<None>(
  'sigmoid',
  logistic,
  gradientOfOutput('sigmoid', (dy, y) => mul(dy, mul(y, sub(1, y)))),
)
const tanhOf = activation<None>(
  'tanh',
  (x) => sub(mul(logistic(mul(x, 2)), 2), 1),
  gradientOfOutput('tanh', (dy, y) => mul(dy, sub(1, mul(y, y)))),
)
const siluOf = activation<None>('silu', (x) => mul(x, sigmoid(x)))
const mishOf = activation<None>('mish', (x) => mul(x, tanh(softplus(x))))
const hardswishOf = activation<None>(
  'hardswish',
  (x) => mul(x, div(clamp(add(x, 3), 0, 6), 6)),
  null,
  // The clamp keeps what is not taken finite.
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
  null,
  (dy, x, { beta, threshold }) => where(gt(mul(x, beta), threshold), dy, mul(dy, sigmoid(mul(x, beta)))),
)
const eluOf = activation<{ readonly alpha: number }>(
  'elu',
  (x, { alpha }) => where(gt(x, 0), x, mul(sub(exp(minimum(x, 0)), 1), alpha)),
  null,
  // At 0 the slope is alpha, and does not change, as in PyTorch.
  (dy, x, { alpha }) => where(gt(x, 0), dy, mul(dy, mul(exp(where(ge(x, 0), 0, x)), alpha))),
)
const leakyReluOf = activation<{ readonly slope: number }>('leaky_relu', (x, { slope }) =>
  where(gt(x, 0), x, mul(x, slope)),
)

/** max(x, 0); NaN stays NaN. */
export const relu = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => reluOf(x, none)
/** 1 / (1 + exp(-x)) */
export const sigmoid = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => sigmoidOf(x, none)
export const tanh = <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => tanhOf(x, none)
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

/** Gaussian error linear unit (Hendrycks and Gimpel, 2016). */
export function gelu<S extends Shape, D extends DType>(x: Tensor<S, D>, options: GeluOptions = {}): Tensor<S, D> {
  const { approximate = 'none' } = checkOptions('gelu', options, geluNames)
  if (approximate !== 'none' && approximate !== 'tanh')
    throw new ValueError('gelu', `approximate is ${shown(approximate)}, but must be 'none' or 'tanh'`)
  return geluOf(x, { tanhApproximation: approximate === 'tanh' })
}

/** log(1 + exp(beta x)) / beta; x itself where beta x > threshold. */
export function softplus<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  options: { beta?: number; threshold?: number } = {},
): Tensor<S, D> {
  checkOptions('softplus', options, { beta: true, threshold: true })
  const beta = checkScalar('softplus', 'beta', options.beta ?? 1)
  if (beta === 0) throw new ValueError('softplus', 'beta is 0, but must not be')
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

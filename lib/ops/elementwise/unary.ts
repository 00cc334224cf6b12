/** Records of functions of one tensor without options. */
import { apply } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { zerosLike } from '../views.js'

/** The names of the kernels of one tensor that have the arguments of `exp`. */
type UnaryName =
  | ('neg' | 'abs' | 'sign' | 'square' | 'sqrt' | 'rsqrt' | 'reciprocal')
  | ('floor' | 'ceil' | 'trunc' | 'round')
  | ('exp' | 'exp2' | 'expm1' | 'log' | 'log2' | 'log10' | 'log1p' | 'erf' | 'erfc' | 'erfinv')
  | ('lgamma' | 'digamma')
  | ('sin' | 'cos' | 'tan' | 'asin' | 'acos' | 'atan')
  | ('sinh' | 'cosh' | 'asinh' | 'acosh' | 'atanh')

type Derivative = (g: Tensor, saved: Tensor) => Tensor

/** Makes a function. `derivative` computes dy/dx * g from the saved input (x) or output (y). */
export function simple(name: UnaryName, saved: 'x' | 'y' | 'nothing', derivative: Derivative) {
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

/**
 * The gradient of a piecewise constant function. It is a function of its own, because the modules import each other.
 */
export const nothing: Derivative = (g) => zerosLike(g)

/** Functions of one tensor: powers, exponentials, rounding, limits. */
import { apply, checkTensor, defineOperator, type OperatorRecord, type TensorSpec } from '../../autograd/operator.js'
import { kernelOf } from '../../backend/call.js'
import { run } from '../../backend/dispatch.js'
import { type KernelSpec, kernels } from '../../backend/table/index.js'
import type { DType } from '../../core/dtype.js'
import { shown, ValueError } from '../../core/errors.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { add, div, ge, le, maximum, minimum, mul, where, zerosLike } from './arithmetic.js'
import { anyFloating, arithmetic, checkedSpec, like, specOf } from './common.js'
import { checkNumber } from './numbers.js'

/** A function of one tensor without options. `derivative` gives dy/dx * g from the saved input (x) or output (y). */
function unary(
  name: UnaryName,
  allowed: readonly DType[],
  saved: 'x' | 'y' | 'nothing',
  derivative: (g: Tensor, saved: Tensor) => Tensor,
): OperatorRecord<null> {
  const kernel = kernelOf(name as 'exp')
  const { precision = 'widest' }: KernelSpec = kernels[name]
  return defineOperator<null>({
    name,
    precision,
    infer: ([x]) => checkedSpec(name, x as Tensor, allowed),
    forward([x], _attrs, [out]) {
      const y = like(x as Tensor, out as TensorSpec, name)
      run(kernel, { out: y, x: x as Tensor })
      return y
    },
    gradient: {
      saves: () => (saved === 'x' ? { inputs: [0] } : saved === 'y' ? { outputs: [0] } : {}),
      backward: (ctx, [g]) => [
        derivative(g as Tensor, saved === 'x' ? ctx.input(0) : saved === 'y' ? ctx.output(0) : (g as Tensor)),
      ],
    },
  })
}

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

function simple(
  name: UnaryName,
  saved: 'x' | 'y' | 'nothing',
  derivative: Derivative,
  allowed: readonly DType[] = anyFloating,
) {
  const record = unary(name, allowed, saved, derivative)
  return <S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D> => apply(record, [x], null) as Tensor<S, D>
}

/** Of what is constant. A function, because the two modules import each other. */
const nothing: Derivative = (g) => zerosLike(g)

export const neg = simple('neg', 'nothing', (g) => neg(g), arithmetic)
export const abs = simple('abs', 'x', (g, x) => mul(g, sign(x)), arithmetic)
export const sign = simple('sign', 'nothing', nothing, arithmetic)
export const floor = simple('floor', 'nothing', nothing)
export const square = simple('square', 'x', (g, x) => mul(g, mul(x, 2)), arithmetic)
export const exp = simple('exp', 'y', (g, y) => mul(g, y))
export const log = simple('log', 'x', (g, x) => div(g, x))
export const log1p = simple('log1p', 'x', (g, x) => div(g, add(x, 1)))
export const sqrt = simple('sqrt', 'y', (g, y) => div(g, mul(y, 2)))
export const rsqrt = simple('rsqrt', 'y', (g, y) => mul(g, mul(mul(y, square(y)), -0.5)))
export const reciprocal = simple('reciprocal', 'y', (g, y) => neg(mul(g, square(y))))
export const sin = simple('sin', 'x', (g, x) => mul(g, cos(x)))
export const cos = simple('cos', 'x', (g, x) => neg(mul(g, sin(x))))
export const erf = simple('erf', 'x', (g, x) => mul(g, mul(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))))

const clampRecord = defineOperator<{ min: number; max: number }>({
  name: 'clamp',
  infer: ([x]) => checkedSpec('clamp', x as Tensor, arithmetic),
  forward([x], { min, max }, [out]) {
    const y = like(x as Tensor, out as TensorSpec, 'clamp')
    run('clamp', { out: y, x: x as Tensor, min, max })
    return y
  },
  composite: (inputs, { min, max }) => {
    const [x] = inputs as [Tensor]
    return minimum(maximum(x, min), max)
  },
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward(ctx, [g]) {
      const x = ctx.input(0)
      const { min, max } = ctx.attrs
      if (ctx.createGraph) {
        return [where(ge(x, min), where(le(x, max), g as Tensor, 0), 0)]
      }
      const dx = like(x, specOf(x), 'clamp backward')
      run('clamp_backward', { dx, dy: g as Tensor, x, min, max })
      return [dx]
    },
  },
})

/**
 * Values limited to [min, max]; a limit that is left out, or an infinite one, does not limit, and a limit of NaN gives NaN.
 * A tensor of int32 takes whole limits only.
 */
export function clamp<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  min = Number.NEGATIVE_INFINITY,
  max = Number.POSITIVE_INFINITY,
): Tensor<S, D> {
  checkTensor('clamp', 'x', x)
  for (const limit of [min, max])
    if (typeof limit !== 'number') throw new ValueError('clamp', `a limit is ${shown(limit)}, but must be a number`)
  if (min !== Number.NEGATIVE_INFINITY) checkNumber('clamp', min, x.dtype)
  if (max !== Number.POSITIVE_INFINITY) checkNumber('clamp', max, x.dtype)
  return apply(clampRecord, [x], { min, max }) as Tensor<S, D>
}

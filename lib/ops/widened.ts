/**
 * bfloat16 for functions without a kernel of their own for it. A float32 kernel, or several operators that form one
 * function, compute in float32, and the result is rounded once, as a bfloat16 kernel would do.
 */
import { autocastDType } from '../autograd/autocast.js'
import { checkDType } from '../autograd/operator.js'
import { namedAs } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import { anyFloating } from './common.js'
import { castTo } from './convert.js'

type Tensors = readonly (Tensor | null)[]
type Result = Tensor | readonly Tensor[]

/** Applies a function to a result, or to each of several. */
export function each<R extends Result>(made: R, f: (y: Tensor) => Tensor): R
export function each(made: Result, f: (y: Tensor) => Tensor): Result {
  return made instanceof Tensor ? f(made) : made.map(f)
}

const isBfloat16 = (x: Tensor | null): boolean => x?.dtype === 'bfloat16'

/** Converts the inputs to float32, and rounds the results; indices stay as they are. */
function inFloat32<T extends Tensors, R extends Result>(tensors: T, run: (tensors: T) => R): R {
  const wide = tensors.map((x) => (x !== null && isBfloat16(x) ? castTo(x, 'float32') : x))
  return each(run(wide as Tensors as T), (y) => (y.dtype === 'float32' ? castTo(y, 'bfloat16') : y))
}

/**
 * Runs a float32 kernel. If the first tensor is bfloat16, `run` gets all in float32; the others may be either, such as
 * a layer's float32 parameters. Under autocast the operators' own policies convert. The dtype of the first, x, is
 * checked here if nothing else misfits, because the error of a float32 kernel would not name bfloat16.
 */
export function widened<T extends readonly [Tensor, ...Tensors], R extends Result>(
  op: string,
  tensors: T,
  run: (tensors: T) => R,
): R {
  const [x, ...others] = tensors
  if (others.every((other) => other === null || other?.dtype === 'float32')) checkDType(op, 'x', x, anyFloating)
  return isBfloat16(tensors[0]) && autocastDType() === null ? inFloat32(tensors, run) : run(tensors)
}

/**
 * Runs a function of several operators in float32 if all tensors are bfloat16; otherwise they are promoted as usual.
 * This holds under autocast too, because the operators' policies would round each result. Errors name `op`.
 */
export function once<T extends readonly Tensor[]>(op: string, tensors: T, f: (...tensors: T) => Tensor): Tensor {
  const run = (given: T): Tensor => namedAs(op, () => f(...given))
  return tensors.every(isBfloat16) ? inFloat32(tensors, run) : run(tensors)
}

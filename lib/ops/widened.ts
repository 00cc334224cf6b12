/**
 * bfloat16 outside of kernels: what a kernel of float32 computes, or several operators that are one to the program, is
 * computed in float32, and its result rounded once, as a kernel of bfloat16 would have it.
 */
import { autocastDType } from '../autograd/autocast.js'
import { checkDType } from '../autograd/operator.js'
import { namedAs } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import { anyFloating } from './common.js'
import { castTo } from './convert.js'

type Tensors = readonly (Tensor | null)[]
type Result = Tensor | readonly Tensor[]

/** The function of a result, or of each of several. */
export function each<R extends Result>(made: R, f: (y: Tensor) => Tensor): R
export function each(made: Result, f: (y: Tensor) => Tensor): Result {
  return made instanceof Tensor ? f(made) : made.map(f)
}

const isBfloat16 = (x: Tensor | null): boolean => x?.dtype === 'bfloat16'

/** Results in float32 are rounded, and indices stay as they are. */
function inFloat32<T extends Tensors, R extends Result>(tensors: T, run: (tensors: T) => R): R {
  const wide = tensors.map((x) => (x !== null && isBfloat16(x) ? castTo(x, 'float32') : x))
  return each(run(wide as Tensors as T), (y) => (y.dtype === 'float32' ? castTo(y, 'bfloat16') : y))
}

/**
 * For kernels of float32: where the first tensor is bfloat16, `run` gets all in float32; the others may be either, as the float32
 * parameters of a layer. Autocast converts by the policies of the operators themselves. The dtype of the first, x, is checked
 * here where nothing else misfits, because the error of a kernel of float32 would not name bfloat16.
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
 * For functions of several operators: where all tensors are bfloat16, else they are promoted as they are. Under autocast too, because
 * the operators' policies would round each result. Errors name `op`.
 */
export function once<T extends readonly Tensor[]>(op: string, tensors: T, f: (...tensors: T) => Tensor): Tensor {
  const run = (given: T): Tensor => namedAs(op, () => f(...given))
  return tensors.every(isBfloat16) ? inFloat32(tensors, run) : run(tensors)
}

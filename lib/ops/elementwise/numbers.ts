/**
 * The rule for a number beside a tensor, and for two dtypes that meet. It is PyTorch's.
 *
 * Kinds rise from bool through integers to floats. The higher kind of two tensors decides, and within a kind the wider
 * dtype. A tensor without dimensions counts only by its kind, and a number counts least. Whole numbers are integers;
 * all others, NaN and infinities too, are floats. An integer tensor beside a float becomes float32, and bool beside a
 * whole number int32. Unlike PyTorch, an integer dtype refuses a whole number that it cannot hold (300 beside uint8, 2
 * ** 40 beside int32) instead of wrapping it around. A comparison takes any number, because its result has another
 * dtype, and compares real values.
 */
import { autocastDType } from '../../autograd/autocast.js'
import { type DType, holds, integerRanges, isBlocks, isConvertible } from '../../core/dtype.js'
import { DTypeError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'

const kindOf = (dtype: DType) => (dtype === 'bool' ? 0 : integerRanges[dtype] === undefined ? 2 : 1)

/**
 * The result dtype of two tensors. It is null if the operator must decide: blocks mix with nothing, autocast converts
 * its dtypes itself, and nothing computes with float16.
 */
export function promoted(a: Tensor, b: Tensor): DType | null {
  if (isBlocks(a.dtype) || isBlocks(b.dtype)) return null
  if (autocastDType() !== null && isConvertible(a.dtype) && isConvertible(b.dtype)) return null
  const [first, second] = [kindOf(a.dtype), kindOf(b.dtype)]
  const isScalar = a.ndim === 0 ? b.ndim > 0 : b.ndim === 0
  if (!isScalar || first !== second) return widerOf(a.dtype, b.dtype)
  return a.ndim === 0 ? b.dtype : a.dtype
}

/** The result dtype of a tensor and a number. */
export function promotedWithNumber(dtype: DType, value: number): DType {
  if (integerRanges[dtype] === undefined) return dtype
  return Number.isInteger(value) ? (dtype === 'bool' ? 'int32' : dtype) : 'float32'
}

/** The result dtype of functions of floats for an input dtype. */
export function floatOf<D extends DType | null>(dtype: D): D | 'float32' {
  return dtype !== null && integerRanges[dtype] !== undefined ? 'float32' : dtype
}

/** The number itself, if a tensor of the dtype can hold it. Throws DTypeError. */
export function checkNumber(op: string, value: number, dtype: DType): number {
  const range = integerRanges[dtype]
  if (range === undefined || holds(dtype, value)) return value
  const wider = dtype !== 'int32' && Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'int32' : 'float32'
  throw new DTypeError(
    op,
    `a tensor of ${dtype} and ${value} do not mix: ${dtype} holds integers from ${range[0]} to ${range[1]}; ` +
      `convert the tensor with .to('${wider}')`,
  )
}

export type Comparison = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'

/**
 * A comparison of integers of the dtype that is true exactly where `x name value` is, in real numbers; null for floats.
 */
export function integerComparison(name: Comparison, value: number, dtype: DType): [Comparison, number] | null {
  const range = integerRanges[dtype]
  if (range === undefined) return null
  const [low, high] = range
  const always = (truth: boolean): [Comparison, number] => [truth ? 'ge' : 'lt', low]
  if (Number.isNaN(value)) return always(name === 'ne')
  if (name === 'eq' || name === 'ne') {
    return holds(dtype, value) ? [name, value] : always(name === 'ne')
  }
  const below = name === 'lt' || name === 'le'
  if (value > high) return always(below)
  if (value < low) return always(!below)
  return [name, name === 'lt' || name === 'ge' ? Math.ceil(value) : Math.floor(value)]
}

/** The dtypes from the narrowest to the widest. Neither of the two 16-bit floats holds all numbers of the other. */
const widths: readonly DType[] = ['bool', 'uint8', 'int32', 'float16', 'bfloat16', 'float32', 'float64']

/** The allowed dtype that loses no digit of either. */
export function widerOf(a: DType, b: DType, allowed: readonly DType[] = widths): DType {
  const halves = a !== b && a.endsWith('float16') && b.endsWith('float16')
  const least = halves ? widths.indexOf('float32') : Math.max(widths.indexOf(a), widths.indexOf(b))
  // A 16-bit dtype fits only if no operand has more bits.
  const fits = (dtype: DType) => allowed.includes(dtype) && (!dtype.endsWith('float16') || dtype === a || dtype === b)
  return widths.find((dtype, i) => i >= least && fits(dtype)) ?? 'float32'
}

/** The operand to convert where dtypes differ, and its new dtype, so that no digit of either is lost. */
export function mixedDTypes(
  op: string,
  a: DType,
  b: DType,
  allowed: readonly DType[] = widths,
  [nameOfA, nameOfB]: readonly [string, string] = ['a', 'b'],
): DTypeError {
  const wider = widerOf(a, b, allowed)
  const which = a === wider ? nameOfB : b === wider ? nameOfA : 'both'
  return new DTypeError(op, `${nameOfA} is ${a} and ${nameOfB} is ${b}; convert ${which} with .to('${wider}')`)
}

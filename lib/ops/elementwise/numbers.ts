/**
 * The one rule for a number beside a tensor, and for two dtypes that meet.
 *
 * The result has the tensor's dtype, so the number must be one of that dtype. Floats hold any number, rounded (NaN and the
 * infinities too). int32, uint8 and bool hold the whole numbers of their range; any other number is refused by name, with the
 * dtype to convert to, where PyTorch converts the tensor (0.5) or lets the number wrap around (2 ** 40). A comparison's
 * result has another dtype: it takes any number, and compares real values.
 */
import { type DType, holds, integerRanges } from '../../core/dtype.js'
import { DTypeError } from '../../core/errors.js'

/** The number itself, if a tensor of the dtype can hold it. Throws DTypeError. */
export function checkNumber(op: string, value: number, dtype: DType): number {
  const range = integerRanges[dtype]
  if (range === undefined || holds(dtype, value)) return value
  const wider = dtype !== 'int32' && Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'int32' : 'float32'
  throw new DTypeError(
    op,
    `a tensor of ${dtype} and ${value} do not mix: ${dtype} holds whole numbers from ${range[0]} to ${range[1]}; ` +
      `convert the tensor with .to('${wider}')`,
  )
}

export type Comparison = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'

/** A comparison of integers of the dtype that is true exactly where `x name value` is, in real numbers; null for floats. */
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

/** From the narrowest to the widest; the two of 16 bits hold neither all of the other. */
const widths: readonly DType[] = ['bool', 'uint8', 'int32', 'float16', 'bfloat16', 'float32', 'float64']

/** The dtype of those allowed that loses no digit of either. */
export function widerOf(a: DType, b: DType, allowed: readonly DType[] = widths): DType {
  const halves = a !== b && a.endsWith('float16') && b.endsWith('float16')
  const least = halves ? widths.indexOf('float32') : Math.max(widths.indexOf(a), widths.indexOf(b))
  // 16 bits only where an operand has no more.
  const fits = (dtype: DType) => allowed.includes(dtype) && (!dtype.endsWith('float16') || dtype === a || dtype === b)
  return widths.find((dtype, i) => i >= least && fits(dtype)) ?? 'float32'
}

/** For operands of two dtypes: which is to be converted, and to what, so that no digit of either is lost. */
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

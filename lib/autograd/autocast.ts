/**
 * Mixed precision as a mode: while it is on, each operator gets its inputs in the dtypes that its policy asks for. This
 * file knows no operator: records hold the policies, which come from the table of kernels, and `ops` supplies the
 * conversions.
 */
import { type DType, isConvertible, type Precision } from '../core/dtype.js'
import { shown, ValueError } from '../core/errors.js'
import { checkFinished, checkFunction } from '../core/synchronous.js'
import type { Tensor } from '../core/tensor.js'
import { gradientArithmetic } from './arithmetic.js'
import { isGradEnabled } from './mode.js'

export type AutocastDType = 'bfloat16' | 'float32'

let active: AutocastDType | null = null

/** The dtype of the innermost autocast, or null outside all of them. */
export function autocastDType(): AutocastDType | null {
  return active
}

export function withAutocast<R>(dtype: AutocastDType | null, fn: () => R): R {
  const before = active
  active = dtype
  try {
    return fn()
  } finally {
    active = before
  }
}

/**
 * Runs a synchronous function in mixed precision. Matrix products take and give `dtype` ('bfloat16'; their sums are
 * float32). Norms, softmax, losses and reductions run in float32, and everything else in the widest dtype of its
 * inputs. Results have these dtypes; convert with `.to('float32')` if you need a fixed one. Inside an autocast,
 * 'float32' turns it off: products run in float32, whatever their inputs are.
 *
 * Parameters stay float32, and so do their gradients and the optimiser's state. A product reads a bfloat16 copy of a
 * parameter, which is kept beside it and written by the optimiser's step. The backward pass runs in the dtypes of the
 * forward pass, whether it is called inside or outside. Throws ValueError for another dtype, and if `fn` returns a
 * promise or a generator.
 */
export function autocast<R>(dtype: AutocastDType, fn: () => R): R {
  if (dtype !== 'bfloat16' && dtype !== 'float32')
    throw new ValueError('autocast', `dtype is ${shown(dtype)}, but must be 'bfloat16' or 'float32'`)
  checkFunction('autocast', fn)
  try {
    return checkFinished('autocast', withAutocast(dtype, fn))
  } finally {
    if (active === null) forgetConversion()
  }
}

/** The last activation that was converted. It is kept, because several products in a row may read the same one. */
interface Conversion {
  readonly input: Tensor
  readonly version: number
  readonly result: Tensor
}

let last: Conversion | null = null

/** Releases the kept conversion. */
export function forgetConversion(): void {
  last = null
}

function converted(input: Tensor, dtype: DType): Tensor {
  if (last !== null && last.input === input && last.version === input.storage.version) {
    const { result } = last
    if (
      result.dtype === dtype &&
      !result.storage.freed &&
      result.requiresGrad === (input.requiresGrad && isGradEnabled())
    )
      return result
  }
  const result = gradientArithmetic().convert(input, dtype)
  // A parameter's copy is not kept here, because it is kept with the parameter.
  if (result.storage.owner !== 'model') last = { input, version: input.storage.version, result }
  return result
}

/**
 * Converts the inputs to the dtypes of the policy, except those that stay `asIs`, float32 or bfloat16. Calls in float64
 * stay as they are.
 */
export function autocastInputs(
  policy: Precision,
  asIs: readonly number[],
  inputs: readonly (Tensor | null)[],
  low: AutocastDType,
): readonly (Tensor | null)[] {
  const target = policy === 'low' ? low : policy === 'float32' ? 'float32' : widest(inputs)
  if (target === null || inputs.some((input) => input?.dtype === 'float64')) return inputs
  return inputs.map((input, i) => {
    if (input === null || input.dtype === target || !isConvertible(input.dtype)) return input
    return asIs.includes(i) && input.dtype !== 'float16' ? input : converted(input, target)
  })
}

/** float32 if floats of several dtypes meet; null if nothing needs converting. */
function widest(inputs: readonly (Tensor | null)[]): DType | null {
  let found: DType | null = null
  for (const input of inputs) {
    if (input === null || !isConvertible(input.dtype)) continue
    if (found !== null && found !== input.dtype) return 'float32'
    found = input.dtype
  }
  return null
}

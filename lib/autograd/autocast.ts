/**
 * Mixed precision as a mode: while it is on, each operator gets its inputs in the dtypes that its policy asks for. Knows no
 * operator: policies stand in the records (from the table of kernels), conversions come from `ops`.
 */
import { type DType, isConvertible, type Precision } from '../core/dtype.js'
import { shown, ValueError } from '../core/errors.js'
import { checkFinished, checkFunction } from '../core/synchronous.js'
import type { Tensor } from '../core/tensor.js'
import { gradientArithmetic } from './arithmetic.js'
import { isGradEnabled } from './mode.js'

export type AutocastDType = 'bfloat16' | 'float32'

let active: AutocastDType | null = null

/** The dtype of the innermost autocast, or null outside of all. */
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
 * Runs a synchronous function in mixed precision: matrix products take and give `dtype` ('bfloat16'; their sums are float32),
 * norms, softmax, losses and reductions run in float32, everything else in the widest of its inputs. Results have these
 * dtypes; convert with `.to('float32')` where a fixed one is needed. 'float32' inside of an autocast turns it off: products
 * run in float32, whatever they are given.
 *
 * Parameters stay float32, and so do their gradients and the optimiser's state. The bfloat16 copy that a product reads of
 * a parameter is kept beside it and written by the optimiser's step. The backward pass runs in the dtypes of the forward
 * pass, inside or outside. Throws ValueError for another dtype, and if `fn` returns a promise or a generator.
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

/** The last activation that was converted: what several products read one after the other is converted once. */
interface Conversion {
  readonly input: Tensor
  readonly version: number
  readonly result: Tensor
}

let last: Conversion | null = null

/** Lets go of what is kept for the next product. */
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
  // A parameter's copy is kept with it.
  if (result.storage.owner !== 'model') last = { input, version: input.storage.version, result }
  return result
}

/** The inputs in the dtypes of the policy, but for those that stay `asIs`, float32 or bfloat16. Calls in float64 are left alone. */
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

/** float32 where floats meet, null where there is nothing to do. */
function widest(inputs: readonly (Tensor | null)[]): DType | null {
  let found: DType | null = null
  for (const input of inputs) {
    if (input === null || !isConvertible(input.dtype)) continue
    if (found !== null && found !== input.dtype) return 'float32'
    found = input.dtype
  }
  return null
}

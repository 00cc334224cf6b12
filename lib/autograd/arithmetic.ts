import type { DType } from '../core/dtype.js'
import { AutogradError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'

/**
 * The few operations on gradients that a backward pass itself needs. `ops` supplies them, because autograd knows no
 * operator.
 */
export interface GradientArithmetic {
  add(a: Tensor, b: Tensor): Tensor
  /** into += gradient, in place */
  accumulate(into: Tensor, gradient: Tensor): void
  /** A dense copy. */
  clone(x: Tensor): Tensor
  /** A view of the same memory, recorded as an operator's result. */
  alias(x: Tensor): Tensor
  ones(like: Tensor): Tensor
  /**
   * Converts to another floating dtype, with a graph. The result may be a parameter's kept copy, so it must never be
   * written.
   */
  convert(x: Tensor, dtype: DType): Tensor
}

let implementation: GradientArithmetic | null = null

export function setGradientArithmetic(arithmetic: GradientArithmetic): void {
  implementation = arithmetic
}

export function gradientArithmetic(): GradientArithmetic {
  if (implementation === null)
    throw new AutogradError('backward', 'the operators are not loaded; import from "firesteel"')
  return implementation
}

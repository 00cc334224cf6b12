import type { DType } from '../core/dtype.js'
import { AutogradError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'

/** The few operations on gradients that a backward pass needs itself; `ops` hands them in, since autograd knows no operator. */
export interface GradientArithmetic {
  add(a: Tensor, b: Tensor): Tensor
  /** into += gradient, in place */
  accumulate(into: Tensor, gradient: Tensor): void
  /** A dense copy. */
  clone(x: Tensor): Tensor
  /** The same memory, as the result of an operator. */
  alias(x: Tensor): Tensor
  ones(like: Tensor): Tensor
  /** In another floating dtype, with a graph. A parameter's copy is kept with its memory: it is read, never written. */
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

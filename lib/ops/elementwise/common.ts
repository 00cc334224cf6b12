import { checkDType, type TensorSpec } from '../../autograd/operator.js'
import { empty } from '../../backend/dispatch.js'
import type { DType } from '../../core/dtype.js'
import { shown, ValueError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'

/** What most kernels of floats take. */
export const floating: readonly DType[] = ['float32', 'float64']
/** Elementwise kernels and matrix products also take bfloat16; float16 is stored and converted, and copied. */
export const anyFloating: readonly DType[] = ['float32', 'float64', 'bfloat16']
export const arithmetic: readonly DType[] = ['float32', 'float64', 'bfloat16', 'int32']

export function specOf(x: Tensor): TensorSpec {
  return { shape: x.sizes, dtype: x.dtype }
}

/** The spec of x for an operator that keeps it, if x has one of the dtypes. */
export function checkedSpec(op: string, x: Tensor, allowed: readonly DType[]): TensorSpec {
  checkDType(op, 'x', x, allowed)
  return specOf(x)
}

/** A new tensor on x's device. */
export function like(x: Tensor, { shape, dtype }: TensorSpec, op: string): Tensor {
  return empty(x.device, shape, dtype, op)
}

export function checkScalar(op: string, name: string, value: number): number {
  if (typeof value !== 'number' || Number.isNaN(value))
    throw new ValueError(op, `${name} is ${shown(value)}, but must be a number`)
  return value
}

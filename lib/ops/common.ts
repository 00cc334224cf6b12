/** Small helpers that the families share. */
import type { TensorSpec } from '../autograd/operator.js'
import { contiguous } from '../backend/dispatch.js'
import type { DType } from '../core/dtype.js'
import { formatShape, shown, ValueError } from '../core/errors.js'
import { denseStrides, isOverlapping, type Shape, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'

/** The dtypes that most kernels of floats take. */
export const floating: readonly DType[] = ['float32', 'float64']
/**
 * The dtypes that elementwise kernels and matrix products take: bfloat16 too. float16 can only be stored, converted and
 * copied.
 */
export const anyFloating: readonly DType[] = ['float32', 'float64', 'bfloat16']

/** The spec of a result in x's dtype, with x's shape unless another is given. */
export function like(x: Tensor, shape: Shape = x.sizes): TensorSpec {
  return { shape, dtype: x.dtype }
}

/**
 * The same elements under another shape, without a graph, for kernels that take fewer dimensions. They are made dense
 * if the shape differs.
 */
export function seenAs(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.sizes, shape)) return x
  const dense = contiguous(x)
  return new Tensor(dense.storage, shape, denseStrides(shape), dense.offset)
}

export function checkScalar(op: string, name: string, value: number): number {
  if (typeof value !== 'number' || Number.isNaN(value))
    throw new ValueError(op, `${name} is ${shown(value)}, but must be a number`)
  return value
}

export function checkProbability(op: string, p: number, name = 'p'): number {
  if (typeof p !== 'number' || !(p >= 0 && p <= 1))
    throw new ValueError(op, `${name} is ${shown(p)}, but must be a probability from 0 to 1`)
  return p
}

/** Throws if several elements share one place in memory, because writing them would be ambiguous. */
export function checkDistinct(op: string, name: string, x: Tensor): void {
  if (isOverlapping(x))
    throw new ValueError(
      op,
      `several elements of ${name} share memory (shape ${formatShape(x.sizes)}, strides ${formatShape(x.steps)}); ` +
        'clone() it before writing into it',
    )
}

/** Checks of matrices and small steps that factorisations and what is made of them share. */
import { autocastDType, withAutocast } from '../autograd/autocast.js'
import { checkDType } from '../autograd/operator.js'
import { isConvertible } from '../core/dtype.js'
import { DTypeError, formatShape, ShapeError } from '../core/errors.js'
import { broadcastShapes, type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { floating } from '../ops/common.js'
import { castTo } from '../ops/convert.js'
import { eye } from '../ops/creation.js'
import { matmul as typedMatmul } from '../ops/matmul.js'
import { expand, transpose } from '../ops/shape/index.js'

// matmul without shape types, because sizes here are computed at run time.
export const matmul = typedMatmul as (a: Tensor, b: Tensor) => Tensor

/** Each matrix transposed. */
export const turned = (x: Tensor): Tensor => transpose(x, -2, -1)

export const rowsOf = ({ sizes }: Tensor): number => sizes.at(-2) ?? 0
export const columnsOf = ({ sizes }: Tensor): number => sizes.at(-1) ?? 0
/** The sizes before those of the matrices. */
export const batchOf = ({ sizes }: Tensor): Shape => sizes.slice(0, -2)

/** Throws unless x is of matrices of float32 or float64. */
export function checkMatrices(op: string, name: string, x: Tensor): void {
  checkDType(op, name, x, floating)
  if (x.ndim < 2)
    throw new ShapeError(op, `${name} is ${formatShape(x.sizes)}, but must have rows and columns: [.., m, n]`, [
      x.sizes,
    ])
}

/** Throws unless x is of square matrices of float32 or float64. */
export function checkSquare(op: string, name: string, x: Tensor): void {
  checkMatrices(op, name, x)
  if (rowsOf(x) !== columnsOf(x))
    throw new ShapeError(op, `${name} is ${formatShape(x.sizes)}, but must be square: [.., n, n]`, [x.sizes])
}

/** Throws unless both tensors have one dtype. */
export function checkAlike(op: string, names: readonly [string, string], a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype)
    throw new DTypeError(
      op,
      `${names[0]} is ${a.dtype}, but ${names[1]} is ${b.dtype}; convert one of them with .to('${a.dtype}')`,
    )
}

/** The matrices of both, expanded to the batch that they broadcast to. */
export function together(op: string, a: Tensor, b: Tensor): readonly [Tensor, Tensor] {
  const batch = broadcastShapes(op, batchOf(a), batchOf(b))
  return [over(a, batch), over(b, batch)]
}

/** x expanded to a batch of its matrices. */
export function over(x: Tensor, batch: Shape): Tensor {
  return sameShape(batchOf(x), batch) ? x : expand(x, [...batch, ...x.sizes.slice(-2)])
}

/**
 * Runs a function of several operators in float32 or float64, with autocast off, because its products would be rounded
 * between factorisations that need all digits.
 */
export function precisely<T extends readonly Tensor[], R>(tensors: T, run: (...tensors: T) => R): R {
  if (autocastDType() === null) return run(...tensors)
  const wide = tensors.map((x) => (isConvertible(x.dtype) ? castTo(x, 'float32') : x))
  return withAutocast(null, () => run(...(wide as readonly Tensor[] as T)))
}

/** The identity of n rows, in x's dtype, on its device. */
export const identity = (x: Tensor, n: number): Tensor => eye(n, n, { dtype: x.dtype, device: x.device }) as Tensor

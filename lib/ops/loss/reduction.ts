/** The common part of the losses: reductions, the dtype in which they compute, and checks of options and shapes. */
import { autocastDType, withAutocast } from '../../autograd/autocast.js'
import { checkDType, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { anyFloating } from '../common.js'
import { castTo, convert } from '../convert.js'
import { div } from '../elementwise/index.js'
import { mean, sum } from '../reduce/index.js'

/** The reduction of the losses: their mean, their sum, or no reduction. */
export type Reduction = 'mean' | 'sum' | 'none'

export const reductionCodes = { none: 0, mean: 1, sum: 2 } as const

/** The options of losses that have only a reduction. */
export interface ReductionOptions {
  /** Default 'mean'. */
  readonly reduction?: Reduction
}

/** The reductions that give a single number: all but 'none'. */
export interface ToOne {
  readonly reduction?: 'mean' | 'sum' | 'batchmean'
}

export function checkReduction(op: string, reduction: Reduction): void {
  if (typeof reduction !== 'string' || !Object.hasOwn(reductionCodes, reduction))
    throw new ValueError(op, `reduction is ${shown(reduction)}, but must be 'mean', 'sum' or 'none'`)
}

export function reduceLoss(losses: Tensor, reduction: Reduction): Tensor {
  if (reduction === 'none') return losses
  // The mean of no elements is 0 / 0, and its gradient is empty.
  if (reduction === 'mean') return losses.numel > 0 ? mean(losses) : div(sum(losses), 0)
  return sum(losses)
}

/** Throws unless an option is a finite number and at least `least`, or above it if equality is not allowed. */
export function checkFinite(
  op: string,
  name: string,
  value: number,
  least = Number.NEGATIVE_INFINITY,
  mayBeEqual = true,
): number {
  const fits = typeof value === 'number' && Number.isFinite(value) && (mayBeEqual ? value >= least : value > least)
  if (fits) return value
  const range = Number.isFinite(least) ? `, ${mayBeEqual ? 'at least' : 'more than'} ${least}` : ''
  throw new ValueError(op, `${name} is ${shown(value)}, but must be a finite number${range}`)
}

/** Throws ShapeError unless both have the same shape. */
export function checkSame(op: string, [first, a]: Named, [second, b]: Named): void {
  if (!sameShape(a.sizes, b.sizes))
    throw new ShapeError(
      op,
      `${first} is ${formatShape(a.sizes)}, ${second} is ${formatShape(b.sizes)}; they must be equal`,
      [a.sizes, b.sizes],
    )
}

type Named = readonly [name: string, x: Tensor]

/** Throws ShapeError unless the tensor has the shape. `because` says why it must. */
export function checkShape(op: string, [name, x]: Named, expected: Shape, because: string): void {
  if (!sameShape(x.sizes, expected))
    throw new ShapeError(
      op,
      `${name} is ${formatShape(x.sizes)}, but must be ${formatShape(expected)}, as ${because}`,
      [x.sizes, expected],
    )
}

interface Given {
  readonly [name: string]: Tensor | null
}

/** The inputs that a call may leave out. */
const optional = ['weight', 'posWeight', 'temperature', 'variance', 'negatives']

/** The dtypes that a loss may read as numbers. */
const countable: readonly DType[] = [...anyFloating, 'int32', 'uint8', 'bool']

/**
 * Throws DTypeError unless all are floats. Inputs named in `labels` may also be integers or bool, which a loss reads as
 * numbers.
 */
export function checkFloats<T extends Given>(op: string, given: T, labels: readonly (keyof T)[] = []): void {
  for (const [name, x] of Object.entries(given))
    if (x !== null) checkDType(op, name, x, labels.includes(name) ? countable : anyFloating)
    else if (!optional.includes(name)) checkTensor(op, name, x)
}

/**
 * Computes a loss in the widest dtype of its tensors, float32 at least. If all floats are bfloat16, the result is
 * rounded once, as in PyTorch's kernels. Under autocast it stays float32, as PyTorch's losses do.
 */
export function inFloats<T extends Given>(
  op: string,
  given: T,
  labels: readonly (keyof T)[],
  loss: (floats: T) => Tensor,
): Tensor {
  checkFloats(op, given, labels)
  const casting = autocastDType() !== null
  const all = Object.entries(given)
  const floats = all.flatMap(([, x]) => (x !== null && anyFloating.includes(x.dtype) ? [x.dtype] : []))
  const wide = floats.includes('float64') ? 'float64' : 'float32'
  const narrow = !casting && floats.length > 0 && floats.every((dtype) => dtype === 'bfloat16')
  const converted = all.map(([name, x]) => [name, x === null ? null : casting ? convert(x, wide) : castTo(x, wide)])
  return namedAs(op, () =>
    withAutocast(null, () => {
      const result = loss(Object.fromEntries(converted) as T)
      return narrow ? castTo(result, 'bfloat16') : result
    }),
  )
}

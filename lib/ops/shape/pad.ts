/** Tensors surrounded by elements. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, kindOf, shown, ValueError } from '../../core/errors.js'
import { checkShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { checkNumber } from '../elementwise/numbers.js'
import { sliceRecord, unsliceRecord } from './cut.js'

/**
 * Surrounded by `value`: `amounts` holds [before, after] of the last dimension, then of the one before it, and so on, as in
 * PyTorch; negative amounts cut off. Around integers the value must be one of their dtype.
 */
export function pad<D extends DType>(x: Tensor<Shape, D>, amounts: readonly number[], value?: number): Tensor<Shape, D>
export function pad(x: Tensor, amounts: readonly number[], value = 0): Tensor {
  checkTensor('pad', 'x', x)
  const faulty =
    !Array.isArray(amounts) ||
    amounts.length % 2 !== 0 ||
    amounts.length > 2 * x.ndim ||
    amounts.some((a) => !Number.isSafeInteger(a))
  if (faulty)
    throw new ValueError(
      'pad',
      `amounts are ${shown(amounts)}, but must hold integers, two for each of at most ${x.ndim} dimensions`,
    )
  const before = x.sizes.map((_, i) => amounts[2 * (x.ndim - 1 - i)] ?? 0)
  const after = x.sizes.map((_, i) => amounts[2 * (x.ndim - 1 - i) + 1] ?? 0)
  const shape = x.sizes.map((size, i) => size + (before[i] as number) + (after[i] as number))
  if (shape.some((size) => size < 0))
    throw new ValueError('pad', `amounts ${formatShape(amounts)} cut off more than ${formatShape(x.sizes)} has`)
  checkShape('pad', shape)
  if (typeof value !== 'number') throw new ValueError('pad', `the value is ${kindOf(value)}, but must be a number`)
  checkNumber('pad', value, x.dtype)
  const kept = x.sizes.map((size, i) =>
    Math.max(0, size + Math.min(0, before[i] as number) + Math.min(0, after[i] as number)),
  )
  const steps = x.sizes.map(() => 1)
  const inner = apply(sliceRecord, [x], { starts: before.map((b) => Math.max(0, -b)), steps, sizes: kept })
  return apply(unsliceRecord, [inner], {
    starts: before.map((b) => Math.max(0, b)),
    steps,
    sizes: kept,
    shape,
    value,
  })
}

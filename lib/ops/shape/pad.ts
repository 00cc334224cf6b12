/** Padding of tensors, with a number or with their own elements. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, kindOf, ShapeError, shown, ValueError } from '../../core/errors.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { checkShape, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray } from '../creation.js'
import { checkNumber } from '../elementwise/numbers.js'
import { indexSelect } from '../indexing/index.js'
import { clone } from './copies.js'
import { sliceRecord, unsliceRecord } from './cut.js'

/**
 * The values around the tensor: a number, the mirrored inside without the border, the border repeated, or the other
 * end.
 */
export type PadMode = 'constant' | 'reflect' | 'replicate' | 'circular'

export interface PadOptions {
  /** The mode. Default 'constant'. */
  readonly mode?: PadMode
  /** The number of mode 'constant'. Default 0. */
  readonly value?: number
}

const padNames: OptionNames<PadOptions> = { mode: true, value: true }
const modes: readonly string[] = ['constant', 'reflect', 'replicate', 'circular'] satisfies readonly PadMode[]

/**
 * Pads x with a number, or as the options say. `amounts` holds [before, after] of the last dimension, then of the one
 * before it, and so on, as in PyTorch. Negative amounts cut off. The value for an integer tensor must fit its dtype.
 * Throws ShapeError if 'reflect' or 'circular' would need more elements than the tensor has.
 */
export function pad<D extends DType>(
  x: Tensor<Shape, D>,
  amounts: readonly number[],
  options?: number | PadOptions,
): Tensor<Shape, D>
export function pad(x: Tensor, amounts: readonly number[], options: number | PadOptions = 0): Tensor {
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
  const { mode = 'constant', value } =
    typeof options === 'number' ? { value: options } : checkOptions('pad', options, padNames)
  if (!modes.includes(mode))
    throw new ValueError('pad', `mode is ${kindOf(mode)}, but must be one of ${modes.join(', ')}`)
  if (mode === 'constant') return constantPad(x, before, after, shape, value ?? 0)
  if (value !== undefined) throw new ValueError('pad', `mode '${mode}' takes no value, but value is ${kindOf(value)}`)
  return ownPad(x, before, after, mode)
}

function constantPad(x: Tensor, before: Shape, after: Shape, shape: Shape, value: number): Tensor {
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

/** Pads with x's own elements, picked by index along each padded dimension, so that gradients are added up by index. */
function ownPad(x: Tensor, before: Shape, after: Shape, mode: Exclude<PadMode, 'constant'>): Tensor {
  let y = x
  // The last dimension is padded first, because its rows are shortest then.
  for (let dim = x.ndim - 1; dim >= 0; dim--) {
    const [first, last] = [before[dim] as number, after[dim] as number]
    if (first === 0 && last === 0) continue
    const index = sourcesOf(mode, x.sizes, dim, first, last)
    y = indexSelect(y, dim, fromTypedArray(index, [index.length], { device: x.device }))
  }
  return y === x ? clone(x) : y
}

function sourcesOf(
  mode: Exclude<PadMode, 'constant'>,
  shape: Shape,
  dim: number,
  first: number,
  last: number,
): Int32Array {
  const size = shape[dim] as number
  // Negative padding cuts first, so that cut-off elements do not come round again.
  const [start, end] = [Math.max(0, -first), size - Math.max(0, -last)]
  const own = size === 0 ? 0 : Number.POSITIVE_INFINITY
  const most = mode === 'reflect' ? size - 1 : mode === 'circular' ? end - start : own
  if (Math.max(first, last) > most)
    throw new ShapeError(
      'pad',
      `mode '${mode}' pads dimension ${dim} of ${formatShape(shape)} by at most ${Math.max(0, most)}, but ${Math.max(first, last)} is given`,
      [shape],
    )
  const at = (i: number): number => {
    if (mode === 'replicate') return Math.min(Math.max(i, 0), size - 1)
    if (mode === 'reflect') return i < 0 ? -i : i < size ? i : 2 * (size - 1) - i
    return i < start ? i + (end - start) : i < end ? i : i - (end - start)
  }
  return Int32Array.from({ length: size + first + last }, (_, i) => at(i - first))
}

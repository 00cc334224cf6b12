/** Lengths of the sequences of a batch, which say how many steps of each count. */
import { apply, checkTensor } from '../../autograd/operator.js'
import type { Device } from '../../core/device.js'
import { DTypeError, formatShape, kindOf, ShapeError, shown, ValueError } from '../../core/errors.js'
import { Tensor } from '../../core/tensor.js'
import { arange, fromTypedArray } from '../creation.js'
import { lt, sub, where } from '../elementwise/index.js'
import { indexSelect } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { unsqueeze } from '../shape/index.js'

/**
 * The number of steps that count in each sequence of a batch: [B] integers from 1 to T, as a list or an int32 tensor.
 */
export type SequenceLengths = Tensor | ArrayLike<number>

/** lengths [B] int32 -> [T, B] bool. A length outside 1 to T is a late error, because only the device knows it. */
const sequenceMaskRecord = operator<[lengths: Tensor], { readonly steps: number }>({
  name: 'sequenceMask',
  infer: ([lengths], { steps }) => ({ shape: [steps, lengths.sizes[0] ?? 0], dtype: 'bool' }),
  forward: kernel('sequence_mask', ([lengths], _, { out }) => ({ out, lengths })),
  composite([lengths], { steps }) {
    const { device } = lengths
    // The look-up returns its own index, and is used because it refuses indices outside.
    const checked = indexSelect(arange(1, steps + 1, 1, { dtype: 'int32', device }), 0, sub(lengths, 1))
    return lt(unsqueeze(arange(0, steps, 1, { dtype: 'int32', device }), 1), checked)
  },
  gradient: { differentiable: false, reason: 'the result is of truths' },
})

/** Whether each step counts, [T, B]. */
export function sequenceMask(lengths: Tensor, steps: number): Tensor {
  return apply(sequenceMaskRecord, [lengths], { steps })
}

/**
 * The lengths of `batch` sequences of `steps` steps as an int32 tensor; null if all steps count. A list is checked
 * here, a tensor's elements when they are used.
 */
export function checkLengths(
  op: string,
  lengths: SequenceLengths | undefined,
  [steps, batch]: readonly [number, number],
  device: Device,
): Tensor | null {
  if (lengths === undefined) return null
  if (lengths instanceof Tensor) {
    checkTensor(op, 'lengths', lengths)
    if (lengths.dtype !== 'int32')
      throw new DTypeError(op, `lengths are ${lengths.dtype}, but must be int32: lengths.to('int32')`)
    if (lengths.ndim !== 1 || lengths.sizes[0] !== batch)
      throw new ShapeError(
        op,
        `lengths are ${formatShape(lengths.sizes)}, but must be [${batch}], one for each sequence`,
        [lengths.sizes],
      )
    return lengths
  }
  const isList = Array.isArray(lengths) || (ArrayBuffer.isView(lengths) && !(lengths instanceof DataView))
  if (!isList)
    throw new ValueError(op, `lengths are ${kindOf(lengths)}, but must be a list of integers or an int32 tensor`)
  const list = Int32Array.from({ length: lengths.length }, (_, i) => {
    const length: unknown = lengths[i]
    if (!(Number.isInteger(length) && (length as number) >= 1 && (length as number) <= steps))
      throw new ValueError(op, `lengths[${i}] is ${shown(length)}, but must be an integer from 1 to ${steps}`)
    return length as number
  })
  if (list.length !== batch)
    throw new ValueError(op, `there are ${list.length} lengths for ${batch} sequences; give one for each`)
  return list.every((length) => length === steps) ? null : fromTypedArray(list, [batch], { device })
}

/** x [T, B, ...] with 0 at the steps that do not count, so that their content reaches no result or gradient. */
export function withoutPadding(x: Tensor, mask: Tensor): Tensor {
  let shaped = mask
  while (shaped.ndim < x.ndim) shaped = unsqueeze(shaped, shaped.ndim)
  return where(shaped, x, 0)
}

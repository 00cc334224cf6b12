/**
 * Batches on their way between threads: tensors as the arrays of their elements, whose memory is handed over, and
 * everything else as it is.
 */

import { type DType, isBlocks } from '../core/dtype.js'
import { kindOf, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'
import { fromTypedArray } from '../ops/creation.js'
import { dataSync } from '../ops/read.js'
import { Picture } from './picture.js'

interface PackedTensor {
  readonly kind: 'tensor'
  readonly data: ArrayBufferView
  readonly shape: readonly number[]
  readonly dtype: DType
}

/** Plain data. Each part has its kind, so that no value of a batch can be mistaken for another. */
export type Packed =
  | PackedTensor
  | { readonly kind: 'picture'; readonly picture: Picture }
  | { readonly kind: 'list'; readonly parts: readonly Packed[] }
  | { readonly kind: 'record'; readonly parts: readonly (readonly [name: string, part: Packed])[] }
  | { readonly kind: 'value'; readonly value: unknown }

/** The deepest nesting of batches. One that contains itself has no end. */
const mostDepth = 64

/** The batch as plain data. `moved` gets the memory that is handed over without a copy. */
export function pack(batch: unknown, moved: ArrayBuffer[], depth = 0): Packed {
  if (depth > mostDepth) throw new ValueError('DataLoader', `a batch is nested deeper than ${mostDepth}`)
  if (batch instanceof Tensor) {
    if (isBlocks(batch.dtype))
      throw new ValueError('DataLoader', `a worker's batch has a tensor of ${batch.dtype}, which only models can have`)
    const data = dataSync(batch)
    moved.push(data.buffer as ArrayBuffer)
    return { kind: 'tensor', data, shape: batch.sizes, dtype: batch.dtype }
  }
  if (batch instanceof Picture) return { kind: 'picture', picture: batch }
  if (Array.isArray(batch)) return { kind: 'list', parts: batch.map((part) => pack(part, moved, depth + 1)) }
  if (typeof batch === 'function' || typeof batch === 'symbol')
    throw new ValueError(
      'DataLoader',
      `a worker's batch has ${kindOf(batch)}, which cannot leave its thread; leave it out`,
    )
  if (typeof batch !== 'object' || batch === null || Object.getPrototypeOf(batch) !== Object.prototype)
    return { kind: 'value', value: batch }
  return { kind: 'record', parts: Object.entries(batch).map(([name, part]) => [name, pack(part, moved, depth + 1)]) }
}

/** Restores the batch, with its tensors on the device of new tensors. */
export function unpack(packed: Packed): unknown {
  if (packed.kind === 'tensor')
    return fromTypedArray(packed.data as Float32Array, packed.shape, { dtype: packed.dtype })
  if (packed.kind === 'picture') {
    const { data, height, width, channels } = packed.picture
    return new Picture(data, height, width, channels)
  }
  if (packed.kind === 'list') return packed.parts.map(unpack)
  if (packed.kind === 'record') return Object.fromEntries(packed.parts.map(([name, part]) => [name, unpack(part)]))
  return packed.value
}

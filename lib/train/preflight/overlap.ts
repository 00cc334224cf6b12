/** Finds rows that are in both the training set and the validation set. */
import { visitTensors } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'
import { rowsOf } from './rows.js'

export interface OverlapRecord {
  /** The number of examined rows of each set. */
  readonly training: number
  readonly validation: number
  /** The number of validation rows that are also in the training set. */
  readonly both: number
  /** Whether all rows of both sets were examined. */
  readonly isComplete: boolean
}

/**
 * Hashes of a batch's rows, over the model's input. In the short form that is the input tensor, and otherwise all
 * tensors whose first dimension equals that of the first. Rows are hashed as the batch has them, including padding and
 * augmentation.
 */
export async function rowHashes(batch: unknown, isShort: boolean): Promise<string[]> {
  const seen: unknown = isShort && Array.isArray(batch) ? batch[0] : batch
  const rows = rowsOf(seen) ?? 0
  const tensors: Tensor[] = []
  visitTensors(seen, (tensor) => {
    if (tensor.sizes[0] === rows) tensors.push(tensor)
  })
  const arrays = await Promise.all(
    tensors.map(async (tensor) => {
      const { buffer, byteOffset, byteLength } = await tensor.detach().contiguous().data()
      return new Uint8Array(buffer, byteOffset, byteLength)
    }),
  )
  return Array.from({ length: rows }, (_, i) => {
    // Two hashes of 32 bits (Fowler, Noll and Vo): among a million rows, two different rows get equal hashes in one of
    // ten million sets.
    let [a, b] = [0x811c9dc5, 0x050c5d1f]
    for (const array of arrays) {
      const end = ((i + 1) * array.length) / rows
      for (let k = (i * array.length) / rows; k < end; k++) {
        const byte = array[k] as number
        a = Math.imul(a ^ byte, 0x01000193)
        b = Math.imul(b ^ (byte + 0x9d), 0x01000197)
      }
    }
    return `${a} ${b}`
  })
}

/** Rows that stand in the training set and in the validation set. */
import { visitTensors } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'
import { rowsOf } from './rows.js'

export interface OverlapRecord {
  /** Rows of each set that were looked at. */
  readonly training: number
  readonly validation: number
  /** Rows of the validation that are in the training too. */
  readonly both: number
  /** Whether all rows of both sets were looked at. */
  readonly isComplete: boolean
}

/**
 * Hashes of a batch's rows, of what the model sees: in the short form the input, else all tensors whose first dimension is that of the
 * first. Rows are as the batch has them, padding and augmentation included.
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
    // Two hashes of 32 bits (Fowler, Noll and Vo): of a million rows, two different ones seem alike once in ten million sets.
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

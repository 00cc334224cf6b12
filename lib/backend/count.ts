/** Counts of a device's storages and their bytes. */
import { dtypes } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import type { Storage } from '../core/storage.js'

/** Throws ValueError unless the product of a program's sizes is a possible number of elements. */
export function checkCount(count: number, op: string): void {
  if (!(count >= 0 && Math.floor(count) === count))
    throw new ValueError(op, `a tensor cannot have ${count} elements; its sizes must be non-negative integers`)
}

/** Counts the storages of a device whose elements, if any, the garbage collector frees. */
export class StorageCount {
  tensors = 0
  bytes = 0
  peakBytes = 0
  readonly #registry = new FinalizationRegistry<number>((bytes) => this.#change(-1, -bytes))

  /** Counts a storage that was made. */
  add(storage: Storage): void {
    const bytes = bytesOf(storage)
    this.#registry.register(storage, bytes, storage)
    this.#change(1, bytes)
    this.peakBytes = Math.max(this.peakBytes, this.bytes)
  }

  /** Counts a storage that was freed explicitly. */
  remove(storage: Storage): void {
    this.#registry.unregister(storage)
    this.#change(-1, -bytesOf(storage))
  }

  resetPeak(): void {
    this.peakBytes = this.bytes
  }

  #change(tensors: number, bytes: number): void {
    this.tensors += tensors
    this.bytes += bytes
  }
}

function bytesOf({ count, dtype }: Storage): number {
  return count * dtypes[dtype].bytes
}

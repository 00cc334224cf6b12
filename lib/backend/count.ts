/** Counting what a device's tensors take. */
import { dtypes } from '../core/dtype.js'
import { ValueError } from '../core/errors.js'
import type { Storage } from '../core/storage.js'

/** Throws ValueError for what is no number of elements, which sizes of a program's own making can multiply to. */
export function checkCount(count: number, op: string): void {
  if (!(count >= 0 && Math.floor(count) === count))
    throw new ValueError(op, `a tensor cannot have ${count} elements; its sizes must be non-negative integers`)
}

/** The storages of a device whose elements, if there are any, the garbage collector frees. */
export class StorageCount {
  tensors = 0
  bytes = 0
  peakBytes = 0
  readonly #registry = new FinalizationRegistry<number>((bytes) => this.#change(-1, -bytes))

  /** A storage is made. */
  add(storage: Storage): void {
    const bytes = bytesOf(storage)
    this.#registry.register(storage, bytes, storage)
    this.#change(1, bytes)
    this.peakBytes = Math.max(this.peakBytes, this.bytes)
  }

  /** A storage is freed by whoever made it. */
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

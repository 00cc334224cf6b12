import type { DType, TypedArray } from './dtype.js'
import type { Storage } from './storage.js'
import { Uncloneable } from './uncloneable.js'

/** Where in a storage a tensor's elements lie, in elements. What kernels are called with. */
export interface StridedView {
  readonly storage: Storage
  readonly offset: number
  /** Per dimension, outermost first. */
  readonly sizes: readonly number[]
  /** Elements from one index to the next, per dimension; 0 where broadcast. */
  readonly steps: readonly number[]
  readonly dtype: DType
}

/**
 * A property of every device, which every tensor reaches: what would be copied else is what a tensor is made of here, without
 * the elements.
 */
export const uncloneable = new Uncloneable(
  'structuredClone',
  'a tensor is in memory of a device, which is not copied; send its dataSync() and shape, and make a tensor there',
)

export interface DeviceMemory {
  /** Storages that JavaScript holds, and their bytes. */
  readonly tensors: number
  readonly bytes: number
  /** The most `bytes` has been since the last `resetPeak`. */
  readonly peakBytes: number
  /** Bytes the device's allocator keeps for reuse. */
  readonly cachedBytes: number
  /** Bytes the device's allocator has from the system. */
  readonly reservedBytes: number
  /** Bytes that the tensors of a device without memory would take elsewhere, now and at most. Others leave it out. */
  readonly planned?: { readonly bytes: number; readonly peakBytes: number }
}

/** The least work that a kernel call must do. */
export interface CallCost {
  /** Bytes that are read or written. */
  readonly bytes: number
  /** Bytes of what it reads, each once; what it overwrites in place counts as read and as written. */
  readonly readBytes: number
  readonly writtenBytes: number
  /** Multiply-adds of a matrix product, convolution, recurrence or attention by definition; 0 for other kernels. */
  readonly multiplyAdds: number
  /** The dtype of the factors, which is that of the first tensor that is read. */
  readonly dtype: DType
}

/** One kernel call of a trace. */
export interface KernelRecord extends CallCost {
  readonly kernel: string
  readonly milliseconds: number
}

/** A kernel as calls name it: its name and its place in the table of kernels. */
export interface KernelKey {
  readonly name: string
  readonly number: number
}

/**
 * A device is a queue: calls take effect in program order. `core` knows this interface only; the devices themselves are
 * in `backend`. Argument objects of `run` follow the table of kernels (checked by type where dispatch calls it).
 */
export interface Device {
  /** 'reference', 'cpu', 'cuda:0', 'meta' */
  readonly name: string
  readonly kind: 'reference' | 'cpu' | 'cuda' | 'meta'
  readonly uncloneable: Uncloneable
  supports(dtype: DType): boolean
  hasKernel(name: string): boolean
  /**
   * Makes a storage whose memory arrives with the first kernel that has it as `out`, or with `upload`. `tracked` storages
   * are freed by the garbage collector; others must be freed by hand or tracked later. Throws OutOfMemoryError.
   */
  allocate(dtype: DType, count: number, tracked: boolean, op: string): Storage
  /** Lets the garbage collector free a storage that was allocated untracked. */
  track(storage: Storage): void
  free(storage: Storage): void
  /** False, and nothing has happened, where an argument that must be dense is not. */
  run(kernel: KernelKey, args: KernelCall): boolean
  /** Copies the elements in; the storage's count must equal the array's length. */
  upload(storage: Storage, data: TypedArray): void
  /**
   * Copies a part of the elements in, to the place `from` of the array that would hold them all. The first part makes the memory,
   * in which anything may stand until all parts have come.
   */
  uploadPart(storage: Storage, data: TypedArray, from: number): void
  /** A fresh copy of a dense view's elements; also throws what kernels found in their data before. */
  read(view: StridedView): Promise<TypedArray>
  readSync(view: StridedView): TypedArray
  /** Waits until all that was submitted is done, and throws what kernels found. */
  synchronize(): void
  /** Throws what kernels have found so far, without waiting. */
  throwPending(): void
  memory(): DeviceMemory
  resetPeak(): void
  /** Records every kernel that runs until `stop`; calls run synchronously meanwhile. */
  startTrace(): { stop(): readonly KernelRecord[] }
}

export type KernelCall = {
  readonly [name: string]: StridedView | readonly StridedView[] | number | readonly number[] | boolean | object | null
}

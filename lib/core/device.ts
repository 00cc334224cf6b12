import type { DType, TypedArray } from './dtype.js'
import type { Storage } from './storage.js'
import { Uncloneable } from './uncloneable.js'

/** A tensor's layout in its storage, in elements, as kernels receive it. */
export interface StridedView {
  readonly storage: Storage
  readonly offset: number
  /** The size of each dimension, outermost first. */
  readonly sizes: readonly number[]
  /** Elements from one index to the next, per dimension; 0 if broadcast. */
  readonly steps: readonly number[]
  readonly dtype: DType
}

/** A property of every device, which stops structuredClone of any tensor, because the copy would lack the elements. */
export const uncloneable = new Uncloneable(
  'structuredClone',
  'a tensor is in memory of a device, which is not copied; send its dataSync() and shape, and make a tensor there',
)

/** Bytes of an open file. */
export interface FilePart {
  /** The system's number of the file. */
  readonly file: number
  readonly position: number
  readonly bytes: number
  /** The dtype of its elements, if they become float32. By default the bytes become the storage's, unchanged. */
  readonly widened?: 'bfloat16' | 'float16'
}

export interface DeviceMemory {
  /** The number of storages that JavaScript holds. */
  readonly tensors: number
  readonly bytes: number
  /** The highest value of `bytes` since the last `resetPeak`. */
  readonly peakBytes: number
  /** Bytes that the device's allocator keeps for reuse. */
  readonly cachedBytes: number
  /** Bytes that the device's allocator holds from the system. */
  readonly reservedBytes: number
  /**
   * The bytes that the tensors of a device without memory would take elsewhere: now, and at most so far. Other devices
   * leave it out.
   */
  readonly planned?: { readonly bytes: number; readonly peakBytes: number }
}

/** The least work that a kernel call must do. */
export interface CallCost {
  /** Bytes read or written. */
  readonly bytes: number
  /** Bytes read, each counted once. Bytes overwritten in place count as both read and written. */
  readonly readBytes: number
  readonly writtenBytes: number
  /** Multiply-adds of a matrix product, convolution, recurrence or attention by definition; 0 for other kernels. */
  readonly multiplyAdds: number
  /** The dtype of the factors: that of the first tensor that the kernel reads. */
  readonly dtype: DType
}

/** One kernel call of a trace. */
export interface KernelRecord extends CallCost {
  readonly kernel: string
  readonly milliseconds: number
}

/** A kernel's name and its index in the table of kernels. */
export interface KernelKey {
  readonly name: string
  readonly number: number
}

/**
 * A device is a queue: calls take effect in program order. `core` knows only this interface; the devices themselves are
 * in `backend`. The arguments of `run` follow the table of kernels, which dispatch checks by type.
 */
export interface Device {
  /** 'reference', 'cpu', 'cuda:0', 'meta' */
  readonly name: string
  readonly kind: 'reference' | 'cpu' | 'cuda' | 'meta'
  readonly uncloneable: Uncloneable
  supports(dtype: DType): boolean
  hasKernel(name: string): boolean
  /**
   * Makes a storage whose memory arrives with the first kernel that has it as `out`, or with `upload`. The garbage
   * collector frees `tracked` storages; others must be freed by hand or tracked later. Throws OutOfMemoryError.
   */
  allocate(dtype: DType, count: number, tracked: boolean, op: string): Storage
  /** Lets the garbage collector free a storage that was allocated untracked. */
  track(storage: Storage): void
  free(storage: Storage): void
  /**
   * Does the same as `free` of each, in one call. All of them are of this device and alive. A device for which this is
   * no faster leaves it out.
   */
  freeAll?(storages: readonly Storage[]): void
  /** Runs a kernel. Returns false, having done nothing, if an argument that must be dense is not. */
  run(kernel: KernelKey, args: KernelCall): boolean
  /** Copies the array into the storage, whose count must equal the array's length. */
  upload(storage: Storage, data: TypedArray): void
  /**
   * Copies a part of the elements into the storage, at index `from`. The first part allocates the memory, whose
   * contents are undefined until all parts have come.
   */
  uploadPart(storage: Storage, data: TypedArray, from: number): void
  /**
   * Does the same as `uploadPart`, but reads the elements straight from an open file, without a further copy. Returns
   * false if the file has fewer bytes or cannot be read. A device leaves it out if the system cannot read into its
   * memory.
   */
  loadPart?(storage: Storage, from: number, part: FilePart): Promise<boolean>
  /** A fresh copy of a dense view's elements. Also throws the errors that earlier kernels found in their data. */
  read(view: StridedView): Promise<TypedArray>
  readSync(view: StridedView): TypedArray
  /** Waits until all submitted work is done, and throws the errors that kernels found. */
  synchronize(): void
  /** Throws the errors that kernels have found so far, without waiting. */
  throwPending(): void
  memory(): DeviceMemory
  resetPeak(): void
  /** Records every kernel that runs until `stop`; calls run synchronously meanwhile. */
  startTrace(): { stop(): readonly KernelRecord[] }
}

export type KernelCall = {
  readonly [name: string]: StridedView | readonly StridedView[] | number | readonly number[] | boolean | object | null
}

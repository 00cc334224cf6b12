import type { TypedArray } from '../../core/dtype.js'

/** One device of the addon. Functions check their arguments and throw errors with code ERR_INTERNAL. */
export interface Addon {
  /** Names of the kernels, null where the device lacks one; a kernel's number in calls is its place here. */
  readonly kernels: readonly (string | null)[]
  /** The arrays that calls are read from (see native/addon/decoder.h). */
  words(ints: Int32Array, doubles: Float64Array): void
  /**
   * Bytes of each storage by handle, and room for the handles that `poll` finds dead. Handles are below their length.
   */
  handles(sizes: Float64Array, dead: Int32Array): void
  /** `status[0]` is not 0 while an error waits in `takeError`. */
  status(status: Int32Array): void
  /** Runs the call that the words describe; `guards` are the objects that guard storages it makes, in order. */
  call(...guards: readonly object[]): void
  release(handle: number): void
  /** From now on `poll` tells when the object is gone. */
  track(handle: number, storage: object): void
  /** Frees the storages whose objects the last garbage collection took; how many handles it wrote to `dead`. */
  poll(major: boolean): number
  /** Copies the elements, or a copy of them that waits for what is queued where there is memory for one. */
  upload(handle: number, byteOffset: number, data: TypedArray, mayWait: boolean): void
  /** Rejected where the elements could not be read; the reason is the first such error in `takeError`. */
  read(handle: number, byteOffset: number, to: TypedArray): Promise<TypedArray>
  /** Reads at once; false if it would have to wait and may not. */
  readNow(handle: number, byteOffset: number, to: TypedArray, wait: boolean): boolean
  finish(): void
  takeError(): readonly [code: number, kernel: string, label: number, text: string] | null
  liveBytes(): number
  reservedBytes(): number
  /** Bytes that may still be taken beside the reserved ones; on a CPU without those that wait to be touched. */
  availableBytes(): number
  /** Gives the memory that no storage uses back to the system. */
  flush(): void
  /** Whether the object last given to `watch` is still there. */
  watch(object: object): void
  watchedLives(): boolean
}

export interface CpuAddon extends Addon {
  readonly isa: string
  threadCount(): number
  setThreadCount(threads: number): void
  /** Operations a second; 0 where the CPU or this build has no such instruction set. Waits meanwhile. */
  multiplyAddPeak(isa: string, bfloat16: boolean, threads: number, seconds: number): number
  /** Bytes a second, read (or read and written) over a working set of so many bytes. Waits meanwhile. */
  bandwidth(isa: string, copy: boolean, workingSet: number, threads: number, seconds: number): number
}

export interface CudaAddon extends Addon {
  /** Such as 'NVIDIA H100 80GB HBM3 (sm_90)'. */
  readonly model: string
}

export interface AddonModule {
  /** As many threads as there are cores if they are 0. */
  open(isa: string | null, threads: number): CpuAddon
  /** Opens a GPU by the CUDA library at `path`; throws the reason where it cannot. */
  openCuda(path: string, index: number): CudaAddon
  /** Bytes that this process may still take, by the machine and by its control groups. */
  availableMemory(): number
}

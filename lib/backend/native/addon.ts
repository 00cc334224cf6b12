import type { TypedArray } from '../../core/dtype.js'

/** One device of the addon. Functions check their arguments and throw errors with code ERR_INTERNAL. */
export interface Addon {
  /** The names of the kernels; null where the device lacks one. A kernel's number in calls is its index here. */
  readonly kernels: readonly (string | null)[]
  /** Sets the arrays from which calls are read (see native/addon/decoder.h). */
  words(ints: Int32Array, doubles: Float64Array): void
  /**
   * Sets the array of each storage's bytes by handle, and the array for handles that `poll` finds dead or `releaseAll`
   * releases. Handles are below their length.
   */
  handles(sizes: Float64Array, dead: Int32Array): void
  /** Sets the array whose `status[0]` is not 0 while an error waits in `takeError`. */
  status(status: Int32Array): void
  /** Runs the call that the words describe. `guards` are the guard objects of the storages it makes, in order. */
  call(...guards: readonly object[]): void
  release(handle: number): void
  /** Releases the first `count` handles of `dead`. */
  releaseAll(count: number): void
  /** Lets `poll` tell when the object is gone. */
  track(handle: number, storage: object): void
  /**
   * Frees the storages whose objects the last garbage collection took. Returns the number of handles that it wrote to
   * `dead`.
   */
  poll(major: boolean): number
  /** Copies the elements in. If the queue is busy and memory allows, a copy of them waits in the queue. */
  upload(handle: number, byteOffset: number, data: TypedArray, mayWait: boolean): void
  /**
   * Fills this many bytes of a storage of the CPU from an open file, on the queue's threads. With the code of a 16-bit
   * dtype, the file has half of the bytes, and its elements become float32; otherwise -1. Gives false if the file had
   * fewer bytes or could not be read; the promise is rejected if there is no memory.
   */
  load(
    handle: number,
    byteOffset: number,
    file: number,
    position: number,
    bytes: number,
    dtype: number,
  ): Promise<boolean>
  /**
   * Reads elements. The promise is rejected if they could not be read; the reason is the first such error in
   * `takeError`.
   */
  read(handle: number, byteOffset: number, to: TypedArray): Promise<TypedArray>
  /** Reads at once. Returns false if it would have to wait and may not. */
  readNow(handle: number, byteOffset: number, to: TypedArray, wait: boolean): boolean
  finish(): void
  takeError(): readonly [code: number, kernel: string, label: number, text: string] | null
  liveBytes(): number
  reservedBytes(): number
  /**
   * The bytes that may still be taken beside the reserved ones; on a CPU without reserved pages that are still
   * untouched.
   */
  availableBytes(): number
  /** The bytes of a GPU, from which other processes take too. */
  totalBytes?(): number
  /** Returns memory that no storage uses to the system. */
  flush(): void
  /** Sets the object whose survival `watchedLives` tells. */
  watch(object: object): void
  watchedLives(): boolean
}

export interface CpuAddon extends Addon {
  readonly isa: string
  threadCount(): number
  setThreadCount(threads: number): void
  /** Measures operations per second; 0 if the CPU or this build lacks the instruction set. Blocks meanwhile. */
  multiplyAddPeak(isa: string, bfloat16: boolean, threads: number, seconds: number): number
  /** Measures bytes per second, read (or read and written) over a working set of this many bytes. Blocks meanwhile. */
  bandwidth(isa: string, copy: boolean, workingSet: number, threads: number, seconds: number): number
}

export interface CudaAddon extends Addon {
  /** The GPU's name, such as 'NVIDIA H100 80GB HBM3 (sm_90)'. */
  readonly model: string
  /** Captures calls instead of running them, until `endCapture`. Gives the text of a failure, or ''. */
  beginCapture(): string
  /** The number of the graph that was captured, or the text of a failure. */
  endCapture(): number | string
  /**
   * Runs the calls of a graph, after those before and without waiting. `values` are the numbers of calls that vary, or
   * none if these keep theirs. Gives the text of a failure, or ''.
   */
  replay(graph: number, values: Float64Array): string
  dropGraph(graph: number): void
  /** The launches so far, of kernels and of graphs. */
  launches(): number
  /** Whether later products of float32 may round their factors to tf32. Waits for those before. */
  allowTf32(allowed: boolean): void
}

export interface AddonModule {
  /** Opens the CPU device. 0 threads means one per core. */
  open(isa: string | null, threads: number): CpuAddon
  /** Opens a GPU through the CUDA library at `path`. Throws the reason if it cannot. */
  openCuda(path: string, index: number): CudaAddon
  /** The bytes that this process may still take, by the machine and by its control groups. */
  availableMemory(): number
}

/**
 * The meta device: tensors with a shape and a dtype, but no elements. Operators check and infer as usual, and their
 * kernels do nothing. So a model of any size can be made, run forward and backward, and described without memory.
 * `load` gives a model made here its weights and a device.
 *
 * Random operators advance the generator as on every device. So a program that makes its model here and loads it draws
 * the same numbers afterwards as one that made it elsewhere. Initialisers cost no time, but leave the same position.
 *
 * `memory('meta')` is 0 bytes. Its `planned` says what the storages would take on a device with memory: a prediction of
 * a step's peak, without the kernels' scratch space. The trace of a step lists the kernels that would run, and what
 * they would read, write and multiply.
 */
import {
  type Device,
  type DeviceMemory,
  type KernelCall,
  type KernelKey,
  type KernelRecord,
  type StridedView,
  uncloneable,
} from '../../core/device.js'
import type { DType, TypedArray } from '../../core/dtype.js'
import { DeviceError } from '../../core/errors.js'
import { Storage } from '../../core/storage.js'
import { isDenseCall } from '../call.js'
import { callCost } from '../cost.js'
import { checkCount, StorageCount } from '../count.js'
import { kernels } from '../table/index.js'

/** The error for a request of elements. */
export function noElements(op: string): DeviceError {
  return new DeviceError(
    op,
    'the tensor is on meta, where tensors have shapes but no elements; make it on another device, or give the model ' +
      'its weights first: load(path)',
  )
}

class MetaDevice implements Device {
  readonly name = 'meta'
  readonly kind = 'meta'
  readonly uncloneable = uncloneable
  readonly #count = new StorageCount()
  readonly #like: Device | null
  #nextHandle = 1
  #trace: KernelRecord[] | null = null

  constructor(like: Device | null) {
    this.#like = like
  }

  supports(dtype: DType): boolean {
    return this.#like === null || this.#like.supports(dtype)
  }

  /** Without `like` every kernel exists here, so that operators take the path of the device with the most kernels. */
  hasKernel(name: string): boolean {
    return this.#like === null ? Object.hasOwn(kernels, name) : this.#like.hasKernel(name)
  }

  allocate(dtype: DType, count: number, _tracked: boolean, op: string): Storage {
    checkCount(count, op)
    const storage = new Storage(this, dtype, count, this.#nextHandle++)
    this.#count.add(storage)
    return storage
  }

  track(_storage: Storage): void {
    // Nothing to do, because the garbage collector owns every storage here.
  }

  free(storage: Storage): void {
    this.#count.remove(storage)
    storage.handle = -1
  }

  /** Asks for dense copies as other devices do, because these count in the planned peak. */
  run(kernel: KernelKey, args: KernelCall): boolean {
    if (!isDenseCall(kernel, args)) return false
    this.#trace?.push({ kernel: kernel.name, milliseconds: 0, ...callCost(kernel.name, args) })
    return true
  }

  upload(_storage: Storage, _data: TypedArray): void {
    // Nothing to do, because elements are not kept.
  }

  uploadPart(_storage: Storage, _data: TypedArray, _from: number): void {
    // Nothing to do, because elements are not kept.
  }

  async read(view: StridedView): Promise<TypedArray> {
    return this.readSync(view)
  }

  readSync(_view: StridedView): TypedArray {
    throw noElements('read')
  }

  synchronize(): void {
    // Nothing to do, because nothing is ever pending.
  }

  throwPending(): void {
    // Nothing to do, because without elements no index can be out of range.
  }

  memory(): DeviceMemory {
    const { tensors, bytes, peakBytes } = this.#count
    return { tensors, bytes: 0, peakBytes: 0, cachedBytes: 0, reservedBytes: 0, planned: { bytes, peakBytes } }
  }

  resetPeak(): void {
    this.#count.resetPeak()
  }

  startTrace(): { stop(): readonly KernelRecord[] } {
    const records: KernelRecord[] = []
    this.#trace = records
    return {
      stop: () => {
        if (this.#trace === records) this.#trace = null
        return records
      },
    }
  }
}

/**
 * Makes a meta device. With `like` it has the kernels of another device, so that operators take the same path as there.
 */
export function createMetaDevice(like: Device | null = null): Device {
  return new MetaDevice(like)
}

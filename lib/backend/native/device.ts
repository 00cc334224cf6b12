/**
 * Devices of the addon: kernels behind a queue (native/core/queue.h). The native device runs them on this machine's
 * CPU.
 */

import {
  type Device,
  type DeviceMemory,
  type FilePart,
  type KernelCall,
  type KernelKey,
  type KernelRecord,
  type StridedView,
  uncloneable,
} from '../../core/device.js'
import { arrayLength, type DType, dtypeCodes, dtypes, type TypedArray } from '../../core/dtype.js'
import {
  asLate,
  DeviceError,
  IndexOutOfRangeError,
  InternalError,
  OutOfMemoryError,
  shown,
  ValueError,
} from '../../core/errors.js'
import { currentLabel, describeLabel, nameOfLabel } from '../../core/module-path.js'
import { answerRoom } from '../../core/room.js'
import { Storage } from '../../core/storage.js'
import { kernelOf } from '../call.js'
import { callCost } from '../cost.js'
import { checkCount } from '../count.js'
import { maxThreads, readSettings } from '../settings.js'
import { calledAs, type KernelName } from '../table/index.js'
import type { Addon, CpuAddon } from './addon.js'
import { formatBytes } from './bytes.js'
import { Encoder, type Plan } from './encode.js'
import { type Loaded, loadNative } from './loader.js'
import { availableMemory } from './machine.js'
import { makeRoomAdvice, NativeMemory, pendingTracked } from './memory.js'

/** A read of up to this many bytes copies at once if nothing is queued. */
const smallRead = 1 << 18

/** Arrays of fewer bytes are made without checking the memory that is left. */
const largeArray = 2 ** 24

/** The error classes in the order of `enum class ErrorCode` of native/core/kernel.h. */
const errorClasses = [InternalError, InternalError, IndexOutOfRangeError, ValueError, OutOfMemoryError, InternalError]
const memoryCode = 4

/** A device of the addon, whatever its kernels run on. */
export class QueueDevice implements Device {
  readonly name: string
  readonly kind: 'cpu' | 'cuda'
  readonly uncloneable = uncloneable
  readonly #addon: Addon
  readonly #memory: NativeMemory
  readonly #encoder: Encoder
  /** The plans by the kernel's number in the table of kernels. */
  readonly #plans: (Plan | undefined)[] = []
  readonly #kernels: ReadonlySet<string | null>
  readonly #status = new Int32Array(new ArrayBuffer(4))
  readonly #synchronous = readSettings().synchronous
  #trace: KernelRecord[] | null = null

  constructor(name: string, kind: 'cpu' | 'cuda', addon: Addon) {
    this.name = name
    this.kind = kind
    this.#addon = addon
    const memory = new NativeMemory(this, addon)
    this.#memory = memory
    if (kind === 'cpu') answerRoom((bytes, op) => memory.makeRoomForArray(bytes, op))
    this.#encoder = new Encoder(addon, this.#memory)
    this.#kernels = new Set(addon.kernels)
    addon.status(this.#status)
    addon.kernels.forEach((name, number) => {
      if (name === null) return
      const kernel = kernelOf(name as KernelName)
      this.#plans[kernel.number] = { kernel: name, number, write: kernel.write }
    })
  }

  supports(dtype: DType): boolean {
    return dtype !== 'float64'
  }

  hasKernel(name: string): boolean {
    return this.#kernels.has(name)
  }

  allocate(dtype: DType, count: number, tracked: boolean, op: string): Storage {
    checkCount(count, op)
    const handle = this.#memory.allocate(count * dtypes[dtype].bytes, tracked, op)
    return new Storage(this, dtype, count, handle)
  }

  track(storage: Storage): void {
    if (this.#memory.pending[storage.handle] !== 0) this.#memory.trackPending(storage.handle)
    else this.#addon.track(storage.handle, storage)
  }

  free(storage: Storage): void {
    const handle = storage.handle
    if (handle < 0) return
    storage.handle = -1
    if (this.#memory.pending[handle] === 0) this.#addon.release(handle)
    this.#memory.forget(handle)
  }

  freeAll(storages: readonly Storage[]): void {
    const memory = this.#memory
    let count = 0
    for (const storage of storages) {
      const { handle } = storage
      if (handle < 0) continue // A list may name one twice.
      storage.handle = -1
      if (memory.pending[handle] === 0) memory.dead[count++] = handle
      memory.forget(handle)
    }
    if (count > 0) this.#addon.releaseAll(count)
  }

  run({ name, number }: KernelKey, args: KernelCall): boolean {
    const plan = this.#plans[number]
    if (plan === undefined) throw this.missingKernel(name)
    const ran = this.#trace === null ? this.#call(plan, args) : this.#traced(this.#trace, plan, args)
    if (this.#synchronous) this.synchronize()
    return ran
  }

  protected missingKernel(kernel: string): Error {
    return new InternalError(kernel, 'there is no such kernel')
  }

  #call(plan: Plan, args: KernelCall): boolean {
    try {
      return this.#encoder.call(plan, args, currentLabel())
    } catch (error) {
      throw asTyped(plan.kernel, error)
    }
  }

  #traced(records: KernelRecord[], plan: Plan, args: KernelCall): boolean {
    this.#addon.finish()
    const started = performance.now()
    if (!this.#call(plan, args)) return false
    this.#addon.finish()
    records.push({ kernel: plan.kernel, milliseconds: performance.now() - started, ...callCost(plan.kernel, args) })
    return true
  }

  upload(storage: Storage, data: TypedArray): void {
    storage.check('upload')
    const length = arrayLength(storage.dtype, storage.count)
    if (data.length !== length)
      throw new ValueError(
        'upload',
        `the array has ${data.length} elements, but must have ${length}; its buffer may have been detached or resized`,
      )
    this.#upload(storage, data, 0)
  }

  uploadPart(storage: Storage, data: TypedArray, from: number): void {
    storage.check('upload')
    this.#upload(storage, data, from)
  }

  #upload(storage: Storage, data: TypedArray, from: number): void {
    const pending = this.#memory.pending
    try {
      const byteOffset = from * data.BYTES_PER_ELEMENT
      this.#addon.upload(storage.handle, byteOffset, data, this.#memory.mayCopy(data.byteLength))
      if (pending[storage.handle] === pendingTracked) this.#addon.track(storage.handle, storage)
    } catch (error) {
      throw asTyped('upload', error)
    }
    pending[storage.handle] = 0
  }

  /** Does the same as `loadPart`, for memory that is the system's. */
  protected async loadFile(storage: Storage, from: number, part: FilePart): Promise<boolean> {
    storage.check('load')
    const { file, position, widened } = part
    if (widened !== undefined && storage.dtype !== 'float32')
      throw new InternalError('load', `${widened} is widened to float32 alone, and the storage is ${storage.dtype}`)
    const ratio = widened === undefined ? 1 : dtypes.float32.bytes / dtypes[widened].bytes
    const pending = this.#memory.pending
    const { handle } = storage
    try {
      const byteOffset = from * dtypes[storage.dtype].Array.BYTES_PER_ELEMENT
      const code = widened === undefined ? -1 : dtypeCodes[widened]
      const loaded = this.#addon.load(handle, byteOffset, file, position, part.bytes * ratio, code)
      if (pending[handle] === pendingTracked) this.#addon.track(handle, storage)
      pending[handle] = 0
      const complete = await loaded
      this.throwPending()
      return complete
    } catch (error) {
      this.throwPending()
      throw asTyped('load', error)
    }
  }

  // This is not `async`, because a read without waiting must not cost another turn of the microtask queue.
  read(view: StridedView): Promise<TypedArray> {
    try {
      const { array, handle, byteOffset } = this.#target(view)
      if (array.byteLength <= smallRead && this.#addon.readNow(handle, byteOffset, array, false)) {
        this.throwPending()
        return Promise.resolve(array)
      }
      return this.#addon.read(handle, byteOffset, array).then(
        () => {
          this.throwPending()
          return array
        },
        (error) => {
          this.throwPending()
          throw asTyped('read', error)
        },
      )
    } catch (error) {
      return Promise.reject(asTyped('read', error))
    }
  }

  readSync(view: StridedView): TypedArray {
    const { array, handle, byteOffset } = this.#target(view)
    try {
      this.#addon.readNow(handle, byteOffset, array, true)
    } catch (error) {
      throw asTyped('read', error)
    }
    this.throwPending()
    return array
  }

  #target({ storage, offset, sizes: shape, steps: strides, dtype }: StridedView) {
    storage.check('read')
    let count = 1
    for (let d = shape.length - 1; d >= 0; d--) {
      const size = shape[d] as number
      if (size > 1 && strides[d] !== count && count > 0)
        throw new InternalError('read', 'only dense tensors can be read')
      count *= size
    }
    return { array: this.#array(dtype, count), handle: storage.handle, byteOffset: offset * dtypes[dtype].bytes }
  }

  #array(dtype: DType, count: number): TypedArray {
    const bytes = count * dtypes[dtype].bytes
    if (this.kind === 'cpu') this.#memory.makeRoomForArray(bytes, 'data')
    else if (bytes >= largeArray && bytes > availableMemory())
      throw new OutOfMemoryError('data', `${formatBytes(bytes)} do not fit in the memory that is left to this process`)
    try {
      return new dtypes[dtype].Array(arrayLength(dtype, count))
    } catch {
      throw new OutOfMemoryError('data', `JavaScript cannot make an array of ${count} elements (${formatBytes(bytes)})`)
    }
  }

  synchronize(): void {
    this.#addon.finish()
    this.throwPending()
  }

  throwPending(): void {
    if (this.#status[0] !== 0) this.#throwRecorded()
  }

  #throwRecorded(): void {
    const error = this.#addon.takeError()
    if (error === null) return
    const [code, kernel, label, text] = error
    const path = describeLabel(label)
    const place = path === '' ? '' : ` (in ${path})`
    const Class = errorClasses[code] ?? InternalError
    // An internal error names the kernel, because the library is at fault, not the call.
    const op = (Class === InternalError ? null : nameOfLabel(label)) ?? calledAs(kernel)
    if (code === memoryCode)
      throw asLate(new OutOfMemoryError(op, `${text}${place}; ${this.#memory.describeHeld()}; ${makeRoomAdvice}`))
    throw asLate(new Class(op, `${text}${place}`))
  }

  memory(): DeviceMemory {
    const { bytes, count, peak } = this.#memory
    const reservedBytes = this.#addon.reservedBytes()
    const cachedBytes = Math.max(0, reservedBytes - this.#addon.liveBytes())
    return { tensors: count, bytes, peakBytes: peak, cachedBytes, reservedBytes }
  }

  resetPeak(): void {
    this.#memory.peak = this.#memory.bytes
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

export class NativeDevice extends QueueDevice {
  readonly path: string
  readonly #addon: CpuAddon

  constructor(addon: CpuAddon, path: string) {
    super('cpu', 'cpu', addon)
    this.path = path
    this.#addon = addon
  }

  get isa(): string {
    return this.#addon.isa
  }

  loadPart(storage: Storage, from: number, part: FilePart): Promise<boolean> {
    return this.loadFile(storage, from, part)
  }

  get threads(): number {
    return this.#addon.threadCount()
  }

  set threads(count: number) {
    if (!Number.isInteger(count) || count < 1 || count > maxThreads)
      throw new ValueError(
        'threads',
        `the number of threads is ${shown(count)}, but must be an integer from 1 to ${maxThreads}`,
      )
    this.#addon.setThreadCount(count)
  }

  /**
   * Measures multiply-adds from registers, in operations per second, of which a multiply-add counts two; 0 if the CPU
   * lacks the instruction set. It runs for `seconds`, on separate threads.
   */
  multiplyAddPeak(
    dtype: 'float32' | 'bfloat16',
    { isa = this.isa, threads = this.threads, seconds = 0.01 } = {},
  ): number {
    return this.#addon.multiplyAddPeak(isa, dtype === 'bfloat16', threads, seconds)
  }

  /** Measures bytes per second of reading, or of reading and writing, a working set of this many bytes repeatedly. */
  bandwidth(traffic: 'read' | 'copy', workingSet: number, { threads = this.threads, seconds = 0.01 } = {}): number {
    return this.#addon.bandwidth(this.isa, traffic === 'copy', workingSet, threads, seconds)
  }
}

/** Turns an error of the addon into one of the library's, with the JavaScript stack of the call. */
function asTyped(op: string, error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message?: string }
  if (code === 'ERR_MEMORY' && !(error instanceof OutOfMemoryError)) return new OutOfMemoryError(op, String(message))
  return code === 'ERR_INTERNAL' && !(error instanceof InternalError) ? new InternalError(op, String(message)) : error
}

let loaded: Loaded | null = null
let created: NativeDevice | null = null

/** The addon as this thread has loaded it, or the reason why there is none. */
export function loadedNative(): Loaded {
  loaded ??= loadNative()
  return loaded
}

/**
 * The native device of this thread, or the reason why there is none, which FIRESTEEL_REQUIRE=native turns into an
 * error.
 */
export function createNativeDevice(): NativeDevice | { readonly unavailable: string } {
  const found = loadedNative()
  if ('unavailable' in found) {
    if (readSettings().nativeRequired) throw new DeviceError('device', `FIRESTEEL_REQUIRE=native: ${found.unavailable}`)
    return found
  }
  created ??= new NativeDevice(found.addon, found.path)
  return created
}

/**
 * The reference device: the kernels in plain TypeScript, run at once on the calling thread. It runs everywhere, defines
 * the meaning of every kernel, and is the only device with float64.
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
import { arrayLength, type DType, dtypes, type TypedArray } from '../../core/dtype.js'
import { InternalError, isFiresteelError, OutOfMemoryError } from '../../core/errors.js'
import { late } from '../../core/late.js'
import { countOf } from '../../core/shape.js'
import { Storage } from '../../core/storage.js'
import { isDenseCall } from '../call.js'
import { callCost } from '../cost.js'
import { checkCount, StorageCount } from '../count.js'
import { makeMachineRoom, unseenBytes } from '../native/machine.js'
import { calledAs, type KernelName, kernels, parseArguments } from '../table/index.js'
import { referenceKernels } from './kernels.js'
import type { HostView } from './view.js'

type AnyKernel = (args: { readonly [name: string]: unknown }) => void
const kernelTable: () => { readonly [name: string]: AnyKernel | undefined } = referenceKernels as never

function isView(value: unknown): value is StridedView {
  return typeof value === 'object' && value !== null && 'storage' in value
}

/** The results of each kernel that writes only new memory. If they have no elements, there is nothing to do. */
const results = late(
  (): ReadonlyMap<string, readonly string[]> =>
    new Map(
      Object.entries(kernels).flatMap(([name, spec]) => {
        const roles = parseArguments(spec)
        if (roles.some(({ role }) => role === 'inout' || role === 'update')) return []
        return [[name, roles.filter(({ role }) => role === 'out' || role === 'place').map((argument) => argument.name)]]
      }),
    ),
)

/**
 * Whether every tensor that the call writes is empty. Such a call is skipped, because a loop over the other sizes could
 * run for ever.
 */
function writesNothing(kernel: string, args: KernelCall): boolean {
  const names = results().get(kernel)
  if (names === undefined || names.length === 0) return false
  const isEmpty = (value: unknown): boolean =>
    value === null || (Array.isArray(value) ? value.every(isEmpty) : countOf((value as StridedView).sizes) === 0)
  return names.every((name) => isEmpty((args as { readonly [name: string]: unknown })[name]))
}

class ReferenceDevice implements Device {
  readonly name = 'reference'
  readonly kind = 'reference'
  readonly uncloneable = uncloneable
  // Counts the storages, whose elements live in the JavaScript heap and are freed with them.
  readonly #count = new StorageCount()
  #nextHandle = 1
  /** The bytes made since the remaining memory was last checked. */
  #unseen = 0
  #trace: KernelRecord[] | null = null

  supports(_dtype: DType): boolean {
    return true
  }

  hasKernel(name: string): boolean {
    return kernelTable()[name] !== undefined
  }

  allocate(dtype: DType, count: number, _tracked: boolean, op: string): Storage {
    checkCount(count, op)
    const storage = new Storage(this, dtype, count, this.#nextHandle++)
    const bytes = count * dtypes[dtype].bytes
    this.#look(bytes, op)
    try {
      storage.data = new dtypes[dtype].Array(arrayLength(dtype, count))
    } catch {
      throw new OutOfMemoryError(
        op,
        `cannot allocate ${bytes} bytes (${count} elements of ${dtype}) in the JavaScript heap`,
      )
    }
    this.#count.add(storage)
    return storage
  }

  /** Throws OutOfMemoryError if `bytes` do not fit. Small amounts are added up before the memory is checked. */
  #look(bytes: number, op: string): void {
    this.#unseen += bytes
    if (this.#unseen < unseenBytes) return
    makeMachineRoom(bytes, op)
    this.#unseen = 0
  }

  track(_storage: Storage): void {
    // Nothing to do, because the garbage collector owns every storage here.
  }

  free(storage: Storage): void {
    this.#count.remove(storage)
    storage.handle = -1
    storage.data = null
  }

  run(kernel: KernelKey, args: KernelCall): boolean {
    const body = kernelTable()[kernel.name]
    if (body === undefined) throw new InternalError(kernel.name, 'the reference device has no such kernel')
    if (!isDenseCall(kernel, args)) return false
    const host: { [name: string]: unknown } = {}
    for (const [name, value] of Object.entries(args)) {
      if (isView(value)) host[name] = hostView(value)
      else if (Array.isArray(value)) host[name] = value.map((each) => (isView(each) ? hostView(each) : each))
      else host[name] = value
    }
    const started = this.#trace ? performance.now() : 0
    if (!writesNothing(kernel.name, args)) compute(body, host, kernel.name)
    this.#trace?.push({
      kernel: kernel.name,
      milliseconds: performance.now() - started,
      ...callCost(kernel.name, args),
    })
    return true
  }

  upload(storage: Storage, data: TypedArray): void {
    this.uploadPart(storage, data, 0)
  }

  uploadPart(storage: Storage, data: TypedArray, from: number): void {
    ;(storage.data as TypedArray).set(data, from)
  }

  async read(view: StridedView): Promise<TypedArray> {
    return this.readSync(view)
  }

  readSync(view: StridedView): TypedArray {
    const count = countOf(view.sizes)
    this.#look(count * dtypes[view.dtype].bytes, 'data')
    const start = arrayLength(view.dtype, view.offset)
    return (view.storage.data as TypedArray).slice(start, start + arrayLength(view.dtype, count))
  }

  synchronize(): void {
    // Nothing to do, because nothing is ever pending.
  }

  throwPending(): void {
    // Nothing to do, because kernels throw when they are called.
  }

  memory(): DeviceMemory {
    const { tensors, bytes, peakBytes } = this.#count
    return { tensors, bytes, peakBytes, cachedBytes: 0, reservedBytes: bytes }
  }

  resetPeak(): void {
    this.#count.resetPeak()
  }

  startTrace(): { stop(): readonly KernelRecord[] } {
    const records: KernelRecord[] = []
    this.#trace = records
    return {
      stop: () => {
        this.#trace = null
        return records
      },
    }
  }
}

/** Runs a kernel. If it cannot allocate scratch space, throws OutOfMemoryError. */
function compute(body: AnyKernel, host: { readonly [name: string]: unknown }, kernel: string): void {
  try {
    body(host)
  } catch (error) {
    const isLength =
      error instanceof RangeError && /invalid (typed )?array (buffer )?length|allocation failed/i.test(error.message)
    if (!isLength || isFiresteelError(error)) throw error
    throw new OutOfMemoryError(
      calledAs(kernel as KernelName),
      `JavaScript cannot make an array as long as the sizes of its arguments ask for (${error.message}); use smaller ones`,
    )
  }
}

function hostView(view: StridedView): HostView {
  const { storage, offset, sizes: shape, steps: strides, dtype } = view
  return { data: storage.data as TypedArray, dtype, offset, shape, strides }
}

export function createReferenceDevice(): Device {
  return new ReferenceDevice()
}

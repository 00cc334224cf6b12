/** A device without some of its kernels, for testing operators on devices that lack one. */
import type { Device, KernelCall, KernelKey, KernelRecord, StridedView } from '../../lib/core/device.js'
import type { DType, TypedArray } from '../../lib/core/dtype.js'
import { DeviceError } from '../../lib/core/errors.js'
import type { Storage } from '../../lib/core/storage.js'
import { Tensor } from '../../lib/core/tensor.js'

/** Operators ask a storage for its device, and devices ask whether a storage is theirs. */
function belongingTo(storage: Storage, device: Device): Storage {
  return Object.defineProperty(storage, 'device', { value: device, configurable: true })
}

class LackingDevice implements Device {
  readonly #inner: Device
  readonly #missing: ReadonlySet<string>
  readonly name: string
  readonly kind: Device['kind']
  readonly uncloneable: Device['uncloneable']

  constructor(inner: Device, missing: Iterable<string>) {
    this.#inner = inner
    this.#missing = new Set(missing)
    this.name = inner.name
    this.kind = inner.kind
    this.uncloneable = inner.uncloneable
  }

  supports(dtype: DType): boolean {
    return this.#inner.supports(dtype)
  }
  hasKernel(name: string): boolean {
    return !this.#missing.has(name) && this.#inner.hasKernel(name)
  }
  allocate(dtype: DType, count: number, tracked: boolean, op: string): Storage {
    return belongingTo(this.#inner.allocate(dtype, count, tracked, op), this)
  }
  track(storage: Storage): void {
    this.#inner.track(storage)
  }
  free(storage: Storage): void {
    this.#inner.free(storage)
  }
  run(kernel: KernelKey, args: KernelCall): boolean {
    // Real devices answer like this.
    if (this.#missing.has(kernel.name)) throw new DeviceError(kernel.name, `the device lacks ${kernel.name}`)
    const storages = Object.values(args)
      .flat()
      .flatMap((value) => (value instanceof Tensor ? [value.storage] : []))
    for (const storage of storages) belongingTo(storage, this.#inner)
    try {
      return this.#inner.run(kernel, args)
    } finally {
      for (const storage of storages) belongingTo(storage, this)
    }
  }
  upload(storage: Storage, data: TypedArray): void {
    this.#inner.upload(storage, data)
  }
  uploadPart(storage: Storage, data: TypedArray, from: number): void {
    this.#inner.uploadPart(storage, data, from)
  }
  read(view: StridedView): Promise<TypedArray> {
    return this.#inner.read(view)
  }
  readSync(view: StridedView): TypedArray {
    return this.#inner.readSync(view)
  }
  synchronize(): void {
    this.#inner.synchronize()
  }
  throwPending(): void {
    this.#inner.throwPending()
  }
  memory(): ReturnType<Device['memory']> {
    return this.#inner.memory()
  }
  resetPeak(): void {
    this.#inner.resetPeak()
  }
  startTrace(): { stop(): readonly KernelRecord[] } {
    return this.#inner.startTrace()
  }
}

/** The device without the kernels: a call of one of them is an error. */
export function lacking(device: Device, kernels: Iterable<string>): Device {
  return new LackingDevice(device, kernels)
}

/** Trial runs on a device without memory, which show how much memory the work would take. */
import { withDefaultDevice } from '../backend/devices.js'
import { createMetaDevice } from '../backend/meta/device.js'
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import { denseStrides, type Shape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { Tensor } from '../core/tensor.js'

/** The bytes that tensors would take. */
export interface Planned {
  readonly bytes: number
  readonly peakBytes: number
}

/** A device with the kernels of another one, which only counts the allocations. It has no elements. */
export class PlanningDevice {
  readonly device: Device

  constructor(like: Device) {
    this.device = createMetaDevice(like)
  }

  /** The current bytes, and the most since the last `resetPeak`. */
  get planned(): Planned {
    return this.device.memory().planned as Planned
  }

  resetPeak(): void {
    this.device.resetPeak()
  }

  /** A storage without elements, which is freed with the last tensor over it. */
  allocate(dtype: DType, count: number): Storage {
    return this.device.allocate(dtype, count, true, 'plan')
  }

  /** A tensor with the same sizes and memory order, over a storage of its own. */
  like({ sizes, steps, dtype }: Tensor): Tensor {
    const empty = sizes.includes(0)
    const span = empty ? 0 : sizes.reduce((last, size, i) => last + (size - 1) * (steps[i] as number), 1)
    return new Tensor(this.allocate(dtype, span), sizes, empty ? denseStrides(sizes as Shape) : steps, 0)
  }

  /** Runs `fn` with this device as the default for new tensors. */
  run<R>(fn: () => R): R {
    return withDefaultDevice(this.device, fn)
  }
}

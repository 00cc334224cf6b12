/** Runs on a device without memory, to learn what they would take on one that has it. */
import { withDefaultDevice } from '../backend/devices.js'
import { createMetaDevice } from '../backend/meta/device.js'
import type { Device } from '../core/device.js'
import type { DType } from '../core/dtype.js'
import { denseStrides, type Shape } from '../core/shape.js'
import type { Storage } from '../core/storage.js'
import { Tensor } from '../core/tensor.js'

/** Bytes that tensors would take. */
export interface Planned {
  readonly bytes: number
  readonly peakBytes: number
}

/** A device that has the kernels of another one and counts what they would allocate there. Its elements are nowhere. */
export class PlanningDevice {
  readonly device: Device

  constructor(like: Device) {
    this.device = createMetaDevice(like)
  }

  /** The bytes that live now, and the most since the last `resetPeak`. */
  get planned(): Planned {
    return this.device.memory().planned as Planned
  }

  resetPeak(): void {
    this.device.resetPeak()
  }

  /** A storage without elements, that is freed with the last tensor over it. */
  allocate(dtype: DType, count: number): Storage {
    return this.device.allocate(dtype, count, true, 'plan')
  }

  /** A tensor of the same sizes and order in memory, over a storage of its own. */
  like({ sizes, steps, dtype }: Tensor): Tensor {
    const empty = sizes.includes(0)
    const span = empty ? 0 : sizes.reduce((last, size, i) => last + (size - 1) * (steps[i] as number), 1)
    return new Tensor(this.allocate(dtype, span), sizes, empty ? denseStrides(sizes as Shape) : steps, 0)
  }

  /** Runs `fn` with new tensors on this device where it names none. */
  run<R>(fn: () => R): R {
    return withDefaultDevice(this.device, fn)
  }
}

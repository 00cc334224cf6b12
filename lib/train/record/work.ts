/** The share of the machine's peak that a training reaches. */
import type { Device } from '../../core/device.js'

/** A device that can measure its peak. */
interface Measurable {
  /** Operations per second, with two for each multiply-add. 0 if the processor has no such instructions. */
  multiplyAddPeak(dtype: 'float32' | 'bfloat16'): number
}

const isMeasurable = (device: object): device is Measurable =>
  'multiplyAddPeak' in device && typeof device.multiplyAddPeak === 'function'

/**
 * Counts the multiply-adds of one batch, from the table of kernels, and assumes the same number per item for others. It
 * counts the second batch, because the first creates states that later ones find.
 */
export class Work {
  readonly #device: Device
  readonly #bfloat16: boolean
  #batches = 0
  #perItem: number | null = null
  /** Operations per second. */
  #peak = 0

  constructor(device: Device, bfloat16: boolean) {
    this.#device = device
    this.#bfloat16 = bfloat16
  }

  /** Runs a batch. */
  counting<R extends { readonly items: number }>(fn: () => R): R {
    if (this.#batches > 1 || ++this.#batches === 1 || !isMeasurable(this.#device)) return fn()
    const trace = this.#device.startTrace()
    let records: ReturnType<typeof trace.stop> = []
    let result: R
    try {
      result = fn()
    } finally {
      records = trace.stop()
    }
    const multiplyAdds = records.reduce((sum, record) => sum + record.multiplyAdds, 0)
    if (multiplyAdds > 0 && result.items > 0) {
      this.#perItem = multiplyAdds / result.items
      const float32 = this.#device.multiplyAddPeak('float32')
      this.#peak = this.#bfloat16 ? Math.max(float32, this.#device.multiplyAddPeak('bfloat16')) : float32
    }
    return result
  }

  /** A share in [0, 1], or null if it is not known. */
  shareOfPeak(itemsPerSecond: number): number | null {
    return this.#perItem === null || this.#peak === 0 ? null : (2 * this.#perItem * itemsPerSecond) / this.#peak
  }
}

/** Means whose totals stay on the device while it computes. */
import { noGrad } from '../../autograd/mode.js'
import { keep } from '../../core/scope.js'
import type { Tensor } from '../../core/tensor.js'
import { add } from '../../ops/elementwise/index.js'
import { Counting } from './metric.js'
import { type Parts, Sums } from './parts.js'
import type { Take } from './stream.js'

/** This many parts are added on the device, in float32, before the program adds them in float64. */
const partsOnDevice = 64
/** Below 2^24 float32 counts exactly. */
export const countedOnDevice = 2 ** 23

/** A sum of one-element tensors. */
class DeviceSum {
  #total: Tensor | null = null
  #parts = 0
  #most = 0

  /** `most` is the largest possible count, or 0 if it is not a count. `full` lets the program fetch the sum. */
  add(part: Tensor, most: number, full: (total: Tensor) => void): void {
    if (this.#parts === partsOnDevice || this.#most + most > countedOnDevice) this.move(full)
    noGrad(() => {
      const before = this.#total
      // It has its own memory, because the addends may be freed at the end of the step.
      this.#total = keep(before === null ? part.detach().clone() : add(before, part.detach()))
      before?.dispose()
    })
    this.#parts++
    this.#most += most
  }

  move(full: (total: Tensor) => void): void {
    if (this.#total === null) return
    full(this.#total)
    this.clear()
  }

  clear(): void {
    this.#total?.dispose()
    this.#total = null
    this.#parts = this.#most = 0
  }
}

/** The sum of the values, and the sum of the counts. */
interface Fraction extends Parts {
  readonly sums: Sums
}

type Fetch = (tensors: readonly Tensor[], take: Take<Fraction>) => void

/** A total and a count, both added up on the device. `fetch` moves them to the totals on the host. */
export class DeviceFraction {
  readonly #total = new DeviceSum()
  readonly #counted = new DeviceSum()
  readonly #fetch: Fetch

  constructor(fetch: Fetch) {
    this.#fetch = fetch
  }

  add(total: Tensor, count: number | Tensor, most: number): void {
    this.#total.add(total, most, this.#moved(0))
    if (typeof count === 'number') this.#fetch([], ({ sums }) => sums.add(1, count))
    else this.#counted.add(count, most, this.#moved(1))
  }

  #moved(index: number): (total: Tensor) => void {
    return (total) => this.#fetch([total], ({ sums }, [values]) => sums.add(index, values?.[0] as number))
  }

  flush(): void {
    this.#total.move(this.#moved(0))
    this.#counted.move(this.#moved(1))
  }

  clear(): void {
    this.#total.clear()
    this.#counted.clear()
  }
}

/** A mean whose totals stay on the device. NaN while it has counted nothing. */
export class RunningMean extends Counting<number, Fraction> {
  readonly #device = new DeviceFraction((tensors, take) => this.read(tensors, take))

  constructor() {
    super('RunningMean', {})
  }

  protected empty(): Fraction {
    return { sums: new Sums(2) }
  }

  protected value({ sums }: Fraction): number {
    return sums.get(0) / sums.get(1)
  }

  protected override flush(): void {
    this.#device.flush()
  }

  override reset(): void {
    this.#device.clear()
    super.reset()
  }

  /**
   * Adds a total (one element) of `count` items. A count that only the device knows is a tensor of one element, and
   * `most` is its largest possible value.
   */
  update(total: Tensor, count: number | Tensor, most = 0): void {
    this.#device.add(total, count, most)
  }
}

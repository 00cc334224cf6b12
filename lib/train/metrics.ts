/** Metrics: running totals on the device, read once at the end of a pass. */
import { noGrad } from '../autograd/mode.js'
import { formatShape, ShapeError } from '../core/errors.js'
import { keep } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { add, eq } from '../ops/elementwise/index.js'
import { argmax, sum } from '../ops/reduce.js'

/** Something measured over a pass. Nothing may wait for the device in `update`. */
export interface Metric<O = Tensor, T = Tensor> {
  reset(): void
  update(output: O, target: T): void
  compute(): Promise<number>
}

/** A mean whose total stays on the device. */
export class RunningMean {
  #total: Tensor | null = null
  #count = 0

  reset(): void {
    this.#total?.dispose()
    this.#total = null
    this.#count = 0
  }

  /** Adds a total (one element) of `count` items. */
  update(total: Tensor, count: number): void {
    noGrad(() => {
      const before = this.#total
      // Its own memory: what is added may be freed at the end of the step.
      this.#total = keep(before === null ? total.detach().clone() : (add(before, total.detach()) as Tensor))
      before?.dispose()
    })
    this.#count += count
  }

  async compute(): Promise<number> {
    if (this.#total === null) return Number.NaN
    return ((await this.#total.data())[0] as number) / this.#count
  }
}

class Accuracy implements Metric {
  readonly #mean = new RunningMean()

  reset(): void {
    this.#mean.reset()
  }

  update(output: Tensor, target: Tensor): void {
    if (output.ndim !== target.ndim + 1)
      throw new ShapeError(
        'accuracy',
        `outputs ${formatShape(output.shape)} must have one dimension more than targets ${formatShape(target.shape)}: the classes, as dimension 1`,
        [output.shape, target.shape],
      )
    noGrad(() => {
      const hits = eq(argmax(output, Math.min(1, output.ndim - 1)), target)
      this.#mean.update(sum(hits.to('float32')), target.numel)
    })
  }

  compute(): Promise<number> {
    return this.#mean.compute()
  }
}

/** The share of targets [N, ...] that are the largest class of outputs [N, C, ...]. */
export function accuracy(): Metric {
  return new Accuracy()
}

/** Averages of the weights beside a training. */
import type { Module } from '../nn/module.js'
import { type Averaging, WeightAverage } from '../optim/average.js'

/**
 * The averages of a Trainer. They begin after a number of its steps, and until then the model's own weights are used
 * instead.
 */
export class Averaged {
  readonly average: WeightAverage
  readonly #model: Module
  readonly #after: number
  #begun = false

  constructor(model: Module, averaging: Averaging, after: number) {
    this.#model = model
    this.#after = after
    this.average = new WeightAverage(model, averaging)
  }

  /** Called after each step, with the number of steps before it. */
  update(steps: number): void {
    if (steps < this.#after) return
    this.average.update()
    this.#begun = true
  }

  /**
   * Runs a function with the averages as the model's weights. When its promise is settled, the model has its own
   * weights again.
   */
  within<R>(fn: () => Promise<R>): Promise<R> {
    return this.#hasAny() ? this.average.withWeights(fn) : fn()
  }

  /** Makes the averages the model's weights. */
  finish(): void {
    if (this.#hasAny()) this.average.copyTo(this.#model)
  }

  /** They may have been loaded from a checkpoint. */
  #hasAny(): boolean {
    this.#begun ||= this.average.stateDict().counts.size > 0
    return this.#begun
  }
}

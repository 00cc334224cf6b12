import type { Tensor } from '../core/tensor.js'
import { add, mul, neg, sign, sub } from '../ops/elementwise/index.js'
import { average } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notBetas, notFlag } from './options.js'
import type { Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface LionOptions {
  /** Default 1e-4. A good value is about a third to a tenth of AdamW's. */
  lr: number
  /** The share of the average in a step's direction, and the decay of the average. Default [0.9, 0.99]. */
  betas: readonly [number, number]
  /** Decoupled decay. Default 0. */
  weightDecay: number
  maximize: boolean
}

/** The average of gradients. */
export interface LionState {
  readonly mean: Tensor
}

/** Takes steps of the same size in every element, in the direction of the sign of an average (Chen et al., 2023). */
export class Lion extends Optimizer<LionOptions, LionState> {
  protected override defaults(): Defaults<LionOptions> {
    return { lr: 1e-4, betas: [0.9, 0.99], weightDecay: 0, maximize: false }
  }

  protected override faults({ lr, betas, weightDecay, maximize }: LionOptions): readonly (string | false)[] {
    return [
      notAtLeast('lr', lr, 0),
      notBetas(betas),
      notAtLeast('weightDecay', weightDecay, 0),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(): Slots<LionState> {
    return { mean: {} }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { mean }: LionState,
    { lr, betas: [beta1, beta2], weightDecay, maximize }: LionOptions,
  ): void {
    const d = maximize ? neg(gradient) : gradient
    const moved = sign(add(mul(mean, beta1), mul(d, 1 - beta1)))
    parameter.copy_(sub(mul(parameter, 1 - lr * weightDecay), mul(moved, lr)))
    average(mean, d, beta2)
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, betas: [beta1, beta2], weightDecay, maximize }: LionOptions,
  ): Row {
    return rowOf('lion', { means: slot('mean'), lr, beta1, beta2, weightDecay, maximize })
  }
}

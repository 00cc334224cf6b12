import type { Tensor } from '../core/tensor.js'
import { abs, add, div, maximum, mul, sub } from '../ops/elementwise/index.js'
import { average, direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notBetas, notFlag } from './options.js'
import type { At, Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface AdamaxOptions {
  /** Default 2e-3. */
  lr: number
  /** Decay of the average and of the largest magnitude. Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Default 1e-8. */
  eps: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  maximize: boolean
}

/** The average of gradients, and the largest recent magnitude, which decays. */
export interface AdamaxState {
  readonly mean: Tensor
  readonly largest: Tensor
}

/** Adam with the infinity norm (Kingma and Ba, 2015, section 7.1). */
export class Adamax extends Optimizer<AdamaxOptions, AdamaxState> {
  protected override defaults(): Defaults<AdamaxOptions> {
    return { lr: 2e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, maximize: false }
  }

  protected override faults({ lr, betas, eps, weightDecay, maximize }: AdamaxOptions): readonly (string | false)[] {
    return [
      notAtLeast('lr', lr, 0),
      notBetas(betas),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(): Slots<AdamaxState> {
    return { mean: {}, largest: {} }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { mean, largest }: AdamaxState,
    { lr, betas: [beta1, beta2], eps, weightDecay, maximize }: AdamaxOptions,
    { step }: At,
  ): void {
    const d = direction(parameter, gradient, maximize, weightDecay)
    average(mean, d, beta1)
    largest.copy_(maximum(mul(largest, beta2), add(abs(d), eps)))
    parameter.copy_(sub(parameter, mul(div(mean, largest), lr / (1 - beta1 ** step))))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, betas: [beta1, beta2], eps, weightDecay, maximize }: AdamaxOptions,
    { step }: At,
  ): Row {
    const [means, largest, rate] = [slot('mean'), slot('largest'), lr / (1 - beta1 ** step)]
    return rowOf('adamax', { means, largest, rate, beta1, beta2, eps, weightDecay, maximize })
  }
}

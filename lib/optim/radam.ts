import type { Tensor } from '../core/tensor.js'
import { add, div, mul, sqrt, square, sub } from '../ops/elementwise/index.js'
import { average, direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notBetas, notFlag } from './options.js'
import type { At, Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface RAdamOptions {
  /** Default 1e-3. */
  lr: number
  /** Decay of the averages of the gradient and of its square. Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Default 1e-8. */
  eps: number
  /** L2 penalty, or decay of the parameter if decoupled. Default 0. */
  weightDecay: number
  /** Whether the decay is decoupled, as in AdamW. Default false. */
  decoupledWeightDecay: boolean
  maximize: boolean
}

/** The averages of the gradient and of its square. */
export interface RAdamState {
  readonly mean: Tensor
  readonly square: Tensor
}

/**
 * The factor that rectifies the adaptive rate of a step. It is null as long as the average of squares rests on too few
 * steps, and the step then uses momentum alone.
 */
function rectification(step: number, beta2: number): number | null {
  const most = 2 / (1 - beta2) - 1
  const length = most - (2 * step * beta2 ** step) / (1 - beta2 ** step)
  if (!(length > 5)) return null
  return Math.sqrt(((length - 4) * (length - 2) * most) / ((most - 4) * (most - 2) * length))
}

/** The factor of the average, and whether it is divided by the root of the squares. */
function pace(step: number, lr: number, beta1: number, beta2: number): { rate: number; adapts: boolean } {
  const rectified = rectification(step, beta2)
  const rate = lr / (1 - beta1 ** step)
  if (rectified === null) return { rate, adapts: false }
  return { rate: rate * rectified * Math.sqrt(1 - beta2 ** step), adapts: true }
}

/** Adam that rectifies the variance of its early adaptive rates (Liu et al., 2020), in PyTorch's form. */
export class RAdam extends Optimizer<RAdamOptions, RAdamState> {
  protected override defaults(): Defaults<RAdamOptions> {
    return { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, decoupledWeightDecay: false, maximize: false }
  }

  protected override faults(options: RAdamOptions): readonly (string | false)[] {
    const { lr, betas, eps, weightDecay, decoupledWeightDecay, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notBetas(betas),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notFlag('decoupledWeightDecay', decoupledWeightDecay),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(): Slots<RAdamState> {
    return { mean: {}, square: {} }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { mean, square: squares }: RAdamState,
    { lr, betas: [beta1, beta2], eps, weightDecay, decoupledWeightDecay, maximize }: RAdamOptions,
    { step }: At,
  ): void {
    const d = direction(parameter, gradient, maximize, decoupledWeightDecay ? 0 : weightDecay)
    const kept = decoupledWeightDecay ? mul(parameter, 1 - lr * weightDecay) : parameter
    average(mean, d, beta1)
    average(squares, square(d), beta2)
    const { rate, adapts } = pace(step, lr, beta1, beta2)
    parameter.copy_(sub(kept, mul(adapts ? div(mean, add(sqrt(squares), eps)) : mean, rate)))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, betas: [beta1, beta2], eps, weightDecay, decoupledWeightDecay, maximize }: RAdamOptions,
    { step }: At,
  ): Row {
    const { rate, adapts } = pace(step, lr, beta1, beta2)
    const [means, squares, decoupled] = [slot('mean'), slot('square'), decoupledWeightDecay]
    return rowOf('radam', { means, squares, lr, beta1, beta2, eps, rate, adapts, weightDecay, decoupled, maximize })
  }
}

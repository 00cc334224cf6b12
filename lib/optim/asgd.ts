import type { Tensor } from '../core/tensor.js'
import { add, mul, sub } from '../ops/elementwise/index.js'
import { direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag } from './options.js'
import type { At } from './round.js'
import type { Slots } from './slots.js'

export interface ASGDOptions {
  /** The first rate. The rate after t steps is lr / (1 + lambd lr t)^alpha. Default 1e-2. */
  lr: number
  /** The decay of the parameter at each step, relative to the rate. Default 1e-4. */
  lambd: number
  /** The power of the fall of the rate. Default 0.75. */
  alpha: number
  /** The number of steps after which the average begins. Default 1e6. */
  t0: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  maximize: boolean
}

/**
 * The average of the parameter over the steps after `t0`, before which it is the parameter, and the rate of the next
 * step, of shape [].
 */
export interface ASGDState {
  readonly average: Tensor
  readonly eta: Tensor
}

/**
 * Gradient descent with a falling rate, which keeps the average of its points (Polyak and Juditsky, 1992), in PyTorch's
 * form. `stateDict()` gives the averages. A changed `lr` counts from the step after the next, as in PyTorch.
 */
export class ASGD extends Optimizer<ASGDOptions, ASGDState> {
  protected override defaults(): Defaults<ASGDOptions> {
    return { lr: 1e-2, lambd: 1e-4, alpha: 0.75, t0: 1e6, weightDecay: 0, maximize: false }
  }

  protected override faults(options: ASGDOptions): readonly (string | false)[] {
    const { lr, lambd, alpha, t0, weightDecay, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notAtLeast('lambd', lambd, 0),
      notAtLeast('alpha', alpha, 0),
      notAtLeast('t0', t0, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(_parameter: Tensor, { lr }: ASGDOptions): Slots<ASGDState> {
    return { average: {}, eta: { shape: [], value: lr } }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { average, eta }: ASGDState,
    { lr, lambd, alpha, t0, weightDecay, maximize }: ASGDOptions,
    { step }: At,
  ): void {
    const d = direction(parameter, gradient, maximize, weightDecay)
    parameter.copy_(sub(mul(parameter, sub(1, mul(eta, lambd))), mul(d, eta)))
    const share = 1 / Math.max(1, step - 1 - t0)
    average.copy_(share === 1 ? parameter : add(average, mul(sub(parameter, average), share)))
    eta.fill_(lr / (1 + lambd * lr * step) ** alpha)
  }
}

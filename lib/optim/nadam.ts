import type { Tensor } from '../core/tensor.js'
import { add, div, mul, sqrt, square, sub } from '../ops/elementwise/index.js'
import { average, direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notBetas, notFlag } from './options.js'
import type { At, Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface NAdamOptions {
  /** Default 2e-3. */
  lr: number
  /** Decay of the averages of the gradient and of its square. Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Default 1e-8. */
  eps: number
  /** L2 penalty, or decay of the parameter if decoupled. Default 0. */
  weightDecay: number
  /** The rate at which the momentum grows to beta1. Default 4e-3. */
  momentumDecay: number
  /** Whether the decay is decoupled, as in AdamW. Default false. */
  decoupledWeightDecay: boolean
  maximize: boolean
}

/** The averages of the gradient and of its square, and the product of all momenta so far, of shape []. */
export interface NAdamState {
  readonly mean: Tensor
  readonly square: Tensor
  readonly momentumProduct: Tensor
}

/** The momenta of a step and of the next. */
function momenta(step: number, beta1: number, momentumDecay: number): [now: number, next: number] {
  const at = (t: number) => beta1 * (1 - 0.5 * 0.96 ** (t * momentumDecay))
  return [at(step), at(step + 1)]
}

/** Adam with Nesterov's momentum (Dozat, 2016), in PyTorch's form. */
export class NAdam extends Optimizer<NAdamOptions, NAdamState> {
  protected override defaults(): Defaults<NAdamOptions> {
    return {
      lr: 2e-3,
      betas: [0.9, 0.999],
      eps: 1e-8,
      weightDecay: 0,
      momentumDecay: 4e-3,
      decoupledWeightDecay: false,
      maximize: false,
    }
  }

  protected override faults(options: NAdamOptions): readonly (string | false)[] {
    const { lr, betas, eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notBetas(betas),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notAtLeast('momentumDecay', momentumDecay, 0),
      notFlag('decoupledWeightDecay', decoupledWeightDecay),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(): Slots<NAdamState> {
    return { mean: {}, square: {}, momentumProduct: { shape: [], value: 1 } }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { mean, square: squares, momentumProduct }: NAdamState,
    { lr, betas: [beta1, beta2], eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize }: NAdamOptions,
    { step }: At,
  ): void {
    const d = direction(parameter, gradient, maximize, decoupledWeightDecay ? 0 : weightDecay)
    const kept = decoupledWeightDecay ? mul(parameter, 1 - lr * weightDecay) : parameter
    const [momentum, next] = momenta(step, beta1, momentumDecay)
    momentumProduct.copy_(mul(momentumProduct, momentum))
    average(mean, d, beta1)
    average(squares, square(d), beta2)
    const ofGradient = div(lr * (1 - momentum), sub(1, momentumProduct))
    const ofMean = div(lr * next, sub(1, mul(momentumProduct, next)))
    const size = add(sqrt(div(squares, 1 - beta2 ** step)), eps)
    parameter.copy_(sub(kept, div(add(mul(d, ofGradient), mul(mean, ofMean)), size)))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, betas: [beta1, beta2], eps, weightDecay, momentumDecay, decoupledWeightDecay, maximize }: NAdamOptions,
    { step }: At,
  ): Row {
    const [momentum, nextMomentum] = momenta(step, beta1, momentumDecay)
    const states = { means: slot('mean'), squares: slot('square'), momentumProducts: slot('momentumProduct') }
    const numbers = { lr, beta1, beta2, eps, momentum, nextMomentum, correction: 1 - beta2 ** step }
    return rowOf('nadam', { ...states, ...numbers, weightDecay, decoupled: decoupledWeightDecay, maximize })
  }
}

import type { Tensor } from '../core/tensor.js'
import { add, div, mul, sqrt, square, sub } from '../ops/elementwise/index.js'
import { direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag } from './options.js'
import type { At, Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface AdagradOptions {
  /** Default 1e-2. */
  lr: number
  /** The rate of step t is lr / (1 + (t - 1) lrDecay). Default 0. */
  lrDecay: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  /** The first value of the sum of squares. Default 0. */
  initialAccumulatorValue: number
  /** Default 1e-10. */
  eps: number
  maximize: boolean
}

/** The sum of squared gradients. */
export interface AdagradState {
  readonly sum: Tensor
}

/** Divides the gradient by the root of the sum of its squares (Duchi, Hazan and Singer, 2011). */
export class Adagrad extends Optimizer<AdagradOptions, AdagradState> {
  protected override defaults(): Defaults<AdagradOptions> {
    return { lr: 1e-2, lrDecay: 0, weightDecay: 0, initialAccumulatorValue: 0, eps: 1e-10, maximize: false }
  }

  protected override faults(options: AdagradOptions): readonly (string | false)[] {
    const { lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notAtLeast('lrDecay', lrDecay, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notAtLeast('initialAccumulatorValue', initialAccumulatorValue, 0),
      notAtLeast('eps', eps, 0),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(_parameter: Tensor, { initialAccumulatorValue }: AdagradOptions): Slots<AdagradState> {
    return { sum: { value: initialAccumulatorValue } }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { sum }: AdagradState,
    { lr, lrDecay, weightDecay, eps, maximize }: AdagradOptions,
    { step }: At,
  ): void {
    const d = direction(parameter, gradient, maximize, weightDecay)
    sum.copy_(add(sum, square(d)))
    parameter.copy_(sub(parameter, mul(div(d, add(sqrt(sum), eps)), lr / (1 + (step - 1) * lrDecay))))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, lrDecay, weightDecay, eps, maximize }: AdagradOptions,
    { step }: At,
  ): Row {
    return rowOf('adagrad', { sums: slot('sum'), rate: lr / (1 + (step - 1) * lrDecay), eps, weightDecay, maximize })
  }
}

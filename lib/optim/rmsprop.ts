import type { Tensor } from '../core/tensor.js'
import { add, div, mul, sqrt, square, sub } from '../ops/elementwise/index.js'
import { average, direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag, notWithin } from './options.js'
import type { Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface RMSpropOptions {
  /** Default 1e-2. */
  lr: number
  /** Decay of the average of squares. Default 0.99. */
  alpha: number
  /** Default 1e-8. */
  eps: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  /** Default 0. */
  momentum: number
  /** Divides by an estimate of the standard deviation instead of the root of the mean square. Default false. */
  centered: boolean
  maximize: boolean
}

/** The average of squares, the average of gradients if centred, and the running sum if there is a momentum. */
export interface RMSpropState {
  readonly square: Tensor
  readonly mean?: Tensor
  readonly momentumBuffer?: Tensor
}

/** Divides the gradient by a running average of its size (Hinton, 2012; centred: Graves, 2013), in PyTorch's form. */
export class RMSprop extends Optimizer<RMSpropOptions, RMSpropState> {
  protected override defaults(): Defaults<RMSpropOptions> {
    return { lr: 1e-2, alpha: 0.99, eps: 1e-8, weightDecay: 0, momentum: 0, centered: false, maximize: false }
  }

  protected override faults(options: RMSpropOptions): readonly (string | false)[] {
    const { lr, alpha, eps, weightDecay, momentum, centered, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notWithin('alpha', alpha, 0, 1),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notAtLeast('momentum', momentum, 0),
      notFlag('centered', centered),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(_parameter: Tensor, { centered, momentum }: RMSpropOptions): Slots<RMSpropState> {
    return { square: {}, mean: { used: centered }, momentumBuffer: { used: momentum !== 0 } }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { square: squares, mean, momentumBuffer }: RMSpropState,
    { lr, alpha, eps, weightDecay, momentum, maximize }: RMSpropOptions,
  ): void {
    const d = direction(parameter, gradient, maximize, weightDecay)
    average(squares, square(d), alpha)
    const variance = mean ? sub(squares, square(average(mean, d, alpha))) : squares
    const scaled = div(d, add(sqrt(variance), eps))
    const moved = momentumBuffer ? momentumBuffer.copy_(add(mul(momentumBuffer, momentum), scaled)) : scaled
    parameter.copy_(sub(parameter, mul(moved, lr)))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, alpha, eps, weightDecay, momentum, maximize }: RMSpropOptions,
  ): Row {
    const [squares, means, momentumBuffers] = [slot('square'), slot('mean'), slot('momentumBuffer')]
    return rowOf('rmsprop', { squares, means, momentumBuffers, lr, alpha, eps, momentum, weightDecay, maximize })
  }
}

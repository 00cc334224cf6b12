import type { Tensor } from '../core/tensor.js'
import { add, div, mul, sqrt, square, sub } from '../ops/elementwise/index.js'
import { average, direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag, notWithin } from './options.js'
import type { Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface AdadeltaOptions {
  /** Default 1. */
  lr: number
  /** Decay of both averages. Default 0.9. */
  rho: number
  /** Default 1e-6. */
  eps: number
  /** L2 penalty. Default 0. */
  weightDecay: number
  maximize: boolean
}

/** The running averages of squared gradients and of squared steps. */
export interface AdadeltaState {
  readonly square: Tensor
  readonly delta: Tensor
}

/**
 * Takes steps in the parameter's own units: scales the gradient by the size of recent steps over that of recent
 * gradients (Zeiler, 2012).
 */
export class Adadelta extends Optimizer<AdadeltaOptions, AdadeltaState> {
  protected override defaults(): Defaults<AdadeltaOptions> {
    return { lr: 1, rho: 0.9, eps: 1e-6, weightDecay: 0, maximize: false }
  }

  protected override faults({ lr, rho, eps, weightDecay, maximize }: AdadeltaOptions): readonly (string | false)[] {
    return [
      notAtLeast('lr', lr, 0),
      notWithin('rho', rho, 0, 1),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(): Slots<AdadeltaState> {
    return { square: {}, delta: {} }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { square: squares, delta: deltas }: AdadeltaState,
    { lr, rho, eps, weightDecay, maximize }: AdadeltaOptions,
  ): void {
    const d = direction(parameter, gradient, maximize, weightDecay)
    average(squares, square(d), rho)
    const delta = mul(div(sqrt(add(deltas, eps)), sqrt(add(squares, eps))), d)
    average(deltas, square(delta), rho)
    parameter.copy_(sub(parameter, mul(delta, lr)))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, rho, eps, weightDecay, maximize }: AdadeltaOptions,
  ): Row {
    return rowOf('adadelta', { squares: slot('square'), deltas: slot('delta'), lr, rho, eps, weightDecay, maximize })
  }
}

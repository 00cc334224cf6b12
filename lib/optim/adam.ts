import type { Tensor } from '../core/tensor.js'
import { add, div, maximum, mul, neg, sqrt, sub } from '../ops/elementwise/index.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notBetas, notFlag } from './options.js'
import type { At, Row } from './round.js'
import { rowOf } from './row.js'
import type { Slots } from './slots.js'

export interface AdamOptions {
  /** Default 1e-3. */
  lr: number
  /** Decay of the averages of the gradient and of its square. Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Default 1e-8. */
  eps: number
  /** Adam: L2 penalty, default 0. AdamW: decoupled decay, default 0.01. */
  weightDecay: number
  amsgrad: boolean
  maximize: boolean
}

/**
 * The averages of the gradient and of its square, and the largest of the latter for AMSGrad; all of the parameter's
 * shape.
 */
export interface AdamState {
  readonly mean: Tensor
  readonly square: Tensor
  readonly maxSquare?: Tensor
}

const plain: Slots<AdamState> = { mean: {}, square: {}, maxSquare: { used: false } }
const amsgrad: Slots<AdamState> = { ...plain, maxSquare: { used: true } }

/** Adam (Kingma and Ba, 2015), with AMSGrad (Reddi et al., 2018) if asked for. */
export class Adam extends Optimizer<AdamOptions, AdamState> {
  protected readonly decoupled: boolean = false

  protected override defaults(): Defaults<AdamOptions> {
    return { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, amsgrad: false, maximize: false }
  }

  protected override faults(options: AdamOptions): readonly (string | false)[] {
    const { lr, betas, eps, weightDecay, amsgrad, maximize } = options
    return [
      notAtLeast('lr', lr, 0),
      notAtLeast('eps', eps, 0),
      notAtLeast('weightDecay', weightDecay, 0),
      notBetas(betas),
      notFlag('amsgrad', amsgrad),
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(_parameter: Tensor, options: AdamOptions): Slots<AdamState> {
    return options.amsgrad ? amsgrad : plain
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { mean, square, maxSquare }: AdamState,
    { lr, betas: [beta1, beta2], eps, weightDecay, maximize }: AdamOptions,
    { step }: At,
  ): void {
    const uphill = maximize ? neg(gradient) : gradient
    const d = this.decoupled || weightDecay === 0 ? uphill : add(uphill, mul(parameter, weightDecay))
    mean.copy_(add(mul(mean, beta1), mul(d, 1 - beta1)))
    square.copy_(add(mul(square, beta2), mul(mul(d, d), 1 - beta2)))
    maxSquare?.copy_(maximum(maxSquare, square))
    const size = add(div(sqrt(maxSquare ?? square), Math.sqrt(1 - beta2 ** step)), eps)
    const kept = this.decoupled ? mul(parameter, 1 - lr * weightDecay) : parameter
    parameter.copy_(sub(kept, mul(div(mean, size), lr / (1 - beta1 ** step))))
  }

  protected override row(
    slot: (name: string) => readonly Tensor[],
    { lr, betas: [beta1, beta2], eps, weightDecay, maximize }: AdamOptions,
    { step }: At,
  ): Row {
    const [means, squares, maxSquares] = [slot('mean'), slot('square'), slot('maxSquare')]
    const { decoupled } = this
    return rowOf('adam', { means, squares, maxSquares, lr, beta1, beta2, eps, weightDecay, decoupled, maximize, step })
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, 2019). */
export class AdamW extends Adam {
  protected override readonly decoupled: boolean = true

  protected override defaults(): Defaults<AdamOptions> {
    return { ...super.defaults(), weightDecay: 0.01 }
  }
}

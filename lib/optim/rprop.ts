import { shown } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { clamp, gt, lt, mul, sign, sub, where } from '../ops/elementwise/index.js'
import { direction } from './direction.js'
import { Optimizer } from './optimizer.js'
import { type Defaults, notAtLeast, notFlag } from './options.js'
import type { Slots } from './slots.js'

export interface RpropOptions {
  /** The first step size of each element. A later change moves only parameters that join later. Default 1e-2. */
  lr: number
  /** The factors of the step size where the gradient's sign changed, and where it stayed. Default [0.5, 1.2]. */
  etas: readonly [number, number]
  /** The bounds of the step sizes. Default [1e-6, 50]. */
  stepSizes: readonly [number, number]
  maximize: boolean
}

/** The previous gradient, 0 where its sign had changed, and the step size; both of the parameter's shape. */
export interface RpropState {
  readonly previous: Tensor
  readonly stepSize: Tensor
}

/**
 * Steps by the gradient's sign, with a step size for each element, which grows while the sign stays and shrinks when it
 * changes (Riedmiller and Braun, 1993), in PyTorch's form. It is for gradients of all data, because noise changes signs.
 */
export class Rprop extends Optimizer<RpropOptions, RpropState> {
  protected override defaults(): Defaults<RpropOptions> {
    return { lr: 1e-2, etas: [0.5, 1.2], stepSizes: [1e-6, 50], maximize: false }
  }

  protected override faults({ lr, etas, stepSizes, maximize }: RpropOptions): readonly (string | false)[] {
    const two = (pair: unknown): pair is readonly [number, number] =>
      Array.isArray(pair) && pair.length === 2 && pair.every(Number.isFinite)
    return [
      notAtLeast('lr', lr, 0),
      !(two(etas) && etas[0] > 0 && etas[0] < 1 && etas[1] > 1) &&
        `etas are ${shown(etas)}, but must be a number between 0 and 1 and a number above 1`,
      !(two(stepSizes) && stepSizes[0] >= 0 && stepSizes[0] <= stepSizes[1]) &&
        `stepSizes are ${shown(stepSizes)}, but must be two numbers of at least 0, in ascending order`,
      notFlag('maximize', maximize),
    ]
  }

  protected override slots(_parameter: Tensor, { lr }: RpropOptions): Slots<RpropState> {
    return { previous: {}, stepSize: { value: lr } }
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { previous, stepSize }: RpropState,
    { etas: [shrink, grow], stepSizes: [least, most], maximize }: RpropOptions,
  ): void {
    const d = direction(parameter, gradient, maximize, 0)
    const agreement = mul(d, previous)
    const turned = lt(agreement, 0)
    const grown = where(gt(agreement, 0), mul(stepSize, grow), stepSize)
    stepSize.copy_(clamp(where(turned, mul(stepSize, shrink), grown), least, most))
    previous.copy_(where(turned, 0, d))
    parameter.copy_(sub(parameter, mul(sign(previous), stepSize)))
  }
}

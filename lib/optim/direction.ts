/** Parts that the updates of several optimisers share. */
import type { Tensor } from '../core/tensor.js'
import { add, mul, neg } from '../ops/elementwise/index.js'

/** The gradient to descend: negated if the objective is maximised, plus the gradient of an L2 penalty. */
export function direction(parameter: Tensor, gradient: Tensor, maximize: boolean, weightDecay: number): Tensor {
  const uphill = maximize ? neg(gradient) : gradient
  return weightDecay === 0 ? uphill : add(uphill, mul(parameter, weightDecay))
}

/** Moves a running average, in place. */
export function average(mean: Tensor, value: Tensor, keep: number): Tensor {
  return mean.copy_(add(mul(mean, keep), mul(value, 1 - keep)))
}

/** The common parts of the updates of optimisers. */
import type { Tensor } from '../core/tensor.js'
import { add, mul, neg } from '../ops/elementwise/index.js'

/** The gradient of what is minimised: turned round to maximise, and with the gradient of an L2 penalty. */
export function direction(parameter: Tensor, gradient: Tensor, maximize: boolean, weightDecay: number): Tensor {
  const uphill = maximize ? neg(gradient) : gradient
  return weightDecay === 0 ? uphill : add(uphill, mul(parameter, weightDecay))
}

/** Moves a running average, in place. */
export function average(mean: Tensor, value: Tensor, keep: number): Tensor {
  return mean.copy_(add(mul(mean, keep), mul(value, 1 - keep)))
}

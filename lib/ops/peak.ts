/** The peak that is subtracted from exponents before the exponential is taken. */
import type { Tensor } from '../core/tensor.js'
import { amax, sum } from './reduce/index.js'
import { detach } from './shape/index.js'

/** The largest element along `dim`, a constant to gradients; 0 of none. */
export function peakOf(x: Tensor, dim: number): Tensor {
  const reduce = x.sizes.at(dim) === 0 ? sum : amax
  return reduce(detach(x), dim, { keepdim: true })
}

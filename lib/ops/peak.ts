/** The peak that is subtracted before exponentials are taken. */
import type { Tensor } from '../core/tensor.js'
import { amax, sum } from './reduce/index.js'
import { detach } from './shape/index.js'

/** The largest element along `dim`, which is a constant for gradients; 0 if there are no elements. */
export function peakOf(x: Tensor, dim: number): Tensor {
  const reduce = x.sizes.at(dim) === 0 ? sum : amax
  return reduce(detach(x), dim, { keepdim: true })
}

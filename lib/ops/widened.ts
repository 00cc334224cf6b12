/** bfloat16 outside of autocast, for functions whose kernels compute in float32 alone. */
import { autocastDType } from '../autograd/autocast.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from './convert.js'

/**
 * `run` on the tensors, where the first is bfloat16 in float32, its result rounded once; the others may then be either, as
 * float32 parameters of a layer. Autocast converts by policies of its own.
 */
export function widened<T extends [Tensor, ...(Tensor | null)[]]>(tensors: T, run: (tensors: T) => Tensor): Tensor {
  if (tensors[0].dtype !== 'bfloat16' || autocastDType() !== null) return run(tensors)
  const wide = tensors.map((x) => (x?.dtype === 'bfloat16' ? castTo(x, 'float32') : x))
  return castTo(run(wide as unknown as T), 'bfloat16')
}

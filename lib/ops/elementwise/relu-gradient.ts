/** The gradient of relu, also for operators whose kernels end in a relu. */
import { kernelOf } from '../../backend/call.js'
import { empty, run } from '../../backend/dispatch.js'
import type { Tensor } from '../../core/tensor.js'
import { le, where } from './compare.js'

/** dy where the result y is above 0, or NaN. */
export const reluFormula = (dy: Tensor, y: Tensor): Tensor => where(le(y, 0), 0, dy)
const reluBackward = kernelOf('relu_backward')

/** relu's gradient, for operators whose kernels end in it: dy where their result y is not 0. */
export function reluGradient(dy: Tensor, y: Tensor, createGraph: boolean): Tensor {
  if (createGraph) return reluFormula(dy, y)
  const dx = empty(y.device, y.sizes, y.dtype, 'relu backward')
  run(reluBackward, { dx, dy, y })
  return dx
}

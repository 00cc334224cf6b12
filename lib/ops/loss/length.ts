/** Vectors of length 1. */
import type { Tensor } from '../../core/tensor.js'
import { clamp, div } from '../elementwise/index.js'
import { norm } from '../reduce/index.js'

/** Vectors divided by their length, or by 1e-12 if they are shorter, as in PyTorch. */
export function unit(x: Tensor): Tensor {
  return div(x, clamp(norm(x, 2, -1, { keepdim: true }), 1e-12))
}

/** Two-dimensional convolution. */
import type { Tensor } from '../core/tensor.js'
import { type Conv2dOptions, convolve } from './convolve.js'

export type { Conv2dOptions } from './convolve.js'
export type { Pair } from './pair.js'

/**
 * x [N, C, H, W] (or [C, H, W]) with weight [out, C / groups, kH, kW] and bias [out] -> [N, out, H', W'],
 * H' = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1. Throws ShapeError naming all misfits.
 */
export function conv2d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor {
  return convolve(x, weight, bias, options, false)
}

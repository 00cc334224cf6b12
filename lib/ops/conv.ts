/** Convolutions of one, two and three dimensions. */
import type { Tensor } from '../core/tensor.js'
import { type Conv1dOptions, type Conv2dOptions, convolve } from './convolve.js'

export type { Padding, Single } from './conv-options.js'
export {
  type ConvTranspose1dOptions,
  type ConvTranspose2dOptions,
  convTranspose1d,
  convTranspose2d,
} from './conv-transpose.js'
export { type ConvTranspose3dOptions, convTranspose3d } from './conv-transpose-volume.js'
export { type Conv3dOptions, conv3d } from './conv-volume.js'
export type { Conv1dOptions, Conv2dOptions } from './convolve.js'
export type { Pair } from './pair.js'
export type { Triple } from './triple.js'

/**
 * x [N, C, L] (or [C, L]) with weight [out, C / groups, k] and bias [out] -> [N, out, L'], L' = floor((L + 2 padding -
 * dilation (k - 1) - 1) / stride) + 1. Throws a ShapeError that names all misfits.
 */
export function conv1d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv1dOptions = {}): Tensor {
  return convolve(1, x, weight, bias, options, false)
}

/**
 * x [N, C, H, W] (or [C, H, W]) with weight [out, C / groups, kH, kW] and bias [out] -> [N, out, H', W'], H' = floor((H
 * + 2 padding - dilation (kH - 1) - 1) / stride) + 1. Throws a ShapeError that names all misfits.
 */
export function conv2d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv2dOptions = {}): Tensor {
  return convolve(2, x, weight, bias, options, false)
}

/** Sliding windows over a dimension as views, and their transposes, which add up where windows overlap. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { checkSizes, normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo, summable } from '../convert.js'
import { type Both, type Pair, pair } from '../pair.js'
import { viewFor } from '../views.js'
import { checkInteger } from './lists.js'
import { pad } from './pad.js'
import { permute } from './permute.js'
import { reshape } from './reshape.js'
import { narrow } from './slices.js'
import { at, overlayRecord, type Windows, windowsRecord } from './sliding.js'

/**
 * A view of windows of `size` elements, `step` apart, along `dim`, whose size becomes their number. A new last
 * dimension holds their elements.
 */
function slidingWindows(x: Tensor, dim: number, size: number, step: number): Tensor {
  checkTensor('unfold', 'x', x)
  const d = normalizeDim('unfold', dim, x.ndim)
  checkInteger('unfold', 'size', size, 0)
  checkInteger('unfold', 'step', step, 1)
  const length = x.sizes[d] ?? 0
  if (x.ndim === 0 || size > length)
    throw new ShapeError('unfold', `windows of ${size} do not fit into dimension ${d} of ${formatShape(x.sizes)}`, [
      x.sizes,
    ])
  const count = Math.floor((length - size) / step) + 1
  checkSizes('unfold', [...at(x.sizes, d, count), size])
  return viewFor('unfold', x, () => apply(windowsRecord, [x], { dim: d, count, step, size, dilation: 1 }))
}

export interface UnfoldOptions {
  /** The distance from one window to the next. Default 1. */
  readonly stride?: Pair
  /** The zeros on each side. Default 0. */
  readonly padding?: Pair
  /** The distance from one element of a window to the next. Default 1. */
  readonly dilation?: Pair
}

const unfoldNames: OptionNames<UnfoldOptions> = { stride: true, padding: true, dilation: true }

interface Blocks {
  readonly kernel: Both
  readonly stride: Both
  readonly padding: Both
  readonly dilation: Both
}

function blocksOf(op: string, kernelSize: Pair, options: UnfoldOptions): Blocks {
  const { stride = 1, padding = 0, dilation = 1 } = checkOptions(op, options, unfoldNames)
  return {
    kernel: pair(op, 'kernelSize', kernelSize, 1),
    stride: pair(op, 'stride', stride, 1),
    padding: pair(op, 'padding', padding, 0),
    dilation: pair(op, 'dilation', dilation, 1),
  }
}

/** The windows along height and width of a padded image. Throws ShapeError if none fits. */
function windowsOf(op: string, image: Both, { kernel, stride, padding, dilation }: Blocks): [Windows, Windows] {
  const along = (i: 0 | 1): Windows => {
    const reach = dilation[i] * (kernel[i] - 1) + 1
    const length = image[i] + 2 * padding[i]
    if (reach > length)
      throw new ShapeError(
        op,
        `windows that reach over ${reach} do not fit into ${i === 0 ? 'height' : 'width'} ${image[i]} with padding ${padding[i]}`,
        [[...image]],
      )
    const count = Math.floor((length - reach) / stride[i]) + 1
    return { dim: 2 + i, count, step: stride[i], size: kernel[i], dilation: dilation[i] }
  }
  return [along(0), along(1)]
}

/**
 * Copies the windows of images to columns (im2col): x [N, C, H, W] (or [C, H, W]) gives [N, C * kH * kW, L] for L
 * windows. Throws ShapeError if no window fits.
 */
export function unfold<D extends DType>(
  x: Tensor<Shape, D>,
  kernelSize: Pair,
  options?: UnfoldOptions,
): Tensor<Shape, D>
export function unfold(x: Tensor, kernelSize: Pair, options: UnfoldOptions = {}): Tensor {
  checkTensor('unfold', 'x', x)
  const blocks = blocksOf('unfold', kernelSize, options)
  if (x.ndim === 3) {
    const [c = 0, h = 0, w = 0] = x.sizes
    const columns = unfold(reshape(x, [1, c, h, w]), kernelSize, options)
    return reshape(columns, columns.sizes.slice(1))
  }
  const [n = 0, c = 0, h = 0, w = 0] = x.sizes
  if (x.ndim !== 4)
    throw new ShapeError('unfold', `x must be [N, C, H, W] or [C, H, W], but is ${formatShape(x.sizes)}`, [x.sizes])
  const [down, right] = windowsOf('unfold', [h, w], blocks)
  const [padH, padW] = blocks.padding
  const padded = padH === 0 && padW === 0 ? x : pad(x, [padW, padW, padH, padH])
  const rows = apply(windowsRecord, [padded], down)
  const all = permute(apply(windowsRecord, [rows], right), [0, 1, 4, 5, 2, 3])
  return reshape(all, [n, c * down.size * right.size, down.count * right.count])
}

/**
 * The transpose of `unfold`: adds columns x [N, C * kH * kW, L] (or without N) up to images [N, C, ...outputSize].
 * Throws ShapeError if the columns do not fit such images.
 */
export function fold<D extends DType>(
  x: Tensor<Shape, D>,
  outputSize: Pair,
  kernelSize: Pair,
  options?: UnfoldOptions,
): Tensor<Shape, D>
export function fold(x: Tensor, outputSize: Pair, kernelSize: Pair, options: UnfoldOptions = {}): Tensor {
  checkTensor('fold', 'x', x)
  const blocks = blocksOf('fold', kernelSize, options)
  const [h, w] = pair('fold', 'outputSize', outputSize, 1)
  if (x.ndim === 2) {
    const image = fold(reshape(x, [1, ...x.sizes]), outputSize, kernelSize, options)
    return reshape(image, image.sizes.slice(1))
  }
  const [down, right] = windowsOf('fold', [h, w], blocks)
  const [n = 0, rows = 0, count = 0] = x.sizes
  const c = rows / (down.size * right.size)
  if (x.ndim !== 3 || !Number.isInteger(c) || count !== down.count * right.count)
    throw new ShapeError(
      'fold',
      `x must be [N, C * ${down.size * right.size}, ${down.count * right.count}] or the same without N, but is ${formatShape(x.sizes)}`,
      [x.sizes],
    )
  const [padH, padW] = blocks.padding
  checkSizes('fold', [n, c, h + 2 * padH, w + 2 * padW])
  const apart = reshape(summable(x), [n, c, down.size, right.size, down.count, right.count])
  const across = apply(overlayRecord, [permute(apart, [0, 1, 4, 5, 2, 3])], { ...right, length: w + 2 * padW })
  const image = apply(overlayRecord, [across], { ...down, length: h + 2 * padH })
  return castTo(narrow(narrow(image, 2, padH, h), 3, padW, w), x.dtype)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    /**
     * A view of windows of `size` elements, `step` apart, along `dim`, whose size becomes their number. A new last
     * dimension holds their elements.
     */
    unfold(dim: number, size: number, step: number): Tensor<Shape, D>
  }
}

defineMethods({
  unfold(dim: number, size: number, step: number) {
    return slidingWindows(this, dim, size, step)
  },
})

/** Layers without parameters that rearrange elements: padding, windows, channels to places and back. */
import { checkTensor } from '../autograd/operator.js'
import { formatShape, kindOf, ShapeError, ValueError } from '../core/errors.js'
import { ownOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import type { Pair } from '../ops/pair.js'
import {
  channelShuffle,
  fold,
  type PadOptions,
  pad,
  pixelShuffle,
  pixelUnshuffle,
  type UnfoldOptions,
  unflatten,
  unfold,
} from '../ops/shape/index.js'
import { checkDim, checkNumber, checkPair, checkSizes } from './layer.js'
import { Module, settings } from './module.js'

/**
 * Amounts as in `pad`: one for all sides, or [before, after] of the last dimension, then of the one before it, and so
 * on.
 */
export type Padding = number | readonly number[]

function amountsOf(layer: string, padding: Padding, dims: number): readonly number[] {
  const amounts = typeof padding === 'number' ? new Array<number>(2 * dims).fill(padding) : padding
  if (!Array.isArray(amounts) || amounts.length !== 2 * dims || !amounts.every((each) => Number.isSafeInteger(each)))
    throw new ValueError(
      layer,
      `padding is ${kindOf(padding)}, but must be an integer, or ${2 * dims} of them: [before, after] for each dimension, the last first`,
    )
  return [...amounts]
}

/** A layer that pads the last dimensions of [N, C, ...] or [C, ...]. */
abstract class Pad extends Module {
  readonly padding: readonly number[]
  readonly #dims: number
  readonly #options: PadOptions

  constructor(layer: string, dims: number, padding: Padding, options: PadOptions) {
    super()
    this.padding = amountsOf(layer, padding, dims)
    this.#dims = dims
    this.#options = options
  }

  override extraRepr(): string {
    const { value } = this.#options
    return settings({ padding: this.padding, ...(value === undefined ? {} : { value }) })
  }

  forward(x: Tensor): Tensor {
    checkTensor(this.constructor.name, 'x', x)
    if (x.ndim !== this.#dims + 1 && x.ndim !== this.#dims + 2)
      throw new ShapeError(
        this.constructor.name,
        `x is ${formatShape(x.sizes)}, but must have ${this.#dims + 2} dimensions, or ${this.#dims + 1} without a batch`,
        [x.sizes],
      )
    return pad(x, this.padding, this.#options)
  }
}

const constantOf = (layer: string, value: number): PadOptions => ({
  mode: 'constant',
  value: checkNumber(layer, 'value', value),
})

/** Pads [N, C, L] with a number. */
export class ConstantPad1d extends Pad {
  constructor(padding: Padding, value: number) {
    super('ConstantPad1d', 1, padding, constantOf('ConstantPad1d', value))
  }
}

/** Pads [N, C, H, W] with a number. */
export class ConstantPad2d extends Pad {
  constructor(padding: Padding, value: number) {
    super('ConstantPad2d', 2, padding, constantOf('ConstantPad2d', value))
  }
}

/** Pads [N, C, D, H, W] with a number. */
export class ConstantPad3d extends Pad {
  constructor(padding: Padding, value: number) {
    super('ConstantPad3d', 3, padding, constantOf('ConstantPad3d', value))
  }
}

/** Pads [N, C, L] with zeros. */
export class ZeroPad1d extends Pad {
  constructor(padding: Padding) {
    super('ZeroPad1d', 1, padding, {})
  }
}

/** Pads [N, C, H, W] with zeros. */
export class ZeroPad2d extends Pad {
  constructor(padding: Padding) {
    super('ZeroPad2d', 2, padding, {})
  }
}

/** Pads [N, C, D, H, W] with zeros. */
export class ZeroPad3d extends Pad {
  constructor(padding: Padding) {
    super('ZeroPad3d', 3, padding, {})
  }
}

/** Pads [N, C, L] with its reflection about the outermost elements. */
export class ReflectionPad1d extends Pad {
  constructor(padding: Padding) {
    super('ReflectionPad1d', 1, padding, { mode: 'reflect' })
  }
}

/** Pads [N, C, H, W] with its reflection about the outermost elements. */
export class ReflectionPad2d extends Pad {
  constructor(padding: Padding) {
    super('ReflectionPad2d', 2, padding, { mode: 'reflect' })
  }
}

/** Pads [N, C, D, H, W] with its reflection about the outermost elements. */
export class ReflectionPad3d extends Pad {
  constructor(padding: Padding) {
    super('ReflectionPad3d', 3, padding, { mode: 'reflect' })
  }
}

/** Pads [N, C, L] by repeating its outermost elements. */
export class ReplicationPad1d extends Pad {
  constructor(padding: Padding) {
    super('ReplicationPad1d', 1, padding, { mode: 'replicate' })
  }
}

/** Pads [N, C, H, W] by repeating its outermost elements. */
export class ReplicationPad2d extends Pad {
  constructor(padding: Padding) {
    super('ReplicationPad2d', 2, padding, { mode: 'replicate' })
  }
}

/** Pads [N, C, D, H, W] by repeating its outermost elements. */
export class ReplicationPad3d extends Pad {
  constructor(padding: Padding) {
    super('ReplicationPad3d', 3, padding, { mode: 'replicate' })
  }
}

/** Pads [N, C, L] at each end with elements of the other end. */
export class CircularPad1d extends Pad {
  constructor(padding: Padding) {
    super('CircularPad1d', 1, padding, { mode: 'circular' })
  }
}

/** Pads [N, C, H, W] at each end with elements of the other end. */
export class CircularPad2d extends Pad {
  constructor(padding: Padding) {
    super('CircularPad2d', 2, padding, { mode: 'circular' })
  }
}

/** Pads [N, C, D, H, W] at each end with elements of the other end. */
export class CircularPad3d extends Pad {
  constructor(padding: Padding) {
    super('CircularPad3d', 3, padding, { mode: 'circular' })
  }
}

function windowOptions(layer: string, options: UnfoldOptions): UnfoldOptions {
  const own = ownOptions(layer, options, { stride: true, padding: true, dilation: true })
  if (own.stride !== undefined) checkPair(layer, 'stride', own.stride, 1)
  if (own.padding !== undefined) checkPair(layer, 'padding', own.padding, 0)
  if (own.dilation !== undefined) checkPair(layer, 'dilation', own.dilation, 1)
  return own
}

/** Unfolds windows of images into columns: [N, C, H, W] to [N, C * kH * kW, L]. */
export class Unfold extends Module {
  readonly kernelSize: readonly [number, number]
  readonly #options: UnfoldOptions

  constructor(kernelSize: Pair, options: UnfoldOptions = {}) {
    super()
    this.kernelSize = checkPair('Unfold', 'kernelSize', kernelSize, 1)
    this.#options = windowOptions('Unfold', options)
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.#options })
  }

  forward(x: Tensor): Tensor {
    return unfold(x, this.kernelSize, this.#options)
  }
}

/** Adds columns up to images: [N, C * kH * kW, L] to [N, C, ...outputSize]. */
export class Fold extends Module {
  readonly outputSize: readonly [number, number]
  readonly kernelSize: readonly [number, number]
  readonly #options: UnfoldOptions

  constructor(outputSize: Pair, kernelSize: Pair, options: UnfoldOptions = {}) {
    super()
    this.outputSize = checkPair('Fold', 'outputSize', outputSize, 1)
    this.kernelSize = checkPair('Fold', 'kernelSize', kernelSize, 1)
    this.#options = windowOptions('Fold', options)
  }

  override extraRepr(): string {
    return settings({ outputSize: this.outputSize, kernelSize: this.kernelSize, ...this.#options })
  }

  forward(x: Tensor): Tensor {
    return fold(x, this.outputSize, this.kernelSize, this.#options)
  }
}

/** Turns channels into places: [.., C * r * r, H, W] to [.., C, H * r, W * r]. */
export class PixelShuffle extends Module {
  readonly upscaleFactor: number

  constructor(upscaleFactor: number) {
    super()
    checkSizes('PixelShuffle', { upscaleFactor })
    this.upscaleFactor = upscaleFactor
  }

  override extraRepr(): string {
    return settings({ upscaleFactor: this.upscaleFactor })
  }

  forward(x: Tensor): Tensor {
    return pixelShuffle(x, this.upscaleFactor)
  }
}

/** Turns places into channels: [.., C, H * r, W * r] to [.., C * r * r, H, W]. */
export class PixelUnshuffle extends Module {
  readonly downscaleFactor: number

  constructor(downscaleFactor: number) {
    super()
    checkSizes('PixelUnshuffle', { downscaleFactor })
    this.downscaleFactor = downscaleFactor
  }

  override extraRepr(): string {
    return settings({ downscaleFactor: this.downscaleFactor })
  }

  forward(x: Tensor): Tensor {
    return pixelUnshuffle(x, this.downscaleFactor)
  }
}

/** Interleaves the channels of [N, C, ...], so that those of a group lie apart. */
export class ChannelShuffle extends Module {
  readonly groups: number

  constructor(groups: number) {
    super()
    checkSizes('ChannelShuffle', { groups })
    this.groups = groups
  }

  override extraRepr(): string {
    return settings({ groups: this.groups })
  }

  forward<S extends Shape>(x: Tensor<S>): Tensor<S> {
    return channelShuffle(x, this.groups)
  }
}

/** Splits one dimension into several: the reverse of `Flatten`. */
export class Unflatten<const D extends number = number, const Z extends Shape = Shape> extends Module {
  readonly dim: number
  readonly sizes: Shape
  declare readonly signature?: {
    readonly op: 'unflatten'
    readonly takes: 'anything'
    readonly gives: { readonly kind: 'split'; readonly dim: D; readonly sizes: Z }
  }

  constructor(dim: D, sizes: Z) {
    super()
    checkDim('Unflatten', 'dim', dim)
    if (!Array.isArray(sizes) || sizes.length === 0 || !sizes.every((size) => Number.isSafeInteger(size) && size >= -1))
      throw new ValueError(
        'Unflatten',
        `sizes are ${kindOf(sizes)}, but must be an array of sizes, one of which may be -1`,
      )
    this.dim = dim
    this.sizes = [...sizes]
  }

  override extraRepr(): string {
    return settings({ dim: this.dim, sizes: this.sizes })
  }

  forward(x: Tensor): Tensor {
    return unflatten(x, this.dim, this.sizes)
  }
}

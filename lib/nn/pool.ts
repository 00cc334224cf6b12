/** Pooling layers. */
import { ValueError } from '../core/errors.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Single } from '../ops/conv-options.js'
import type { Pair } from '../ops/pair.js'
import {
  type AdaptiveMaxPoolOptions,
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  checkOutputSize,
  type OutputSize,
} from '../ops/pool/adaptive.js'
import { type AvgPool1dOptions, type AvgPool2dOptions, avgPool1d, avgPool2d, divisorOf } from '../ops/pool/average.js'
import { checkNorm, type LpPool1dOptions, type LpPool2dOptions, lpPool1d, lpPool2d } from '../ops/pool/lp.js'
import {
  type MaxPool1dOptions,
  type MaxPool2dOptions,
  maxPool1d,
  maxPool2d,
  type WithIndices,
} from '../ops/pool/max.js'
import { type Reader, readPair, readSingle, windowOf } from '../ops/pool/window.js'
import { checkFlags } from './layer.js'
import { Module, settings } from './module.js'

interface KeepsChannels {
  readonly takes: 'anything'
  readonly gives: 'keep'
}

const own = <Size extends Single | Pair>(size: Size): Size => (Array.isArray(size) ? [...size] : size) as Size

/** A layer of windows and options. Its constructor throws ValueError for windows that no input can have. */
abstract class Pool<Size extends Single | Pair, O extends object> extends Module {
  readonly kernelSize: Size
  /** The layer's own copy. */
  protected readonly options: O
  declare readonly signature?: KeepsChannels

  constructor(layer: string, read: Reader<Size>, kernelSize: Size, options: O, names: OptionNames<O>) {
    super()
    const taken = ownOptions(layer, options, names)
    const { kernel, padding } = windowOf(layer, read, kernelSize, taken)
    if (2 * padding[0] > kernel[0] || 2 * padding[1] > kernel[1]) {
      const by = (sizes: readonly [number, number]) => (read === (readSingle as unknown) ? sizes[1] : sizes.join(' x '))
      throw new ValueError(layer, `padding ${by(padding)} is more than half of the kernel ${by(kernel)}`)
    }
    this.options = taken
    this.kernelSize = own(kernelSize)
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.options })
  }
}

const windowNames = { stride: true, padding: true, ceilMode: true } as const
const maxNames = { ...windowNames, dilation: true, returnIndices: true } as const

/** The largest element of each window of [N, C, L] or [C, L]; with `returnIndices` [out, indices]. */
export class MaxPool1d<const O extends MaxPool1dOptions = Record<never, never>> extends Pool<Single, MaxPool1dOptions> {
  constructor(kernelSize: Single, options?: O & MaxPool1dOptions) {
    super('MaxPool1d', readSingle, kernelSize, options === undefined ? {} : options, maxNames)
    checkFlags('MaxPool1d', { returnIndices: this.options.returnIndices })
  }

  forward(x: Tensor): WithIndices<O> {
    return maxPool1d<O>(x, this.kernelSize, this.options as O)
  }
}

/** The largest element of each window of [N, C, H, W] or [C, H, W]; with `returnIndices` [out, indices]. */
export class MaxPool2d<const O extends MaxPool2dOptions = Record<never, never>> extends Pool<Pair, MaxPool2dOptions> {
  constructor(kernelSize: Pair, options?: O & MaxPool2dOptions) {
    super('MaxPool2d', readPair, kernelSize, options === undefined ? {} : options, maxNames)
    checkFlags('MaxPool2d', { returnIndices: this.options.returnIndices })
  }

  forward(x: Tensor): WithIndices<O> {
    return maxPool2d<O>(x, this.kernelSize, this.options as O)
  }
}

/** The mean of each window of [N, C, L] or [C, L]. */
export class AvgPool1d extends Pool<Single, AvgPool1dOptions> {
  constructor(kernelSize: Single, options: AvgPool1dOptions = {}) {
    super('AvgPool1d', readSingle, kernelSize, options, { ...windowNames, countIncludePad: true })
    checkFlags('AvgPool1d', { countIncludePad: this.options.countIncludePad })
  }

  forward(x: Tensor): Tensor {
    return avgPool1d(x, this.kernelSize, this.options)
  }
}

/** The mean of each window of [N, C, H, W] or [C, H, W]. */
export class AvgPool2d extends Pool<Pair, AvgPool2dOptions> {
  constructor(kernelSize: Pair, options: AvgPool2dOptions = {}) {
    super('AvgPool2d', readPair, kernelSize, options, { ...windowNames, countIncludePad: true, divisorOverride: true })
    checkFlags('AvgPool2d', { countIncludePad: this.options.countIncludePad })
    divisorOf('AvgPool2d', this.options.divisorOverride)
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.options)
  }
}

/** (sum x^p)^(1/p) over each window of [N, C, L] or [C, L]. */
export class LPPool1d extends Pool<Single, LpPool1dOptions> {
  readonly p: number

  constructor(p: number, kernelSize: Single, options: LpPool1dOptions = {}) {
    super('LPPool1d', readSingle, kernelSize, options, { stride: true, ceilMode: true })
    this.p = checkNorm('LPPool1d', p)
  }

  override extraRepr(): string {
    return `p=${this.p}, ${super.extraRepr()}`
  }

  forward(x: Tensor): Tensor {
    return lpPool1d(x, this.p, this.kernelSize, this.options)
  }
}

/** (sum x^p)^(1/p) over each window of [N, C, H, W] or [C, H, W]. */
export class LPPool2d extends Pool<Pair, LpPool2dOptions> {
  readonly p: number

  constructor(p: number, kernelSize: Pair, options: LpPool2dOptions = {}) {
    super('LPPool2d', readPair, kernelSize, options, { stride: true, ceilMode: true })
    this.p = checkNorm('LPPool2d', p)
  }

  override extraRepr(): string {
    return `p=${this.p}, ${super.extraRepr()}`
  }

  forward(x: Tensor): Tensor {
    return lpPool2d(x, this.p, this.kernelSize, this.options)
  }
}

/** A layer that pools to a size. */
abstract class AdaptivePool<Size extends Single | OutputSize> extends Module {
  readonly outputSize: Size
  declare readonly signature?: KeepsChannels

  constructor(layer: string, outputSize: Size, rank: 1 | 2) {
    super()
    checkOutputSize(layer, outputSize, rank)
    this.outputSize = (Array.isArray(outputSize) ? [...outputSize] : outputSize) as Size
  }

  override extraRepr(): string {
    return settings({ outputSize: this.outputSize })
  }
}

/** Means of [N, C, L] or [C, L] over windows that make `outputSize`. */
export class AdaptiveAvgPool1d extends AdaptivePool<Single> {
  constructor(outputSize: Single) {
    super('AdaptiveAvgPool1d', outputSize, 1)
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.outputSize)
  }
}

/** Means of [N, C, H, W] or [C, H, W] over windows that make `outputSize`; null keeps a size. */
export class AdaptiveAvgPool2d extends AdaptivePool<OutputSize> {
  constructor(outputSize: OutputSize) {
    super('AdaptiveAvgPool2d', outputSize, 2)
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize)
  }
}

const adaptiveNames = { returnIndices: true } as const

/** The largest elements of [N, C, L] or [C, L] in windows that make `outputSize`; with `returnIndices` [out, indices]. */
export class AdaptiveMaxPool1d<
  const O extends AdaptiveMaxPoolOptions = Record<never, never>,
> extends AdaptivePool<Single> {
  readonly #options: AdaptiveMaxPoolOptions

  constructor(outputSize: Single, options?: O & AdaptiveMaxPoolOptions) {
    super('AdaptiveMaxPool1d', outputSize, 1)
    this.#options = ownOptions<AdaptiveMaxPoolOptions>(
      'AdaptiveMaxPool1d',
      options === undefined ? {} : options,
      adaptiveNames,
    )
    checkFlags('AdaptiveMaxPool1d', { returnIndices: this.#options.returnIndices })
  }

  forward(x: Tensor): WithIndices<O> {
    return adaptiveMaxPool1d<O>(x, this.outputSize, this.#options as O)
  }
}

/** The largest elements of [N, C, H, W] or [C, H, W] in windows that make `outputSize`; with `returnIndices` [out, indices]. */
export class AdaptiveMaxPool2d<
  const O extends AdaptiveMaxPoolOptions = Record<never, never>,
> extends AdaptivePool<OutputSize> {
  readonly #options: AdaptiveMaxPoolOptions

  constructor(outputSize: OutputSize, options?: O & AdaptiveMaxPoolOptions) {
    super('AdaptiveMaxPool2d', outputSize, 2)
    this.#options = ownOptions<AdaptiveMaxPoolOptions>(
      'AdaptiveMaxPool2d',
      options === undefined ? {} : options,
      adaptiveNames,
    )
    checkFlags('AdaptiveMaxPool2d', { returnIndices: this.#options.returnIndices })
  }

  forward(x: Tensor): WithIndices<O> {
    return adaptiveMaxPool2d<O>(x, this.outputSize, this.#options as O)
  }
}

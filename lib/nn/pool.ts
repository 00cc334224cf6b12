/** Pooling layers. */
import { ValueError } from '../core/errors.js'
import type { Pools, PoolsTo, Usual } from '../core/flow-types.js'
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
import { type MaxPool1dOptions, type MaxPool2dOptions, maxPool1d, maxPool2d, type Pooled } from '../ops/pool/max.js'
import { type Reader, readPair, readSingle, windowOf } from '../ops/pool/window.js'
import { checkFlags } from './layer.js'
import { Module, settings } from './module.js'

const own = <Size extends Single | Pair>(size: Size): Size => (Array.isArray(size) ? [...size] : size) as Size

/** A pooling layer: its windows and options. The constructor throws ValueError for windows that fit no input. */
abstract class Pool<Size extends Single | Pair, O extends object> extends Module {
  readonly kernelSize: Size
  /** The layer's own copy of its options. */
  protected readonly options: O

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
export class MaxPool1d<
  const K extends Single = Single,
  const S extends Single = Usual<K, K, Single>,
  const P extends Single = Usual<K, 0, Single>,
  const D extends Single = Usual<K, 1, Single>,
  const C extends boolean = Usual<K, false, boolean>,
  const R extends boolean = false,
> extends Pool<Single, MaxPool1dOptions> {
  declare readonly signature?: Pools<'maxPool1d', 1, K, S, P, D, C>

  constructor(kernelSize: K, options?: MaxPool1dOptions<S, P, D, C, R>) {
    super('MaxPool1d', readSingle, kernelSize, options === undefined ? {} : options, maxNames)
    checkFlags('MaxPool1d', { returnIndices: this.options.returnIndices })
  }

  forward(x: Tensor): Pooled<R> {
    return maxPool1d(x, this.kernelSize, this.options) as Pooled<R>
  }
}

/** The largest element of each window of [N, C, H, W] or [C, H, W]; with `returnIndices` [out, indices]. */
export class MaxPool2d<
  const K extends Pair = Pair,
  const S extends Pair = Usual<K, K, Pair>,
  const P extends Pair = Usual<K, 0, Pair>,
  const D extends Pair = Usual<K, 1, Pair>,
  const C extends boolean = Usual<K, false, boolean>,
  const R extends boolean = false,
> extends Pool<Pair, MaxPool2dOptions> {
  declare readonly signature?: Pools<'maxPool2d', 2, K, S, P, D, C>

  constructor(kernelSize: K, options?: MaxPool2dOptions<S, P, D, C, R>) {
    super('MaxPool2d', readPair, kernelSize, options === undefined ? {} : options, maxNames)
    checkFlags('MaxPool2d', { returnIndices: this.options.returnIndices })
  }

  forward(x: Tensor): Pooled<R> {
    return maxPool2d(x, this.kernelSize, this.options) as Pooled<R>
  }
}

/** The mean of each window of [N, C, L] or [C, L]. */
export class AvgPool1d<
  const K extends Single = Single,
  const S extends Single = Usual<K, K, Single>,
  const P extends Single = Usual<K, 0, Single>,
  const C extends boolean = Usual<K, false, boolean>,
> extends Pool<Single, AvgPool1dOptions> {
  declare readonly signature?: Pools<'avgPool1d', 1, K, S, P, 1, C>

  constructor(kernelSize: K, options: AvgPool1dOptions<S, P, C> = {}) {
    super('AvgPool1d', readSingle, kernelSize, options, { ...windowNames, countIncludePad: true })
    checkFlags('AvgPool1d', { countIncludePad: this.options.countIncludePad })
  }

  forward(x: Tensor): Tensor {
    return avgPool1d(x, this.kernelSize, this.options)
  }
}

/** The mean of each window of [N, C, H, W] or [C, H, W]. */
export class AvgPool2d<
  const K extends Pair = Pair,
  const S extends Pair = Usual<K, K, Pair>,
  const P extends Pair = Usual<K, 0, Pair>,
  const C extends boolean = Usual<K, false, boolean>,
> extends Pool<Pair, AvgPool2dOptions> {
  declare readonly signature?: Pools<'avgPool2d', 2, K, S, P, 1, C>

  constructor(kernelSize: K, options: AvgPool2dOptions<S, P, C> = {}) {
    super('AvgPool2d', readPair, kernelSize, options, { ...windowNames, countIncludePad: true, divisorOverride: true })
    checkFlags('AvgPool2d', { countIncludePad: this.options.countIncludePad })
    divisorOf('AvgPool2d', this.options.divisorOverride)
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.options)
  }
}

/** The power average (sum x^p)^(1/p) over each window of [N, C, L] or [C, L]. */
export class LPPool1d<
  const K extends Single = Single,
  const S extends Single = Usual<K, K, Single>,
  const C extends boolean = Usual<K, false, boolean>,
> extends Pool<Single, LpPool1dOptions> {
  readonly p: number
  declare readonly signature?: Pools<'lpPool1d', 1, K, S, 0, 1, C>

  constructor(p: number, kernelSize: K, options: LpPool1dOptions<S, C> = {}) {
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

/** The power average (sum x^p)^(1/p) over each window of [N, C, H, W] or [C, H, W]. */
export class LPPool2d<
  const K extends Pair = Pair,
  const S extends Pair = Usual<K, K, Pair>,
  const C extends boolean = Usual<K, false, boolean>,
> extends Pool<Pair, LpPool2dOptions> {
  readonly p: number
  declare readonly signature?: Pools<'lpPool2d', 2, K, S, 0, 1, C>

  constructor(p: number, kernelSize: K, options: LpPool2dOptions<S, C> = {}) {
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

/** A layer that pools to a given size. */
abstract class AdaptivePool<Size extends Single | OutputSize> extends Module {
  readonly outputSize: Size

  constructor(layer: string, outputSize: Size, rank: 1 | 2) {
    super()
    checkOutputSize(layer, outputSize, rank)
    this.outputSize = (Array.isArray(outputSize) ? [...outputSize] : outputSize) as Size
  }

  override extraRepr(): string {
    return settings({ outputSize: this.outputSize })
  }
}

/** The means of [N, C, L] or [C, L] over as many windows as `outputSize` says. */
export class AdaptiveAvgPool1d<const Z extends Single = Single> extends AdaptivePool<Single> {
  declare readonly signature?: PoolsTo<'adaptiveAvgPool1d', 1, Z>

  constructor(outputSize: Z) {
    super('AdaptiveAvgPool1d', outputSize, 1)
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool1d(x, this.outputSize)
  }
}

/** The means of [N, C, H, W] or [C, H, W] over as many windows as `outputSize` says; null keeps a size. */
export class AdaptiveAvgPool2d<const Z extends OutputSize = OutputSize> extends AdaptivePool<OutputSize> {
  declare readonly signature?: PoolsTo<'adaptiveAvgPool2d', 2, Z>

  constructor(outputSize: Z) {
    super('AdaptiveAvgPool2d', outputSize, 2)
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize)
  }
}

const adaptiveNames = { returnIndices: true } as const

/**
 * The largest elements of [N, C, L] or [C, L] in as many windows as `outputSize` says; with `returnIndices` [out,
 * indices].
 */
export class AdaptiveMaxPool1d<
  const Z extends Single = Single,
  const R extends boolean = false,
> extends AdaptivePool<Single> {
  readonly #options: AdaptiveMaxPoolOptions
  declare readonly signature?: PoolsTo<'adaptiveMaxPool1d', 1, Z>

  constructor(outputSize: Z, options?: AdaptiveMaxPoolOptions<R>) {
    super('AdaptiveMaxPool1d', outputSize, 1)
    this.#options = ownOptions<AdaptiveMaxPoolOptions>(
      'AdaptiveMaxPool1d',
      options === undefined ? {} : options,
      adaptiveNames,
    )
    checkFlags('AdaptiveMaxPool1d', { returnIndices: this.#options.returnIndices })
  }

  forward(x: Tensor): Pooled<R> {
    return adaptiveMaxPool1d(x, this.outputSize, this.#options) as Pooled<R>
  }
}

/**
 * The largest elements of [N, C, H, W] or [C, H, W] in as many windows as `outputSize` says; with `returnIndices` [out,
 * indices].
 */
export class AdaptiveMaxPool2d<
  const Z extends OutputSize = OutputSize,
  const R extends boolean = false,
> extends AdaptivePool<OutputSize> {
  readonly #options: AdaptiveMaxPoolOptions
  declare readonly signature?: PoolsTo<'adaptiveMaxPool2d', 2, Z>

  constructor(outputSize: Z, options?: AdaptiveMaxPoolOptions<R>) {
    super('AdaptiveMaxPool2d', outputSize, 2)
    this.#options = ownOptions<AdaptiveMaxPoolOptions>(
      'AdaptiveMaxPool2d',
      options === undefined ? {} : options,
      adaptiveNames,
    )
    checkFlags('AdaptiveMaxPool2d', { returnIndices: this.#options.returnIndices })
  }

  forward(x: Tensor): Pooled<R> {
    return adaptiveMaxPool2d(x, this.outputSize, this.#options) as Pooled<R>
  }
}

/** Pooling layers over volumes. */
import { ValueError } from '../core/errors.js'
import type { Pools, PoolsTo, Usual } from '../core/flow-types.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import {
  type AdaptiveMaxPoolOptions,
  adaptiveMaxNames,
  checkOutputSize,
  type OutputSize3d,
} from '../ops/pool/adaptive.js'
import { adaptiveAvgPool3d, adaptiveMaxPool3d } from '../ops/pool/adaptive-volume.js'
import { divisorOf } from '../ops/pool/average.js'
import { checkNorm, type LpPool3dOptions, lpPool3d } from '../ops/pool/lp.js'
import type { Pooled } from '../ops/pool/max.js'
import {
  type AvgPool3dOptions,
  avgPool3d,
  avgPool3dNames,
  type MaxPool3dOptions,
  maxPool3d,
  maxPool3dNames,
} from '../ops/pool/volume.js'
import { volumeWindow } from '../ops/pool/volume-window.js'
import { by, type Triple } from '../ops/triple.js'
import { checkFlags } from './layer.js'
import { Module, settings } from './module.js'

/** A pooling layer: its windows and options. The constructor throws ValueError for windows that fit no input. */
abstract class VolumePool<O extends MaxPool3dOptions | AvgPool3dOptions | LpPool3dOptions> extends Module {
  readonly kernelSize: Triple
  /** The layer's own copy of its options. */
  protected readonly options: O

  constructor(layer: string, kernelSize: Triple, options: O, names: OptionNames<O>) {
    super()
    this.options = ownOptions(layer, options, names)
    const { kernel, padding } = volumeWindow(layer, kernelSize, this.options)
    if (padding.some((amount, d) => 2 * amount > (kernel[d] as number)))
      throw new ValueError(layer, `padding ${by(padding)} is more than half of the kernel ${by(kernel)}`)
    this.kernelSize = typeof kernelSize === 'number' ? kernelSize : kernel
  }

  override extraRepr(): string {
    return settings({ kernelSize: this.kernelSize, ...this.options })
  }
}

/** The largest element of each window of [N, C, D, H, W] or [C, D, H, W]; with `returnIndices` [out, indices]. */
export class MaxPool3d<
  const K extends Triple = Triple,
  const S extends Triple = Usual<K, K, Triple>,
  const P extends Triple = Usual<K, 0, Triple>,
  const D extends Triple = Usual<K, 1, Triple>,
  const C extends boolean = Usual<K, false, boolean>,
  const R extends boolean = false,
> extends VolumePool<MaxPool3dOptions> {
  declare readonly signature?: Pools<'maxPool3d', 3, K, S, P, D, C>

  constructor(kernelSize: K, options?: MaxPool3dOptions<S, P, D, C, R>) {
    super('MaxPool3d', kernelSize, options === undefined ? {} : options, maxPool3dNames)
    checkFlags('MaxPool3d', { returnIndices: this.options.returnIndices })
  }

  forward(x: Tensor): Pooled<R> {
    return maxPool3d(x, this.kernelSize, this.options) as Pooled<R>
  }
}

/** The mean of each window of [N, C, D, H, W] or [C, D, H, W]. */
export class AvgPool3d<
  const K extends Triple = Triple,
  const S extends Triple = Usual<K, K, Triple>,
  const P extends Triple = Usual<K, 0, Triple>,
  const C extends boolean = Usual<K, false, boolean>,
> extends VolumePool<AvgPool3dOptions> {
  declare readonly signature?: Pools<'avgPool3d', 3, K, S, P, 1, C>

  constructor(kernelSize: K, options: AvgPool3dOptions<S, P, C> = {}) {
    super('AvgPool3d', kernelSize, options, avgPool3dNames)
    checkFlags('AvgPool3d', { countIncludePad: this.options.countIncludePad })
    divisorOf('AvgPool3d', this.options.divisorOverride)
  }

  forward(x: Tensor): Tensor {
    return avgPool3d(x, this.kernelSize, this.options)
  }
}

/** The power average (sum x^p)^(1/p) over each window of [N, C, D, H, W] or [C, D, H, W]. */
export class LPPool3d<
  const K extends Triple = Triple,
  const S extends Triple = Usual<K, K, Triple>,
  const C extends boolean = Usual<K, false, boolean>,
> extends VolumePool<LpPool3dOptions> {
  readonly p: number
  declare readonly signature?: Pools<'lpPool3d', 3, K, S, 0, 1, C>

  constructor(p: number, kernelSize: K, options: LpPool3dOptions<S, C> = {}) {
    super('LPPool3d', kernelSize, options, { stride: true, ceilMode: true })
    this.p = checkNorm('LPPool3d', p)
  }

  override extraRepr(): string {
    return `p=${this.p}, ${super.extraRepr()}`
  }

  forward(x: Tensor): Tensor {
    return lpPool3d(x, this.p, this.kernelSize, this.options)
  }
}

/** The layer's own copy of a size that is valid. */
function ownSize(layer: string, outputSize: OutputSize3d): OutputSize3d {
  checkOutputSize(layer, outputSize, 3)
  return Array.isArray(outputSize) ? ([...outputSize] as unknown as OutputSize3d) : outputSize
}

/** The means of [N, C, D, H, W] or [C, D, H, W] over as many windows as `outputSize` says; null keeps a size. */
export class AdaptiveAvgPool3d<const Z extends OutputSize3d = OutputSize3d> extends Module {
  readonly outputSize: OutputSize3d
  declare readonly signature?: PoolsTo<'adaptiveAvgPool3d', 3, Z>

  constructor(outputSize: Z) {
    super()
    this.outputSize = ownSize('AdaptiveAvgPool3d', outputSize)
  }

  override extraRepr(): string {
    return settings({ outputSize: this.outputSize })
  }

  forward(x: Tensor): Tensor {
    return adaptiveAvgPool3d(x, this.outputSize)
  }
}

/**
 * The largest elements of [N, C, D, H, W] or [C, D, H, W] in as many windows as `outputSize` says; with `returnIndices`
 * [out, indices].
 */
export class AdaptiveMaxPool3d<
  const Z extends OutputSize3d = OutputSize3d,
  const R extends boolean = false,
> extends Module {
  readonly outputSize: OutputSize3d
  readonly #options: AdaptiveMaxPoolOptions
  declare readonly signature?: PoolsTo<'adaptiveMaxPool3d', 3, Z>

  constructor(outputSize: Z, options?: AdaptiveMaxPoolOptions<R>) {
    super()
    this.outputSize = ownSize('AdaptiveMaxPool3d', outputSize)
    this.#options = ownOptions<AdaptiveMaxPoolOptions>(
      'AdaptiveMaxPool3d',
      options === undefined ? {} : options,
      adaptiveMaxNames,
    )
    checkFlags('AdaptiveMaxPool3d', { returnIndices: this.#options.returnIndices })
  }

  override extraRepr(): string {
    return settings({ outputSize: this.outputSize })
  }

  forward(x: Tensor): Pooled<R> {
    return adaptiveMaxPool3d(x, this.outputSize, this.#options) as Pooled<R>
  }
}

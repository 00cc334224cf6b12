/**
 * IA3 (Liu et al., 2022) for one layer: a factor for each of its outputs, or in feed-forward layers for each of its
 * inputs.
 */
import { kindOf, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { type Adaptable, type BaseLayer, isAdaptable } from '../nn/adapter.js'
import { ones_ } from '../nn/init.js'
import { checkFlags, parameter } from '../nn/layer.js'
import { type Parameter, settings } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { mul } from '../ops/elementwise/index.js'
import { reshape } from '../ops/shape/index.js'
import { MergeableAdapter, type Merging, restoring, type Stored } from './mergeable.js'

export interface Ia3AdapterOptions {
  /** Whether inputs are multiplied instead of outputs. Default false. */
  readonly feedforward?: boolean
}

/**
 * The factors begin as ones, so that nothing changes before training. They are float32 even if the weights have 16
 * bits.
 */
export class Ia3Adapter extends MergeableAdapter {
  static override readonly stateNames: { readonly [property: string]: string } = { ia3L: 'ia3_l' }
  /** [out, 1], or for inputs [1, in]; for a convolution [1, channels, 1, 1]. */
  readonly ia3L: Parameter
  readonly feedforward: boolean
  readonly #groups: number

  constructor(layer: Adaptable, options: Ia3AdapterOptions = {}) {
    super()
    const { feedforward = false } = checkOptions('Ia3Adapter', options, { feedforward: true })
    checkFlags('Ia3Adapter', { feedforward })
    if (!isAdaptable(layer))
      throw new ValueError(
        'Ia3Adapter',
        `the layer is ${kindOf(layer)}, but must be an adaptable layer, such as Linear`,
      )
    const { adaptation } = layer
    if (adaptation.by === 'embedding' || (adaptation.by === 'linear' && adaptation.along !== undefined))
      throw new ValueError('Ia3Adapter', `IA3 adapts linear layers and convolutions, but not ${layer.constructor.name}`)
    const isConv = adaptation.by !== 'linear'
    const [ins, outs] = isConv
      ? [adaptation.inChannels, adaptation.outChannels]
      : [adaptation.inFeatures, adaptation.outFeatures]
    const { device, dtype } = adaptation.weight
    const kernel = adaptation.weight.sizes.slice(2).map(() => 1)
    const matrix = feedforward ? [1, ins] : [outs, 1]
    this.ia3L = ones_(
      parameter('Ia3Adapter', isConv ? [1, feedforward ? ins : outs, ...kernel] : matrix, {
        device,
        dtype: dtype === 'float64' ? dtype : 'float32',
      }),
    )
    this.feedforward = feedforward
    this.#groups = isConv ? adaptation.options.groups : 1
  }

  override get isSum(): boolean {
    return false
  }

  override unmergeable(): string | null {
    return this.feedforward && this.#groups > 1
      ? `it is a convolution of ${this.#groups} groups, each of which sees other inputs`
      : null
  }

  override extraRepr(): string {
    return settings({ feedforward: this.feedforward, merged: this.merged })
  }

  /** x times the factors in these sizes, in x's dtype. */
  #times(x: Tensor, sizes: readonly number[]): Tensor {
    const { ia3L } = this
    return castTo(mul(castTo(x, ia3L.dtype), reshape(ia3L, sizes)), x.dtype)
  }

  #adapted(layer: BaseLayer, x: Tensor, sizes: readonly number[]): Tensor {
    if (this.merged) return layer.forward(x)
    return this.feedforward ? layer.forward(this.#times(x, sizes)) : this.#times(layer.forward(x), sizes)
  }

  override linear(layer: BaseLayer, x: Tensor): Tensor {
    return this.#adapted(layer, x, [this.ia3L.numel])
  }

  override conv1d(layer: BaseLayer, x: Tensor): Tensor {
    return this.#adapted(layer, x, [this.ia3L.numel, 1])
  }

  override conv2d(layer: BaseLayer, x: Tensor): Tensor {
    return this.#adapted(layer, x, [this.ia3L.numel, 1, 1])
  }

  override conv3d(layer: BaseLayer, x: Tensor): Tensor {
    return this.#adapted(layer, x, [this.ia3L.numel, 1, 1, 1])
  }

  protected override merging(layer: Stored): Merging {
    const { numel } = this.ia3L
    const weight = layer.dense()
    const beside = weight.sizes.map(() => 1)
    beside[this.feedforward ? 1 : 0] = numel
    const { bias } = layer
    const scaled = this.feedforward || bias === null ? null : this.#times(bias, [numel])
    return { values: { weight: this.#times(weight, beside), bias: scaled }, undo: restoring(layer, scaled !== null) }
  }
}

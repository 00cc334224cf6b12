/** LoRA's adapters of convolutions. */
import { namedAs, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import type { Adaptable, Adaptation, BaseLayer } from '../nn/adapter.js'
import { Conv1d, Conv2d, Conv3d } from '../nn/conv.js'
import { zeros_ } from '../nn/init.js'
import type { LayerOptions } from '../nn/layer.js'
import type { Parameter } from '../nn/module.js'
import { mul } from '../ops/elementwise/index.js'
import { matmul } from '../ops/matmul.js'
import { reshape } from '../ops/shape/index.js'
import type { NormLayout } from './dora.js'
import { LoraAdapter, type LoraAdapterOptions } from './lora-adapter.js'
import { adaptationOf, placed } from './lora-layer.js'
import type { Stored } from './mergeable.js'

/** Norms of the channels of a convolution over so many dimensions. */
function channels(dims: number): NormLayout {
  const ones = new Array<number>(dims).fill(1)
  return {
    over: [1, ...ones.map((_, d) => d + 2)],
    norms: (count) => [1, count, ...ones],
    results: (count) => [count, ...ones],
  }
}

/** The adaptations of convolutions. */
type Convolution = Extract<Adaptation, { readonly by: 'conv1d' | 'conv2d' | 'conv3d' }>

/** A convolution with the adapted one's kernel, and one of a single place. */
type Convolutions<C> = readonly [a: C, b: C]

/**
 * LoRA of a convolution: a convolution with the layer's kernel to `rank` channels, then one of a single place to the
 * layer's channels. With groups the first sees all channels and the second only those of its group, as in PEFT. Such a
 * product is not a grouped weight, and cannot be merged.
 */
abstract class LoraConv<C extends Conv1d | Conv2d | Conv3d> extends LoraAdapter {
  readonly loraA: C
  readonly loraB: C
  readonly #groups: number
  readonly #layout: NormLayout

  constructor(layer: Adaptable, options: LoraAdapterOptions, by: Convolution['by']) {
    super(options)
    const op = new.target.name
    const { rank, bias = false, generator } = options
    const adaptation: Convolution = adaptationOf(op, layer, by)
    if (options.init !== undefined)
      throw new ValueError(op, `init '${options.init}' is for linear layers; leave it out`)
    const { groups } = adaptation.options
    if (options.dora && groups > 1)
      throw new ValueError(op, `DoRA has no norms for a convolution with ${groups} groups; leave out dora`)
    if (rank % groups !== 0)
      throw new ValueError(op, `rank ${rank} does not divide into the ${groups} groups of the layer`)
    this.#groups = groups
    this.#layout = channels(adaptation.weight.ndim - 2)
    const own = placed(adaptation, generator)
    ;[this.loraA, this.loraB] = namedAs(op, () => this.begin(adaptation, rank, own, bias))
    zeros_(this.loraB.weight)
    if (this.loraB.bias !== null) zeros_(this.loraB.bias)
    if (options.dora) this.beginNorms(layer)
  }

  /** Makes both convolutions. */
  protected abstract begin(of: Adaptation, rank: number, own: LayerOptions, bias: boolean): Convolutions<C>

  override get factors(): readonly [Parameter, Parameter] {
    return [this.loraA.weight, this.loraB.weight]
  }

  protected override product(a: Tensor, b: Tensor): Tensor {
    const [rank = 0, ...kernel] = a.sizes
    const [out = 0] = b.sizes
    const rows = kernel.reduce((count, size) => count * size, 1)
    return reshape(matmul(reshape(b, [out, rank]), reshape(a, [rank, rows])), [out, ...kernel])
  }

  override get factorBias(): Parameter | null {
    return this.loraB.bias
  }

  protected override get layout(): NormLayout {
    return this.#layout
  }

  override unmergeable(layer: Stored): string | null {
    return this.#groups === 1
      ? super.unmergeable(layer)
      : `it is a convolution of ${this.#groups} groups, and the product sees all channels`
  }

  protected override own(x: Tensor): Tensor {
    const inner: Tensor = this.loraA.forward(x)
    return this.loraB.bias === null
      ? this.loraB.forward(mul(inner, this.scale))
      : mul(this.loraB.forward(inner), this.scale)
  }
}

/** LoRA of a convolution over sequences, by one with its kernel to `rank` channels and one of a single step. */
export class LoraConv1d extends LoraConv<Conv1d> {
  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(layer, options, 'conv1d')
  }

  protected override begin(
    of: Adaptation & { readonly by: 'conv1d' },
    rank: number,
    own: LayerOptions,
    bias: boolean,
  ): Convolutions<Conv1d> {
    const { groups, ...window } = of.options
    return [
      new Conv1d(of.inChannels, rank, of.kernelSize, { ...own, ...window, bias: false }),
      new Conv1d(rank, of.outChannels, 1, { ...own, groups, bias }),
    ]
  }

  override conv1d(layer: BaseLayer, x: Tensor): Tensor {
    return this.adapted(layer, x)
  }
}

/** LoRA of a convolution over images, by one with its kernel to `rank` channels and one of a single pixel. */
export class LoraConv2d extends LoraConv<Conv2d> {
  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(layer, options, 'conv2d')
  }

  protected override begin(
    of: Adaptation & { readonly by: 'conv2d' },
    rank: number,
    own: LayerOptions,
    bias: boolean,
  ): Convolutions<Conv2d> {
    const { groups, ...window } = of.options
    return [
      new Conv2d(of.inChannels, rank, of.kernelSize, { ...own, ...window, bias: false }),
      new Conv2d(rank, of.outChannels, 1, { ...own, groups, bias }),
    ]
  }

  override conv2d(layer: BaseLayer, x: Tensor): Tensor {
    return this.adapted(layer, x)
  }
}

/** LoRA of a convolution over volumes, by one with its kernel to `rank` channels and one of a single voxel. */
export class LoraConv3d extends LoraConv<Conv3d> {
  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(layer, options, 'conv3d')
  }

  protected override begin(
    of: Adaptation & { readonly by: 'conv3d' },
    rank: number,
    own: LayerOptions,
    bias: boolean,
  ): Convolutions<Conv3d> {
    const { groups, ...window } = of.options
    return [
      new Conv3d(of.inChannels, rank, of.kernelSize, { ...own, ...window, bias: false }),
      new Conv3d(rank, of.outChannels, 1, { ...own, groups, bias }),
    ]
  }

  override conv3d(layer: BaseLayer, x: Tensor): Tensor {
    return this.adapted(layer, x)
  }
}

/** LoRA's adapters of linear layers, convolutions and embeddings. */
import { kindOf, namedAs, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import type { Tensor } from '../core/tensor.js'
import { type Adaptable, type Adaptation, type BaseLayer, isAdaptable } from '../nn/adapter.js'
import { Conv2d } from '../nn/conv.js'
import { normal_, zeros_ } from '../nn/init.js'
import { type LayerOptions, parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import type { Parameter } from '../nn/module.js'
import { mul, sub } from '../ops/elementwise/index.js'
import { embedding } from '../ops/indexing/index.js'
import { linear, matmul } from '../ops/matmul.js'
import { reshape, transpose } from '../ops/shape/index.js'
import { LoraAdapter, type LoraAdapterOptions, type NormLayout } from './lora-adapter.js'
import type { Stored } from './mergeable.js'

/** Norms of the rows of a matrix. */
const rows: NormLayout = { over: [1], norms: (count) => [count], results: (count) => [count] }
const columns: NormLayout = { ...rows, over: [0] }
const channels: NormLayout = {
  over: [1, 2, 3],
  norms: (count) => [1, count, 1, 1],
  results: (count) => [count, 1, 1],
}

/** The device and the dtype of new factors. */
function placed({ weight }: Adaptation, generator: Generator | undefined): LayerOptions & { readonly bias: false } {
  const dtype = weight.dtype === 'float64' ? 'float64' : 'float32'
  return { device: weight.device, dtype, bias: false, ...(generator ? { generator } : {}) }
}

function adaptationOf<B extends Adaptation['by']>(op: string, layer: unknown, by: B): Adaptation & { readonly by: B } {
  if (!isAdaptable(layer))
    throw new ValueError(op, `the layer is ${kindOf(layer)}, but must be an adaptable layer, such as Linear`)
  const { adaptation } = layer
  if (adaptation.by !== by)
    throw new ValueError(
      op,
      `the layer is ${kindOf(layer)}, which is adapted by ${adaptation.by}, but must be adapted by ${by}`,
    )
  return adaptation as Adaptation & { readonly by: B }
}

/** LoRA of a linear layer, which gives result + B A x * scale. */
export class LoraLinear extends LoraAdapter {
  readonly loraA: Linear
  readonly loraB: Linear

  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(options)
    const { rank, bias = false, generator } = options
    const adaptation = adaptationOf('LoraLinear', layer, 'linear')
    const { inFeatures, outFeatures } = adaptation
    const own = placed(adaptation, generator)
    this.loraA = namedAs('LoraLinear', () => new Linear(inFeatures, rank, own))
    this.loraB = namedAs('LoraLinear', () => new Linear(rank, outFeatures, { ...own, bias }))
    zeros_(this.loraB.weight)
    if (this.loraB.bias !== null) zeros_(this.loraB.bias)
    if (this.init !== null && this.init !== 'mica') {
      if (rank > Math.min(inFeatures, outFeatures))
        throw new ValueError(
          'LoraLinear',
          `rank is ${rank}, but a weight [${outFeatures}, ${inFeatures}] has no factors of that rank`,
        )
      this.beginWithin(layer)
    }
    if (options.dora) this.beginNorms(layer)
  }

  override get factors(): readonly [Parameter, Parameter] {
    return [this.loraA.weight, this.loraB.weight]
  }

  protected override product(a: Tensor, b: Tensor): Tensor {
    return matmul(b, a)
  }

  override get factorBias(): Parameter | null {
    return this.loraB.bias
  }

  protected override get layout(): NormLayout {
    return rows
  }

  protected override own(x: Tensor): Tensor {
    const inner: Tensor = this.loraA.forward(x)
    // The smaller tensor is scaled, unless the bias must be scaled too.
    const own: Tensor =
      this.loraB.bias === null ? this.loraB.forward(mul(inner, this.scale)) : mul(this.loraB.forward(inner), this.scale)
    const { taken } = this
    return taken === null ? own : sub(own, linear(linear(x, taken.a), taken.b))
  }

  override linear(layer: BaseLayer, x: Tensor): Tensor {
    return this.adapted(layer, x)
  }
}

/**
 * LoRA of a convolution: a convolution with the layer's kernel to `rank` channels, then one of a single pixel to the
 * layer's channels. With groups the first sees all channels and the second only those of its group, as in PEFT. Such a
 * product is not a grouped weight, and cannot be merged.
 */
export class LoraConv2d extends LoraAdapter {
  readonly loraA: Conv2d
  readonly loraB: Conv2d
  readonly #groups: number

  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(options)
    const { rank, bias = false, generator } = options
    const adaptation = adaptationOf('LoraConv2d', layer, 'conv2d')
    if (options.init !== undefined)
      throw new ValueError('LoraConv2d', `init '${options.init}' is for linear layers; leave it out`)
    const { inChannels, outChannels, kernelSize } = adaptation
    const { groups, ...window } = adaptation.options
    if (options.dora && groups > 1)
      throw new ValueError('LoraConv2d', `DoRA has no norms for a convolution with ${groups} groups; leave out dora`)
    if (rank % groups !== 0)
      throw new ValueError('LoraConv2d', `rank ${rank} does not divide into the ${groups} groups of the layer`)
    const own = placed(adaptation, generator)
    this.#groups = groups
    this.loraA = namedAs('LoraConv2d', () => new Conv2d(inChannels, rank, kernelSize, { ...own, ...window }))
    this.loraB = namedAs('LoraConv2d', () => new Conv2d(rank, outChannels, 1, { ...own, groups, bias }))
    zeros_(this.loraB.weight)
    if (this.loraB.bias !== null) zeros_(this.loraB.bias)
    if (options.dora) this.beginNorms(layer)
  }

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
    return channels
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

  override conv2d(layer: BaseLayer, x: Tensor): Tensor {
    return this.adapted(layer, x)
  }
}

/** LoRA of an embedding: rows of A transposed, times B. A begins as zeros. */
export class LoraEmbedding extends LoraAdapter {
  /** [rank, count] */
  readonly loraEmbeddingA: Parameter
  /** [features, rank] */
  readonly loraEmbeddingB: Parameter
  readonly #paddingIdx: number | null

  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(options)
    const { rank, generator } = options
    if (options.bias) throw new ValueError('LoraEmbedding', 'the factors of an embedding have no bias; leave out bias')
    const adaptation = adaptationOf('LoraEmbedding', layer, 'embedding')
    if (options.init !== undefined && options.init !== 'mica')
      throw new ValueError('LoraEmbedding', `init '${options.init}' is for linear layers; leave it out`)
    const { numEmbeddings, embeddingDim, paddingIdx } = adaptation
    const own = placed(adaptation, generator)
    this.#paddingIdx = paddingIdx
    this.loraEmbeddingA = parameter('LoraEmbedding', [rank, numEmbeddings], own)
    this.loraEmbeddingB = normal_(parameter('LoraEmbedding', [embeddingDim, rank], own), 0, 1, { generator })
    if (options.dora) this.beginNorms(layer)
  }

  override get factors(): readonly [Parameter, Parameter] {
    return [this.loraEmbeddingA, this.loraEmbeddingB]
  }

  protected override product(a: Tensor, b: Tensor): Tensor {
    return matmul(transpose(a, 0, 1), transpose(b, 0, 1))
  }

  protected override get layout(): NormLayout {
    return columns
  }

  /** Indices have no dtype to change. */
  protected override input(ids: Tensor): Tensor {
    return ids
  }

  /** Indices cannot be dropped. */
  protected override get isDropping(): boolean {
    return false
  }

  protected override own(ids: Tensor): Tensor {
    const found = embedding(ids, transpose(this.loraEmbeddingA, 0, 1), { paddingIdx: this.#paddingIdx })
    return linear(mul(found, this.scale), this.loraEmbeddingB)
  }

  override embedding(layer: BaseLayer, ids: Tensor): Tensor {
    return this.adapted(layer, ids)
  }
}

const kinds = { linear: LoraLinear, conv2d: LoraConv2d, embedding: LoraEmbedding }

/** The LoRA adapter for a layer, by the way it is adapted. */
export function loraFor(layer: Adaptable, options: LoraAdapterOptions): LoraAdapter {
  return new kinds[layer.adaptation.by](layer, options)
}

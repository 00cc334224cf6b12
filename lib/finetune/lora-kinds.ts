/** LoRA's adapters of linear layers and embeddings, and the choice of the kind for a layer. */
import { namedAs, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import type { Adaptable, BaseLayer } from '../nn/adapter.js'
import { normal_, zeros_ } from '../nn/init.js'
import { parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import type { Parameter } from '../nn/module.js'
import { mul, sub } from '../ops/elementwise/index.js'
import { embedding } from '../ops/indexing/index.js'
import { linear, matmul } from '../ops/matmul.js'
import { transpose } from '../ops/shape/index.js'
import type { NormLayout } from './dora.js'
import { LoraAdapter, type LoraAdapterOptions } from './lora-adapter.js'
import { LoraConv1d, LoraConv2d, LoraConv3d } from './lora-conv.js'
import { adaptationOf, placed } from './lora-layer.js'

/** Norms of the rows of a matrix. */
const rows: NormLayout = { over: [1], norms: (count) => [count], results: (count) => [count] }
const columns: NormLayout = { ...rows, over: [0] }
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

const kinds = {
  linear: LoraLinear,
  conv1d: LoraConv1d,
  conv2d: LoraConv2d,
  conv3d: LoraConv3d,
  embedding: LoraEmbedding,
}

/** The LoRA adapter for a layer, by the way it is adapted. */
export function loraFor(layer: Adaptable, options: LoraAdapterOptions): LoraAdapter {
  return new kinds[layer.adaptation.by](layer, options)
}

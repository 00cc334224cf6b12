/** LoRA (Hu et al., 2021) beside one layer: a product of two small factors that is added to the layer's weight. */
import { autocastDType } from '../autograd/autocast.js'
import { kindOf, namedAs, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/activation.js'
import { type Adaptable, type Adaptation, Adapter, type BaseLayer, isAdaptable } from '../nn/adapter.js'
import { Conv2d } from '../nn/conv.js'
import { normal_, zeros_ } from '../nn/init.js'
import { checkDropout, checkNumber, checkSizes, type LayerOptions, parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { type Parameter, settings } from '../nn/module.js'
import { guardState } from '../nn/state.js'
import { castTo } from '../ops/convert.js'
import { add, mul } from '../ops/elementwise/index.js'
import { embedding } from '../ops/indexing/index.js'
import { linear, matmul } from '../ops/matmul.js'
import { clone, reshape, transpose } from '../ops/shape/index.js'

/** The product that is in a layer's weight, as it was when it was added, and which of its factors were learning. */
interface Folded {
  readonly factors: readonly [Tensor, Tensor]
  readonly scale: number
  readonly learned: readonly Tensor[]
}

export interface LoraAdapterOptions {
  readonly rank: number
  /** Factor of the product. Default 1. */
  readonly scale?: number
  /** Dropout of the product's input in training. Default 0. The indices of an embedding have none. */
  readonly dropout?: number
  /** For the initial weights. */
  readonly generator?: Generator
}

/**
 * The LoRA adapter of one layer: its result plus the product of two factors and the input. One factor begins as zeros, so that
 * nothing changes before training. Beside 16-bit weights the factors are float32, because small steps vanish in 16 bits; the
 * result has the dtype of the layer's.
 */
export abstract class LoraAdapter extends Adapter {
  static override readonly stateNames: { readonly [property: string]: string } = {
    loraA: 'lora_A',
    loraB: 'lora_B',
    loraEmbeddingA: 'lora_embedding_A',
    loraEmbeddingB: 'lora_embedding_B',
    dropout: 'lora_dropout',
  }
  readonly rank: number
  dropout: Dropout
  #scale: number
  #folded: Folded | null = null

  constructor(options: LoraAdapterOptions) {
    super()
    const op = new.target.name
    const {
      rank,
      scale = 1,
      dropout = 0,
      generator,
    } = checkOptions(op, options, {
      rank: true,
      scale: true,
      dropout: true,
      generator: true,
    })
    checkSizes(op, { rank })
    checkNumber(op, 'scale', scale)
    checkDropout(op, 'dropout', dropout)
    checkGenerator(op, generator)
    this.rank = rank
    this.#scale = scale
    this.dropout = new Dropout(dropout, generator ? { generator } : {})
  }

  /** Factor of the product. */
  get scale(): number {
    return this.#scale
  }

  /** Whether the product is in the layer's weight already. */
  override get merged(): boolean {
    return this.#folded !== null
  }

  /** A, which the input meets first, and B. */
  abstract get factors(): readonly [Parameter, Parameter]

  /** The product of factors in the layout of the layer's weight, not scaled. */
  protected abstract product(a: Tensor, b: Tensor): Tensor

  /** Why the product cannot be a part of the layer's weight; null: it can. */
  get unmergeable(): string | null {
    return null
  }

  override extraRepr(): string {
    return settings({ rank: this.rank, scale: this.scale, merged: this.merged })
  }

  /** The addend to the layer's weight, in its layout (`BaseLayer.dense`). */
  delta(): Tensor {
    return mul(this.product(...this.factors), this.scale)
  }

  /** Takes over the settings of another adapter of the same rank. */
  configure(scale: number, dropout: number): void {
    this.#scale = scale
    const { generator } = this.dropout
    this.dropout = new Dropout(dropout, generator ? { generator } : {}).train(this.training)
  }

  /**
   * For mergeLora: what is to be added to the weight. The factors are noted and stop learning, because a merged product must
   * leave the weight as it came, whatever happens to them.
   */
  fold(): Tensor {
    const { factors, scale } = this
    const delta = this.delta()
    const copy = (factor: Tensor) => keep(clone(factor.detach()))
    const noted = outsideFrames(() => [copy(factors[0]), copy(factors[1])] as const)
    const learned = factors.filter(({ requiresGrad }) => requiresGrad)
    for (const factor of learned) factor.requiresGrad = false
    this.#folded = { factors: noted, scale, learned }
    return delta
  }

  /** For unmergeLora: what was added. */
  unfold(): Tensor {
    const { factors, scale, learned } = this.#folded as Folded
    for (const factor of learned) factor.requiresGrad = true
    this.#folded = null
    return mul(this.product(...factors), scale)
  }

  /** A state that holds the product in the weight and beside it would add it twice where it is loaded. */
  [guardState](op: string): void {
    if (this.merged)
      throw new ValueError(
        op,
        'a LoRA adapter is merged into its weight; call unmergeLora first, or removeLora for the merged weights alone',
      )
  }

  /** An input in the factors' dtype; autocast has its own mind. */
  protected input(x: Tensor): Tensor {
    const { dtype } = this.factors[0]
    return x.dtype === dtype || autocastDType() !== null ? x : castTo(x, dtype)
  }

  /** The layer's result plus the adapter's, summed in the wider dtype and rounded to the layer's once. */
  protected plus(base: Tensor, own: Tensor): Tensor {
    return base.dtype === own.dtype ? add(base, own) : castTo(add(castTo(base, own.dtype), own), base.dtype)
  }
}

/** Where and in which dtype the factors are made. */
function placed({ weight }: Adaptation, generator: Generator | undefined): LayerOptions & { readonly bias: false } {
  const dtype = weight.dtype === 'float64' ? 'float64' : 'float32'
  return { device: weight.device, dtype, bias: false, ...(generator ? { generator } : {}) }
}

function adaptationOf<B extends Adaptation['by']>(op: string, layer: unknown, by: B): Adaptation & { readonly by: B } {
  if (!isAdaptable(layer))
    throw new ValueError(op, `the layer is ${kindOf(layer)}, but must be one that can be adapted, as Linear is`)
  const { adaptation } = layer
  if (adaptation.by !== by)
    throw new ValueError(
      op,
      `the layer is ${kindOf(layer)}, which is adapted by ${adaptation.by}, but must be by ${by}`,
    )
  return adaptation as Adaptation & { readonly by: B }
}

/** Beside a linear layer: result + B A x * scale. */
export class LoraLinear extends LoraAdapter {
  readonly loraA: Linear
  readonly loraB: Linear

  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(options)
    const { rank, generator } = options
    const adaptation = adaptationOf('LoraLinear', layer, 'linear')
    const { inFeatures, outFeatures } = adaptation
    const own = placed(adaptation, generator)
    this.loraA = namedAs('LoraLinear', () => new Linear(inFeatures, rank, own))
    this.loraB = namedAs('LoraLinear', () => new Linear(rank, outFeatures, own))
    zeros_(this.loraB.weight)
  }

  override get factors(): readonly [Parameter, Parameter] {
    return [this.loraA.weight, this.loraB.weight]
  }

  protected override product(a: Tensor, b: Tensor): Tensor {
    return matmul(b, a)
  }

  override linear(layer: BaseLayer, x: Tensor): Tensor {
    const base = layer.forward(x)
    if (this.merged) return base
    const inner: Tensor = this.loraA.forward(this.dropout.forward(this.input(x)))
    // Scaled where it is small.
    return this.plus(base, this.loraB.forward(mul(inner, this.scale)))
  }
}

/**
 * Beside a convolution: one with the layer's kernel to `rank` channels, and one of a single pixel to the layer's. With groups
 * the first sees all channels and the second only those of its group, as in PEFT, so that the product is none of a grouped
 * weight and cannot be merged.
 */
export class LoraConv2d extends LoraAdapter {
  readonly loraA: Conv2d
  readonly loraB: Conv2d
  readonly #groups: number

  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(options)
    const { rank, generator } = options
    const adaptation = adaptationOf('LoraConv2d', layer, 'conv2d')
    const { inChannels, outChannels, kernelSize } = adaptation
    const { groups, ...window } = adaptation.options
    if (rank % groups !== 0)
      throw new ValueError('LoraConv2d', `rank ${rank} does not divide into the ${groups} groups of the layer`)
    const own = placed(adaptation, generator)
    this.#groups = groups
    this.loraA = namedAs('LoraConv2d', () => new Conv2d(inChannels, rank, kernelSize, { ...own, ...window }))
    this.loraB = namedAs('LoraConv2d', () => new Conv2d(rank, outChannels, 1, { ...own, groups }))
    zeros_(this.loraB.weight)
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

  override get unmergeable(): string | null {
    return this.#groups === 1
      ? null
      : `it is a convolution of ${this.#groups} groups, and the product sees all channels`
  }

  override conv2d(layer: BaseLayer, x: Tensor): Tensor {
    const base = layer.forward(x)
    if (this.merged) return base
    const inner = this.loraA.forward(this.dropout.forward(this.input(x)))
    return this.plus(base, this.loraB.forward(mul(inner, this.scale)))
  }
}

/** Beside an embedding: rows of A transposed, times B. A begins as zeros. */
export class LoraEmbedding extends LoraAdapter {
  /** [rank, count] */
  readonly loraEmbeddingA: Parameter
  /** [features, rank] */
  readonly loraEmbeddingB: Parameter
  readonly #paddingIdx: number | null

  constructor(layer: Adaptable, options: LoraAdapterOptions) {
    super(options)
    const { rank, generator } = options
    const adaptation = adaptationOf('LoraEmbedding', layer, 'embedding')
    const { numEmbeddings, embeddingDim, paddingIdx } = adaptation
    const own = placed(adaptation, generator)
    this.#paddingIdx = paddingIdx
    this.loraEmbeddingA = parameter('LoraEmbedding', [rank, numEmbeddings], own)
    this.loraEmbeddingB = normal_(parameter('LoraEmbedding', [embeddingDim, rank], own), 0, 1, { generator })
  }

  override get factors(): readonly [Parameter, Parameter] {
    return [this.loraEmbeddingA, this.loraEmbeddingB]
  }

  protected override product(a: Tensor, b: Tensor): Tensor {
    return matmul(transpose(a, 0, 1), transpose(b, 0, 1))
  }

  override embedding(layer: BaseLayer, ids: Tensor): Tensor {
    const base = layer.forward(ids)
    if (this.merged) return base
    const rows = embedding(ids, transpose(this.loraEmbeddingA, 0, 1), { paddingIdx: this.#paddingIdx })
    return this.plus(base, linear(mul(rows, this.scale), this.loraEmbeddingB))
  }
}

const kinds = { linear: LoraLinear, conv2d: LoraConv2d, embedding: LoraEmbedding }

/** The LoRA adapter for a layer, by how it is adapted. */
export function loraFor(layer: Adaptable, options: LoraAdapterOptions): LoraAdapter {
  return new kinds[layer.adaptation.by](layer, options)
}

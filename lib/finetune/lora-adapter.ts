/**
 * LoRA (Hu et al., 2021) for one layer: a product of two small factors that is added to the layer's weight. DoRA (Liu
 * et al., 2024) also learns the norms of the weights behind each output.
 */
import { autocastDType, withAutocast } from '../autograd/autocast.js'
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import { checkGenerator, type Generator } from '../core/generator.js'
import { checkOptions } from '../core/options.js'
import { scope } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import type { BaseLayer } from '../nn/adapter.js'
import { Dropout } from '../nn/dropout.js'
import { reachOf } from '../nn/invocation.js'
import { checkDropout, checkFlags, checkNumber, checkSizes } from '../nn/layer.js'
import { Buffer, type Parameter, settings } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { add, div, mul, sqrt, sub } from '../ops/elementwise/index.js'
import { copyInto } from '../ops/inplace.js'
import { sum } from '../ops/reduce/index.js'
import { reshape } from '../ops/shape/index.js'
import { DoraMagnitude, type NormLayout } from './dora.js'
import { leadingFactors } from './leading.js'
import { type LayerValues, MergeableAdapter, type Merging, noted, restoring, type Stored } from './mergeable.js'
import { bestFactors } from './singular.js'

export interface LoraAdapterOptions {
  readonly rank: number
  /** Factor of the product. Default 1. */
  readonly scale?: number
  /** Dropout of the product's input in training. Default 0. An embedding's indices are never dropped. */
  readonly dropout?: number
  /** Whether the second factor has a bias, which learns beside the layer's. Default false. Not for an embedding. */
  readonly bias?: boolean
  /** Whether norms also learn (DoRA). Default false. */
  readonly dora?: boolean
  /**
   * The initial factors of a linear layer. 'pissa': the layer's largest singular values with their vectors (Meng et
   * al., 2024). 'olora': orthonormal directions of its weight's first columns, and the coordinates of all columns in
   * these (Büyükakyüz, 2024). The initial product is subtracted from the layer's result, so that nothing changes before
   * training. 'mica': factors that come from a file, of which only A learns (MiCA).
   */
  readonly init?: LoraInit
  /** The tokens from whose last occurrence on the product is added (aLoRA). Default: it is added everywhere. */
  readonly invocationTokens?: readonly number[]
  /** The generator of the initial weights. */
  readonly generator?: Generator
}

/** Initialisations that move a part of the layer's weight into the factors. */
export const loraInits = ['pissa', 'olora'] as const
/** 'mica' moves nothing, but B stays as it began. */
export type LoraInit = (typeof loraInits)[number] | 'mica'

/** Throws for any other initialisation. */
export function checkInit(op: string, init: unknown): void {
  if (init !== undefined && init !== 'mica' && !loraInits.some((each) => each === init))
    throw new ValueError(op, `init is ${shown(init)}, but must be one of ${loraInits.join(', ')}, or left out`)
}

/** a + b in the wider dtype of the two, rounded to a's. */
function plus(a: Tensor, b: Tensor): Tensor {
  return a.dtype === b.dtype ? add(a, b) : castTo(add(castTo(a, b.dtype), b), a.dtype)
}

/**
 * The LoRA adapter of one layer: its result plus the product of two factors and the input. One factor begins as zeros,
 * so that nothing changes before training. The factors are float32 even if the weights have 16 bits, because small
 * steps vanish in 16 bits. The result has the dtype of the layer's result.
 */
export abstract class LoraAdapter extends MergeableAdapter {
  static override readonly stateNames: { readonly [property: string]: string } = {
    loraA: 'lora_A',
    loraB: 'lora_B',
    loraEmbeddingA: 'lora_embedding_A',
    loraEmbeddingB: 'lora_embedding_B',
    loraMagnitudeVector: 'lora_magnitude_vector',
    dropout: 'lora_dropout',
  }
  readonly rank: number
  /** The initialisation that took a part of the layer's weight, or null. */
  readonly init: LoraInit | null
  /** The tokens from whose last occurrence on the product is added, or null if it is added everywhere. */
  readonly invocationTokens: readonly number[] | null
  dropout: Dropout
  /** The norms of DoRA, or null for plain LoRA. */
  loraMagnitudeVector: DoraMagnitude | null = null
  /**
   * The factors of the part that the initialisation took from the layer, not scaled: A0 [rank, in] and B0 [out, rank].
   * Null if it took nothing.
   */
  protected taken: { readonly a: Buffer; readonly b: Buffer } | null = null
  #scale: number

  constructor(options: LoraAdapterOptions) {
    super()
    const op = new.target.name
    const own = checkOptions(op, options, {
      rank: true,
      scale: true,
      dropout: true,
      bias: true,
      dora: true,
      init: true,
      invocationTokens: true,
      generator: true,
    })
    const { rank, scale = 1, dropout = 0, bias = false, dora = false, generator } = own
    checkSizes(op, { rank })
    checkNumber(op, 'scale', scale)
    checkDropout(op, 'dropout', dropout)
    checkFlags(op, { bias, dora })
    checkGenerator(op, generator)
    checkInit(op, own.init)
    if (bias && dora) throw new ValueError(op, 'DoRA has no separate bias, as in PEFT; leave out bias or dora')
    this.rank = rank
    this.#scale = scale
    this.init = own.init ?? null
    this.invocationTokens = own.invocationTokens ?? null
    this.dropout = new Dropout(dropout, generator ? { generator } : {})
  }

  /** Factor of the product. */
  get scale(): number {
    return this.#scale
  }

  override get isSum(): boolean {
    return this.loraMagnitudeVector === null
  }

  /** A, by which the input is multiplied first, and B. */
  abstract get factors(): readonly [Parameter, Parameter]

  /** Sets whether the factors want gradients. MiCA's B never does, because it holds fixed directions of the weight. */
  override requiresGrad_(value = true): this {
    super.requiresGrad_(value)
    if (this.init === 'mica') this.factors[1].requiresGrad = false
    return this
  }

  /** The bias of B, or null. */
  get factorBias(): Parameter | null {
    return null
  }

  /** The product of factors in the layout of the layer's weight, not scaled. */
  protected abstract product(a: Tensor, b: Tensor): Tensor

  /** The factors' part of the result for an input in their dtype, scaled. */
  protected abstract own(x: Tensor): Tensor

  /** The layout of DoRA's norms beside the weight and beside results. */
  protected abstract get layout(): NormLayout

  /**
   * Makes the norms, for constructors. They begin as the norms of the layer's weight, so that nothing changes before
   * training.
   */
  protected beginNorms(layer: Stored): void {
    const norms = noGrad(() => {
      const found = this.#norms(castTo(layer.dense(), this.factors[0].dtype))
      return reshape(found, this.layout.norms(found.numel)).clone()
    })
    this.loraMagnitudeVector = new DoraMagnitude(norms)
  }

  /** Norms of a weight, with sizes that spread over it. */
  #norms(weight: Tensor): Tensor {
    return sqrt(sum(mul(weight, weight), this.layout.over, { keepdim: true }))
  }

  /**
   * The factor by which DoRA multiplies each output. The norms are constants to the gradient, as in the paper (4.3).
   */
  #share(layer: Stored, { weight }: DoraMagnitude): Tensor {
    const norms = scope(() =>
      noGrad(() => withAutocast(null, () => this.#norms(add(castTo(layer.dense(), weight.dtype), this.delta())))),
    )
    const sizes = this.layout.results(weight.numel)
    return div(reshape(weight, sizes), reshape(norms, sizes))
  }

  /** Initialises the factors as `init` says, from a weight [out, in], for constructors. */
  protected beginWithin(layer: Stored): void {
    noGrad(() => {
      const [a, b] = this.factors
      const isSingular = this.init === 'pissa'
      const found = isSingular ? bestFactors(layer.dense(), this.rank, 0.5) : leadingFactors(layer.dense(), this.rank)
      let [a0, b0] = [castTo(found[0], a.dtype), castTo(found[1], b.dtype)]
      if (isSingular) {
        // Only the factors are scaled, half in each, because the subtracted part is kept separately.
        const half = Math.sqrt(Math.abs(this.#scale))
        copyInto(a, div(a0, half), 'LoraLinear')
        copyInto(b, div(b0, half * Math.sign(this.#scale)), 'LoraLinear')
      } else {
        copyInto(a, a0, 'LoraLinear')
        copyInto(b, b0, 'LoraLinear')
        a0 = mul(a0, this.#scale)
      }
      this.taken = { a: new Buffer(a0, { persistent: false }), b: new Buffer(b0, { persistent: false }) }
    })
  }

  /** The part that the initialisation took from the layer's weight, in its layout, or null. */
  residue(): Tensor | null {
    return this.taken === null ? null : this.product(this.taken.a, this.taken.b)
  }

  override unmergeable({ bias }: Stored): string | null {
    if (this.invocationTokens !== null) return 'the adapter acts only after its invocationTokens'
    return this.factorBias === null || bias !== null ? null : 'the adapter has a bias, and the layer none to add it to'
  }

  override extraRepr(): string {
    return settings({ rank: this.rank, scale: this.scale, dora: !this.isSum, merged: this.merged })
  }

  /** The addend to the layer's weight before DoRA's norms, in its layout (`BaseLayer.dense`). */
  delta(): Tensor {
    return this.#addend(this.factors[0], this.factors[1], this.scale)
  }

  #addend(a: Tensor, b: Tensor, scale: number): Tensor {
    const product = mul(this.product(a, b), scale)
    const taken = this.residue()
    return taken === null ? product : sub(product, taken)
  }

  /** Takes over the settings of another adapter of the same rank. */
  configure(scale: number, dropout: number): void {
    this.#scale = scale
    const { generator } = this.dropout
    this.dropout = new Dropout(dropout, generator ? { generator } : {}).train(this.training)
  }

  protected override merging(layer: Stored): Merging {
    const { loraMagnitudeVector: magnitude, factorBias, scale } = this
    if (magnitude !== null) {
      const weight = castTo(layer.dense(), magnitude.weight.dtype)
      const moved: Tensor = add(weight, this.delta())
      const norms = this.#norms(moved)
      const values = { weight: mul(moved, div(reshape(magnitude.weight, norms.sizes), norms)), bias: null }
      return { values, undo: restoring(layer, false) }
    }
    const [a, b] = [noted(this.factors[0]), noted(this.factors[1])]
    const offset = factorBias === null ? null : noted(factorBias)
    const added =
      (sign: 1 | -1) =>
      (to: Stored): LayerValues => {
        const weight = to.dense()
        const addend = castTo(this.#addend(a, b, scale).to(weight.device), weight.dtype)
        const { bias } = to
        return {
          weight: add(weight, sign === 1 ? addend : mul(addend, -1)),
          bias: offset === null || bias === null ? null : plus(bias, mul(offset.to(bias.device), sign * scale)),
        }
      }
    return { values: added(1)(layer), undo: added(-1) }
  }

  /** The layer's result with the adapter's part. */
  protected adapted(layer: BaseLayer, x: Tensor): Tensor {
    if (this.merged) return layer.forward(x)
    const { loraMagnitudeVector: magnitude } = this
    const dropped = this.isDropping ? this.dropout.forward(this.input(x)) : this.input(x)
    const own = this.#reaching(this.own(dropped))
    if (magnitude === null) return plus(layer.forward(x), own)
    const share = this.#share(layer, magnitude)
    const base = layer.product(this.isDropping ? castTo(dropped, x.dtype) : x)
    const whole: Tensor = mul(add(castTo(base, own.dtype), own), share)
    // With dropout the layer's own result uses the whole input, and DoRA's addition uses the dropped one.
    if (this.isDropping) return plus(layer.forward(x), sub(whole, base))
    const { bias } = layer
    const summed = bias === null ? whole : add(whole, reshape(bias, this.layout.results(bias.numel)))
    return castTo(summed, base.dtype)
  }

  /** The factors' part [B, T, out] in the columns that the invocation reaches, and 0 in others. */
  #reaching(own: Tensor): Tensor {
    if (this.invocationTokens === null) return own
    const reach = reachOf(this.invocationTokens)
    return mul(own, reach === null ? 0 : castTo(reach, own.dtype))
  }

  /** An input in the factors' dtype. Under autocast that decides the dtype. */
  protected input(x: Tensor): Tensor {
    const { dtype } = this.factors[0]
    return x.dtype === dtype || autocastDType() !== null ? x : castTo(x, dtype)
  }

  /** Whether inputs are dropped now. */
  protected get isDropping(): boolean {
    return this.training && this.dropout.p > 0
  }
}

/** Transformer blocks of encoders and decoders (Vaswani et al., 2017), modelled on PyTorch's. */
import { kindOf, namedAs, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { gelu, relu } from '../ops/elementwise/activations.js'
import { add } from '../ops/elementwise/index.js'
import { type AttentionInputs, MultiheadAttention } from './attention.js'
import { Dropout } from './dropout.js'
import {
  checkDropout,
  checkFlags,
  checkLayer,
  checkNumber,
  checkSizes,
  type LayerOptions,
  layerOptions,
} from './layer.js'
import { Linear } from './linear.js'
import { type Model, Module, settings } from './module.js'
import { LayerNorm } from './norm.js'

/**
 * The activation between the two linear layers of a block: a name, a function, or a module, whose parameters then
 * belong to the block.
 */
export type Activation = 'relu' | 'gelu' | Model | ((x: Tensor) => Tensor)

export interface TransformerLayerOptions extends LayerOptions {
  /** Default 2048. */
  readonly dimFeedforward?: number
  /** Default 0.1. */
  readonly dropout?: number
  /** Default 'relu'. */
  readonly activation?: Activation
  /** Normalises before attention and feed-forward (pre-norm) instead of after. Default false, as in PyTorch. */
  readonly normFirst?: boolean
  readonly layerNormEps?: number
  readonly bias?: boolean
  /** Whether sequences are [B, T, dModel] rather than [T, B, dModel]. Default TRUE; PyTorch's default is false. */
  readonly batchFirst?: boolean
}

export type TransformerEncoderLayerOptions = TransformerLayerOptions
export type TransformerDecoderLayerOptions = TransformerLayerOptions

const transformerLayerOptions: OptionNames<TransformerLayerOptions> = {
  ...layerOptions,
  dimFeedforward: true,
  dropout: true,
  activation: true,
  normFirst: true,
  layerNormEps: true,
  bias: true,
  batchFirst: true,
}

/** The common part of both kinds of blocks: a feed-forward net, and branches, each with a residual and a norm. */
abstract class Block extends Module {
  readonly selfAttn: MultiheadAttention
  readonly linear1: Linear
  readonly dropout: Dropout
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly dropout1: Dropout
  readonly dropout2: Dropout
  readonly normFirst: boolean
  readonly activation: Activation

  constructor(op: string, dModel: number, nhead: number, options: TransformerLayerOptions) {
    super()
    const own = checkLayer(op, options, transformerLayerOptions)
    const {
      dimFeedforward = 2048,
      dropout = 0.1,
      activation = 'relu',
      normFirst = false,
      layerNormEps = 1e-5,
      batchFirst = true,
      ...layer
    } = own
    checkSizes(op, { dModel, nhead, dimFeedforward })
    checkFlags(op, { normFirst, bias: layer.bias, batchFirst })
    checkDropout(op, 'dropout', dropout)
    checkNumber(op, 'layerNormEps', layerNormEps, 0)
    if (dModel % nhead !== 0) throw new ValueError(op, `dModel ${dModel} does not divide into ${nhead} heads`)
    if (
      !(
        activation === 'relu' ||
        activation === 'gelu' ||
        activation instanceof Module ||
        typeof activation === 'function'
      )
    )
      throw new ValueError(
        op,
        `activation is ${shown(activation)}, but must be 'relu', 'gelu', a function of a tensor, or a module`,
      )
    const part = <M>(make: () => M) => namedAs(op, make)
    const drop = () => new Dropout(dropout, layer.generator ? { generator: layer.generator } : {})
    const norm = () => part(() => new LayerNorm(dModel, { ...layer, eps: layerNormEps }))
    this.selfAttn = part(() => new MultiheadAttention(dModel, nhead, { ...layer, dropout, batchFirst }))
    this.linear1 = part(() => new Linear(dModel, dimFeedforward, layer))
    this.dropout = drop()
    this.linear2 = part(() => new Linear(dimFeedforward, dModel, layer))
    this.norm1 = norm()
    this.norm2 = norm()
    this.dropout1 = drop()
    this.dropout2 = drop()
    this.normFirst = normFirst
    this.activation = activation
  }

  override extraRepr(): string {
    const { normFirst, activation } = this
    const name = typeof activation === 'string' ? activation : kindOf(activation)
    return settings({ normFirst, ...(activation instanceof Module ? {} : { activation: name }) })
  }

  protected feed(x: Tensor): Tensor {
    return this.linear2.forward(this.dropout.forward(this.#activate(this.linear1.forward(x))))
  }

  #activate(x: Tensor): Tensor {
    const { activation } = this
    if (activation === 'relu') return relu(x)
    if (activation === 'gelu') return gelu(x)
    return typeof activation === 'function' ? activation(x) : activation.forward(x)
  }

  /** Adds a branch's result to x, and normalises before or after. */
  protected branch(x: Tensor, norm: LayerNorm, dropout: Dropout, run: (x: Tensor) => Tensor): Tensor {
    if (this.normFirst) return add(x, dropout.forward(run(norm.forward(x))))
    return norm.forward(add(x, dropout.forward(run(x))))
  }
}

/** The inputs of MultiheadAttention, under PyTorch's names. In a bool mask TRUE means MUST NOT ATTEND. */
export interface EncoderInputs extends Pick<AttentionInputs, 'offset' | 'window' | 'lengths'> {
  /** [T, T], [B * heads, T, T], or four dimensions that broadcast to [B, heads, T, T]. True means must not attend. */
  readonly srcMask?: Tensor | null
  /** [B, T]. True marks a place to ignore, such as padding. */
  readonly srcKeyPaddingMask?: Tensor | null
  /** Lets each place attend only to those up to itself, in addition to the masks. Default false. */
  readonly isCausal?: boolean
}

const encoderInputNames: OptionNames<EncoderInputs> = {
  srcMask: true,
  srcKeyPaddingMask: true,
  isCausal: true,
  offset: true,
  window: true,
  lengths: true,
}

/** A transformer block over [B, T, dModel]: self-attention and a feed-forward net, each with a residual and a norm. */
export class TransformerEncoderLayer extends Block {
  constructor(dModel: number, nhead: number, options: TransformerEncoderLayerOptions = {}) {
    super('TransformerEncoderLayer', dModel, nhead, options)
  }

  /**
   * Takes x [B, T, dModel], or [T, B, dModel] if `batchFirst` is false, or [T, dModel]. The result has the same shape.
   */
  forward(x: Tensor, inputs: EncoderInputs = {}): Tensor {
    const op = 'TransformerEncoderLayer.forward'
    const { srcMask = null, srcKeyPaddingMask = null, ...whom } = ownOptions(op, inputs, encoderInputNames)
    const masks = { attnMask: srcMask, keyPaddingMask: srcKeyPaddingMask, ...whom }
    const attended = this.branch(x, this.norm1, this.dropout1, (y) => this.selfAttn.forward(y, y, y, masks))
    return this.branch(attended, this.norm2, this.dropout2, (y) => this.feed(y))
  }
}

/**
 * Masks of the target and of the memory, with the meaning of an encoder block's. In a bool mask TRUE means MUST NOT
 * ATTEND.
 */
export interface DecoderInputs {
  readonly tgtMask?: Tensor | null
  /** [T, S], where S is the memory's number of positions. */
  readonly memoryMask?: Tensor | null
  readonly tgtKeyPaddingMask?: Tensor | null
  /** [B, S] */
  readonly memoryKeyPaddingMask?: Tensor | null
  /** Lets each place of the target attend only to those up to itself, in addition to the masks. Default false. */
  readonly tgtIsCausal?: boolean
  /** The same for places of the memory. Default false. */
  readonly memoryIsCausal?: boolean
  /** With tgtIsCausal, the most places up to its own that a place of the target sees. Default: all. */
  readonly tgtWindow?: number | undefined
  /** int32 [B]: the number of real places in each row. */
  readonly tgtLengths?: Tensor | null
  readonly memoryLengths?: Tensor | null
}

const decoderInputNames: OptionNames<DecoderInputs> = {
  tgtMask: true,
  memoryMask: true,
  tgtKeyPaddingMask: true,
  memoryKeyPaddingMask: true,
  tgtIsCausal: true,
  memoryIsCausal: true,
  tgtWindow: true,
  tgtLengths: true,
  memoryLengths: true,
}

/**
 * A decoder's block over the target [B, T, dModel] and the memory [B, S, dModel]. It has self-attention, attention to
 * the memory and a feed-forward net, each with a residual and a norm.
 */
export class TransformerDecoderLayer extends Block {
  readonly multiheadAttn: MultiheadAttention
  readonly norm3: LayerNorm
  readonly dropout3: Dropout

  constructor(dModel: number, nhead: number, options: TransformerDecoderLayerOptions = {}) {
    const op = 'TransformerDecoderLayer'
    super(op, dModel, nhead, options)
    const { dropout = 0.1, layerNormEps = 1e-5, batchFirst = true, device, dtype, generator, bias } = options
    const layer = {
      ...(device === undefined ? {} : { device }),
      ...(dtype === undefined ? {} : { dtype }),
      ...(generator === undefined ? {} : { generator }),
      ...(bias === undefined ? {} : { bias }),
    }
    this.multiheadAttn = namedAs(op, () => new MultiheadAttention(dModel, nhead, { ...layer, dropout, batchFirst }))
    this.norm3 = namedAs(op, () => new LayerNorm(dModel, { ...layer, eps: layerNormEps }))
    this.dropout3 = new Dropout(dropout, generator ? { generator } : {})
  }

  /**
   * Takes tgt [B, T, dModel] and memory [B, S, dModel], or [T, B, dModel] and [S, B, dModel] if `batchFirst` is false.
   * The result has the shape of tgt.
   */
  forward(tgt: Tensor, memory: Tensor, inputs: DecoderInputs = {}): Tensor {
    const given = checkOptions('TransformerDecoderLayer.forward', inputs, decoderInputNames)
    const own: AttentionInputs = {
      attnMask: given.tgtMask ?? null,
      keyPaddingMask: given.tgtKeyPaddingMask ?? null,
      isCausal: given.tgtIsCausal ?? false,
      window: given.tgtWindow,
      lengths: given.tgtLengths ?? null,
    }
    const other: AttentionInputs = {
      attnMask: given.memoryMask ?? null,
      keyPaddingMask: given.memoryKeyPaddingMask ?? null,
      isCausal: given.memoryIsCausal ?? false,
      lengths: given.memoryLengths ?? null,
    }
    const attended = this.branch(tgt, this.norm1, this.dropout1, (y) => this.selfAttn.forward(y, y, y, own))
    const crossed = this.branch(attended, this.norm2, this.dropout2, (y) =>
      this.multiheadAttn.forward(y, memory, memory, other),
    )
    return this.branch(crossed, this.norm3, this.dropout3, (y) => this.feed(y))
  }
}

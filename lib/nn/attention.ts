/** Multi-head attention and transformer blocks. */
import { ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { scaledDotProductAttention } from '../ops/attention.js'
import { gelu, relu } from '../ops/elementwise/activations.js'
import { add } from '../ops/elementwise/index.js'
import { linear } from '../ops/matmul.js'
import { checkProbability } from '../ops/random.js'
import { chunk, narrow, reshape, transpose } from '../ops/shape.js'
import { Dropout } from './activation.js'
import { xavierUniform_, zeros_ } from './init.js'
import { checkSizes, type LayerOptions, layerOptions, parameter } from './layer.js'
import { Linear } from './linear.js'
import { Module, type Parameter } from './module.js'
import { LayerNorm } from './norm.js'

export interface MultiheadAttentionOptions extends LayerOptions {
  readonly bias?: boolean
  /** Of the attention weights, in training. */
  readonly dropout?: number
}

export interface AttentionInputs {
  /** bool (true: take part) or added to the scores; broadcast to [B, heads, Tq, Tk]. */
  readonly attnMask?: Tensor | null
  readonly isCausal?: boolean
}

const inputNames: OptionNames<AttentionInputs> = { attnMask: true, isCausal: true }

/** Attention of several heads (Vaswani et al., 2017) over [B, T, embedDim]; state names are PyTorch's. */
export class MultiheadAttention extends Module {
  readonly embedDim: number
  readonly numHeads: number
  readonly dropout: number
  /** Queries, keys and values in one matrix [3 embedDim, embedDim]. */
  readonly inProjWeight: Parameter
  readonly inProjBias: Parameter | null
  readonly outProj: Linear

  constructor(embedDim: number, numHeads: number, options: MultiheadAttentionOptions = {}) {
    super()
    checkOptions('MultiheadAttention', options, { ...layerOptions, bias: true, dropout: true })
    checkSizes('MultiheadAttention', { embedDim, numHeads })
    if (embedDim % numHeads !== 0)
      throw new ValueError('MultiheadAttention', `embedDim ${embedDim} does not divide into ${numHeads} heads`)
    this.embedDim = embedDim
    this.numHeads = numHeads
    const { dropout = 0, ...layer } = options
    const { generator } = layer
    this.dropout = checkProbability('MultiheadAttention', dropout)
    this.inProjWeight = xavierUniform_(parameter([3 * embedDim, embedDim], layer), { generator })
    this.inProjBias = layer.bias === false ? null : parameter([3 * embedDim], layer)
    this.outProj = new Linear(embedDim, embedDim, layer)
    if (this.outProj.bias) zeros_(this.outProj.bias)
  }

  /** query [B, Tq, E], key and value [B, Tk, E] (default: the query) -> [B, Tq, E]. */
  forward(query: Tensor, key: Tensor = query, value: Tensor = key, inputs: AttentionInputs = {}): Tensor {
    const { attnMask = null, isCausal = false } = checkOptions('MultiheadAttention.forward', inputs, inputNames)
    const { embedDim: e, numHeads } = this
    const [q, k, v] =
      query === key && key === value
        ? (chunk(linear<readonly number[], readonly number[]>(query, this.inProjWeight, this.inProjBias), 3, -1) as [
            Tensor,
            Tensor,
            Tensor,
          ])
        : this.#apart(query, key, value)
    const heads = (x: Tensor) =>
      transpose(reshape(x, [x.shape[0] as number, x.shape[1] as number, numHeads, e / numHeads]), 1, 2)
    const mixed = scaledDotProductAttention(heads(q), heads(k), heads(v), {
      attnMask,
      isCausal,
      dropoutP: this.training ? this.dropout : 0,
    })
    const [b = 0, , t = 0] = mixed.shape
    return this.outProj.forward(reshape(transpose(mixed, 1, 2), [b, t, e]) as Tensor)
  }

  #apart(query: Tensor, key: Tensor, value: Tensor): [Tensor, Tensor, Tensor] {
    const project = (x: Tensor, part: number) => {
      const bias = this.inProjBias && narrow(this.inProjBias, 0, part * this.embedDim, this.embedDim)
      return linear<readonly number[], readonly number[]>(
        x,
        narrow(this.inProjWeight, 0, part * this.embedDim, this.embedDim),
        bias,
      )
    }
    return [project(query, 0), project(key, 1), project(value, 2)]
  }
}

export interface TransformerEncoderLayerOptions extends LayerOptions {
  /** Default 2048. */
  readonly dimFeedforward?: number
  /** Default 0.1. */
  readonly dropout?: number
  /** Default 'relu'. */
  readonly activation?: 'relu' | 'gelu'
  /** Normalise before attention and feed-forward (pre-norm) instead of after. Default false, as in PyTorch. */
  readonly normFirst?: boolean
  readonly layerNormEps?: number
  readonly bias?: boolean
}

/** A transformer block over [B, T, dModel]: self-attention and a feed-forward net, each with a residual and a norm. */
export class TransformerEncoderLayer extends Module {
  readonly selfAttn: MultiheadAttention
  readonly linear1: Linear
  readonly dropout: Dropout
  readonly linear2: Linear
  readonly norm1: LayerNorm
  readonly norm2: LayerNorm
  readonly dropout1: Dropout
  readonly dropout2: Dropout
  readonly normFirst: boolean
  readonly #activation: (x: Tensor) => Tensor

  constructor(dModel: number, nhead: number, options: TransformerEncoderLayerOptions = {}) {
    super()
    checkOptions('TransformerEncoderLayer', options, {
      ...layerOptions,
      dimFeedforward: true,
      dropout: true,
      activation: true,
      normFirst: true,
      layerNormEps: true,
      bias: true,
    })
    const {
      dimFeedforward = 2048,
      dropout = 0.1,
      activation = 'relu',
      normFirst = false,
      layerNormEps = 1e-5,
      ...layer
    } = options
    if (activation !== 'relu' && activation !== 'gelu')
      throw new ValueError(
        'TransformerEncoderLayer',
        `activation is '${String(activation)}', but must be 'relu' or 'gelu'`,
      )
    this.selfAttn = new MultiheadAttention(dModel, nhead, { ...layer, dropout })
    this.linear1 = new Linear(dModel, dimFeedforward, layer)
    this.dropout = new Dropout(dropout)
    this.linear2 = new Linear(dimFeedforward, dModel, layer)
    const norm = () => new LayerNorm(dModel, { ...layer, eps: layerNormEps })
    this.norm1 = norm()
    this.norm2 = norm()
    this.dropout1 = new Dropout(dropout)
    this.dropout2 = new Dropout(dropout)
    this.normFirst = normFirst
    this.#activation = activation === 'relu' ? (x) => relu(x) : (x) => gelu(x)
  }

  forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    const attend = (y: Tensor) => this.dropout1.forward(this.selfAttn.forward(y, y, y, inputs))
    const feed = (y: Tensor) =>
      this.dropout2.forward(this.linear2.forward(this.dropout.forward(this.#activation(this.linear1.forward(y)))))
    if (this.normFirst) {
      const attended: Tensor = add(x, attend(this.norm1.forward(x)))
      return add(attended, feed(this.norm2.forward(attended)))
    }
    const attended = this.norm1.forward(add(x, attend(x)) as Tensor)
    return this.norm2.forward(add(attended, feed(attended)) as Tensor)
  }
}

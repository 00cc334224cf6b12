/**
 * GPT-2 (Radford et al., 2019): a decoder of Transformer blocks with learned positions, norms before attention and
 * network, and the embedding as head. Names and numbers are those of transformers' GPT2LMHeadModel.
 */
import type { Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/dropout.js'
import { Embedding } from '../nn/embedding.js'
import { normal_ } from '../nn/init.js'
import { type LayerOptions, layerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { LayerNorm } from '../nn/norm.js'
import type { PromptSizes } from '../nn/prompt.js'
import { runBlock } from '../nn/run-block.js'
import { arange } from '../ops/creation.js'
import { add } from '../ops/elementwise/index.js'
import { type ActivationName, activationNames, activationOf } from './activation.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import { type CausalConfig, CausalModel } from './causal.js'
import { attend, type Columns, joinHeads, threeByHeads, withPrompt } from './columns.js'
import type { ConfigJson } from './config.js'
import { Conv1D } from './conv1d.js'

export interface Gpt2Config extends CausalConfig {
  readonly width: number
  readonly layers: number
  readonly heads: number
  /** Width of the feed-forward network. */
  readonly inner: number
  readonly activation: ActivationName
  readonly eps: number
  /** Dropout before additions to the residual stream. */
  readonly dropout: number
  readonly embeddingDropout: number
  readonly attentionDropout: number
  /** Whether scores are divided by the root of a head's size. */
  readonly scaled: boolean
  /** Whether scores are also divided by the layer's number, from 1. */
  readonly scaledByLayer: boolean
}

class Gpt2Attention extends Module {
  readonly cAttn: Conv1D
  readonly cProj: Conv1D
  readonly residDropout: Dropout
  readonly #heads: number
  readonly #scale: number
  readonly #dropout: number
  readonly #layer: number

  constructor(config: Gpt2Config, layer: number, options: LayerOptions) {
    super()
    const { width, heads, dropout, attentionDropout, scaled, scaledByLayer } = config
    this.cAttn = new Conv1D(width, 3 * width, options)
    this.cProj = new Conv1D(width, width, options)
    this.residDropout = new Dropout(dropout)
    this.#heads = heads
    this.#scale = (scaled ? (width / heads) ** -0.5 : 1) / (scaledByLayer ? layer + 1 : 1)
    this.#dropout = attentionDropout
    this.#layer = layer
  }

  forward(x: Tensor, columns: Columns): Tensor {
    const headDim = (x.sizes[2] as number) / this.#heads
    const [q, k, v] = threeByHeads(this.cAttn.forward(x), headDim)
    const seen = attend({ q, k, v }, columns, {
      layer: this.#layer,
      scale: this.#scale,
      dropoutP: this.training ? this.#dropout : 0,
    })
    return this.residDropout.forward(this.cProj.forward(joinHeads(seen)))
  }
}

class Gpt2Mlp extends Module {
  readonly cFc: Conv1D
  readonly cProj: Conv1D
  readonly dropout: Dropout
  readonly #activation: (x: Tensor) => Tensor

  constructor({ width, inner, activation, dropout }: Gpt2Config, options: LayerOptions) {
    super()
    this.cFc = new Conv1D(width, inner, options)
    this.cProj = new Conv1D(inner, width, options)
    this.dropout = new Dropout(dropout)
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    return this.dropout.forward(this.cProj.forward(this.#activation(this.cFc.forward(x))))
  }
}

class Gpt2Block extends Module {
  static override readonly stateNames = { ln1: 'ln_1', ln2: 'ln_2' }
  readonly ln1: LayerNorm
  readonly attn: Gpt2Attention
  readonly ln2: LayerNorm
  readonly mlp: Gpt2Mlp

  constructor(config: Gpt2Config, layer: number, options: LayerOptions) {
    super()
    const norm = { ...options, eps: config.eps }
    this.ln1 = new LayerNorm(config.width, norm)
    this.attn = new Gpt2Attention(config, layer, options)
    this.ln2 = new LayerNorm(config.width, norm)
    this.mlp = new Gpt2Mlp(config, options)
  }

  forward(x: Tensor, columns: Columns): Tensor {
    const attended: Tensor = add(this.attn.forward(this.ln1.forward(x), columns), x)
    return add(attended, this.mlp.forward(this.ln2.forward(attended)))
  }
}

class Gpt2Body extends Module {
  wte: Embedding
  readonly wpe: Embedding
  readonly drop: Dropout
  readonly h: Gpt2Block[]
  readonly lnF: LayerNorm

  constructor(config: Gpt2Config, options: LayerOptions) {
    super()
    const { vocabSize, context, width, layers, embeddingDropout, eps } = config
    this.wte = new Embedding(vocabSize, width, options)
    this.wpe = new Embedding(context, width, options)
    this.drop = new Dropout(embeddingDropout)
    this.h = Array.from({ length: layers }, (_, i) => new Gpt2Block(config, i, options))
    this.lnF = new LayerNorm(width, { ...options, eps })
  }

  forward(ids: Tensor, columns: Columns): Tensor {
    const { offset, count, positions } = columns
    const places = positions ?? arange(offset, offset + count, 1, { dtype: 'int32', device: ids.device })
    let x = this.drop.forward(add(withPrompt(this.wte.forward(ids), columns), this.wpe.forward(places)))
    for (const block of this.h) x = runBlock(block, () => block.forward(x, columns), columns.cache === null)
    return this.lnF.forward(x)
  }
}

/** GPT-2 with its head: int32 ids [B, T] -> scores of the next token [B, T, vocabSize]. */
export class Gpt2 extends CausalModel<Gpt2Config> {
  readonly transformer: Gpt2Body
  lmHead: Linear

  constructor(config: Gpt2Config, json: ConfigJson, options: LayerOptions = {}) {
    super(config, json)
    const { vocabSize, width } = config
    this.transformer = new Gpt2Body(config, options)
    this.lmHead = new Linear(width, vocabSize, { ...options, bias: false })
    if (config.tieWordEmbeddings) this.lmHead.weight = this.transformer.wte.weight
  }

  override get architecture() {
    return gpt2Architecture
  }

  override blocks(): Module[] {
    return [...this.transformer.h]
  }

  override inputEmbedding(): Embedding {
    return this.transformer.wte
  }

  override outputHead(): Linear {
    return this.lmHead
  }

  override get promptSizes(): PromptSizes {
    const { width, layers, heads } = this.config
    return { width, layers, keyHeads: heads, headDim: width / heads }
  }

  override get positionLimit(): number {
    return this.config.context
  }

  protected override body(ids: Tensor, columns: Columns): Tensor {
    return this.transformer.forward(ids, columns)
  }

  protected override replaceEmbedding(embedding: Embedding, head: Linear): void {
    this.transformer.wte = embedding
    this.lmHead = head
  }

  /**
   * The initial weights of projections onto the residual stream are divided by the root of the projections' number, as
   * in the paper.
   */
  override initialize(part: Module, generator?: Generator): void {
    super.initialize(part, generator)
    const std = this.initializerRange / Math.sqrt(2 * this.config.layers)
    for (const inner of part.modules())
      if (inner instanceof Gpt2Attention || inner instanceof Gpt2Mlp) normal_(inner.cProj.weight, 0, std, { generator })
  }
}

export const gpt2Architecture: Architecture<Gpt2Config, Gpt2> = {
  name: 'GPT2LMHeadModel',
  modelTypes: ['gpt2'],
  // The folders of OpenAI's own weights also contain the causal masks.
  files: { base: 'transformer', ignored: /\.attn\.(masked_)?bias$/ },
  read(settings) {
    settings.only('add_cross_attention', false)
    // It sets the order in which products are rounded, not their values.
    settings.unused('reorder_and_upcast_attn', 'n_ctx')
    settings.unused(
      'summary_type',
      'summary_use_proj',
      'summary_activation',
      'summary_proj_to_labels',
      'summary_first_dropout',
    )
    const width = settings.size('n_embd', 768)
    const heads = settings.size('n_head', 12)
    if (width % heads !== 0) settings.fault(`n_embd is ${width}, but must be a multiple of n_head, ${heads}`)
    return {
      vocabSize: settings.size('vocab_size', 50_257),
      context: settings.size('n_positions', 1024),
      width,
      layers: settings.layers('n_layer', 12),
      heads,
      inner: settings.size('n_inner', 4 * width),
      activation: settings.choice('activation_function', activationNames, 'gelu_new'),
      eps: settings.positive('layer_norm_epsilon', 1e-5),
      dropout: settings.dropout('resid_pdrop', 0.1),
      embeddingDropout: settings.dropout('embd_pdrop', 0.1),
      attentionDropout: settings.dropout('attn_pdrop', 0.1),
      scaled: settings.flag('scale_attn_weights', true),
      scaledByLayer: settings.flag('scale_attn_by_inverse_layer_idx', false),
      tieWordEmbeddings: settings.flag('tie_word_embeddings', true),
    }
  },
  make: (config, json, options) => new Gpt2(config, json, options),
}

export interface Gpt2Options extends LayerOptions {
  readonly vocabSize?: number
  readonly layers?: number
  readonly width?: number
  readonly heads?: number
  /** The longest sequence. */
  readonly context?: number
  /** Width of the feed-forward network. Default: 4 times `width`. */
  readonly inner?: number
  /** Every dropout of GPT-2. Default 0.1. */
  readonly dropout?: number
  readonly activation?: ActivationName
  readonly tieWordEmbeddings?: boolean
  /** Tokens that end a text. */
  readonly endTokens?: readonly number[]
}

const gpt2Names: OptionNames<Gpt2Options> = {
  ...layerOptions,
  vocabSize: true,
  layers: true,
  width: true,
  heads: true,
  context: true,
  inner: true,
  dropout: true,
  activation: true,
  tieWordEmbeddings: true,
  endTokens: true,
}

/**
 * A GPT-2 with initial weights for training. Default sizes are those of the smallest published one. Throws ValueError
 * for sizes that do not fit together.
 */
export function gpt2(options: Gpt2Options = {}): Gpt2 {
  const own = ownOptions('gpt2', options, gpt2Names)
  const { dropout = 0.1, endTokens } = own
  return fromConfig(
    'gpt2',
    gpt2Architecture,
    {
      vocab_size: own.vocabSize,
      n_positions: own.context,
      n_embd: own.width,
      n_layer: own.layers,
      n_head: own.heads,
      n_inner: own.inner,
      activation_function: own.activation,
      resid_pdrop: dropout,
      embd_pdrop: dropout,
      attn_pdrop: dropout,
      tie_word_embeddings: own.tieWordEmbeddings,
      // transformers' default would be 50256, whatever the vocabulary.
      bos_token_id: null,
      eos_token_id: endTokens ?? null,
    },
    layerOf(own),
  )
}

/**
 * Llama (Touvron et al., 2023) and its relatives, which differ from it only in their configuration: Mistral's window,
 * Qwen 2's biases, Qwen 3's norms of heads, SmolLM. A decoder with rotary positions, grouped heads, and RMS norms
 * before attention and a gated network. Names and numbers are those of transformers.
 */
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Embedding } from '../nn/embedding.js'
import { type LayerOptions, layerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { RMSNorm } from '../nn/norm.js'
import type { PromptSizes } from '../nn/prompt.js'
import { runBlock } from '../nn/run-block.js'
import type { RotaryTable } from '../ops/attention/turn.js'
import { add } from '../ops/elementwise/index.js'
import { type ActivationName, activationNames } from './activation.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import { type CausalConfig, CausalModel } from './causal.js'
import { type Columns, withPrompt } from './columns.js'
import type { ConfigJson, Settings } from './config.js'
import { GatedMlp, GroupedAttention, type GroupedConfig } from './grouped.js'
import { type Rope, readRope, turnOf } from './rope.js'

export interface LlamaConfig extends CausalConfig, GroupedConfig {
  readonly layers: number
  /** Width of the gated network. */
  readonly inner: number
  readonly activation: ActivationName
  readonly eps: number
  readonly mlpBias: boolean
  /** Whether each head's queries and keys are normalised, as in Qwen 3. */
  readonly headNorms: boolean
  readonly rope: Rope
  /** The number of keys that each layer's queries see, or null for all earlier ones. */
  readonly windows: readonly (number | null)[]
  /** The token whose embedding learns nothing. */
  readonly padToken: number | null
}

class LlamaBlock extends Module {
  readonly selfAttn: GroupedAttention
  readonly mlp: GatedMlp
  readonly inputLayernorm: RMSNorm
  readonly postAttentionLayernorm: RMSNorm

  constructor(config: LlamaConfig, layer: number, options: LayerOptions) {
    super()
    const { width, inner, activation, mlpBias, eps, headNorms, windows } = config
    const norm = (size: number) => new RMSNorm(size, { ...options, eps })
    const place = { layer, window: windows[layer] ?? undefined, headNorm: headNorms ? norm : null }
    this.selfAttn = new GroupedAttention(config, place, options)
    this.mlp = new GatedMlp(width, inner, activation, { ...options, bias: mlpBias })
    this.inputLayernorm = norm(width)
    this.postAttentionLayernorm = norm(width)
  }

  forward(x: Tensor, columns: Columns, turn: RotaryTable): Tensor {
    const attended: Tensor = add(x, this.selfAttn.forward(this.inputLayernorm.forward(x), columns, turn))
    return add(attended, this.mlp.forward(this.postAttentionLayernorm.forward(attended)))
  }
}

class LlamaBody extends Module {
  embedTokens: Embedding
  readonly layers: LlamaBlock[]
  readonly norm: RMSNorm
  readonly #rope: Rope

  constructor(config: LlamaConfig, options: LayerOptions) {
    super()
    const { vocabSize, width, layers, padToken, eps, rope } = config
    this.embedTokens = new Embedding(vocabSize, width, { ...options, paddingIdx: padToken })
    this.layers = Array.from({ length: layers }, (_, i) => new LlamaBlock(config, i, options))
    this.norm = new RMSNorm(width, { ...options, eps })
    this.#rope = rope
  }

  forward(ids: Tensor, columns: Columns): Tensor {
    let x = withPrompt(this.embedTokens.forward(ids), columns)
    const turn = turnOf(this.#rope, columns, x)
    for (const layer of this.layers) x = runBlock(layer, () => layer.forward(x, columns, turn), columns.cache === null)
    return this.norm.forward(x)
  }
}

/** A Llama, or a relative, with its head: int32 ids [B, T] -> scores of the next token [B, T, vocabSize]. */
export class Llama extends CausalModel<LlamaConfig> {
  readonly model: LlamaBody
  lmHead: Linear
  readonly #architecture: Architecture<LlamaConfig, Llama>

  constructor(
    architecture: Architecture<LlamaConfig, Llama>,
    config: LlamaConfig,
    json: ConfigJson,
    options: LayerOptions = {},
  ) {
    super(config, json)
    this.#architecture = architecture
    this.model = new LlamaBody(config, options)
    this.lmHead = new Linear(config.width, config.vocabSize, { ...options, bias: false })
    if (config.tieWordEmbeddings) this.lmHead.weight = this.model.embedTokens.weight
  }

  override get architecture(): Architecture<LlamaConfig, Llama> {
    return this.#architecture
  }

  override blocks(): Module[] {
    return [...this.model.layers]
  }

  override inputEmbedding(): Embedding {
    return this.model.embedTokens
  }

  override outputHead(): Linear {
    return this.lmHead
  }

  override get promptSizes(): PromptSizes {
    return this.config
  }

  protected override body(ids: Tensor, columns: Columns): Tensor {
    return this.model.forward(ids, columns)
  }

  protected override replaceEmbedding(embedding: Embedding, head: Linear): void {
    this.model.embedTokens = embedding
    this.lmHead = head
  }
}

/** The relatives' differences, both the defaults of settings and those that no setting expresses. */
interface Kind {
  readonly name: string
  readonly modelType: string
  readonly headDim?: number
  /**
   * Biases of the projections to queries, keys and values, and of all of attention's projections, if that is a setting.
   */
  readonly inBias?: boolean
  readonly biasSettings: readonly ('attention_bias' | 'mlp_bias')[]
  readonly headNorms?: boolean
  readonly defaults: { readonly [name: string]: number }
  windows(settings: Settings, layers: number): readonly (number | null)[]
}

/** Qwen's window. It is off unless `use_sliding_window` is set, and then begins at some layer. */
function lateWindows(settings: Settings, layers: number): readonly (number | null)[] {
  const used = settings.flag('use_sliding_window', false)
  const window = settings.sizeOrNull('sliding_window', null)
  const first = settings.number('max_window_layers', 28)
  const on = (layer: number) => used && window !== null && layer >= first
  const kinds = ['full_attention', 'sliding_attention'] as const
  const byNumber = Array.from({ length: layers }, (_, i) => kinds[on(i) ? 1 : 0])
  const types = settings.list('layer_types', kinds, layers, byNumber)
  if (!used && types.includes('sliding_attention'))
    settings.fault('layer_types has sliding_attention, but use_sliding_window is false')
  return types.map((type) => (type === 'sliding_attention' ? window : null))
}

function noWindows(_: Settings, layers: number): null[] {
  return new Array<null>(layers).fill(null)
}

function read(settings: Settings, kind: Kind): LlamaConfig {
  const { defaults, biasSettings } = kind
  settings.unused('pretraining_tp')
  settings.only('rope_interleaved', false)
  settings.only('use_mrope', false)
  const width = settings.size('hidden_size', 4096)
  const heads = settings.size('num_attention_heads', 32)
  const keyHeads = settings.size('num_key_value_heads', defaults['keyHeads'] ?? heads)
  if (heads % keyHeads !== 0)
    settings.fault(`num_attention_heads is ${heads}, but must be a multiple of num_key_value_heads, ${keyHeads}`)
  const headDim = settings.size('head_dim', kind.headDim ?? Math.floor(width / heads))
  const layers = settings.layers('num_hidden_layers', 32)
  const context = settings.size('max_position_embeddings', defaults['context'] ?? 32_768)
  const vocabSize = settings.size('vocab_size', defaults['vocabSize'] ?? 32_000)
  const bias = biasSettings.includes('attention_bias') && settings.flag('attention_bias', false)
  return {
    vocabSize,
    context,
    width,
    heads,
    keyHeads,
    headDim,
    layers,
    inner: settings.size('intermediate_size', defaults['inner'] ?? 11_008),
    activation: settings.choice('hidden_act', activationNames, 'silu'),
    eps: settings.positive('rms_norm_eps', 1e-6),
    inBias: kind.inBias ?? bias,
    outBias: bias,
    mlpBias: biasSettings.includes('mlp_bias') && settings.flag('mlp_bias', false),
    headNorms: kind.headNorms ?? false,
    attentionDropout: settings.dropout('attention_dropout', 0),
    scale: headDim ** -0.5,
    softcap: null,
    rope: readRope(settings, { base: 10_000, headDim, maxPositions: context }),
    windows: kind.windows(settings, layers),
    padToken: settings.token('pad_token_id', vocabSize),
    tieWordEmbeddings: settings.flag('tie_word_embeddings', false),
  }
}

function architectureOf(kind: Kind): Architecture<LlamaConfig, Llama> {
  const own: Architecture<LlamaConfig, Llama> = {
    name: kind.name,
    modelTypes: [kind.modelType],
    // Frequencies follow from the configuration, but old files contain them.
    files: { base: 'model', ignored: /rotary_emb\.inv_freq$/ },
    read: (settings) => read(settings, kind),
    make: (config, json, options) => new Llama(own, config, json, options),
  }
  return own
}

export const llamaArchitecture = architectureOf({
  name: 'LlamaForCausalLM',
  modelType: 'llama',
  biasSettings: ['attention_bias', 'mlp_bias'],
  defaults: { context: 2048 },
  windows: noWindows,
})

export const mistralArchitecture = architectureOf({
  name: 'MistralForCausalLM',
  modelType: 'mistral',
  biasSettings: [],
  defaults: { context: 131_072, inner: 14_336, keyHeads: 8 },
  windows: (settings, layers) => new Array<number | null>(layers).fill(settings.sizeOrNull('sliding_window', 4096)),
})

export const qwen2Architecture = architectureOf({
  name: 'Qwen2ForCausalLM',
  modelType: 'qwen2',
  inBias: true,
  biasSettings: [],
  defaults: { vocabSize: 151_936, inner: 22_016, keyHeads: 32 },
  windows: lateWindows,
})

export const qwen3Architecture = architectureOf({
  name: 'Qwen3ForCausalLM',
  modelType: 'qwen3',
  headDim: 128,
  headNorms: true,
  biasSettings: ['attention_bias'],
  defaults: { vocabSize: 151_936, inner: 22_016, keyHeads: 32 },
  windows: lateWindows,
})

export interface LlamaOptions extends LayerOptions {
  readonly vocabSize?: number
  readonly layers?: number
  readonly width?: number
  readonly heads?: number
  /** The number of heads of keys and values. Default: as many as of queries. */
  readonly keyHeads?: number
  /** The number of features in a head. Default: width / heads. */
  readonly headDim?: number
  /** Width of the gated network. */
  readonly inner?: number
  /** The longest text for which the model is made. */
  readonly context?: number
  /** Base of the rotary frequencies. Default 10000. */
  readonly base?: number
  readonly tieWordEmbeddings?: boolean
  /** Tokens that end a text. */
  readonly endTokens?: readonly number[]
}

const llamaNames: OptionNames<LlamaOptions> = {
  ...layerOptions,
  vocabSize: true,
  layers: true,
  width: true,
  heads: true,
  keyHeads: true,
  headDim: true,
  inner: true,
  context: true,
  base: true,
  tieWordEmbeddings: true,
  endTokens: true,
}

/**
 * A Llama with initial weights for training. Default sizes are those of Llama 7B. Throws ValueError for sizes that do
 * not fit together.
 */
export function llama(options: LlamaOptions = {}): Llama {
  const own = ownOptions('llama', options, llamaNames)
  return fromConfig(
    'llama',
    llamaArchitecture,
    {
      vocab_size: own.vocabSize,
      hidden_size: own.width,
      intermediate_size: own.inner,
      num_hidden_layers: own.layers,
      num_attention_heads: own.heads,
      num_key_value_heads: own.keyHeads,
      head_dim: own.headDim,
      max_position_embeddings: own.context,
      rope_theta: own.base,
      tie_word_embeddings: own.tieWordEmbeddings,
      // transformers' defaults would be 1 and 2, whatever the vocabulary.
      bos_token_id: null,
      eos_token_id: own.endTokens ?? null,
    },
    layerOf(own),
  )
}

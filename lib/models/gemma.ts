/**
 * Gemma 2 and 3 (Gemma Team, 2024 and 2025): decoders whose blocks normalise the inputs and outputs of attention and
 * network. Their layers alternate between a window and all keys. Scores are bounded by a tanh (Gemma 2), or heads are
 * normalised (Gemma 3). Names and numbers are those of transformers. Only text is supported.
 */
import type { Tensor } from '../core/tensor.js'
import { Embedding } from '../nn/embedding.js'
import { type LayerOptions, parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module, type Parameter, settings as shownSettings } from '../nn/module.js'
import type { PromptSizes } from '../nn/prompt.js'
import { runBlock } from '../nn/run-block.js'
import type { RotaryTable } from '../ops/attention/turn.js'
import { castTo } from '../ops/convert.js'
import { full } from '../ops/creation.js'
import { add, div, mul, tanh } from '../ops/elementwise/index.js'
import { rmsNorm } from '../ops/norm/index.js'
import { type ActivationName, activationNames } from './activation.js'
import type { Architecture } from './architecture.js'
import { type CausalConfig, CausalModel } from './causal.js'
import { type Columns, withPrompt } from './columns.js'
import type { ConfigJson, Settings } from './config.js'
import { GatedMlp, GroupedAttention, type GroupedConfig } from './grouped.js'
import { type Rope, readRope, readRopeByKind, turnOf } from './rope.js'

const layerKinds = ['sliding_attention', 'full_attention'] as const
type LayerKind = (typeof layerKinds)[number]

export interface GemmaConfig extends CausalConfig, GroupedConfig {
  /** 'sliding_attention' sees `window` keys, and 'full_attention' all earlier ones. */
  readonly kinds: readonly LayerKind[]
  readonly window: number
  readonly inner: number
  readonly activation: ActivationName
  readonly eps: number
  /** Whether each head's queries and keys are normalised. */
  readonly headNorms: boolean
  /** Rotary positions of each kind of layer. */
  readonly ropes: { readonly [kind in LayerKind]: Rope }
  /** c: logits become c tanh(logit / c). null: they stay unchanged. */
  readonly logitCap: number | null
  /** The token whose embedding learns nothing. */
  readonly padToken: number | null
}

/** x divided by its root mean square, times 1 + weight, computed in float32 for every dtype of x. */
class GemmaNorm extends Module {
  /** [size], initially zeros. */
  readonly weight: Parameter
  readonly #eps: number

  constructor(size: number, eps: number, options: LayerOptions) {
    super()
    this.weight = parameter('GemmaNorm', [size], options)
    this.#eps = eps
  }

  override extraRepr(): string {
    return shownSettings({ size: this.weight.numel, eps: this.#eps })
  }

  forward(x: Tensor): Tensor {
    const wide = (y: Tensor): Tensor => (y.dtype.endsWith('float16') ? castTo(y, 'float32') : y)
    const factor: Tensor = add(wide(this.weight), 1)
    const normed: Tensor = rmsNorm(wide(x), this.weight.sizes, factor, { eps: this.#eps })
    return castTo(normed, x.dtype)
  }
}

class GemmaBlock extends Module {
  readonly selfAttn: GroupedAttention
  readonly mlp: GatedMlp
  readonly inputLayernorm: GemmaNorm
  readonly postAttentionLayernorm: GemmaNorm
  readonly preFeedforwardLayernorm: GemmaNorm
  readonly postFeedforwardLayernorm: GemmaNorm

  constructor(config: GemmaConfig, layer: number, options: LayerOptions) {
    super()
    const { width, inner, activation, eps, headNorms, kinds, window } = config
    const norm = (size: number) => new GemmaNorm(size, eps, options)
    const sees = kinds[layer] === 'sliding_attention' ? window : undefined
    this.selfAttn = new GroupedAttention(config, { layer, window: sees, headNorm: headNorms ? norm : null }, options)
    this.mlp = new GatedMlp(width, inner, activation, { ...options, bias: false })
    this.inputLayernorm = norm(width)
    this.postAttentionLayernorm = norm(width)
    this.preFeedforwardLayernorm = norm(width)
    this.postFeedforwardLayernorm = norm(width)
  }

  forward(x: Tensor, columns: Columns, turn: RotaryTable): Tensor {
    const attended = this.selfAttn.forward(this.inputLayernorm.forward(x), columns, turn)
    const between: Tensor = add(x, this.postAttentionLayernorm.forward(attended))
    const transformed = this.mlp.forward(this.preFeedforwardLayernorm.forward(between))
    return add(between, this.postFeedforwardLayernorm.forward(transformed))
  }
}

class GemmaBody extends Module {
  embedTokens: Embedding
  readonly layers: GemmaBlock[]
  readonly norm: GemmaNorm
  readonly #config: GemmaConfig

  constructor(config: GemmaConfig, options: LayerOptions) {
    super()
    const { vocabSize, width, padToken, eps, kinds } = config
    this.embedTokens = new Embedding(vocabSize, width, { ...options, paddingIdx: padToken })
    this.layers = kinds.map((_, i) => new GemmaBlock(config, i, options))
    this.norm = new GemmaNorm(width, eps, options)
    this.#config = config
  }

  forward(ids: Tensor, columns: Columns): Tensor {
    const { ropes, kinds, width } = this.#config
    const embedded = this.embedTokens.forward(ids)
    const { dtype, device } = embedded
    // The factor is rounded to the dtype of the embedding, as in transformers.
    const scaled: Tensor = mul(
      embedded,
      dtype === 'float32' ? Math.sqrt(width) : full([], Math.sqrt(width), { dtype, device }),
    )
    let x = withPrompt(scaled, columns)
    const turns = {
      sliding_attention: turnOf(ropes.sliding_attention, columns, x),
      full_attention: turnOf(ropes.full_attention, columns, x),
    }
    this.layers.forEach((layer, i) => {
      const turn = turns[kinds[i] as LayerKind]
      x = runBlock(layer, () => layer.forward(x, columns, turn), columns.cache === null)
    })
    return this.norm.forward(x)
  }
}

/** A Gemma with its head: int32 ids [B, T] -> scores of the next token [B, T, vocabSize]. */
export class Gemma extends CausalModel<GemmaConfig> {
  readonly model: GemmaBody
  lmHead: Linear
  readonly #architecture: Architecture<GemmaConfig, Gemma>

  constructor(
    architecture: Architecture<GemmaConfig, Gemma>,
    config: GemmaConfig,
    json: ConfigJson,
    options: LayerOptions = {},
  ) {
    super(config, json)
    this.#architecture = architecture
    this.model = new GemmaBody(config, options)
    this.lmHead = new Linear(config.width, config.vocabSize, { ...options, bias: false })
    if (config.tieWordEmbeddings) this.lmHead.weight = this.model.embedTokens.weight
  }

  override get architecture(): Architecture<GemmaConfig, Gemma> {
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

  override logits(hidden: Tensor): Tensor {
    const scores = super.logits(hidden)
    const cap = this.config.logitCap
    return cap === null ? scores : mul(tanh(div(scores, cap)), cap)
  }

  protected override get logitCap(): number | undefined {
    return this.config.logitCap ?? undefined
  }

  override get promptSizes(): PromptSizes {
    return { ...this.config, layers: this.config.kinds.length }
  }

  protected override body(ids: Tensor, columns: Columns): Tensor {
    return this.model.forward(ids, columns)
  }

  protected override replaceEmbedding(embedding: Embedding, head: Linear): void {
    this.model.embedTokens = embedding
    this.lmHead = head
  }
}

/** Settings that both generations share. */
function common(settings: Settings) {
  settings.only('use_bidirectional_attention', false)
  // Gemma reads hidden_activation. Published folders also contain the older name.
  settings.unused('hidden_act')
  const heads = settings.size('num_attention_heads', 8)
  const keyHeads = settings.size('num_key_value_heads', 4)
  if (heads % keyHeads !== 0)
    settings.fault(`num_attention_heads is ${heads}, but must be a multiple of num_key_value_heads, ${keyHeads}`)
  const bias = settings.flag('attention_bias', false)
  return {
    width: settings.size('hidden_size', 2304),
    heads,
    keyHeads,
    headDim: settings.size('head_dim', 256),
    inner: settings.size('intermediate_size', 9216),
    activation: settings.choice('hidden_activation', activationNames, 'gelu_pytorch_tanh'),
    eps: settings.positive('rms_norm_eps', 1e-6),
    inBias: bias,
    outBias: bias,
    attentionDropout: settings.dropout('attention_dropout', 0),
    scale: settings.positive('query_pre_attn_scalar', 256) ** -0.5,
    window: settings.size('sliding_window', 4096),
    tieWordEmbeddings: settings.flag('tie_word_embeddings', true),
  }
}

/** The listed kinds of layers, or otherwise every `pattern`th layer is full. */
function kindsOf(settings: Settings, pattern: number): readonly LayerKind[] {
  const layers = settings.layers('num_hidden_layers', 26)
  const usual = Array.from({ length: layers }, (_, i) => layerKinds[(i + 1) % pattern === 0 ? 1 : 0])
  return settings.list('layer_types', layerKinds, layers, usual)
}

function readGemma2(settings: Settings): GemmaConfig {
  const own = common(settings)
  const vocabSize = settings.size('vocab_size', 256_000)
  const context = settings.size('max_position_embeddings', 8192)
  const rope = readRope(settings, { base: 10_000, headDim: own.headDim, maxPositions: context })
  return {
    ...own,
    vocabSize,
    context,
    kinds: kindsOf(settings, 2),
    headNorms: false,
    ropes: { sliding_attention: rope, full_attention: rope },
    softcap: settings.positiveOrNull('attn_logit_softcapping', 50),
    logitCap: settings.positiveOrNull('final_logit_softcapping', 30),
    padToken: settings.token('pad_token_id', vocabSize),
  }
}

function readGemma3(settings: Settings): GemmaConfig {
  const own = common(settings)
  const vocabSize = settings.size('vocab_size', 262_208)
  const context = settings.size('max_position_embeddings', 131_072)
  const local = settings.positive('rope_local_base_freq', 10_000)
  const whole = settings.positive('rope_theta', 1_000_000)
  const defaults = (kind: LayerKind) => {
    return { base: kind === 'full_attention' ? whole : local, headDim: own.headDim, maxPositions: context }
  }
  const byKind = readRopeByKind(settings, layerKinds, defaults)
  // Before transformers 5 the scaling applied only to full layers.
  const ropes = byKind ?? {
    full_attention: readRope(settings, defaults('full_attention')),
    sliding_attention: { base: local, scaling: null, headDim: own.headDim },
  }
  // Only Gemma 2 has this bound. transformers does not read it here.
  settings.unused('attn_logit_softcapping')
  return {
    ...own,
    vocabSize,
    context,
    kinds: kindsOf(settings, settings.size('sliding_window_pattern', settings.size('_sliding_window_pattern', 6))),
    headNorms: true,
    ropes,
    softcap: null,
    logitCap: settings.positiveOrNull('final_logit_softcapping', null),
    padToken: settings.token('pad_token_id', vocabSize),
  }
}

function architectureOf(
  name: string,
  modelType: string,
  read: (settings: Settings) => GemmaConfig,
): Architecture<GemmaConfig, Gemma> {
  const own: Architecture<GemmaConfig, Gemma> = {
    name,
    modelTypes: [modelType],
    files: { base: 'model' },
    read,
    make: (config, json, options) => new Gemma(own, config, json, options),
  }
  return own
}

export const gemma2Architecture = architectureOf('Gemma2ForCausalLM', 'gemma2', readGemma2)
export const gemma3Architecture = architectureOf('Gemma3ForCausalLM', 'gemma3_text', readGemma3)

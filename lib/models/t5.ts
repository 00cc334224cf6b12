/**
 * T5 (Raffel et al., 2020) and mT5 (Xue et al., 2021): an encoder-decoder without biases, with RMS norms before each
 * part. Attention knows positions through each head's bias for the distance of query and key. T5 1.1 and mT5 have a
 * gated network and a separate head. Names and numbers are those of transformers' T5ForConditionalGeneration.
 */
import type { Generator } from '../core/generator.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/dropout.js'
import { Embedding } from '../nn/embedding.js'
import { constant_, normal_ } from '../nn/init.js'
import { type LayerOptions, layerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { RMSNorm } from '../nn/norm.js'
import type { Prompt, PromptSizes } from '../nn/prompt.js'
import { runBlock } from '../nn/run-block.js'
import { type AttentionOptions, scaledDotProductAttention } from '../ops/attention/index.js'
import { fromTypedArray } from '../ops/creation.js'
import { add, mul, where } from '../ops/elementwise/index.js'
import { flatten, permute, transpose, unflatten, unsqueeze } from '../ops/shape/index.js'
import { type ActivationName, activationOf } from './activation.js'
import { type Architecture, fromConfig, layerOf } from './architecture.js'
import { type Columns, seenBy } from './columns.js'
import type { ConfigJson } from './config.js'
import { Seq2SeqModel } from './seq2seq.js'
import type { Source } from './source.js'
import { readT5, scalesOutputs, type T5Config, type T5Kind } from './t5-config.js'

/**
 * The bucket of a key that is `distance` columns after its query. All keys of a bucket share one bias. Half of the
 * buckets are for single distances, and the others for ranges that grow by a constant factor up to `maxDistance`. In
 * both directions, keys after the query have the upper half of all buckets. In one direction they are not visible, and
 * have the query's own bucket. Computed in float32, because some ranges end at a whole number.
 */
export function relativeBucket(distance: number, bidirectional: boolean, buckets: number, maxDistance: number): number {
  const count = bidirectional ? Math.floor(buckets / 2) : buckets
  const first = bidirectional && distance > 0 ? count : 0
  const far = bidirectional ? Math.abs(distance) : Math.max(0, -distance)
  const single = Math.floor(count / 2)
  if (far < single) return first + far
  const { fround, log } = Math
  const share = fround(fround(log(fround(far / single))) / fround(log(maxDistance / single)))
  return first + Math.min(count - 1, single + Math.trunc(fround(share * (count - single))))
}

/** Projections to heads and back, and attention without division by the root of a head's size. */
abstract class T5Attention extends Module {
  readonly q: Linear
  readonly k: Linear
  readonly v: Linear
  readonly o: Linear
  protected readonly layer: number
  readonly #config: T5Config

  constructor(config: T5Config, layer: number, options: LayerOptions) {
    super()
    const { width, heads, headDim } = config
    const projection = () => new Linear(width, heads * headDim, { ...options, bias: false })
    this.q = projection()
    this.k = projection()
    this.v = projection()
    this.o = new Linear(heads * headDim, width, { ...options, bias: false })
    this.layer = layer
    this.#config = config
  }

  /** [B, T, heads headDim] -> [B, heads, T, headDim] */
  protected split(x: Tensor): Tensor {
    return transpose(unflatten(x, -1, [this.#config.heads, -1]), 1, 2)
  }

  protected attend(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
    const dropoutP = this.training ? this.#config.dropout : 0
    return scaledDotProductAttention(q, k, v, { ...options, scale: 1, dropoutP })
  }

  protected joined(seen: Tensor): Tensor {
    return this.o.forward(flatten(transpose(seen, 1, 2), -2))
  }
}

class T5SelfAttention extends T5Attention {
  /** The biases of all layers of a stack. Only the first layer has them. */
  readonly relativeAttentionBias: Embedding | null

  constructor(config: T5Config, layer: number, options: LayerOptions) {
    super(config, layer, options)
    this.relativeAttentionBias = layer === 0 ? new Embedding(config.buckets, config.heads, options) : null
  }

  /**
   * `bias` [B or 1, heads, Tq, Tk] is added to the scores. `columns` are those of a decoder, or null in the encoder.
   */
  forward(x: Tensor, bias: Tensor, columns: Columns | null): Tensor {
    const [q, k, v] = [this.q, this.k, this.v].map((layer) => this.split(layer.forward(x))) as [Tensor, Tensor, Tensor]
    if (columns === null) return this.joined(this.attend(q, k, v, { attnMask: bias }))
    const { keys, values, offset } = seenBy(k, v, columns, this.layer)
    return this.joined(this.attend(q, keys, values, { attnMask: bias, isCausal: true, offset }))
  }
}

class T5CrossAttention extends T5Attention {
  forward(x: Tensor, source: Source, columns: Columns): Tensor {
    const [k, v] = source.keysAndValues(this.layer, columns.cache !== null, (states) => [
      this.split(this.k.forward(states)),
      this.split(this.v.forward(states)),
    ])
    const q = source.fold(this.split(this.q.forward(x)))
    return this.joined(source.unfold(this.attend(q, k, v, { attnMask: source.mask })))
  }
}

/** wo(activation(wi(x))), or with a gate wo(activation(wi_0(x)) * wi_1(x)). */
class T5Dense extends Module {
  static override readonly stateNames = { wi0: 'wi_0', wi1: 'wi_1' }
  readonly wi: Linear | null
  readonly wi0: Linear | null
  readonly wi1: Linear | null
  readonly wo: Linear
  readonly dropout: Dropout
  readonly #activation: (x: Tensor) => Tensor

  constructor({ width, inner, activation, gated, dropout }: T5Config, options: LayerOptions) {
    super()
    const projection = () => new Linear(width, inner, { ...options, bias: false })
    this.wi = gated ? null : projection()
    this.wi0 = gated ? projection() : null
    this.wi1 = gated ? projection() : null
    this.wo = new Linear(inner, width, { ...options, bias: false })
    this.dropout = new Dropout(dropout)
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    const activated = this.#activation((this.wi ?? (this.wi0 as Linear)).forward(x))
    const inner: Tensor = this.wi1 === null ? activated : mul(activated, this.wi1.forward(x))
    return this.wo.forward(this.dropout.forward(inner))
  }
}

/** The form of all parts of a block: x + dropout(inner(norm(x))). */
class T5Layer<
  Rest extends readonly unknown[],
  M extends Module & { forward(x: Tensor, ...rest: Rest): Tensor },
> extends Module {
  readonly inner: M
  readonly layerNorm: RMSNorm
  readonly dropout: Dropout
  readonly #name: string

  /** Files name the inner module by `name`. */
  constructor({ width, eps, dropout }: T5Config, name: string, inner: M, options: LayerOptions) {
    super()
    this.inner = inner
    this.layerNorm = new RMSNorm(width, { ...options, eps })
    this.dropout = new Dropout(dropout)
    this.#name = name
  }

  override stateName(property: string): string {
    return property === 'inner' ? this.#name : super.stateName(property)
  }

  forward(x: Tensor, ...rest: Rest): Tensor {
    return add(x, this.dropout.forward(this.inner.forward(this.layerNorm.forward(x), ...rest)))
  }
}

const selfLayer = (config: T5Config, layer: number, options: LayerOptions) =>
  new T5Layer<[bias: Tensor, columns: Columns | null], T5SelfAttention>(
    config,
    'SelfAttention',
    new T5SelfAttention(config, layer, options),
    options,
  )
const crossLayer = (config: T5Config, layer: number, options: LayerOptions) =>
  new T5Layer<[source: Source, columns: Columns], T5CrossAttention>(
    config,
    'EncDecAttention',
    new T5CrossAttention(config, layer, options),
    options,
  )
const denseLayer = (config: T5Config, options: LayerOptions) =>
  new T5Layer<[], T5Dense>(config, 'DenseReluDense', new T5Dense(config, options), options)

class T5EncoderBlock extends Module {
  readonly layer: readonly [ReturnType<typeof selfLayer>, ReturnType<typeof denseLayer>]

  constructor(config: T5Config, layer: number, options: LayerOptions) {
    super()
    this.layer = [selfLayer(config, layer, options), denseLayer(config, options)]
  }

  forward(x: Tensor, bias: Tensor): Tensor {
    const [self, dense] = this.layer
    return dense.forward(self.forward(x, bias, null))
  }
}

class T5DecoderBlock extends Module {
  readonly layer: readonly [ReturnType<typeof selfLayer>, ReturnType<typeof crossLayer>, ReturnType<typeof denseLayer>]

  constructor(config: T5Config, layer: number, options: LayerOptions) {
    super()
    this.layer = [selfLayer(config, layer, options), crossLayer(config, layer, options), denseLayer(config, options)]
  }

  forward(x: Tensor, bias: Tensor, source: Source, columns: Columns): Tensor {
    const [self, cross, dense] = this.layer
    return dense.forward(cross.forward(self.forward(x, bias, columns), source, columns))
  }
}

/** An embedding of its own with the weight of another one, which transformers and PEFT count as another module. */
function twinOf({ weight, embeddingDim, numEmbeddings, paddingIdx }: Embedding): Embedding {
  return Object.assign(new Embedding(numEmbeddings, embeddingDim, { device: 'meta', paddingIdx }), { weight })
}

/** Blocks between the embedding and a last norm. */
abstract class T5Stack<B extends T5EncoderBlock | T5DecoderBlock> extends Module {
  embedTokens: Embedding
  readonly block: readonly B[]
  readonly finalLayerNorm: RMSNorm
  readonly dropout: Dropout
  readonly #config: T5Config

  constructor(config: T5Config, embedding: Embedding, block: readonly B[], options: LayerOptions) {
    super()
    this.embedTokens = twinOf(embedding)
    this.block = block
    this.finalLayerNorm = new RMSNorm(config.width, { ...options, eps: config.eps })
    this.dropout = new Dropout(config.dropout)
    this.#config = config
  }

  protected embedded(ids: Tensor, prompt: Prompt | null): Tensor {
    const tokens = this.embedTokens.forward(ids)
    return this.dropout.forward(prompt === null ? tokens : prompt.before(tokens))
  }

  protected normed(x: Tensor): Tensor {
    return this.dropout.forward(this.finalLayerNorm.forward(x))
  }

  /** The biases of `queries` columns from `offset` on, for all columns up to the last of them: [1, heads, Tq, Tk]. */
  protected bias(queries: number, offset: number, bidirectional: boolean): Tensor {
    const { buckets, maxDistance } = this.#config
    const table = (this.block[0] as B).layer[0].inner.relativeAttentionBias as Embedding
    const keys = offset + queries
    const last = keys - 1
    const ofDistance = Int32Array.from({ length: 2 * keys - 1 }, (_, i) =>
      relativeBucket(i - last, bidirectional, buckets, maxDistance),
    )
    const ids = new Int32Array(queries * keys)
    // The row of query i begins with its distance to the first column.
    for (let i = 0; i < queries; i++) {
      const from = last - offset - i
      ids.set(ofDistance.subarray(from, from + keys), i * keys)
    }
    const { device } = table.weight
    return unsqueeze(permute(table.forward(fromTypedArray(ids, [queries, keys], { device })), [2, 0, 1]), 0)
  }
}

class T5Encoder extends T5Stack<T5EncoderBlock> {
  constructor(config: T5Config, embedding: Embedding, options: LayerOptions) {
    const block = Array.from({ length: config.layers }, (_, i) => new T5EncoderBlock(config, i, options))
    super(config, embedding, block, options)
  }

  forward(ids: Tensor, mask: Tensor | null, prompt: Prompt | null): Tensor {
    let x = this.embedded(ids, prompt)
    const near = this.bias(x.sizes[1] as number, 0, true)
    const bias = mask === null ? near : where(mask, near, Number.NEGATIVE_INFINITY)
    for (const block of this.block) x = runBlock(block, () => block.forward(x, bias))
    return this.normed(x)
  }
}

class T5Decoder extends T5Stack<T5DecoderBlock> {
  constructor(config: T5Config, embedding: Embedding, options: LayerOptions) {
    const block = Array.from({ length: config.decoderLayers }, (_, i) => new T5DecoderBlock(config, i, options))
    super(config, embedding, block, options)
  }

  forward(ids: Tensor, source: Source, columns: Columns): Tensor {
    let x = this.embedded(ids, null)
    const bias = this.bias(ids.sizes[1] as number, columns.offset, false)
    for (const block of this.block)
      x = runBlock(block, () => block.forward(x, bias, source, columns), columns.cache === null)
    return this.normed(x)
  }
}

/**
 * T5 with its head: int32 ids [B, S] of a text and [B, T] of the generated text -> scores of the next token [B, T,
 * vocabSize].
 */
export class T5 extends Seq2SeqModel<T5Config> {
  shared: Embedding
  readonly encoder: T5Encoder
  readonly decoder: T5Decoder
  lmHead: Linear
  readonly #architecture: Architecture<T5Config, T5>

  constructor(
    architecture: Architecture<T5Config, T5>,
    config: T5Config,
    json: ConfigJson,
    options: LayerOptions = {},
  ) {
    super(config, json)
    this.#architecture = architecture
    this.shared = new Embedding(config.vocabSize, config.width, options)
    this.encoder = new T5Encoder(config, this.shared, options)
    this.decoder = new T5Decoder(config, this.shared, options)
    this.lmHead = new Linear(config.width, config.vocabSize, { ...options, bias: false })
    if (config.tieWordEmbeddings) this.lmHead.weight = this.shared.weight
  }

  override get architecture(): Architecture<T5Config, T5> {
    return this.#architecture
  }

  /** The blocks of the encoder, then those of the decoder. */
  override blocks(): Module[] {
    return [...this.encoder.block, ...this.decoder.block]
  }

  override get promptSizes(): PromptSizes {
    const { width, layers, heads, headDim } = this.config
    return { width, layers, keyHeads: heads, headDim, reader: 'encoder-decoder' }
  }

  override inputEmbedding(): Embedding {
    return this.shared
  }

  override outputHead(): Linear {
    return this.lmHead
  }

  protected override encoded(ids: Tensor, mask: Tensor | null, prompt: Prompt | null): Tensor {
    return this.encoder.forward(ids, mask, prompt)
  }

  protected override decoded(ids: Tensor, source: Source, columns: Columns): Tensor {
    return this.decoder.forward(ids, source, columns)
  }

  protected override scaled(states: Tensor): Tensor {
    return this.config.scaleOutputs ? mul(states, this.config.width ** -0.5) : states
  }

  protected override replaceEmbedding(embedding: Embedding, head: Linear): void {
    this.shared = embedding
    this.encoder.embedTokens = twinOf(embedding)
    this.decoder.embedTokens = twinOf(embedding)
    this.lmHead = head
  }

  protected override get changes(): ConfigJson {
    return { ...super.changes, scale_decoder_outputs: this.config.scaleOutputs }
  }

  /**
   * Standard deviations depend on the size of a layer's input, as in the code of the paper. They compensate for
   * attention without a scale.
   */
  override initialize(part: Module, generator?: Generator): void {
    const { width, headDim, heads, inner } = this.config
    const factor = Number(this.toConfig()['initializer_factor'] ?? 1)
    const draw = (layer: Linear | Embedding | null, deviation: number) => {
      if (layer !== null) normal_(layer.weight, 0, factor * deviation, { generator })
    }
    for (const module of part.modules()) {
      if (module instanceof T5Attention) {
        draw(module.q, (width * headDim) ** -0.5)
        for (const layer of [module.k, module.v]) draw(layer, width ** -0.5)
        draw(module.o, (heads * headDim) ** -0.5)
        if (module instanceof T5SelfAttention) draw(module.relativeAttentionBias, width ** -0.5)
      } else if (module instanceof T5Dense) {
        for (const layer of [module.wi, module.wi0, module.wi1]) draw(layer, width ** -0.5)
        draw(module.wo, inner ** -0.5)
      } else if (module instanceof T5) {
        draw(module.shared, 1)
        if (!module.config.tieWordEmbeddings) draw(module.lmHead, 1)
      } else if (module instanceof RMSNorm && module.weight !== null) constant_(module.weight, factor)
    }
  }
}

function architectureOf(kind: T5Kind): Architecture<T5Config, T5> {
  const own: Architecture<T5Config, T5> = {
    name: kind.name,
    modelTypes: [kind.modelType],
    // The first folders contain a bias that is never used.
    files: { ignored: /^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/ },
    ends: { embedding: 'shared.weight', head: 'lm_head.weight' },
    settle: (json, tied) => ({
      ...json,
      ...(kind.scales && { scale_decoder_outputs: scalesOutputs(json) }),
      tie_word_embeddings: tied,
    }),
    read: (settings) => readT5(settings, kind),
    make: (config, json, options) => new T5(own, config, json, options),
  }
  return own
}

export const t5Architecture = architectureOf({
  name: 'T5ForConditionalGeneration',
  modelType: 't5',
  projection: 'relu',
  sizes: { vocabSize: 32_128, layers: 6, heads: 8, inner: 2048 },
  scales: true,
})

export const mt5Architecture = architectureOf({
  name: 'MT5ForConditionalGeneration',
  modelType: 'mt5',
  projection: 'gated-gelu',
  sizes: { vocabSize: 250_112, layers: 8, heads: 6, inner: 1024 },
  scales: false,
})

export interface T5Options extends LayerOptions {
  readonly vocabSize?: number
  /** The number of blocks in the encoder, and by default also in the decoder. */
  readonly layers?: number
  readonly decoderLayers?: number
  readonly width?: number
  readonly heads?: number
  /** The number of features in a head. Default 64, whatever the width is. */
  readonly headDim?: number
  /** Width of the feed-forward network. */
  readonly inner?: number
  /**
   * The activation of the feed-forward network, with a gate if the name says so. Default 'relu', as in the first T5. T5
   * 1.1 has 'gated-gelu'.
   */
  readonly feedForward?: ActivationName | `gated-${ActivationName}`
  /** Every dropout of T5. Default 0.1. */
  readonly dropout?: number
  /** Whether the head is the embedding, which then takes scaled states. Default true. T5 1.1 has false. */
  readonly tieWordEmbeddings?: boolean
  /** The token of padding, which also begins the decoder's input unless `startToken` is given. Default 0. */
  readonly padToken?: number
  readonly startToken?: number
  /** Tokens that end a text. */
  readonly endTokens?: readonly number[]
}

const t5Names: OptionNames<T5Options> = {
  ...layerOptions,
  vocabSize: true,
  layers: true,
  decoderLayers: true,
  width: true,
  heads: true,
  headDim: true,
  inner: true,
  feedForward: true,
  dropout: true,
  tieWordEmbeddings: true,
  padToken: true,
  startToken: true,
  endTokens: true,
}

/**
 * A T5 with initial weights for training. Default sizes are those of T5 small. Throws ValueError for sizes that do not
 * fit together.
 */
export function t5(options: T5Options = {}): T5 {
  const own = ownOptions('t5', options, t5Names)
  const { padToken = 0 } = own
  return fromConfig(
    't5',
    t5Architecture,
    {
      vocab_size: own.vocabSize,
      num_layers: own.layers,
      num_decoder_layers: own.decoderLayers,
      d_model: own.width,
      num_heads: own.heads,
      d_kv: own.headDim,
      d_ff: own.inner,
      feed_forward_proj: own.feedForward,
      dropout_rate: own.dropout,
      tie_word_embeddings: own.tieWordEmbeddings,
      pad_token_id: padToken,
      decoder_start_token_id: own.startToken ?? padToken,
      // transformers' default would be 1, whatever the vocabulary.
      eos_token_id: own.endTokens ?? null,
    },
    layerOf(own),
  )
}

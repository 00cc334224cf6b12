/** Settings of T5 and mT5, in the spellings of T5 1.0, T5 1.1 and transformers 5. */
import { shown } from '../core/errors.js'
import { type ActivationName, activationNames } from './activation.js'
import type { ConfigJson, Settings } from './config.js'
import type { Seq2SeqConfig } from './seq2seq.js'

export interface T5Config extends Seq2SeqConfig {
  readonly width: number
  /** The number of blocks in the encoder, and in the decoder. */
  readonly layers: number
  readonly decoderLayers: number
  readonly heads: number
  readonly headDim: number
  /** Width of the feed-forward network. */
  readonly inner: number
  readonly activation: ActivationName
  /** Whether the activated projection is multiplied by a second one (Shazeer, 2020). */
  readonly gated: boolean
  /**
   * The number of groups of distances between query and key, each with its own bias. All distances from `maxDistance`
   * on form one group.
   */
  readonly buckets: number
  readonly maxDistance: number
  readonly eps: number
  readonly dropout: number
  /** Whether the head's input is the last states divided by the root of their width, as in the first T5. */
  readonly scaleOutputs: boolean
}

/** Differences between T5 and mT5 that a configuration does not contain. */
export interface T5Kind {
  readonly name: string
  readonly modelType: string
  readonly projection: 'relu' | 'gated-gelu'
  readonly sizes: {
    readonly vocabSize: number
    readonly layers: number
    readonly heads: number
    readonly inner: number
  }
  /** Whether this kind includes models whose head takes scaled states. */
  readonly scales: boolean
}

/**
 * Whether the head takes scaled states. T5 1.1, whose head does not, is recognised by a separate head, or by
 * transformers 5's flag.
 */
export function scalesOutputs(json: ConfigJson): boolean {
  const flag = json['scale_decoder_outputs']
  return typeof flag === 'boolean' ? flag : json['tie_word_embeddings'] !== false
}

/** A token that can be read, so negative ones, which count from the end, are refused. */
function tokenOf(settings: Settings, name: string, vocabSize: number): number | null {
  const token = settings.token(name, vocabSize)
  if (token !== null && token < 0) settings.fault(`${name} is ${token}, but must be one of the ${vocabSize} tokens`)
  return token
}

/** Token 1 if the file does not say, or none if it says null. */
function endTokensOf(settings: Settings, vocabSize: number): readonly number[] {
  const value = Object.hasOwn(settings.json, 'eos_token_id') ? (settings.value('eos_token_id') ?? []) : 1
  const tokens: readonly unknown[] = Array.isArray(value) ? value : [value]
  const fits = (token: unknown): token is number =>
    Number.isInteger(token) && Number(token) >= 0 && (Number(token) < vocabSize || value === 1)
  if (tokens.every(fits)) return tokens
  settings.fault(`eos_token_id is ${shown(value)}, but must be one of the ${vocabSize} tokens, a list of them, or null`)
  return []
}

/** The configuration in `config.json`. `Settings.close` reports its faults. */
export function readT5(settings: Settings, kind: T5Kind): T5Config {
  const { sizes } = kind
  // Positions have no limit, and the other setting is for heads of other tasks.
  settings.unused('n_positions', 'classifier_dropout')
  settings.only('is_encoder_decoder', true)
  settings.only('is_decoder', false)
  const vocabSize = settings.size('vocab_size', sizes.vocabSize)
  const layers = settings.layers('num_layers', sizes.layers)
  const buckets = settings.size('relative_attention_num_buckets', 32)
  const maxDistance = settings.size('relative_attention_max_distance', 128)
  if (buckets < 4) settings.fault(`relative_attention_num_buckets is ${buckets}, but must be at least 4`)
  else if (maxDistance <= Math.floor(buckets / 2))
    settings.fault(
      `relative_attention_max_distance is ${maxDistance}, but must be more than half of the ${buckets} buckets ` +
        '(relative_attention_num_buckets)',
    )
  const projections = activationNames.flatMap((name) => [name, `gated-${name}` as const])
  const projection = settings.choice('feed_forward_proj', projections, kind.projection)
  const named = projection.replace('gated-', '') as ActivationName
  const padToken = tokenOf(settings, 'pad_token_id', vocabSize) ?? 0
  settings.flag('tie_word_embeddings', true)
  if (kind.scales) settings.flag('scale_decoder_outputs', true)
  else settings.only('scale_decoder_outputs', false)
  return {
    vocabSize,
    width: settings.size('d_model', 512),
    layers,
    decoderLayers: settings.layers('num_decoder_layers', layers),
    heads: settings.size('num_heads', sizes.heads),
    headDim: settings.size('d_kv', 64),
    inner: settings.size('d_ff', sizes.inner),
    // GELU with a gate is its approximation by tanh, whatever its name, because the folders of T5 1.1 mean that.
    activation: settings.choice('dense_act_fn', activationNames, projection === 'gated-gelu' ? 'gelu_new' : named),
    gated: settings.flag('is_gated_act', projection.startsWith('gated-')),
    buckets,
    maxDistance,
    eps: settings.positive('layer_norm_epsilon', 1e-6),
    dropout: settings.dropout('dropout_rate', 0.1),
    scaleOutputs: kind.scales && scalesOutputs(settings.json),
    tieWordEmbeddings: settings.json['tie_word_embeddings'] !== false,
    padToken,
    startToken: tokenOf(settings, 'decoder_start_token_id', vocabSize) ?? padToken,
    endTokens: endTokensOf(settings, vocabSize),
  }
}

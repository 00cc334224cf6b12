/**
 * BERT (Devlin et al., 2018): an encoder of Transformer blocks over the sum of embeddings of tokens, positions and
 * token types. Norms come after attention and network. There are heads for its pre-training and for fine-tuning. Names
 * and numbers are those of transformers' Bert models.
 */

import { checkTensor } from '../autograd/operator.js'
import { ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/dropout.js'
import { Embedding } from '../nn/embedding.js'
import { type LayerOptions, parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module, type Parameter } from '../nn/module.js'
import { LayerNorm } from '../nn/norm.js'
import { runBlock } from '../nn/run-block.js'
import { arange } from '../ops/creation.js'
import { add, clamp, div, mul, tanh } from '../ops/elementwise/index.js'
import { select } from '../ops/shape/index.js'
import type { Loss } from '../train/objective.js'
import { activationNames, activationOf } from './activation.js'
import type { Architecture } from './architecture.js'
import type { ConfigJson, Settings } from './config.js'
import {
  attendAll,
  checkShaped,
  EncoderBody,
  type EncoderConfig,
  type EncoderInputs,
  EncoderModel,
  encoderFiles,
  encoderNames,
  labelsOf,
  padTokenOf,
  problemTypeOf,
  type Tokens,
} from './encoder.js'
import {
  isTied,
  type LabelledInputs,
  MaskedLM,
  MultipleChoice,
  maskedLoss,
  QuestionAnswerer,
  SequenceClassifier,
  TokenClassifier,
  tieHead,
  untieBias,
} from './heads.js'
import type { PretrainedModel } from './pretrained.js'
import type { SaveOptions } from './save.js'
import { classLoss } from './scores.js'

export interface BertConfig extends EncoderConfig {
  /**
   * The number of rows in the table of positions: the longest sequence, and in RoBERTa also the rows before the first
   * position.
   */
  readonly positions: number
  /** The number of token types in a sequence. */
  readonly types: number
}

class BertEmbeddings extends Module {
  static override readonly stateNames = { norm: 'LayerNorm' }
  readonly wordEmbeddings: Embedding
  readonly positionEmbeddings: Embedding
  readonly tokenTypeEmbeddings: Embedding
  readonly norm: LayerNorm
  readonly dropout: Dropout

  constructor(config: BertConfig, positionPadding: number | null, options: LayerOptions) {
    super()
    const { vocabSize, positions, types, width, eps, dropout, padToken } = config
    this.wordEmbeddings = new Embedding(vocabSize, width, { ...options, paddingIdx: padToken })
    this.positionEmbeddings = new Embedding(positions, width, { ...options, paddingIdx: positionPadding })
    this.tokenTypeEmbeddings = new Embedding(types, width, options)
    this.norm = new LayerNorm(width, { ...options, eps })
    this.dropout = new Dropout(dropout)
  }

  forward(ids: Tensor, positions: Tensor, { types, prompt }: Tokens): Tensor {
    // By default all tokens belong to the first text.
    const type =
      types === null ? select(this.tokenTypeEmbeddings.weight, 0, 0) : this.tokenTypeEmbeddings.forward(types)
    const tokens = this.wordEmbeddings.forward(ids)
    const words = prompt === null ? tokens : prompt.before(tokens)
    const sum: Tensor = add(add(words, type), this.positionEmbeddings.forward(positions))
    return this.dropout.forward(this.norm.forward(sum))
  }
}

class BertSelfAttention extends Module {
  readonly query: Linear
  readonly key: Linear
  readonly value: Linear
  readonly #heads: number
  readonly #dropout: number

  constructor({ width, heads, attentionDropout }: BertConfig, options: LayerOptions) {
    super()
    this.query = new Linear(width, width, options)
    this.key = new Linear(width, width, options)
    this.value = new Linear(width, width, options)
    this.#heads = heads
    this.#dropout = attentionDropout
  }

  forward(x: Tensor, mask: Tensor | null): Tensor {
    return attendAll(this.query.forward(x), this.key.forward(x), this.value.forward(x), mask, {
      heads: this.#heads,
      dropoutP: this.training ? this.#dropout : 0,
    })
  }
}

/** A projection onto the residual stream, and the norm after the sum. */
class BertOutput extends Module {
  static override readonly stateNames = { norm: 'LayerNorm' }
  readonly dense: Linear
  readonly norm: LayerNorm
  readonly dropout: Dropout

  constructor(inputs: number, { width, eps, dropout }: BertConfig, options: LayerOptions) {
    super()
    this.dense = new Linear(inputs, width, options)
    this.norm = new LayerNorm(width, { ...options, eps })
    this.dropout = new Dropout(dropout)
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return this.norm.forward(add(this.dropout.forward(this.dense.forward(x)), residual))
  }
}

class BertAttention extends Module {
  readonly self: BertSelfAttention
  readonly output: BertOutput

  constructor(config: BertConfig, options: LayerOptions) {
    super()
    this.self = new BertSelfAttention(config, options)
    this.output = new BertOutput(config.width, config, options)
  }

  forward(x: Tensor, mask: Tensor | null): Tensor {
    return this.output.forward(this.self.forward(x, mask), x)
  }
}

/** A linear layer and the activation. */
class BertIntermediate extends Module {
  readonly dense: Linear
  readonly #activation: (x: Tensor) => Tensor

  constructor({ width, inner, activation }: BertConfig, options: LayerOptions) {
    super()
    this.dense = new Linear(width, inner, options)
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    return this.#activation(this.dense.forward(x))
  }
}

class BertLayer extends Module {
  readonly attention: BertAttention
  readonly intermediate: BertIntermediate
  readonly output: BertOutput

  constructor(config: BertConfig, options: LayerOptions) {
    super()
    this.attention = new BertAttention(config, options)
    this.intermediate = new BertIntermediate(config, options)
    this.output = new BertOutput(config.inner, config, options)
  }

  forward(x: Tensor, mask: Tensor | null): Tensor {
    const attended = this.attention.forward(x, mask)
    return this.output.forward(this.intermediate.forward(attended), attended)
  }
}

class BertEncoder extends Module {
  readonly layer: BertLayer[]

  constructor(config: BertConfig, options: LayerOptions) {
    super()
    this.layer = Array.from({ length: config.layers }, () => new BertLayer(config, options))
  }

  forward(x: Tensor, mask: Tensor | null): Tensor {
    return this.layer.reduce((y, layer) => runBlock(layer, () => layer.forward(y, mask)), x)
  }
}

/** One vector for a text, from its first token, which exists for that purpose. */
class BertPooler extends Module {
  readonly dense: Linear

  constructor(width: number, options: LayerOptions) {
    super()
    this.dense = new Linear(width, width, options)
  }

  forward(states: Tensor): Tensor {
    return tanh(this.dense.forward(select(states, 1, 0)))
  }
}

/** BERT without a head: int32 ids [B, T] -> states [B, T, width]. */
export class Bert extends EncoderBody<BertConfig> {
  readonly embeddings: BertEmbeddings
  readonly encoder: BertEncoder
  /** Null in models whose head reads all tokens. */
  readonly pooler: BertPooler | null

  constructor(config: BertConfig, json: ConfigJson, options: LayerOptions = {}, pooled = true) {
    super(config, json)
    this.embeddings = new BertEmbeddings(config, this.positionPadding, options)
    this.encoder = new BertEncoder(config, options)
    this.pooler = pooled ? new BertPooler(config.width, options) : null
  }

  get prefix(): string {
    return 'bert'
  }

  override get architecture(): Architecture<object, PretrainedModel> {
    return bertArchitectures.embedding
  }

  override blocks(): Module[] {
    return [...this.encoder.layer]
  }

  override inputEmbedding(): Embedding {
    return this.embeddings.wordEmbeddings
  }

  /** The position of padding, whose embedding is not learned. */
  protected get positionPadding(): number | null {
    return null
  }

  /** The positions of all columns, those of a prompt first: int32 [C] or [B, C]. */
  protected placesOf(ids: Tensor, virtual: number): Tensor {
    return arange(0, virtual + (ids.sizes[1] as number), 1, { dtype: 'int32', device: ids.device })
  }

  protected override states(ids: Tensor, tokens: Tokens): Tensor {
    const places = tokens.positions ?? this.placesOf(ids, tokens.prompt?.tokens ?? 0)
    return this.encoder.forward(this.embeddings.forward(ids, places, tokens), tokens.mask)
  }

  /** The vector of a text for heads that classify whole texts: states [B, T, width] -> [B, width]. */
  pool(states: Tensor): Tensor {
    return (this.pooler as BertPooler).forward(states)
  }
}

class BertTransform extends Module {
  static override readonly stateNames = { norm: 'LayerNorm' }
  readonly dense: Linear
  readonly norm: LayerNorm
  readonly #activation: (x: Tensor) => Tensor

  constructor({ width, eps, activation }: BertConfig, options: LayerOptions) {
    super()
    this.dense = new Linear(width, width, options)
    this.norm = new LayerNorm(width, { ...options, eps })
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    return this.norm.forward(this.#activation(this.dense.forward(x)))
  }
}

class BertPredictions extends Module {
  bias: Parameter
  readonly transform: BertTransform
  readonly decoder: Linear

  constructor(config: BertConfig, options: LayerOptions) {
    super()
    this.bias = parameter('BertPredictions', [config.vocabSize], options)
    this.transform = new BertTransform(config, options)
    this.decoder = new Linear(config.width, config.vocabSize, options)
  }

  forward(states: Tensor): Tensor {
    return this.decoder.forward(this.transform.forward(states))
  }
}

class BertMaskedLM extends MaskedLM<BertConfig> {
  readonly cls: { readonly predictions: BertPredictions }

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    this.cls = { predictions: new BertPredictions(body.config, options) }
    if (body.config.tieWordEmbeddings) tieHead(this, this.cls.predictions)
  }

  protected override transformed(states: Tensor): Tensor {
    return this.cls.predictions.transform.forward(states)
  }

  override outputHead(): Linear {
    return this.cls.predictions.decoder
  }

  override async save(folder: string, options: SaveOptions = {}): Promise<void> {
    untieBias(this, this.cls.predictions)
    await super.save(folder, options)
  }
}

/**
 * Scores of the two tasks of pre-training: every token for each column, [B, T, vocabSize], and whether the second text
 * follows the first, [B, 2].
 */
export type PreTrainingScores = { readonly predictions: Tensor; readonly nextSentence: Tensor }

export interface PreTrainingInputs extends LabelledInputs {
  /** int32 [B]: 0 if the second text follows the first, otherwise 1. */
  readonly nextSentenceLabels: Tensor
}

/** BERT with both heads of pre-training: masked tokens and next sentences. */
export class BertPreTraining extends EncoderModel<BertConfig> {
  readonly cls: { readonly predictions: BertPredictions; readonly seq_relationship: Linear }
  declare readonly body: Bert

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    const { config } = body
    this.cls = {
      predictions: new BertPredictions(config, options),
      seq_relationship: new Linear(config.width, 2, options),
    }
    if (config.tieWordEmbeddings) tieHead(this, this.cls.predictions)
  }

  outputHead(): Linear {
    return this.cls.predictions.decoder
  }

  override forward(ids: Tensor, inputs: EncoderInputs = {}): PreTrainingScores {
    const states = this.body.forward(ids, inputs)
    return {
      predictions: this.cls.predictions.forward(states),
      nextSentence: this.cls.seq_relationship.forward(this.body.pool(states)),
    }
  }

  /**
   * The mean over masked tokens plus the mean over pairs, times the number of pairs, which is the count. The tokens'
   * labels are int32 [B, T], with -100 for those that are not learned. A batch without masked tokens teaches only the
   * pairs. Logits of tokens are not kept.
   */
  loss(ids: Tensor, inputs: PreTrainingInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const names = { ...encoderNames, labels: true, nextSentenceLabels: true } as const
    const { labels, nextSentenceLabels, ...rest } = ownOptions(op, inputs, names)
    checkTensor(op, 'ids', ids)
    checkShaped(op, 'labels', labels, ids.sizes, ['int32'])
    checkShaped(op, 'nextSentenceLabels', nextSentenceLabels, [ids.sizes[0] as number], ['int32'])
    const states = this.body.forward(ids, rest)
    const tokens = maskedLoss(this.outputHead(), this.cls.predictions.transform.forward(states), labels)
    const pairs = classLoss(this.cls.seq_relationship.forward(this.body.pool(states)), nextSentenceLabels)
    const perPair: Tensor = mul(div(tokens.total, clamp(tokens.count, 1)), pairs.count)
    return { total: add(perPair, pairs.total), count: pairs.count }
  }

  protected override get changes(): ConfigJson {
    return { tie_word_embeddings: isTied(this) }
  }

  override async save(folder: string, options: SaveOptions = {}): Promise<void> {
    untieBias(this, this.cls.predictions)
    await super.save(folder, options)
  }
}

/** Whether the second text follows the first (class 0) or not (class 1): int32 ids [B, T] -> [B, 2]. */
export class BertNextSentence extends EncoderModel<BertConfig> {
  readonly cls: { readonly seq_relationship: Linear }
  declare readonly body: Bert

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    this.cls = { seq_relationship: new Linear(body.config.width, 2, options) }
  }

  override forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor {
    return this.cls.seq_relationship.forward(this.body.pool(this.body.forward(ids, inputs)))
  }

  /** The summed cross entropy of labels, int32 [B], and the number of labels that are not -100. */
  loss(ids: Tensor, inputs: LabelledInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels, ...rest } = ownOptions(op, inputs, { ...encoderNames, labels: true } as const)
    checkTensor(op, 'ids', ids)
    checkShaped(op, 'labels', labels, [ids.sizes[0] as number], ['int32'])
    return { ...classLoss(this.forward(ids, rest), labels), target: labels }
  }
}

class BertSequenceClassifier extends SequenceClassifier<BertConfig> {
  readonly dropout: Dropout
  readonly classifier: Linear
  declare readonly body: Bert

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    const { headDropout, width, labels } = body.config
    this.dropout = new Dropout(headDropout.sequence)
    this.classifier = new Linear(width, labels.length, options)
  }

  protected override scores(states: Tensor): Tensor {
    return this.classifier.forward(this.dropout.forward(this.body.pool(states)))
  }
}

/** Multiple choice by BERT or RoBERTa. */
export class BertMultipleChoice extends MultipleChoice<BertConfig> {
  readonly dropout: Dropout
  readonly classifier: Linear
  declare readonly body: Bert

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    this.dropout = new Dropout(body.config.headDropout.sequence)
    this.classifier = new Linear(body.config.width, 1, options)
  }

  protected override scores(states: Tensor): Tensor {
    return this.classifier.forward(this.dropout.forward(this.body.pool(states)))
  }
}

/** The parts from which heads are made. */
export type HeadArguments = readonly [
  architecture: Architecture<object, PretrainedModel>,
  body: Bert,
  json: ConfigJson,
  options: LayerOptions,
]

/** Reads settings that BERT and RoBERTa share. */
export function readBert(
  settings: Settings,
  own: { readonly vocabSize: number; readonly padToken: number },
): BertConfig {
  settings.only('is_decoder', false)
  settings.only('add_cross_attention', false)
  settings.only('position_embedding_type', 'absolute')
  // Settings of BERT's original program, which never used them.
  settings.unused('directionality', 'pooler_fc_size', 'pooler_num_attention_heads', 'pooler_num_fc_layers')
  settings.unused('pooler_size_per_head', 'pooler_type')
  const width = settings.size('hidden_size', 768)
  const heads = settings.size('num_attention_heads', 12)
  if (width % heads !== 0)
    settings.fault(`hidden_size is ${width}, but must be a multiple of num_attention_heads, ${heads}`)
  const vocabSize = settings.size('vocab_size', own.vocabSize)
  const positions = settings.size('max_position_embeddings', 512)
  const dropout = settings.dropout('hidden_dropout_prob', 0.1)
  const classifierDropout = settings.dropout('classifier_dropout', dropout)
  return {
    vocabSize,
    context: positions,
    positions,
    types: settings.size('type_vocab_size', 2),
    width,
    layers: settings.layers('num_hidden_layers', 12),
    heads,
    inner: settings.size('intermediate_size', 3072),
    activation: settings.choice('hidden_act', activationNames, 'gelu'),
    eps: settings.positive('layer_norm_eps', 1e-12),
    dropout,
    attentionDropout: settings.dropout('attention_probs_dropout_prob', 0.1),
    headDropout: { sequence: classifierDropout, token: classifierDropout, answer: 0 },
    padToken: padTokenOf(settings, vocabSize, own.padToken),
    labels: labelsOf(settings),
    problemType: problemTypeOf(settings),
    tieWordEmbeddings: settings.flag('tie_word_embeddings', true),
  }
}

const parts = ['cls.predictions', 'cls.seq_relationship', 'classifier', 'qa_outputs', 'bert.pooler'] as const

type Head<M extends PretrainedModel<BertConfig>> = new (...args: HeadArguments) => M

/** An architecture of BERT with a head, which has these parts besides the body's layers. */
function bertWith<M extends PretrainedModel<BertConfig>>(
  name: string,
  Made: Head<M>,
  own: readonly (typeof parts)[number][],
): Architecture<BertConfig, M> {
  const architecture: Architecture<BertConfig, M> = {
    name: `BertFor${name}`,
    modelTypes: ['bert'],
    files: encoderFiles('bert', parts, own),
    head: own.filter((part) => part !== 'cls.predictions'),
    read: (settings) => readBert(settings, { vocabSize: 30_522, padToken: 0 }),
    make: (config, json, options) =>
      new Made(architecture, new Bert(config, json, options, own.includes('bert.pooler')), json, options),
  }
  return architecture
}

export const bertArchitectures = {
  embedding: {
    name: 'BertModel',
    modelTypes: ['bert'],
    files: encoderFiles('bert', parts, null),
    head: ['pooler'],
    read: (settings) => readBert(settings, { vocabSize: 30_522, padToken: 0 }),
    make: (config, json, options) => new Bert(config, json, options),
  } satisfies Architecture<BertConfig, Bert>,
  maskedLM: bertWith('MaskedLM', BertMaskedLM, ['cls.predictions']),
  preTraining: bertWith('PreTraining', BertPreTraining, ['cls.predictions', 'cls.seq_relationship', 'bert.pooler']),
  nextSentence: bertWith('NextSentencePrediction', BertNextSentence, ['cls.seq_relationship', 'bert.pooler']),
  sequenceClassification: bertWith('SequenceClassification', BertSequenceClassifier, ['classifier', 'bert.pooler']),
  multipleChoice: bertWith('MultipleChoice', BertMultipleChoice, ['classifier', 'bert.pooler']),
  tokenClassification: bertWith('TokenClassification', TokenClassifier<BertConfig>, ['classifier']),
  questionAnswering: bertWith('QuestionAnswering', QuestionAnswerer<BertConfig>, ['qa_outputs']),
} as const

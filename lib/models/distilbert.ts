/**
 * DistilBERT (Sanh et al., 2019): BERT with half the layers, without embeddings of token types and without a pooler.
 * Names and numbers are those of transformers' DistilBert models.
 */
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/dropout.js'
import { Embedding } from '../nn/embedding.js'
import type { LayerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module } from '../nn/module.js'
import { LayerNorm } from '../nn/norm.js'
import type { Prompt } from '../nn/prompt.js'
import { runBlock } from '../nn/run-block.js'
import { arange } from '../ops/creation.js'
import { add, relu } from '../ops/elementwise/index.js'
import { select } from '../ops/shape/index.js'
import { activationNames, activationOf } from './activation.js'
import type { Architecture } from './architecture.js'
import type { ConfigJson, Settings } from './config.js'
import {
  attendAll,
  EncoderBody,
  type EncoderConfig,
  encoderFiles,
  labelsOf,
  padTokenOf,
  problemTypeOf,
  type Tokens,
} from './encoder.js'
import { MaskedLM, MultipleChoice, QuestionAnswerer, SequenceClassifier, TokenClassifier, tieHead } from './heads.js'
import type { PretrainedModel } from './pretrained.js'

export type DistilBertConfig = EncoderConfig

class DistilBertEmbeddings extends Module {
  static override readonly stateNames = { norm: 'LayerNorm' }
  readonly wordEmbeddings: Embedding
  readonly positionEmbeddings: Embedding
  readonly norm: LayerNorm
  readonly dropout: Dropout

  constructor({ vocabSize, context, width, eps, dropout, padToken }: DistilBertConfig, options: LayerOptions) {
    super()
    this.wordEmbeddings = new Embedding(vocabSize, width, { ...options, paddingIdx: padToken })
    this.positionEmbeddings = new Embedding(context, width, options)
    this.norm = new LayerNorm(width, { ...options, eps })
    this.dropout = new Dropout(dropout)
  }

  forward(ids: Tensor, positions: Tensor, prompt: Prompt | null): Tensor {
    const tokens = this.wordEmbeddings.forward(ids)
    const words = prompt === null ? tokens : prompt.before(tokens)
    const sum: Tensor = add(words, this.positionEmbeddings.forward(positions))
    return this.dropout.forward(this.norm.forward(sum))
  }
}

class DistilBertAttention extends Module {
  readonly qLin: Linear
  readonly kLin: Linear
  readonly vLin: Linear
  readonly outLin: Linear
  readonly #heads: number
  readonly #dropout: number

  constructor({ width, heads, attentionDropout }: DistilBertConfig, options: LayerOptions) {
    super()
    this.qLin = new Linear(width, width, options)
    this.kLin = new Linear(width, width, options)
    this.vLin = new Linear(width, width, options)
    this.outLin = new Linear(width, width, options)
    this.#heads = heads
    this.#dropout = attentionDropout
  }

  forward(x: Tensor, mask: Tensor | null): Tensor {
    const seen = attendAll(this.qLin.forward(x), this.kLin.forward(x), this.vLin.forward(x), mask, {
      heads: this.#heads,
      dropoutP: this.training ? this.#dropout : 0,
    })
    return this.outLin.forward(seen)
  }
}

class DistilBertNetwork extends Module {
  readonly lin1: Linear
  readonly lin2: Linear
  readonly dropout: Dropout
  readonly #activation: (x: Tensor) => Tensor

  constructor({ width, inner, activation, dropout }: DistilBertConfig, options: LayerOptions) {
    super()
    this.lin1 = new Linear(width, inner, options)
    this.lin2 = new Linear(inner, width, options)
    this.dropout = new Dropout(dropout)
    this.#activation = activationOf(activation)
  }

  forward(x: Tensor): Tensor {
    return this.dropout.forward(this.lin2.forward(this.#activation(this.lin1.forward(x))))
  }
}

class DistilBertBlock extends Module {
  readonly attention: DistilBertAttention
  readonly saLayerNorm: LayerNorm
  readonly ffn: DistilBertNetwork
  readonly outputLayerNorm: LayerNorm

  constructor(config: DistilBertConfig, options: LayerOptions) {
    super()
    const norm = { ...options, eps: config.eps }
    this.attention = new DistilBertAttention(config, options)
    this.saLayerNorm = new LayerNorm(config.width, norm)
    this.ffn = new DistilBertNetwork(config, options)
    this.outputLayerNorm = new LayerNorm(config.width, norm)
  }

  forward(x: Tensor, mask: Tensor | null): Tensor {
    const attended = this.saLayerNorm.forward(add(this.attention.forward(x, mask), x))
    return this.outputLayerNorm.forward(add(this.ffn.forward(attended), attended))
  }
}

/** DistilBERT without a head: int32 ids [B, T] -> states [B, T, width]. */
export class DistilBert extends EncoderBody<DistilBertConfig> {
  readonly embeddings: DistilBertEmbeddings
  readonly transformer: { readonly layer: readonly DistilBertBlock[] }

  constructor(config: DistilBertConfig, json: ConfigJson, options: LayerOptions = {}) {
    super(config, json)
    this.embeddings = new DistilBertEmbeddings(config, options)
    this.transformer = { layer: Array.from({ length: config.layers }, () => new DistilBertBlock(config, options)) }
  }

  get prefix(): string {
    return 'distilbert'
  }

  override get architecture(): Architecture<object, PretrainedModel> {
    return distilbertArchitectures.embedding
  }

  override blocks(): Module[] {
    return [...this.transformer.layer]
  }

  override inputEmbedding(): Embedding {
    return this.embeddings.wordEmbeddings
  }

  override get hasTypes(): boolean {
    return false
  }

  protected override states(ids: Tensor, { positions, mask, prompt }: Tokens): Tensor {
    const count = (prompt?.tokens ?? 0) + (ids.sizes[1] as number)
    const places = positions ?? arange(0, count, 1, { dtype: 'int32', device: ids.device })
    const embedded = this.embeddings.forward(ids, places, prompt)
    return this.transformer.layer.reduce((x, block) => runBlock(block, () => block.forward(x, mask)), embedded)
  }
}

/** The parts from which heads are made. */
type HeadArguments = readonly [
  architecture: Architecture<object, PretrainedModel>,
  body: DistilBert,
  json: ConfigJson,
  options: LayerOptions,
]

class DistilBertMaskedLM extends MaskedLM<DistilBertConfig> {
  readonly vocabTransform: Linear
  readonly vocabLayerNorm: LayerNorm
  readonly vocabProjector: Linear
  readonly #activation: (x: Tensor) => Tensor

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    const { width, vocabSize, eps, activation, tieWordEmbeddings } = body.config
    this.vocabTransform = new Linear(width, width, options)
    this.vocabLayerNorm = new LayerNorm(width, { ...options, eps })
    this.vocabProjector = new Linear(width, vocabSize, options)
    this.#activation = activationOf(activation)
    if (tieWordEmbeddings) tieHead(this, null)
  }

  protected override transformed(states: Tensor): Tensor {
    return this.vocabLayerNorm.forward(this.#activation(this.vocabTransform.forward(states)))
  }

  override outputHead(): Linear {
    return this.vocabProjector
  }
}

/** Two layers over the first token's state, shared by the heads for whole texts. */
function firstToken(states: Tensor, first: Linear, dropout: Dropout, last: Linear): Tensor {
  return last.forward(dropout.forward(relu(first.forward(select(states, 1, 0)))))
}

class DistilBertSequenceClassifier extends SequenceClassifier<DistilBertConfig> {
  readonly preClassifier: Linear
  readonly classifier: Linear
  readonly dropout: Dropout

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    const { width, labels, headDropout } = body.config
    this.preClassifier = new Linear(width, width, options)
    this.classifier = new Linear(width, labels.length, options)
    this.dropout = new Dropout(headDropout.sequence)
  }

  protected override scores(states: Tensor): Tensor {
    return firstToken(states, this.preClassifier, this.dropout, this.classifier)
  }
}

class DistilBertMultipleChoice extends MultipleChoice<DistilBertConfig> {
  readonly preClassifier: Linear
  readonly classifier: Linear
  readonly dropout: Dropout

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    const { width, headDropout } = body.config
    this.preClassifier = new Linear(width, width, options)
    this.classifier = new Linear(width, 1, options)
    this.dropout = new Dropout(headDropout.sequence)
  }

  protected override scores(states: Tensor): Tensor {
    return firstToken(states, this.preClassifier, this.dropout, this.classifier)
  }
}

function read(settings: Settings): DistilBertConfig {
  // The folder contains the table of positions, however it was initialised.
  settings.unused('sinusoidal_pos_embds', 'tie_weights_')
  const width = settings.size('dim', 768)
  const heads = settings.size('n_heads', 12)
  if (width % heads !== 0) settings.fault(`dim is ${width}, but must be a multiple of n_heads, ${heads}`)
  const vocabSize = settings.size('vocab_size', 30_522)
  const dropout = settings.dropout('dropout', 0.1)
  return {
    vocabSize,
    context: settings.size('max_position_embeddings', 512),
    width,
    layers: settings.layers('n_layers', 6),
    heads,
    inner: settings.size('hidden_dim', 3072),
    activation: settings.choice('activation', activationNames, 'gelu'),
    eps: 1e-12,
    dropout,
    attentionDropout: settings.dropout('attention_dropout', 0.1),
    headDropout: {
      sequence: settings.dropout('seq_classif_dropout', 0.2),
      token: dropout,
      answer: settings.dropout('qa_dropout', 0.1),
    },
    padToken: padTokenOf(settings, vocabSize, 0),
    labels: labelsOf(settings),
    problemType: problemTypeOf(settings),
    tieWordEmbeddings: settings.flag('tie_word_embeddings', true),
  }
}

const maskedParts = ['vocab_transform', 'vocab_layer_norm', 'vocab_projector'] as const
const parts = [...maskedParts, 'pre_classifier', 'classifier', 'qa_outputs'] as const

/** An architecture of DistilBERT with a head, which has these parts besides the body's layers. */
function distilbertWith<M extends PretrainedModel<DistilBertConfig>>(
  name: string,
  Made: new (...args: HeadArguments) => M,
  own: readonly (typeof parts)[number][],
): Architecture<DistilBertConfig, M> {
  const architecture: Architecture<DistilBertConfig, M> = {
    name: `DistilBertFor${name}`,
    modelTypes: ['distilbert'],
    files: encoderFiles('distilbert', parts, own),
    head: own.filter((part) => part !== 'vocab_projector'),
    read,
    make: (config, json, options) => new Made(architecture, new DistilBert(config, json, options), json, options),
  }
  return architecture
}

export const distilbertArchitectures = {
  embedding: {
    name: 'DistilBertModel',
    modelTypes: ['distilbert'],
    files: encoderFiles('distilbert', parts, null),
    read,
    make: (config, json, options) => new DistilBert(config, json, options),
  } satisfies Architecture<DistilBertConfig, DistilBert>,
  maskedLM: distilbertWith('MaskedLM', DistilBertMaskedLM, maskedParts),
  sequenceClassification: distilbertWith('SequenceClassification', DistilBertSequenceClassifier, [
    'pre_classifier',
    'classifier',
  ]),
  multipleChoice: distilbertWith('MultipleChoice', DistilBertMultipleChoice, ['pre_classifier', 'classifier']),
  tokenClassification: distilbertWith('TokenClassification', TokenClassifier<DistilBertConfig>, ['classifier']),
  questionAnswering: distilbertWith('QuestionAnswering', QuestionAnswerer<DistilBertConfig>, ['qa_outputs']),
} as const

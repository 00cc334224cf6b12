/**
 * RoBERTa (Liu et al., 2019): BERT trained longer, and only on tokens. Its positions count the tokens that are not
 * padding, beginning after padding's own row, and its heads differ. Names and numbers are those of transformers'
 * Roberta models.
 */
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/dropout.js'
import { type LayerOptions, parameter } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Module, type Parameter } from '../nn/module.js'
import { LayerNorm } from '../nn/norm.js'
import { castTo } from '../ops/convert.js'
import { add, gelu, mul, ne, tanh } from '../ops/elementwise/index.js'
import { cumsum } from '../ops/reduce/index.js'
import { select } from '../ops/shape/index.js'
import type { Architecture } from './architecture.js'
import { Bert, type BertConfig, BertMultipleChoice, type HeadArguments, readBert } from './bert.js'
import type { Settings } from './config.js'
import { encoderFiles } from './encoder.js'
import { MaskedLM, QuestionAnswerer, SequenceClassifier, TokenClassifier, tieHead, untieBias } from './heads.js'
import type { PretrainedModel } from './pretrained.js'
import type { SaveOptions } from './save.js'

/** RoBERTa without a head: int32 ids [B, T] -> states [B, T, width]. */
export class Roberta extends Bert {
  override get prefix(): string {
    return 'roberta'
  }

  override get architecture(): Architecture<object, PretrainedModel> {
    return robertaArchitectures.embedding
  }

  protected override get positionPadding(): number | null {
    return this.config.padToken
  }

  /**
   * Padding is recognised by the ids here, not by the mask. After a prompt all columns count, because transformers has
   * no ids then.
   */
  protected override placesOf(ids: Tensor, virtual: number): Tensor {
    const padding = this.config.padToken as number
    if (virtual > 0) return add(super.placesOf(ids, virtual), padding + 1)
    const real = castTo(ne(ids, padding), 'int32')
    const count: Tensor = mul(cumsum(real, 1), real)
    return add(count, padding)
  }
}

class RobertaLMHead extends Module {
  bias: Parameter
  readonly dense: Linear
  readonly layerNorm: LayerNorm
  readonly decoder: Linear

  constructor({ width, vocabSize, eps }: BertConfig, options: LayerOptions) {
    super()
    this.bias = parameter('RobertaLMHead', [vocabSize], options)
    this.dense = new Linear(width, width, options)
    this.layerNorm = new LayerNorm(width, { ...options, eps })
    this.decoder = new Linear(width, vocabSize, options)
  }

  /** The input of the decoder layer. Its activation is GELU, whatever the blocks' activation is. */
  forward(states: Tensor): Tensor {
    return this.layerNorm.forward(gelu(this.dense.forward(states)))
  }
}

class RobertaMaskedLM extends MaskedLM<BertConfig> {
  readonly lmHead: RobertaLMHead

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    this.lmHead = new RobertaLMHead(body.config, options)
    if (body.config.tieWordEmbeddings) tieHead(this, this.lmHead)
  }

  protected override transformed(states: Tensor): Tensor {
    return this.lmHead.forward(states)
  }

  override outputHead(): Linear {
    return this.lmHead.decoder
  }

  override async save(folder: string, options: SaveOptions = {}): Promise<void> {
    untieBias(this, this.lmHead)
    await super.save(folder, options)
  }
}

/** Two layers over the first token's state. */
class RobertaClassificationHead extends Module {
  readonly dense: Linear
  readonly dropout: Dropout
  readonly outProj: Linear

  constructor({ width, labels, headDropout }: BertConfig, options: LayerOptions) {
    super()
    this.dense = new Linear(width, width, options)
    this.dropout = new Dropout(headDropout.sequence)
    this.outProj = new Linear(width, labels.length, options)
  }

  forward(states: Tensor): Tensor {
    const first = this.dropout.forward(select(states, 1, 0))
    return this.outProj.forward(this.dropout.forward(tanh(this.dense.forward(first))))
  }
}

class RobertaSequenceClassifier extends SequenceClassifier<BertConfig> {
  readonly classifier: RobertaClassificationHead

  constructor(...[architecture, body, json, options]: HeadArguments) {
    super(architecture, body, json)
    this.classifier = new RobertaClassificationHead(body.config, options)
  }

  protected override scores(states: Tensor): Tensor {
    return this.classifier.forward(states)
  }
}

function read(settings: Settings): BertConfig {
  const config = readBert(settings, { vocabSize: 50_265, padToken: 1 })
  const { padToken, positions } = config
  if (padToken === null || padToken < 0 || padToken + 1 >= positions)
    settings.fault(
      `pad_token_id is ${padToken}, but must be from 0 to ${positions - 2}, because positions begin after it (max_position_embeddings ${positions})`,
    )
  return { ...config, context: positions - 1 - (padToken ?? 0) }
}

const parts = ['lm_head', 'classifier', 'qa_outputs', 'roberta.pooler'] as const

/** An architecture of RoBERTa with a head, which has these parts besides the body's layers. */
function robertaWith<M extends PretrainedModel<BertConfig>>(
  name: string,
  Made: new (...args: HeadArguments) => M,
  own: readonly (typeof parts)[number][],
): Architecture<BertConfig, M> {
  const architecture: Architecture<BertConfig, M> = {
    name: `RobertaFor${name}`,
    modelTypes: ['roberta'],
    files: encoderFiles('roberta', parts, own),
    head: own.filter((part) => part !== 'lm_head'),
    read,
    make: (config, json, options) =>
      new Made(architecture, new Roberta(config, json, options, own.includes('roberta.pooler')), json, options),
  }
  return architecture
}

export const robertaArchitectures = {
  embedding: {
    name: 'RobertaModel',
    modelTypes: ['roberta'],
    files: encoderFiles('roberta', parts, null),
    head: ['pooler'],
    read,
    make: (config, json, options) => new Roberta(config, json, options),
  } satisfies Architecture<BertConfig, Roberta>,
  maskedLM: robertaWith('MaskedLM', RobertaMaskedLM, ['lm_head']),
  sequenceClassification: robertaWith('SequenceClassification', RobertaSequenceClassifier, ['classifier']),
  multipleChoice: robertaWith('MultipleChoice', BertMultipleChoice, ['classifier', 'roberta.pooler']),
  tokenClassification: robertaWith('TokenClassification', TokenClassifier<BertConfig>, ['classifier']),
  questionAnswering: robertaWith('QuestionAnswering', QuestionAnswerer<BertConfig>, ['qa_outputs']),
} as const

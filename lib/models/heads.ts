/** Heads of encoders, by their task: the output and the loss. */

import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError } from '../core/errors.js'
import { checkOptions, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dropout } from '../nn/dropout.js'
import type { LayerOptions } from '../nn/layer.js'
import { Linear } from '../nn/linear.js'
import { Parameter } from '../nn/module.js'
import type { PromptSizes } from '../nn/prompt.js'
import { castTo } from '../ops/convert.js'
import { add, clamp, ne } from '../ops/elementwise/index.js'
import { linearCrossEntropy } from '../ops/loss/index.js'
import { sum } from '../ops/reduce/index.js'
import { reshape, select } from '../ops/shape/index.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'
import type { Loss } from '../train/objective.js'
import type { Architecture } from './architecture.js'
import type { ConfigJson } from './config.js'
import {
  checkShaped,
  type EncoderBody,
  type EncoderConfig,
  type EncoderInputs,
  EncoderModel,
  encoderNames,
  probeOf,
} from './encoder.js'
import type { Answer, AnswerOptions, Question } from './inference/answer.js'
import type { Classified, ClassifyOptions } from './inference/classify.js'
import type { Filled, FillOptions } from './inference/fill.js'
import type { TextPair } from './inference/run.js'
import type { Entity, TagOptions } from './inference/tag.js'
import type { PretrainedModel } from './pretrained.js'
import { classLoss, labelledLoss } from './scores.js'
import { ignored } from './vocabulary.js'

export interface LabelledInputs extends EncoderInputs {
  readonly labels: Tensor
}

const labelledNames = { ...encoderNames, labels: true } as const

/** Scores of all tokens for each column: int32 ids [B, T] -> [B, T, vocabSize]. */
export abstract class MaskedLM<out C extends EncoderConfig = EncoderConfig> extends EncoderModel<C> {
  /** The input of the last layer: states [B, T, width] -> [B, T, width]. */
  protected abstract transformed(states: Tensor): Tensor
  /** The layer that computes scores of tokens. Its weight may be the embedding's. */
  abstract outputHead(): Linear

  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor {
    return this.outputHead().forward(this.transformed(this.body.forward(ids, inputs)))
  }

  /**
   * The summed cross entropy of labels, int32 [B, T] with -100 for those that are not learned, and the number of
   * learned ones. Logits are not kept, so there is no output.
   */
  loss(ids: Tensor, inputs: LabelledInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels, ...rest } = ownOptions(op, inputs, labelledNames)
    checkTensor(op, 'ids', ids)
    checkShaped(op, 'labels', labels, ids.sizes, ['int32'])
    return maskedLoss(this.outputHead(), this.transformed(this.body.forward(ids, rest)), labels)
  }

  /**
   * The most probable tokens for each mask of a text, a list for each mask in order, the best first: `(await
   * model.fill(tokenizer, 'Paris is [MASK].'))[0]`. Each mask is filled as if the others stayed. The model runs in
   * evaluation mode, without a graph. Throws ValueError for a text without a mask, for one that is too long for the
   * model, and for a tokenizer of another model.
   */
  fill(tokenizer: Tokenizer, text: string, options?: FillOptions): Promise<Filled[][]>
  fill(tokenizer: Tokenizer, texts: readonly string[], options?: FillOptions): Promise<Filled[][][]>
  async fill(
    tokenizer: Tokenizer,
    texts: string | readonly string[],
    options: FillOptions = {},
  ): Promise<Filled[][] | Filled[][][]> {
    const { fill } = await import('./inference/fill.js')
    return fill(this, tokenizer, texts, options, (states) => this.outputHead().forward(this.transformed(states)))
  }

  protected override get changes(): ConfigJson {
    return { tie_word_embeddings: isTied(this) }
  }
}

/** The loss of masked tokens, from the last layer and its input. */
export function maskedLoss(head: Linear, states: Tensor, labels: Tensor): Loss & { count: Tensor } {
  // Adapters change the layer's output, so the layer must run.
  if (head.adapters.names.length > 0) return classLoss(head.forward(states), labels)
  const total = linearCrossEntropy(states, head.weight, labels, {
    linearBias: head.bias,
    ignoreIndex: ignored,
    reduction: 'sum',
  })
  return { total, count: sum(castTo(ne(labels, ignored), 'float32')) }
}

interface Scoring extends EncoderModel {
  outputHead(): Linear
}

/** Whether the head's weight is the embedding's. */
export function isTied(model: Scoring): boolean {
  return model.outputHead().weight.storage === model.inputEmbedding().weight.storage
}

/** A parameter with the bias of a head, under the name that files use besides the head's own. */
export interface NamedBias {
  bias: Parameter
}

/** transformers ties the two names of a head's bias if weights are tied, and otherwise reads both. */
export function tieHead(model: Scoring, named: NamedBias | null): void {
  const head = model.outputHead()
  head.weight = model.inputEmbedding().weight
  if (named !== null && head.bias !== null) named.bias = head.bias
}

/** If weights are no longer tied, a save needs both names of the bias in the file. */
export function untieBias(model: Scoring, named: NamedBias): void {
  const { bias } = model.outputHead()
  if (bias === null || isTied(model) || bias !== named.bias) return
  named.bias = noGrad(() => new Parameter(bias.clone(), bias.requiresGrad))
}

/** Scores of the classes of a whole text or pair: int32 ids [B, T] -> [B, classes]. */
export abstract class SequenceClassifier<out C extends EncoderConfig = EncoderConfig> extends EncoderModel<C> {
  /** States [B, T, width] -> [B, classes]. */
  protected abstract scores(states: Tensor): Tensor

  /**
   * Other heads take no prompts, because they compute scores of each column, and in PEFT these include the prompt's
   * columns.
   */
  override get promptSizes(): PromptSizes {
    const { width, layers, heads } = this.config
    return { width, layers, keyHeads: heads, headDim: width / heads, reader: 'encoder' }
  }

  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor {
    return this.scores(this.body.read(ids, inputs, this.adapters.prompt))
  }

  /**
   * The loss by `problemType`. Labels of classes are int32 [B], and have summed cross entropy. Labels of yes and no for
   * each class are float32 [B, classes], and have summed binary cross entropy. Labels of numbers are float32 [B,
   * classes], or [B] for a single one, and have squared errors. If the configuration has no type, one class means
   * numbers, and otherwise the dtype decides.
   */
  loss(ids: Tensor, inputs: LabelledInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels, ...rest } = ownOptions(op, inputs, labelledNames)
    const output = this.forward(ids, rest)
    return labelledLoss(op, output, labels, this.config.problemType)
  }

  /**
   * The class of a text or a pair, or of each of several, with the scores of all classes: `(await
   * model.classify(tokenizer, 'fine')).label`. If a row has several classes, `labels` are those above `threshold`. For
   * a regression the scores are the numbers. The model runs in evaluation mode, without a graph. Throws ValueError for
   * a text that is too long for the model, unless `maxLength` cuts it, and for a tokenizer of another model.
   */
  classify(tokenizer: Tokenizer, text: string | TextPair, options?: ClassifyOptions): Promise<Classified>
  classify(
    tokenizer: Tokenizer,
    texts: readonly (string | TextPair)[],
    options?: ClassifyOptions,
  ): Promise<Classified[]>
  async classify(
    tokenizer: Tokenizer,
    texts: string | TextPair | readonly (string | TextPair)[],
    options: ClassifyOptions = {},
  ): Promise<Classified | Classified[]> {
    const { classify } = await import('./inference/classify.js')
    return classify(this, tokenizer, texts, options)
  }
}

/** Scores of the classes of each token: int32 ids [B, T] -> [B, T, classes]. */
export class TokenClassifier<out C extends EncoderConfig = EncoderConfig> extends EncoderModel<C> {
  readonly dropout: Dropout
  readonly classifier: Linear

  constructor(
    architecture: Architecture<object, PretrainedModel>,
    body: EncoderBody<C>,
    json: ConfigJson,
    options: LayerOptions,
  ) {
    super(architecture, body, json)
    const { width, labels, headDropout } = body.config
    this.dropout = new Dropout(headDropout.token)
    this.classifier = new Linear(width, labels.length, options)
  }

  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor {
    return this.classifier.forward(this.dropout.forward(this.body.forward(ids, inputs)))
  }

  /**
   * The summed cross entropy of labels, int32 [B, T] with -100 for those that are not learned, and the number of
   * learned ones.
   */
  loss(ids: Tensor, inputs: LabelledInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels, ...rest } = ownOptions(op, inputs, labelledNames)
    checkTensor(op, 'ids', ids)
    checkShaped(op, 'labels', labels, ids.sizes, ['int32'])
    return { ...classLoss(this.forward(ids, rest), labels), target: labels }
  }

  /**
   * The tagged parts of a text, such as names, or of each of several texts, in order: `{ label, score, text, start, end
   * }`. The model runs in evaluation mode, without a graph. Throws ValueError for a tokenizer of another model.
   */
  tag(tokenizer: Tokenizer, text: string, options?: TagOptions): Promise<Entity[]>
  tag(tokenizer: Tokenizer, texts: readonly string[], options?: TagOptions): Promise<Entity[][]>
  async tag(
    tokenizer: Tokenizer,
    texts: string | readonly string[],
    options: TagOptions = {},
  ): Promise<Entity[] | Entity[][]> {
    const { tag } = await import('./inference/tag.js')
    return tag(this, tokenizer, texts, options)
  }
}

/** Scores of each column as the first and as the last one of an answer, [B, T]. */
export type Answers = { readonly start: Tensor; readonly end: Tensor }

export interface AnswerInputs extends EncoderInputs {
  /** int32 [B]: the columns at which answers begin and end. T or more if a row has none. */
  readonly startPositions: Tensor
  readonly endPositions: Tensor
}

/** Finds answers within a text: int32 ids [B, T] -> scores of their beginnings and ends. */
export class QuestionAnswerer<out C extends EncoderConfig = EncoderConfig> extends EncoderModel<C> {
  readonly dropout: Dropout
  readonly qaOutputs: Linear

  constructor(
    architecture: Architecture<object, PretrainedModel>,
    body: EncoderBody<C>,
    json: ConfigJson,
    options: LayerOptions,
  ) {
    super(architecture, body, json)
    const { width, headDropout } = body.config
    this.dropout = new Dropout(headDropout.answer)
    this.qaOutputs = new Linear(width, 2, options)
  }

  forward(ids: Tensor, inputs: EncoderInputs = {}): Answers {
    const scores = this.qaOutputs.forward(this.dropout.forward(this.body.forward(ids, inputs)))
    return { start: select(scores, -1, 0), end: select(scores, -1, 1) }
  }

  /**
   * The summed cross entropy of both ends over the columns, and the number of learned ends. Ends from T on are not
   * learned, and negative ones mean the first column, as in transformers.
   */
  loss(ids: Tensor, inputs: AnswerInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const names = { ...encoderNames, startPositions: true, endPositions: true } as const
    const { startPositions, endPositions, ...rest } = ownOptions(op, inputs, names)
    checkTensor(op, 'ids', ids)
    const [rows, columns] = ids.sizes as readonly [number, number]
    checkShaped(op, 'startPositions', startPositions, [rows], ['int32'])
    checkShaped(op, 'endPositions', endPositions, [rows], ['int32'])
    const output = this.forward(ids, rest)
    const start = classLoss(output.start, clamp(startPositions, 0, columns), columns)
    const end = classLoss(output.end, clamp(endPositions, 0, columns), columns)
    return { total: add(start.total, end.total), count: add(start.count, end.count), output }
  }

  /**
   * The part of a text that answers a question, or one for each of several questions: `await model.answer(tokenizer, {
   * question, context })`. With `noAnswer` it may be empty. The model runs in evaluation mode, without a graph. Throws
   * ValueError if the question leaves no room for the text, and for a tokenizer of another model.
   */
  answer(tokenizer: Tokenizer, question: Question, options?: AnswerOptions): Promise<Answer>
  answer(tokenizer: Tokenizer, questions: readonly Question[], options?: AnswerOptions): Promise<Answer[]>
  async answer(
    tokenizer: Tokenizer,
    given: Question | readonly Question[],
    options: AnswerOptions = {},
  ): Promise<Answer | Answer[]> {
    const { answerAll } = await import('./inference/answer.js')
    const isList = Array.isArray(given)
    const found = await answerAll(this, tokenizer, isList ? given : [given as Question], options)
    const best = found.map(([first]) => first ?? { text: '', start: 0, end: 0, score: 0 })
    return isList ? best : (best[0] as Answer)
  }

  /**
   * The `topK` best answers to a question, the best first. Overlapping windows may return the same part twice.
   * Otherwise like `answer`.
   */
  async answers(
    tokenizer: Tokenizer,
    question: Question,
    options: AnswerOptions & { readonly topK?: number } = {},
  ): Promise<Answer[]> {
    const { answerAll } = await import('./inference/answer.js')
    return (await answerAll(this, tokenizer, [question], options))[0] as Answer[]
  }
}

/** Chooses one of several texts: int32 ids [B, choices, T] -> [B, choices]. */
export abstract class MultipleChoice<out C extends EncoderConfig = EncoderConfig> extends EncoderModel<C> {
  /** States [B, T, width] -> [B, 1]. */
  protected abstract scores(states: Tensor): Tensor

  /** Inputs have the same shape as ids, [B, choices, T]. */
  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor {
    const op = this.constructor.name
    checkTensor(op, 'ids', ids)
    if (ids.ndim !== 3 || ids.numel === 0)
      throw new ShapeError(
        op,
        `ids are ${formatShape(ids.sizes)}, but must be [B, choices, T], with at least one token`,
        [ids.sizes],
      )
    const [rows, choices, columns] = ids.sizes as readonly [number, number, number]
    const flat = (x: Tensor, name: string): Tensor => {
      checkTensor(op, name, x)
      if (formatShape(x.sizes) === formatShape(ids.sizes)) return reshape(x, [rows * choices, columns])
      throw new ShapeError(op, `${name} is ${formatShape(x.sizes)}, but must be ${formatShape(ids.sizes)}`, [x.sizes])
    }
    const each: { [name: string]: Tensor } = {}
    for (const [name, value] of Object.entries(checkOptions(op, inputs, encoderNames)))
      if (value !== undefined && value !== null) each[name] = flat(value, name)
    return reshape(this.scores(this.body.forward(flat(ids, 'ids'), each)), [rows, choices])
  }

  /** The summed cross entropy of the right choices, int32 [B], and the number of rows whose choice is not -100. */
  loss(ids: Tensor, inputs: LabelledInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels, ...rest } = ownOptions(op, inputs, labelledNames)
    checkTensor(op, 'ids', ids)
    checkShaped(op, 'labels', labels, [ids.sizes[0] as number], ['int32'])
    return { ...classLoss(this.forward(ids, rest), labels), target: labels }
  }

  override probe(): readonly Tensor[] {
    const { ids, inputs } = probeOf(this.body)
    const mask = inputs.attentionMask as Tensor
    const shape = [1, ...ids.sizes]
    return [this.forward(reshape(ids, shape), { attentionMask: reshape(mask, shape) })]
  }
}

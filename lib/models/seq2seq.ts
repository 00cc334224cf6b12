/** The common part of encoder-decoders, which read one text and write another. */
import { noGrad } from '../autograd/mode.js'
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Embedding } from '../nn/embedding.js'
import type { Linear } from '../nn/linear.js'
import type { Prompt } from '../nn/prompt.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray, full } from '../ops/creation.js'
import { eq, ne } from '../ops/elementwise/index.js'
import { maskedFill } from '../ops/indexing/index.js'
import { crossEntropy, linearCrossEntropy } from '../ops/loss/index.js'
import { sum } from '../ops/reduce/index.js'
import { cat, narrow, reshape, unsqueeze } from '../ops/shape/index.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'
import type { Loss } from '../train/objective.js'
import type { KvCache } from './cache.js'
import { afterPrompt, type Columns, columnsOf } from './columns.js'
import type { ConfigJson } from './config.js'
import { checkShaped } from './encoder.js'
import { type Generated, type GenerateOptions, generateNames } from './generation/generate.js'
import { generateFrom, streamFrom } from './generation/source-decoder.js'
import type { Finish } from './generation/stop.js'
import type { StreamOptions } from './generation/stream.js'
import { PromptableModel } from './promptable.js'
import { Source } from './source.js'
import { endTokensOf, ignored, isBare, isTied, resizedEnds } from './vocabulary.js'

export interface Seq2SeqConfig {
  /** The number of tokens in the vocabulary. */
  readonly vocabSize: number
  /** Whether the head's weight is the embedding's. */
  readonly tieWordEmbeddings: boolean
  /** The token with which every text of the decoder begins. */
  readonly startToken: number
  /** The token that the decoder reads in place of a label that is not learned. */
  readonly padToken: number
  /** Tokens that end a text. */
  readonly endTokens: readonly number[]
}

export interface SourceInputs {
  /**
   * int32 or bool [B, S]: 1 for a column of the source with a token, 0 for padding, on either side. Default: all are
   * tokens.
   */
  readonly attentionMask?: Tensor | null
}

export interface Seq2SeqInputs extends SourceInputs {
  /** int32 [B, T]: the decoder's input. Default: the labels, each one column later, after the start token. */
  readonly decoderIds?: Tensor | null
  /**
   * int32 [B, T]: the text to generate, including its end token, with -100 for labels that are not learned, such as
   * padding.
   */
  readonly labels?: Tensor | null
}

export interface Seq2SeqLossInputs extends Seq2SeqInputs {
  readonly labels: Tensor
  /**
   * The share of each label's probability that is spread evenly over all tokens (Szegedy et al., 2016). In [0, 1].
   * Default 0.
   */
  readonly labelSmoothing?: number
}

export interface DecodeInputs {
  /** Keys and values of the earlier columns. The call appends its own. Only under `noGrad`. */
  readonly cache?: KvCache | null
}

export interface TranslateOptions extends Omit<GenerateOptions, 'tokenizer' | 'returnSequences' | 'logProbs'> {
  /** Put before each text, such as T5's `translate English to German: `. Default: nothing. */
  readonly prefix?: string
  /** The number of texts processed at once. Default 16. */
  readonly batchSize?: number
}

const sourceNames: OptionNames<SourceInputs> = { attentionMask: true }
const inputNames: OptionNames<Seq2SeqInputs> = { ...sourceNames, decoderIds: true, labels: true }
const lossNames: OptionNames<Seq2SeqLossInputs> = { ...inputNames, labelSmoothing: true }
const { tokenizer: _t, returnSequences: _r, logProbs: _l, ...writingNames } = generateNames
const translateNames: OptionNames<TranslateOptions> = { ...writingNames, prefix: true, batchSize: true }

function checkIds(op: string, name: string, ids: Tensor): void {
  checkTensor(op, name, ids)
  checkDType(op, name, ids, ['int32'])
  if (ids.ndim !== 2 || ids.numel === 0)
    throw new ShapeError(op, `${name} are ${formatShape(ids.sizes)}, but must be [B, T], with at least one token`, [
      ids.sizes,
    ])
}

/** A model that generates a text for another one. */
export abstract class Seq2SeqModel<out C extends Seq2SeqConfig = Seq2SeqConfig> extends PromptableModel<C> {
  /**
   * The encoder's last states: ids [B, S] and mask, bool [B, 1, 1, C] or null -> [B, C, width]. Columns C are the
   * tokens' columns after the prompt's.
   */
  protected abstract encoded(ids: Tensor, mask: Tensor | null, prompt: Prompt | null): Tensor
  /** The decoder's last states: ids [B, T] -> [B, T, width]. */
  protected abstract decoded(ids: Tensor, source: Source, columns: Columns): Tensor
  /** The embedding of tokens. */
  abstract inputEmbedding(): Embedding
  /** The layer that computes scores of tokens. Its weight may be the embedding's. */
  abstract outputHead(): Linear
  protected abstract replaceEmbedding(embedding: Embedding, head: Linear): void

  /** The head's input, computed from last states: [.., width] -> [.., width]. */
  protected scaled(states: Tensor): Tensor {
    return states
  }

  /** Encodes texts: int32 ids [B, S]. If a prompt of embeddings is active, its columns come first, as in PEFT. */
  encode(ids: Tensor, inputs: SourceInputs = {}): Source {
    const op = `${this.constructor.name}.encode`
    const { attentionMask = null } = checkOptions(op, inputs, sourceNames)
    checkIds(op, 'ids', ids)
    if (attentionMask !== null) checkShaped(op, 'attentionMask', attentionMask, ids.sizes, ['int32', 'uint8', 'bool'])
    const { prompt } = this.adapters
    const virtual = prompt?.computed ?? 0
    const seen = attentionMask === null ? null : castTo(afterPrompt(attentionMask, virtual), 'bool')
    const mask = seen === null ? null : unsqueeze(unsqueeze(seen, 1), 1)
    return new Source(this.encoded(ids, mask, prompt), mask)
  }

  /**
   * The decoder's last states, given the encoded source: int32 ids [B, T] -> [B, T, width]. With a cache, the source
   * also keeps its keys and values, and later calls need only the new columns.
   */
  decode(ids: Tensor, source: Source, inputs: DecodeInputs = {}): Tensor {
    const op = `${this.constructor.name}.decode`
    const { cache = null } = checkOptions(op, inputs, { cache: true })
    if (!(source instanceof Source))
      throw new ValueError(op, `the source is ${kindOf(source)}, but must be a result of encode()`)
    const { prompt } = this.adapters
    const columns = columnsOf(op, ids, { cache }, prompt?.kind === 'prefix' ? prompt : null)
    if (ids.sizes[0] !== source.rows)
      throw new ShapeError(op, `ids are ${formatShape(ids.sizes)}, but the source has ${source.rows} rows`, [ids.sizes])
    const states = this.decoded(ids, source, columns)
    cache?.advance(ids.sizes[1] as number)
    return states
  }

  /** Scores of all tokens: last states [.., width] -> [.., vocabSize]. */
  logits(states: Tensor): Tensor {
    checkTensor(`${this.constructor.name}.logits`, 'states', states)
    return this.outputHead().forward(this.scaled(states))
  }

  /** Scores of the token after each one in the decoder's input: int32 ids [B, S] -> [B, T, vocabSize]. */
  forward(ids: Tensor, inputs: Seq2SeqInputs): Tensor {
    return this.logits(
      this.#states(this.constructor.name, ids, checkOptions(this.constructor.name, inputs, inputNames)),
    )
  }

  /**
   * The summed cross entropy of each label given the source and the labels before it, and the number of learned labels.
   * Logits are not kept, unless the head has adapters or hooks.
   */
  loss(ids: Tensor, inputs: Seq2SeqLossInputs): Loss {
    const op = `${this.constructor.name}.loss`
    const { labelSmoothing = 0, ...rest } = ownOptions(op, inputs, lossNames)
    const { labels } = rest
    if (typeof labelSmoothing !== 'number' || !(labelSmoothing >= 0 && labelSmoothing <= 1))
      throw new ValueError(op, `labelSmoothing is ${shown(labelSmoothing)}, but must lie in [0, 1]`)
    checkIds(op, 'labels', labels)
    const states = this.scaled(this.#states(op, ids, rest))
    if (formatShape(states.sizes.slice(0, 2)) !== formatShape(labels.sizes))
      throw new ShapeError(
        op,
        `labels are ${formatShape(labels.sizes)}, but decoderIds ${formatShape(states.sizes.slice(0, 2))}`,
        [labels.sizes],
      )
    const options = { ignoreIndex: ignored, reduction: 'sum', labelSmoothing } as const
    const head = this.outputHead()
    const total = isBare(head)
      ? linearCrossEntropy(states, head.weight, labels, options)
      : crossEntropy(
          reshape(head.forward(states), [labels.numel, this.config.vocabSize]),
          reshape(labels, [labels.numel]),
          options,
        )
    return { total, count: sum(castTo(ne(labels, ignored), 'float32')) }
  }

  #states(op: string, ids: Tensor, { attentionMask = null, decoderIds = null, labels = null }: Seq2SeqInputs): Tensor {
    const read = decoderIds ?? (labels === null ? null : this.shiftRight(labels))
    if (read === null)
      throw new ValueError(op, 'neither decoderIds nor labels are given; the decoder needs one of them to read')
    return this.decode(read, this.encode(ids, { attentionMask }))
  }

  /** The decoder's input for labels: each one column later, after the start token. int32 [B, T] -> [B, T]. */
  shiftRight(labels: Tensor): Tensor {
    checkIds(`${this.constructor.name}.shiftRight`, 'labels', labels)
    const { startToken, padToken } = this.config
    const [b, t] = labels.sizes as readonly [number, number]
    const start = full([b, 1], startToken, { dtype: 'int32', device: labels.device })
    const shifted = cat([start, narrow(labels, 1, 0, t - 1)], 1)
    return maskedFill(shifted, eq(shifted, ignored), padToken)
  }

  /**
   * Tokens that end a text: those of `generation_config.json`, or otherwise of `config.json`. Throws ValueError for an
   * invalid one.
   */
  get endTokens(): readonly number[] {
    return endTokensOf(this, this.config.endTokens)
  }

  /**
   * The token with which generation begins: that of `generation_config.json`, or otherwise of `config.json`. Throws
   * ValueError for an invalid one.
   */
  get startToken(): number {
    const { startToken, vocabSize } = this.config
    const value = this.generationConfig?.['decoder_start_token_id'] ?? startToken
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < vocabSize) return Number(value)
    throw new ValueError(
      this.constructor.name,
      `decoder_start_token_id of generation_config.json is ${shown(value)}, but must be one of the ${vocabSize} tokens`,
    )
  }

  protected override get changes(): ConfigJson {
    const tied = isTied({ embedding: this.inputEmbedding(), head: this.outputHead() })
    return { vocab_size: this.config.vocabSize, tie_word_embeddings: tied }
  }

  /**
   * Makes the vocabulary larger or smaller, in place. Remaining rows are kept, and new ones begin as the mean of all,
   * as in transformers. The embedding, and the head if it is separate, become new layers with new parameters, so make
   * optimizers afterwards. Throws ValueError if the layers have adapters, and for a size without the start token or the
   * padding token.
   */
  resizeTokenEmbeddings(count: number): void {
    const op = `${this.constructor.name}.resizeTokenEmbeddings`
    const { startToken, padToken } = this.config
    const needed = Math.max(startToken, padToken)
    if (Number.isSafeInteger(count) && count <= needed)
      throw new ValueError(op, `count is ${shown(count)}, but the decoder begins or pads with token ${needed}`)
    const ends = resizedEnds(op, { embedding: this.inputEmbedding(), head: this.outputHead() }, count)
    this.replaceEmbedding(ends.embedding, ends.head)
    this.reconfigure({ vocabSize: count } as Partial<C>)
  }

  /**
   * Generates a text for each source, by greedy search, sampling or beams. See `GenerateOptions`. Each source is read
   * once. `sources` are token ids of one text or of several, including the tokens that the tokenizer adds at their end.
   * The event loop is free while the device computes.
   */
  generate(
    sources: Tensor | readonly number[] | readonly (readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<Generated[]> {
    return generateFrom(this, sources, options)
  }

  /**
   * The tokens of the text for one source, each as soon as it is generated. With a tokenizer, pieces of text with
   * complete characters. The generator's return value is the reason why the text ended, as in `Generated`.
   */
  stream(
    source: readonly number[],
    options: StreamOptions & { readonly tokenizer: NonNullable<StreamOptions['tokenizer']> },
  ): AsyncGenerator<string, Finish>
  stream(source: readonly number[], options?: StreamOptions): AsyncGenerator<number, Finish>
  stream(source: readonly number[], options: StreamOptions = {}): AsyncGenerator<number | string, Finish> {
    return streamFrom(this, source, options)
  }

  /**
   * The model's text for a text, or for each of several texts: a translation, a summary, or whatever the model has
   * learned. Texts of similar length are processed together. A text that reaches `maxNewTokens`, 64 by default, is cut
   * there; `generate` tells for each whether that happened (`finish`). Throws ValueError for values that are not texts.
   */
  translate(tokenizer: Tokenizer, text: string, options?: TranslateOptions): Promise<string>
  translate(tokenizer: Tokenizer, texts: readonly string[], options?: TranslateOptions): Promise<string[]>
  async translate(
    tokenizer: Tokenizer,
    given: string | readonly string[],
    options: TranslateOptions = {},
  ): Promise<string | string[]> {
    const op = `${this.constructor.name}.translate`
    const { prefix = '', batchSize = 16, ...writing } = ownOptions(op, options, translateNames)
    if (typeof prefix !== 'string') throw new ValueError(op, `prefix is ${kindOf(prefix)}, but must be a text`)
    const { checkCount, checkTokenizer, listOfTexts } = await import('./inference/run.js')
    checkCount(op, 'batchSize', batchSize, 1)
    checkTokenizer(op, tokenizer)
    const { texts, single } = listOfTexts(op, given, (text) => typeof text === 'string', 'a text')
    const sources = texts.map((text, at) => ({ at, ids: [...tokenizer.encode(prefix + text).ids] }))
    sources.sort((a, b) => a.ids.length - b.ids.length)
    const found = new Array<string>(texts.length)
    for (let first = 0; first < sources.length; first += batchSize) {
      const batch = sources.slice(first, first + batchSize)
      const written = await generateFrom(
        this,
        batch.map(({ ids }) => ids),
        { ...writing, tokenizer },
        op,
      )
      written.forEach(({ text = '' }, i) => {
        found[(batch[i] as { at: number }).at] = text
      })
    }
    return single ? (found[0] as string) : found
  }

  override probe(): readonly Tensor[] {
    const { vocabSize } = this.config
    const { device } = this.inputEmbedding().weight
    const ids = (columns: number, factor: number) =>
      fromTypedArray(
        Int32Array.from({ length: 2 * columns }, (_, i) => (i * factor) % vocabSize),
        [2, columns],
        { device },
      )
    return [noGrad(() => this.forward(ids(8, 7919), { decoderIds: ids(5, 104_729) }))]
  }
}

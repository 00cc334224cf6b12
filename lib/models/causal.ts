/** What decoder-only language models have in common. */
import { noGrad } from '../autograd/mode.js'
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { outsideFrames } from '../core/scope.js'
import type { Tensor } from '../core/tensor.js'
import { Embedding } from '../nn/embedding.js'
import { Linear } from '../nn/linear.js'
import { Parameter } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray, full } from '../ops/creation.js'
import { ne } from '../ops/elementwise/index.js'
import { crossEntropy } from '../ops/loss/index.js'
import { mean, sum } from '../ops/reduce/index.js'
import { cat, expand, narrow, reshape } from '../ops/shape/index.js'
import type { Loss } from '../train/objective.js'
import { type CausalInputs, type Columns, causalNames, columnsOf } from './columns.js'
import type { ConfigJson } from './config.js'
import { type Generated, type GenerateOptions, generate } from './generation/generate.js'
import { type StreamOptions, stream } from './generation/stream.js'
import { PretrainedModel } from './pretrained.js'

export interface CausalConfig {
  /** Tokens in the vocabulary. */
  readonly vocabSize: number
  /** The longest sequence that the model was made for. */
  readonly context: number
  /** Whether the head's weight is the embedding's. */
  readonly tieWordEmbeddings: boolean
}

export interface CausalLossInputs extends CausalInputs {
  /** int32 [B, T]: the tokens themselves, -100 where none is to be learned; each is predicted from those before it. Default: ids. */
  readonly labels?: Tensor | null
}

/** Marks labels that are not learned. */
const ignored = -100

/** A model that predicts the next token. */
export abstract class CausalModel<out C extends CausalConfig = CausalConfig> extends PretrainedModel<C> {
  /** Output of the last block after the final norm: ids [B, T] -> [B, T, width]. */
  protected abstract body(ids: Tensor, columns: Columns): Tensor
  /** The embedding of tokens. */
  abstract inputEmbedding(): Embedding
  /** The layer that scores tokens; its weight may be the embedding's. */
  abstract outputHead(): Linear
  protected abstract replaceEmbedding(embedding: Embedding, head: Linear): void

  /** The hidden states that the head scores: int32 ids [B, T] -> [B, T, width]. */
  hidden(ids: Tensor, inputs: CausalInputs = {}): Tensor {
    const columns = columnsOf(this.constructor.name, ids, inputs)
    const last = columns.offset + (ids.sizes[1] as number)
    if (columns.positions === null && last > this.positionLimit)
      throw new ValueError(
        this.constructor.name,
        `there are ${last} columns, but the model has ${this.positionLimit} positions; give it shorter texts`,
      )
    const states = this.body(ids, columns)
    columns.cache?.advance(ids.sizes[1] as number)
    return states
  }

  /** Tokens that end a text, by `generation_config.json`, else by `config.json`. */
  get endTokens(): readonly number[] {
    const value: unknown = this.generationConfig?.['eos_token_id'] ?? this.toConfig()['eos_token_id'] ?? []
    return (Array.isArray(value) ? value : [value]).filter((token): token is number => Number.isInteger(token))
  }

  /** How many positions there are at most; rotary ones have no end. */
  protected get positionLimit(): number {
    return Number.POSITIVE_INFINITY
  }

  /** Scores of all tokens: hidden states [.., width] -> [.., vocabSize]. */
  logits(hidden: Tensor): Tensor {
    return this.outputHead().forward(hidden)
  }

  /** Scores of the token after each: int32 ids [B, T] -> [B, T, vocabSize]. */
  forward(ids: Tensor, inputs: CausalInputs = {}): Tensor {
    return this.logits(this.hidden(ids, inputs))
  }

  /** The summed cross entropy of each label given the tokens before it, and how many labels are learned. */
  loss(ids: Tensor, inputs: CausalLossInputs = {}): Loss {
    const op = `${this.constructor.name}.loss`
    const { labels, ...rest } = checkOptions(op, inputs, { ...causalNames, labels: true })
    const target = labels ?? ids
    checkTensor(op, 'labels', target)
    checkDType(op, 'labels', target, ['int32'])
    if (formatShape(target.sizes) !== formatShape(ids.sizes))
      throw new ShapeError(op, `labels are ${formatShape(target.sizes)}, but ids ${formatShape(ids.sizes)}`, [
        target.sizes,
        ids.sizes,
      ])
    const output = this.forward(ids, rest)
    const [b, t] = ids.sizes as readonly [number, number]
    // The label moves to the column that predicts it, because the logits of all columns but the last would be copied otherwise.
    const none = full([b, 1], ignored, { dtype: 'int32', device: ids.device })
    const next = reshape(cat([narrow(target, 1, 1, t - 1), none], 1), [b * t])
    const total = crossEntropy(reshape(output, [b * t, this.config.vocabSize]), next, {
      ignoreIndex: ignored,
      reduction: 'sum',
    })
    return { total, count: sum(castTo(ne(next, ignored), 'float32')), output }
  }

  protected override get changes(): ConfigJson {
    const { vocabSize } = this.config
    const tied = this.outputHead().weight.storage === this.inputEmbedding().weight.storage
    return { vocab_size: vocabSize, tie_word_embeddings: tied }
  }

  /**
   * Makes the vocabulary larger or smaller, in place: rows that stay are kept, new ones are the mean of all, as transformers
   * begins with. The embedding, and the head where it is one of its own, are new layers with new parameters: make optimisers
   * afterwards. Throws ValueError where adapters are on them.
   */
  resizeTokenEmbeddings(count: number): void {
    const op = `${this.constructor.name}.resizeTokenEmbeddings`
    if (!Number.isSafeInteger(count) || count < 1)
      throw new ValueError(op, `count is ${shown(count)}, but must be a positive integer`)
    const [embedding, head] = [this.inputEmbedding(), this.outputHead()]
    for (const layer of [embedding, head])
      if (layer.adapters.names.length > 0)
        throw new ValueError(
          op,
          `the layer has the adapter '${layer.adapters.names[0]}'; resize before adapters are applied`,
        )
    const resized = (weight: Parameter): Parameter => {
      const [rows, width] = weight.sizes as readonly [number, number]
      const kept = narrow(weight, 0, 0, Math.min(rows, count))
      const more = count - rows
      const value = noGrad(() =>
        more <= 0 ? kept.clone() : cat([kept, expand(mean(weight, 0, { keepdim: true }), [more, width])], 0),
      )
      return new Parameter(value, weight.requiresGrad)
    }
    outsideFrames(() => {
      const weight = resized(embedding.weight)
      const tied = head.weight.storage === embedding.weight.storage
      const { embeddingDim, paddingIdx } = embedding
      const padding = paddingIdx !== null && paddingIdx < count ? paddingIdx : null
      this.replaceEmbedding(
        Object.assign(new Embedding(count, embeddingDim, { device: 'meta', paddingIdx: padding }), { weight }),
        Object.assign(new Linear(embeddingDim, count, { device: 'meta', bias: false }), {
          weight: tied ? weight : resized(head.weight),
        }),
      )
    })
    this.reconfigure({ vocabSize: count } as Partial<C>)
  }

  /**
   * Writes on: tokens that follow each prompt, by greedy search, sampling or beams. See `GenerateOptions`. The event loop is free
   * while the device computes.
   */
  generate(
    prompts: Tensor | readonly number[] | readonly (readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<Generated[]> {
    return generate(this, prompts, options)
  }

  /** The tokens that follow one prompt, each as soon as it is there; with a tokenizer, pieces of text that are whole characters. */
  stream(
    prompt: readonly number[],
    options: StreamOptions & { readonly tokenizer: NonNullable<StreamOptions['tokenizer']> },
  ): AsyncGenerator<string>
  stream(prompt: readonly number[], options?: StreamOptions): AsyncGenerator<number>
  stream(prompt: readonly number[], options: StreamOptions = {}): AsyncGenerator<number | string> {
    return stream(this, prompt, options)
  }

  override probe(): readonly Tensor[] {
    const { vocabSize, context } = this.config
    const length = Math.min(8, context)
    const ids = Int32Array.from({ length: 2 * length }, (_, i) => (i * 7919) % vocabSize)
    const { device } = this.inputEmbedding().weight
    return [this.forward(fromTypedArray(ids, [2, length], { device }))]
  }
}

/** The common part of decoder-only language models. */
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, ValueError } from '../core/errors.js'
import { type OptionNames, ownOptions } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import type { Embedding } from '../nn/embedding.js'
import { Invocations } from '../nn/invocation.js'
import type { Linear } from '../nn/linear.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray, full } from '../ops/creation.js'
import { ne, neg } from '../ops/elementwise/index.js'
import { crossEntropy, linearCrossEntropy, tokenLogProbs } from '../ops/loss/index.js'
import { sum } from '../ops/reduce/index.js'
import { cat, narrow, reshape } from '../ops/shape/index.js'
import type { ChatTemplateOptions } from '../text/chat/chat.js'
import type { ChatMessage } from '../text/chat/template.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'
import type { Loss } from '../train/objective.js'
import { type CausalInputs, type Columns, causalNames, columnsOf } from './columns.js'
import type { ConfigJson } from './config.js'
import { type Generated, type GenerateOptions, generate } from './generation/generate.js'
import { samplingNames } from './generation/options.js'
import type { Finish } from './generation/stop.js'
import { type StreamOptions, stream } from './generation/stream.js'
import { PromptableModel } from './promptable.js'
import { endTokensOf, ignored, isBare, isTied, resizedEnds } from './vocabulary.js'

export interface CausalConfig {
  /** The number of tokens in the vocabulary. */
  readonly vocabSize: number
  /** The longest sequence for which the model was made. */
  readonly context: number
  /** Whether the head's weight is the embedding's. */
  readonly tieWordEmbeddings: boolean
}

export interface CausalLossInputs extends CausalInputs {
  /**
   * int32 [B, T]: the tokens themselves, with -100 for tokens that are not learned. Each is predicted from the tokens
   * before it. Default: ids.
   */
  readonly labels?: Tensor | null
}

export interface ChatOptions
  extends Omit<StreamOptions, 'tokenizer'>,
    Pick<ChatTemplateOptions, 'tools' | 'template' | 'variables'> {}

const { tokenizer: _, ...streamNames } = samplingNames
const chatNames: OptionNames<ChatOptions> = { ...streamNames, tools: true, template: true, variables: true }

/**
 * Labels [B, T], moved to the columns of hidden states [B, C, width] that predict them. C is T, or more if a prompt
 * comes first.
 */
function nextLabels(labels: Tensor, hidden: Tensor): Tensor {
  const [b, t] = labels.sizes as readonly [number, number]
  const before = (hidden.sizes[1] as number) - t
  const none = (columns: number) => full([b, columns], ignored, { dtype: 'int32', device: labels.device })
  // The last column of a prompt predicts the first token.
  if (before > 1) return cat([none(before - 1), labels, none(1)], 1)
  return before === 1 ? cat([labels, none(1)], 1) : cat([narrow(labels, 1, 1, t - 1), none(1)], 1)
}

/** A model that predicts the next token. */
export abstract class CausalModel<out C extends CausalConfig = CausalConfig> extends PromptableModel<C> {
  readonly #invocations = new Invocations()

  /** Output of the last block after the final norm: ids [B, T] -> [B, T, width]. */
  protected abstract body(ids: Tensor, columns: Columns): Tensor
  /** The embedding of tokens. */
  abstract inputEmbedding(): Embedding
  /** The layer that computes scores of tokens. Its weight may be the embedding's. */
  abstract outputHead(): Linear
  protected abstract replaceEmbedding(embedding: Embedding, head: Linear): void

  /**
   * The hidden states from which the head computes scores: int32 ids [B, T] -> [B, T, width]. If a prompt of embeddings
   * is active, its columns come first, as in PEFT.
   */
  hidden(ids: Tensor, inputs: CausalInputs = {}): Tensor {
    const columns = columnsOf(this.constructor.name, ids, inputs, this.adapters.prompt)
    const last = columns.offset + columns.count
    if (columns.positions === null && last > this.positionLimit)
      throw new ValueError(
        this.constructor.name,
        `there are ${last} columns, but the model has ${this.positionLimit} positions; give it shorter texts`,
      )
    const states = this.#invocations.within(
      this.constructor.name,
      {
        ids,
        documents: inputs.documents ?? null,
        before: columns.count - (ids.sizes[1] as number),
        cache: columns.cache,
      },
      () => this.body(ids, columns),
    )
    columns.cache?.advance(ids.sizes[1] as number)
    return states
  }

  /**
   * Tokens that end a text: those of `generation_config.json`, or otherwise of `config.json`. Throws ValueError for an
   * invalid one.
   */
  get endTokens(): readonly number[] {
    return endTokensOf(this, this.toConfig()['eos_token_id'])
  }

  /** The tokens that switch on adapters: see `invocationTokens` of `applyLora`. */
  get invocations(): Invocations {
    return this.#invocations
  }

  /** The number of positions. Rotary positions have no limit. */
  get positionLimit(): number {
    return Number.POSITIVE_INFINITY
  }

  /** Scores of all tokens: hidden states [.., width] -> [.., vocabSize]. */
  logits(hidden: Tensor): Tensor {
    return this.outputHead().forward(hidden)
  }

  /**
   * Scores of the token after each token: int32 ids [B, T] -> [B, T, vocabSize]. Columns of a prompt come first, as in
   * `hidden`.
   */
  forward(ids: Tensor, inputs: CausalInputs = {}): Tensor {
    return this.logits(this.hidden(ids, inputs))
  }

  /**
   * The summed cross entropy of each label given the tokens before it, and the number of learned labels. Logits are not
   * kept, nor computed for labels that are not learned, unless the head has adapters or hooks.
   */
  loss(ids: Tensor, inputs: CausalLossInputs = {}): Loss {
    const { target, rest } = this.#targetOf(`${this.constructor.name}.loss`, ids, inputs)
    const hidden = this.hidden(ids, rest)
    const next = nextLabels(target, hidden)
    const total = this.#fromHead(hidden, {
      fused: (x, weight, softcap) =>
        linearCrossEntropy(x, weight, next, { ignoreIndex: ignored, reduction: 'sum', softcap }),
      plain: (logits) => {
        const rows = reshape(logits, [next.numel, this.config.vocabSize])
        return crossEntropy(rows, reshape(next, [next.numel]), { ignoreIndex: ignored, reduction: 'sum' })
      },
    })
    return { total, count: sum(castTo(ne(next, ignored), 'float32')) }
  }

  /**
   * The log probability of each token given the tokens before it, for preference training: ids [B, T] -> [B, T]. Column
   * t is that of the token at t + 1. It is 0 for labels that are not learned, and in the last column.
   */
  tokenLogProbs(ids: Tensor, inputs: CausalLossInputs = {}): Tensor {
    const { target, rest } = this.#targetOf(`${this.constructor.name}.tokenLogProbs`, ids, inputs)
    const hidden = this.hidden(ids, rest)
    const next = nextLabels(target, hidden)
    const found = this.#fromHead(hidden, {
      fused: (x, weight, softcap) => tokenLogProbs(x, weight, next, { ignoreIndex: ignored, softcap }),
      plain: (logits) => {
        const rows = reshape(logits, [next.numel, this.config.vocabSize])
        const losses = crossEntropy(rows, reshape(next, [next.numel]), { ignoreIndex: ignored, reduction: 'none' })
        return neg(reshape(losses, next.sizes))
      },
    })
    const columns = ids.sizes[1] as number
    return narrow(found, 1, (next.sizes[1] as number) - columns, columns)
  }

  /** c: logits become c tanh(logit / c). undefined: they stay unchanged. */
  protected get logitCap(): number | undefined {
    return undefined
  }

  /** If the head consists only of its weight, this works without the logits, which may take most of the memory. */
  #fromHead(
    hidden: Tensor,
    { fused, plain }: { fused(x: Tensor, weight: Tensor, softcap?: number): Tensor; plain(logits: Tensor): Tensor },
  ): Tensor {
    const head = this.outputHead()
    return isBare(head) ? fused(hidden, head.weight, this.logitCap) : plain(this.logits(hidden))
  }

  /** The tokens to predict, and the inputs without them. */
  #targetOf(op: string, ids: Tensor, inputs: CausalLossInputs): { target: Tensor; rest: CausalInputs } {
    const { labels, ...rest } = ownOptions(op, inputs, { ...causalNames, labels: true })
    checkTensor(op, 'ids', ids)
    checkDType(op, 'ids', ids, ['int32'])
    const target = labels ?? ids
    checkTensor(op, 'labels', target)
    checkDType(op, 'labels', target, ['int32'])
    if (formatShape(target.sizes) !== formatShape(ids.sizes))
      throw new ShapeError(op, `labels are ${formatShape(target.sizes)}, but ids ${formatShape(ids.sizes)}`, [
        target.sizes,
        ids.sizes,
      ])
    return { target, rest }
  }

  protected override get changes(): ConfigJson {
    const { vocabSize } = this.config
    const tied = isTied({ embedding: this.inputEmbedding(), head: this.outputHead() })
    return { vocab_size: vocabSize, tie_word_embeddings: tied }
  }

  /**
   * Makes the vocabulary larger or smaller, in place. Remaining rows are kept, and new ones begin as the mean of all,
   * as in transformers. The embedding, and the head if it is separate, become new layers with new parameters, so make
   * optimizers afterwards. Throws ValueError if the layers have adapters.
   */
  resizeTokenEmbeddings(count: number): void {
    const op = `${this.constructor.name}.resizeTokenEmbeddings`
    const ends = resizedEnds(op, { embedding: this.inputEmbedding(), head: this.outputHead() }, count)
    this.replaceEmbedding(ends.embedding, ends.head)
    this.reconfigure({ vocabSize: count } as Partial<C>)
  }

  /**
   * Generates tokens that follow each prompt, by greedy search, sampling or beams. See `GenerateOptions`. The event
   * loop is free while the device computes.
   */
  generate(
    prompts: Tensor | readonly number[] | readonly (readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<Generated[]> {
    return generate(this, prompts, options)
  }

  /**
   * The tokens that follow one prompt, each as soon as it is generated. With a tokenizer, pieces of text with complete
   * characters. The generator's return value is the reason why the text ended, as in `Generated`.
   */
  stream(
    prompt: readonly number[],
    options: StreamOptions & { readonly tokenizer: NonNullable<StreamOptions['tokenizer']> },
  ): AsyncGenerator<string, Finish>
  stream(prompt: readonly number[], options?: StreamOptions): AsyncGenerator<number, Finish>
  stream(prompt: readonly number[], options: StreamOptions = {}): AsyncGenerator<number | string, Finish> {
    return stream(this, prompt, options)
  }

  /**
   * The answer to a chat, in pieces of complete characters: formatted by the tokenizer's template, up to an end token
   * of the model or the tokenizer. The generator's return value is the reason why the answer ended, as in `Generated`.
   * Throws ValueError if there is no template, or if it refuses the messages.
   */
  async *chat(
    tokenizer: Tokenizer,
    messages: readonly ChatMessage[],
    options: ChatOptions = {},
  ): AsyncGenerator<string, Finish> {
    const { tools, template, variables, ...writing } = ownOptions(`${this.constructor.name}.chat`, options, chatNames)
    const { applyChatTemplate } = await import('../text/chat/chat.js')
    const rest = {
      ...(tools && { tools }),
      ...(template !== undefined && { template }),
      ...(variables && { variables }),
    }
    const text = await applyChatTemplate(messages, { tokenizer, addGenerationPrompt: true, ...rest })
    const { ids } = tokenizer.encode(text, { specialTokens: false })
    const end = tokenizer.special.eos === undefined ? undefined : tokenizer.idOf(tokenizer.special.eos)
    const stopTokens = [...new Set([...this.endTokens, ...(end === undefined ? [] : [end])])]
    return yield* this.stream([...ids], { stopTokens, ...writing, tokenizer })
  }

  override probe(): readonly Tensor[] {
    const { vocabSize, context } = this.config
    const length = Math.min(8, context)
    const ids = Int32Array.from({ length: 2 * length }, (_, i) => (i * 7919) % vocabSize)
    const { device } = this.inputEmbedding().weight
    return [this.forward(fromTypedArray(ids, [2, length], { device }))]
  }
}

/** The common part of text encoders: every token sees every other one, and heads read the output. */
import { checkDType, checkTensor } from '../autograd/operator.js'
import { formatShape, ShapeError, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import type { Embedding } from '../nn/embedding.js'
import type { Module } from '../nn/module.js'
import type { Prompt } from '../nn/prompt.js'
import { scaledDotProductAttention } from '../ops/attention/index.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray, zeros } from '../ops/creation.js'
import { mul } from '../ops/elementwise/index.js'
import { normalize, sum } from '../ops/reduce/index.js'
import { cat, reshape, transpose, unflatten, unsqueeze } from '../ops/shape/index.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'
import type { ActivationName } from './activation.js'
import type { Architecture, FileNames } from './architecture.js'
import { afterPrompt } from './columns.js'
import type { ConfigJson, Settings } from './config.js'
import type { EmbedOptions } from './inference/embed.js'
import { PretrainedModel } from './pretrained.js'
import { PromptableModel } from './promptable.js'

/** The kind of a sequence's labels, which determines its loss: classes, yes or no for each label, or numbers. */
export const problemTypes = ['single_label_classification', 'multi_label_classification', 'regression'] as const

export type ProblemType = (typeof problemTypes)[number]

export interface EncoderConfig {
  /** The number of tokens in the vocabulary. */
  readonly vocabSize: number
  /** The longest sequence. */
  readonly context: number
  readonly width: number
  readonly layers: number
  readonly heads: number
  /** Width of the feed-forward network. */
  readonly inner: number
  readonly activation: ActivationName
  readonly eps: number
  /** Dropout before additions to the residual stream, and of embeddings. */
  readonly dropout: number
  readonly attentionDropout: number
  /**
   * Dropout before the layer that classifies sequences, the one that classifies tokens, and the one that finds answers.
   */
  readonly headDropout: { readonly sequence: number; readonly token: number; readonly answer: number }
  /** The token whose embedding is not learned, or null if there is none. */
  readonly padToken: number | null
  /** Names of the classes. */
  readonly labels: readonly string[]
  /** Null: the number of classes and the dtype of labels determine the loss, as in transformers. */
  readonly problemType: ProblemType | null
  /** Whether the weight of the head for masked language modelling is the embedding's. */
  readonly tieWordEmbeddings: boolean
}

export interface EncoderInputs {
  /**
   * int32 or bool [B, T]: 1 for a column with a token, 0 for padding, whose outputs are meaningless. Default: all are
   * tokens.
   */
  readonly attentionMask?: Tensor | null
  /** int32 [B, T]: the text of a pair to which a token belongs. Default: 0. Only for models with such an embedding. */
  readonly tokenTypeIds?: Tensor | null
  /** int32 [B, T]. Default: the model's own numbering. */
  readonly positions?: Tensor | null
}

export const encoderNames: OptionNames<EncoderInputs> = { attentionMask: true, tokenTypeIds: true, positions: true }

/** A call's columns in the form for layers. */
export interface Tokens {
  readonly types: Tensor | null
  readonly positions: Tensor | null
  /**
   * bool [B, 1, 1, C], true for a column that is seen, or null if all are. Columns C are the tokens T after those of
   * the prompt.
   */
  readonly mask: Tensor | null
  /** The embeddings before those of the tokens. */
  readonly prompt: Prompt | null
}

/** Checks the shape of labels and similar tensors. Throws ShapeError and DTypeError. */
export function checkShaped(
  op: string,
  name: string,
  x: Tensor,
  sizes: readonly number[],
  dtypes: readonly ('int32' | 'uint8' | 'bool' | 'float32')[],
): void {
  checkTensor(op, name, x)
  checkDType(op, name, x, dtypes)
  if (formatShape(x.sizes) !== formatShape(sizes))
    throw new ShapeError(op, `${name} is ${formatShape(x.sizes)}, but must be ${formatShape(sizes)}`, [x.sizes])
}

function checkIds(op: string, ids: Tensor, context: number, virtual: number): void {
  checkTensor(op, 'ids', ids)
  checkDType(op, 'ids', ids, ['int32'])
  if (ids.ndim !== 2 || ids.numel === 0)
    throw new ShapeError(op, `ids are ${formatShape(ids.sizes)}, but must be [B, T], with at least one token`, [
      ids.sizes,
    ])
  const length = virtual + (ids.sizes[1] as number)
  if (length > context)
    throw new ValueError(op, `there are ${length} columns, but the model has ${context} positions; give shorter texts`)
}

/** The model between the tokens and a head: int32 ids [B, T] -> states [B, T, width]. It is also a complete model. */
export abstract class EncoderBody<out C extends EncoderConfig = EncoderConfig> extends PretrainedModel<C> {
  /** Its name within a model with a head. */
  abstract readonly prefix: string
  abstract inputEmbedding(): Embedding
  protected abstract states(ids: Tensor, tokens: Tokens): Tensor

  /** Whether tokens of a pair's second text have a different embedding than those of the first. */
  get hasTypes(): boolean {
    return true
  }

  /** Hidden states of the last layer: int32 ids [B, T] -> [B, T, width]. */
  forward(ids: Tensor, inputs: EncoderInputs = {}): Tensor {
    return this.read(ids, inputs, null)
  }

  /** Like `forward`, with the columns of a prompt before those of the tokens: [B, C, width]. */
  read(ids: Tensor, inputs: EncoderInputs, prompt: Prompt | null): Tensor {
    const op = this.constructor.name
    const { attentionMask = null, tokenTypeIds = null, positions = null } = checkOptions(op, inputs, encoderNames)
    const virtual = prompt?.tokens ?? 0
    checkIds(op, ids, this.config.context, virtual)
    if (attentionMask !== null) checkShaped(op, 'attentionMask', attentionMask, ids.sizes, ['int32', 'uint8', 'bool'])
    if (positions !== null) {
      if (prompt !== null)
        throw new ValueError(
          op,
          'positions are given while a prompt is active, which shifts all of them; leave them out',
        )
      checkShaped(op, 'positions', positions, ids.sizes, ['int32'])
    }
    if (tokenTypeIds !== null) {
      if (!this.hasTypes) throw new ValueError(op, 'tokenTypeIds were given, but the model has no embedding for them')
      checkShaped(op, 'tokenTypeIds', tokenTypeIds, ids.sizes, ['int32'])
    }
    const seen = attentionMask === null ? null : castTo(afterPrompt(attentionMask, virtual), 'bool')
    const mask = seen === null ? null : unsqueeze(unsqueeze(seen, 1), 1)
    const types = tokenTypeIds === null ? null : asFirstText(tokenTypeIds, virtual)
    return this.states(ids, { types, positions, mask, prompt })
  }

  /**
   * One vector for each text, as in sentence-transformers: the mean of its tokens' states, normalised to length 1.
   * int32 ids [B, T] -> [B, width].
   */
  embed(ids: Tensor, inputs?: EncoderInputs): Tensor
  /**
   * The vector of a text, or one for each of several texts: `width` float32 numbers. By default it is the mean of its
   * tokens' states, normalised to length 1. The model runs in evaluation mode, without a graph. Throws ValueError for a
   * text that is too long for the model, unless `maxLength` cuts it, and for a tokenizer of another model.
   */
  embed(tokenizer: Tokenizer, text: string, options?: EmbedOptions): Promise<Float32Array>
  embed(tokenizer: Tokenizer, texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>
  embed(
    of: Tensor | Tokenizer,
    given: EncoderInputs | string | readonly string[] = {},
    options: EmbedOptions = {},
  ): Tensor | Promise<Float32Array | Float32Array[]> {
    if (of instanceof Tensor) return this.#embedIds(of, given as EncoderInputs)
    return import('./inference/embed.js').then(({ embedTexts }) =>
      embedTexts(this, of, given as string | readonly string[], options),
    )
  }

  #embedIds(ids: Tensor, inputs: EncoderInputs): Tensor {
    const states = this.forward(ids, inputs)
    const { attentionMask = null } = inputs
    // The sum is enough, because it has the mean's direction.
    const total: Tensor =
      attentionMask === null
        ? sum(states, 1)
        : sum(mul(states, unsqueeze(castTo(castTo(attentionMask, 'bool'), states.dtype), -1)), 1)
    return normalize(total, { dim: -1 })
  }

  override probe(): readonly Tensor[] {
    const { ids, inputs } = probeOf(this)
    return [this.forward(ids, inputs)]
  }
}

/** Types of tokens [B, T] after columns of a prompt, which belong to the first text. */
function asFirstText(types: Tensor, virtual: number): Tensor {
  if (virtual === 0) return types
  const { sizes, device } = types
  return cat([zeros([sizes[0] as number, virtual], { dtype: 'int32', device }), types], 1)
}

/** Tokens of two texts, one of them shorter, which fit after `virtual` columns. */
export function probeOf(body: EncoderBody, virtual = 0): { ids: Tensor; inputs: EncoderInputs } {
  const { vocabSize, context } = body.config
  const length = Math.max(1, Math.min(8, context - virtual))
  const { device } = body.inputEmbedding().weight
  const ids = Int32Array.from({ length: 2 * length }, (_, i) => (i * 7919) % vocabSize)
  const mask = Int32Array.from({ length: 2 * length }, (_, i) => (i < 2 * length - 1 ? 1 : 0))
  const shaped = (values: Int32Array): Tensor => fromTypedArray(values, [2, length], { device })
  return { ids: shaped(ids), inputs: { attentionMask: shaped(mask) } }
}

/** A body with a head. */
export abstract class EncoderModel<out C extends EncoderConfig = EncoderConfig> extends PromptableModel<C> {
  readonly body: EncoderBody<C>
  readonly #architecture: Architecture<object, PretrainedModel>

  constructor(architecture: Architecture<object, PretrainedModel>, body: EncoderBody<C>, json: ConfigJson) {
    super(body.config, json)
    this.#architecture = architecture
    this.body = body
  }

  /** Files name the body by its kind, such as `bert`. */
  override stateName(property: string): string {
    return property === 'body' ? this.body.prefix : super.stateName(property)
  }

  override get architecture(): Architecture<object, PretrainedModel> {
    return this.#architecture
  }

  override blocks(): Module[] {
    return this.body.blocks()
  }

  inputEmbedding(): Embedding {
    return this.body.inputEmbedding()
  }

  abstract forward(ids: Tensor, inputs?: EncoderInputs): Tensor | { readonly [name: string]: Tensor }

  override probe(): readonly Tensor[] {
    const { ids, inputs } = probeOf(this.body, this.adapters.prompt?.tokens)
    const output = this.forward(ids, inputs)
    return output instanceof Tensor ? [output] : Object.values(output)
  }
}

/** Attention from all tokens to all tokens that are not padding: projections [B, T, width] -> [B, T, width]. */
export function attendAll(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor | null,
  { heads, dropoutP }: { readonly heads: number; readonly dropoutP: number },
): Tensor {
  const split = (x: Tensor): Tensor => transpose(unflatten(x, -1, [heads, -1]), 1, 2)
  const seen = scaledDotProductAttention(split(q), split(k), split(v), { attnMask: mask, dropoutP })
  return reshape(transpose(seen, 1, 2), q.sizes)
}

/** Names of the classes, in order. If the file has none, the number and the names are transformers' defaults. */
export function labelsOf(settings: Settings): readonly string[] {
  const names = settings.object('id2label')
  if (names === null) {
    const count = settings.labels('num_labels', 2)
    return Array.from({ length: count }, (_, i) => `LABEL_${i}`)
  }
  settings.unused('num_labels')
  const labels = Object.keys(names).map((_, i) => names[i])
  if (labels.length > 0 && labels.every((label) => typeof label === 'string')) return labels
  settings.fault(`id2label has the keys ${Object.keys(names).join(', ')}, but must number the classes from 0`)
  return ['?']
}

export function problemTypeOf(settings: Settings): ProblemType | null {
  return settings.value('problem_type') === undefined ? null : settings.choice('problem_type', problemTypes)
}

/** The token of padding, or the family's default if the file does not name one. */
export function padTokenOf(settings: Settings, vocabSize: number, fallback: number): number | null {
  if (Object.hasOwn(settings.json, 'pad_token_id')) return settings.token('pad_token_id', vocabSize)
  return fallback < vocabSize ? fallback : null
}

/**
 * The naming of a family's tensors in files. A folder often contains heads other than the requested one: pre-trained
 * BERT has those of its pre-training. `parts` are all heads of the family, and those that are not in `own` are left
 * out.
 */
export function encoderFiles(prefix: string, parts: readonly string[], own: readonly string[] | null): FileNames {
  const rename = (name: string): string => {
    // BERT's first folders use TensorFlow's names.
    const plain = name.replace(/LayerNorm\.gamma$/, 'LayerNorm.weight').replace(/LayerNorm\.beta$/, 'LayerNorm.bias')
    return own === null && plain.startsWith(`${prefix}.`) ? plain.slice(prefix.length + 1) : plain
  }
  const others = parts.filter((part) => !own?.includes(part)).map((part) => `^${part.replaceAll('.', '\\.')}\\.`)
  const ignored = new RegExp([...others, 'embeddings\\.position_ids$'].join('|'))
  return { ...(own === null ? {} : { base: prefix }), rename, ignored }
}

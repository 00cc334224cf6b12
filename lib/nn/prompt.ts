/**
 * Learned prompts: columns before a text that stand for no token. They are embeddings (Lester et al., 2021), or keys
 * and values (Li and Liang, 2021).
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { cat, expand, narrow, permute, reshape, select, unsqueeze } from '../ops/shape/index.js'
import { Adapter, Slot } from './adapter.js'
import { normal_ } from './init.js'
import { checkSizes, type LayerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

/** A 'prompt' has embeddings before those of the tokens; a 'prefix' has keys and values for every layer. */
export type PromptKind = 'prompt' | 'prefix'

export const promptKinds: readonly PromptKind[] = ['prompt', 'prefix']

/** The sizes of a model that prompts depend on. */
export interface PromptSizes {
  /** The number of features of an embedding. */
  readonly width: number
  readonly layers: number
  /** The number of heads of keys and values, and of features of each. */
  readonly keyHeads: number
  readonly headDim: number
  /**
   * The part of the model that reads prompts: a decoder that stands alone, an encoder, or both of an encoder-decoder, where the encoder
   * reads embeddings and the decoder keys and values. Default 'decoder'.
   */
  readonly reader?: PromptReader
}

export type PromptReader = 'decoder' | 'encoder' | 'encoder-decoder'

/** The numbers of a prompt. They are a module's, because PEFT's names have `weight` after `embedding`. */
class PromptTable extends Module {
  readonly weight: Parameter

  constructor(sizes: readonly [number, number], options: LayerOptions) {
    super()
    this.weight = normal_(parameter('Prompt', sizes, options), 0, 1, { generator: options.generator })
  }

  forward(): never {
    throw new ValueError('PromptTable', 'a prompt has no forward; the model that it is in reads its table')
  }
}

/** The columns that a model sees before the tokens. */
export class Prompt extends Adapter {
  readonly kind: PromptKind
  /** The number of columns. */
  readonly tokens: number
  /** PEFT's count of the stacks that its table is for; of two, the encoder alone reads embeddings. */
  readonly stacks: 1 | 2
  /** The table, whose weight is [tokens * stacks, width], or [tokens, layers * 2 * keyHeads * headDim] for a prefix. */
  readonly table: PromptTable
  readonly #sizes: PromptSizes

  constructor(kind: PromptKind, tokens: number, sizes: PromptSizes, options: LayerOptions = {}, stacks: 1 | 2 = 1) {
    super()
    if (!promptKinds.includes(kind))
      throw new ValueError('Prompt', `kind is ${shown(kind)}, but must be one of ${promptKinds.join(', ')}`)
    checkSizes('Prompt', { tokens })
    const { width, layers, keyHeads, headDim } = sizes
    this.kind = kind
    this.tokens = tokens
    this.stacks = stacks
    const table = [tokens * stacks, width] as const
    this.table = new PromptTable(kind === 'prompt' ? table : [tokens, layers * 2 * keyHeads * headDim], options)
    this.#sizes = sizes
  }

  /**
   * The property's name in a state. The adapter's name stands before it, as in PEFT:
   * `prompt_encoder.default.embedding`.
   */
  override stateName(property: string): string {
    return property === 'table' ? 'embedding' : property
  }

  override extraRepr(): string {
    return settings({ kind: this.kind, tokens: this.tokens })
  }

  /** The number of columns that the layers compute: all of a prompt, none of a prefix. */
  get computed(): number {
    return this.kind === 'prompt' ? this.tokens : 0
  }

  /** The prompt's embeddings followed by those of tokens x [B, T, width]: [B, tokens + T, width]. */
  before(x: Tensor): Tensor {
    return this.kind === 'prompt' ? cat([spread(narrow(this.table.weight, 0, 0, this.tokens), x), x], 1) : x
  }

  /** The prefix's keys and values for a layer, followed by the layer's own, [B, keyHeads, T, headDim]. */
  beforeKeys(layer: number, k: Tensor, v: Tensor): readonly [k: Tensor, v: Tensor] {
    if (this.kind === 'prompt') return [k, v]
    const { layers, keyHeads, headDim } = this.#sizes
    const parts = permute(reshape(this.table.weight, [this.tokens, 2 * layers, keyHeads, headDim]), [1, 2, 0, 3])
    const joined = (part: number, own: Tensor) => cat([spread(select(parts, 0, part), own), own], 2)
    // PEFT repeats the table for the decoder's attention to the source, which then does not read it, and deals it out to both.
    const part = (2 * this.stacks * layer) % (2 * layers)
    return [joined(part, k), joined(part + 1, v)]
  }
}

/** Repeats a table for each row of a batch, in the batch's dtype. */
function spread(x: Tensor, { sizes, dtype }: Tensor): Tensor {
  return expand(unsqueeze(castTo(x, dtype), 0), [sizes[0] as number, ...x.sizes])
}

/** The prompts of a model, by name. At most one is active. */
export class Prompts extends Slot<Prompt> {
  readonly #model: Module

  constructor(model: Module) {
    super()
    this.#model = model
  }

  protected override get place(): string {
    return this.#model.constructor.name
  }

  protected override check(op: string, adapter: Prompt): void {
    if (!(adapter instanceof Prompt))
      throw new ValueError(op, `the adapter is ${kindOf(adapter)}, but must be a prompt`)
  }

  protected override drivenBy(prompts: readonly Prompt[], op: string): Prompt {
    if (prompts.length > 1)
      throw new ValueError(
        op,
        `a text has one prompt before it, but ${prompts.map(({ adapterName }) => `'${adapterName}'`).join(' and ')} are chosen; ` +
          'choose one of them',
      )
    return prompts[0] as Prompt
  }

  /** The active prompt; null if there is none. */
  get prompt(): Prompt | null {
    return this.current as Prompt | null
  }
}

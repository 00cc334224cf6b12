/**
 * Learned prompts: columns before a text that stand for no token. They are embeddings (Lester et al., 2021), or keys
 * and values (Li and Liang, 2021).
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { capturePath } from '../core/module-path.js'
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
   * The part of the model that reads prompts: a decoder, an encoder, or both of an encoder-decoder. In the last case
   * the encoder reads embeddings, and the decoder keys and values. Default 'decoder'.
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

/** A network between a prompt's table and the numbers that the model reads. */
export abstract class PromptEncoder extends Module {
  /** The number of features of the table. */
  abstract readonly inputs: number
  /** Features `from` to `from + count` of the results: [rows, inputs] -> [rows, count]. */
  abstract encode(table: Tensor, from: number, count: number): Tensor

  forward(): never {
    throw new ValueError(
      'PromptEncoder',
      "a prompt's encoder has no forward; the model that the prompt is in reads its results",
    )
  }
}

export interface PromptLayerOptions extends LayerOptions {
  /** PEFT's count of stacks. Default 1. */
  readonly stacks?: 1 | 2
  /** Default: none. */
  readonly encoder?: PromptEncoder | null
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
  /** The network that the table goes through to its results while it learns; null: it is them. */
  readonly encoder: PromptEncoder | null
  readonly #sizes: PromptSizes
  /** Runs the encoder as no part of the body that reads the prompt, because the whole model holds it. */
  readonly #outside = capturePath()

  constructor(kind: PromptKind, tokens: number, sizes: PromptSizes, options: PromptLayerOptions = {}) {
    super()
    const { stacks = 1, encoder = null, ...place } = options
    if (!promptKinds.includes(kind))
      throw new ValueError('Prompt', `kind is ${shown(kind)}, but must be one of ${promptKinds.join(', ')}`)
    checkSizes('Prompt', { tokens })
    const { width, layers, keyHeads, headDim } = sizes
    this.kind = kind
    this.tokens = tokens
    this.stacks = stacks
    this.encoder = encoder
    const results = kind === 'prompt' ? width : layers * 2 * keyHeads * headDim
    this.table = new PromptTable([kind === 'prompt' ? tokens * stacks : tokens, encoder?.inputs ?? results], place)
    this.#sizes = sizes
  }

  /**
   * The property's name in a state. The adapter's name stands before it, as in PEFT:
   * `prompt_encoder.default.embedding`, `prompt_encoder.default.mlp_head`.
   */
  override stateName(property: string): string {
    return property === 'table' ? 'embedding' : property === 'encoder' ? '' : property
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
    return this.kind === 'prompt' ? cat([spread(narrow(this.results(), 0, 0, this.tokens), x), x], 1) : x
  }

  /** The prefix's keys and values for a layer, followed by the layer's own, [B, keyHeads, T, headDim]. */
  beforeKeys(layer: number, k: Tensor, v: Tensor): readonly [k: Tensor, v: Tensor] {
    if (this.kind === 'prompt') return [k, v]
    const { layers, keyHeads, headDim } = this.#sizes
    // PEFT repeats the table for the decoder's attention to the source and deals it out to both attentions, though that
    // one does not read it.
    const part = (2 * this.stacks * layer) % (2 * layers)
    const width = keyHeads * headDim
    const own = reshape(this.results(part * width, 2 * width), [this.tokens, 2, keyHeads, headDim])
    const parts = permute(own, [1, 2, 0, 3])
    const joined = (i: number, x: Tensor) => cat([spread(select(parts, 0, i), x), x], 2)
    return [joined(0, k), joined(1, v)]
  }

  /** The numbers that the model reads, as in files: columns `from` to `from + count` of them, all unless given. */
  results(from = 0, count?: number): Tensor {
    const { encoder, table } = this
    const { width, layers, keyHeads, headDim } = this.#sizes
    const all = this.kind === 'prompt' ? width : layers * 2 * keyHeads * headDim
    if (encoder !== null) return this.#outside(() => encoder.encode(table.weight, from, count ?? all))
    return count === undefined ? table.weight : narrow(table.weight, 1, from, count)
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
        `a text can have only one prompt before it, but ${prompts.map(({ adapterName }) => `'${adapterName}'`).join(' and ')} are chosen; ` +
          'choose one of them',
      )
    return prompts[0] as Prompt
  }

  /** The active prompt; null if there is none. */
  get prompt(): Prompt | null {
    return this.current as Prompt | null
  }
}

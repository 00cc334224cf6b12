/** Prompts that learn: columns before a text that no token has. As embeddings (Lester et al., 2021), or keys and values (Li and Liang, 2021). */
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { cat, expand, permute, reshape, select, unsqueeze } from '../ops/shape/index.js'
import { Adapter, Slot } from './adapter.js'
import { normal_ } from './init.js'
import { checkSizes, type LayerOptions, parameter } from './layer.js'
import { Module, type Parameter, settings } from './module.js'

/** Embeddings stand before those of the tokens; a prefix has keys and values of every layer. */
export type PromptKind = 'prompt' | 'prefix'

export const promptKinds: readonly PromptKind[] = ['prompt', 'prefix']

/** The sizes of a model that prompts depend on. */
export interface PromptSizes {
  /** Features of an embedding. */
  readonly width: number
  readonly layers: number
  /** Heads of keys and values, and features of each. */
  readonly keyHeads: number
  readonly headDim: number
}

/** The numbers of a prompt. It is a module because PEFT's names have its `weight` behind `embedding`. */
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

/** Columns that a model sees before the tokens. */
export class Prompt extends Adapter {
  readonly kind: PromptKind
  /** How many columns there are. */
  readonly tokens: number
  /** Its weight is [tokens, width], or of a prefix [tokens, layers * 2 * keyHeads * headDim]. */
  readonly table: PromptTable
  readonly #sizes: PromptSizes

  constructor(kind: PromptKind, tokens: number, sizes: PromptSizes, options: LayerOptions = {}) {
    super()
    if (!promptKinds.includes(kind))
      throw new ValueError('Prompt', `kind is ${shown(kind)}, but must be one of ${promptKinds.join(', ')}`)
    checkSizes('Prompt', { tokens })
    const { width, layers, keyHeads, headDim } = sizes
    this.kind = kind
    this.tokens = tokens
    this.table = new PromptTable([tokens, kind === 'prompt' ? width : layers * 2 * keyHeads * headDim], options)
    this.#sizes = sizes
  }

  /** The adapter's name stands before the property here, as in PEFT: `prompt_encoder.default.embedding`. */
  override stateName(property: string): string {
    return property === 'table' ? 'embedding' : property
  }

  override extraRepr(): string {
    return settings({ kind: this.kind, tokens: this.tokens })
  }

  /** How many of the columns are among those that the layers compute. */
  get computed(): number {
    return this.kind === 'prompt' ? this.tokens : 0
  }

  /** Embeddings of tokens x [B, T, width] with those of a prompt before them: [B, tokens + T, width]. */
  before(x: Tensor): Tensor {
    return this.kind === 'prompt' ? cat([spread(this.table.weight, x), x], 1) : x
  }

  /** Keys and values [B, keyHeads, T, headDim] of a layer with those of a prefix before them. */
  beforeKeys(layer: number, k: Tensor, v: Tensor): readonly [k: Tensor, v: Tensor] {
    if (this.kind === 'prompt') return [k, v]
    const { layers, keyHeads, headDim } = this.#sizes
    const parts = permute(reshape(this.table.weight, [this.tokens, 2 * layers, keyHeads, headDim]), [1, 2, 0, 3])
    const joined = (part: number, own: Tensor) => cat([spread(select(parts, 0, part), own), own], 2)
    return [joined(2 * layer, k), joined(2 * layer + 1, v)]
  }
}

/** The same for each row of a batch, in the batch's dtype. */
function spread(x: Tensor, { sizes, dtype }: Tensor): Tensor {
  return expand(unsqueeze(castTo(x, dtype), 0), [sizes[0] as number, ...x.sizes])
}

/** The prompts of a model by name. One at most is active. */
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

  /** The prompt that texts have now; null: none. */
  get prompt(): Prompt | null {
    return this.current as Prompt | null
  }
}

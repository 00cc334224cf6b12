/** Rows of an embedding that learn alone, like those of new tokens. PEFT calls them trainable tokens. */
import { noGrad } from '../autograd/mode.js'
import { shown, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import { type Adaptable, type BaseLayer, isAdaptable } from '../nn/adapter.js'
import { Parameter, settings } from '../nn/module.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray } from '../ops/creation.js'
import { ge, where } from '../ops/elementwise/index.js'
import { embedding, indexCopy, indexSelect, take } from '../ops/indexing/index.js'
import { linear } from '../ops/matmul.js'
import { unsqueeze } from '../ops/shape/index.js'
import { type LayerValues, MergeableAdapter, type Merging, noted, type Stored } from './mergeable.js'

/** The number of rows in a weight that can be replaced by rows of tokens, or null if this layer has none. */
export function rowsOf({ adaptation }: Adaptable): number | null {
  if (adaptation.by === 'embedding') return adaptation.numEmbeddings
  return adaptation.by === 'linear' && adaptation.along === undefined ? adaptation.outFeatures : null
}

/** Throws unless these are distinct numbers of rows. */
export function checkRows(op: string, path: string, indices: readonly number[], count: number): void {
  if (indices.length === 0 || indices.some((each) => !Number.isSafeInteger(each) || each < 0 || each >= count))
    throw new ValueError(
      op,
      `trainableTokenIndices are ${shown(indices)} for ${path}, but must be one or more tokens from 0 to ${count - 1}`,
    )
  if (new Set(indices).size < indices.length)
    throw new ValueError(op, `trainableTokenIndices names a token twice for ${path}: ${shown(indices)}`)
}

/**
 * Rows that replace those of an embedding or of a linear layer without a bias. They begin as the weight's rows, and are
 * float32 even if the weights have 16 bits. A head that shares the embedding's weight also has an adapter, which reads
 * the rows of the embedding's.
 */
export class TokenRows extends MergeableAdapter {
  static override readonly stateNames: { readonly [property: string]: string } = {
    rows: 'token_adapter.trainable_tokens_delta',
  }
  /** The whole rows [count, features], despite PEFT's name for them, or null if they are another adapter's. */
  readonly rows: Parameter | null
  readonly indices: readonly number[]
  readonly #owner: TokenRows
  readonly #count: number
  readonly #paddingIdx: number | null

  /** `owner` has the rows of a layer that shares its weight. */
  constructor(layer: Adaptable, indices: readonly number[], owner: TokenRows | null = null) {
    super()
    const count = isAdaptable(layer) ? rowsOf(layer) : null
    if (count === null) throw new ValueError('TokenRows', 'the layer must be an embedding, or a linear layer')
    checkRows('TokenRows', 'the layer', indices, count)
    this.indices = [...indices]
    this.#count = count
    const { adaptation } = layer
    // The padding row gets no gradient, as in the embedding.
    const padding = adaptation.by === 'embedding' && adaptation.paddingIdx !== null ? adaptation.paddingIdx : -1
    this.#paddingIdx = indices.includes(padding) ? indices.indexOf(padding) : null
    this.#owner = owner ?? this
    this.rows = owner === null ? this.#first(layer) : null
  }

  /** The weight's own rows, as the initial ones. */
  #first(layer: Stored): Parameter {
    return noGrad(() => {
      const rows = this.#of(layer.dense())
      return new Parameter(castTo(rows, rows.dtype === 'float64' ? 'float64' : 'float32').clone())
    })
  }

  #of(weight: Tensor): Tensor {
    return indexSelect(weight, 0, this.#index(weight))
  }

  #index({ device }: Tensor): Tensor {
    return fromTypedArray(Int32Array.from(this.indices), [this.indices.length], { device })
  }

  get #learned(): Parameter {
    return this.#owner.rows as Parameter
  }

  /** The adapter whose rows these are, or null for its own. */
  isOf(owner: TokenRows | null): boolean {
    return this.#owner === (owner ?? this)
  }

  override get isSum(): boolean {
    return false
  }

  override extraRepr(): string {
    return settings({ tokens: this.indices.length, merged: this.merged })
  }

  override embedding(layer: BaseLayer, ids: Tensor): Tensor {
    const plain = layer.forward(ids)
    if (this.merged) return plain
    const places = new Int32Array(this.#count).fill(-1)
    this.indices.forEach((token, place) => {
      places[token] = place
    })
    const found = take(fromTypedArray(places, [this.#count], { device: ids.device }), ids)
    const isOwn = ge(found, 0)
    // Other tokens look up the first row, and the result drops it.
    const own = embedding(where(isOwn, found, 0), this.#learned, { paddingIdx: this.#paddingIdx })
    return where(unsqueeze(isOwn, -1), castTo(own, plain.dtype), plain)
  }

  override linear(layer: BaseLayer, x: Tensor): Tensor {
    const plain = layer.forward(x)
    if (this.merged) return plain
    const rows = this.#learned
    return indexCopy(plain, -1, this.#index(plain), castTo(linear(castTo(x, rows.dtype), rows), plain.dtype))
  }

  protected override merging(layer: Stored): Merging {
    const stay = (to: Stored): LayerValues => ({ weight: to.dense(), bias: null })
    // The owner writes into the weight that both share.
    if (this.rows === null) return { values: stay(layer), undo: stay }
    const before = noted(this.#of(layer.dense()))
    const put = (to: Stored, rows: Tensor): LayerValues => {
      const weight = to.dense()
      return {
        weight: indexCopy(weight, 0, this.#index(weight), castTo(rows.to(weight.device), weight.dtype)),
        bias: null,
      }
    }
    return { values: put(layer, this.rows), undo: (to) => put(to, before) }
  }
}

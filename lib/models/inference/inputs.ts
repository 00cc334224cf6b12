/** Lists of tokens side by side, in the form for models of texts. */
import type { Device } from '../../core/device.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray } from '../../ops/creation.js'

/** The inputs of a model of texts: int32 ids [B, T], and the other arguments of its `forward`. */
export interface TextInputs {
  readonly ids: Tensor
  /** int32 [B, T]: 1 for tokens, 0 for padding. */
  readonly attentionMask: Tensor
  /** int32 [B, T]: the text of a pair to which a token belongs. Only for pairs. */
  readonly tokenTypeIds?: Tensor
}

/** A text or a pair in tokens. */
export interface TextTokens {
  readonly ids: ArrayLike<number>
  readonly tokenTypeIds?: ArrayLike<number>
}

/** int32 [B, T]: the lists side by side, padded on the right to the longest one. */
export function padLists(lists: readonly ArrayLike<number>[], fill: number, device?: Device): Tensor {
  const width = lists.reduce((most, { length }) => Math.max(most, length), 0)
  const flat = new Int32Array(lists.length * width).fill(fill)
  for (const [i, list] of lists.entries()) flat.set(list, i * width)
  return fromTypedArray(flat, [lists.length, width], device === undefined ? {} : { device })
}

/** Texts as one batch. The id of the padding affects no output, but must be one of the model's. */
export function textInputs(texts: readonly TextTokens[], padToken: number, device?: Device): TextInputs {
  const types = texts.map(({ tokenTypeIds }) => tokenTypeIds)
  const mask = texts.map(({ ids }) => new Int32Array(ids.length).fill(1))
  const paired = types.every((list) => list !== undefined)
  return {
    ids: padLists(
      texts.map(({ ids }) => ids),
      padToken,
      device,
    ),
    attentionMask: padLists(mask, 0, device),
    ...(paired ? { tokenTypeIds: padLists(types, 0, device) } : {}),
  }
}

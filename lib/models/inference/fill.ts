/** Finds tokens for masks. */
import { kindOf, ValueError } from '../../core/errors.js'
import { listOf, type OptionNames, ownOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray } from '../../ops/creation.js'
import { indexSelect } from '../../ops/indexing/index.js'
import { reshape } from '../../ops/shape/index.js'
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { MaskedLM } from '../heads.js'
import { type CutOptions, checkCount, encodeTexts, listOfTexts, type ResultRow, runTexts, softmaxOf } from './run.js'

export interface FillOptions extends CutOptions {
  /** The number of tokens to return for each mask. Default 5, or the number of `targets`. */
  readonly topK?: number
  /**
   * The tokens to compare, as the vocabulary writes them. Their probabilities are relative to all tokens. Default: all
   * tokens.
   */
  readonly targets?: readonly string[]
}

const fillNames: OptionNames<FillOptions> = { batchSize: true, maxLength: true, topK: true, targets: true }

/** A token for a mask. */
export interface Filled {
  /** The token in plain text. */
  readonly token: string
  readonly id: number
  /** Its probability among all tokens. */
  readonly score: number
  /** The text with this token in place of the mask. Other masks stay. */
  readonly text: string
}

/** Implements `MaskedLM.fill`. `scored` is the model's head: states [N, width] -> [N, vocabSize]. */
export async function fill(
  model: MaskedLM,
  tokenizer: Tokenizer,
  given: string | readonly string[],
  options: FillOptions,
  scored: (states: Tensor) => Tensor,
): Promise<Filled[][] | Filled[][][]> {
  const op = `${model.constructor.name}.fill`
  const { batchSize = 16, maxLength, topK, targets } = ownOptions(op, options, fillNames)
  checkCount(op, 'batchSize', batchSize, 1)
  const { texts, single } = listOfTexts(op, given, (value) => typeof value === 'string', 'a text')
  const encodings = encodeTexts(op, model, tokenizer, texts, maxLength)
  const mask = tokenizer.idFor('mask')
  if (mask === null)
    throw new ValueError(
      op,
      'the tokenizer has no token for masks; load one whose special_tokens_map.json or tokenizer_config.json names it',
    )
  const without = encodings.findIndex(({ ids }) => !ids.includes(mask))
  if (without >= 0)
    throw new ValueError(
      op,
      `text ${without} has no ${tokenizer.special.mask}${maxLength === undefined ? '' : ` within ${maxLength} tokens`}; write it where a token should be filled in`,
    )
  const among = targets === undefined ? null : targetsOf(op, tokenizer, targets, model.config.vocabSize)
  const most = among?.length ?? model.config.vocabSize
  if (topK !== undefined) checkCount(op, 'topK', topK, 1, most)
  const rows = await runTexts(
    model,
    encodings,
    batchSize,
    ({ ids, ...inputs }, batch) => {
      const states = model.body.forward(ids, inputs)
      return [
        scoresAt(
          states,
          batch.map((each) => masksIn(each, mask)),
          scored,
        ),
      ]
    },
    model.body.hasTypes,
  )
  const count = topK ?? Math.min(5, most)
  const filled = rows.map(([logits], i) =>
    fillings(tokenizer, encodings[i] as Encoding, logits as ResultRow, { mask, count, among }),
  )
  return single ? (filled[0] as Filled[][]) : filled
}

function targetsOf(op: string, tokenizer: Tokenizer, targets: readonly string[], vocabSize: number): readonly number[] {
  const own = listOf(op, 'targets', targets, 'a list of tokens')
  const ids = own.map((token) => {
    const id = typeof token === 'string' ? tokenizer.idOf(token) : undefined
    if (id !== undefined && id < vocabSize) return id
    throw new ValueError(
      op,
      `the target ${kindOf(token)} is not in the vocabulary; write it as in tokenizer.encode(text).tokens`,
    )
  })
  if (ids.length === 0) throw new ValueError(op, 'targets are empty; give at least one, or leave them out')
  return [...new Set(ids)]
}

function masksIn({ ids }: Encoding, mask: number): readonly number[] {
  return ids.flatMap((id, i) => (id === mask ? [i] : []))
}

/**
 * Scores of the masks: states [B, T, width] and the masks' columns -> [B, K, vocabSize]. Those of all columns may take
 * most of the memory. K is the largest number of masks in a text. The last places of a text with fewer are meaningless.
 */
function scoresAt(states: Tensor, columns: readonly (readonly number[])[], scored: (states: Tensor) => Tensor): Tensor {
  const [rows, width, size] = states.sizes as readonly [number, number, number]
  const most = columns.reduce((count, { length }) => Math.max(count, length), 0)
  const places = columns.flatMap((own, row) => Array.from({ length: most }, (_, k) => row * width + (own[k] ?? 0)))
  const index = fromTypedArray(Int32Array.from(places), [places.length], { device: states.device })
  const scores = scored(indexSelect(reshape(states, [rows * width, size]), 0, index))
  return reshape(scores, [rows, most, -1])
}

function fillings(
  tokenizer: Tokenizer,
  encoding: Encoding,
  { values, sizes }: ResultRow,
  { mask, count, among }: { readonly mask: number; readonly count: number; readonly among: readonly number[] | null },
): Filled[][] {
  const width = sizes[1] as number
  const masks = masksIn(encoding, mask)
  return masks.map((place, k) => {
    const scores = softmaxOf(values.subarray(k * width, (k + 1) * width))
    const candidates = among === null ? Array.from(scores.keys()) : [...among]
    candidates.sort((a, b) => (scores[b] as number) - (scores[a] as number))
    return candidates.slice(0, count).map((id): Filled => {
      const text = tokenizer.decode(encoding.ids.with(place, id), { skipSpecialTokens: masks.length === 1 })
      return { token: tokenizer.decode([id], { skipSpecialTokens: false }), id, score: scores[id] as number, text }
    })
  })
}

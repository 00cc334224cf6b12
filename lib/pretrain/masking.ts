/** Tokens that are masked anew in each pass, as BERT (Devlin et al., 2019) learns from them, in batches. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dataset, FunctionDataset } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import { type RowContext, rowContext } from '../data/row-context.js'
import { fromTypedArray } from '../ops/creation.js'
import { checkTokenizer } from '../tasks/rows/rows.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'

/** Marks labels that are not learned. */
const ignored = -100

/** Tokens to mask. */
export interface MaskableRow {
  readonly ids: Int32Array
  /** 1 for tokens of the second text of a pair. */
  readonly typeIds: Int32Array
  /** The number of the word to which each token belongs. It is -1 for special tokens, and these are never masked. */
  readonly words: Int32Array
  /** Whether the second text follows the first (0) or not (1), for pairs. */
  readonly nextSentenceLabel?: number
}

export interface MaskableOptions {
  /** The most tokens of a row. A longer text is cut at its end. Default: the tokenizer's `maxLength`, if it has one. */
  readonly maxLength?: number
}

/** Characters that count as words, because their script puts no spaces between words. */
const unspaced = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u

/**
 * A text, or a pair of texts, as a row whose tokens can be masked. Words are the tokenizer's. Each Chinese or Japanese
 * character counts as a word. Throws ValueError for anything but a text or a pair.
 */
export function maskableRow(
  text: string | readonly [first: string, second: string],
  tokenizer: Tokenizer,
  options: MaskableOptions = {},
): MaskableRow {
  const op = 'maskableRow'
  checkTokenizer(op, tokenizer)
  const isPair = Array.isArray(text) && text.length === 2 && text.every((each) => typeof each === 'string')
  if (typeof text !== 'string' && !isPair)
    throw new ValueError(op, `the text is ${kindOf(text)}, but must be a text, or a pair of two`)
  const { maxLength = tokenizer.maxLength } = checkOptions(op, options, { maxLength: true })
  const texts = typeof text === 'string' ? [text] : text
  const [encoding] = tokenizer.encodeBatch([text], maxLength === null ? {} : { maxLength })
  if (encoding === undefined) throw new ValueError(op, `the text is ${kindOf(text)}, but must be a text or a pair`)
  const words = new Int32Array(encoding.ids.length)
  let last = ''
  let count = -1
  for (let i = 0; i < words.length; i++) {
    const [word, sequence] = [encoding.words[i] ?? null, encoding.sequences[i] ?? null]
    if (word === null || sequence === null || encoding.specialTokensMask[i] === 1) {
      words[i] = -1
      continue
    }
    const [from] = encoding.offsets[i] as readonly [number, number]
    const alone = unspaced.test((texts[sequence] as string).slice(from, from + 2))
    const key = alone ? `${sequence} ${word} ${from}` : `${sequence} ${word}`
    if (key !== last) count++
    last = key
    words[i] = count
  }
  return { ids: Int32Array.from(encoding.ids), typeIds: Int32Array.from(encoding.typeIds), words }
}

export interface MaskingOptions {
  /** The share of tokens, or of words, that are chosen. Default 0.15. */
  readonly probability?: number
  /** Whether the tokens of a word are chosen together. Default false. */
  readonly wholeWords?: boolean
}

const maskingNames: OptionNames<MaskingOptions> = { probability: true, wholeWords: true }

/** A row as the model sees it, with the tokens that it must find. */
export interface MaskedRow {
  readonly ids: Int32Array
  /** The chosen tokens at their places, and -100 for others. */
  readonly labels: Int32Array
  readonly typeIds: Int32Array
  readonly nextSentenceLabel?: number
}

/** Shares of the chosen tokens: 80% become the mask, 10% become any token, and the rest stay. */
const [shareMasked, shareRandom] = [0.8, 0.1]

/**
 * A function that masks a row: `dataset.map(masking(tokenizer))`. A loader masks its rows differently in each pass, and
 * in the same way for the same seed. Throws ValueError if the tokenizer has no token for the mask.
 */
export function masking(
  tokenizer: Tokenizer,
  options: MaskingOptions = {},
): (row: MaskableRow, context?: RowContext) => MaskedRow {
  const op = 'masking'
  checkTokenizer(op, tokenizer)
  const { probability = 0.15, wholeWords = false } = checkOptions(op, options, maskingNames)
  if (!(typeof probability === 'number' && probability > 0 && probability <= 1))
    throw new ValueError(op, `probability is ${shown(probability)}, but must be above 0 and at most 1`)
  checkFlag(op, 'wholeWords', wholeWords)
  const mask = tokenizer.idFor('mask')
  if (mask === null)
    throw new ValueError(
      op,
      'the tokenizer has no token for the mask; load a folder whose tokenizer_config.json names a mask_token',
    )
  const { size } = tokenizer
  return (row, context = rowContext(undefined, 0)) => {
    const { ids, words, ...rest } = row
    const { generator } = context
    const seen = ids.slice()
    const labels = new Int32Array(ids.length).fill(ignored)
    let [word, chosen] = [-1, false]
    for (let i = 0; i < ids.length; i++) {
      if (words[i] === -1) continue
      if (!wholeWords || words[i] !== word) chosen = generator.random() < probability
      word = words[i] as number
      if (!chosen) continue
      labels[i] = ids[i] as number
      const share = generator.random()
      if (share < shareMasked) seen[i] = mask
      else if (share < shareMasked + shareRandom) seen[i] = generator.randint(0, size)
    }
    const { nextSentenceLabel } = rest
    return { ids: seen, labels, typeIds: rest.typeIds, ...(nextSentenceLabel !== undefined && { nextSentenceLabel }) }
  }
}

/** A batch in the form that `model.loss(ids, inputs)` of encoders takes. All tensors but the last are [B, T]. */
export interface MaskedBatch {
  readonly ids: Tensor
  readonly labels: Tensor
  readonly attentionMask: Tensor
  /** Present if a row is a pair. */
  readonly tokenTypeIds?: Tensor
  /** int32 [B], if rows have it. */
  readonly nextSentenceLabels?: Tensor
}

export interface MaskedBatchesOptions extends MaskingOptions {
  /** Rows in a batch. Default 1. */
  readonly batchSize?: number
  /** Whether rows come in another random order in each pass. Default false. */
  readonly shuffle?: boolean
  /** The seed of masks and order. Default: drawn from the default generator. */
  readonly seed?: number
  /** Leave out a last batch with fewer rows. Default false. */
  readonly dropLast?: boolean
}

/**
 * Batches of rows that are masked anew in each pass and padded to the longest: `trainer.fit(maskedBatches(rows,
 * tokenizer, { batchSize: 32, shuffle: true, seed: 0 }), ...)`. Checkpoints record the position.
 */
export function maskedBatches(
  rows: readonly MaskableRow[] | Dataset<MaskableRow, unknown>,
  tokenizer: Tokenizer,
  options: MaskedBatchesOptions = {},
): DataLoader<MaskedRow, MaskedBatch> {
  const op = 'maskedBatches'
  checkTokenizer(op, tokenizer)
  const { probability, wholeWords, batchSize, shuffle, seed, dropLast } = checkOptions(op, options, {
    ...maskingNames,
    batchSize: true,
    shuffle: true,
    seed: true,
    dropLast: true,
  })
  const mask = masking(tokenizer, {
    ...(probability !== undefined && { probability }),
    ...(wholeWords !== undefined && { wholeWords }),
  })
  const pad = tokenizer.idFor('pad')
  if (pad === null)
    throw new ValueError(op, "the tokenizer has no token for padding; load it with { padToken: '[PAD]' }, or add one")
  const plain = datasetOf(op, rows)
  const masked = new FunctionDataset<MaskedRow, MaskedBatch>(
    plain.length,
    async (index, context) => mask(await plain.get(index, context), context),
    (batch) => together(batch, pad),
  )
  return new DataLoader<MaskedRow, MaskedBatch>(masked, {
    ...(batchSize !== undefined && { batchSize }),
    ...(shuffle !== undefined && { shuffle }),
    ...(dropLast !== undefined && { dropLast }),
    ...(seed !== undefined && { generator: new Generator(seed) }),
  })
}

function datasetOf(
  op: string,
  rows: readonly MaskableRow[] | Dataset<MaskableRow, unknown>,
): Dataset<MaskableRow, unknown> {
  if (rows instanceof Dataset) return rows
  if (!Array.isArray(rows))
    throw new ValueError(op, `rows are ${kindOf(rows)}, but must be a list or a dataset of what maskableRow gives`)
  const wrong = rows.findIndex(
    (row) => ![row?.ids, row?.typeIds, row?.words].every((each) => each instanceof Int32Array),
  )
  if (wrong >= 0)
    throw new ValueError(op, `row ${wrong} is ${kindOf(rows[wrong])}, but must be what maskableRow gives for a text`)
  return new FunctionDataset(rows.length, (index) => rows[index] as MaskableRow)
}

function together(rows: readonly MaskedRow[], pad: number): MaskedBatch {
  const length = Math.max(...rows.map(({ ids }) => ids.length))
  const column = (fill: number, valuesOf: (row: MaskedRow) => ArrayLike<number>): Tensor => {
    const all = new Int32Array(rows.length * length).fill(fill)
    for (const [i, row] of rows.entries()) all.set(valuesOf(row), i * length)
    return fromTypedArray(all, [rows.length, length])
  }
  const pairs = rows.some(({ typeIds }) => typeIds.includes(1))
  const follows = rows.map(({ nextSentenceLabel }) => nextSentenceLabel)
  return {
    ids: column(pad, ({ ids }) => ids),
    labels: column(ignored, ({ labels }) => labels),
    attentionMask: column(0, ({ ids }) => new Int32Array(ids.length).fill(1)),
    ...(pairs && { tokenTypeIds: column(0, ({ typeIds }) => typeIds) }),
    ...(follows.every((each) => each !== undefined) && {
      nextSentenceLabels: fromTypedArray(Int32Array.from(follows), [rows.length]),
    }),
  }
}

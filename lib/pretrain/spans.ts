/**
 * Texts with gaps, as T5 (Raffel et al., 2020) learns from them: the encoder reads the rest, and the decoder writes the
 * missing parts.
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Dataset, FunctionDataset } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import { type RowContext, rowContext } from '../data/row-context.js'
import { fromTypedArray } from '../ops/creation.js'
import { checkTokenizer } from '../tasks/rows/rows.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'

/** Marks labels that are not learned. */
const ignored = -100

/** The tokens of a text, without special ones. */
export interface SpanRow {
  readonly ids: ArrayLike<number>
}

export interface SpanOptions {
  /** The share of tokens that are removed. Default 0.15. */
  readonly probability?: number
  /** The average number of tokens of a gap. Default 3. */
  readonly meanSpan?: number
}

const spanNames: OptionNames<SpanOptions> = { probability: true, meanSpan: true }

/** A text with gaps, and the missing parts. Both end with the tokenizer's `eos`. */
export interface SpannedRow {
  /** The text, with a sentinel token (`<extra_id_0>`, `<extra_id_1>`, ...) for each gap. */
  readonly ids: Int32Array
  /** Each sentinel, followed by the tokens of its gap. */
  readonly labels: Int32Array
}

/**
 * A function that removes spans from a row: `dataset.map(corruptSpans(tokenizer))`. A loader's rows get other gaps in
 * each pass, and the same ones for the same seed. Throws ValueError if the tokenizer has no `eos`, or fewer sentinels
 * than a row has gaps, and for a row with fewer than two tokens.
 */
export function corruptSpans(
  tokenizer: Tokenizer,
  options: SpanOptions = {},
): (row: SpanRow, context?: RowContext) => SpannedRow {
  const op = 'corruptSpans'
  checkTokenizer(op, tokenizer)
  const { probability = 0.15, meanSpan = 3 } = checkOptions(op, options, spanNames)
  if (!(typeof probability === 'number' && probability > 0 && probability < 1))
    throw new ValueError(op, `probability is ${shown(probability)}, but must be a share above 0 and below 1`)
  if (!(typeof meanSpan === 'number' && meanSpan >= 1 && Number.isFinite(meanSpan)))
    throw new ValueError(op, `meanSpan is ${shown(meanSpan)}, but must be a number of tokens, at least 1`)
  const end = tokenizer.idFor('eos')
  if (end === null)
    throw new ValueError(
      op,
      'the tokenizer has no eos token, which ends texts; load a folder whose tokenizer_config.json names one',
    )
  const sentinels: number[] = []
  for (let id = tokenizer.idOf('<extra_id_0>'); id !== undefined; id = tokenizer.idOf(`<extra_id_${sentinels.length}>`))
    sentinels.push(id)
  return (row, context = rowContext(undefined, 0)) => {
    const { ids } = (row ?? {}) as Partial<SpanRow>
    const count = ids?.length ?? 0
    if (ids === undefined || count < 2)
      throw new ValueError(
        op,
        `row ${context.index} has ${count} tokens, but must have at least two: one that stays, and one that is removed`,
      )
    const gone = Math.min(Math.max(1, Math.round(count * probability)), count - 1)
    const gaps = Math.min(Math.max(1, Math.round(gone / meanSpan)), gone, count - gone)
    if (gaps > sentinels.length)
      throw new ValueError(
        op,
        `row ${context.index} has ${gaps} gaps, but the tokenizer has ${sentinels.length} tokens for them; add <extra_id_${sentinels.length}> and so on by addTokens, or cut rows`,
      )
    const { generator } = context
    const [stays, goes] = [parts(count - gone, gaps, generator), parts(gone, gaps, generator)]
    const [left, missing]: [number[], number[]] = [[], []]
    let at = 0
    for (const [gap, sentinel] of sentinels.slice(0, gaps).entries()) {
      for (let n = 0; n < (stays[gap] as number); n++) left.push(ids[at++] as number)
      left.push(sentinel)
      missing.push(sentinel)
      for (let n = 0; n < (goes[gap] as number); n++) missing.push(ids[at++] as number)
    }
    return { ids: Int32Array.of(...left, end), labels: Int32Array.of(...missing, end) }
  }
}

/** Splits a sum into this many positive integers. All ways to do so are equally likely. */
function parts(sum: number, count: number, generator: Generator): readonly number[] {
  const cuts = generator
    .randperm(sum - 1)
    .slice(0, count - 1)
    .map((cut) => cut + 1)
    .sort((a, b) => a - b)
  return [...cuts, sum].map((cut, i) => cut - (cuts[i - 1] ?? 0))
}

/** A batch for `model.loss(ids, inputs)` of models that write a text for another one. */
export interface SpanBatch {
  /** int32 [B, S]. */
  readonly ids: Tensor
  /** int32 [B, S]. */
  readonly attentionMask: Tensor
  /** int32 [B, T], -100 for padding. */
  readonly labels: Tensor
}

export interface SpanBatchesOptions extends SpanOptions {
  /** Rows in a batch. Default 1. */
  readonly batchSize?: number
  /** Whether rows come in another random order in each pass. Default false. */
  readonly shuffle?: boolean
  /** The seed of the gaps and the order. Default: drawn from the default generator. */
  readonly seed?: number
  /** Leave out a last batch with fewer rows. Default false. */
  readonly dropLast?: boolean
}

/**
 * Batches of rows with other gaps in each pass, padded to the longest. Checkpoints record the position. Throws
 * ValueError for anything but a list or a dataset of rows.
 */
export function spanBatches(
  rows: readonly SpanRow[] | Dataset<SpanRow, unknown>,
  tokenizer: Tokenizer,
  options: SpanBatchesOptions = {},
): DataLoader<SpannedRow, SpanBatch> {
  const op = 'spanBatches'
  checkTokenizer(op, tokenizer)
  const { probability, meanSpan, batchSize, shuffle, seed, dropLast } = checkOptions(op, options, {
    ...spanNames,
    batchSize: true,
    shuffle: true,
    seed: true,
    dropLast: true,
  })
  const corrupt = corruptSpans(tokenizer, {
    ...(probability !== undefined && { probability }),
    ...(meanSpan !== undefined && { meanSpan }),
  })
  if (!(rows instanceof Dataset || Array.isArray(rows)))
    throw new ValueError(op, `rows are ${kindOf(rows)}, but must be a list or a dataset of rows with ids`)
  const pad = tokenizer.idFor('pad') ?? 0
  const rowAt = (index: number, context?: RowContext) =>
    rows instanceof Dataset ? rows.get(index, context) : (rows[index] as SpanRow)
  const spanned = new FunctionDataset<SpannedRow, SpanBatch>(
    rows.length,
    async (index, context) => corrupt(await rowAt(index, context), context),
    (batch) => together(batch, pad),
  )
  return new DataLoader<SpannedRow, SpanBatch>(spanned, {
    ...(batchSize !== undefined && { batchSize }),
    ...(shuffle !== undefined && { shuffle }),
    ...(dropLast !== undefined && { dropLast }),
    ...(seed !== undefined && { generator: new Generator(seed) }),
  })
}

function together(rows: readonly SpannedRow[], pad: number): SpanBatch {
  const column = (fill: number, valuesOf: (row: SpannedRow) => Int32Array): Tensor => {
    const lists = rows.map(valuesOf)
    const length = Math.max(...lists.map((list) => list.length))
    const all = new Int32Array(rows.length * length).fill(fill)
    for (const [i, list] of lists.entries()) all.set(list, i * length)
    return fromTypedArray(all, [rows.length, length])
  }
  return {
    ids: column(pad, ({ ids }) => ids),
    attentionMask: column(0, ({ ids }) => new Int32Array(ids.length).fill(1)),
    labels: column(ignored, ({ labels }) => labels),
  }
}

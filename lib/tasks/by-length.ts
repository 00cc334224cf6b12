/** Batches of rows of similar length. */
import { namedAs, shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkFlag, ownOptions } from '../core/options.js'
import type { Dataset } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import { byLength as sampledByLength } from '../data/sampler.js'
import { tokensIn } from './rows/rows.js'

export interface LengthBatchesOptions {
  /** Rows in a batch. */
  readonly batchSize?: number
  /**
   * The most tokens in a batch, including padding: rows times the longest list of any of them. Used instead of
   * `batchSize`.
   */
  readonly tokens?: number
  /**
   * Whether each pass has another order, of rows of the same length and of batches. Default true; false: from short to
   * long.
   */
  readonly shuffle?: boolean
  /** The same seed gives the same orders. Default: drawn from the default generator. */
  readonly seed?: number
  /** The number of batches made ahead while the last one is used. Default 2. */
  readonly prefetch?: number
}

/**
 * Batches of rows of similar length, so that little is padded, for `trainer.fit` and `trainer.evaluate`. Each pass
 * gives every row once. It is a DataLoader, and so part of checkpoints. Use `new DataLoader(rows, { batchSize })` for
 * predictions in the order of the rows. Throws ValueError unless exactly one of `batchSize` and `tokens` is given, and
 * for a row that is longer than `tokens`.
 */
export function byLength<R, B>(rows: Dataset<R, B>, options: LengthBatchesOptions): DataLoader<R, B> {
  const op = 'byLength'
  const {
    batchSize,
    tokens,
    shuffle = true,
    seed,
    prefetch,
  } = ownOptions(op, options, { batchSize: true, tokens: true, shuffle: true, seed: true, prefetch: true })
  if ((batchSize === undefined) === (tokens === undefined))
    throw new ValueError(
      op,
      `${batchSize === undefined ? 'neither' : 'both'} of batchSize and tokens is given; give one of them`,
    )
  checkFlag(op, 'shuffle', shuffle)
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0))
    throw new ValueError(op, `seed is ${shown(seed)}, but must be a non-negative integer`)
  if (seed !== undefined && !shuffle)
    throw new ValueError(op, 'seed is given, but nothing is shuffled; leave one of them out')
  const lengths = lengthsOf(op, rows)
  return namedAs(
    op,
    () =>
      new DataLoader<R, B>(rows, {
        sampler: sampledByLength(lengths, tokens === undefined ? {} : { tokens }),
        shuffle,
        ...(batchSize === undefined ? {} : { batchSize }),
        ...(seed === undefined ? {} : { generator: new Generator(seed) }),
        ...(prefetch === undefined ? {} : { prefetch }),
      }),
  )
}

function lengthsOf(op: string, rows: Dataset<unknown, unknown>): Float64Array {
  if (typeof rows?.get !== 'function' || typeof rows.length !== 'number')
    throw new ValueError(
      op,
      'rows must be a dataset whose rows hold tokens, as textRows and similar functions give it; read a stream first: await paddedRows(rows, tokenizer)',
    )
  return Float64Array.from({ length: rows.length }, (_, i) => {
    const row = rows.get(i)
    if (row instanceof Promise) {
      row.catch(() => undefined)
      throw new ValueError(
        op,
        'rows of the dataset come later (get gives promises); change rows before they are put into tokens',
      )
    }
    const length = tokensIn(row)
    if (length === 0) throw new ValueError(op, `row ${i} holds no tokens; give rows of textRows or a similar function`)
    return length
  })
}

/** Rows in tokens, which become padded batches. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import { Dataset } from '../../data/dataset.js'
import { textInputs as inputsOf, type TextInputs, type TextTokens } from '../../models/inference/inputs.js'
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { EncodeOptions, Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { rowError } from './read.js'
import type { RowList } from './store.js'

/** Facts that were noticed when rows were turned into tokens. */
export interface RowFacts {
  /** Names of the classes by index, or none if labels have no names. */
  readonly labels?: readonly string[]
  /** The number of rows whose text was longer than `maxLength` and was cut. */
  readonly cut?: number
  /** Rows, or parts of rows, that were left out, by the reason. */
  readonly skipped?: { readonly [reason: string]: number }
}

/**
 * Rows of tokens, and batches of them. A batch is padded to its longest row. Rows that a program passes stay in memory.
 * `textRows` and similar functions keep up to 512 MiB (or FIRESTEEL_ROWS_MEMORY) in memory, and the rest in a temporary
 * file. Rows work with `DataLoader`, `splitRows` and `kFold` like every dataset; `byLength` makes batches that need
 * little padding.
 */
export class TokenizedRows<R, B> extends Dataset<R, B> {
  readonly length: number
  /** Names of the classes by index, or none if labels have no names. */
  readonly labels: readonly string[]
  /** The number of rows whose text was longer than `maxLength` and was cut. */
  readonly cut: number
  /** Rows, or parts of rows, that were left out, by the reason. */
  readonly skipped: { readonly [reason: string]: number }
  readonly #rows: RowList<R>
  readonly #together: (rows: readonly R[]) => B

  constructor(rows: RowList<R>, together: (rows: readonly R[]) => B, facts: RowFacts = {}) {
    super()
    const op = 'TokenizedRows'
    if (typeof rows !== 'object' || typeof rows?.at !== 'function' || !Number.isSafeInteger(rows.length))
      throw new ValueError(op, `the rows are ${kindOf(rows)}, but must be a list`)
    if (typeof together !== 'function')
      throw new ValueError(op, `together is ${kindOf(together)}, but must be a function that makes a batch of rows`)
    checkOptions(op, facts, { labels: true, cut: true, skipped: true })
    this.#rows = rows
    this.#together = together
    this.length = rows.length
    this.labels = facts.labels ?? []
    this.cut = facts.cut ?? 0
    this.skipped = facts.skipped ?? {}
  }

  get(index: number): R {
    // An array counts from its end where an index is negative.
    const row = index >= 0 ? this.#rows.at(index) : undefined
    if (row === undefined)
      throw new ValueError('TokenizedRows', `index ${shown(index)} lies outside of the ${this.length} items`)
    return row
  }

  override batch(indices: readonly number[]): B {
    return this.#together(indices.map((index) => this.get(index)))
  }
}

/** The length of the longest list of numbers in a row, in itself or one level below, which determines the padding. */
export function tokensIn(row: unknown): number {
  if (row instanceof Int32Array) return row.length
  if (typeof row !== 'object' || row === null || ArrayBuffer.isView(row)) return 0
  return Object.values(row).reduce<number>((most, value) => Math.max(most, tokensIn(value)), 0)
}

/** The parts of a model that rows must fit. */
export interface Vocabulary {
  readonly config: { readonly vocabSize: number; readonly context?: number }
  /** The most positions. Default: `context`, if any. */
  readonly positionLimit?: number
}

/**
 * Throws ValueError, with the row, if the model lacks a token of the rows (because the tokenizer belongs to another
 * model), or if a row is longer than the model allows. Different tokens that have the same number in both vocabularies
 * are not noticed.
 */
export function checkRows(rows: Dataset<unknown, unknown>, model: Vocabulary): void {
  const op = 'checkRows'
  if (typeof rows?.get !== 'function' || typeof rows.length !== 'number')
    throw new ValueError(op, `the rows are ${kindOf(rows)}, but must be the result of textRows or a similar function`)
  const size = model?.config?.vocabSize
  if (!Number.isSafeInteger(size))
    throw new ValueError(op, `the model is ${kindOf(model)}, but must have a config with its vocabSize`)
  const most = model.positionLimit ?? model.config.context ?? Number.POSITIVE_INFINITY
  const check = (value: unknown, index: number, name: string) => {
    if (value instanceof Int32Array) {
      if (name === 'ids' && value.length > most)
        throw rowError(
          op,
          index,
          `it has ${value.length} tokens, but the model has ${most} positions; make rows with { maxLength: ${most} }, or leave it out`,
        )
      const id = name === 'tokenTypeIds' ? undefined : value.find((each) => each >= size)
      if (id !== undefined)
        throw rowError(
          op,
          index,
          `token ${id} is not in the model's vocabulary, which has ${size} tokens; load the tokenizer of the model's own folder, or enlarge the ` +
            'model by resizeTokenEmbeddings',
        )
    } else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value))
      for (const [key, part] of Object.entries(value)) check(part, index, key)
  }
  for (let i = 0; i < rows.length; i++) {
    const row = rows.get(i)
    if (row instanceof Promise) {
      row.catch(() => undefined)
      throw new ValueError(
        op,
        'rows of the dataset come later (get gives promises); give the result of textRows or a similar function',
      )
    }
    check(row, i, '')
  }
}

/** Throws unless it is a tokenizer. */
export function checkTokenizer(op: string, tokenizer: Tokenizer): void {
  if (typeof tokenizer?.encode !== 'function' || typeof tokenizer.idFor !== 'function')
    throw new ValueError(
      op,
      `tokenizer is ${kindOf(tokenizer)}, but must be a Tokenizer, such as AutoTokenizer.load gives`,
    )
}

/** The most tokens of a row: the requested number, else that of the tokenizer's folder, else any number. */
export function mostTokens(
  op: string,
  tokenizer: Tokenizer,
  maxLength: number | undefined,
  name = 'maxLength',
): number {
  checkTokenizer(op, tokenizer)
  if (maxLength !== undefined && !(Number.isSafeInteger(maxLength) && maxLength >= 2))
    throw new ValueError(op, `${name} is ${shown(maxLength)}, but must be an integer of at least 2`)
  return maxLength ?? tokenizer.maxLength ?? Number.POSITIVE_INFINITY
}

/** Options of `encode` that cut to this many tokens. */
export function cutTo(most: number): Pick<EncodeOptions, 'maxLength'> {
  return Number.isFinite(most) ? { maxLength: most } : {}
}

/** Tokens of a text. Only tokens of a pair tell to which text they belong. */
export function tokensOf({ ids, typeIds }: Encoding, isPair: boolean): TokenList {
  return { ids: Int32Array.from(ids), ...(isPair ? { tokenTypeIds: Int32Array.from(typeIds) } : {}) }
}

/** A text or a pair in tokens. */
export interface TokenList extends TextTokens {
  readonly ids: Int32Array
  /** Only pairs have it. */
  readonly tokenTypeIds?: Int32Array
}

/** The token that pads batches. Any will do if the tokenizer has none. */
export function padTokenOf(tokenizer: Tokenizer): number {
  return tokenizer.idFor('pad') ?? 0
}

export { inputsOf, type TextInputs }

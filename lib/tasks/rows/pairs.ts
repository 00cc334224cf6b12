/** Texts that belong together, or do not, in tokens. */
import { kindOf, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { tensor } from '../../ops/creation.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { checkField, eachRow, type Field, RowReader, type Rows } from './read.js'
import {
  cutTo,
  inputsOf,
  mostTokens,
  padTokenOf,
  type TextInputs,
  TokenizedRows,
  type TokenList,
  tokensOf,
} from './rows.js'
import { asRead, RowStore } from './store.js'

export interface PairRowsOptions<R> {
  /** The field with the text to which others are compared, such as a question. */
  readonly anchor: Field<R, string>
  /** The field with the text that belongs to it or, with `score`, is compared with it. */
  readonly positive: Field<R, string>
  /** The field with a text that seems to belong to it, but does not. */
  readonly negative?: Field<R, string>
  /** The field with the cosine that the two texts should have, from -1 to 1. */
  readonly score?: Field<R, number>
  /** The most tokens of each text. Rows that are cut are counted. Default: the tokenizer's `maxLength`, if any. */
  readonly maxLength?: number
}

export interface PairRow {
  readonly anchor: TokenList
  readonly positive: TokenList
  readonly negative?: TokenList
  readonly score?: number
}

export interface PairBatch {
  readonly anchor: TextInputs
  readonly positive: TextInputs
  readonly negative?: TextInputs
  /** float32 [B]. */
  readonly scores?: Tensor
}

/**
 * Reads texts that belong together for `sentenceEmbeddings()`, each with a negative or a score if there is one. Throws
 * ValueError, with the row (counted from 0), if a column is missing, if a text is empty or not a text, or if a score is
 * not a cosine.
 */
export async function pairRows<R>(
  rows: Rows<R>,
  tokenizer: Tokenizer,
  options: PairRowsOptions<NoInfer<R>>,
): Promise<TokenizedRows<PairRow, PairBatch>> {
  const op = 'pairRows'
  const { anchor, positive, negative, score, maxLength } = checkOptions(op, options, {
    anchor: true,
    positive: true,
    negative: true,
    score: true,
    maxLength: true,
  })
  checkField(op, 'anchor', anchor)
  checkField(op, 'positive', positive)
  if (negative !== undefined) checkField(op, 'negative', negative)
  if (score !== undefined) checkField(op, 'score', score)
  if (negative !== undefined && score !== undefined)
    throw new ValueError(op, 'negative and score are given, but no loss takes both; leave one of them out')
  const most = mostTokens(op, tokenizer, maxLength)
  const read = new RowStore<PairRow>(op)
  let cut = 0
  await eachRow(op, rows, (row, index) => {
    const reader = new RowReader(op, row, index)
    let isCut = false
    const tokens = (name: string, field: Field<R, string>): TokenList => {
      const encoding = tokenizer.encode(reader.text(name, field), cutTo(most))
      isCut ||= encoding.overflowing.length > 0
      return tokensOf(encoding, false)
    }
    const made: PairRow = {
      anchor: tokens('anchor', anchor),
      positive: tokens('positive', positive),
      ...(negative === undefined ? {} : { negative: tokens('negative', negative) }),
      ...(score === undefined
        ? {}
        : { score: scoreIn(reader, reader.called('score', score), reader.value('score', score)) }),
    }
    if (isCut) cut++
    read.push(made)
  })
  const pad = padTokenOf(tokenizer)
  return new TokenizedRows(read.list(asRead), (some) => together(some, pad), { cut })
}

function scoreIn(reader: RowReader<unknown>, called: string, score: unknown): number {
  if (typeof score === 'number' && score >= -1 && score <= 1) return score
  throw reader.error(
    `${called} is ${kindOf(score)}, but must be a number from -1 to 1, as cosines are; divide scores from 0 to 5 by 5: score: (row) => ` +
      'row.score / 5',
  )
}

function together(rows: readonly PairRow[], pad: number): PairBatch {
  const inputs = (lists: readonly (TokenList | undefined)[]): TextInputs | undefined =>
    lists.every((list) => list !== undefined) ? inputsOf(lists, pad) : undefined
  const negative = inputs(rows.map((row) => row.negative))
  const scores = rows.map(({ score }) => score)
  return {
    anchor: inputsOf(
      rows.map(({ anchor }) => anchor),
      pad,
    ),
    positive: inputsOf(
      rows.map(({ positive }) => positive),
      pad,
    ),
    ...(negative === undefined ? {} : { negative }),
    ...(scores.every((score) => score !== undefined) ? { scores: tensor(scores, { dtype: 'float32' }) } : {}),
  }
}

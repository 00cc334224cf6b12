/** Texts to read, and texts to write for them, in tokens. */
import { checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { padLists, type TextInputs } from '../../models/inference/inputs.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { checkField, eachRow, type Field, RowReader, type Rows } from './read.js'
import { cutTo, inputsOf, mostTokens, padTokenOf, TokenizedRows } from './rows.js'
import { asRead, RowStore } from './store.js'

export interface Seq2SeqRowsOptions<R> {
  /**
   * The field with the text to read. A function may put a prefix before it, such as T5's 'translate English to German:
   * '.
   */
  readonly source: Field<R, string>
  /** The field with the text to write. */
  readonly target: Field<R, string>
  /** The most tokens of a source. Rows that are cut are counted. Default: the tokenizer's `maxLength`, if any. */
  readonly maxLength?: number
  /** The most tokens of a target. Default: `maxLength`. */
  readonly maxTargetLength?: number
  /** The tokenizer of targets. Default: that of the sources. */
  readonly targetTokenizer?: Tokenizer
}

export interface Seq2SeqRow {
  readonly ids: Int32Array
  /** The tokens to write, with the tokenizer's end token if it has one. */
  readonly labels: Int32Array
}

/** int32 ids and mask [B, S], and labels [B, T], which are -100 after the end. */
export interface Seq2SeqBatch extends TextInputs {
  readonly labels: Tensor
}

/**
 * Reads pairs of texts for `seq2seq()`, such as sentences with translations: `await seq2seqRows(jsonl('pairs.jsonl'),
 * tokenizer, { source: ({ zh }) => 'translate: ' + zh, target: 'en' })`. Throws ValueError, with the row (counted from
 * 0), for a missing column, and for an empty text or one that is not a text.
 */
export async function seq2seqRows<R>(
  rows: Rows<R>,
  tokenizer: Tokenizer,
  options: Seq2SeqRowsOptions<NoInfer<R>>,
): Promise<TokenizedRows<Seq2SeqRow, Seq2SeqBatch>> {
  const op = 'seq2seqRows'
  const {
    source,
    target,
    maxLength,
    maxTargetLength,
    targetTokenizer = tokenizer,
  } = checkOptions(op, options, {
    source: true,
    target: true,
    maxLength: true,
    maxTargetLength: true,
    targetTokenizer: true,
  })
  checkField(op, 'source', source)
  checkField(op, 'target', target)
  const most = mostTokens(op, tokenizer, maxLength)
  const mostWritten = mostTokens(op, targetTokenizer, maxTargetLength ?? maxLength, 'maxTargetLength')
  const end = targetTokenizer.idFor('eos')
  const read = new RowStore<Seq2SeqRow>(op)
  let cut = 0
  await eachRow(op, rows, (row, index) => {
    const reader = new RowReader(op, row, index)
    const own = tokenizer.encode(reader.text('source', source), cutTo(most))
    const written = targetTokenizer.encode(reader.text('target', target), cutTo(mostWritten))
    const whole = end === null || written.ids.at(-1) === end ? written.ids : [...written.ids, end]
    // The end token replaces the last token if there is no room.
    const labels = whole.length > mostWritten ? [...whole.slice(0, mostWritten - 1), end as number] : whole
    if (own.overflowing.length > 0 || written.overflowing.length > 0 || labels !== whole) cut++
    read.push({ ids: Int32Array.from(own.ids), labels: Int32Array.from(labels) })
  })
  const pad = padTokenOf(tokenizer)
  return new TokenizedRows(
    read.list(asRead),
    (some) => ({
      ...inputsOf(some, pad),
      labels: padLists(
        some.map(({ labels }) => labels),
        -100,
      ),
    }),
    { cut },
  )
}

/** Texts or pairs of texts with a label each, in tokens. */
import { checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { fromTypedArray, tensor } from '../../ops/creation.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type Label, type LabelKind, LabelReader, type ReadLabel } from './labels.js'
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
import { RowStore } from './store.js'

export interface TextRowsOptions<R> {
  /** The field with the text. */
  readonly text: Field<R, string>
  /** The field with the second text of a pair. */
  readonly pair?: Field<R, string>
  /** The field with the label. Left out: rows to predict for. */
  readonly label?: Field<R, Label>
  /** Names of the classes, in order. Rows with other names are refused. Default: the names found, sorted. */
  readonly labels?: readonly string[]
  /**
   * The kind of the labels. By default the first row's label decides: a class, or for a list several classes. Numbers
   * to predict must be given as 'number'.
   */
  readonly kind?: LabelKind
  /**
   * The most tokens of a row. The longer text is cut first, and rows that are cut are counted. Default: the tokenizer's
   * `maxLength`, if any.
   */
  readonly maxLength?: number
}

/** A text, or a pair, to classify. */
export interface TextRow extends TokenList {
  /**
   * The index of the class; or for several classes, 1 for each class of the row; or the number or numbers to predict.
   */
  readonly label?: number | Float32Array
}

/** Texts and their labels: int32 [B], float32 [B] or float32 [B, classes]. */
export interface TextBatch extends TextInputs {
  readonly labels?: Tensor
}

/**
 * Reads texts with their labels, for `classification()` and `regression()`: `await textRows(csv('reviews.csv'),
 * tokenizer, { text: 'review', label: 'mood' })`. All rows are read at once, so that a wrong one is found before the
 * training. Throws ValueError, with the row (counted from 0), if a column is missing, if a text is empty or not a text,
 * or if a label is of another type or outside the classes. Also throws if all labels are one class.
 */
export async function textRows<R>(
  rows: Rows<R>,
  tokenizer: Tokenizer,
  options: TextRowsOptions<NoInfer<R>>,
): Promise<TokenizedRows<TextRow, TextBatch>> {
  const op = 'textRows'
  const { text, pair, label, labels, kind, maxLength } = checkOptions(op, options, {
    text: true,
    pair: true,
    label: true,
    labels: true,
    kind: true,
    maxLength: true,
  })
  checkField(op, 'text', text)
  if (pair !== undefined) checkField(op, 'pair', pair)
  if (label !== undefined) checkField(op, 'label', label)
  const most = mostTokens(op, tokenizer, maxLength)
  const reading = new LabelReader(op, kind, labels)
  const read = new RowStore<{ readonly tokens: TokenList; readonly label?: ReadLabel }>(op)
  let cut = 0
  const count = await eachRow(op, rows, (row, index) => {
    const reader = new RowReader(op, row, index)
    const second = pair === undefined ? {} : { pair: reader.text('pair', pair) }
    const encoding = tokenizer.encode(reader.text('text', text), { ...second, ...cutTo(most) })
    if (encoding.overflowing.length > 0) cut++
    const tokens = tokensOf(encoding, pair !== undefined)
    read.push(
      label === undefined
        ? { tokens }
        : { tokens, label: reading.read(reader, reader.called('label', label), reader.value('label', label)) },
    )
  })
  const names = label === undefined ? (labels ?? []) : reading.settle(count)
  const made = read.list(
    ({ tokens, label: own }): TextRow =>
      own === undefined ? tokens : { ...tokens, label: reading.labelOf(own, names.length) },
  )
  const pad = padTokenOf(tokenizer)
  const { dtype } = reading
  return new TokenizedRows(made, (some) => together(some, pad, dtype), { labels: names, cut })
}

function together(rows: readonly TextRow[], pad: number, dtype: 'int32' | 'float32'): TextBatch {
  const inputs = inputsOf(rows, pad)
  const labels = rows.map(({ label }) => label)
  if (labels.some((label) => label === undefined)) return inputs
  if (typeof labels[0] === 'number') return { ...inputs, labels: tensor(labels as number[], { dtype }) }
  const lists = labels as Float32Array[]
  const width = lists[0]?.length ?? 0
  const flat = new Float32Array(lists.length * width)
  for (const [i, list] of lists.entries()) flat.set(list, i * width)
  return { ...inputs, labels: fromTypedArray(flat, [lists.length, width]) }
}

/** Questions, and texts that answer them, in tokens: windows over long texts, and the place of the answer in them. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import type { TextInputs } from '../../models/inference/inputs.js'
import { windowsOf } from '../../models/inference/windows.js'
import { tensor } from '../../ops/creation.js'
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { checkField, eachRow, type Field, RowReader, type Rows } from './read.js'
import { inputsOf, mostTokens, padTokenOf, TokenizedRows, type TokenList, tokensOf } from './rows.js'
import { asRead, RowStore } from './store.js'

/** An answer and its place in the text, from the UTF-16 unit `start` on. */
export interface AnswerSpan {
  readonly text: string
  readonly start: number
}

/**
 * Answers in the form of SQuAD's files: lists, of which the first entry counts. Empty lists mean that the text has no
 * answer.
 */
export interface SquadAnswers {
  readonly text: readonly string[]
  /** Counted in characters (code points), or in UTF-16 units if only these fit the text. */
  readonly answer_start: readonly number[]
}

export interface QaRowsOptions<R> {
  /** The field with the question. Default: the column `question`. */
  readonly question?: Field<R, string>
  /** The field with the text. Default: the column `context`. */
  readonly context?: Field<R, string>
  /** The field with the answer; null or an empty list if the text has none. Default: the column `answers`. */
  readonly answer?: Field<R, AnswerSpan | SquadAnswers | null>
  /** The most tokens of a window. Default 384, or the tokenizer's `maxLength` if that is less. */
  readonly maxLength?: number
  /**
   * The number of the text's tokens that a window shares with the one before it. Default 128, or a quarter of
   * `maxLength` if that is less.
   */
  readonly stride?: number
}

/** A window of a text, after its question. */
export interface AnswerRow extends TokenList {
  /** The first and the last token of the answer; both 0 if the window does not hold the whole answer. */
  readonly start: number
  readonly end: number
  /** The row of the window. */
  readonly source: number
}

export interface AnswerBatch extends TextInputs {
  /** int32 [B] each. */
  readonly startPositions: Tensor
  readonly endPositions: Tensor
}

/**
 * Reads questions, texts and answers, for `questionAnswering()`. A long text becomes several windows, which share
 * `stride` tokens. A window without the whole answer learns its first token, as do all windows of a text without an
 * answer. `skipped` counts windows that lack their text's answer, and answers that no window holds whole. Throws
 * ValueError, with the row (counted from 0), if a column is missing, if a text is empty or not a text, or if an answer
 * is not at the stated place.
 */
export async function qaRows<R>(
  rows: Rows<R>,
  tokenizer: Tokenizer,
  options: QaRowsOptions<NoInfer<R>> = {},
): Promise<TokenizedRows<AnswerRow, AnswerBatch>> {
  const op = 'qaRows'
  const {
    question = 'question' as Field<R, string>,
    context = 'context' as Field<R, string>,
    answer = 'answers' as Field<R, AnswerSpan | SquadAnswers | null>,
    maxLength,
    stride,
  } = checkOptions(op, options, { question: true, context: true, answer: true, maxLength: true, stride: true })
  for (const [name, field] of Object.entries({ question, context, answer })) checkField(op, name, field)
  const most =
    maxLength === undefined ? Math.min(384, mostTokens(op, tokenizer, undefined)) : mostTokens(op, tokenizer, maxLength)
  const shared = stride ?? Math.min(128, Math.floor(most / 4))
  if (!Number.isSafeInteger(shared) || shared < 0 || shared >= most)
    throw new ValueError(op, `stride is ${shown(stride)}, but must be an integer from 0 to below maxLength, ${most}`)
  const read = new RowStore<AnswerRow>(op)
  let [without, whole] = [0, 0]
  await eachRow(op, rows, (row, index) => {
    const reader = new RowReader(op, row, index)
    const text = reader.text('context', context)
    const span = spanIn(reader, reader.called('answer', answer), reader.value('answer', answer), text)
    const windows = windowsOf(tokenizer, reader.text('question', question), text, { maxLength: most, stride: shared })
    let found = 0
    for (const window of windows) {
      const place = span === null ? null : tokensAt(window, span)
      if (place !== null) found++
      const [start, end] = place ?? [0, 0]
      read.push({ ...tokensOf(window, true), start, end, source: index })
    }
    if (span === null) return
    without += windows.length - found
    if (found === 0) whole++
  })
  const pad = padTokenOf(tokenizer)
  return new TokenizedRows(read.list(asRead), (some) => together(some, pad), {
    skipped: {
      ...(without > 0 ? { 'windows without their answer': without } : {}),
      ...(whole > 0 ? { 'answers in no window': whole } : {}),
    },
  })
}

function together(rows: readonly AnswerRow[], pad: number): AnswerBatch {
  const numbers = (of: (row: AnswerRow) => number): Tensor => tensor(rows.map(of), { dtype: 'int32' })
  return {
    ...inputsOf(rows, pad),
    startPositions: numbers(({ start }) => start),
    endPositions: numbers(({ end }) => end),
  }
}

type Span = readonly [from: number, to: number]

/** The characters of the answer, in UTF-16 units, or null if there is none. */
function spanIn(reader: RowReader<unknown>, called: string, value: unknown, context: string): Span | null {
  if (value === null) return null
  if (typeof value !== 'object' || value === undefined)
    throw reader.error(
      `${called} is ${kindOf(value)}, but must be { text, start }, SQuAD's { text: [...], answer_start: [...] }, or null`,
    )
  const given = value as { readonly text?: unknown; readonly start?: unknown; readonly answer_start?: unknown }
  const isSquad = Array.isArray(given.text)
  if (isSquad && (given.text as unknown[]).length === 0) return null
  const [text, start] = isSquad
    ? [(given.text as unknown[])[0], Array.isArray(given.answer_start) ? given.answer_start[0] : undefined]
    : [given.text, given.start]
  if (typeof text !== 'string' || text === '')
    throw reader.error(
      `the text of the ${called} is ${kindOf(text)}, but must be a text that is not empty; a row without an answer has null`,
    )
  if (!Number.isSafeInteger(start) || (start as number) < 0)
    throw reader.error(`the start of the ${called} is ${shown(start)}, but must be an integer from 0 on`)
  const units = start as number
  const points = [...context].slice(0, units).join('').length
  const from = (isSquad ? [points, units] : [units]).find((at) => context.startsWith(text, at))
  if (from === undefined)
    throw reader.error(
      `the ${called} ${kindOf(text)} does not stand at ${units} of the context, where there is ${kindOf(context.slice(units, units + Math.min(30, text.length)))}; ` +
        'mend the start or the text',
    )
  return [from, from + text.length]
}

/** The first and the last token of the answer, or null if the window does not hold the whole answer. */
function tokensAt({ offsets, sequences }: Encoding, [from, to]: Span): readonly [number, number] | null {
  const own = offsets.flatMap(([begin, end], i) => (sequences[i] === 1 && end > begin ? [{ i, begin, end }] : []))
  const [first, last] = [own[0], own.at(-1)]
  if (first === undefined || last === undefined || first.begin > from || last.end < to) return null
  const start = own.findLast(({ begin }) => begin <= from)
  const end = own.find(({ end: stop }) => stop >= to)
  return start === undefined || end === undefined || end.i < start.i ? null : [start.i, end.i]
}

/** Texts to continue, in tokens: whole texts, and completions of prompts. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkFlag, checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { padLists, type TextInputs } from '../../models/inference/inputs.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { checkField, eachRow, type Field, RowReader, type Rows } from './read.js'
import { inputsOf, mostTokens, padTokenOf, TokenizedRows } from './rows.js'
import { asRead, RowStore } from './store.js'

/** Tokens, and the ones among them that are learned. */
export interface CausalRow {
  readonly ids: Int32Array
  /** The id of each token that is learned, at its place, and -100 for others. If left out, all tokens are learned. */
  readonly labels?: Int32Array
}

/** int32 [B, T] each. Labels are -100 for tokens that are not learned. */
export interface CausalBatch extends Pick<TextInputs, 'ids'> {
  readonly attentionMask?: Tensor
  readonly positions?: Tensor
  /** The document of each token, if rows hold several. */
  readonly documents?: Tensor
  readonly labels?: Tensor
}

const ignored = -100

interface Shared {
  /**
   * The most tokens of a row. Further tokens are cut off, and rows that are cut are counted. Default: the tokenizer's
   * `maxLength`, if any.
   */
  readonly maxLength?: number
  /**
   * Whether a text ends with the tokenizer's end token, which teaches the model to stop. Default: true if there is such
   * a token.
   */
  readonly end?: boolean
}

export type CompletionRowsOptions<R> =
  | (Shared & {
      /** The field with the prompt, from which nothing is learned. */
      readonly prompt: Field<R, string>
      /**
       * The field with its completion. It follows the prompt directly, so a blank between them must belong to one of
       * them.
       */
      readonly completion: Field<R, string>
      readonly text?: undefined
    })
  | (Shared & {
      /** The field with the text, all of which is learned. */
      readonly text: Field<R, string>
      readonly prompt?: undefined
      readonly completion?: undefined
    })

/**
 * Reads prompts with completions, of which only the completions are learned, or whole texts, for `causalLM()`: `await
 * completionRows(jsonl('tasks.jsonl'), tokenizer, { prompt: 'question', completion: ({ answer }) => ' ' + answer })`. A
 * token is learned if any of its characters belongs to the completion. Throws ValueError, with the row (counted from
 * 0), if a column is missing, if a text is empty or not a text, or if nothing before `maxLength` can be learned.
 */
export async function completionRows<R>(
  rows: Rows<R>,
  tokenizer: Tokenizer,
  options: CompletionRowsOptions<NoInfer<R>>,
): Promise<TokenizedRows<CausalRow, CausalBatch>> {
  const op = 'completionRows'
  const { prompt, completion, text, maxLength, end } = checkOptions(op, options, {
    prompt: true,
    completion: true,
    text: true,
    maxLength: true,
    end: true,
  } as const)
  if (
    (text === undefined) === (prompt === undefined && completion === undefined) ||
    (prompt === undefined) !== (completion === undefined)
  )
    throw new ValueError(op, 'give text, or prompt and completion, the columns of the rows')
  for (const [name, field] of Object.entries({ prompt, completion, text }))
    if (field !== undefined) checkField(op, name, field)
  const most = mostTokens(op, tokenizer, maxLength)
  if (end !== undefined) checkFlag(op, 'end', end)
  const endToken = end === false ? null : tokenizer.idFor('eos')
  if (end === true && endToken === null)
    throw new ValueError(
      op,
      'end is true, but the tokenizer has no token that ends texts; leave it out, or load a tokenizer with one',
    )
  const read = new RowStore<CausalRow>(op)
  let cut = 0
  await eachRow(op, rows, (row, index) => {
    const reader = new RowReader(op, row, index)
    const before = prompt === undefined ? '' : reader.text('prompt', prompt)
    const whole =
      before +
      (text === undefined ? reader.text('completion', completion as Field<R, string>) : reader.text('text', text))
    const { ids, offsets, sequences } = tokenizer.encode(whole)
    const all = endToken === null || ids.at(-1) === endToken ? ids : [...ids, endToken]
    const kept = Int32Array.from(all.slice(0, most))
    if (kept.length < all.length) cut++
    const labels = kept.map((id, i) => {
      // Nothing precedes the first token, so it cannot be predicted.
      if (i === 0) return ignored
      // Tokens that the tokenizer added after the text are learned as its end. Tokens added before it are not.
      if (i >= ids.length || sequences[i] === null) return id === endToken && i === all.length - 1 ? id : ignored
      return (offsets[i] as readonly [number, number])[1] > before.length ? id : ignored
    })
    if (labels.every((label) => label === ignored))
      throw reader.error(
        kept.length < all.length
          ? `there is nothing to learn from the first ${most} of its ${all.length} tokens; raise maxLength, or leave the row out`
          : `there is nothing to learn from its ${all.length} tokens, because a first token is predicted from nothing; leave the row out`,
      )
    read.push({ ids: kept, labels })
  })
  return causalRows(read, tokenizer, { cut })
}

function causalRows(
  rows: RowStore<CausalRow>,
  tokenizer: Tokenizer,
  facts: { readonly cut: number },
): TokenizedRows<CausalRow, CausalBatch> {
  const pad = padTokenOf(tokenizer)
  return new TokenizedRows(
    rows.list(asRead),
    (some) => {
      const labels = some.map(({ labels: own, ids }) => own ?? ids)
      return { ...inputsOf(some, pad), labels: padLists(labels, ignored) }
    },
    facts,
  )
}

/**
 * Reads rows that already hold tokens, as `chatRows` gives them, so that `byLength` and DataLoader can make padded
 * batches of them: `await paddedRows(chatRows(jsonl('chats.jsonl'), tokenizer), tokenizer)`. Throws ValueError, with
 * the row, for lists of other values or of unequal lengths.
 */
export async function paddedRows(
  rows: Rows<CausalRow & { readonly cut?: number }>,
  tokenizer: Tokenizer,
): Promise<TokenizedRows<CausalRow, CausalBatch>> {
  const op = 'paddedRows'
  mostTokens(op, tokenizer, undefined)
  const read = new RowStore<CausalRow>(op)
  let cut = 0
  await eachRow(op, rows, ({ ids, labels, cut: lost = 0 }, index) => {
    const reader = new RowReader(op, null, index)
    for (const [name, list] of Object.entries({ ids, labels }))
      if (!(list instanceof Int32Array) && !(name === 'labels' && list === undefined))
        throw reader.error(`${name} are ${kindOf(list)}, but must be an Int32Array of tokens, such as chatRows gives`)
    if (ids.length === 0) throw reader.error('it has no tokens; leave it out')
    if (labels !== undefined && labels.length !== ids.length)
      throw reader.error(`it has ${ids.length} ids, but ${labels.length} labels; give one for each`)
    if (!(Number.isSafeInteger(lost) && lost >= 0))
      throw reader.error(`cut is ${shown(lost)}, but must be a number of tokens`)
    if (lost > 0) cut++
    read.push(labels === undefined ? { ids } : { ids, labels })
  })
  return causalRows(read, tokenizer, { cut })
}

/** Words with tags, in tokens. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import type { Tensor } from '../../core/tensor.js'
import { padLists, type TextInputs } from '../../models/inference/inputs.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { LabelReader, type ReadLabel } from './labels.js'
import { checkField, eachRow, type Field, RowReader, type Rows } from './read.js'
import { cutTo, inputsOf, mostTokens, padTokenOf, TokenizedRows, type TokenList, tokensOf } from './rows.js'
import { RowStore } from './store.js'

export interface TokenRowsOptions<R> {
  /** The field with the words, a list of texts. */
  readonly words: Field<R, readonly string[]>
  /** The field with the tags: a name or an index for each word. Left out: rows to predict for. */
  readonly tags?: Field<R, readonly (string | number)[]>
  /** Names of the tags, in order. Rows with other names are refused. Default: the names found, sorted. */
  readonly labels?: readonly string[]
  /** The text between two words. Default: a blank. Use '' for languages written without blanks. */
  readonly between?: string
  /** The most tokens of a row. Rows that are cut are counted. Default: the tokenizer's `maxLength`, if any. */
  readonly maxLength?: number
}

/** A text of words to tag. */
export interface TaggedRow extends TokenList {
  /** The tag of each word at its first token, and -100 for all other tokens. */
  readonly labels?: Int32Array
}

/** Texts and the tags of their tokens: int32 [B, T], -100 for tokens that are not learned. */
export interface TokenBatch extends TextInputs {
  readonly labels?: Tensor
}

const ignored = -100

/**
 * The word of which each token of a text is the first token, or null. A token belongs to a word if they share
 * characters.
 */
export function firstTokens(
  words: readonly (readonly [from: number, to: number])[],
  offsets: readonly (readonly [from: number, to: number])[],
  isOwn: (token: number) => boolean,
): readonly (number | null)[] {
  let next = 0
  return offsets.map(([from, to], token) => {
    if (!isOwn(token) || from === to) return null
    // A word without tokens is skipped.
    while (next < words.length && (words[next] as readonly [number, number])[1] <= from) next++
    const word = words[next]
    if (word === undefined || word[0] >= to) return null
    return next++
  })
}

/**
 * Reads words with their tags, for `tokenClassification()`: `await tokenRows(jsonl('names.jsonl'), tokenizer, { words:
 * 'tokens', tags: 'tags' })`. The first token of a word learns its tag, and its other tokens learn none. `skipped`
 * counts words without tokens. Throws ValueError, with the row (counted from 0), if a column is missing, if the lists
 * are empty or of unequal lengths, if a word is not a text, or if a tag is of another type or outside the labels. Also
 * throws if all tags are the same.
 */
export async function tokenRows<R>(
  rows: Rows<R>,
  tokenizer: Tokenizer,
  options: TokenRowsOptions<NoInfer<R>>,
): Promise<TokenizedRows<TaggedRow, TokenBatch>> {
  const op = 'tokenRows'
  const {
    words,
    tags,
    labels,
    between = ' ',
    maxLength,
  } = checkOptions(op, options, {
    words: true,
    tags: true,
    labels: true,
    between: true,
    maxLength: true,
  })
  checkField(op, 'words', words)
  if (tags !== undefined) checkField(op, 'tags', tags)
  if (typeof between !== 'string') throw new ValueError(op, `between is ${shown(between)}, but must be a text`)
  const most = mostTokens(op, tokenizer, maxLength)
  const reading = new LabelReader(op, 'class', labels)
  const read = new RowStore<{
    readonly tokens: TokenList
    readonly first: readonly (number | null)[]
    readonly tags?: readonly ReadLabel[]
  }>(op)
  let cut = 0
  let lost = 0
  let tagged = 0
  await eachRow(op, rows, (row, index) => {
    const reader = new RowReader(op, row, index)
    const own = listIn(reader, 'words', words)
    const wrong = own.findIndex((word) => typeof word !== 'string' || word === '')
    if (wrong >= 0) throw reader.error(`word ${wrong} is ${kindOf(own[wrong])}, but must be a text that is not empty`)
    if (own.length === 0) throw reader.error('it has no words; leave it out')
    let at = 0
    const places = (own as readonly string[]).map((word): readonly [number, number] => {
      const from = at
      at += word.length + between.length
      return [from, from + word.length]
    })
    const encoding = tokenizer.encode(own.join(between), cutTo(most))
    const isCut = encoding.overflowing.length > 0
    if (isCut) cut++
    const first = firstTokens(places, encoding.offsets, (token) => encoding.sequences[token] === 0)
    const found = first.reduce<number>((count, word) => (word === null ? count : count + 1), 0)
    if (!isCut) lost += own.length - found
    const tokens = tokensOf(encoding, false)
    if (tags === undefined) {
      read.push({ tokens, first })
      return
    }
    const ownTags = listIn(reader, 'tags', tags)
    if (ownTags.length !== own.length)
      throw reader.error(`it has ${own.length} words, but ${ownTags.length} tags; give one for each word`)
    if (found === 0) throw reader.error('the tokenizer makes no token of any of its words; leave it out')
    tagged += ownTags.length
    read.push({ tokens, first, tags: ownTags.map((tag, i) => reading.read(reader, `tag ${i}`, tag)) })
  })
  const names = tags === undefined ? (labels ?? []) : reading.settle(tagged)
  const made = read.list(({ tokens, first, tags: own }): TaggedRow => {
    if (own === undefined) return tokens
    const numbers = own.map((tag) => reading.labelOf(tag, names.length) as number)
    return {
      ...tokens,
      labels: Int32Array.from(first, (word) => (word === null ? ignored : (numbers[word] as number))),
    }
  })
  const pad = padTokenOf(tokenizer)
  return new TokenizedRows(made, (some) => together(some, pad), {
    labels: names,
    cut,
    skipped: lost === 0 ? {} : { 'words without tokens': lost },
  })
}

function listIn<R>(reader: RowReader<R>, name: string, field: Field<R, unknown>): readonly unknown[] {
  const value = reader.value(name, field)
  if (Array.isArray(value)) return value
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>)
  throw reader.error(`${reader.called(name, field)} is ${kindOf(value)}, but must be a list`)
}

function together(rows: readonly TaggedRow[], pad: number): TokenBatch {
  const inputs = inputsOf(rows, pad)
  const labels = rows.map(({ labels: own }) => own)
  return labels.every((own) => own !== undefined) ? { ...inputs, labels: padLists(labels, ignored) } : inputs
}

/** The formats of rows, each with its columns and its way of making tokens. */
import { kindOf } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'
import type { Dataset } from '../../data/dataset.js'
import { qaRows } from '../../tasks/rows/answers.js'
import { completionRows, paddedRows } from '../../tasks/rows/causal.js'
import type { LabelKind } from '../../tasks/rows/labels.js'
import { type PairBatch, type PairRow, pairRows } from '../../tasks/rows/pairs.js'
import type { TokenizedRows, TokenList } from '../../tasks/rows/rows.js'
import { seq2seqRows } from '../../tasks/rows/seq2seq.js'
import { textRows } from '../../tasks/rows/text.js'
import { tokenRows } from '../../tasks/rows/tokens.js'
import { type ChatRow, chatRows, type Learn } from '../../text/chat/chat.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { FinetuneConfig } from '../config/schema.js'
import type { Row } from '../data/rows.js'

export type FormatName = NonNullable<FinetuneConfig['data']['format']>

export type Columns = NonNullable<FinetuneConfig['data']['columns']>

/** Batches of all formats, with one text in a row or several. */
export type TaskBatch = { readonly ids: Tensor } | PairBatch

/** Rows of all formats. */
export type TaskRow = TokenList | PairRow

/** Rows in tokens, of any format. */
export interface TaskRows
  extends Dataset<TaskRow, TaskBatch>,
    Pick<TokenizedRows<TaskRow, TaskBatch>, 'labels' | 'cut' | 'skipped'> {}

/** The texts of a row, in tokens. */
export function textsOf(row: TaskRow): readonly TokenList[] {
  if ('ids' in row) return [row]
  return [row.anchor, row.positive, ...(row.negative === undefined ? [] : [row.negative])]
}

/** The number of tokens of a batch, including those that pad its rows. */
export function tokensOfBatch(batch: TaskBatch): number {
  if ('ids' in batch) return batch.ids.numel
  return batch.anchor.ids.numel + batch.positive.ids.numel + (batch.negative?.ids.numel ?? 0)
}

export interface RowSettings {
  readonly columns: Columns
  readonly learn: Learn | undefined
  readonly template: string | undefined
  readonly labels: readonly string[] | undefined
  readonly kind: LabelKind | undefined
  readonly prefix: string | undefined
  /** The most tokens of a row, or Infinity if there is no limit. */
  readonly most: number
}

export interface Format {
  /** Columns that every row must have, by their usual names. */
  readonly columns: readonly (keyof Columns)[]
  /** Columns that rows may have. */
  readonly optional?: readonly (keyof Columns)[]
  read(rows: AsyncIterable<Row>, tokenizer: Tokenizer, settings: RowSettings): Promise<TaskRows>
}

const limited = (most: number) => (Number.isFinite(most) ? { maxLength: most } : {})

/** The field of a column: the config's name, or otherwise the usual one. */
const field = (name: keyof Columns, columns: Columns) => columns[name] ?? name

/** A fault of a row. The reader of the rows knows which one. */
export class RowFault extends Error {}

async function* chats(rows: AsyncIterable<Row>, columns: Columns): AsyncGenerator<ChatRow> {
  const name = field('messages', columns)
  for await (const row of rows) {
    const messages = row[name]
    if (!Array.isArray(messages) || messages.length === 0)
      throw new RowFault(
        `'${name}' is ${Array.isArray(messages) ? 'an empty list' : kindOf(messages)}, but must be a list such as [{"role": "user", "content": "..."}]`,
      )
    const { tools } = row
    if (tools !== undefined && tools !== null && !Array.isArray(tools))
      throw new RowFault(`'tools' is ${kindOf(tools)}, but must be a list`)
    yield { messages, ...(Array.isArray(tools) && { tools }) }
  }
}

export const formats: { readonly [name in FormatName]: Format } = {
  chat: {
    columns: ['messages'],
    read: (rows, tokenizer, { columns, learn, template, most }) =>
      paddedRows(
        chatRows(chats(rows, columns), tokenizer, {
          ...limited(most),
          ...(learn && { learn }),
          ...(template !== undefined && { template }),
        }),
        tokenizer,
      ),
  },
  completion: {
    columns: ['prompt', 'completion'],
    read: (rows, tokenizer, { columns, most }) =>
      completionRows(rows, tokenizer, {
        ...limited(most),
        prompt: textAt('prompt', columns),
        completion: textAt('completion', columns),
      }),
  },
  text: {
    columns: ['text'],
    read: (rows, tokenizer, { columns, most }) =>
      completionRows(rows, tokenizer, { ...limited(most), text: textAt('text', columns) }),
  },
  classification: {
    columns: ['text', 'label'],
    optional: ['pair'],
    read: (rows, tokenizer, { columns, labels, kind, most }) =>
      textRows(rows, tokenizer, {
        ...limited(most),
        text: textAt('text', columns),
        label: field('label', columns) as never,
        ...(columns.pair !== undefined && { pair: textAt('pair', columns) }),
        ...(labels && { labels }),
        ...(kind && { kind }),
      }),
  },
  tokens: {
    columns: ['words', 'tags'],
    read: (rows, tokenizer, { columns, labels, most }) =>
      tokenRows(rows, tokenizer, {
        ...limited(most),
        words: field('words', columns) as never,
        tags: field('tags', columns) as never,
        ...(labels && { labels }),
      }),
  },
  answers: {
    columns: ['question', 'context', 'answers'],
    read: (rows, tokenizer, { columns, most }) =>
      qaRows(rows, tokenizer, {
        ...limited(Math.min(most, 384)),
        question: textAt('question', columns),
        context: textAt('context', columns),
        answer: field('answers', columns) as never,
      }),
  },
  pairs: {
    columns: ['anchor', 'positive'],
    optional: ['negative', 'score'],
    read: async (rows, tokenizer, { columns, most }) => {
      const { first, all, end } = await begun(rows)
      // A column named by the config is required. Others are used if the first row has them.
      const names = (['negative', 'score'] as const).filter((name) => Object.hasOwn(columns, name) || has(first, name))
      const optional = Object.fromEntries(names.map((name) => [name, textAt(name, columns)]))
      const settings = { anchor: textAt('anchor', columns), positive: textAt('positive', columns), ...optional }
      // If rows are refused, their file must not stay open.
      return pairRows(alike(all, columns, names), tokenizer, { ...limited(most), ...settings }).finally(end)
    },
  },
  translation: {
    columns: ['source', 'target'],
    read: (rows, tokenizer, { columns, prefix = '', most }) =>
      seq2seqRows(prefixed(rows, field('source', columns), prefix), tokenizer, {
        ...limited(most),
        source: textAt('source', columns),
        target: textAt('target', columns),
      }),
  },
}

const has = (row: Row | undefined, name: string) => row?.[name] !== undefined && row[name] !== null

interface Begun {
  /** Undefined if there are no rows. */
  readonly first: Row | undefined
  readonly all: AsyncIterable<Row>
  /** Ends the reading at any point. */
  readonly end: () => Promise<void>
}

/** The first row, and all rows. */
async function begun(rows: AsyncIterable<Row>): Promise<Begun> {
  const iterator = rows[Symbol.asyncIterator]()
  const first = await iterator.next()
  async function* all(): AsyncGenerator<Row> {
    if (first.done) return
    yield first.value
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { first: first.done ? undefined : first.value, all: all(), end: async () => void (await iterator.return?.()) }
}

/** Pairs in which only columns of the first row occur. A later negative or score would be ignored, so it is refused. */
async function* alike(
  rows: AsyncIterable<Row>,
  columns: Columns,
  names: readonly (keyof Columns)[],
): AsyncGenerator<Row> {
  for await (const row of rows) {
    for (const name of names)
      if (!has(row, field(name, columns)))
        throw new RowFault(`the row has no ${name}, but the first row has one; give all rows one, or none`)
    for (const name of ['negative', 'score'] as const)
      if (!names.includes(name) && has(row, field(name, columns)))
        throw new RowFault(`the row has a ${name}, but the first row has none; give all rows one, or none`)
    yield row
  }
}

/**
 * Rows whose texts begin with the prefix. A value that is not a text is left unchanged, so that it is refused as it is.
 */
async function* prefixed(rows: AsyncIterable<Row>, name: string, prefix: string): AsyncGenerator<Row> {
  for await (const row of rows) {
    const text = row[name]
    yield typeof text === 'string' && text.trim() !== '' ? { ...row, [name]: prefix + text } : row
  }
}

/** The name of a column of texts. Its values are checked when a row is read. */
function textAt(name: keyof Columns, columns: Columns): never {
  return field(name, columns) as never
}

/**
 * Formats in the order in which a row's columns are compared with them: the format with the most requirements comes
 * first.
 */
const guesses: readonly FormatName[] = [
  'chat',
  'pairs',
  'answers',
  'tokens',
  'completion',
  'translation',
  'classification',
  'text',
]

/** The format that fits the columns of a row, or null. */
export function formatOf(row: Row, columns: Columns = {}): FormatName | null {
  return (
    guesses.find((name) => formats[name].columns.every((column) => Object.hasOwn(row, field(column, columns)))) ?? null
  )
}

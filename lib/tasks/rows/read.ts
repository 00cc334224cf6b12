/** A program's rows, read one after another, and errors that name the row. */
import { isIterable } from '../../core/engine.js'
import { isFiresteelError, kindOf, ValueError } from '../../core/errors.js'
import { nextTurn } from '../../core/host.js'
import { Dataset } from '../../data/dataset.js'
import type { RowSource } from '../../data/iterable.js'

/** Rows in memory, by index, or as a stream. */
export type Rows<R> = RowSource<R> | Dataset<R, unknown>

/** The place of a row's text, label and other fields: the name of a column, or a function of the row. */
export type Field<R, T> = (keyof R & string) | ((row: R) => T)

/** The error of a row. Its property `row` also has the row's index, counted from 0. */
export function rowError(op: string, row: number, message: string): ValueError {
  return Object.assign(new ValueError(op, `row ${row}: ${message}`), { row })
}

/** Milliseconds between two turns of the event loop. */
const rowsEachTurn = 64

/** Calls the function with each row. An error that it throws gets the row's index. */
export async function eachRow<R>(op: string, rows: Rows<R>, use: (row: R, index: number) => void): Promise<number> {
  const source: unknown = rows instanceof Dataset ? rows.stream() : rows
  if (!isIterable(source))
    throw new ValueError(
      op,
      `the rows are ${kindOf(rows)}, but must be an array, a dataset, or what jsonl or csv gives`,
    )
  let index = 0
  for await (const row of source as AsyncIterable<R>) {
    if (typeof row !== 'object' || row === null)
      throw rowError(op, index, `it is ${kindOf(row)}, but must be an object with columns`)
    try {
      use(row, index)
    } catch (error) {
      if (!isFiresteelError(error) || Object.hasOwn(error, 'row')) throw error
      throw rowError(op, index, error.message.slice(`[${error.op}] `.length))
    }
    if (++index % rowsEachTurn === 0) await nextTurn()
  }
  if (index === 0) throw new ValueError(op, 'there are no rows; give at least one')
  return index
}

/** Throws unless it names a place. */
export function checkField(op: string, name: string, field: unknown): void {
  if (typeof field !== 'function' && !(typeof field === 'string' && field !== ''))
    throw new ValueError(op, `${name} is ${kindOf(field)}, but must be the name of a column, or a function of a row`)
}

/** Reads fields of the row at an index. */
export class RowReader<R> {
  readonly #op: string
  readonly #row: R
  readonly index: number

  constructor(op: string, row: R, index: number) {
    this.#op = op
    this.#row = row
    this.index = index
  }

  error(message: string): ValueError {
    return rowError(this.#op, this.index, message)
  }

  /** The name of the field in messages. */
  called(name: string, field: Field<R, unknown>): string {
    return typeof field === 'string' && field !== name ? `${name} (column '${field}')` : name
  }

  value(name: string, field: Field<R, unknown>): unknown {
    if (typeof field === 'function') return field(this.#row)
    const row = this.#row as object
    if (field in row) return (row as { readonly [column: string]: unknown })[field]
    const there = Object.keys(row)
    throw this.error(
      `there is no column '${field}' for the ${name}; the row has ${there.length === 0 ? 'no columns' : there.slice(0, 20).join(', ')}; name ` +
        'one that it has, or give a function of the row',
    )
  }

  /** A text with more than white space. */
  text(name: string, field: Field<R, unknown>): string {
    const value = this.value(name, field)
    const called = this.called(name, field)
    if (typeof value !== 'string') throw this.error(`${called} is ${kindOf(value)}, but must be a text`)
    if (value.trim() === '') throw this.error(`${called} is empty; leave the row out, or mend it`)
    return value
  }
}

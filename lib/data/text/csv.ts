/** Tables of text (RFC 4180), read line by line. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkOptions } from '../../core/options.js'
import type { IterableDataset } from '../iterable.js'
import { type Files, type Placed, rowsOfFiles } from './files.js'
import { checkLongest, fault, type LineOptions, type LinePlace, linesOf, tooLong } from './lines.js'

/** The type as which a field is read. With a question mark the field may be empty, and is then NaN. */
export type CsvType = 'text' | 'number' | 'number?' | 'boolean'

type Cell<T> = T extends 'number' | 'number?' ? number : T extends 'boolean' ? boolean : string

/** Columns in the types that are given for them, and text for others. */
export type CsvRow<T> = { readonly [K in keyof T]: Cell<T[K]> } & {
  readonly [column: string]: string | number | boolean
}

export interface CsvOptions<T> extends LineOptions {
  /** Types of columns: `{ price: 'number', sold: 'boolean' }`. Other columns are text. */
  readonly types?: T
  /** The delimiter of fields. Default ','. */
  readonly delimiter?: string
  /** The names of the columns, if files do not begin with them. */
  readonly columns?: readonly string[]
}

/**
 * Rows of CSV files as records by the names in their first line. Fields that hold delimiters, quotes or line ends are
 * in quotes, and a quote within them is doubled (RFC 4180). Lines end with , \r or \r, and line ends within fields are
 * read as . Empty lines are left out. Throws ValueError, with file and line, if a row has more or fewer fields than
 * there are columns, if a quote is misplaced, or if a field is not of its type.
 */
export function csv<const T extends { readonly [column: string]: CsvType } = { readonly [column: string]: 'text' }>(
  files: Files,
  options: CsvOptions<T> = {},
): IterableDataset<CsvRow<T>> {
  const op = 'csv'
  const {
    types,
    delimiter = ',',
    columns,
    longest,
  } = checkOptions(op, options, {
    types: true,
    delimiter: true,
    columns: true,
    longest: true,
  })
  const most = checkLongest(op, longest)
  if (typeof delimiter !== 'string' || !/^[^"\r\n]$/.test(delimiter))
    throw new ValueError(op, `delimiter is ${shown(delimiter)}, but must be one character, such as ',' or '\\t'`)
  const named = columns === undefined ? null : checkColumns(op, columns)
  const table = checkTypes(op, types)
  return rowsOfFiles(op, files, (path, from: LinePlace | null) =>
    rowsOf<CsvRow<T>>({ op, path, delimiter, longest: most, types: table }, named, from),
  )
}

interface Table {
  readonly op: string
  readonly path: string
  readonly delimiter: string
  readonly longest: number
  readonly types: ReadonlyMap<string, CsvType>
}

function checkColumns(op: string, columns: readonly string[]): readonly string[] {
  if (!Array.isArray(columns) || !columns.every((name) => typeof name === 'string') || columns.length === 0)
    throw new ValueError(op, `columns are ${shown(columns)}, but must be names, in an array`)
  const twice = columns.find((name, i) => columns.indexOf(name) !== i)
  if (twice !== undefined) throw new ValueError(op, `columns have ${kindOf(twice)} twice; names must differ`)
  return [...columns]
}

const known: readonly unknown[] = ['text', 'number', 'number?', 'boolean']

function checkTypes(op: string, types: unknown): ReadonlyMap<string, CsvType> {
  if (types === undefined) return new Map()
  if (typeof types !== 'object' || types === null || Array.isArray(types))
    throw new ValueError(op, `types are ${kindOf(types)}, but must be an object such as { price: 'number' }`)
  const entries = Object.entries(types)
  for (const [name, type] of entries)
    if (!known.includes(type))
      throw new ValueError(
        op,
        `the type of ${name} is ${shown(type)}, but must be 'text', 'number', 'number?' or 'boolean'`,
      )
  return new Map(entries)
}

interface Rec {
  readonly fields: readonly string[]
  readonly line: number
  readonly next: LinePlace
}

/** Combines lines if a field spans several, and splits rows into fields. */
async function* records(table: Table, from: LinePlace | null): AsyncGenerator<Rec, void, void> {
  const { op, path, longest, delimiter } = table
  let begun: string[] = []
  let first = 0
  let length = 0
  for await (const { text, line, next } of linesOf(op, path, from, longest, true)) {
    if (begun.length === 0 && text === '') continue
    if (begun.length === 0) first = line
    begun.push(text)
    length += Buffer.byteLength(text)
    if (length > longest) throw tooLong(op, path, first, longest)
    // A field is open after an odd number of quotes. A line with an odd number opens one, or closes the open one.
    const odd = text.split('"').length % 2 === 0
    if (odd === (begun.length === 1)) continue
    const whole = begun.join('\n')
    begun = []
    length = 0
    yield { fields: fieldsOf(whole, delimiter, (why) => fault(op, path, first, why)), line: first, next }
  }
  if (begun.length > 0) throw fault(op, path, first, 'a quote opens a field, but no quote closes it')
}

function fieldsOf(text: string, delimiter: string, failure: (why: string) => ValueError): string[] {
  const fields: string[] = []
  for (let at = 0; ; at++) {
    if (text[at] === '"') {
      let field = ''
      for (at++; ; at++) {
        const end = text.indexOf('"', at)
        if (end < 0) throw failure(`field ${fields.length + 1} has an opening quote without a closing one`)
        field += text.slice(at, end)
        at = end + 1
        if (text[at] !== '"') break
        field += '"'
      }
      if (at < text.length && text[at] !== delimiter)
        throw failure(`field ${fields.length + 1} continues after its closing quote; double the quotes within a field`)
      fields.push(field)
    } else {
      const next = text.indexOf(delimiter, at)
      const field = next < 0 ? text.slice(at) : text.slice(at, next)
      if (field.includes('"'))
        throw failure(
          `field ${fields.length + 1} contains a quote; put the field in quotes, and double the quotes within it`,
        )
      fields.push(field)
      at = next < 0 ? text.length : next
    }
    if (at >= text.length) return fields
  }
}

const countOf = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

const delimiterName = ({ delimiter }: Table): string => (delimiter === '\t' ? 'a tab' : `'${delimiter}'`)

async function* rowsOf<R>(
  table: Table,
  named: readonly string[] | null,
  from: LinePlace | null,
): AsyncGenerator<Placed<R, LinePlace>, void, void> {
  const { op, path } = table
  let columns = named
  let start = from
  if (columns === null) {
    // Rows that continue in the middle still need the names at the beginning.
    for await (const { fields, next, line } of records(table, null)) {
      const twice = fields.find((name, i) => fields.indexOf(name) !== i)
      if (twice !== undefined)
        throw fault(op, path, line, `the header has ${kindOf(twice)} twice; if it is a row, name the columns`)
      columns = fields
      start ??= next
      break
    }
    if (columns === null) throw fault(op, path, 1, 'the file is empty, but must begin with the names of the columns')
  }
  const missing = [...table.types.keys()].find((name) => !columns.includes(name))
  if (missing !== undefined)
    throw fault(op, path, 1, `there is no column ${kindOf(missing)}; there are ${columns.slice(0, 20).join(', ')}`)
  for await (const { fields, line, next } of records(table, start)) {
    if (fields.length !== columns.length)
      throw fault(
        op,
        path,
        line,
        `the row has ${countOf(fields.length, 'field')}, but there ${columns.length === 1 ? 'is' : 'are'} ${countOf(columns.length, 'column')}; give each a field, and put a field with ${delimiterName(table)} in quotes`,
      )
    const row = Object.fromEntries(columns.map((name, i) => [name, cell(table, line, name, fields[i] as string)])) as R
    yield { row, place: next }
  }
}

function cell({ op, path, types }: Table, line: number, name: string, text: string): string | number | boolean {
  const type = types.get(name) ?? 'text'
  if (type === 'text') return text
  const bare = text.trim()
  if (type === 'boolean') {
    if (/^(true|1)$/i.test(bare)) return true
    if (/^(false|0)$/i.test(bare)) return false
    throw fault(op, path, line, `${name} is ${kindOf(text)}, but must be true, false, 1 or 0`)
  }
  if (bare === '') {
    if (type === 'number?') return Number.NaN
    throw fault(op, path, line, `${name} is empty, but must be a number; 'number?' reads it as NaN`)
  }
  const value = /^nan$/i.test(bare) ? Number.NaN : Number(bare)
  // Number() also accepts hexadecimals, which a column of codes may have.
  if ((Number.isNaN(value) && !/^nan$/i.test(bare)) || /^[+-]?0[xob]/i.test(bare))
    throw fault(op, path, line, `${name} is ${kindOf(text)}, but must be a number`)
  return value
}

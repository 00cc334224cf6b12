/** Tables of numbers from files, with the place of every wrong field. */
import { shown } from '../../core/errors.js'
import { nearest } from '../../core/nearest.js'
import { isEmptyField, numberOf } from '../../pretrain/table.js'
import { UsageError } from '../exit.js'
import { columnsOf, tableAdvice } from './read.js'
import { type PlacedRow, placedRows } from './rows.js'

interface TableOptions {
  /** The columns to read, or undefined for those in which the first row has a number. */
  readonly columns: readonly string[] | undefined
  /** Whether a field may be empty. It is then NaN. */
  readonly mayBeEmpty: boolean
}

/** The number of rows in a piece of a table. */
const rowsOfPiece = 4096

/** Rows of numbers in memory, 8 bytes for each number. */
export class NumberTable {
  readonly columns: readonly string[]
  #rows = 0
  #empty = 0
  readonly #pieces: Float64Array[] = []

  constructor(columns: readonly string[]) {
    this.columns = columns
  }

  get rows(): number {
    return this.#rows
  }

  /** The number of empty fields, which are NaN. */
  get empty(): number {
    return this.#empty
  }

  get(row: number, column: number): number {
    const piece = this.#pieces[Math.floor(row / rowsOfPiece)] as Float64Array
    return piece[(row % rowsOfPiece) * this.columns.length + column] as number
  }

  add(numbers: readonly number[]): void {
    const at = this.#rows++ % rowsOfPiece
    if (at === 0) this.#pieces.push(new Float64Array(rowsOfPiece * this.columns.length))
    this.#pieces.at(-1)?.set(numbers, at * this.columns.length)
    for (const number of numbers) if (Number.isNaN(number)) this.#empty++
  }
}

/** Throws UsageError for a column that the row lacks, with the nearest name. */
function checkColumns(placed: PlacedRow, columns: readonly string[]): void {
  const { row } = placed
  for (const name of columns) {
    if (Object.hasOwn(row, name)) continue
    const near = nearest(name, Object.keys(row))
    throw new UsageError(
      `${placed.place}: there is no column '${name}'${near === null ? ';' : `; did you mean '${near}'?`} the row has ${columnsOf(row)}; name the right ones with table.columns${tableAdvice(row)}`,
    )
  }
}

/**
 * The numbers of a row, in the order of the columns. Throws UsageError, with the place, for a field that holds none.
 */
function numbersOf(
  placed: PlacedRow,
  { columns, mayBeEmpty }: TableOptions & { readonly columns: readonly string[] },
): number[] {
  const { row } = placed
  checkColumns(placed, columns)
  return columns.map((name) => {
    const field = row[name]
    const isEmpty = isEmptyField(field)
    if (isEmpty && mayBeEmpty) return Number.NaN
    const number = numberOf(field)
    if (number !== null) return number
    const { place } = placed
    throw new UsageError(
      isEmpty
        ? `${place}: '${name}' is empty, but must be a number; fill it in, leave the row out, or give table.missing: mean`
        : `${place}: '${name}' is ${shown(field)}, but must be a number; correct it, or leave the column out of table.columns`,
    )
  })
}

/** Reads all rows. Throws UsageError for files without rows or numbers, and for the first field that holds no number. */
export async function readTable(files: readonly string[], options: TableOptions): Promise<NumberTable> {
  let table: NumberTable | null = null
  for await (const placed of placedRows(files)) {
    table ??= new NumberTable(options.columns ?? numericColumns(placed))
    table.add(numbersOf(placed, { ...options, columns: table.columns }))
  }
  if (table === null)
    throw new UsageError(`${files.join(', ')}: there are no rows; give a file with a row on each line`)
  return table
}

function numericColumns({ row, place }: PlacedRow): readonly string[] {
  const found = Object.keys(row).filter((name) => numberOf(row[name]) !== null)
  if (found.length > 0) return found
  throw new UsageError(
    `${place}: no column of the row is a number; it has ${columnsOf(row)}; name columns of numbers with table.columns${tableAdvice(row)}`,
  )
}

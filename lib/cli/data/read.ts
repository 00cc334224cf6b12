/** Rows of files as tokens, or all faults found, each with its place. */
import { extname } from 'node:path'
import { isFiresteelError } from '../../core/errors.js'
import { nearest } from '../../core/nearest.js'
import type { LabelKind } from '../../tasks/rows/labels.js'
import { inConfigWords } from '../advice.js'
import { UsageError } from '../exit.js'
import { type Columns, type FormatName, formats, RowFault, type TaskRows } from '../tasks/formats.js'
import { fieldsWithNumbers } from './fields.js'
import { Places, placedRows, type Row } from './rows.js'

export interface ReadRows {
  readonly rows: TaskRows
  /** `chats.jsonl:7` for each row of the files. */
  readonly places: Places
}

interface Fault {
  /** Null if the fault does not belong to a single row. */
  readonly place: string | null
  readonly text: string
  /** Whether it is a fault of all rows together. */
  readonly isOfAll?: boolean
}

/** The number of faults to report before reading stops. */
const mostFaults = 5

/**
 * Reads all rows. `read` turns them into tokens and fails at the first wrong one. That row is then recorded and left
 * out, and the rest is read again, so that the user can correct several faults at once. Throws UsageError that lists
 * the faults with file, line and advice.
 */
export async function readRows(
  files: readonly string[],
  format: FormatName,
  columns: Columns,
  kind: LabelKind | undefined,
  read: (rows: AsyncIterable<Row>) => Promise<TaskRows>,
): Promise<ReadRows> {
  const faults: Fault[] = []
  const wrong = new Set<string>()
  for (;;) {
    const places = new Places()
    async function* given(): AsyncGenerator<Row> {
      for await (const placed of placedRows(files)) {
        if (wrong.size > 0 && wrong.has(placed.place)) continue
        const { row } = placed
        places.add(placed.at)
        checkColumns(row, format, columns)
        yield hasFields(placed.at.path) ? fieldsWithNumbers(row, format, columns, kind) : row
      }
    }
    try {
      const rows = await read(given())
      if (faults.length > 0) break
      return { rows, places }
    } catch (error) {
      const fault = faultOf(error, places, files)
      // The remaining rows may be wrong together only because others were left out, for example if they have just one
      // class.
      if (fault.isOfAll && faults.length > 0) break
      faults.push(fault)
      if (fault.place === null || faults.length === mostFaults) break
      wrong.add(fault.place)
    }
  }
  throw new UsageError(faultsText(faults))
}

/** Missing columns are reported, with the nearest name, before the row is used in any other way. */
function checkColumns(row: Row, format: FormatName, columns: Columns): void {
  const { columns: needed, optional = [] } = formats[format]
  for (const role of [...needed, ...optional.filter((each) => columns[each] !== undefined)]) {
    const name = columns[role] ?? role
    if (Object.hasOwn(row, name)) continue
    const near = nearest(name, Object.keys(row))
    throw new RowFault(
      `there is no column '${name}'${near === null ? '' : `; did you mean '${near}'?`}${near === null ? ';' : ''} the row has ${columnsOf(row)}; name the right one with data.columns.${role}${tableAdvice(row)}`,
    )
  }
}

/** Advice for a table whose header is one name that contains others. */
export function tableAdvice(row: Row): string {
  const [name = '', ...others] = Object.keys(row)
  const padded = Object.keys(row).find((each) => each !== each.trim())
  if (padded !== undefined) return `; the column '${padded}' has blanks around its name: remove them in the header`
  const found = others.length > 0 ? undefined : [';', '\t', '|', ','].find((each) => name.includes(each))
  if (found === undefined) return ''
  return `; the fields seem to be separated by ${found === '\t' ? 'tabs' : `'${found}'`}: write commas in a .csv, and tabs in a .tsv`
}

export const columnsOf = (row: Row): string =>
  Object.keys(row)
    .map((name) => `'${name}'`)
    .join(', ') || 'no columns'

/** An error of reading, without the name of the function, and with the row's place instead of its number. */
function faultOf(error: unknown, places: Places, files: readonly string[]): Fault {
  if (error instanceof RowFault) {
    const place = places.at(places.length - 1) ?? null
    return { place, text: error.message + fieldAdvice(place ?? '', error.message) }
  }
  if (error instanceof UsageError) return { place: null, text: error.message }
  if (!isFiresteelError(error)) throw error
  const own = error.message.slice(`[${error.op}] `.length)
  const [, number, colon, text] = /^row (\d+)(:?) (.*)$/s.exec(own) ?? []
  const place = places.at(Number(number ?? Number.NaN))
  if (place !== undefined) {
    const said = inConfigWords(colon === ':' ? (text as string) : `the row ${text}`)
    return { place, text: said + fieldAdvice(place, said) }
  }
  return { place: null, text: `${files.join(', ')}: ${inConfigWords(own)}`, isOfAll: true }
}

/** Whether a file has fields, which are texts, instead of values. */
const hasFields = (path: string): boolean => ['.csv', '.tsv'].includes(extname(path).toLowerCase())

/** Advice for a list or a table that a file of fields cannot hold. */
function fieldAdvice(place: string, text: string): string {
  if (!/\.[ct]sv:\d+$/i.test(place)) return ''
  if (/ is '[-+]?\d[\d.,'_ ]*[%€$£]?', but must be a finite number/.test(text))
    return '; write digits and a decimal point alone, as in 1234.5'
  return /must be (a list|\{)/.test(text) ? '; fields of a table are texts, so give such rows as .jsonl' : ''
}

function faultsText(faults: readonly Fault[]): string {
  const byText = new Map<string, string[]>()
  for (const { place, text } of faults)
    byText.set(text, [...(byText.get(text) ?? []), ...(place === null ? [] : [place])])
  const lines = [...byText].map(([text, places]) => (places.length === 0 ? text : `${places.join(', ')}: ${text}`))
  return [...lines, ...(faults.length === mostFaults ? ['reading stopped there; there may be more'] : [])].join('\n')
}

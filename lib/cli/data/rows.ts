/** Rows of data files with their places, so that an error about a row tells where it is. */
import { lstat, open, readlink, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { isFiresteelError, kindOf } from '../../core/errors.js'
import type { IterableDataset } from '../../data/iterable.js'
import { csv } from '../../data/text/csv.js'
import { type Files, pathsOf } from '../../data/text/files.js'
import { jsonl, textFiles } from '../../data/text/lines.js'
import { inConfigWords } from '../advice.js'
import { UsageError } from '../exit.js'

export type Row = { readonly [column: string]: unknown }

/** The place of a row: its line, or its number in a file without lines. Both count from 1. */
interface Place {
  readonly path: string
  readonly number: number
  readonly isLine: boolean
}

/** `chats.jsonl:7`, or `rows.parquet, row 7`. */
const placeText = ({ path, number, isLine }: Place) => (isLine ? `${path}:${number}` : `${path}, row ${number}`)

/** A row whose place becomes a text only when it is read, because most rows are without fault. */
export class PlacedRow {
  readonly row: Row
  readonly at: Place

  constructor(row: Row, at: Place) {
    this.row = row
    this.at = at
  }

  get place(): string {
    return placeText(this.at)
  }
}

/** The places of many rows, 4 bytes for each. */
export class Places {
  /** The first row of each run of rows that belong to one file. */
  readonly #files: { readonly first: number; readonly path: string; readonly isLine: boolean }[] = []
  #numbers = new Uint32Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  add({ path, number, isLine }: Place): void {
    const last = this.#files.at(-1)
    if (last?.path !== path || last.isLine !== isLine) this.#files.push({ first: this.#length, path, isLine })
    if (this.#length === this.#numbers.length) {
      const longer = new Uint32Array(2 * this.#length)
      longer.set(this.#numbers)
      this.#numbers = longer
    }
    this.#numbers[this.#length++] = number
  }

  /** The place of row `index` in words, or undefined if there is none. */
  at(index: number): string | undefined {
    if (!(index >= 0 && index < this.#length)) return undefined
    const file = this.#files.findLast(({ first }) => first <= index)
    return file && placeText({ ...file, number: this.#numbers[index] as number })
  }
}

const readers: { readonly [ending: string]: (path: string) => Promise<IterableDataset<unknown>> } = {
  '.jsonl': async (path) => jsonl(path),
  '.ndjson': async (path) => jsonl(path),
  '.csv': async (path) => csv(path),
  '.tsv': async (path) => csv(path, { delimiter: '\t' }),
  '.txt': async (path) => textFiles(path).map((text) => ({ text })),
  '.parquet': async (path) => (await import('../../data/text/parquet.js')).parquet(path).map(withoutBigints),
}

/**
 * 64-bit integers of Parquet are bigints, which no label or place can be. Those that a number cannot hold stay bigints,
 * so that they are refused.
 */
function withoutBigints(value: unknown): unknown {
  if (typeof value === 'bigint') return BigInt(Number(value)) === value ? Number(value) : value
  if (Array.isArray(value)) return value.map(withoutBigints)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutBigints(inner)]))
}

/** The line of the last row that a pass returned, or null if rows have none. */
function lineOf(state: unknown): number | null {
  // A step's state contains that of the rows below it.
  for (let at = state; typeof at === 'object' && at !== null; at = (at as { own?: unknown }).own) {
    const { place } = at as { readonly place?: { readonly line?: unknown } | null }
    if (typeof place?.line === 'number') return place.line - 1
  }
  return null
}

/**
 * The files for paths and patterns. Throws UsageError and ValueError for files that are missing or of an unknown kind.
 */
export async function dataFiles(files: Files): Promise<readonly string[]> {
  const paths = await pathsOf('data', files)
  for (const path of paths) {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => error)
    if (!(found instanceof Error) && found.isDirectory())
      throw new UsageError(`${path} is a folder; give its files, as in ${join(path, '*.jsonl')}`)
    if (!Object.hasOwn(readers, extname(path).toLowerCase()))
      throw new UsageError(
        `${path} is not named like a file of rows; the known endings are ${Object.keys(readers).join(', ')}; write each row as JSON on its own line, and name the file .jsonl`,
      )
    if (found instanceof Error) throw new UsageError(await absent(path, found))
    // A read of a pipe would empty it, but rows are read more than once.
    if (!found.isFile())
      throw new UsageError(`${path} is a pipe or a device; copy its content to a file, and name that`)
  }
  return paths
}

/** The message about a path that leads to no file. */
async function absent(path: string, { code }: NodeJS.ErrnoException): Promise<string> {
  if (code === 'ELOOP') return `${path} is a link that leads back to itself; name the file itself`
  if (code === 'EACCES')
    return `${path} cannot be reached, because a folder before it may not be entered; ask for access`
  const isLink = await lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  )
  if (isLink)
    return `${path} is a link to ${await readlink(path)}, which does not exist; mend the link, or name another file`
  const advice = /(^|\/)https?:\//.test(path) ? '; fetch it first, and give the path of what was fetched' : ''
  return `${path}: there is no such file${advice}`
}

/** Whether a file begins as a JSON array does. */
async function isArray(path: string): Promise<boolean> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0)
    return /^\ufeff?\s*\[/.test(buffer.toString('utf8', 0, bytesRead))
  } finally {
    await file.close()
  }
}

/** Advice for a file whose rows are in one JSON array. The new file has another name, so that the shell does not empty the old one. */
const arrayAdvice = (path: string) =>
  `the file is one array, so make lines of it: jq -c '.[]' '${path}' > '${path.slice(0, -extname(path).length)}-lines.jsonl'`

/** Rows whose errors give advice, without the name of the function that read them. */
async function* told(path: string, rows: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* rows
  } catch (error) {
    if (!isFiresteelError(error)) throw error
    const own = error.message.replace(`[${error.op}] `, '')
    if (!/: the line is not valid JSON/.test(own)) throw new UsageError(inConfigWords(own))
    const advice = (await isArray(path))
      ? arrayAdvice(path)
      : 'mend the line, or remove it: each line is a row of its own, as in {"text": "..."}'
    throw new UsageError(`${own}; ${advice}`)
  }
}

/**
 * Rows of files, one after another, read according to the endings of their names. Throws UsageError and ValueError with
 * the place.
 */
export async function* placedRows(files: Files): AsyncGenerator<PlacedRow> {
  for (const path of await dataFiles(files)) {
    const kind = extname(path).toLowerCase()
    const rows = await (readers[kind] as (typeof readers)[string])(path)
    const pass = rows.pass()
    const isText = ['.csv', '.tsv', '.txt'].includes(kind)
    let count = 0
    for await (const row of told(path, pass)) {
      const line = lineOf(pass.state())
      count++
      const at = { path, number: line ?? count, isLine: line !== null }
      if (typeof row !== 'object' || row === null || Array.isArray(row))
        throw new UsageError(
          `${placeText(at)}: the row is ${kindOf(row)}, but must be an object of columns, such as {"text": "..."}${Array.isArray(row) && (await isArray(path)) ? `; ${arrayAdvice(path)}` : ''}`,
        )
      const damaged = isText ? Object.entries(row).find(([name, text]) => `${name}${text}`.includes('\0')) : undefined
      if (damaged !== undefined)
        throw new UsageError(
          `${placeText(at)}: '${damaged[0].replaceAll('\0', '')}' holds a zero byte, which no text has; the file is damaged, or it is UTF-16: save it as UTF-8`,
        )
      yield new PlacedRow(row as Row, at)
    }
  }
}

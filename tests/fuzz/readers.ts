/**
 * Reads mutated files of rows. Each must give the rows that a simple reading of its bytes gives, or one of Firesteel's
 * errors that names the file. Rows must be able to continue from any place. `mutants.ts` says how to call this.
 */
import { csv, jsonl, npy, parquet, textFiles } from '../../lib/data/text/index.js'
import { IterableDataset } from '../../lib/index.js'
import { numpy, parquetTable } from '../unit/written.js'
import { below, fuzz, insist, type Kind, mutant, mutated, pick, refusalOf } from './mutants.js'

/** Lines read in another way, from the whole text at once. Null if the bytes are not UTF-8. */
function simpleLines(bytes: Buffer): readonly string[] | null {
  try {
    return new TextDecoder('utf-8', { fatal: true })
      .decode(bytes)
      .split('\n')
      .map((line) => line.replace(/\r$/, ''))
      .filter((line) => line.trim() !== '')
  } catch {
    return null
  }
}

/** Colons of a text of JSON, other than those in strings. Each key has one. */
const colons = (json: string) => json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1

/** A line's value, in which no key may stand twice in one object: JSON.parse would keep only the last. */
function simpleValue(line: string): unknown {
  const value: unknown = JSON.parse(line)
  if (colons(line) !== colons(JSON.stringify(value))) throw new RangeError('a key is lost')
  return value
}

function simpleJson(bytes: Buffer): readonly unknown[] | null {
  try {
    return simpleLines(bytes)?.map(simpleValue) ?? null
  } catch {
    return null
  }
}

/** The rows of an array that npy can read. */
const npyRows = () =>
  new IterableDataset(async function* () {
    const rows = await npy(mutant)
    for (let i = 0; i < Math.min(rows.length, 50); i++) yield (await rows.get(i)).toArray()
  })

interface Rows {
  readonly bytes: Buffer
  /** The bytes where changes matter most: a header, or all bytes. */
  readonly within: number
  readonly read: () => IterableDataset<unknown>
  /** The rows by a simple reading, or null if it fails. Left out if there is none. */
  readonly simply?: (bytes: Buffer) => readonly unknown[] | null
}

const text = Buffer.from('one\r\n\n\u4e2d two\n"three", {4}\n\n5')
const lines = Buffer.from('{"a": 1, "b": ["x", null]}\n\n[1e3]\n"\\u00e9"\n{"a": -0.5}')
const table = Buffer.from('name,age,"of ""it"""\r\n"a, b",1,true\n"two\nlines",,0\n\nc,3e1,FALSE')
const floats = new Uint8Array(Float32Array.from({ length: 24 }, (_, i) => i).buffer)
const longs = new Uint8Array(BigInt64Array.from([1n, -2n, 3n, 4n]).buffer)

const arrays = [
  numpy("'<f4'", '(4, 3, 2)', floats),
  numpy("'>f4'", '(2, 12)', floats, 'True', 2),
  numpy("'<i8'", '(4,)', longs),
]
const rows: { readonly [name: string]: readonly Rows[] } = {
  text: [{ bytes: text, within: 99, read: () => textFiles(mutant), simply: simpleLines }],
  paragraphs: [{ bytes: text, within: 99, read: () => textFiles(mutant, { by: 'paragraph', longest: 40 }) }],
  jsonl: [{ bytes: lines, within: 99, read: () => jsonl(mutant), simply: simpleJson }],
  csv: [{ bytes: table, within: 99, read: () => csv(mutant) }],
  typedCsv: [
    { bytes: table, within: 99, read: () => csv(mutant, { types: { age: 'number?', 'of "it"': 'boolean' } }) },
  ],
  npy: arrays.map((bytes) => ({ bytes, within: 90, read: npyRows })),
  parquet: [
    { bytes: parquetTable, within: parquetTable.length, read: () => parquet(mutant) },
    // The pages, where changes are rarer than in the end of the file, which describes the content.
    { bytes: parquetTable, within: 400, read: () => parquet(mutant, { columns: ['text', 'id'] }) },
  ],
}
/** All rows, or the refusal. */
async function rowsOf(rows: AsyncIterable<unknown>): Promise<readonly unknown[] | string> {
  const all: unknown[] = []
  try {
    for await (const row of rows) all.push(row)
    return all
  } catch (error) {
    return refusalOf(error, mutant)
  }
}

const said = (rows: unknown) => JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))

async function check({ read, simply }: Rows, bytes: Buffer): Promise<boolean> {
  const rows = await rowsOf(read())
  const expected = simply?.(bytes)
  if (expected !== undefined) {
    insist((expected === null) === (typeof rows === 'string'), `${rows}, but simply read ${said(expected)}`)
    if (expected !== null) insist(said(rows) === said(expected), `${said(rows)} instead of ${said(expected)}`)
  }
  if (typeof rows === 'string') return false
  const cut = below(rows.length + 1)
  const pass = read().pass()
  for (let i = 0; i < cut; i++) await pass.next()
  const state = pass.state()
  await pass.return()
  insist(said(await rowsOf(read().pass(state))) === said(rows.slice(cut)), `other rows from ${said(state)} on`)
  return true
}

/** One of several forms of a kind, drawn for each mutant. */
function kindOf(forms: readonly Rows[]): Kind {
  let form = forms[0] as Rows
  return {
    make() {
      form = pick(forms)
      return mutated(form.bytes, form.within)
    },
    read: (bytes) => check(form, bytes),
  }
}

await fuzz(Object.fromEntries(Object.entries(rows).map(([name, forms]) => [name, kindOf(forms)])))

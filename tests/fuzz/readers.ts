/**
 * Reads mutated files of rows. Each gives the rows that a simple reading of its bytes gives, or one of Firesteel's errors that
 * names the file; rows go on from any place; none takes long, and all together take little memory.
 *
 * `tsx readers.ts SEED SECONDS FILE [COUNT]`: writes what it is about to read into FILE, as base64, so that a crash or a hang
 * can be told; ends after so many files, if that is sooner. `tsx tests/fuzz/readers.ts 1 Infinity '' 700000 all` gives each
 * of the seven kinds of file 100,000 mutants, in turn; `parquet` and such give one kind alone.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { csv, jsonl, npy, parquet, textFiles } from '../../lib/data/text/index.js'
import { IterableDataset, OutOfMemoryError, ValueError } from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { numpy, parquetTable } from '../unit/written.js'
import { mutations } from './mutations.js'

const [, , seedText = '1', secondsText = '5', path = '', countText = 'Infinity', named = 'all'] = process.argv
const { below, pick, changed } = mutations(randomOf(Number(seedText)))

/** A file takes a thousandth of this where nothing else runs. */
const longMilliseconds = 5000
const moreMemory = 300_000_000

const folder = mkdtempSync(join(tmpdir(), 'firesteel-fuzz-'))
const mutant = join(folder, 'mutant')

function insist(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

/** Lines by another way: of the whole text at once. Null where the bytes are no UTF-8. */
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

function simpleJson(bytes: Buffer): readonly unknown[] | null {
  try {
    return simpleLines(bytes)?.map((line) => JSON.parse(line) as unknown) ?? null
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

interface Kind {
  readonly bytes: Buffer
  /** Where changes are most telling: a header, or all. */
  readonly within: number
  readonly read: () => IterableDataset<unknown>
  /** The rows by a simple reading; null where it fails. Left out where there is none. */
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
const kinds: { readonly [name: string]: readonly Kind[] } = {
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
    // The pages, where the changes are rarer than in the end of the file, which says what is in it.
    { bytes: parquetTable, within: 400, read: () => parquet(mutant, { columns: ['text', 'id'] }) },
  ],
}
const chosen = named === 'all' ? Object.values(kinds) : [kinds[named] ?? []]
insist(
  chosen.every((each) => each.length > 0),
  `there are no files ${named}; there are ${Object.keys(kinds).join(', ')}`,
)

/** All rows, or what was refused. */
async function rowsOf(rows: AsyncIterable<unknown>): Promise<readonly unknown[] | string> {
  const all: unknown[] = []
  try {
    for await (const row of rows) all.push(row)
    return all
  } catch (error) {
    const ours = error instanceof ValueError || error instanceof OutOfMemoryError
    insist(
      ours && error.message.includes('mutant'),
      `${error instanceof Error ? error.stack : error}: does not name the file`,
    )
    insist((error as Error).message.length < 2000, 'the message is endless')
    return (error as Error).message
  }
}

const said = (rows: unknown) => JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))

async function check({ read, simply }: Kind, bytes: Buffer): Promise<boolean> {
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

let done = 0
let read = 0
const before = process.memoryUsage.rss()
const end = Date.now() + 1000 * Number(secondsText)
while (Date.now() < end && done < Number(countText)) {
  // In turn, so that each kind has its share of a count.
  const kind = pick(chosen[done % chosen.length] as readonly Kind[])
  let bytes: Buffer = Buffer.from(kind.bytes)
  for (let changes = pick([1, 1, 1, 2, 5]); changes > 0; changes--) bytes = changed(bytes, kind.within)
  writeFileSync(mutant, bytes)
  if (path !== '') writeFileSync(path, bytes.toString('base64'))
  const started = Date.now()
  if (await check(kind, bytes)) read++
  insist(Date.now() - started < longMilliseconds, `${Date.now() - started} ms`)
  done++
}
const more = process.memoryUsage.rss() - before
insist(more < moreMemory, `${more} bytes more than before`)
insist(read > 0 && read < done, `${read} of ${done} were read`)
rmSync(folder, { recursive: true })
process.stdout.write(`${done} files, of which ${read} were read\n`)

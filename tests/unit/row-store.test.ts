/** Rows that memory is not to hold: in a file they have the same order and the same bits. */
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, expect, it } from 'vitest'
import {
  byLength,
  completionRows,
  paddedRows,
  pairRows,
  qaRows,
  seq2seqRows,
  type TokenizedRows,
  textRows,
  tokenRows,
} from '../../lib/finetune/index.js'
import { type Dataset, splitRows, Tensor, ValueError } from '../../lib/index.js'
import { RowStore } from '../../lib/tasks/rows/store.js'
import { csv, jsonl, parquet } from '../../lib/text/index.js'
import { wordpiece } from './tasks.js'
import { parquetTable } from './written.js'

const folder = mkdtempSync(join(tmpdir(), 'firesteel-store-'))
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => {
  delete process.env['FIRESTEEL_ROWS_MEMORY']
  delete process.env['TMPDIR']
})

const tokenizer = wordpiece()
const words = ['the', 'film', 'was', 'good', 'bad', 'and', 'long']
const rows = Array.from({ length: 60 }, (_, i) => {
  const own = Array.from({ length: 1 + (i % 9) }, (_, j) => words[(i * j + i) % words.length] as string)
  return {
    ...{ text: own.join(' '), label: ['a', 'b', 'c'][i % 3] as string, labels: i % 2 === 0 ? ['a'] : ['b', 'a'] },
    ...{ number: i / 7, words: own, tags: own.map((_, j) => `t${j % 2}`), score: Math.cos(i) },
    answer: { text: own[0] as string, start: 0 },
  }
})
const table = join(folder, 'rows.csv')
writeFileSync(table, ['text,label', ...rows.map(({ text, label }) => `${text},${label}`)].join('\n'))
const lines = join(folder, 'rows.jsonl')
writeFileSync(lines, rows.map((row) => JSON.stringify(row)).join('\n'))
const parts = join(folder, 'rows.parquet')
writeFileSync(parts, parquetTable)

interface Made extends Dataset<object, object>, Pick<TokenizedRows<object, object>, 'labels' | 'cut' | 'skipped'> {}

const makers: { readonly [name: string]: () => Promise<Made> } = {
  'textRows of classes': () => textRows(rows, tokenizer, { text: 'text', label: 'label' }),
  'textRows of several classes': () => textRows(rows, tokenizer, { text: 'text', pair: 'label', label: 'labels' }),
  'textRows of numbers': () => textRows(rows, tokenizer, { text: 'text', label: 'number', kind: 'number' }),
  'textRows without labels': () => textRows(rows, tokenizer, { text: 'text', maxLength: 4 }),
  'textRows of JSON lines': () =>
    textRows(jsonl<(typeof rows)[number]>(lines), tokenizer, { text: 'text', label: 'label' }),
  'textRows of CSV': () => textRows(csv(table), tokenizer, { text: 'text', label: 'label' }),
  'textRows of Parquet': () =>
    textRows(parquet<{ readonly id: bigint }>(parts), tokenizer, { text: ({ id }) => `film ${id}` }),
  tokenRows: () => tokenRows(rows, tokenizer, { words: 'words', tags: 'tags' }),
  qaRows: () => qaRows(rows, tokenizer, { question: 'label', context: 'text', answer: 'answer' }),
  pairRows: () => pairRows(rows, tokenizer, { anchor: 'text', positive: 'label', score: 'score' }),
  seq2seqRows: () => seq2seqRows(rows, tokenizer, { source: 'text', target: 'label' }),
  completionRows: () => completionRows(rows, tokenizer, { prompt: 'label', completion: 'text' }),
  paddedRows: () =>
    paddedRows(
      [1, 2, 3].map((i) => ({ ids: Int32Array.from({ length: i }, () => i) })),
      tokenizer,
    ),
}

const plain = (value: unknown): unknown =>
  value instanceof Tensor
    ? [value.dtype, value.shape, [...value.dataSync()]]
    : typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)
      ? Object.entries(value).map(([name, part]) => [name, plain(part)])
      : value

async function all(made: Made) {
  const batches: unknown[] = []
  for await (const batch of byLength(made, { batchSize: 7, seed: 3 })) batches.push(plain(batch))
  const { train, validation } = splitRows(made, { validation: 0.4, seed: 1 })
  return {
    // Entries, because their order counts too, as for digests.
    rows: Array.from({ length: made.length }, (_, i) => plain(made.get(i))),
    facts: [made.labels, made.cut, made.skipped],
    batches,
    parts: [train, validation].map((part) => Array.from({ length: part.length }, (_, i) => plain(part.get(i)))),
  }
}

it.each(Object.entries(makers))('%s gives the same from a file', async (_name, make) => {
  const wanted = await all(await make())
  process.env['FIRESTEEL_ROWS_MEMORY'] = '0'
  const made = await make()
  expect(await all(made)).toEqual(wanted)
  expect(made.get(0)).not.toBe(made.get(0))
  expect(() => made.get(made.length)).toThrow('lies outside')
  expect(() => made.get(-1)).toThrow('lies outside')
})

it('holds rows in memory up to the bytes that were said, and not one more', () => {
  // An object, and a list of four tokens in it.
  const bytes = 96 + 96 + 16
  for (const [most, isSpilled] of [
    [3 * bytes - 1, true],
    [3 * bytes, false],
    [3 * bytes + 1, false],
  ] as const) {
    const store = new RowStore<{ readonly ids: Int32Array }>('test', most)
    for (let i = 0; i < 3; i++) store.push({ ids: Int32Array.of(i, 1, 2, 3) })
    expect(store.isSpilled).toBe(isSpilled)
    const list = store.list((row) => row)
    expect(Array.from({ length: list.length }, (_, i) => [...(list.at(i)?.ids ?? [])])).toEqual(
      [0, 1, 2].map((i) => [i, 1, 2, 3]),
    )
    expect(list.at(3)).toBeUndefined()
  }
})

it('finds rows on both sides of what is written at once, and of a list of places that grew', () => {
  const store = new RowStore<{ readonly i: number; readonly ids: Int32Array }>('test', 0)
  const count = 5000
  for (let i = 0; i < count; i++) store.push({ i, ids: new Int32Array(150).fill(i) })
  const list = store.list(({ i, ids }) => [i, ids.length, ids[149]])
  expect(list.length).toBe(count)
  for (const i of [0, 1, 1023, 1024, 1025, 1311, 1312, 2047, 2048, 4095, 4096, count - 1])
    expect(list.at(i)).toEqual([i, 150, i])
})

it('leaves no file behind, and says where there is no room', async () => {
  process.env['FIRESTEEL_ROWS_MEMORY'] = '0'
  const own = join(folder, 'own')
  process.env['TMPDIR'] = own
  const make = () => textRows(rows, tokenizer, { text: 'text' })
  await expect(make()).rejects.toThrow(ValueError)
  await expect(make()).rejects.toThrow(`cannot be written to ${own}`)
  mkdirSync(own)
  expect((await make()).length).toBe(rows.length)
  expect(readdirSync(own)).toEqual([])
})

it.each(['-1', '1.5', 'much', '1234567890'])("refuses '%s' for the memory of rows", async (text) => {
  process.env['FIRESTEEL_ROWS_MEMORY'] = text
  await expect(textRows(rows, tokenizer, { text: 'text' })).rejects.toThrow(`FIRESTEEL_ROWS_MEMORY is '${text}'`)
})

/** Files of spills that are open. Linux lists them. */
const open = () =>
  readdirSync('/proc/self/fd').filter((name) => {
    try {
      return /\/firesteel-\d+-[-\w]{36} \(deleted\)$/.test(readlinkSync(`/proc/self/fd/${name}`))
    } catch {
      return false
    }
  }).length

it.runIf(process.platform === 'linux')('closes the file of rows that nobody holds', async () => {
  process.env['FIRESTEEL_ROWS_MEMORY'] = '0'
  const made = await textRows(rows, tokenizer, { text: 'text' })
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 100 && open() > 1; i++) {
    collect()
    await setTimeout(10)
  }
  expect(open()).toBe(1)
  expect(made.get(0).ids.length).toBeGreaterThan(0)
})

afterAll(async () => {
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 100 && open() > 0; i++) {
    collect()
    await setTimeout(10)
  }
})

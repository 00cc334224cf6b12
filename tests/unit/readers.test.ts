/** Readers of files: their rows, how they continue, and the names of faults. */
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readlink, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { csv, jsonl, npy, parquet, textFiles } from '../../lib/data/text/index.js'
import { checkPageRuns } from '../../lib/data/text/parquet-runs.js'
import { DataLoader, type IterableDataset, splitRows } from '../../lib/index.js'
import { numpy, parquetTable } from './written.js'

let folder = ''
const at = (name: string) => join(folder, name)
async function file(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(at(name), content)
  return at(name)
}
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-readers-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The rows, which must be the same when continued from each place. */
async function rowsOf<R>(rows: IterableDataset<R>): Promise<readonly R[]> {
  const whole = await rows.toArray()
  for (let cut = 0; cut <= whole.length; cut++) {
    const pass = rows.pass()
    for (let i = 0; i < cut; i++) await pass.next()
    const state = JSON.parse(JSON.stringify(pass.state()))
    await pass.return()
    const rest: R[] = []
    for await (const row of rows.pass(state)) rest.push(row)
    expect(rest).toEqual(whole.slice(cut))
  }
  return whole
}

describe('text', () => {
  it('comes by lines, by paragraphs, or by files', async () => {
    const path = await file('text', '\ufeffa\r\nb\n\n \n\ud83d\ude00 c\nd')
    expect(await rowsOf(textFiles(path))).toEqual(['a', 'b', '\ud83d\ude00 c', 'd'])
    expect(await rowsOf(textFiles(path, { by: 'paragraph' }))).toEqual(['a\nb', '\ud83d\ude00 c\nd'])
    expect(await rowsOf(textFiles(await file('empty', '')))).toEqual([])
    const blank = await file('blank', '\n \n')
    expect(await rowsOf(textFiles([path, blank, path], { by: 'file' }))).toEqual([
      'a\nb\n\n \n\ud83d\ude00 c\nd',
      'a\nb\n\n \n\ud83d\ude00 c\nd',
    ])
    const nine = await file('nine', 'abcd\nefgh')
    expect(await rowsOf(textFiles(nine, { by: 'file', longest: 9 }))).toEqual(['abcd\nefgh'])
    await expect(rowsOf(textFiles(nine, { by: 'file', longest: 8 }))).rejects.toThrow(
      /nine:2: it has more than 8 bytes/,
    )
    expect(() => textFiles(path, { by: 'page' as 'file' })).toThrow(
      /by is 'page', but must be 'line', 'paragraph' or 'file'/,
    )
  })

  it.each([65535, 65536, 65537, 131072, 200_001])('has lines of %i bytes, over pieces', async (length) => {
    // The letters have three bytes, so that pieces end within some.
    const long = `${'x'.repeat(length % 3)}${'\u4e2d'.repeat(Math.floor(length / 3))}`
    const rows = textFiles(await file('long', `a\n${long}\n\r\n${long}\nb`))
    expect(await rowsOf(rows)).toEqual(['a', long, long, 'b'])
  })

  it('of many files comes in the order of their names', async () => {
    for (const name of ['many', 'many/one', 'many/one/two', 'many/.hidden']) await mkdir(at(name), { recursive: true })
    for (const name of ['b.txt', 'a.txt', 'c.md', 'one/a.txt', 'one/two/z.txt', '.hidden/a.txt', 'one/x+y.txt'])
      await file(`many/${name}`, `${name} 1\n${name} 2\n`)
    const names = async (pattern: string) =>
      (await rowsOf(textFiles(at(pattern)))).filter((row) => row.endsWith('1')).map((row) => row.slice(0, -2))
    expect(await names('many/*.txt')).toEqual(['a.txt', 'b.txt'])
    expect(await names('many/**/*.txt')).toEqual(['a.txt', 'b.txt', 'one/a.txt', 'one/two/z.txt', 'one/x+y.txt'])
    expect(await names('many/?.*')).toEqual(['a.txt', 'b.txt', 'c.md'])
    expect(await names('many/one/x+?.txt')).toEqual(['one/x+y.txt'])
    expect(await rowsOf(textFiles([at('many/b.txt'), at('many/a.txt'), at('many/b.txt')]))).toHaveLength(6)
    const pass = textFiles(at('many/?.txt')).pass()
    for (let i = 0; i < 3; i++) await pass.next()
    await file('many/0.txt', 'new\n')
    await expect(textFiles(at('many/?.txt')).pass(pass.state()).next()).rejects.toThrow('continue with the same files')
    await pass.return()
    await rm(at('many/0.txt'))
    await expect(textFiles(at('many/*.none')).toArray()).rejects.toThrow('[textFiles] no file matches')
    await expect(textFiles(at('gone/*.txt')).toArray()).rejects.toThrow('[textFiles] cannot read')
  })

  it('that is none is named by file and line', async () => {
    const bad = await file('latin', Buffer.from('a\n\xe4\n', 'latin1'))
    await expect(textFiles(bad).toArray()).rejects.toThrow(`[textFiles] ${bad}:2: the line is not UTF-8`)
    const packed = await file('packed', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff]))
    await expect(textFiles(packed).toArray()).rejects.toThrow(`${packed}:1: the file is`)
    const long = await file('endless', 'x'.repeat(300_000))
    await expect(textFiles(long, { longest: 299_999 }).toArray()).rejects.toThrow(
      `${long}:1: it has more than 299999 bytes`,
    )
    expect(await textFiles(long, { longest: 300_000 }).toArray()).toHaveLength(1)
    await expect(textFiles(at('none')).toArray()).rejects.toThrow('[textFiles] cannot read')
    expect(() => textFiles([])).toThrow('[textFiles] there are no files')
    expect(() => textFiles(bad, { by: 'word' as never })).toThrow("by is 'word'")
    expect(() => textFiles(bad, { longest: 0 })).toThrow('longest is 0')
  })
})

describe('JSON lines', () => {
  it('are values, and go through steps, parts and loaders', async () => {
    const path = await file('rows.jsonl', '{"x": 1}\n\n{"x": 2}\r\n{"x": 3}')
    const rows = jsonl<{ readonly x: number }>(path)
    expect(await rowsOf(rows)).toEqual([{ x: 1 }, { x: 2 }, { x: 3 }])
    const { train, validation } = splitRows(rows, { validation: 0.4, seed: 1 })
    expect((await train.toArray()).length + (await validation.toArray()).length).toBe(3)
    const batches: unknown[] = []
    for await (const { x } of new DataLoader(rows, { batchSize: 2 })) batches.push(x.toArray())
    expect(batches).toEqual([[1, 2], [3]])
  })

  it('that are none are named by file and line', async () => {
    const path = await file('bad.jsonl', '{"x": 1}\n\n{"x": }\n')
    await expect(jsonl(path).toArray()).rejects.toThrow(`[jsonl] ${path}:3: the line is not valid JSON`)
  })

  it('that have a key twice in one object are refused, because one of its values would be lost', async () => {
    const twice = {
      '{"x": 1, "y": 2, "x": 3}': 'x',
      '{"x": [{"y": 1}, {"y": 1, "\\u0079": 2}]}': 'y',
      '{"a\\"b": {"__proto__": 1, "__proto__" : 2}}': '__proto__',
      '{"": 1, "x": "}", "": 2}': '',
    }
    for (const [text, key] of Object.entries(twice)) {
      const path = await file('twice.jsonl', `{"x": 1}\n${text}\n`)
      const says = `${path}:2: the key ${JSON.stringify(key)} occurs twice in one object; leave one out`
      await expect(jsonl(path).toArray()).rejects.toThrow(says)
    }
    const once = [
      '{"x": {"x": {"x": 1}}, "y": [{"x": 1}, {"x": "x"}]}',
      '{"x": "\\"x\\": 1", "\\\\": "\\\\", "y":"{\\"y\\":"}',
      '{"__proto__": 1, "constructor": {"toString": ":"}}',
      '["x", "x:", ":"]',
      `${'['.repeat(20_000)}{"x":1}${']'.repeat(20_000)}`,
    ]
    const path = await file('once.jsonl', once.join('\n'))
    expect(await jsonl(path).toArray()).toHaveLength(once.length)
  })
})

describe('CSV', () => {
  const types = { age: 'number', score: 'number?', member: 'boolean' } as const
  it('is rows by name, with fields of their types', async () => {
    const path = await file('people.csv', 'name,age,score,member\n"Ann, ""A""",30,1e-3,true\r\n\n"two\nlines",-4,,0\n')
    const rows = await rowsOf(csv(path, { types }))
    expect(rows).toEqual([
      { name: 'Ann, "A"', age: 30, score: 0.001, member: true },
      { name: 'two\nlines', age: -4, score: Number.NaN, member: false },
    ])
    const age: number | undefined = rows[0]?.age
    expect(age).toBe(30)
    expect(await rowsOf(csv(await file('tabs', 'a\t\t""\n'), { delimiter: '\t', columns: ['x', 'y', 'z'] }))).toEqual([
      { x: 'a', y: '', z: '' },
    ])
    expect(await rowsOf(csv(await file('last', 'a,b\n1,')))).toEqual([{ a: '1', b: '' }])
    expect(await rowsOf(csv(await file('header', 'a,b\n')))).toEqual([])
  })

  const wrong: readonly (readonly [string, string, object, string])[] = [
    [
      'a row too short',
      'a,b\n1,2\n\n3\n',
      {},
      ":4: the row has 1 field, but there are 2 columns; give each a field, and put a field with ',' in quotes",
    ],
    ['a row too long', 'a\n1,2\n', {}, ':2: the row has 2 fields, but there is 1 column;'],
    ['a quote within', 'a\n5" long\n"\n', {}, ':2: field 1 contains a quote'],
    ['text behind a quote', 'a\n"x"y\n', {}, ':2: field 1 continues after its closing quote'],
    ['a quote that stays open', 'a\nb\n"x\ny\n', {}, ':3: a quote opens a field'],
    ['an empty file', '', {}, ':1: the file is empty'],
    ['a name twice', 'a,a\n', {}, ":1: the header has 'a' twice"],
    ['a column that is missing', 'a\n1\n', { types: { b: 'number' } }, ":1: there is no column 'b'; there are a"],
    ['text for a number', 'a\nx\n', { types: { a: 'number' } }, ":2: a is 'x', but must be a number"],
    ['hexadecimals for a number', 'a\n0x1f\n', { types: { a: 'number' } }, ":2: a is '0x1f'"],
    ['nothing for a number', 'a\n \n', { types: { a: 'number' } }, ":2: a is empty, but must be a number; 'number?'"],
    ['a number for a boolean', 'a\n2\n', { types: { a: 'boolean' } }, ":2: a is '2', but must be true, false, 1 or 0"],
    ['a field without end', `a\n"${'x\n'.repeat(100)}`, { longest: 50 }, ':2: it has more than 50 bytes'],
  ]
  it.each(wrong)('names the file and the line of %s', async (_title, content, options, message) => {
    const path = await file('wrong.csv', content)
    await expect(csv(path, options).toArray()).rejects.toThrow(`[csv] ${path}${message}`)
  })

  it('refuses options that make no table', () => {
    expect(() => csv('x', { delimiter: '"' })).toThrow("[csv] delimiter is '\"'")
    expect(() => csv('x', { columns: ['a', 'a'] })).toThrow("[csv] columns have 'a' twice")
    expect(() => csv('x', { types: { a: 'int' as never } })).toThrow("[csv] the type of a is 'int'")
  })
})

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

describe('NumPy arrays', () => {
  const counted = Float32Array.from({ length: 24 }, (_, i) => i)
  it('are rows by index, in either order of their elements', async () => {
    const rows = await npy(await file('c.npy', numpy("'<f4'", '(4, 3, 2)', bytesOf(counted))))
    expect([rows.length, rows.shape]).toEqual([4, [4, 3, 2]])
    const row = (i: number) => [0, 2, 4].map((j) => [6 * i + j, 6 * i + j + 1])
    expect((await rows.get(2)).toArray()).toEqual(row(2))
    expect((await rows.batch([3, 0, 1, 1])).toArray()).toEqual([row(3), row(0), row(1), row(1)])
    // Element [i, j, k] lies at i + 4 j + 12 k.
    const other = Float32Array.from(
      { length: 24 },
      (_, at) => 6 * (at % 4) + 2 * (Math.floor(at / 4) % 3) + Math.floor(at / 12),
    )
    const fortran = await npy(await file('f.npy', numpy("'<f4'", '(4, 3, 2)', bytesOf(other), 'True', 2)))
    expect((await fortran.batch([3, 0, 1, 1])).toArray()).toEqual([row(3), row(0), row(1), row(1)])
    expect(
      (await (await npy(await file('v.npy', numpy("'<f4'", '(24,)', bytesOf(counted), 'True')))).batch([5])).toArray(),
    ).toEqual([5])
    for await (const batch of new DataLoader(rows, { batchSize: 4 })) expect(batch.shape).toEqual([4, 3, 2])
  })

  const elements: readonly (readonly [string, ArrayBufferView, string, readonly unknown[]])[] = [
    ['<f8', Float64Array.of(0.5, 2), 'float32', [0.5, 2]],
    ['>f4', Buffer.from(Float32Array.of(1.5, 2).buffer).swap32(), 'float32', [1.5, 2]],
    ['<f2', Uint16Array.of(0x3c00, 0xc000), 'float16', [1, -2]],
    ['|b1', Uint8Array.of(1, 0), 'bool', [true, false]],
    ['|u1', Uint8Array.of(255, 0), 'uint8', [255, 0]],
    ['|i1', Int8Array.of(-1, 0), 'int32', [-1, 0]],
    ['<u2', Uint16Array.of(65535, 0), 'int32', [65535, 0]],
    ['>i2', Buffer.from(Int16Array.of(-5, 2).buffer).swap16(), 'int32', [-5, 2]],
    ['<i8', BigInt64Array.of(-5n, 2n), 'int32', [-5, 2]],
  ]
  it.each(elements)('of %s', async (descr, data, dtype, values) => {
    const rows = await npy(await file('kind.npy', numpy(`'${descr}'`, '(2,)', bytesOf(data))))
    const batch = await rows.batch([0, 1])
    expect([batch.dtype, batch.toArray()]).toEqual([dtype, values])
  })

  const four = new Uint8Array(4)
  const wrong: readonly (readonly [string, () => Uint8Array, string])[] = [
    ['another file', () => Buffer.from('a,b\n1,2\n3,4\n'), 'it does not begin like one'],
    ['nothing', () => Buffer.of(), 'it is empty'],
    ['objects', () => numpy("'|O'", '(1,)', four), "its elements are '|O', which tensors do not support"],
    ['text', () => numpy("'<U1'", '(1,)', four), "its elements are '<U1'"],
    ['records', () => numpy("[('x', '<f4')]", '(1,)', four), 'its elements are records'],
    ['a single number', () => numpy("'<f4'", '()', four), 'holds a single number, which has no rows'],
    ['a file that is cut off', () => numpy("'<f4'", '(2,)', four), 'but an array of [2] and its header have'],
    ['a size beyond all', () => numpy("'<f4'", '(99999999999999999999, 9)', four), 'but an array of'],
    [
      'a header that is cut off',
      () => numpy("'<f4'", '(1,)', four).subarray(0, 20),
      'its header says that it has 58 bytes',
    ],
    ['a header without a shape', () => numpy("'<f4'", "'x'", four), 'its header does not describe the array'],
  ]
  it.each(wrong)('refuse %s', async (_title, content, message) => {
    const path = await file('wrong.npy', content())
    await expect(npy(path)).rejects.toThrow(/^\[npy\]/)
    await expect(npy(path)).rejects.toThrow(message)
  })

  it('refuse what int32 does not hold, and rows outside', async () => {
    const rows = await npy(await file('wide.npy', numpy("'<i8'", '(1,)', bytesOf(BigInt64Array.of(2n ** 40n)))))
    await expect(rows.batch([0])).rejects.toThrow('1099511627776')
    await expect(rows.batch([1])).rejects.toThrow('[npy] index 1 lies outside')
  })

  it('refuse a number that float32 would make infinite, by its row, but not what is infinite in the file', async () => {
    // Below the first one numbers round to the largest float32, and from there on to infinity.
    const least = 2 ** 128 - 2 ** 103
    const numbers = Float64Array.of(1, least * (1 - 2 ** -53), Number.POSITIVE_INFINITY, -least)
    const rows = await npy(await file('far.npy', numpy("'<f8'", '(2, 2)', bytesOf(numbers))))
    await expect(rows.batch([0, 1])).rejects.toThrow(`row 1 holds ${-least}, which float32 cannot hold`)
    expect((await rows.batch([0])).toArray()).toEqual([[1, 2 ** 128 - 2 ** 104]])
    const infinite = await npy(await file('inf.npy', numpy("'<f8'", '(1,)', bytesOf(numbers.slice(2, 3)))))
    expect((await infinite.batch([0])).toArray()).toEqual([Number.POSITIVE_INFINITY])
  })
})

describe('Parquet files', () => {
  const all = [
    { x: 0.5, label: 0, id: 1n, text: 'a' },
    { x: 1.5, label: 1, id: 2n, text: 'b' },
    { x: 2.5, label: 0, id: 3n, text: '' },
    { x: 3.5, label: 1, id: 4n, text: '\u4e2d' },
    { x: 4.5, label: 2, id: 5n, text: null },
  ]
  it('are rows, or some columns of them', async () => {
    const path = await file('table.parquet', parquetTable)
    expect(await rowsOf(parquet(path))).toEqual(all)
    const some = parquet<{ readonly id: bigint; readonly x: number }>([path, path], { columns: ['id', 'x'] })
    expect(await some.toArray()).toEqual([...all, ...all].map(({ id, x }) => ({ x, id })))
    for await (const { id, x } of new DataLoader(some, { batchSize: 5 }))
      expect([id.dtype, id.toArray(), x.toArray()]).toEqual(['int32', [1, 2, 3, 4, 5], [0.5, 1.5, 2.5, 3.5, 4.5]])
  })

  it('that are none, or cut off, are refused by name', async () => {
    const refused = async (name: string, content: Uint8Array, message: string, options = {}) => {
      const path = await file(name, content)
      await expect(parquet(path, options).toArray()).rejects.toThrow(`[parquet] ${path}`)
      await expect(parquet(path, options).toArray()).rejects.toThrow(message)
    }
    await refused('text.parquet', Buffer.from('no parquet at all'), 'the end of the file')
    await refused('empty.parquet', Buffer.of(), 'the file is empty')
    await refused('cut.parquet', parquetTable.subarray(0, -9), 'the end of the file')
    await refused(
      'hole.parquet',
      Buffer.concat([parquetTable.subarray(0, 4), Buffer.alloc(60, 0xff), parquetTable.subarray(64)]),
      'row group 0',
    )
    await refused('columns.parquet', parquetTable, "has no column 'y'; there are x, label, id, text", {
      columns: ['y'],
    })
    expect(() => parquet('x', { columns: 'y' as never })).toThrow("[parquet] columns are 'y'")
  })
})

it('a file of any size is read in the same memory', () => {
  const program = `
    const { openSync, writeSync, closeSync } = await import('node:fs')
    const { jsonl } = await import(${JSON.stringify(new URL('../../build/compiled/lib/data/text/index.js', import.meta.url).href)})
    const fd = openSync(process.argv[1], 'w')
    const lines = ('{"text": "' + 'x'.repeat(990) + '"}\\n').repeat(1000)
    for (let i = 0; i < 100; i++) writeSync(fd, lines)
    closeSync(fd)
    let count = 0, most = 0
    const before = process.memoryUsage().rss
    for await (const _ of jsonl(process.argv[1])) if (++count % 1000 === 0) most = Math.max(most, process.memoryUsage().rss)
    console.log(count, Math.round((most - before) / 1e6))`
  const args = ['--max-old-space-size=64', '--input-type=module', '-e', program, at('large.jsonl')]
  const [count, grown] = execFileSync(process.execPath, args, { encoding: 'utf8' }).split(' ').map(Number)
  expect(count).toBe(100_000)
  // The file has 100 MB. The allowance is for V8's young generation and for pieces that are not collected yet.
  expect(grown).toBeLessThan(60)
})

describe('files that changed', () => {
  it('are refused where rows went on behind their end', async () => {
    const line = 'a line\n'
    const path = await file('shorter', line.repeat(5))
    const rows = textFiles(path)
    const pass = rows.pass()
    for (let i = 0; i < 4; i++) await pass.next()
    const state = pass.state()
    await pass.return()
    const rest = async () => {
      const seen: string[] = []
      for await (const row of rows.pass(state)) seen.push(row)
      return seen
    }
    await file('shorter', line.repeat(4))
    expect(await rest()).toEqual([])
    await file('shorter', line.repeat(4).slice(1))
    await expect(rest()).rejects.toThrow('the state is at byte 28 of')
  })

  it('are refused by npy where they have another size', async () => {
    const three = (count: number) => numpy("'<f4'", `(${count},)`, new Uint8Array(4 * count))
    const rows = await npy(await file('array.npy', three(3)))
    expect((await rows.batch([0])).toArray()).toEqual([0])
    await file('array.npy', three(2))
    await expect(rows.batch([0])).rejects.toThrow('open the file anew')
  })

  it('are refused by npy where another file of the same size has taken their place', async () => {
    const path = await file('taken.npy', numpy("'<f4'", '(1,)', new Uint8Array(Float32Array.of(1).buffer)))
    const rows = await npy(path)
    const other = await file('taker.npy', numpy("'<f4'", '(1,)', new Uint8Array(Float32Array.of(2).buffer)))
    await rename(other, path)
    await expect(rows.batch([0])).rejects.toThrow('is another file; open the file anew that took its place')
    expect((await (await npy(path)).batch([0])).toArray()).toEqual([2])
  })

  it('are refused by npy where others of the same size were written to their place', async () => {
    const one = (value: number) => numpy("'<f4'", '(1,)', new Uint8Array(Float32Array.of(value).buffer))
    const path = await file('written.npy', one(1))
    const rows = await npy(path)
    expect((await rows.batch([0])).toArray()).toEqual([1])
    await file('written.npy', one(2))
    await utimes(path, new Date(), new Date(Date.now() + 1000))
    await expect(rows.batch([0])).rejects.toThrow('was written to since it was opened; open the file anew')
    expect((await (await npy(path)).batch([0])).toArray()).toEqual([2])
  })

  it.skipIf(process.platform !== 'linux')('are read by npy from a file that stays open for a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const path = await file('lingers.npy', numpy("'<f4'", '(3,)', new Uint8Array(12)))
      const held = async () => {
        const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''))
        return (await Promise.all(links)).filter((target) => target === path).length
      }
      const rows = await npy(path)
      await Promise.all([rows.batch([0]), rows.batch([2]), rows.batch([1])])
      expect(await held()).toBe(1)
      vi.advanceTimersByTime(999)
      expect((await rows.batch([1])).toArray()).toEqual([0])
      vi.advanceTimersByTime(999)
      expect(await held()).toBe(1)
      vi.advanceTimersByTime(1)
      await vi.waitFor(async () => expect(await held()).toBe(0))
      expect((await rows.batch([2])).toArray()).toEqual([0])
      vi.advanceTimersByTime(1000)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('line ends of \\r alone', () => {
  it('end the rows of a table, and pieces end within none', async () => {
    const path = await file('mac.csv', 'a,b\r1,2\r\r"x\ry",3\r\n4,5\n6,7\r')
    expect(await rowsOf(csv(path))).toEqual([
      { a: '1', b: '2' },
      { a: 'x\ny', b: '3' },
      { a: '4', b: '5' },
      { a: '6', b: '7' },
    ])
    for (const length of [65529, 65530, 65531, 65532]) {
      const long = 'x'.repeat(length)
      for (const end of ['\r', '\r\n', '\n']) {
        const rows = csv(await file('long.csv', `a,b${end}${long},1${end}c,d`))
        expect(await rows.toArray()).toEqual([
          { a: long, b: '1' },
          { a: 'c', b: 'd' },
        ])
      }
    }
  })
})

describe('runs of a Parquet page', () => {
  const element = { name: 'x', repetition_type: 'OPTIONAL' as const }
  const schemaPath = [{ element: { name: 'root' } }, { element }] as never
  /** A page of levels only: their length, and runs. */
  const check = async (count: number, ...runs: readonly number[]) => {
    const [encoding, schema, thrift] = await Promise.all([
      import('hyparquet/src/encoding.js'),
      import('hyparquet/src/schema.js'),
      import('hyparquet/src/thrift.js'),
    ])
    const bytes = Uint8Array.of(runs.length, 0, 0, 0, ...runs)
    const data_page_header = { num_values: count, encoding: 'PLAIN' }
    const header = { type: 'DATA_PAGE', data_page_header } as never
    checkPageRuns(
      { ...encoding, ...schema, ...thrift },
      { header, bytes, values: () => bytes, path: schemaPath, type: 'INT32' },
    )
  }

  it('are no longer than its values', async () => {
    await check(3, 6, 1)
    await check(3, 2, 1, 4, 0)
    await check(3, 3, 0b111)
    await expect(check(3, 2, 1)).rejects.toThrow()
    await expect(check(3, 0xfe, 0xff, 0xff, 0xff, 0x07, 1)).rejects.toThrow(
      `a run has ${2 ** 30 - 1} values, but 3 are left`,
    )
    await expect(check(3, 0xff, 0xff, 0xff, 0xff, 0x0f, 1)).rejects.toThrow('a run has')
    // A packed run of 63 groups may be padded, but a longer one is broken: 507 values are left, and 508 are too many.
    await check(3, 0xf6, 7, 1)
    await expect(check(3, 0xf8, 7, 1)).rejects.toThrow('a run has 508 values, but 3 are left')
  })
})

/** From a corpus to shards: the documents kept, their places, the state after an interruption, and batches. */
import { createHash } from 'node:crypto'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { Generator, IterableDataset, ValueError } from '../../lib/index.js'
import {
  type CorpusTokenizer,
  openShards,
  type PrepareOptions,
  prepare,
  type WindowBatch,
} from '../../lib/pretrain/index.js'
import { KeyTable } from '../../lib/pretrain/key-table.js'
import { likenessOf, normalised, shinglesOf, signatureOf } from '../../lib/pretrain/likeness.js'
import { randomOrder } from '../../lib/pretrain/order.js'
import { trainTokenizer } from '../../lib/text/index.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-corpus-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

const vocabulary =
  'the sea was calm and a white whale rose near ship while men sang of home under stars in cold wind'.split(' ')

/** Sentences of random words. */
function sentences(count: number, seed: number, words = 30): string[] {
  const generator = new Generator(seed)
  return Array.from({ length: count }, () =>
    Array.from({ length: words }, () => vocabulary[generator.randint(0, vocabulary.length)]).join(' '),
  )
}

const tokenizer = await trainTokenizer('bpe', [vocabulary.join(' ')], {
  vocabSize: 300,
  special: ['<|end|>'],
  roles: { eos: '<|end|>' },
})

/** A token for each character, with `size` ids. */
const characters = (size: number): CorpusTokenizer => ({
  size,
  encode: (text) => ({ ids: [...text].map((each) => each.codePointAt(0) as number) }) as never,
  toJSON: () => ({ size }),
  idFor: () => null,
})

/** The files of shards, by name. */
const filesOf = (path: string) =>
  Object.fromEntries(
    readdirSync(path)
      .sort()
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(path, name)))
          .digest('hex'),
      ]),
  )

/** The texts of a part. */
async function textsOf(shards: Awaited<ReturnType<typeof prepare>>, part: 'train' | 'validation'): Promise<string[]> {
  const { tokens } = shards[part]
  const ids = [...(await shards[part].read(0, tokens))]
  const end = tokenizer.idOf('<|end|>') as number
  const texts: number[][] = [[]]
  for (const id of ids) {
    if (id === end) texts.push([])
    else texts.at(-1)?.push(id)
  }
  expect(texts.pop()).toEqual([])
  await shards.close()
  return texts.map((each) => tokenizer.decode(each))
}

const numbersOf = (batch: WindowBatch) =>
  Object.fromEntries(Object.entries(batch).map(([name, x]) => [name, x.toArray()])) as {
    readonly [K in keyof WindowBatch]: number[][]
  }

describe('a prepared corpus', () => {
  it('has every document once, in one of two parts, the same part in every corpus', async () => {
    const corpus = sentences(200, 1)
    const options = { validation: 0.2 }
    const shards = await prepare(corpus, tokenizer, folder(), options)
    expect(shards.counts).toMatchObject({ read: 200, kept: 200, exactDuplicates: 0 })
    expect(shards.train.documents + shards.validation.documents).toBe(200)
    expect(shards.validation.documents).toBeGreaterThan(20)
    expect(shards.validation.documents).toBeLessThan(60)
    expect(shards.train.bytes + shards.validation.bytes).toBe(corpus.join('').length)
    const [train, validation] = [
      await textsOf(shards, 'train'),
      await textsOf(await openShards(folders[0] as string), 'validation'),
    ]
    expect(train).toEqual(corpus.filter((text) => train.includes(text)))
    expect([...train, ...validation].sort()).toEqual([...corpus].sort())
    // Rows of objects, among others and in another order.
    const rows = [...sentences(50, 2), ...corpus].reverse().map((text) => ({ text, id: 1 }))
    const again = await prepare(rows, tokenizer, folder(), options)
    expect(await textsOf(again, 'validation')).toEqual(expect.arrayContaining(validation))
    const other = await prepare(corpus, tokenizer, folder(), { validation: 0.2, seed: 1 })
    expect(await textsOf(other, 'validation')).not.toEqual(validation)
  })

  it('leaves out texts that were there before, in either part, and counts them', async () => {
    const [first = '', ...others] = sentences(60, 3, 100)
    const words = first.split(' ')
    const near = [...words.slice(0, 97), 'storm', 'and', 'rain'].join(' ')
    const far = [...words.slice(0, 30), ...sentences(1, 4, 70)].join(' ')
    const exact = ` ${first.toUpperCase().replaceAll(' ', ' \n')} `
    const corpus = [first, ...others, exact, near, far, ' \n', '']
    const counts = async (options: PrepareOptions) => {
      const { train, validation, close, ...rest } = await prepare(corpus, tokenizer, folder(), {
        validation: 0.3,
        ...options,
      })
      await close()
      return rest.counts
    }
    const none = { read: 65, kept: 63, empty: 2, exactDuplicates: 0, nearDuplicates: 0, notCompared: 0 }
    expect(await counts({})).toEqual(none)
    expect(await counts({ deduplicate: 'exact' })).toEqual({ ...none, kept: 62, exactDuplicates: 1 })
    expect(await counts({ deduplicate: true })).toEqual({ ...none, kept: 61, exactDuplicates: 1, nearDuplicates: 1 })
    expect(await counts({ deduplicate: true, similarity: 0.99 })).toEqual({ ...none, kept: 62, exactDuplicates: 1 })
  })

  it('finds near duplicates among many texts that are half alike, and counts those that were not compared with all', async () => {
    const shared = sentences(1, 8, 60)[0] as string
    const own = Array.from({ length: 300 }, (_, i) => Array.from({ length: 40 }, (_, w) => `w${i}x${w}`).join(' '))
    const corpus = own.map((text) => `${shared} ${text}`)
    const last = `${shared} ${(own[250] as string).replace('x39', 'y39')}`
    const { counts, close } = await prepare([...corpus, last], tokenizer, folder(), { deduplicate: true })
    await close()
    expect(counts).toMatchObject({ kept: 300, nearDuplicates: 1 })
    expect(counts.notCompared).toBeGreaterThan(5)
    expect(counts.notCompared).toBeLessThan(100)
  })

  it('compares Chinese texts by their characters', async () => {
    const generator = new Generator(7)
    const text = Array.from({ length: 200 }, () => String.fromCharCode(0x4e00 + generator.randint(0, 3000))).join('')
    const near = `${text.slice(0, 100)}春眠${text.slice(102)}`
    const other = [...text].reverse().join('')
    const shards = await prepare([text, near, other], tokenizer, folder(), { deduplicate: true })
    expect(shards.counts).toMatchObject({ kept: 2, nearDuplicates: 1 })
    expect(await textsOf(shards, 'train')).toEqual([text, other])
    expect(shinglesOf(normalised('abc中文 def')).length).toBe(1)
    expect(shinglesOf('床前明月光疑是地上霜').length).toBe(6)
  })

  it('estimates the share of shingles that two texts have in common', () => {
    const words = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `w${from + i}`).join(' ')
    const a = new Set(shinglesOf(words(0, 1000)))
    for (const shift of [0, 50, 200, 500, 1000]) {
      const b = new Set(shinglesOf(words(shift, 1000 + shift)))
      const both = [...a].filter((each) => b.has(each)).length
      const exact = both / (a.size + b.size - both)
      const [x, y] = [signatureOf(words(0, 1000)), signatureOf(words(shift, 1000 + shift))] as [
        Uint32Array,
        Uint32Array,
      ]
      expect(Math.abs(likenessOf(x, y) - exact), `shift ${shift}`).toBeLessThan(0.12)
    }
    expect(signatureOf('?! …')).toBeNull()
  })

  it('keeps two bytes of each token while these are enough', async () => {
    for (const [size, dtype] of [
      [65535, 'uint16'],
      [65536, 'uint16'],
      [65537, 'uint32'],
    ] as const) {
      const last = size - 1
      const text = String.fromCodePoint(97, last)
      const { train, close } = await prepare([text], characters(size), folder())
      expect(train.dtype).toBe(dtype)
      expect([...(await train.read(0, 2))]).toEqual([97, last])
      await close()
    }
    await expect(prepare(['ab', '\u{10000}'], characters(65536), folder())).rejects.toThrow(
      /the tokenizer gave the id 65536 for row 1, but its ids go from 0 to 65535/,
    )
  })
})

describe('a folder', () => {
  const corpus = [...sentences(120, 5), ...sentences(20, 5), ...sentences(30, 6)]
  const options = { validation: 0.2, deduplicate: true, shardTokens: 500 } as const
  /** The corpus, interrupted by the signal after this many rows. */
  const cutAt = (rows: number, cut: AbortController) =>
    new IterableDataset(function* () {
      for (const [i, text] of corpus.entries()) {
        if (i === rows) cut.abort(new Error('cut'))
        yield text
      }
    })

  it('ends with the same bytes when its making was cut, wherever, and goes on', async () => {
    const whole = folder()
    await (await prepare(corpus, tokenizer, whole, options)).close()
    expect(readdirSync(whole).filter((name) => name.endsWith('.bin')).length).toBeGreaterThan(4)
    const cutFolder = folder()
    for (const rows of [20, 21, 110, 130, 169]) {
      const cut = new AbortController()
      await expect(prepare(cutAt(rows, cut), tokenizer, cutFolder, { ...options, signal: cut.signal })).rejects.toThrow(
        'cut',
      )
      await expect(openShards(cutFolder)).rejects.toThrow(new RegExp(`is not whole: ${rows + 1} rows were read`))
      // A kill leaves bytes that no commit covers, in open files and in a file just begun.
      const last = ['train', 'validation'].flatMap((part) => {
        const names = readdirSync(cutFolder).filter((name) => name.startsWith(part) && name.endsWith('.bin'))
        return names.sort().slice(-1)
      })
      const ends = last.map((name) => name.replace('.bin', '.ends'))
      for (const name of [...last, ...ends, 'seen.partial']) appendFileSync(join(cutFolder, name), 'torn')
      if (rows === 20) writeFileSync(join(cutFolder, 'train-00003.bin'), 'torn')
    }
    const failing = new IterableDataset(function* () {
      yield* corpus.slice(0, 150)
      throw new Error('disk on fire')
    })
    await expect(prepare(failing, tokenizer, cutFolder, options)).rejects.toThrow('disk on fire')
    const shards = await prepare(corpus, tokenizer, cutFolder, options)
    await shards.close()
    const [a, b] = [filesOf(cutFolder), filesOf(whole)]
    expect(a).toEqual(b)
    expect(Object.keys(a).filter((name) => name.endsWith('.partial') || name.endsWith('.lock'))).toEqual([])
    expect(shards.counts.exactDuplicates).toBe(20)
  })

  it('that is whole is opened as it is, and refused for other work by name', async () => {
    const path = folder()
    const { close } = await prepare(corpus, tokenizer, path, options)
    await close()
    let read = 0
    const counted = new IterableDataset(function* () {
      for (const text of corpus) {
        read++
        yield text
      }
    })
    await (await prepare(counted, tokenizer, path, options)).close()
    expect(read).toBeLessThan(20)
    const other = await trainTokenizer('bpe', [vocabulary.join(' ')], {
      vocabSize: 290,
      special: ['<|end|>'],
      roles: { eos: '<|end|>' },
    })
    await expect(prepare(corpus, other, path, options)).rejects.toThrow(
      /the tokenizer is another one \(of 300 tokens before, of 290 now\)/,
    )
    await expect(prepare(corpus, tokenizer, path, { ...options, validation: 0.3 })).rejects.toThrow(
      /validation was 0.2 and is 0.3/,
    )
    await expect(prepare(corpus, tokenizer, path, { ...options, deduplicate: 'exact' })).rejects.toThrow(
      /deduplicate was 'near' and is 'exact'/,
    )
    await expect(prepare(corpus.slice(1), tokenizer, path, options)).rejects.toThrow(
      /the corpus begins with different texts/,
    )
  })

  it('is refused where it holds something else, is torn, or is being written', async () => {
    const path = folder()
    writeFileSync(join(path, 'letters.txt'), 'dear')
    await expect(prepare(corpus, tokenizer, path, options)).rejects.toThrow(/holds letters.txt, but no corpus.json/)
    await expect(openShards(path)).rejects.toThrow(ValueError)
    const whole = folder()
    const { train, close } = await prepare(corpus, tokenizer, whole, options)
    await train.verify()
    await close()
    const bin = join(whole, 'train-00001.bin')
    const bytes = readFileSync(bin)
    bytes[7] = (bytes[7] as number) ^ 1
    writeFileSync(bin, bytes)
    const flipped = await openShards(whole)
    await expect(flipped.train.verify()).rejects.toThrow(/the bytes of .*train-00001.bin differ from those written/)
    await flipped.close()
    const ends = join(whole, 'train-00001.ends')
    const places = readFileSync(ends)
    writeFileSync(ends, Buffer.from(places.map((byte, i) => (i === 0 ? byte ^ 1 : byte))))
    const moved = await openShards(whole)
    const batches = moved.train.batches({ length: 4, documents: true })[Symbol.asyncIterator]()
    await expect(batches.next()).rejects.toThrow(/the bytes of .*train-00001.ends differ from those written/)
    await moved.close()
    writeFileSync(ends, places)
    truncateSync(bin, bytes.length - 2)
    await expect(openShards(whole)).rejects.toThrow(/train-00001.bin has \d+ bytes, but should have/)
    writeFileSync(join(whole, 'corpus.json'), '{"format":1}')
    await expect(openShards(whole)).rejects.toThrow(/corpus.json does not describe shards: complete is missing/)
    const busy = folder()
    const inner: Promise<unknown>[] = []
    const slow = new IterableDataset(async function* () {
      inner.push(prepare(corpus, tokenizer, busy, options).catch((error: unknown) => error))
      await inner[0]
      yield* corpus
    })
    await (await prepare(slow, tokenizer, busy, options)).close()
    expect(String(await inner[0])).toMatch(/\[prepare\].*run.lock|another run/s)
  })
})

describe('bad corpora and options', () => {
  it.each([
    [['a', 5], {}, /row 1 of the corpus is the number 5, but must be a text/],
    [[{ body: 'a' }], {}, /row 0 of the corpus has undefined for its text \(there are body\).*map/s],
    [[null], {}, /row 0 of the corpus is null/],
    [[], {}, /the corpus has no rows/],
    [['', ' '], {}, /the training part is empty: of 2 rows 0 were kept/],
    [['a whale'], { validation: 0.0001 }, /the validation part is empty: of 1 rows 1 were kept/],
    ['text', {}, /the corpus is 'text', but must be texts/],
    [['a'].values(), {}, /the corpus is an iterator, which can be read once/],
    [['a'], { validation: 1 }, /validation is 1, but must be a share/],
    [['a'], { validation: -0.1 }, /validation is -0.1/],
    [['a'], { deduplicate: 'near' }, /deduplicate is 'near', but must be true, false or 'exact'/],
    [['a'], { similarity: 0.9 }, /similarity is given, but near duplicates are not searched for/],
    [['a'], { deduplicate: true, similarity: 0 }, /similarity is 0/],
    [['a'], { seed: -1 }, /seed is -1/],
    [['a'], { shardTokens: 0 }, /shardTokens is 0/],
    [['a'], { shardTokens: 2 ** 30 + 1 }, /shardTokens is 1073741825/],
    [['a'], { endToken: 300 }, /endToken is 300, but must be an id of the tokenizer, from 0 to 299/],
    [['a'], { shuffle: true }, /there is no option shuffle/],
  ])('%j %j', async (corpus, options, message) => {
    await expect(prepare(corpus as never, tokenizer, folder(), options as never)).rejects.toThrow(message)
  })

  it('no tokenizer', async () => {
    await expect(prepare(['a'], {} as never, folder())).rejects.toThrow(/the tokenizer is .* but must be a Tokenizer/)
  })
})

describe('batches of shards', () => {
  const corpus = Array.from({ length: 40 }, (_, i) =>
    String.fromCharCode(...Array.from({ length: 3 + (i % 5) }, () => 97 + (i % 26))),
  )
  const made = (shardTokens: number) => prepare(corpus, characters(128), folder(), { shardTokens, endToken: 10 })
  const stream = corpus.flatMap((text) => [...[...text].map((each) => each.charCodeAt(0)), 10])

  it.each([1, 7, 64, 2 ** 20])(
    'are windows that share a token with the next, over shards of %i tokens',
    async (shardTokens) => {
      const { train, validation, close } = await made(shardTokens)
      expect(train.tokens).toBe(stream.length)
      const rows: number[][] = []
      for await (const batch of train.batches({ length: 8, batchSize: 3 })) {
        const { ids, labels } = numbersOf(batch)
        expect(labels).toEqual(ids)
        rows.push(...ids)
      }
      expect(rows.length).toBe(Math.floor((stream.length - 1) / 7))
      for (const [i, row] of rows.entries()) expect(row).toEqual(stream.slice(7 * i, 7 * i + 8))
      expect(() => validation.batches({ length: 8 })).toThrow(/there are 0 tokens, but a window has 8/)
      expect(() => train.batches({ length: 1 })).toThrow(/length is 1/)
      expect(() => train.batches({ length: stream.length + 1 })).toThrow(/give a smaller length/)
      expect(train.windows({ length: stream.length }).length).toBe(1)
      // There are more windows at once than files may be open.
      const windows = train.windows({ length: 4 })
      const all = await windows.rows(Array.from({ length: windows.length }, (_, i) => i))
      expect(all.flatMap(({ ids }) => [...ids.subarray(1)])).toEqual(stream.slice(1, 1 + 3 * windows.length))
      expect(() => train.batches({ length: 8, seed: 1 })).toThrow(/seed is given, but windows are not shuffled/)
      await close()
    },
  )

  it('say where documents end, and how far each token is in its own', async () => {
    const { train, close } = await made(16)
    let i = 0
    for await (const batch of train.batches({ length: 8, documents: true })) {
      const { ids, labels, positions, documents } = numbersOf(batch)
      let [position, document] = [0, 0]
      for (const [t, id] of (ids[0] as number[]).entries()) {
        const starts = t === 0 || stream[7 * i + t - 1] === 10
        if (starts && t > 0) [position, document] = [0, document + 1]
        expect([labels[0]?.[t], positions?.[0]?.[t], documents?.[0]?.[t]]).toEqual([
          starts ? -100 : id,
          position++,
          document,
        ])
      }
      i++
    }
    expect(i).toBe(train.windows({ length: 8 }).length)
    await close()
  })

  it('come shuffled by the seed, in another order each pass, and go on where they were', async () => {
    const { train, close } = await made(50)
    const loader = () => train.batches({ length: 4, batchSize: 2, shuffle: true, seed: 3 })
    const pass = async (from: ReturnType<typeof loader>) => {
      const all: string[] = []
      for await (const batch of from) all.push(JSON.stringify(numbersOf(batch).ids))
      return all
    }
    const straight: string[] = []
    for await (const { ids } of train.batches({ length: 4 }))
      straight.push(...(ids.toArray() as number[][]).map((row) => JSON.stringify(row)))
    const own = loader()
    const [first, second] = [await pass(own), await pass(own)]
    expect(
      first.flatMap((batch) => (JSON.parse(batch) as number[][]).map((row) => JSON.stringify(row))).sort(),
    ).toEqual(straight.sort())
    expect(second).not.toEqual(first)
    expect(await pass(loader())).toEqual(first)
    const cut = loader()
    await pass(cut)
    const seen: string[] = []
    for await (const batch of cut) {
      seen.push(JSON.stringify(numbersOf(batch).ids))
      if (seen.length === 5) break
    }
    const other = loader()
    other.loadStateDict(JSON.parse(JSON.stringify(cut.stateDict())))
    expect([...seen, ...(await pass(other))]).toEqual(second)
    await close()
  })
})

describe('parts', () => {
  it('an order has every row once, for any count', () => {
    for (const count of [1, 2, 3, 4, 5, 15, 16, 17, 1000]) {
      const order = randomOrder(count, { seed: 5, stream: 0, offset: 0 })
      const places = Array.from({ length: count }, (_, i) => order(i))
      expect([...places].sort((a, b) => a - b)).toEqual(places.map((_, i) => i))
    }
    // Over 200 seeds the first row is equally likely at any of 1,000 places: chi-square over ten bins, 9 degrees of
    // freedom.
    const bins = new Array(10).fill(0)
    for (let seed = 0; seed < 200; seed++)
      bins[Math.floor(randomOrder(1000, { seed, stream: 0, offset: 0 })(0) / 100)]++
    expect(bins.reduce((sum, n) => sum + (n - 20) ** 2 / 20, 0)).toBeLessThan(27.9)
  })

  it('a table of keys finds all that was added, in order, while it grows', () => {
    const table = new KeyTable(4)
    const key = (i: number) => [Math.imul(i % 500, 0x9e3779b1) >>> 0, i % 500] as const
    for (let i = 0; i < 2000; i++) table.add(...key(i), i)
    expect(table.count).toBe(2000)
    for (let i = 0; i < 500; i++) expect([...table.valuesOf(...key(i))]).toEqual([i, i + 500, i + 1000, i + 1500])
    expect(table.has(key(3)[0], 4)).toBe(false)
    for (let i = 0; i < 5; i++) table.add(7, 9, i, 3)
    expect([...table.valuesOf(7, 9)]).toEqual([0, 1, 2])
    expect(table.count).toBe(2003)
  })
})

/** Batches that a thread of the tokenizer encodes. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ValueError, WorkerError } from '../../lib/index.js'
import { AutoTokenizer, type BatchOptions, type EncodedBatch, type Tokenizer } from '../../lib/text/index.js'

const data = fileURLToPath(new URL('../models/data/tokenizers/', import.meta.url))
let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await AutoTokenizer.load(join(data, 'wordpiece'), { padToken: '[PAD]' })
})
afterAll(() => tokenizer.dispose())

type Given = string | readonly [string, string]

/** The result of `encodeBatch` in the form that the asynchronous batch has. */
function wanted(texts: readonly Given[], options: BatchOptions): EncodedBatch {
  const encodings = tokenizer.encodeBatch(texts, options)
  let at = 0
  return {
    starts: Int32Array.from([0, ...encodings.map(({ ids }) => (at += ids.length))]),
    ids: Int32Array.from(encodings.flatMap(({ ids }) => ids)),
    typeIds: Int32Array.from(encodings.flatMap(({ typeIds }) => typeIds)),
    attentionMask: Uint8Array.from(encodings.flatMap(({ attentionMask }) => attentionMask)),
    specialTokensMask: Uint8Array.from(encodings.flatMap(({ specialTokensMask }) => specialTokensMask)),
    offsets: Int32Array.from(encodings.flatMap(({ offsets }) => offsets.flat())),
    cut: Uint8Array.from(encodings.map(({ overflowing }) => (overflowing.length > 0 ? 1 : 0))),
  }
}

function expectSame(batch: EncodedBatch, other: EncodedBatch): void {
  for (const name of Object.keys(other) as (keyof EncodedBatch)[]) {
    expect(batch[name].constructor, name).toBe(other[name].constructor)
    // Comparing element by element takes vitest seconds.
    expect(Buffer.compare(Buffer.from(batch[name].buffer), Buffer.from(other[name].buffer)), name).toBe(0)
  }
}

/** Texts of very different lengths, so many UTF-16 units in all. */
function textsOf(units: number): string[] {
  const texts: string[] = []
  for (let i = 0, left = units; left > 0; i++) {
    const text = `the ${i} words of a text, with ${'more of them and '.repeat(i % 40)}an end`.slice(0, left)
    texts.push(text)
    left -= text.length
  }
  return texts
}

/** Whether a thread encodes these: it makes the tokenizer from its JSON. */
async function isSent(texts: readonly string[]): Promise<boolean> {
  const fresh = await AutoTokenizer.load(join(data, 'wordpiece'))
  let asked = false
  fresh.toJSON = () => {
    asked = true
    return tokenizer.toJSON()
  }
  await fresh.encodeBatchAsync(texts)
  await fresh.dispose()
  return asked
}

describe('a batch in a thread', () => {
  const many: readonly Given[] = [...textsOf(40_000), ['a first text', 'and a second'], '', 'Zürich 🎉']

  it.each([
    {},
    { specialTokens: false },
    { maxLength: 12 },
    { maxLength: 12, truncation: 'first', truncationSide: 'left', padding: 16 },
    { padding: 'longest', paddingSide: 'left', padToMultipleOf: 8 },
    { padding: 4 },
  ] as const satisfies readonly BatchOptions[])(
    'has the numbers of encodeBatch, in order, with %j',
    async (options) => {
      const texts = 'truncation' in options ? many.filter((text) => text !== '') : many
      expectSame(await tokenizer.encodeBatchAsync(texts, options), wanted(texts, options))
    },
  )

  it('is begun for more than 4096 UTF-16 units', async () => {
    expect(await isSent(textsOf(4095))).toBe(false)
    expect(await isSent(textsOf(4096))).toBe(false)
    expect(await isSent(textsOf(4097))).toBe(true)
  })

  it('is the same where it is so small that no thread is asked', async () => {
    const options = { maxLength: 6, padding: 8 }
    for (const texts of [[], ['a'], textsOf(4096)])
      expectSame(await tokenizer.encodeBatchAsync(texts, options), wanted(texts, options))
  })

  it('lets others come between, and several at once', async () => {
    const batches = [textsOf(34_000), textsOf(40_000), textsOf(9_000)]
    const all = await Promise.all(batches.map((texts) => tokenizer.encodeBatchAsync(texts)))
    all.forEach((batch, i) => void expectSame(batch, wanted(batches[i] as string[], {})))
  })

  it('names the first text that is wrong', async () => {
    const long = textsOf(34_000)
    const place = long.length
    const texts: readonly Given[] = [...long, ['short', 'x '.repeat(30)], ['short', 'y '.repeat(30)], ...long]
    const options = { maxLength: 12, truncation: 'first' } as const
    for (const given of [texts, texts.slice(place - 1, place + 2)])
      await expect(tokenizer.encodeBatchAsync(given, options)).rejects.toThrow(
        new RegExp(
          `^\\[encodeBatchAsync\\] text ${given === texts ? place : 1}: the first text has \\d+ tokens, but \\d+ must be removed`,
        ),
      )
    await expect(tokenizer.encodeBatchAsync([...long, 7 as never])).rejects.toThrow(`text ${place} is the number 7`)
    await expect(tokenizer.encodeBatchAsync(long, { stride: 2 } as never)).rejects.toThrow('there is no option stride')
    await expect(tokenizer.encodeBatchAsync(long, { maxLength: -1 })).rejects.toThrow(ValueError)
  })

  it('has tokens that were added since, and the batch before has none', async () => {
    const own = await AutoTokenizer.load(join(data, 'wordpiece'))
    const texts = [...textsOf(34_000), 'a <new> b']
    const before = own.encodeBatchAsync(texts)
    own.addTokens(['<new>'])
    const id = own.idOf('<new>') as number
    expect([...(await before).ids]).not.toContain(id)
    expect([...(await own.encodeBatchAsync(texts)).ids]).toContain(id)
    await own.dispose()
  })

  it('is rejected when the tokenizer is disposed, which starts another thread later', async () => {
    const waiting = tokenizer.encodeBatchAsync(textsOf(200_000))
    const rejected = expect(waiting).rejects.toThrow(WorkerError)
    await tokenizer.dispose()
    await rejected
    expect((await tokenizer.encodeBatchAsync(textsOf(5000))).cut.length).toBe(textsOf(5000).length)
  })

  it('lets the event loop turn between its parts, and more often', async () => {
    const texts = textsOf(140_000)
    let turns = 0
    let done = false
    const turn = (): void => {
      turns++
      if (!done) setImmediate(turn)
    }
    turn()
    await tokenizer.encodeBatchAsync(texts)
    done = true
    expect(turns).toBeGreaterThan(140_000 / 32_768)
  })

  it('holds no process up', () => {
    const code = `
      import('firesteel/text').then(async ({ AutoTokenizer }) => {
        const tokenizer = await AutoTokenizer.load(${JSON.stringify(join(data, 'wordpiece'))})
        const { ids } = await tokenizer.encodeBatchAsync(new Array(1000).fill('a text'))
        console.log(ids.length)
      })`
    const cwd = fileURLToPath(new URL('../../', import.meta.url))
    // It would wait 30 seconds for the idle thread to end.
    const { stdout, status } = spawnSync(process.execPath, ['-e', code], {
      cwd,
      encoding: 'utf8',
      timeout: 25_000,
    })
    expect([stdout.trim(), status]).toEqual([String(4000), 0])
  })
})

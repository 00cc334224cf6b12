/**
 * Texts with gaps. The remaining and the missing parts make up the text, in the requested shares, and a T5 learns to
 * fill the gaps.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { Generator, manualSeed, optim, Trainer } from '../../lib/index.js'
import { t5 } from '../../lib/models/index.js'
import { corruptSpans, type SpanBatch, type SpannedRow, spanBatches } from '../../lib/pretrain/index.js'
import { type Tokenizer, trainTokenizer } from '../../lib/text/index.js'

let tokenizer: Tokenizer
beforeAll(async () => {
  const sentinels = Array.from({ length: 12 }, (_, i) => `<extra_id_${i}>`)
  tokenizer = await trainTokenizer('bpe', ['a'], {
    vocabSize: 256 + 14,
    special: ['<pad>', '</s>', ...sentinels],
    roles: { eos: '</s>', pad: '<pad>' },
  })
})

const draws = new Generator(1)
const context = (index = 0) => ({ index, epoch: 0, generator: draws })
const first = () => tokenizer.idOf('<extra_id_0>') as number

/** The text, put together again, and the lengths of its gaps. */
function restored({ ids, labels }: SpannedRow): { text: number[]; gaps: number[] } {
  const gaps: number[][] = []
  for (const label of labels.slice(0, -1))
    if (label === first() + gaps.length) gaps.push([])
    else gaps.at(-1)?.push(label)
  let gap = 0
  const text = [...ids.slice(0, -1)].flatMap((id) => (id === first() + gap ? (gaps[gap++] as number[]) : [id]))
  return { text, gaps: gaps.map((each) => each.length) }
}

describe('gaps', () => {
  it('leave the text as it is, when they are filled, and take out their share', () => {
    const corrupt = corruptSpans(tokenizer)
    const places = new Array(100).fill(0)
    let gone = 0
    for (let i = 0; i < 300; i++) {
      const ids = Array.from({ length: 100 }, (_, at) => 20 + ((at * 7 + i) % 200))
      const row = corrupt({ ids }, context())
      const { text, gaps } = restored(row)
      expect(text).toEqual(ids)
      expect(gaps.length).toBe(5)
      expect(gaps.reduce((sum, each) => sum + each)).toBe(15)
      expect([row.ids.at(-1), row.labels.at(-1)]).toEqual([tokenizer.idFor('eos'), tokenizer.idFor('eos')])
      const stays = new Set(row.ids)
      for (const [at, id] of ids.entries())
        if (!stays.has(id)) {
          places[at]++
          gone++
        }
    }
    expect(gone).toBe(300 * 15)
    // The first place always stays, and the others are removed about equally often.
    expect(places[0]).toBe(0)
    expect(Math.min(...places.slice(10, 90))).toBeGreaterThan(20)
    expect(Math.max(...places.slice(10, 90))).toBeLessThan(85)
  })

  it('are one at least, and never all of a row', () => {
    for (const probability of [0.01, 0.15, 0.5, 0.99])
      for (const meanSpan of [1, 3, 50])
        for (const count of [2, 3, 7, 14]) {
          const ids = Array.from({ length: count }, (_, at) => 100 + at)
          const { text, gaps } = restored(corruptSpans(tokenizer, { probability, meanSpan })({ ids }, context()))
          expect(text).toEqual(ids)
          expect(Math.min(...gaps)).toBeGreaterThan(0)
          expect(gaps.reduce((sum, each) => sum + each)).toBeLessThan(count)
        }
  })

  it('are refused where they cannot be, by row', async () => {
    const corrupt = corruptSpans(tokenizer, { meanSpan: 1 })
    expect(() => corrupt({ ids: [1] }, context(4))).toThrow(/row 4 has 1 tokens, but must have at least two/)
    expect(() => corrupt({ ids: new Int32Array(87) }, context(2))).toThrow(
      /row 2 has 13 gaps, but the tokenizer has 12 tokens .*<extra_id_12>/,
    )
    expect(restored(corrupt({ ids: new Int32Array(80).fill(200) }, context())).gaps.length).toBe(12)
    expect(() => corruptSpans(tokenizer, { probability: 1 })).toThrow(/probability is 1/)
    expect(() => corruptSpans(tokenizer, { meanSpan: 0.5 })).toThrow(/meanSpan is 0.5/)
    const plain = await trainTokenizer('bpe', ['a'], { vocabSize: 257 })
    expect(() => corruptSpans(plain)).toThrow(/no eos token/)
    expect(() => spanBatches('text' as never, tokenizer)).toThrow(/rows are 'text'/)
  })
})

describe('batches', () => {
  it('have other gaps in each pass, the same for a seed, and are learned', async () => {
    const rows = Array.from({ length: 24 }, (_, i) => ({
      ids: Array.from({ length: 12 + (i % 3) }, (_, t) => 30 + ((i + t) % 8)),
    }))
    const loader = () => spanBatches(rows, tokenizer, { batchSize: 8, shuffle: true, seed: 3 })
    const pass = async (from: AsyncIterable<SpanBatch>) => {
      const all: unknown[] = []
      for await (const { ids, labels, attentionMask } of from)
        all.push([ids.toArray(), labels.toArray(), attentionMask.toArray()])
      return all
    }
    const own = loader()
    const once = await pass(own)
    expect(await pass(own)).not.toEqual(once)
    expect(await pass(loader())).toEqual(once)
    manualSeed(1)
    const model = t5({ vocabSize: 272, width: 16, heads: 2, layers: 1, inner: 32, dropout: 0 })
    const trainer = new Trainer(model, {
      optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2 }),
      step: ({ ids, ...rest }: SpanBatch) => model.loss(ids, rest),
    })
    const before = (await trainer.evaluate(loader())).loss
    await trainer.fit(loader(), { epochs: 6, progress: false })
    expect((await trainer.evaluate(loader())).loss).toBeLessThan(before - 0.5)
  })
})

/** Packed rows: every document once, and the losses of a packed row are those of its documents one by one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  Generator,
  IterableDataset,
  manualSeed,
  noGrad,
  optim,
  setDefaultDevice,
  type Tensor,
  Trainer,
  tensor,
} from '../../lib/index.js'
import { type CausalModel, gpt2, llama } from '../../lib/models/index.js'
import {
  causalLM,
  evaluateCausal,
  type PackedBatch,
  type PackedOptions,
  packed,
  prepare,
} from '../../lib/pretrain/index.js'
import { trainTokenizer } from '../../lib/text/index.js'
import { deviceNames } from '../suites/support.js'

const generator = new Generator(3)
const rows = Array.from({ length: 60 }, (_, i) => {
  const ids = Array.from({ length: 1 + generator.randint(0, 16) }, () => generator.randint(0, 50))
  // Every third document is learned only from its second half.
  const labels = ids.map((id, t) => (i % 3 === 0 && t < ids.length / 2 ? -100 : id))
  return { ids: Int32Array.from(ids), labels: Int32Array.from(labels) }
})

type Numbers = { readonly [K in keyof PackedBatch]: number[][] }
const numbersOf = (batch: PackedBatch) =>
  Object.fromEntries(Object.entries(batch).map(([name, x]) => [name, (x as Tensor).toArray()])) as unknown as Numbers

async function batchesOf(source: Parameters<typeof packed>[0], options: PackedOptions): Promise<Numbers[]> {
  const all: Numbers[] = []
  for await (const batch of packed(source, options)) all.push(numbersOf(batch))
  return all
}

/** The documents of packed rows, in order. */
function documentsOf(batches: readonly Numbers[]): { ids: number[]; labels: number[] }[] {
  return batches.flatMap((batch) =>
    batch.ids.flatMap((ids, row) => {
      const found: { ids: number[]; labels: number[] }[] = []
      for (const [t, document] of (batch.documents[row] as number[]).entries()) {
        const [label, position] = [batch.labels[row]?.[t] as number, batch.positions[row]?.[t]]
        if (document === -1) {
          expect([ids[t], label, position]).toEqual([0, -100, 0])
          continue
        }
        if (position === 0) found.push({ ids: [], labels: [] })
        expect(document).toBe(found.length - 1)
        expect(position).toBe(found.at(-1)?.ids.length)
        found.at(-1)?.ids.push(ids[t] as number)
        found.at(-1)?.labels.push(label)
      }
      return found
    }),
  )
}

const sorted = (documents: readonly { ids: number[] }[]) => documents.map(({ ids }) => ids.join(' ')).sort()
const plain = rows.map(({ ids }) => ({ ids: [...ids] }))

describe('packed rows', () => {
  it.each([
    [16, 0.15],
    [17, 0.15],
    [64, 0.03],
  ])('of %i tokens hold every document once, and little else', async (length, padding) => {
    const batches = await batchesOf(rows, { length, batchSize: 3 })
    const documents = documentsOf(batches)
    expect(sorted(documents)).toEqual(sorted(plain))
    const wanted = new Map(rows.map(({ ids, labels }) => [[...ids].join(' '), [-100, ...labels.slice(1)]]))
    for (const { ids, labels } of documents) expect(labels).toEqual(wanted.get(ids.join(' ')))
    const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0)
    const used = batches.reduce((sum, { ids }) => sum + ids.length, 0) * length
    expect(used - tokens).toBeLessThan(length + padding * tokens)
  })

  it('go on where they were, whatever the buffer, and come from streams and datasets', async () => {
    for (const buffer of [1, 7, 60, 1000]) {
      const stream = () => new IterableDataset(() => rows).shuffle(10, { generator: new Generator(1) })
      const options = { length: 32, batchSize: 2, buffer }
      const [whole, source] = [await batchesOf(stream(), options), packed(stream(), options)]
      expect(sorted(documentsOf(whole))).toEqual(sorted(plain))
      const seen: Numbers[] = []
      for await (const batch of source) {
        seen.push(numbersOf(batch))
        if (seen.length === 3) break
      }
      const other = packed(stream(), options)
      other.loadStateDict(JSON.parse(JSON.stringify(source.stateDict())))
      for await (const batch of other) seen.push(numbersOf(batch))
      expect(seen, `buffer ${buffer}`).toEqual(whole)
    }
  })

  it('split long documents where they are told to, and refuse bad rows by number', async () => {
    const long = { ids: Array.from({ length: 21 }, (_, i) => i + 1) }
    const documents = documentsOf(await batchesOf([long], { length: 10, long: 'split' }))
    expect(documents.map(({ ids }) => ids.length)).toEqual([10, 10, 1])
    expect(documents.flatMap(({ ids }) => ids)).toEqual(long.ids)
    const fails = (source: unknown, options: object, message: RegExp) =>
      expect(batchesOf(source as never, { length: 10, ...options })).rejects.toThrow(message)
    await fails([{ ids: [1] }, long], {}, /row 1 has 21 tokens, but a packed row has 10; .*long: 'split'/)
    await fails([long, { ids: [] }], { length: 21 }, /row 1 has no tokens/)
    await fails([{ ids: [1, 2], labels: [1] }], {}, /row 0 has 2 ids, but 1 labels/)
    await fails([{ text: 'a' }], {}, /row 0 is .* but must have ids/)
    await fails([1].values(), {}, /rows are .* but must be rows that can be read in each pass/)
    await fails(rows, { length: 1 }, /length is 1/)
    await fails(rows, { buffer: 0 }, /buffer is 0/)
    await fails(rows, { long: 'cut' }, /long is 'cut'/)
  })
})

const models: { readonly [name: string]: () => CausalModel } = {
  gpt2: () => gpt2({ vocabSize: 50, layers: 2, width: 16, heads: 2, context: 32, dropout: 0 }),
  llama: () => llama({ vocabSize: 50, layers: 2, width: 16, heads: 2, keyHeads: 1, inner: 24, context: 32 }),
}

describe.each(deviceNames)('on %s', (device) => {
  it.each(Object.keys(models))('%s has the loss and the gradients of the documents one by one', async (name) => {
    setDefaultDevice(device)
    manualSeed(4)
    const model = (models[name] as () => CausalModel)()
    const gradients = () => [...model.parameters()].map((each) => Array.from(each.grad?.dataSync() ?? []))
    let [total, count] = [0, 0]
    for await (const { ids, ...beside } of packed(rows.slice(0, 12), { length: 32, batchSize: 2 })) {
      const loss = model.loss(ids, beside)
      loss.total.backward()
      total += loss.total.item()
      count += (loss.count as Tensor).item()
    }
    const together = gradients()
    model.zeroGrad()
    let [each, counted] = [0, 0]
    for (const { ids, labels } of rows.slice(0, 12)) {
      const loss = model.loss(tensor([[...ids]], { dtype: 'int32' }), {
        labels: tensor([[...labels]], { dtype: 'int32' }),
      })
      if (ids.length > 1) loss.total.backward()
      each += loss.total.item()
      counted += (loss.count as Tensor).item()
    }
    expect(count).toBe(counted)
    expect(Math.abs(total - each) / each).toBeLessThan(1e-5)
    const alone = gradients()
    for (const [i, gradient] of together.entries()) {
      const other = alone[i] as number[]
      const norm = Math.hypot(...other)
      expect(Math.hypot(...gradient.map((g, k) => g - (other[k] as number)))).toBeLessThan(1e-4 * norm + 1e-6)
    }
  })
})

describe('documents of a call', () => {
  it('need positions of their shape, and no cache', () => {
    const model = models['gpt2']?.() as CausalModel
    const [ids, documents] = [tensor([[1, 2, 3]], { dtype: 'int32' }), tensor([[0, 0, 1]], { dtype: 'int32' })]
    expect(() => model.forward(ids, { documents })).toThrow(/documents are given without positions/)
    const short = tensor([[0, 1]], { dtype: 'int32' })
    expect(() => model.forward(ids, { documents: short, positions: ids })).toThrow(
      /documents are \[1, 2\], but must be \[1, 3\]/,
    )
    // A mask of padding also applies: the second token then sees nothing of the first.
    const positions = tensor([[0, 1, 0]], { dtype: 'int32' })
    const attentionMask = tensor([[0, 1, 1]], { dtype: 'int32' })
    const first = (mask?: Tensor) =>
      noGrad(() =>
        model.forward(ids, { documents, positions, ...(mask && { attentionMask: mask }) }).toArray(),
      ) as number[][][]
    const [plainLogits, masked] = [first()[0] as number[][], first(attentionMask)[0] as number[][]]
    expect(masked[2]).toEqual(plainLogits[2])
    expect(masked[1]).not.toEqual(plainLogits[1])
  })
})

it('packed rows and windows of shards are learned by causalLM, in the numbers of the model itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-packed-'))
  const tokenizer = await trainTokenizer('bpe', ['a'], { vocabSize: 257, special: ['<end>'], roles: { eos: '<end>' } })
  const corpus = Array.from({ length: 30 }, (_, i) => 'abcdefgh'.slice(i % 3, 3 + (i % 6)).repeat(1 + (i % 4)))
  const shards = await prepare(corpus, tokenizer, folder, { validation: 0.3 })
  manualSeed(8)
  const model = gpt2({ vocabSize: tokenizer.size, layers: 1, width: 16, heads: 2, context: 16, dropout: 0 })
  const trainer = new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2 }),
    objective: causalLM(),
  })
  const held = shards.validation.batches({ length: 8, batchSize: 4, documents: true })
  const before = await evaluateCausal(model, held, { text: shards.validation })
  expect((await trainer.evaluate(held)).loss).toBeCloseTo(before.loss, 5)
  expect(before.bitsPerByte).toBeGreaterThan(7)
  await trainer.fit(shards.train.batches({ length: 16, batchSize: 4, shuffle: true, seed: 0, documents: true }), {
    epochs: 6,
    progress: false,
  })
  await trainer.fit(packed(rows.slice(0, 10), { length: 16, batchSize: 2 }), { progress: false })
  await trainer.fit(shards.train.batches({ length: 16, batchSize: 4, shuffle: true, seed: 1 }), {
    epochs: 4,
    progress: false,
  })
  const after = await evaluateCausal(model, held, { text: shards.validation })
  expect(after.loss).toBeLessThan(before.loss - 2)
  expect(after.tokens).toBe(before.tokens)
  await shards.close()
  rmSync(folder, { recursive: true })
})

/**
 * Objectives of pre-training and their measures: masks and pairs by their statistics, losses by hand, probes by
 * PyTorch.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { Generator, manualSeed, nn, noGrad, optim, randn, type Tensor, Trainer, tensor } from '../../lib/index.js'
import { AutoModel, type BertPreTraining, gpt2, type MaskedLM } from '../../lib/models/index.js'
import {
  denoising,
  evaluateCausal,
  evaluateMasked,
  linearProbe,
  type MaskedBatch,
  type MaskedBatchesOptions,
  type MaskedRow,
  maskableRow,
  maskedBatches,
  maskedLM,
  masking,
  nearestNeighbours,
  nextSentencePairs,
} from '../../lib/pretrain/index.js'
import { minimise } from '../../lib/pretrain/minimise.js'
import { type Tokenizer, trainTokenizer } from '../../lib/text/index.js'

const words = 'whales swim deep below while sailors sleep above them until morning breaks over cold water'.split(' ')
const generator = new Generator(1)
const sentence = (count = 12) =>
  Array.from({ length: count }, () => words[generator.randint(0, words.length)]).join(' ')
const texts = Array.from({ length: 200 }, () => sentence())
let tokenizer: Tokenizer
beforeAll(async () => {
  // Words of several tokens, and single Chinese characters.
  tokenizer = await trainTokenizer('wordpiece', [words.join(' '), '春眠不觉晓处处闻啼鸟夜来风雨声花落知多少'], {
    vocabSize: 80,
  })
})

const mask = () => tokenizer.idFor('mask') as number
type Numbers = { readonly [K in keyof MaskedBatch]: number[][] }
const numbersOf = (batch: MaskedBatch) =>
  Object.fromEntries(Object.entries(batch).map(([name, x]) => [name, (x as Tensor).toArray()])) as unknown as Numbers
async function passOf(loader: AsyncIterable<MaskedBatch>): Promise<Numbers[]> {
  const all: Numbers[] = []
  for await (const batch of loader) all.push(numbersOf(batch))
  return all
}

describe('masking', () => {
  const rowsOf = () => texts.map((text) => maskableRow(text, tokenizer))

  it('chooses its share, of which 80% become the mask, 10% any token, and 10% stay', () => {
    const rows = rowsOf()
    const masked: MaskedRow[] = []
    const apply = masking(tokenizer)
    const draws = new Generator(5)
    for (let pass = 0; pass < 5; pass++)
      for (const [index, row] of rows.entries()) masked.push(apply(row, { index, epoch: pass, generator: draws }))
    const counts = { tokens: 0, chosen: 0, masked: 0, stayed: 0, special: 0, wrong: 0 }
    for (const [r, { ids, labels }] of masked.entries()) {
      const row = rows[r % rows.length] as (typeof rows)[number]
      for (let i = 0; i < ids.length; i++) {
        if (row.words[i] === -1) {
          if (ids[i] !== row.ids[i] || labels[i] !== -100) counts.wrong++
          counts.special++
          continue
        }
        counts.tokens++
        if (labels[i] === -100) counts.wrong += ids[i] === row.ids[i] ? 0 : 1
        else {
          if (labels[i] !== row.ids[i]) counts.wrong++
          counts.chosen++
          if (ids[i] === mask()) counts.masked++
          else if (ids[i] === row.ids[i]) counts.stayed++
        }
      }
    }
    // The counts are within four deviations of their expectation. One random token in 80 is the mask, and one is the
    // token itself.
    const near = (count: number, of: number, share: number) =>
      expect(Math.abs(count / of - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / of))
    expect(counts.wrong).toBe(0)
    expect(counts.special).toBe(2 * masked.length)
    near(counts.chosen, counts.tokens, 0.15)
    near(counts.masked, counts.chosen, 0.8 + 0.1 / tokenizer.size)
    near(counts.stayed, counts.chosen, 0.1 + 0.1 / tokenizer.size)
  })

  it('chooses whole words, and Chinese characters one by one, by bytes too', async () => {
    const row = maskableRow('sailors sleep 春眠', tokenizer)
    expect(row.words.length).toBeGreaterThan(6)
    expect(new Set(row.words).size).toBe(5)
    const apply = masking(tokenizer, { wholeWords: true, probability: 0.5 })
    const draws = new Generator(2)
    let parts = 0
    for (let i = 0; i < 200; i++) {
      const { labels } = apply(row, { index: 0, epoch: 0, generator: draws })
      for (let t = 1; t < labels.length; t++)
        if (row.words[t] !== -1 && row.words[t] === row.words[t - 1])
          expect((labels[t] === -100) === (labels[t - 1] === -100)).toBe(true)
      const chosen = new Set(row.words.filter((_, t) => labels[t] !== -100))
      if (chosen.size > 0 && chosen.size < 4) parts++
    }
    expect(parts).toBeGreaterThan(100)
    // Three tokens each form one run without spaces, but still two words.
    const bytes = await trainTokenizer('bpe', ['a'], { vocabSize: 260, special: ['<mask>'], roles: { mask: '<mask>' } })
    expect([...maskableRow('春眠', bytes).words]).toEqual([0, 0, 0, 1, 1, 1])
  })

  it('is another one in each pass, the same for a seed, and goes on within a pass', async () => {
    const options: MaskedBatchesOptions = { batchSize: 8, shuffle: true, seed: 4, wholeWords: true }
    const loader = () => maskedBatches(rowsOf().slice(0, 40), tokenizer, options)
    const own = loader()
    const [first, second] = [await passOf(own), await passOf(own)]
    expect(second).not.toEqual(first)
    expect(await passOf(loader())).toEqual(first)
    const cut = loader()
    await passOf(cut)
    const seen: Numbers[] = []
    for await (const batch of cut) {
      seen.push(numbersOf(batch))
      if (seen.length === 2) break
    }
    const other = loader()
    other.loadStateDict(JSON.parse(JSON.stringify(cut.stateDict())))
    expect([...seen, ...(await passOf(other))]).toEqual(second)
    for (const { ids, attentionMask, labels } of first)
      for (const [r, row] of ids.entries())
        for (const [t, id] of row.entries())
          if (id === tokenizer.idFor('pad')) expect([attentionMask[r]?.[t], labels[r]?.[t]]).toEqual([0, -100])
  })

  it('refuses what it cannot mask', async () => {
    const plain = await trainTokenizer('bpe', ['a'], { vocabSize: 257 })
    expect(() => masking(plain)).toThrow(/no token for the mask/)
    expect(() => masking(tokenizer, { probability: 0 })).toThrow(/probability is 0/)
    expect(() => masking(tokenizer, { wholeWords: 1 as never })).toThrow(/wholeWords is 1/)
    expect(() => maskedBatches([{ ids: [1] }] as never, tokenizer)).toThrow(/row 0 is .*maskableRow/)
    const onlyMask = await trainTokenizer('bpe', ['a'], { vocabSize: 258, special: ['<m>'], roles: { mask: '<m>' } })
    expect(() => maskedBatches([], onlyMask)).toThrow(/no token for padding/)
  })
})

describe('pairs of sentences', () => {
  const documents = Array.from({ length: 6 }, (_, d) =>
    Array.from({ length: 4 + d }, (_, s) => `${sentence(4)} ${'春眠不觉晓处处闻啼'[s]}`),
  )
  const plain = (row: { readonly ids: Int32Array }) => tokenizer.decode([...row.ids], { skipSpecialTokens: false })

  it('follow one another in half of the rows, and come from another document in the others', async () => {
    const pairs = nextSentencePairs(documents, tokenizer)
    expect(pairs.length).toBe(documents.reduce((sum, each) => sum + each.length - 1, 0))
    const encoded = documents.map((each) => each.map((text) => tokenizer.decode(tokenizer.encode(text).ids)))
    let follows = 0
    const draws = new Generator(9)
    for (let index = 0; index < 10 * pairs.length; index++) {
      const row = await pairs.get(index % pairs.length, { index, epoch: 0, generator: draws })
      const [, first = '', second = ''] = /^\[CLS\] (.*) \[SEP\] (.*) \[SEP\]$/.exec(plain(row)) ?? []
      const of = encoded.findIndex((each) => each.includes(first))
      const at = encoded[of]?.indexOf(first) as number
      if (row.nextSentenceLabel === 0) {
        expect(second).toBe(encoded[of]?.[at + 1])
        follows++
      } else expect(encoded[of]).not.toContain(second)
      const [, ...types] = row.typeIds
      expect([...types].sort()).toEqual(types)
      expect(row.words.filter((word) => word === -1).length).toBe(3)
    }
    expect(Math.abs(follows / (10 * pairs.length) - 0.5)).toBeLessThan(0.1)
  })

  it('are cut to fit, the longer first, and refused where there is nothing to pair', async () => {
    const long = nextSentencePairs([[sentence(30), 'sailors', sentence(30), sentence(30)]], tokenizer, {
      maxLength: 20,
    })
    const draws = new Generator(3)
    for (let index = 0; index < 3; index++) {
      const { ids, typeIds, words: parts } = await long.get(index, { index, epoch: 0, generator: draws })
      expect(ids.length).toBe(20)
      expect(new Set(parts).size).toBeGreaterThan(3)
      expect(typeIds.filter((type) => type === 1).length).toBeGreaterThan(1)
    }
    const fails = (given: unknown, message: RegExp, options = {}) =>
      expect(() => nextSentencePairs(given as never, tokenizer, options)).toThrow(message)
    fails([['whales']], /no document has two sentences/)
    fails([['whales', 'swim']], /only two sentences/)
    fails([['whales', ' ', 'swim']], /sentence 1 of document 0 has no tokens/)
    fails(['whales'], /documents are .* lists of sentences/)
    fails([['whales', 5]], /sentence 1 of document 0 is the number 5/)
    fails([['whales', 'swim', 'deep']], /maxLength is 4/, { maxLength: 4 })
  })
})

const bert = (pretraining: boolean) => {
  manualSeed(2)
  const config = {
    ...{ model_type: 'bert', vocab_size: 80, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ intermediate_size: 32, max_position_embeddings: 64, hidden_dropout_prob: 0.1 },
  }
  return pretraining ? AutoModel.forPreTraining(config) : AutoModel.forMaskedLM(config)
}

describe('masked language models', () => {
  it('learn by a Trainer, and are scored by their masked tokens and pairs', async () => {
    for (const pretraining of [false, true]) {
      const model = (await bert(pretraining)) as MaskedLM
      const rows = pretraining
        ? nextSentencePairs([texts.slice(0, 30), texts.slice(30, 50)], tokenizer, { maxLength: 60 })
        : texts.slice(0, 48).map((text) => maskableRow(text, tokenizer))
      const batches = maskedBatches(rows, tokenizer, { batchSize: 16, shuffle: true, seed: 1 })
      const held = maskedBatches(rows, tokenizer, { batchSize: 16, seed: 2 })
      // These numbers were computed by hand.
      const [found] = [{ right: 0, tokens: 0, loss: 0, pairs: 0, judged: 0 }]
      model.eval()
      const kept: MaskedBatch[] = []
      for await (const batch of held) kept.push(batch)
      for (const { ids, labels, nextSentenceLabels, ...inputs } of kept) {
        const output = noGrad(() => model.forward(ids, inputs)) as unknown
        const { predictions = output, nextSentence } = output as { predictions?: Tensor; nextSentence?: Tensor }
        const scores = (predictions as Tensor).toArray() as number[][][]
        for (const [r, row] of (labels.toArray() as number[][]).entries())
          for (const [t, label] of row.entries()) {
            if (label === -100) continue
            const at = scores[r]?.[t] as number[]
            found.tokens++
            if (at.indexOf(Math.max(...at)) === label) found.right++
            found.loss += Math.log(at.reduce((sum, each) => sum + Math.exp(each), 0)) - (at[label] as number)
          }
        const follows = nextSentenceLabels?.toArray() as number[] | undefined
        for (const [r, [yes = 0, no = 0]] of ((nextSentence?.toArray() ?? []) as number[][]).entries()) {
          found.pairs++
          if (Number(no > yes) === follows?.[r]) found.judged++
        }
      }
      model.train()
      const before = await evaluateMasked(model, kept)
      expect(model.training).toBe(true)
      expect(before.tokens).toBe(found.tokens)
      expect(before.accuracy).toBe(found.right / found.tokens)
      expect(before.loss).toBeCloseTo(found.loss / found.tokens, 5)
      expect(before.perplexity).toBeCloseTo(Math.exp(before.loss), 8)
      expect(before.nextSentenceAccuracy).toBe(pretraining ? found.judged / found.pairs : undefined)
      const trainer = new Trainer(model, {
        optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2 }),
        objective: maskedLM(),
      })
      await trainer.fit(batches, { epochs: 4, progress: false })
      expect((await evaluateMasked(model, kept)).loss).toBeLessThan(before.loss - 0.3)
      const { loss } = await trainer.evaluate(kept)
      if (!pretraining) expect(loss).toBeCloseTo((await evaluateMasked(model, kept)).loss, 5)
    }
  })

  it('say where a model and its batches do not belong together', async () => {
    const rows = texts.slice(0, 4).map((text) => maskableRow(text, tokenizer))
    const pairs = nextSentencePairs([texts.slice(0, 5)], tokenizer, { maxLength: 60 })
    const [pretraining, plain] = [(await bert(true)) as BertPreTraining, (await bert(false)) as MaskedLM]
    for await (const batch of maskedBatches(rows, tokenizer))
      expect(() => maskedLM().loss(pretraining as never, batch)).toThrow(/the batch has no nextSentenceLabels/)
    for await (const batch of maskedBatches(pairs, tokenizer))
      expect(() => maskedLM().loss(plain, batch)).toThrow(/the model does not judge pairs/)
    expect(() => maskedLM().loss(plain, {} as never)).toThrow(/must have ids and labels/)
    await expect(evaluateMasked(plain, [])).rejects.toThrow(/no token of the batches was chosen/)
  })
})

describe('models that write on', () => {
  it('are scored by the loss of all tokens, and in bits a byte', async () => {
    manualSeed(3)
    const model = gpt2({ vocabSize: 30, layers: 1, width: 8, heads: 2, context: 16, dropout: 0.5 })
    const batches = [6, 4].map((length, i) => ({
      ids: tensor([Array.from({ length }, (_, t) => (t * 7 + i) % 30)], { dtype: 'int32' }),
    }))
    model.eval()
    const [first, second] = batches.map(({ ids }) => noGrad(() => model.loss(ids).total.item())) as [number, number]
    model.train()
    const scores = await evaluateCausal(model, batches, { text: { tokens: 10, bytes: 40 } })
    expect(scores.tokens).toBe(8)
    expect(scores.loss).toBeCloseTo((first + second) / 8, 5)
    expect(scores.perplexity).toBeCloseTo(Math.exp(scores.loss), 8)
    expect(scores.bitsPerByte).toBeCloseTo(scores.loss / Math.LN2 / 4, 8)
    await expect(evaluateCausal(model, [])).rejects.toThrow(/no token of the batches was to be predicted/)
    await expect(evaluateCausal(model, batches, { text: { tokens: 0, bytes: 1 } })).rejects.toThrow(/text has 0 tokens/)
  })
})

describe('denoising auto-encoders', () => {
  class Given extends nn.Module {
    seen: number[][] = []
    readonly out = new nn.Linear(50, 50)
    forward(x: Tensor): Tensor {
      this.seen = x.toArray() as number[][]
      return this.out.forward(x)
    }
  }

  it('see a damaged input, and are held to the whole one', () => {
    manualSeed(6)
    const model = new Given()
    const x = randn([40, 50])
    const whole = x.toArray() as number[][]
    const { total, count, output } = denoising({ noise: 'masking', amount: 0.25 }).loss(model, x)
    const zeros = model.seen.flat().filter((value) => value === 0).length
    expect(Math.abs(zeros / 2000 - 0.25)).toBeLessThan(0.04)
    for (const [r, row] of model.seen.entries())
      for (const [c, value] of row.entries()) if (value !== 0) expect(value).toBe(whole[r]?.[c])
    const given = (output as Tensor).toArray() as number[][]
    const squares = given.flatMap((row, r) => row.map((value, c) => (value - (whole[r]?.[c] as number)) ** 2))
    expect(total.item() / squares.reduce((sum, each) => sum + each)).toBeCloseTo(1, 5)
    expect(count).toBe(2000)
    denoising({ amount: 2 }).loss(model, [x, 'label'])
    const noise = model.seen.flatMap((row, r) => row.map((value, c) => value - (whole[r]?.[c] as number)))
    expect(Math.sqrt(noise.reduce((sum, each) => sum + each ** 2) / 2000)).toBeCloseTo(2, 0)
    denoising().predict?.(model, x)
    expect(model.seen).toEqual(whole)
  })

  it('refuse what they cannot damage', () => {
    const model = new Given()
    expect(() => denoising({ noise: 'salt' as never })).toThrow(/noise is 'salt'/)
    expect(() => denoising({ noise: 'masking', amount: 1 })).toThrow(/amount is 1, but must be a share/)
    expect(() => denoising({ amount: -1 })).toThrow(/amount is -1/)
    expect(() => denoising({ loss: 'mse' as never })).toThrow(/loss is 'mse'/)
    expect(() => denoising().loss(model, tensor([[1]], { dtype: 'int32' }))).toThrow(/must be floating/)
    expect(() => denoising().loss({ forward: () => randn([1, 2]) } as never, randn([1, 3]))).toThrow(
      /must give its shape/,
    )
    expect(() => denoising().loss(model, 'x' as never)).toThrow(/must be a tensor/)
  })
})

/** Rows around a centre for each class, like those of the tests of PyTorch's numbers. */
function features(classes: number) {
  const draws = { k: 0 }
  const uniform = () => {
    const a = (7 + classes + ++draws.k * 0x6d2b79f5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), a | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const direction = [1, -1, 0.5, 0]
  const rows = Array.from({ length: 120 }, (_, i) => direction.map((d) => 2 * uniform() - 1 + (i % classes) * 0.5 * d))
  const part = (from: number, to: number) => ({
    features: tensor(rows.slice(from, to)),
    labels: Array.from({ length: to - from }, (_, i) => (from + i) % classes),
  })
  return { train: part(0, 80), test: part(80, 120) }
}

describe('probes', () => {
  it.each([
    [2, 1, 39.967730759655296, '0101000011000110101001011111111101010000'],
    [2, 0.01, 0.5252419305470931, '0101000111011100101001011111111101010100'],
    [3, 1, 55.44409230354927, '2022102002202102020012012102022020112012'],
    [3, 0.01, 0.8197172180779828, '2022002002202002020012012002022020212002'],
  ])(
    'of %i classes with c = %d reach the least value that PyTorch finds',
    async (classes, c, objective, predictions) => {
      const { train, test } = features(classes)
      const found = await linearProbe(train, test, { c })
      expect(Math.abs(found.objective / objective - 1)).toBeLessThan(1e-7)
      expect([...found.predictions].join('')).toBe(predictions)
      expect(found.accuracy).toBe([...predictions].filter((each, i) => Number(each) === test.labels[i]).length / 40)
    },
  )

  it('go to the least value of a narrow valley', () => {
    const x = Float64Array.of(-1.2, 1)
    const least = minimise(x, (at, gradient) => {
      const [a, b] = at as unknown as [number, number]
      gradient[0] = -400 * a * (b - a * a) - 2 * (1 - a)
      gradient[1] = 200 * (b - a * a)
      return 100 * (b - a * a) ** 2 + (1 - a) ** 2
    })
    expect(least).toBeLessThan(1e-12)
    expect(x[0]).toBeCloseTo(1, 5)
  })

  it('by neighbours take the class of those that point the same way', async () => {
    const train = {
      features: tensor([
        [1, 0],
        [2, 0.1],
        [0, 1],
        [0.1, 3],
        [-1, -1],
      ]),
      labels: tensor([0, 0, 1, 1, 2], { dtype: 'int32' }),
    }
    const test = {
      features: tensor([
        [9, 1],
        [1, 9],
        [-5, -4],
        [1, 1.2],
      ]),
      labels: [0, 1, 2, 0],
    }
    const near = await nearestNeighbours(train, test, { k: 1 })
    expect([...near.predictions]).toEqual([0, 1, 2, 1])
    expect(near.accuracy).toBe(0.75)
    // The class of most rows does not win if there are as many votes as rows, because votes are weighted. Without
    // weights it would.
    expect([...(await nearestNeighbours(train, test)).predictions]).toEqual([0, 1, 2, 1])
    expect((await nearestNeighbours(train, test, { temperature: Number.POSITIVE_INFINITY })).predictions[2]).toBe(0)
  })

  it('refuse rows that they cannot judge, by number', async () => {
    const { train, test } = features(2)
    const fails = (a: unknown, b: unknown, message: RegExp, options = {}) =>
      expect(linearProbe(a as never, b as never, options)).rejects.toThrow(message)
    await fails({ ...train, labels: [1] }, test, /train has 80 rows of features, but 1 labels/)
    await fails(train, { ...test, labels: test.labels.map(() => 0.5) }, /label 0 of test is 0.5/)
    await fails({ ...train, labels: train.labels.map(() => 1) }, test, /all training rows are of class 1/)
    await fails(train, { features: randn([40, 3]), labels: test.labels }, /train are 4 wide, but those of test 3/)
    await fails({ features: tensor([[1, Number.NaN]]), labels: [0] }, test, /row 0 of train has the feature NaN/)
    await fails(train, test, /c is 0/, { c: 0 })
    await fails({ features: randn([4]), labels: [0] }, test, /must be \[N, D\]/)
    await fails(null, test, /train is null, but must be \{ features, labels \}/)
    await expect(nearestNeighbours(train, test, { k: 81 })).rejects.toThrow(/k is 81/)
    await expect(nearestNeighbours(train, test, { temperature: 0 })).rejects.toThrow(/temperature is 0/)
  })
})

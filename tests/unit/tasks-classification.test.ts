import { describe, expect, it } from 'vitest'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { DataLoader } from '../../lib/data/loader.js'
import { splitRows } from '../../lib/data/split.js'
import {
  byLength,
  checkRows,
  classification,
  regression,
  type TextBatch,
  type TextRow,
  TokenizedRows,
  textRows,
} from '../../lib/finetune/index.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { distilbertArchitectures } from '../../lib/models/distilbert.js'
import { Linear } from '../../lib/nn/linear.js'
import { tensor } from '../../lib/ops/creation.js'
import { crossEntropy } from '../../lib/ops/loss/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Trainer } from '../../lib/train/trainer.js'
import { labelled, small, wordpiece } from './tasks.js'

const tokenizer = wordpiece()
const reviews = [
  { review: 'a good library and a good reference', mood: 'good' },
  { review: 'slow', mood: 'bad' },
  { review: 'it trains fine-tunes and loads', mood: 'good' },
  { review: 'no binary fits', mood: 'bad' },
  { review: 'gives the same results', mood: 'good' },
  { review: 'what must not stay true is bad and slow', mood: 'bad' },
]
const options = { text: 'review', label: 'mood' } as const
const numbers = (x: Tensor) => Array.from(x.dataSync() as Float32Array)
const value = async (x: Tensor | number) => (typeof x === 'number' ? x : ((await x.data())[0] as number))

describe('textRows', () => {
  it('names the classes in an order that the rows do not change, and pads batches', async () => {
    for (const given of [reviews, reviews.toReversed()]) {
      const rows = await textRows(given, tokenizer, options)
      expect(rows.labels).toEqual(['bad', 'good'])
      expect(rows.get(0).label).toBe(given[0]?.mood === 'good' ? 1 : 0)
    }
    const rows = await textRows(reviews, tokenizer, options)
    const { ids, attentionMask, labels, tokenTypeIds } = rows.batch([1, 0])
    const [short, long] = [tokenizer.encode('slow').ids, tokenizer.encode(reviews[0]?.review ?? '').ids]
    expect(ids.shape).toEqual([2, long.length])
    expect(numbers(ids)).toEqual([...short, ...new Array(long.length - short.length).fill(0), ...long])
    expect(numbers(attentionMask).reduce((a, b) => a + b)).toBe(short.length + long.length)
    expect(labels?.dtype).toBe('int32')
    expect(numbers(labels as Tensor)).toEqual([0, 1])
    expect(tokenTypeIds).toBeUndefined()
  })

  it('sorts numbers in text by size, takes indices, flags, pairs, functions and streams', async () => {
    const stars = ['10', '2', '1'].map((star) => ({ text: 'a', star }))
    expect((await textRows(stars, tokenizer, { text: 'text', label: 'star' })).labels).toEqual(['1', '2', '10'])
    const indices = await textRows(
      [0, 2].map((label) => ({ label })),
      tokenizer,
      { text: () => 'a', label: 'label' },
    )
    expect(indices.labels).toEqual(['0', '1', '2'])
    const flags = await textRows(
      [true, false].map((label) => ({ label })),
      tokenizer,
      { text: () => 'a', label: 'label' },
    )
    expect([flags.labels, flags.get(0).label]).toEqual([['false', 'true'], 1])
    async function* stream() {
      yield* reviews
    }
    const pairs = await textRows(stream(), tokenizer, { ...options, pair: ({ mood }) => `it is ${mood}` })
    const { tokenTypeIds } = pairs.batch([0])
    expect(numbers(tokenTypeIds as Tensor)).toEqual(
      tokenizer.encode(reviews[0]?.review ?? '', { pair: 'it is good' }).typeIds,
    )
  })

  it('makes several classes a row, and numbers', async () => {
    const tags = [{ tags: ['b', 'a'] }, { tags: [] }, { tags: ['c'] }]
    const several = await textRows(tags, tokenizer, { text: () => 'a', label: 'tags' })
    const { labels } = several.batch([0, 1, 2])
    expect([labels?.shape, labels?.dtype, numbers(labels as Tensor)]).toEqual([
      [3, 3],
      'float32',
      [1, 1, 0, 0, 0, 0, 0, 0, 1],
    ])
    const scores = [{ score: 1 }, { score: 2.5 }]
    const one = await textRows(scores, tokenizer, { text: () => 'a', label: 'score', kind: 'number' })
    expect([one.batch([0, 1]).labels?.dtype, one.labels]).toEqual(['float32', []])
  })

  it('counts rows that are cut: those one token above the limit, and not those at it or below', async () => {
    const lengths = reviews.map(({ review }) => tokenizer.encode(review).ids.length)
    const longest = Math.max(...lengths)
    const many = lengths.filter((length) => length === longest).length
    const rows = [-1, 0, 1].map((more) => textRows(reviews, tokenizer, { ...options, maxLength: longest + more }))
    expect((await Promise.all(rows)).map(({ cut }) => cut)).toEqual([many, 0, 0])
    expect((await textRows(reviews, wordpiece(longest - 1), options)).cut).toBe(many)
  })

  it('refuses what is wrong with the number of the row, the value and the cure', async () => {
    const wrong = async (rows: readonly object[], more: object, message: RegExp) =>
      expect(textRows(rows as typeof reviews, tokenizer, { ...options, ...more } as typeof options)).rejects.toThrow(
        message,
      )
    const [first] = reviews
    await wrong([{ review: 'a' }], {}, /row 0: there is no column 'mood' for the label; the row has review; name one/)
    await wrong(
      [first ?? {}, { review: ' ', mood: 'bad' }],
      {},
      /row 1: text \(column 'review'\) is empty; leave the row out/,
    )
    await wrong([{ review: 5, mood: 'bad' }], {}, /row 0: text \(column 'review'\) is the number 5, but must be a text/)
    await wrong([first ?? {}, { review: 'a', mood: 1 }], {}, /row 1: .*the number 1, but rows before it have names/)
    await wrong([first ?? {}, { review: 'a', mood: null }], {}, /row 1: .*is null, but must be the name or the index/)
    await wrong([first ?? {}, { review: 'a', mood: '' }], {}, /row 1: .*is empty/)
    await wrong(
      reviews,
      { labels: ['good', 'fine'] },
      /row 1: .*'bad', but the labels are 'good', 'fine'; mend the row/,
    )
    await wrong(
      [
        { review: 'a', mood: 0 },
        { review: 'a', mood: 2 },
      ],
      { labels: ['x', 'y'] },
      /row 1: .*is 2, but the classes are 0 to 1/,
    )
    await wrong([{ review: 'a', mood: 1.5 }], {}, /row 0: .*kind: 'number'/)
    await wrong(
      reviews.filter(({ mood }) => mood === 'bad'),
      {},
      /all 3 rows have the label 'bad', and nothing can be learned from one class/,
    )
    await wrong(
      [
        { review: 'a', mood: 3 },
        { review: 'b', mood: 3 },
      ],
      {},
      /all 2 rows have the label 3/,
    )
    await wrong([{ review: 'a', mood: Number.NaN }], { kind: 'number' }, /row 0: .*must be a finite number/)
    await wrong([], {}, /there are no rows/)
    await wrong([5 as unknown as object], {}, /row 0: it is the number 5/)
    await wrong(reviews, { label: 'mod' }, /there is no column 'mod' for the label; the row has review, mood/)
    await wrong(reviews, { lable: 'mood' }, /there is no option lable/)
    await wrong(reviews, { maxLength: 1 }, /maxLength is 1, but must be an integer of at least 2/)
    expect(await textRows(reviews, tokenizer, { ...options, label: 'mod' as 'mood' }).catch(({ row }) => row)).toBe(0)
    expect((await textRows(reviews.slice(1, 2), tokenizer, { ...options, labels: ['good', 'bad'] })).get(0).label).toBe(
      1,
    )
  })

  it('tells a tokenizer of another model', async () => {
    const rows = await textRows(reviews, tokenizer, options)
    const largest = Math.max(...Array.from({ length: rows.length }, (_, i) => Math.max(...rows.get(i).ids)))
    expect(() => checkRows(rows, { config: { vocabSize: largest + 1 } })).not.toThrow()
    const longest = Math.max(...Array.from({ length: rows.length }, (_, i) => rows.get(i).ids.length))
    const config = { vocabSize: largest + 1, context: longest }
    expect(() => checkRows(rows, { config })).not.toThrow()
    expect(() => checkRows(rows, { config: { ...config, context: longest - 1 } })).toThrow(
      new RegExp(
        `it has ${longest} tokens, but the model has ${longest - 1} positions; make rows with { maxLength: ${longest - 1} }`,
      ),
    )
    expect(() => checkRows(rows, { config: { ...config, context: 2 }, positionLimit: Infinity })).not.toThrow()
    expect(() => checkRows(rows, { config: { vocabSize: largest } })).toThrow(
      new RegExp(
        `row \\d: token ${largest} is not in the model's vocabulary, which has ${largest} tokens; load the tokenizer`,
      ),
    )
  })
})

describe('byLength', () => {
  const rowsOf = (lengths: readonly number[]) =>
    new TokenizedRows(
      lengths.map((length, i) => ({ ids: new Int32Array(length).fill(i) })),
      (rows) => rows.map(({ ids }) => [ids[0], ids.length] as const),
    )
  const passOf = async <B>(loader: AsyncIterable<B>) => {
    const batches: B[] = []
    for await (const batch of loader) batches.push(batch)
    return batches
  }

  it('gives every row once, in batches of alike lengths, in another order each pass, and the same by seed', async () => {
    const lengths = [5, 1, 3, 5, 2, 4, 1, 3]
    const loader = byLength(rowsOf(lengths), { batchSize: 2, seed: 1 })
    const [first, second] = [await passOf(loader), await passOf(loader)]
    for (const pass of [first, second]) {
      expect(
        pass
          .flat()
          .map(([row]) => row)
          .sort(),
      ).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      for (const batch of pass) expect(Math.abs((batch[0]?.[1] ?? 0) - (batch[1]?.[1] ?? 9))).toBeLessThan(2)
    }
    expect(second).not.toEqual(first)
    expect(await passOf(byLength(rowsOf(lengths), { batchSize: 2, seed: 1 }))).toEqual(first)
    const sorted = (await passOf(byLength(rowsOf(lengths), { batchSize: 3, shuffle: false })))
      .flat()
      .map(([, length]) => length)
    expect(sorted).toEqual(lengths.toSorted())
  })

  it('goes on where its state was taken', async () => {
    const make = () => byLength(rowsOf([5, 1, 3, 5, 2, 4, 1, 3]), { batchSize: 2, seed: 1 })
    const whole = await passOf(make())
    const loader = make()
    const pass = loader[Symbol.asyncIterator]()
    await pass.next()
    const state = JSON.parse(JSON.stringify(loader.stateDict()))
    const again = make()
    again.loadStateDict(state)
    expect(await passOf(again)).toEqual(whole.slice(1))
  })

  it('holds batches to so many tokens, padding counted, and refuses a longer row', async () => {
    for (const batch of await passOf(byLength(rowsOf([5, 1, 3, 5, 2, 4, 1, 3]), { tokens: 10, seed: 0 })))
      expect(batch.length * Math.max(...batch.map(([, length]) => length))).toBeLessThanOrEqual(10)
    expect(() => byLength(rowsOf([5]), { tokens: 5 })).not.toThrow()
    expect(() => byLength(rowsOf([5]), { tokens: 4 })).toThrow(/row 0 has 5 tokens, but a batch holds 4/)
    expect(() => byLength(rowsOf([5]), {})).toThrow(/neither of batchSize and tokens is given/)
    expect(() => byLength(rowsOf([5]), { tokens: 8, batchSize: 2 })).toThrow(/both of batchSize and tokens/)
  })

  it('takes parts of rows', async () => {
    const rows = await textRows(reviews, tokenizer, options)
    const { train, validation } = splitRows(rows, { validation: 2, stratify: 'label', seed: 0 })
    const batches = await passOf<TextBatch>(byLength(validation, { batchSize: 2 }))
    expect(numbers(batches[0]?.labels as Tensor).sort()).toEqual([0, 1])
    expect(byLength(train, { batchSize: 3 }).length).toBe(2)
  })
})

describe('classification', () => {
  const families = {
    bert: bertArchitectures.sequenceClassification,
    distilbert: distilbertArchitectures.sequenceClassification,
  }
  it.each(Object.entries(families))('fits, evaluates and predicts with %s, pairs too', async (_, architecture) => {
    const rows = await textRows(reviews, tokenizer, { ...options, pair: () => 'and' })
    const model = small(architecture as typeof bertArchitectures.sequenceClassification, labelled(...rows.labels))
    const trainer = new Trainer(model, {
      optimizer: new AdamW(model.parameters(), { lr: 1e-2 }),
      objective: classification(),
    })
    const { epochs } = await trainer.fit(byLength(rows, { batchSize: 4, seed: 0 }), { epochs: 12, progress: false })
    expect(epochs.at(-1)?.loss).toBeLessThan(0.5 * (epochs[0]?.loss ?? 0))
    const inOrder = new DataLoader<TextRow, TextBatch>(rows, { batchSize: 4 })
    const { accuracy, f1, loss } = await trainer.evaluate(inOrder)
    expect([accuracy, f1]).toEqual([1, 1])
    expect(loss).toBeLessThan(0.5)
    const told: number[] = []
    for await (const scores of trainer.predict(inOrder)) told.push(...numbers(scores.argmax(1)))
    expect(told).toEqual(Array.from({ length: 6 }, (__, i) => rows.get(i).label))
  })

  it('gives a loss that does not depend on the batches or their padding', async () => {
    const rows = await textRows(reviews, tokenizer, options)
    const model = small(bertArchitectures.sequenceClassification, labelled('bad', 'good'))
    const objective = classification({ labelSmoothing: 0.1, classWeights: [1, 3] })
    const sums = await Promise.all(
      [[0, 1, 2, 3, 4, 5], [0], [1], [2], [3], [4], [5]].map(async (indices) => {
        const { total, count } = objective.loss(model, rows.batch(indices))
        return [await value(total), await value(count)] as const
      }),
    )
    const [whole, ...single] = sums
    expect(single.reduce((sum, [total]) => sum + total, 0)).toBeCloseTo(whole?.[0] ?? 0, 4)
    // Three rows of weight 1, and three of weight 3.
    expect([single.reduce((sum, [, count]) => sum + count, 0), whole?.[1]]).toEqual([12, 12])
    const { ids, attentionMask, labels } = rows.batch([0, 1, 2, 3, 4, 5])
    const mean = crossEntropy(model.forward(ids, { attentionMask }), labels as Tensor, {
      weight: tensor([1, 3]),
      labelSmoothing: 0.1,
    })
    expect((whole?.[0] ?? 0) / (whole?.[1] ?? 1)).toBeCloseTo(numbers(mean)[0] as number, 5)
  })

  it('accumulates to the step of the whole batch', async () => {
    const rows = await textRows(reviews, tokenizer, options)
    const after = await Promise.all(
      [6, 4].map(async (batchSize) => {
        const model = small(bertArchitectures.sequenceClassification, labelled('bad', 'good'))
        const trainer = new Trainer(model, {
          optimizer: new AdamW(model.parameters(), { lr: 1e-2 }),
          objective: classification({ classWeights: [1, 3] }),
          accumulate: batchSize === 6 ? 1 : 2,
        })
        await trainer.fit(new DataLoader<TextRow, TextBatch>(rows, { batchSize }), { progress: false })
        return numbers(model.stateDict().get('classifier.weight') as Tensor)
      }),
    )
    for (const [i, weight] of (after[0] ?? []).entries()) expect(after[1]?.[i]).toBeCloseTo(weight, 5)
  })

  it('learns several classes a row', async () => {
    const tags = reviews.map(({ review, mood }) => ({ review, tags: review.includes('and') ? [mood, 'long'] : [mood] }))
    const rows = await textRows(tags, tokenizer, { text: 'review', label: 'tags' })
    const model = small(bertArchitectures.sequenceClassification, {
      ...labelled(...rows.labels),
      problem_type: 'multi_label_classification',
    })
    const trainer = new Trainer(model, {
      optimizer: new AdamW(model.parameters(), { lr: 2e-2 }),
      objective: classification({ multiLabel: true }),
    })
    await trainer.fit(byLength(rows, { batchSize: 6, seed: 0 }), { epochs: 60, progress: false })
    const { accuracy, f1 } = await trainer.evaluate(byLength(rows, { batchSize: 4, seed: 0 }))
    expect([accuracy, f1]).toEqual([1, 1])
    expect(() => classification().loss(model, rows.batch([0]))).toThrow(
      /the problemType of the model is 'multi_label_classification', but must be 'single_label_classification'/,
    )
    const single = small(bertArchitectures.sequenceClassification, labelled(...rows.labels))
    expect(() => classification().loss(single, rows.batch([0]))).toThrow(
      /labels are float32, but one class for each row must be int32/,
    )
  })

  it('takes batches of inputs and labels for any module', async () => {
    const model = new Linear(2, 2, { generator: new Generator(0) })
    const trainer = new Trainer(model, {
      optimizer: new AdamW(model.parameters(), { lr: 0.1 }),
      objective: classification(),
    })
    const x = tensor([
      [1, 0],
      [0, 1],
    ])
    const y = tensor([0, 1], { dtype: 'int32' })
    await trainer.fit([[x, y]], { epochs: 30, progress: false })
    expect((await trainer.evaluate([[x, y]])).accuracy).toBe(1)
  })

  it('refuses options and batches that do not fit', async () => {
    const rows = await textRows(reviews, tokenizer, options)
    const model = small(bertArchitectures.sequenceClassification, labelled('bad', 'good'))
    expect(() => classification({ labelSmoothing: 1.1 })).toThrow(/labelSmoothing is 1.1, but must lie in \[0, 1\]/)
    expect(() => classification({ classWeights: [1, -1] })).toThrow(/classWeights are \[1, -1\]/)
    expect(() => classification({ threshold: 0.5 })).toThrow(/threshold is for rows of several labels/)
    expect(() => classification({ classWeights: [1, 1, 1] }).loss(model, rows.batch([0]))).toThrow(
      /there are 3 classWeights, but the model has 2 classes/,
    )
    expect(() => classification({ multiLabel: true }).loss(model, rows.batch([0]))).toThrow(
      /the problemType of the model is null, but must be 'multi_label_classification'.* make it with \{ problemType/,
    )
    const of = (problem_type: string) =>
      small(bertArchitectures.sequenceClassification, { ...labelled('bad', 'good'), problem_type })
    const several = of('multi_label_classification')
    expect(() => classification({ multiLabel: true }).loss(several, rows.batch([0]))).toThrow(
      /labels are int32 \[1\], but with multiLabel must be float32 \[1, 2\]/,
    )
    expect(() => regression().loss(of('regression'), rows.batch([0]))).toThrow(/labels are int32, but must be float32/)
    const bare = await textRows(reviews, tokenizer, { text: 'review' })
    expect(() => classification().loss(model, bare.batch([0]))).toThrow(/the batch has no labels/)
    expect(classification().predict?.(model, bare.batch([0])).shape).toEqual([1, 2])
    expect(() => classification().loss(model, {} as TextBatch)).toThrow(/without ids|has no labels/)
  })
})

describe('regression', () => {
  it('learns a number a row', async () => {
    const rows = await textRows(reviews, tokenizer, {
      text: 'review',
      label: ({ mood }) => (mood === 'good' ? 1.5 : -1),
      kind: 'number',
    })
    const model = small(bertArchitectures.sequenceClassification, { ...labelled('score'), problem_type: 'regression' })
    const trainer = new Trainer(model, {
      optimizer: new AdamW(model.parameters(), { lr: 1e-2 }),
      objective: regression(),
    })
    await trainer.fit(byLength(rows, { batchSize: 6, seed: 0 }), { epochs: 40, progress: false })
    const { mae, r2 } = await trainer.evaluate(byLength(rows, { batchSize: 4, seed: 0 }))
    expect(mae).toBeLessThan(0.2)
    expect(r2).toBeGreaterThan(0.95)
  })
})

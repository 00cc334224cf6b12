import { describe, expect, it } from 'vitest'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import {
  byLength,
  chooseThreshold,
  classification,
  pairRows,
  sentenceEmbeddings,
  seq2seq,
  seq2seqRows,
  textRows,
} from '../../lib/finetune/index.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { AutoModel } from '../../lib/models/index.js'
import { Module } from '../../lib/nn/module.js'
import { tensor } from '../../lib/ops/creation.js'
import { AdamW } from '../../lib/optim/index.js'
import { metrics } from '../../lib/train/index.js'
import { Trainer } from '../../lib/train/trainer.js'
import { labelled, small, wordpiece } from './tasks.js'

const tokenizer = wordpiece()
const numbers = (x: Tensor) => Array.from(x.dataSync() as Float32Array)
const value = async (x: Tensor | number) => (typeof x === 'number' ? x : ((await x.data())[0] as number))

describe('seq2seqRows and seq2seq', () => {
  const pairs = [
    { zh: '深度', en: 'a pure backend' },
    { zh: '学习', en: 'networks' },
  ]

  it('are learned by T5, whatever the padding, with smoothing', async () => {
    const rows = await seq2seqRows(pairs, tokenizer, { source: ({ zh }) => `to English: ${zh}`, target: 'en' })
    const { ids, labels, attentionMask } = rows.batch([0, 1])
    expect(ids.shape).toEqual(attentionMask.shape)
    expect(numbers(labels).filter((label) => label === -100).length).toBe(
      Math.abs(rows.get(0).labels.length - rows.get(1).labels.length),
    )
    const model = await AutoModel.forSeq2Seq(
      {
        model_type: 't5',
        vocab_size: 1200,
        d_model: 16,
        d_kv: 8,
        d_ff: 24,
        num_layers: 1,
        num_heads: 2,
        dropout_rate: 0,
        pad_token_id: 0,
        eos_token_id: 3,
        decoder_start_token_id: 0,
      },
      { generator: new Generator(0) },
    )
    const objective = seq2seq({ labelSmoothing: 0.1 })
    const sums = await Promise.all(
      [[0, 1], [0], [1]].map(async (indices) => {
        const { total, count } = objective.loss(model, rows.batch(indices))
        return [await value(total), await value(count)] as const
      }),
    )
    const [whole, ...single] = sums
    expect(single.reduce((sum, [total]) => sum + total, 0) / (whole?.[0] ?? 1)).toBeCloseTo(1, 5)
    expect(single.reduce((sum, [, count]) => sum + count, 0)).toBe(whole?.[1])
    expect(await value(seq2seq().loss(model, rows.batch([0])).total)).not.toBeCloseTo(single[0]?.[0] ?? 0, 3)
    const trainer = new Trainer(model, { optimizer: new AdamW(model.parameters(), { lr: 2e-2 }), objective: seq2seq() })
    const { epochs } = await trainer.fit(byLength(rows, { batchSize: 2, seed: 0 }), { epochs: 30, progress: false })
    expect(epochs.at(-1)?.loss).toBeLessThan(0.2 * (epochs[0]?.loss ?? 0))
    for await (const scores of trainer.predict([rows.batch([0])])) expect(scores.shape.at(-1)).toBe(1200)
    expect(await model.translate(tokenizer, 'to English: 学习', { maxNewTokens: 12 })).toBe('networks')
  })

  it('end targets, cut them where there is no room, and count rows that are cut', async () => {
    const ended = wordpiece()
    const plain = (text: string) => ended.encode(text).ids
    const options = { source: 'zh', target: 'en' } as const
    expect(Array.from((await seq2seqRows(pairs, ended, options)).get(0).labels)).toEqual(plain('a pure backend'))
    const length = plain('networks').length
    expect((await seq2seqRows(pairs, ended, { ...options, maxTargetLength: length })).cut).toBe(0)
    const cut = await seq2seqRows(pairs, ended, { ...options, maxTargetLength: length - 1 })
    expect([cut.cut, cut.get(1).labels.length]).toEqual([1, length - 1])
    await expect(seq2seqRows([{ zh: '', en: 'a' }], ended, options)).rejects.toThrow(
      /row 0: source \(column 'zh'\) is empty/,
    )
    await expect(seq2seqRows([{ zh: 'a' }] as typeof pairs, ended, options)).rejects.toThrow(
      /there is no column 'en' for the target/,
    )
    expect(() => seq2seq({ labelSmoothing: -0.1 })).toThrow(/labelSmoothing is -0.1/)
  })
})

describe('pairRows and sentenceEmbeddings', () => {
  const texts = [
    { a: 'neural networks', b: 'they train', n: 'slowly', score: 0.9 },
    { a: 'no binary', b: 'a pure backend', n: 'Zürich', score: -0.5 },
    { a: 'Cresset fits', b: 'same results', n: 'where', score: 0.1 },
  ]
  const fields = { anchor: 'a', positive: 'b' } as const
  const trained = async (rows: Awaited<ReturnType<typeof pairRows>>, loss: 'multipleNegatives' | 'triplet') => {
    const model = small(bertArchitectures.embedding)
    const objective = sentenceEmbeddings({ loss, pooling: 'cls' })
    const trainer = new Trainer(model, { optimizer: new AdamW(model.parameters(), { lr: 1e-2 }), objective })
    await trainer.fit(byLength(rows, { batchSize: 3, seed: 0 }), { epochs: 25, progress: false })
    return { model, evaluated: await trainer.evaluate(byLength(rows, { batchSize: 3, seed: 0 })), trainer }
  }

  it('bring texts that belong together nearest, by the negatives of the batch and hard ones', async () => {
    for (const rows of [
      await pairRows(texts, tokenizer, fields),
      await pairRows(texts, tokenizer, { ...fields, negative: 'n' }),
    ]) {
      const { model, evaluated, trainer } = await trained(rows, 'multipleNegatives')
      expect(evaluated.accuracy).toBe(1)
      const [anchors, positives] = [
        await model.embed(
          tokenizer,
          texts.map(({ a }) => a),
          { pooling: 'cls' },
        ),
        await model.embed(
          tokenizer,
          texts.map(({ b }) => b),
          { pooling: 'cls' },
        ),
      ]
      for (const [i, anchor] of anchors.entries()) {
        const near = positives.map((other) => other.reduce((sum, x, k) => sum + x * (anchor[k] ?? 0), 0))
        expect(near.indexOf(Math.max(...near))).toBe(i)
      }
      for await (const vectors of trainer.predict([rows.batch([0, 1])])) expect(vectors.shape).toEqual([2, 16])
    }
  })

  it('count the loss of InfoNCE over rows; a row alone teaches nothing', async () => {
    const rows = await pairRows(texts, tokenizer, fields)
    const model = small(bertArchitectures.embedding)
    const { total, count } = sentenceEmbeddings({ scale: 5 }).loss(model, rows.batch([0, 1, 2]))
    const [a, b] = [
      await model.embed(
        tokenizer,
        texts.map((row) => row.a),
      ),
      await model.embed(
        tokenizer,
        texts.map((row) => row.b),
      ),
    ]
    const scores = a.map((x) => b.map((y) => 5 * x.reduce((sum, each, k) => sum + each * (y[k] ?? 0), 0)))
    const wanted = scores.reduce(
      (sum, row, i) => sum + Math.log(row.reduce((all, s) => all + Math.exp(s), 0)) - (row[i] ?? 0),
      0,
    )
    expect(await value(total)).toBeCloseTo(wanted, 4)
    expect(count).toBe(3)
    const alone = sentenceEmbeddings().loss(model, rows.batch([0]))
    expect([alone.count, await value(alone.total)]).toEqual([0, 0])
  })

  it('learn triplets and cosines', async () => {
    const triplets = await pairRows(texts, tokenizer, { ...fields, negative: 'n' })
    expect((await trained(triplets, 'triplet')).evaluated.accuracy).toBe(1)
    const scored = await pairRows(texts, tokenizer, { ...fields, score: 'score' })
    const model = small(bertArchitectures.embedding)
    const trainer = new Trainer(model, {
      optimizer: new AdamW(model.parameters(), { lr: 1e-2 }),
      objective: sentenceEmbeddings({ loss: 'cosine' }),
    })
    await trainer.fit(byLength(scored, { batchSize: 3, seed: 0 }), { epochs: 30, progress: false })
    const { loss, spearman } = await trainer.evaluate(byLength(scored, { batchSize: 2, seed: 0 }))
    expect(loss).toBeLessThan(0.05)
    expect(spearman).toBeCloseTo(1, 6)
  })

  it('refuse what does not fit', async () => {
    await expect(pairRows(texts, tokenizer, { ...fields, score: ({ score }) => score * 5 })).rejects.toThrow(
      /row 0: score is the number 4.5, but must be a number from -1 to 1/,
    )
    await expect(pairRows(texts, tokenizer, { ...fields, score: 'score', negative: 'n' })).rejects.toThrow(
      /negative and score are given/,
    )
    const rows = await pairRows(texts, tokenizer, fields)
    const model = small(bertArchitectures.embedding)
    expect(() => sentenceEmbeddings({ loss: 'triplet' }).loss(model, rows.batch([0]))).toThrow(
      /the batch has no negatives/,
    )
    expect(() => sentenceEmbeddings({ loss: 'cosine' }).loss(model, rows.batch([0]))).toThrow(/the batch has no scores/)
    expect(() => sentenceEmbeddings({ loss: 'triplet', scale: 2 } as object)).toThrow(
      /scale is of loss 'multipleNegatives', but loss is 'triplet'/,
    )
    expect(() => sentenceEmbeddings({ loss: 'cosinus' } as object)).toThrow(/loss is 'cosinus', but must be/)
    expect(() => sentenceEmbeddings({ scale: 0 })).toThrow(/scale is 0, but must be a number above 0/)
  })
})

/** Returns its input as scores. */
class Same extends Module {
  forward(x: Tensor): Tensor {
    return x
  }
}

describe('chooseThreshold', () => {
  const logit = (p: number) => Math.log(p / (1 - p))

  it('finds the best of all thresholds, for each label or for all', async () => {
    const generator = new Generator(4)
    const count = 40
    const p = Array.from({ length: count }, () => [0, 1].map(() => Math.round(generator.random() * 20) / 22 + 0.02))
    const y = p.map((row) =>
      row.map((each, label) => (each + 0.5 * generator.random() > (label === 0 ? 0.9 : 0.5) ? 1 : 0)),
    )
    const batches = [0, 1].map(
      (half) =>
        [
          tensor(p.slice(half * 20, half * 20 + 20).map((row) => row.map(logit))),
          tensor(y.slice(half * 20, half * 20 + 20), { dtype: 'float32' }),
        ] as const,
    )
    const scoresOf = (
      rows: readonly (readonly number[])[],
      labels: readonly (readonly number[])[],
      threshold: number,
    ) => {
      const [yes, there] = [rows.flat().map((each) => each > threshold), labels.flat()]
      const hits = yes.filter((is, i) => is && there[i] === 1).length
      const alarms = yes.filter((is, i) => is && there[i] === 0).length
      const positives = there.filter((each) => each === 1).length
      const negatives = there.length - positives
      return {
        f1: (2 * hits) / (hits + alarms + positives),
        accuracy: (hits + negatives - alarms) / there.length,
        youden: hits / positives - alarms / negatives,
      }
    }
    const grid = Array.from({ length: 999 }, (_, i) => (i + 1) / 1000)
    for (const maximise of ['f1', 'accuracy', 'youden'] as const) {
      const each = await chooseThreshold(new Same(), classification({ multiLabel: true }), batches, { maximise })
      for (const label of [0, 1]) {
        const [own, truth] = [p.map((row) => [row[label] ?? 0]), y.map((row) => [row[label] ?? 0])]
        const best = Math.max(...grid.map((threshold) => scoresOf(own, truth, threshold)[maximise]))
        expect((each.value as readonly number[])[label]).toBeCloseTo(best, 10)
        expect(scoresOf(own, truth, (each.threshold as readonly number[])[label] ?? 0)[maximise]).toBeCloseTo(best, 10)
      }
      const all = await chooseThreshold(new Same(), classification({ multiLabel: true }), batches, {
        maximise,
        each: false,
      })
      const best = Math.max(...grid.map((threshold) => scoresOf(p, y, threshold)[maximise]))
      expect(scoresOf(p, y, all.threshold as number)[maximise]).toBeCloseTo(best, 10)
      expect(all.value).toBeCloseTo(best, 10)
    }
  })

  it('serves classify with two classes, stays at 0.5 where labels tell nothing, and refuses other scores', async () => {
    const x = [0.1, 0.2, 0.3, 0.35].map((p) => [0, logit(p)])
    const choose = (labels: readonly number[]) =>
      chooseThreshold(new Same(), classification(), [[tensor(x), tensor(labels, { dtype: 'int32' })]])
    const { threshold, value: f1 } = await choose([0, 0, 1, 1])
    expect(f1).toBe(1)
    expect(threshold).toBeCloseTo(0.25, 6)
    expect(await choose([1, 1, 1, 1])).toEqual({ threshold: 0.5, value: Number.NaN })
    const model = small(bertArchitectures.sequenceClassification, labelled('no', 'yes'))
    const { scores } = await model.classify(tokenizer, 'it fits')
    const yes = scores['yes'] as number
    expect((await model.classify(tokenizer, 'it fits', { threshold: yes - 1e-6 })).label).toBe('yes')
    const told = await model.classify(tokenizer, 'it fits', { threshold: yes })
    expect(told.label).toBe('no')
    expect(told.score).toBeCloseTo(1 - yes, 12)
    const rows = await textRows(
      [
        { t: 'a', l: 0 },
        { t: 'b', l: 2 },
      ],
      tokenizer,
      { text: 't', label: 'l' },
    )
    const three = small(bertArchitectures.sequenceClassification, labelled('a', 'b', 'c'))
    await expect(chooseThreshold(three, classification(), byLength(rows, { batchSize: 2 }))).rejects.toThrow(
      /scores are \[2, 3\] and labels int32 \[2\], but a threshold is for two classes/,
    )
    await expect(chooseThreshold(new Same(), classification(), [])).rejects.toThrow(/there are no rows to choose by/)
  })
})

describe('metrics of answers', () => {
  it('are those of SQuAD: the best reference, without case, punctuation and articles', async () => {
    // From SQuAD's evaluation, version 2.0.
    const cases = [
      ['The cat', ['a cat!'], 1, 1],
      ['the big cat', ['cat', 'dog'], 0, 2 / 3],
      ['U.S.A. a b café!', ['The a b '], 0, 0.5],
      ['', [''], 1, 1],
      ['', ['cat'], 0, 0],
      ['the', ['a'], 1, 1],
      ['cat cat', ['cat'], 0, 2 / 3],
      ['theatre', ['atre'], 0, 0],
      ['1,000', ['1000'], 1, 1],
    ] as const
    for (const [answer, references, exact, f1] of cases) {
      expect([answer, await metrics.measure(metrics.answerExactMatch(), [answer], [references])]).toEqual([
        answer,
        exact,
      ])
      expect(await metrics.measure(metrics.answerF1(), [answer], [references])).toBeCloseTo(f1, 12)
    }
    const all = await metrics.measure(
      metrics.answerExactMatch(),
      cases.map(([answer]) => answer),
      cases.map(([, references]) => references),
    )
    expect(all).toBeCloseTo(4 / 9, 12)
    expect(await metrics.answerF1().compute()).toBeNaN()
  })
})

describe('entityF1', () => {
  const labels = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC']
  const measured = (told: readonly string[][], there: readonly (string | null)[][]) => {
    const ints = (rows: readonly (readonly (string | null)[])[]) =>
      tensor(
        rows.map((row) => row.map((tag) => (tag === null ? -100 : labels.indexOf(tag)))),
        { dtype: 'int32' },
      )
    return metrics.measure(metrics.entityF1({ labels }), ints(told), ints(there))
  }

  it("is seqeval's: first, last and kind must be right; rows and B- part entities, ignored tokens do not", async () => {
    // From seqeval 1.2.2: f1_score of the counting tags.
    expect(await measured([['B-PER', 'I-PER', 'O', 'B-LOC']], [['B-PER', 'I-PER', 'O', 'B-LOC']])).toBe(1)
    expect(await measured([['B-PER', 'O', 'O', 'B-LOC']], [['B-PER', 'I-PER', 'O', 'B-LOC']])).toBe(0.5)
    expect(await measured([['I-PER', 'I-PER', 'I-LOC', 'O']], [['B-PER', 'I-PER', 'B-LOC', 'I-LOC']])).toBe(0.5)
    expect(await measured([['B-PER', 'I-PER', 'B-PER']], [['B-PER', 'I-PER', 'I-PER']])).toBe(0)
    expect(
      await measured(
        [
          ['O', 'B-PER'],
          ['I-PER', 'O'],
        ],
        [
          ['O', 'B-PER'],
          ['B-PER', 'O'],
        ],
      ),
    ).toBe(1)
    expect(await measured([['B-PER', 'O', 'I-PER']], [['B-PER', null, 'I-PER']])).toBe(1)
    expect(await measured([['O']], [['O']])).toBe(0)
  })

  it('refuses scores of another number of classes and names that are none', () => {
    expect(() => metrics.entityF1({ labels: [] })).toThrow(/labels are \[\], but must be names of tags/)
    const scores = tensor([[[0, 1]]])
    expect(() => metrics.entityF1({ labels }).update(scores, tensor([[0]], { dtype: 'int32' }))).toThrow(
      /outputs are \[1, 1, 2\], targets \[1, 1\], and there are 5 labels/,
    )
  })
})

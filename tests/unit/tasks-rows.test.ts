import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Generator } from '../../lib/core/generator.js'
import type { Tensor } from '../../lib/core/tensor.js'
import {
  byLength,
  type CausalBatch,
  causalLM,
  completionRows,
  paddedRows,
  qaRows,
  questionAnswering,
  tokenClassification,
  tokenRows,
} from '../../lib/finetune/index.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import { distilbertArchitectures } from '../../lib/models/distilbert.js'
import { gpt2 } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tokenizer } from '../../lib/text/tokenizer/tokenizer.js'
import { Trainer } from '../../lib/train/trainer.js'
import { labelled, small, wordpiece } from './tasks.js'

const tokenizer = wordpiece()
const json = (name: string) =>
  JSON.parse(readFileSync(new URL(`../models/data/tokenizers/${name}/tokenizer.json`, import.meta.url), 'utf8'))
const bytes = () => new Tokenizer(json('byte-bpe'), {})
const numbers = (x: Tensor) => Array.from(x.dataSync() as Float32Array)
const value = async (x: Tensor | number) => (typeof x === 'number' ? x : ((await x.data())[0] as number))

describe('tokenRows', () => {
  const people = [
    { words: ['Zürich', 'trains', 'unbelievable', 'networks', '.'], tags: ['LOC', 'O', 'O', 'O', 'O'] },
    { words: ['🎉', '学习', 'in', 'Node.js'], tags: ['O', 'O', 'O', 'LOC'] },
    { words: ['it', 'fits'], tags: ['O', 'O'] },
  ]
  const options = { words: 'words', tags: 'tags' } as const

  it('gives the tag to the first token of each word, in WordPiece and in bytes', async () => {
    for (const own of [tokenizer, bytes()]) {
      const rows = await tokenRows(people, own, options)
      expect(rows.labels).toEqual(['LOC', 'O'])
      expect(rows.skipped).toEqual({})
      for (const [i, { words, tags }] of people.entries()) {
        const { ids, labels } = rows.get(i)
        const text = words.join(' ')
        const { ids: wanted, offsets } = own.encode(text)
        expect(Array.from(ids)).toEqual(wanted)
        const learned = Array.from(labels ?? []).flatMap((label, at) => (label === -100 ? [] : [[label, at] as const]))
        expect(learned.map(([label]) => rows.labels[label])).toEqual(tags)
        let from = 0
        for (const [k, word] of words.entries()) {
          const [start, end] = offsets[learned[k]?.[1] ?? 0] as readonly [number, number]
          // A token of bytes may include the blank before the word.
          expect(start === from || start === from - 1).toBe(true)
          expect(end).toBeGreaterThan(from)
          from += word.length + 1
        }
      }
    }
    const { labels, ids } = (await tokenRows(people, tokenizer, options)).batch([2, 0])
    expect(labels?.shape).toEqual(ids.shape)
    expect(numbers(labels as Tensor).filter((label) => label === -100).length).toBeGreaterThan(4)
  })

  it('joins words of languages without blanks, and counts words without tokens and rows that are cut', async () => {
    const chinese = [{ words: [...'深度学习'], tags: ['B', 'I', 'B', 'I'] }]
    const rows = await tokenRows(chinese, tokenizer, { ...options, between: '' })
    expect(rows.get(0).ids.length).toBe(6)
    expect(Array.from(rows.get(0).labels ?? [])).toEqual([-100, 0, 1, 0, 1, -100])
    const odd = [{ words: ['a', '\u200d\u0000', 'b'], tags: ['x', 'y', 'x'] }]
    const lost = await tokenRows(odd, tokenizer, options)
    expect(lost.skipped).toEqual({ 'words without tokens': 1 })
    expect(Array.from(lost.get(0).labels ?? [])).toEqual([-100, 0, 0, -100])
    const many = [{ words: ['a', 'b', 'c'], tags: ['x', 'y', 'x'] }]
    expect((await tokenRows(many, tokenizer, { ...options, maxLength: 5 })).cut).toBe(0)
    const cut = await tokenRows(many, tokenizer, { ...options, maxLength: 4 })
    expect([cut.cut, Array.from(cut.get(0).labels ?? [])]).toEqual([1, [-100, 0, 1, -100]])
  })

  it('refuses what is wrong with the row', async () => {
    const wrong = async (row: object, message: RegExp, more: object = {}) =>
      expect(
        tokenRows([people[0] as object, row] as typeof people, tokenizer, { ...options, ...more }),
      ).rejects.toThrow(message)
    await wrong({ words: ['a', 'b'], tags: ['O'] }, /row 1: it has 2 words, but 1 tags; give one for each word/)
    await wrong({ words: [], tags: [] }, /row 1: it has no words/)
    await wrong({ words: ['a', ''], tags: ['O', 'O'] }, /row 1: word 1 is '', but must be a text/)
    await wrong({ words: 'a b', tags: ['O', 'O'] }, /row 1: words is 'a b', but must be a list/)
    await wrong({ words: ['a'], tags: [3] }, /row 1: tag 0 is the number 3, but rows before it have names/)
    await wrong({ words: ['a'], tags: ['PER'] }, /row 1: tag 0 is 'PER', but the labels are 'O', 'LOC'/, {
      labels: ['O', 'LOC'],
    })
    await wrong({ words: ['a'] }, /row 1: there is no column 'tags'/)
    await expect(tokenRows(people.slice(2), tokenizer, options)).rejects.toThrow(/all 2 rows have the label 'O'/)
  })

  it.each([
    ['bert', bertArchitectures.tokenClassification],
    ['distilbert', distilbertArchitectures.tokenClassification],
  ] as const)('is learned by tokenClassification with %s, whatever the batches', async (_, architecture) => {
    const rows = await tokenRows(people, tokenizer, options)
    const model = small(architecture as typeof bertArchitectures.tokenClassification, labelled(...rows.labels))
    const objective = tokenClassification({ classWeights: [2, 1], labelSmoothing: 0.1 })
    const sums = await Promise.all(
      [[0, 1, 2], [0], [1], [2]].map(async (indices) => {
        const { total, count } = objective.loss(model, rows.batch(indices))
        return [await value(total), await value(count)] as const
      }),
    )
    const [whole, ...single] = sums
    expect(single.reduce((sum, [total]) => sum + total, 0)).toBeCloseTo(whole?.[0] ?? 0, 4)
    // There are eleven words, two of which count twice.
    expect([whole?.[1], single.reduce((sum, [, count]) => sum + count, 0)]).toEqual([13, 13])
    const trainer = new Trainer(model, {
      optimizer: new AdamW(model.parameters(), { lr: 3e-2 }),
      objective: tokenClassification({ labels: rows.labels }),
    })
    await trainer.fit(byLength(rows, { batchSize: 3, seed: 0 }), { epochs: 20, progress: false })
    const { accuracy, f1 } = await trainer.evaluate(byLength(rows, { batchSize: 2, seed: 0 }))
    expect([accuracy, f1]).toEqual([1, 1])
    const told = await model.tag(tokenizer, 'Zürich trains unbelievable networks .', { aggregation: 'first' })
    expect(told.map(({ label, text }) => [label, text])).toEqual([['LOC', 'Zürich']])
  })
})

describe('qaRows', () => {
  const context = 'Cresset trains neural networks in Zürich 🎉 where a pure backend gives the same results slowly'
  const answerOf = (text: string) => ({ text, start: context.indexOf(text) })
  const options = { question: 'q', context: () => context, answer: 'a' } as const

  it('finds the tokens of answers in the windows that hold them whole', async () => {
    const asked = ['Cresset', 'networks in Zürich', 'slowly', 'same results'].map((text) => ({
      q: 'what?',
      a: answerOf(text),
    }))
    for (const maxLength of [64, 20]) {
      const rows = await qaRows(asked, tokenizer, { ...options, maxLength, stride: 6 })
      const found = new Set<number>()
      for (let i = 0; i < rows.length; i++) {
        const { start, end, source, ids } = rows.get(i)
        expect(ids.length).toBeLessThanOrEqual(maxLength)
        if (start === 0) continue
        found.add(source)
        expect(tokenizer.decode(ids.slice(start, end + 1))).toBe(
          tokenizer.decode(tokenizer.encode(asked[source]?.a.text ?? '', { specialTokens: false }).ids),
        )
      }
      expect([...found]).toEqual([0, 1, 2, 3])
      expect(rows.length > 4).toBe(maxLength === 20)
      expect((rows.skipped['windows without their answer'] ?? 0) > 0).toBe(maxLength === 20)
    }
    const batch = (await qaRows(asked, tokenizer, options)).batch([0, 3])
    expect([batch.startPositions.shape, batch.endPositions.dtype, batch.tokenTypeIds?.shape]).toEqual([
      [2],
      'int32',
      batch.ids.shape,
    ])
  })

  it("takes SQuAD's lists, in characters, and texts without an answer", async () => {
    const characters = [...context].join('').indexOf('where') - 1
    const asked = [
      { q: 'what?', a: { text: ['where a'], answer_start: [characters] } },
      { q: 'what?', a: { text: [], answer_start: [] } },
      { q: 'what?', a: null },
    ]
    const rows = await qaRows(asked, tokenizer, options)
    const { ids, start, end } = rows.get(0)
    expect(tokenizer.decode(ids.slice(start, end + 1))).toBe('where a')
    expect([rows.get(1), rows.get(2)].map((row) => [row.start, row.end])).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(rows.skipped).toEqual({})
  })

  it('counts answers that no window holds whole', async () => {
    const rows = await qaRows([{ q: 'what?', a: answerOf(context.slice(0, 60)) }], tokenizer, {
      ...options,
      maxLength: 16,
      stride: 2,
    })
    expect(rows.skipped['answers in no window']).toBe(1)
    expect(rows.length).toBeGreaterThan(1)
  })

  it('refuses what is wrong with the row', async () => {
    const wrong = async (a: unknown, message: RegExp, more: object = {}) =>
      expect(qaRows([{ q: 'what?', a }] as never[], tokenizer, { ...options, ...more } as never)).rejects.toThrow(
        message,
      )
    await wrong(
      { text: 'trains', start: 9 },
      /row 0: the answer \(column 'a'\) 'trains' does not stand at 9 of the context, where there is 'rains '/,
    )
    await wrong({ text: '', start: 0 }, /row 0: .*must be a text that is not empty/)
    await wrong({ text: 'a', start: -1 }, /row 0: the start of the answer .* is -1/)
    await wrong('trains', /row 0: answer \(column 'a'\) is 'trains', but must be \{ text, start \}/)
    await wrong(null, /row 0: .*must be removed; use a larger maxLength/, { maxLength: 4, stride: 0 })
    await wrong(null, /stride is 64, but must be an integer from 0 to below maxLength, 64/, {
      maxLength: 64,
      stride: 64,
    })
    await expect(qaRows([{ question: 'a', context: 'b' }] as never[], tokenizer)).rejects.toThrow(
      /there is no column 'answers' for the answer/,
    )
  })

  it.each([
    ['bert', bertArchitectures.questionAnswering],
    ['distilbert', distilbertArchitectures.questionAnswering],
  ] as const)('is learned by questionAnswering with %s', async (_, architecture) => {
    const asked = ['networks', 'Zürich', 'slowly'].map((text, i) => ({
      q: ['what', 'where', 'how'][i] ?? '',
      a: answerOf(text),
    }))
    const rows = await qaRows(asked, tokenizer, options)
    const model = small(architecture as typeof bertArchitectures.questionAnswering)
    const objective = questionAnswering()
    const { count } = objective.loss(model, rows.batch([0, 1, 2]))
    expect(await value(count)).toBe(6)
    const trainer = new Trainer(model, { optimizer: new AdamW(model.parameters(), { lr: 2e-2 }), objective })
    await trainer.fit(byLength(rows, { batchSize: 3, seed: 0 }), { epochs: 50, progress: false })
    expect((await trainer.evaluate(byLength(rows, { batchSize: 2, seed: 0 }))).accuracy).toBe(1)
    for await (const scores of trainer.predict([rows.batch([0, 1])])) expect(scores.shape.slice(0, 2)).toEqual([2, 2])
    expect((await model.answer(tokenizer, { question: 'where', context })).text).toBe('Zürich')
  })
})

describe('completionRows', () => {
  const tasks = [
    { prompt: 'trains', answer: ' networks' },
    { prompt: 'a pure', answer: ' backend, slowly' },
  ]
  const own = () => new Tokenizer({ ...json('byte-bpe') }, { special: { eos: '<|endoftext|>', pad: '<|endoftext|>' } })

  it('learns completions, and the end of the text', async () => {
    const tokens = own()
    const end = tokens.idFor('eos')
    const rows = await completionRows(tasks, tokens, { prompt: 'prompt', completion: 'answer' })
    for (const [i, { prompt, answer }] of tasks.entries()) {
      const { ids, labels } = rows.get(i)
      expect(Array.from(ids)).toEqual([...tokens.encode(prompt + answer).ids, end])
      const learned = Array.from(labels ?? []).filter((label) => label !== -100)
      expect(tokens.decode(learned.slice(0, -1))).toBe(answer)
      expect(learned.at(-1)).toBe(end)
    }
    const without = await completionRows(tasks, tokens, { prompt: 'prompt', completion: 'answer', end: false })
    expect(without.get(0).ids.length).toBe(rows.get(0).ids.length - 1)
    const whole = await completionRows(tasks, tokens, { text: ({ prompt, answer }) => prompt + answer })
    expect(Array.from(whole.get(1).labels ?? [])).toEqual([-100, ...Array.from(whole.get(1).ids).slice(1)])
  })

  it('refuses rows with nothing to learn, fields that are missing or too many, and an end that the tokenizer lacks', async () => {
    const tokens = own()
    const options = { prompt: 'prompt', completion: 'answer' } as const
    const length = tokens.encode('trains').ids.length
    await expect(completionRows(tasks, tokens, { ...options, maxLength: Math.max(2, length) })).rejects.toThrow(
      /row 0: there is nothing to learn from the first \d of its \d tokens; raise maxLength/,
    )
    expect((await completionRows(tasks.slice(0, 1), tokens, { ...options, maxLength: length + 1 })).cut).toBe(1)
    await expect(completionRows(tasks, tokens, { prompt: 'prompt' } as never)).rejects.toThrow(
      /give text, or prompt and completion/,
    )
    await expect(completionRows(tasks, tokens, { ...options, text: 'prompt' } as never)).rejects.toThrow(
      /give text, or prompt and completion/,
    )
    await expect(completionRows([{ prompt: 'a', answer: '' }], tokens, options)).rejects.toThrow(
      /row 0: completion \(column 'answer'\) is empty/,
    )
    await expect(completionRows(tasks, bytes(), { ...options, end: true })).rejects.toThrow(
      /the tokenizer has no token that ends texts/,
    )
  })

  it('is learned by causalLM, whatever the padding, and rows of tokens too', async () => {
    const tokens = own()
    const model = gpt2({
      vocabSize: tokens.size,
      layers: 1,
      width: 16,
      heads: 2,
      context: 32,
      dropout: 0,
      generator: new Generator(0),
    })
    const objective = causalLM()
    const rows = await completionRows(tasks, tokens, { prompt: 'prompt', completion: 'answer' })
    const sums = await Promise.all(
      [[0, 1], [0], [1]].map(async (indices) => {
        const { total, count } = objective.loss(model, rows.batch(indices))
        return [await value(total), await value(count)] as const
      }),
    )
    const [whole, ...single] = sums
    expect(single.reduce((sum, [total]) => sum + total, 0)).toBeCloseTo(whole?.[0] ?? 0, 3)
    expect(single.reduce((sum, [, count]) => sum + count, 0)).toBe(whole?.[1])
    const plain = await paddedRows(
      [{ ids: rows.get(0).ids }, { ids: rows.get(1).ids, labels: rows.get(1).labels ?? rows.get(1).ids, cut: 3 }],
      tokens,
    )
    expect(plain.cut).toBe(1)
    const { labels: _, ...bare } = plain.batch([0, 1])
    const all = rows.get(0).ids.length + rows.get(1).ids.length - 2
    expect(await value(objective.loss(model, bare).count)).toBe(all)
    const trainer = new Trainer(model, { optimizer: new AdamW(model.parameters(), { lr: 2e-2 }), objective })
    await trainer.fit(byLength(rows, { batchSize: 2, seed: 0 }), { epochs: 30, progress: false })
    expect((await trainer.evaluate(byLength(rows, { batchSize: 1, seed: 0 }))).loss).toBeLessThan(0.2)
    for await (const scores of trainer.predict([rows.batch([0])])) expect(scores.shape.at(-1)).toBe(tokens.size)
    await expect(paddedRows([{ ids: new Int32Array(2), labels: new Int32Array(3) }], tokens)).rejects.toThrow(
      /row 0: it has 2 ids, but 3 labels/,
    )
    await expect(paddedRows([{ ids: [1] as unknown as Int32Array }], tokens)).rejects.toThrow(
      /row 0: ids are an array, but must be an Int32Array/,
    )
    expect(() => objective.loss(model, { ...bare, tokenTypeIds: bare.ids } as CausalBatch)).toThrow(
      /the batch holds tokenTypeIds, which no causal model takes/,
    )
  })
})

/**
 * Methods for tasks give what transformers' pipelines give: data/pipelines.json, which tests/models/pipelines.py wrote.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { bertArchitectures } from '../../lib/models/bert.js'
import type { Aggregation, Answer, Entity, Filled, PretrainedModel, ProblemType } from '../../lib/models/index.js'
import { fromTypedArray } from '../../lib/ops/creation.js'
import { bertSizes, labelled, small, wordpiece } from './tasks.js'

interface Pipelines {
  readonly sizes: { readonly [name: string]: number }
  readonly tags: readonly string[]
  readonly texts: readonly string[]
  readonly pairs: readonly (readonly [string, string])[]
  readonly classified: readonly {
    readonly problemType: ProblemType | null
    readonly labels: readonly string[]
    readonly scores: readonly { readonly [label: string]: number }[]
  }[]
  readonly tagged: readonly {
    readonly texts: readonly string[]
    readonly aggregation: Aggregation
    readonly ignore: readonly string[]
    readonly maxLength?: number
    readonly stride?: number
    readonly entities: readonly (readonly Omit<Entity, 'text'>[])[]
  }[]
  readonly masked: readonly { readonly text: string; readonly masks: readonly (readonly Filled[])[] }[]
  readonly answered: readonly {
    readonly question: string
    readonly context: string
    readonly maxLength: number
    readonly stride: number
    readonly maxAnswerTokens: number
    readonly noAnswer: boolean
    readonly topK: number
    readonly wholeWords: boolean
    readonly answers: readonly Answer[]
  }[]
  readonly embedded: { readonly [P in 'mean' | 'cls' | 'max']: readonly (readonly number[])[] }
}

const pipelines: Pipelines = JSON.parse(readFileSync(new URL('../models/data/pipelines.json', import.meta.url), 'utf8'))
const tokenizer = wordpiece()
const { texts } = pipelines

/** Fills the model by the formula of pipelines.py. */
function filled<M extends PretrainedModel>(model: M): M {
  noGrad(() => {
    for (const [name, parameter] of model.namedParameters()) {
      const phase = [...name].reduce((sum, character) => sum + character.charCodeAt(0), 0) % 97
      const scaled = (wave: number) =>
        name.includes('LayerNorm.weight') ? 1 + 0.1 * wave : name.endsWith('bias') ? 0.1 * wave : wave
      const wave = Float32Array.from({ length: parameter.numel }, (_, i) =>
        scaled(Math.sin(0.7 * i * i + 1.3 * i + phase)),
      )
      parameter.copy_(fromTypedArray(wave, parameter.sizes))
    }
  })
  return model
}

/** Numbers in the file have seven digits. */
const near = (value: number | undefined, wanted: number | undefined) =>
  expect(Math.abs((value ?? Number.NaN) - (wanted ?? 0))).toBeLessThan(2e-5 * Math.max(1, Math.abs(wanted ?? 0)))

describe('classify', () => {
  it.each(pipelines.classified)(
    'scores as the pipeline: $problemType, $labels',
    async ({ problemType, labels, scores }) => {
      const model = filled(
        small(bertArchitectures.sequenceClassification, {
          ...labelled(...labels),
          ...(problemType && { problem_type: problemType }),
        }),
      )
      model.train()
      const given = [...texts, ...pipelines.pairs.map(([text, pair]) => ({ text, pair }))]
      const told = await model.classify(tokenizer, given, { batchSize: 3 })
      expect(told.length).toBe(scores.length)
      for (const [i, wanted] of scores.entries())
        for (const [label, score] of Object.entries(wanted)) near(told[i]?.scores[label], score)
      const [label, score] = Object.entries(scores[0] ?? {}).reduce((best, each) => (each[1] > best[1] ? each : best))
      const one = await model.classify(tokenizer, texts[0] as string)
      expect(one.label).toBe(label)
      near(one.score, score)
      expect(model.training).toBe(true)
    },
  )

  it('takes as labels those above the threshold, for all or each', async () => {
    const model = filled(
      small(bertArchitectures.sequenceClassification, {
        ...labelled('a', 'b', 'c'),
        problem_type: 'multi_label_classification',
      }),
    )
    const text = texts[0] as string
    const { scores } = await model.classify(tokenizer, text)
    const sorted = Object.entries(scores).sort((x, y) => y[1] - x[1])
    const [[first], [second, middle]] = sorted as unknown as readonly [[string, number], [string, number]]
    expect((await model.classify(tokenizer, text, { threshold: middle })).labels).toEqual([first])
    expect((await model.classify(tokenizer, text, { threshold: middle - 1e-6 })).labels).toEqual([first, second])
    const each = ['a', 'b', 'c'].map((label) => (label === first ? 1 : 0))
    expect((await model.classify(tokenizer, text, { threshold: each })).labels).toEqual(
      sorted.slice(1).map(([label]) => label),
    )
    await expect(model.classify(tokenizer, text, { threshold: [0.5] })).rejects.toThrow(
      /threshold is \[0.5\], but must be a probability, or one for each of the 3/,
    )
    await expect(model.classify(tokenizer, text, { threshold: 0.5, activation: 'softmax' })).rejects.toThrow(
      /activation is softmax/,
    )
  })
})

describe('tag', () => {
  it.each(pipelines.tagged)(
    'finds what the pipeline finds: $aggregation, without $ignore, windows of $maxLength',
    async ({ texts: given, entities, aggregation, ignore, maxLength, stride }) => {
      const model = filled(small(bertArchitectures.tokenClassification, labelled(...pipelines.tags)))
      const windows = maxLength === undefined || stride === undefined ? {} : { maxLength, stride }
      const told = await model.tag(tokenizer, given, { aggregation, ignore, ...windows, batchSize: 2 })
      for (const [i, wanted] of entities.entries()) {
        expect(told[i]?.map(({ label, start, end }) => [label, start, end])).toEqual(
          wanted.map(({ label, start, end }) => [label, start, end]),
        )
        for (const [k, { score, start, end }] of wanted.entries()) {
          near(told[i]?.[k]?.score, score)
          expect(told[i]?.[k]?.text).toBe(given[i]?.slice(start, end))
        }
      }
    },
  )
})

describe('fill', () => {
  it.each(pipelines.masked)('fills as the pipeline: $text', async ({ text, masks }) => {
    const model = filled(small(bertArchitectures.maskedLM))
    const told = await model.fill(tokenizer, text, { topK: 3 })
    expect(told.map((row) => row.map(({ id, token, text: whole }) => [id, token, whole]))).toEqual(
      masks.map((row) => row.map(({ id, token, text: whole }) => [id, token, whole])),
    )
    for (const [i, row] of masks.entries()) for (const [k, { score }] of row.entries()) near(told[i]?.[k]?.score, score)
    const targets = ['the', 'it', '.']
    const [some] = await model.fill(tokenizer, text, { targets })
    const [, together] = await model.fill(tokenizer, ['no [MASK]', text, '[MASK] [MASK] [MASK]'], { topK: 3 })
    expect(together?.map((row) => row.map(({ id }) => id))).toEqual(masks.map((row) => row.map(({ id }) => id)))
    expect(some?.map(({ id }) => tokenizer.tokenOf(id)).sort()).toEqual(targets.toSorted())
    expect(some?.every(({ score }, k) => score >= (some[k + 1]?.score ?? 0))).toBe(true)
  })

  it('refuses a text without a mask, a target that is no token, and a tokenizer without masks', async () => {
    const model = small(bertArchitectures.maskedLM)
    await expect(model.fill(tokenizer, ['a [MASK]', 'b'])).rejects.toThrow(/text 1 has no \[MASK\]; write it where/)
    await expect(model.fill(tokenizer, 'a [MASK]', { targets: ['no such'] })).rejects.toThrow(
      /the target 'no such' is not in the vocabulary/,
    )
    await expect(model.fill(tokenizer, 'a [MASK]', { topK: 1201 })).rejects.toThrow(
      /topK is 1201, but must be an integer from 1 to 1200/,
    )
  })
})

describe('answer', () => {
  it.each(pipelines.answered)(
    'finds what the pipeline finds: $maxLength, $stride, $maxAnswerTokens, $noAnswer, $topK, $wholeWords',
    async ({ question, context, answers, ...options }) => {
      const model = filled(small(bertArchitectures.questionAnswering))
      const told = await model.answers(tokenizer, { question, context }, options)
      expect(told.map(({ text, start, end }) => [text, start, end])).toEqual(
        answers.map(({ text, start, end }) => [text, start, end]),
      )
      for (const [i, { score }] of answers.entries()) near(told[i]?.score, score)
      const { topK: _, ...one } = options
      const [best, same] = await model.answer(
        tokenizer,
        [
          { question, context },
          { question, context },
        ],
        one,
      )
      expect(best).toEqual(same)
      expect(best?.text).toBe(answers[0]?.text)
    },
  )

  it('refuses an empty text, and a question that leaves no room', async () => {
    const model = small(bertArchitectures.questionAnswering)
    await expect(model.answer(tokenizer, { question: ' ', context: 'a' })).rejects.toThrow(
      /the question is ' ', but must be a text/,
    )
    const long = { question: 'a '.repeat(60), context: 'b' }
    await expect(model.answer(tokenizer, long)).rejects.toThrow(/must be removed; use a larger maxLength/)
  })
})

describe('embed', () => {
  it('gives the mean, first or largest states, of length 1 or as they are', async () => {
    const model = filled(small(bertArchitectures.embedding))
    for (const pooling of ['mean', 'cls', 'max'] as const) {
      const plain = await model.embed(tokenizer, texts, { pooling, normalize: false, batchSize: 2 })
      const unit = await model.embed(tokenizer, texts, { pooling })
      for (const [i, wanted] of pipelines.embedded[pooling].entries()) {
        const length = Math.hypot(...wanted)
        for (const [k, value] of wanted.entries()) {
          near(plain[i]?.[k], value)
          near(unit[i]?.[k], value / length)
        }
      }
    }
    const one = await model.embed(tokenizer, texts[1] as string)
    expect(one.length).toBe(bertSizes.hidden_size)
    near(one[3], (await model.embed(tokenizer, texts))[1]?.[3])
  })
})

describe('all of them', () => {
  it('refuse texts that are too long, tokenizers of other models, and what is no text', async () => {
    const model = small(bertArchitectures.embedding)
    const words = (count: number) => 'a '.repeat(count)
    // Two tokens are special.
    expect((await model.embed(tokenizer, words(46))).length).toBe(16)
    await expect(model.embed(tokenizer, ['a', words(47)])).rejects.toThrow(
      /text 1 has 49 tokens, but the model has 48 positions; give \{ maxLength: 48 \}/,
    )
    expect((await model.embed(tokenizer, words(47), { maxLength: 48 })).length).toBe(16)
    await expect(model.embed(tokenizer, 'a', { maxLength: 49 })).rejects.toThrow(
      /maxLength is 49, but must be an integer from 1 to 48/,
    )
    const fewer = small(bertArchitectures.embedding, { vocab_size: 20 })
    await expect(fewer.embed(tokenizer, 'networks')).rejects.toThrow(
      /text 0 has the token \d+ .*, but the model's vocabulary has 20 tokens; load the tokenizer from its own folder/,
    )
    await expect(model.embed(tokenizer, ['a', 5 as unknown as string])).rejects.toThrow(
      /text 1 is the number 5, but must be a text/,
    )
    await expect(model.embed({} as typeof tokenizer, 'a')).rejects.toThrow(
      /tokenizer is an object, but must be a Tokenizer/,
    )
    await expect(model.embed(tokenizer, 'a', { pool: 'cls' } as object)).rejects.toThrow(/there is no option pool/)
    expect(await model.embed(tokenizer, [])).toEqual([])
  })
})

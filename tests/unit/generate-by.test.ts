import { describe, expect, it } from 'vitest'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import { memory } from '../../lib/backend/memory.js'
import { Generator } from '../../lib/core/generator.js'
import { type GenerateOptions, generateBy, gpt2, type TextsSoFar } from '../../lib/models/index.js'
import { normal_ } from '../../lib/nn/init.js'
import { eye, tensor } from '../../lib/ops/creation.js'
import { indexSelect } from '../../lib/ops/indexing/index.js'

setDefaultDevice('cpu')

const generator = new Generator(2)
const model = gpt2({ vocabSize: 30, layers: 1, width: 16, heads: 2, context: 32, generator }).eval()
// A new model's small weights would make every text one repeated token.
for (const parameter of model.parameters()) if (parameter.ndim === 2) normal_(parameter, 0, 0.5, { generator })
const next = ({ ids }: TextsSoFar) => model.forward(ids).select(1, -1)
const beginnings = [
  [7, 3],
  [5, 5],
  [1, 20],
]

describe('writing by a function', () => {
  it.each<[string, GenerateOptions]>([
    ['greedily', { maxNewTokens: 8 }],
    ['until stop tokens', { maxNewTokens: 8, stopTokens: [3, 4, 5, 6, 7, 8], logProbs: true }],
    ['by chance', { maxNewTokens: 6, temperature: 1.5, seed: 3 }],
    ['by beams', { maxNewTokens: 6, beams: 3, returnSequences: 2, stopTokens: [9, 11] }],
    ['without repeating', { maxNewTokens: 6, repetitionPenalty: 1.4, noRepeatNgramSize: 2 }],
  ])('gives what a model with a cache gives, %s', async (_, options) => {
    const written = await generateBy(next, beginnings, options)
    const expected = await model.generate(beginnings, { stopTokens: [], ...options })
    expect(written.map(({ tokens, finish }) => [tokens, finish])).toEqual(
      expected.map(({ tokens, finish }) => [tokens, finish]),
    )
    for (const [i, { score = 0 }] of written.entries()) expect(score).toBeCloseTo(expected[i]?.score ?? 0, 4)
  })

  it('tells which beginning a row goes on from, also when others have left', async () => {
    // Row i of the identity makes token i the next.
    const table = eye(4)
    const told: number[][] = []
    const texts = await generateBy(
      ({ from }) => {
        told.push([...from.dataSync()])
        return indexSelect(table, 0, from)
      },
      [[0], [0], [0]],
      { maxNewTokens: 2, stopTokens: 1 },
    )
    expect(texts.map(({ tokens }) => tokens)).toEqual([[0, 0], [1], [2, 2]])
    expect(told).toEqual([
      [0, 1, 2],
      [0, 2],
    ])
  })

  it('frees what it made', async () => {
    const before = memory().tensors
    await generateBy(next, beginnings, { maxNewTokens: 5, beams: 2 })
    expect(memory().tensors).toBe(before)
  })

  it('refuses what does not fit', async () => {
    await expect(generateBy(next, [[1], [1, 2]])).rejects.toThrow(/1 and 2 tokens, but must have the same length/)
    await expect(generateBy(next, [[]])).rejects.toThrow(/empty/)
    await expect(generateBy(({ ids }) => model.forward(ids), beginnings)).rejects.toThrow(
      /\[3, 2, 30\].*\[3, vocabulary\]/,
    )
    await expect(generateBy(() => tensor([[1, 2]]), beginnings)).rejects.toThrow(/\[1, 2\].*\[3, vocabulary\]/)
    await expect(generateBy(() => 3 as never, beginnings)).rejects.toThrow(/must give the scores/)
    await expect(generateBy(model as never, beginnings)).rejects.toThrow(/must be a function/)
    // The most beams are allowed, so that the next check complains.
    for (const beams of [4095, 4096])
      await expect(generateBy(next, beginnings, { beams, logProbs: true })).rejects.toThrow(
        /logProbs are not available/,
      )
    await expect(generateBy(next, beginnings, { beams: 4097 })).rejects.toThrow(/beams is 4097.*from 1 to 4096/)
    await expect(generateBy(next, beginnings, { beam: 3 } as GenerateOptions)).rejects.toThrow(/no option beam/)
  })
})

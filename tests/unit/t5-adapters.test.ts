/** Adapters of T5's embeddings, by numbers of PEFT 0.21 with transformers 5.24. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { applyLora, loadAdapter, mergeLora, saveAdapter, unmergeLora } from '../../lib/finetune/index.js'
import { t5 } from '../../lib/models/index.js'
import type { Module } from '../../lib/nn/module.js'
import { tensor } from '../../lib/ops/creation.js'
import { takeOutput } from '../setup.js'

setDefaultDevice('cpu')

/** The scores of the second token, by the layers that the adapter names. */
const peft = {
  base: [
    0.488489, -0.12282, 0.024851, 0.138753, 0.011476, 0.060327, 0.168797, -3.1e-5, -0.489001, 0.279935, -0.06454,
    0.123838,
  ],
  embeddings: [
    0.735823, -0.216914, -0.654235, -0.318332, -0.396396, -0.63443, -0.063244, 0.135513, -0.36782, 1.104782, 0.611698,
    0.554785,
  ],
  embeddingsMerged: [
    0.568727, 0.215383, -0.706991, -0.423614, -0.345627, -0.674778, 0.183773, -0.147041, -0.66907, 0.696021, 0.730646,
    0.17976,
  ],
  sharedMerged: [
    0.187058, -0.00644, 0.575205, 0.325555, 0.180226, 0.651863, 0.145378, -0.482093, -0.041623, -0.163277, -0.109572,
    0.09155,
  ],
  tokens: [
    0.534322, -0.184952, -0.027797, 0.41602, -0.081608, -0.005691, 0.18613, -0.143515, -0.433726, 0.345955, 0.025112,
    0.168743,
  ],
}
const wave = (count: number, seed: number, scale: number) =>
  Array.from({ length: count }, (_, i) => scale * Math.sin(0.7 * i * i + 1.3 * i + seed))
const fill = (of: Tensor, numbers: readonly number[]) =>
  noGrad(() => void of.copy_(tensor(numbers as number[]).reshape(of.shape) as never))

/** A T5 whose weights follow from their names. */
function make() {
  const model = t5({ vocabSize: 12, width: 6, headDim: 3, inner: 8, layers: 1, heads: 2, dropout: 0 }).eval()
  for (const [name, parameter] of model.namedParameters()) {
    const seed = [...name].reduce((sum, character) => sum + character.charCodeAt(0), 0) % 97
    const numbers = wave(parameter.numel, seed, 0.6)
    fill(parameter, name.includes('layer_norm') ? numbers.map((each) => each + 1) : numbers)
  }
  return model
}

/** Gives what an adapter learns the numbers that it had in PEFT. */
function learn(model: Module, part: RegExp): void {
  let seed = 1
  for (const [name, parameter] of model.namedParameters())
    if (part.test(name)) fill(parameter, wave(parameter.numel, seed++, 0.5))
}

const options = { rank: 2, alpha: 3 } as const

function check(model: ReturnType<typeof make>, expected: readonly number[]): void {
  const ids = tensor([[3, 7, 1, 9, 2]], { dtype: 'int32' })
  const labels = tensor([[4, 3]], { dtype: 'int32' })
  const scores = noGrad(() => model.forward(ids, { labels }).select(0, 0).select(0, 1)).dataSync() as Float32Array
  expect(scores).toHaveLength(expected.length)
  expected.forEach((value, i) => void expect(Math.abs((scores[i] as number) - value)).toBeLessThan(1e-5))
}

it('learn beside the embeddings of encoder and decoder, each for itself', async () => {
  const model = make()
  check(model, peft.base)
  applyLora(model, { ...options, targetModules: ['embed_tokens'] })
  learn(model, /lora_embedding/)
  check(model, peft.embeddings)
  const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
  try {
    await saveAdapter(model, path, { log: () => undefined })
    const other = make()
    await loadAdapter(other, path)
    check(other, peft.embeddings)
  } finally {
    await rm(path, { recursive: true })
  }
  expect(() => mergeLora(model)).toThrow('which merging would change too')
  // Both are added to the one weight, which is also the head's.
  mergeLora(model, { shared: true })
  check(model, peft.embeddingsMerged)
  unmergeLora(model)
  check(model, peft.embeddings)
})

it('change nothing beside `shared`, which only holds their weight, until they are merged, and a warning says so', async () => {
  const model = make()
  applyLora(model, { ...options, targetModules: ['shared'] })
  // Warnings come with the next turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve))
  expect(takeOutput().join()).toContain(
    'shared only holds the weight of encoder.embed_tokens and decoder.embed_tokens, so what the adapter learns there',
  )
  learn(model, /lora_embedding/)
  check(model, peft.base)
  mergeLora(model, { shared: true })
  check(model, peft.sharedMerged)
})

it('are rows of tokens that every layer with the weight reads', () => {
  const model = make()
  applyLora(model, { ...options, targetModules: ['SelfAttention.q'], trainableTokenIndices: [3, 7] })
  learn(model, /trainable_tokens/)
  check(model, peft.tokens)
  mergeLora(model, { shared: true })
  check(model, peft.tokens)
  unmergeLora(model)
  check(model, peft.tokens)
})

it('go out of a shared weight in turn, so that each leaves what was there before it', () => {
  const model = make()
  applyLora(model, { ...options, targetModules: ['SelfAttention.q'], trainableTokenIndices: { embed_tokens: [1, 9] } })
  check(model, peft.base)
  learn(model, /trainable_tokens/)
  mergeLora(model, { shared: true })
  const before = make().shared.weight.dataSync()
  expect(model.shared.weight.dataSync()).not.toEqual(before)
  unmergeLora(model)
  expect(model.shared.weight.dataSync()).toEqual(before)
})

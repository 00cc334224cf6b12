/** Adapters of T5's embeddings, by numbers of PEFT 0.21 with transformers 5.24. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { noGrad } from '../../lib/autograd/mode.js'
import { setDefaultDevice } from '../../lib/backend/devices.js'
import type { Tensor } from '../../lib/core/tensor.js'
import { applyLora, applyPrompt, loadAdapter, mergeLora, saveAdapter, unmergeLora } from '../../lib/finetune/index.js'
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

/** The scores beside a prompt of two columns, by the modules that learn whole. */
const withPrompts = {
  prompt: {
    lm_head: [
      0.395685, -0.196841, 0.002424, -0.029304, -0.163576, 0.0197, 0.051037, -0.072076, -0.297627, 0.349744, 0.156617,
      0.094734,
    ],
    shared: [
      0.526182, -0.222243, -0.056857, 0.055346, -0.193942, -0.040719, 0.140499, -0.059727, -0.384294, 0.417941,
      0.178847, 0.180115,
    ],
  },
  prefix: {
    lm_head: [
      0.372897, -0.060719, 0.135628, 0.088983, 0.059956, 0.170275, 0.112265, 0.018931, -0.36545, 0.189062, -0.085551,
      -0.009513,
    ],
    shared: [
      0.463028, -0.104413, 0.070374, 0.168565, 0.046144, 0.108179, 0.180174, 0.001139, -0.505601, 0.216286, -0.10915,
      0.095464,
    ],
    'encoder.embed_tokens': [
      0.423179, -0.143813, 0.08992, 0.110796, -0.073058, 0.123356, 0.141711, -0.012145, -0.453674, 0.235805, 0.048443,
      0.069971,
    ],
    embed_tokens: [
      -0.447459, -0.46876, 0.526781, -0.03519, -0.874634, 0.391091, -0.018415, -0.60725, 0.820991, -0.474553, 0.80867,
      -0.37491,
    ],
  },
}

it.each(
  Object.entries(withPrompts).flatMap(([kind, by]) =>
    Object.entries(by).map(([module, numbers]) => [kind as 'prompt' | 'prefix', module, numbers] as const),
  ),
)('learn whole beside a %s: a copy of %s', async (kind, module, numbers) => {
  const model = make()
  const base = model.shared.weight.dataSync()
  applyPrompt(model, { kind, tokens: 2, modulesToSave: [module] })
  await new Promise((resolve) => setImmediate(resolve))
  // Nothing reads the weight under that name.
  expect(takeOutput().join().includes('shared only holds the weight of')).toBe(module === 'shared')
  learn(model, /prompt_encoder|modules_to_save/)
  check(model, numbers)
  const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
  try {
    await saveAdapter(model, path, { log: () => undefined })
    const other = make()
    await loadAdapter(other, path)
    takeOutput()
    check(other, numbers)
  } finally {
    await rm(path, { recursive: true })
  }
  await new Promise((resolve) => setImmediate(resolve))
  takeOutput()
  // An active copy stands in for its module's weight, and no other module learns.
  if (module !== 'shared') expect(model.shared.weight.dataSync()).toEqual(base)
})

it('learn where the prompt stands: in PEFT nothing reads the copy of the encoder’s embedding beside a prompt', () => {
  const model = make()
  applyPrompt(model, { kind: 'prompt', tokens: 2, modulesToSave: ['embed_tokens'] })
  const ids = tensor([[3, 7, 1, 9, 2]], { dtype: 'int32' })
  const { total } = model.loss(ids, { labels: tensor([[4, 3]], { dtype: 'int32' }) })
  total.backward()
  const learned = model.namedParameters().filter(([, { grad }]) => grad !== null && grad !== undefined)
  expect(learned.map(([name]) => name)).toEqual([
    'encoder.embed_tokens.modules_to_save.default.weight',
    'decoder.embed_tokens.modules_to_save.default.weight',
    'prompt_encoder.default.embedding.weight',
  ])
  for (const [, { grad }] of learned) expect(Math.max(...(grad?.dataSync() ?? []))).toBeGreaterThan(0)
})

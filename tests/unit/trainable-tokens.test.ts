/**
 * Tokens whose embeddings learn along with LoRA. Numbers are PEFT 0.21's over transformers 5.24, with waves as weights.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  addWeightedAdapter,
  applyLora,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  setAdapter,
  unmergeLora,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { loadTensors, nn, noGrad, optim, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { gpt2, llama } from '../../lib/models/index.js'
import { fillWithWaves, putWave } from '../waves.js'

const learned = (model: nn.Module) =>
  noGrad(() => {
    for (const [name, weight] of model.namedParameters())
      if (weight.requiresGrad)
        putWave(weight, name.includes('token_adapter') ? 4 : name.includes('lora_A') ? 6 : 7, 0.5)
  })
const makeGpt2 = () => fillWithWaves(gpt2({ vocabSize: 12, layers: 1, width: 8, heads: 2, context: 16, dropout: 0 }))
const makeLlama = () =>
  fillWithWaves(
    llama({
      vocabSize: 12,
      layers: 1,
      width: 8,
      heads: 2,
      keyHeads: 2,
      inner: 10,
      context: 16,
      tieWordEmbeddings: false,
    }),
  )
const ids = tensor(
  [
    [3, 5, 7, 2],
    [4, 6, 8, 9],
  ],
  { dtype: 'int32' },
)
type Model = ReturnType<typeof makeGpt2> | ReturnType<typeof makeLlama>
const last = (model: Model) =>
  noGrad(() => [...((model.forward(ids).narrow(0, 0, 1).narrow(1, -1, 1) as Tensor).dataSync() as Float32Array)])
const near = (found: ArrayLike<number>, expected: readonly number[]) => {
  expect(found.length).toBe(expected.length)
  expected.forEach((value, i) => void expect(found[i], `number ${i}`).toBeCloseTo(value, 6))
}

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'firesteel-tokens-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

const cases = [
  {
    name: 'of GPT-2, whose head shares them',
    make: makeGpt2 as () => Model,
    options: { rank: 2, targetModules: ['c_attn'], trainableTokenIndices: [5, 11, 2] },
    logits: [
      0.142313, 0.2869494, 0.4365645, 0.1827074, -0.01938, -0.1934876, -0.3106518, -0.2690935, -0.1067476, 0.1035139,
      0.2673112, 0.1567094,
    ],
    loss: 2.6318896,
    gradients: { 'transformer.wte': [-0.0604576, 0.015378, 0.06403, 0.0391362] },
  },
  {
    name: 'of Llama and of its own head',
    make: makeLlama as () => Model,
    options: { rank: 2, targetModules: ['q_proj'], trainableTokenIndices: { embed_tokens: [5, 2], lm_head: [7] } },
    logits: [
      0.0202056, 0.0013144, -0.0181669, -0.0294936, -0.0275816, -0.0132891, 0.0069685, -0.0076362, 0.0304108, 0.0230731,
      0.0053786, -0.0147302,
    ],
    loss: 2.4766324,
    gradients: {
      'model.embed_tokens': [-0.0523893, -0.0679035, -0.0237988, 0.0066962],
      lm_head: [-0.0484401, -0.0564938, -0.0191906, 0.0013944],
    },
  },
]

describe.each(cases)('rows $name', ({ make, options, logits, loss, gradients }) => {
  it("give PEFT's logits, loss and gradients, beside it, merged and unmerged", () => {
    const model = make()
    const base = last(model)
    applyLora(model, options)
    near(last(model), base)
    learned(model)
    near(last(model), logits)
    const { total, count } = model.loss(ids)
    const mean = total.div(count as Tensor) as Tensor
    expect(mean.item()).toBeCloseTo(loss, 5)
    mean.backward()
    const named = new Map(model.namedParameters())
    for (const [path, expected] of Object.entries(gradients)) {
      const { grad } = named.get(`${path}.token_adapter.trainable_tokens_delta.default`) as Tensor
      near([...((grad as Tensor).dataSync() as Float32Array)].slice(0, 4), expected)
    }
    expect([...named.keys()].filter((name) => name.includes('token_adapter'))).toHaveLength(
      Object.keys(gradients).length,
    )
    mergeLora(model, { shared: true })
    near(last(model), logits)
    unmergeLora(model)
    near(last(model), logits)
    near(
      withoutAdapters(model, () => last(model)),
      base,
    )
    mergeLora(model, { shared: true })
    removeLora(model)
    near(last(model), logits)
  })

  it('are saved alone, loaded, and learn alone', async () => {
    const model = applyLora(make(), options)
    learned(model)
    await inFolder(async (path) => {
      const lines: string[] = []
      await saveAdapter(model, path, { log: (line) => void lines.push(line) })
      expect(lines.join()).toMatch(/and so are \d+ outputs$/)
      const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
      expect(config).toMatchObject({
        target_modules: options.targetModules,
        trainable_token_indices: options.trainableTokenIndices,
      })
      const tensors = await loadTensors(join(path, 'adapter_model.safetensors'))
      for (const name of Object.keys(gradients))
        expect([...tensors.keys()]).toContain(`base_model.model.${name}.token_adapter.trainable_tokens_delta`)
      const other = make()
      await loadAdapter(other, path)
      near(last(other), logits)
      // It is back in its place, with the rows that optimisers know.
      const rows = other.namedParameters().filter(([name]) => name.includes('token_adapter'))
      await loadAdapter(other, path)
      for (const [name, row] of rows) expect(new Map(other.namedParameters()).get(name)).toBe(row)
      const base = withoutAdapters(other, () => last(other))
      const optimizer = new optim.SGD(other.parameters(), { lr: 0.1 })
      const before = other.loss(ids).total
      before.backward()
      optimizer.step()
      expect(other.loss(ids).total.item()).toBeLessThan(before.item() as number)
      expect(withoutAdapters(other, () => last(other))).toEqual(base)
      await writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...config, trainable_token_indices: [1.5] }))
      await expect(loadAdapter(make(), path)).rejects.toThrow('trainable_token_indices is [1.5], but must be a list')
    })
  })
})

it('rows are in the files of targets that are an expression, without becoming one', async () => {
  const model = applyLora(makeLlama(), { rank: 1, targetModules: 'all-linear', trainableTokenIndices: [0, 11] })
  await inFolder(async (path) => {
    await saveAdapter(model, path, { log: () => undefined })
    const { target_modules: targets } = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
    expect(targets).toHaveLength(7)
    const other = makeLlama()
    await loadAdapter(other, path)
    expect(last(other)).toEqual(last(model))
  })
})

it.each([
  [{ trainableTokenIndices: [] }, 'must be one or more tokens from 0 to 11'],
  [
    { trainableTokenIndices: [12] },
    'trainableTokenIndices are [12] for model.embed_tokens, but must be one or more tokens from 0 to 11',
  ],
  [{ trainableTokenIndices: [-1] }, 'must be one or more tokens from 0 to 11'],
  [{ trainableTokenIndices: [3, 3] }, 'names a token twice'],
  [{ trainableTokenIndices: {} }, 'names no module'],
  [{ trainableTokenIndices: 3 }, 'must be a list of tokens'],
  [{ trainableTokenIndices: { wte: [3] } }, "trainableTokenIndices names ['wte']"],
  [{ trainableTokenIndices: { norm: [3] } }, 'rows are for embeddings and for linear layers'],
  [{ trainableTokenIndices: { embed_tokens: [3], 'model.embed_tokens': [4] } }, "names ['model.embed_tokens'] twice"],
  [
    { trainableTokenIndices: [3], modulesToSave: ['embed_tokens'] },
    'modulesToSave and trainableTokenIndices both name',
  ],
  [{ trainableTokenIndices: { q_proj: [3] } }, 'targetModules and trainableTokenIndices both name'],
] as const)('%j is refused', (options, message) => {
  const model = makeLlama()
  const apply = () => applyLora(model, { rank: 1, targetModules: ['q_proj'], ...(options as object) })
  expect(apply).toThrow(ValueError)
  expect(apply).toThrow(message)
  expect(model.modules().some((each) => each instanceof nn.Adapter)).toBe(false)
})

it('rows are no sum that could be combined', () => {
  const model = applyLora(makeLlama(), { rank: 1, targetModules: ['q_proj'], trainableTokenIndices: [3], name: 'a' })
  expect(() => addWeightedAdapter(model, { adapters: ['a'], weights: [2], name: 'b', combinationType: 'cat' })).toThrow(
    "'a' is not only a sum",
  )
})

it('two adapters with a row for one token are not active together, because only one of the rows could be used', () => {
  const model = new nn.Sequential(new nn.Embedding(4, 1), new nn.Linear(1, 1))
  const rowsOf = (name: string, tokens: number[]) =>
    applyLora(model, { name, rank: 1, targetModules: ['1'], trainableTokenIndices: { 0: tokens } })
  rowsOf('a', [3])
  rowsOf('b', [1, 3])
  rowsOf('c', [2])
  expect(() => setAdapter(model, ['a', 'b'])).toThrow(
    'both have a row for token 3 of 0 (trainableTokenIndices), of which only one can be used',
  )
  setAdapter(model, ['b', 'c'])
  expect(() => setAdapter(model, ['c', 'b', 'a'])).toThrow('have a row for token 3')
})

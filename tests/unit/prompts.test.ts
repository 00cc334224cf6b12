import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  applyLora,
  applyPrompt,
  loadAdapter,
  type PromptOptions,
  removeLora,
  saveAdapter,
  setAdapter,
  withAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { Generator, nn, noGrad, optim, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { gpt2, KvCache, llama } from '../../lib/models/index.js'

const generator = () => new Generator(5)
const makeGpt2 = () =>
  gpt2({ vocabSize: 20, layers: 2, width: 8, heads: 2, context: 16, dropout: 0, generator: generator() }).eval()
const makeLlama = () =>
  llama({
    vocabSize: 20,
    layers: 2,
    width: 8,
    heads: 4,
    keyHeads: 2,
    inner: 12,
    context: 16,
    generator: generator(),
  }).eval()
const ids = tensor([[3, 5, 7, 11]], { dtype: 'int32' })
const values = (of: Tensor) => [...of.dataSync()]
const close = (a: readonly number[], b: readonly number[], bound = 1e-5) => {
  expect(a.length).toBe(b.length)
  a.forEach((value, i) => void expect(Math.abs(value - (b[i] as number))).toBeLessThan(bound))
}
const options = (kind: PromptOptions['kind']): PromptOptions => ({ kind, tokens: 3, generator: generator() })

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

describe.each([
  ['gpt2', makeGpt2],
  ['llama', makeLlama],
] as const)('prompts of %s', (_, make) => {
  it('of embeddings are what tokens with these embeddings give', () => {
    const model = applyPrompt(make(), options('prompt'))
    const prompt = model.adapters.prompt?.table.weight as Tensor
    const logits = noGrad(() => model.forward(ids))
    expect(logits.shape).toEqual([1, 7, 20])
    // The same columns as separate tokens, at the end of a larger vocabulary.
    const other = make()
    other.resizeTokenEmbeddings(23)
    const own = other.inputEmbedding().weight
    noGrad(() => own.narrow(0, 20, 3).copy_(prompt as never))
    const longer = tensor([[20, 21, 22, 3, 5, 7, 11]], { dtype: 'int32' })
    const expected = noGrad(() => other.forward(longer)).narrow(2, 0, 20) as Tensor
    close(values(logits), values(expected))
  })

  it.each(['prompt', 'prefix'] as const)(
    'of kind %s learn alone, and padding before the text changes nothing',
    (kind) => {
      const model = applyPrompt(make(), options(kind))
      expect(
        model
          .namedParameters()
          .filter(([, { requiresGrad }]) => requiresGrad)
          .map(([name]) => name),
      ).toEqual(['prompt_encoder.default.embedding.weight'])
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.5 })
      const losses: number[] = []
      for (let i = 0; i < 4; i++) {
        optimizer.zeroGrad()
        const { total } = model.loss(ids)
        total.backward()
        losses.push(total.item() as number)
        optimizer.step()
      }
      expect(losses[3]).toBeLessThan(losses[0] as number)
      const padded = tensor([[0, 0, 3, 5, 7, 11]], { dtype: 'int32' })
      const attentionMask = tensor([[0, 0, 1, 1, 1, 1]], { dtype: 'int32' })
      const last = (logits: Tensor) => values(logits.narrow(1, -4, 4) as Tensor)
      noGrad(() => close(last(model.forward(padded, { attentionMask })), last(model.forward(ids))))
      noGrad(() => {
        const logProbs = model.tokenLogProbs(ids)
        expect(logProbs.shape).toEqual([1, 4])
        // A prompt lets the model predict the first token too, and a loss counts it.
        const all = model.loss(ids)
        const first = -(all.total.item() as number) - values(logProbs).reduce((sum, each) => sum + each, 0)
        if (kind === 'prefix') expect(Math.abs(first)).toBeLessThan(1e-4)
        else expect(first).toBeLessThan(-0.1)
      })
    },
  )

  it.each(['prompt', 'prefix'] as const)('of kind %s stay in a cache', async (kind) => {
    const model = applyPrompt(make(), options(kind))
    noGrad(() => {
      const whole = values(model.forward(ids).select(1, -1) as Tensor)
      const cache = new KvCache(4)
      model.forward(ids.narrow(1, 0, 2) as never, { cache })
      expect(cache.length).toBe(2)
      model.forward(ids.narrow(1, 2, 1) as never, { cache })
      close(values(model.forward(ids.narrow(1, 3, 1) as never, { cache }).select(1, -1) as Tensor), whole)
      setAdapter(model, [])
      expect(() => model.forward(ids.narrow(1, 3, 1) as never, { cache: cache })).toThrow(ValueError)
      setAdapter(model, 'default')
    })
    const prompts = [[3, 5, 7], [11]]
    const together = await model.generate(prompts, { maxNewTokens: 4, stopTokens: [] })
    for (const [i, prompt] of prompts.entries()) {
      const tokens = [...prompt]
      for (let step = 0; step < 4; step++) {
        const scores = noGrad(() => values(model.forward(tensor([tokens], { dtype: 'int32' })).select(1, -1) as Tensor))
        tokens.push(scores.indexOf(Math.max(...scores)))
      }
      expect(together[i]?.tokens).toEqual(tokens.slice(prompt.length))
    }
  })

  it.each(['prompt', 'prefix'] as const)('of kind %s are switched, saved and removed by name', async (kind) => {
    const model = make()
    const base = values(noGrad(() => model.forward(ids)))
    applyPrompt(model, { ...options(kind), name: 'a' })
    const results = values(noGrad(() => model.forward(ids)))
    applyLora(model, { rank: 1, targetModules: 'all-linear', name: 'b' })
    expect(values(noGrad(() => model.forward(ids)))).toEqual(base)
    expect(values(withAdapter(model, 'a', () => noGrad(() => model.forward(ids))))).toEqual(results)
    expect(values(withoutAdapters(model, () => noGrad(() => model.forward(ids))))).toEqual(base)
    await inFolder(async (path) => {
      await saveAdapter(model, path, { name: 'a', log: () => undefined })
      const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
      expect(config).toMatchObject({
        peft_type: kind === 'prompt' ? 'PROMPT_TUNING' : 'PREFIX_TUNING',
        task_type: 'CAUSAL_LM',
        num_virtual_tokens: 3,
        num_layers: 2,
      })
      const other = make()
      await loadAdapter(other, path)
      expect(values(noGrad(() => other.forward(ids)))).toEqual(results)
      // This also holds while another one is active.
      setAdapter(model, 'a')
      await loadAdapter(model, path, { name: 'c' })
      expect(values(noGrad(() => model.forward(ids)))).toEqual(results)
      applyPrompt(model, { ...options(kind), name: 'd' })
      expect(model.adapters.active).toEqual(['d'])
      expect(() => setAdapter(model, ['a', 'c'])).toThrow(
        "a text can have only one prompt before it, but 'a' and 'c' are chosen",
      )
      setAdapter(model, 'a')
      removeLora(model, { name: 'a' })
      expect(values(noGrad(() => model.forward(ids)))).toEqual(base)
      for (const [change, message] of [
        [{ task_type: 'SEQ_CLS' }, 'the prompt is for models that are an encoder, but this one is a decoder'],
        [{ task_type: 'TOKEN_CLS' }, 'task_type is "TOKEN_CLS", but must be one of "CAUSAL_LM"'],
        [{ num_virtual_tokens: 0 }, 'num_virtual_tokens is 0, but must be a positive integer'],
        [{ modules_to_save: true }, 'modules_to_save is true, but must be a list of names, or null'],
        [{ num_transformer_submodules: 2 }, 'num_transformer_submodules is 2, but must be 1'],
      ] as const) {
        await writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...config, ...change }))
        await expect(loadAdapter(make(), path)).rejects.toThrow(message)
      }
    })
  })
})

describe('a prompt is refused', () => {
  it('by models that take none, and with options that say nothing', () => {
    expect(() => applyPrompt(new nn.Linear(2, 2), options('prompt'))).toThrow('Linear takes no prompts')
    const model = makeGpt2()
    expect(() => applyPrompt(model, { kind: 'p' as never, tokens: 1 })).toThrow(
      "kind is 'p', but must be one of prompt, prefix",
    )
    expect(() => applyPrompt(model, { kind: 'prompt', tokens: 0 })).toThrow(
      'tokens is 0, but must be a positive integer',
    )
    expect(() => applyPrompt(model, { kind: 'prompt', tokens: 1, rank: 2 } as never)).toThrow(ValueError)
  })

  it('where its columns leave the text no positions', async () => {
    const model = applyPrompt(makeGpt2(), { kind: 'prefix', tokens: 13 })
    expect(noGrad(() => model.forward(ids.narrow(1, 0, 3) as never)).shape).toEqual([1, 3, 20])
    expect(() => model.forward(ids)).toThrow('there are 17 columns, but the model has 16 positions')
    await expect(model.generate([3, 5], { maxNewTokens: 3 })).rejects.toThrow('has 16 positions')
    expect(await model.generate([3, 5], { maxNewTokens: 2, stopTokens: [] })).toHaveLength(1)
  })
})

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applyIa3, applyLora, type LoraAdapter, loadAdapter, mergeLora, saveAdapter } from '../../lib/finetune/index.js'
import { Generator, manualSeed, nn, noGrad, tensor, ValueError, zeros } from '../../lib/index.js'
import { gpt2 } from '../../lib/models/index.js'

const make = () => gpt2({ vocabSize: 20, layers: 1, width: 8, heads: 2, context: 16, generator: new Generator(5) })
const ids = tensor([[3, 5, 7]], { dtype: 'int32' })

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

async function lineOf(model: nn.Module, path: string, name = 'default'): Promise<string> {
  const lines: string[] = []
  await saveAdapter(model, path, { name, log: (line) => void lines.push(line) })
  expect(lines).toHaveLength(1)
  return lines[0] as string
}

describe('a saved adapter', () => {
  it('is read again, and gives the same outputs, which a line says', () =>
    inFolder(async (path) => {
      const model = applyLora(make(), { rank: 2, targetModules: 'all-linear', bias: 'lora_only', dropout: 0.5 })
      const names = model.namedParameters().map(([name]) => name)
      const line = await lineOf(model, path)
      // Two rows have eight tokens each, and their scores are 20 numbers.
      expect(line).toMatch(
        /^saved .*: \d+ tensors, read again and proved: they are equal bit for bit, and so are 320 outputs$/,
      )
      // Nothing of the proof remains.
      expect(model.namedParameters().map(([name]) => name)).toEqual(names)
      expect(model.training).toBe(true)
    }))

  it('of a model that learns on meanwhile, or is merged, is proved by its numbers', () =>
    inFolder(async (path) => {
      const model = applyIa3(make().eval(), { targetModules: ['c_attn'] })
      const before = [...noGrad(() => model.forward(ids)).dataSync()]
      const saving = lineOf(model, path)
      noGrad(() => {
        for (const parameter of model.parameters()) if (parameter.requiresGrad) parameter.fill_(3)
      })
      expect(await saving).toMatch(/proved: they are equal bit for bit$/)
      const other = make().eval()
      await loadAdapter(other, path)
      expect([...noGrad(() => other.forward(ids)).dataSync()]).toEqual(before)
      mergeLora(model)
      expect(await lineOf(model, path)).toMatch(/proved: they are equal bit for bit$/)
    }))

  it('is refused where what is read gives other outputs', () =>
    inFolder(async (path) => {
      const model = applyLora(make(), { rank: 1, targetModules: ['c_attn'] })
      const [layer] = model
        .modules()
        .filter((module) => module instanceof nn.Adaptable && module.adapters.names.length > 0)
      const adapter = (layer as nn.Adaptable).adapters.get('default') as LoraAdapter
      noGrad(() => adapter.factors[1].fill_(1))
      // The config says alpha 1, which a program has changed silently.
      adapter.configure(7, 0)
      await expect(saveAdapter(model, path, { log: () => undefined })).rejects.toThrow(ValueError)
      await expect(saveAdapter(model, path, { log: () => undefined })).rejects.toThrow(
        "gives other outputs than 'default'",
      )
    }))

  it('draws no random numbers, and several saves to one folder take turns', () =>
    inFolder(async (path) => {
      const model = applyLora(make(), { rank: 2, targetModules: ['c_fc'] })
      applyLora(model, { rank: 1, targetModules: ['c_proj'], name: 'b' })
      const draw = () => [...nn.init.normal_(zeros([3])).dataSync()]
      manualSeed(1)
      const expected = draw()
      manualSeed(1)
      const lines = await Promise.all([lineOf(model, path), lineOf(model, path, 'b'), lineOf(model, path)])
      for (const line of lines) expect(line).toMatch(/outputs$/)
      expect(draw()).toEqual(expected)
      const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
      expect(config.target_modules).toEqual(['c_fc'])
    }))
})

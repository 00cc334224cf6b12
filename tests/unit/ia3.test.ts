import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  applyIa3,
  type Ia3Adapter,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  unmergeLora,
} from '../../lib/finetune/index.js'
import { Generator, nn, noGrad, type Tensor, tensor, ValueError } from '../../lib/index.js'

const generator = () => new Generator(3)
const make = () =>
  new nn.Sequential(new nn.Linear(3, 4, { generator: generator() }), new nn.Linear(4, 2, { generator: generator() }))
const x = tensor([[1, -2, 0.5]])
const values = (of: Tensor) => [...of.dataSync()]
const close = (a: readonly number[], b: readonly number[]) =>
  a.forEach((value, i) => void expect(Math.abs(value - (b[i] as number))).toBeLessThan(1e-5))
const layer = (model: nn.Sequential, i: number) => model.at(i) as unknown as nn.Linear
const factors = (model: nn.Sequential, i: number) => (layer(model, i).adapters.get('default') as Ia3Adapter).ia3L

describe('IA3', () => {
  it('multiplies outputs with their bias, and inputs of feed-forward layers', () => {
    const model = applyIa3(make(), { targetModules: ['0', '1'], feedforwardModules: ['1'] })
    close(values(model.forward(x)), values(make().forward(x)))
    expect([factors(model, 0).shape, factors(model, 1).shape]).toEqual([
      [4, 1],
      [1, 4],
    ])
    noGrad(() => {
      factors(model, 0).copy_(tensor([[1], [2], [3], [0]]) as never)
      factors(model, 1).copy_(tensor([[0.5, 1, -1, 2]]) as never)
    })
    const plain = make()
    const [inner, outer] = [layer(plain, 0), layer(plain, 1)]
    const between = inner
      .forward(x)
      .mul(tensor([1, 2, 3, 0]))
      .mul(tensor([0.5, 1, -1, 2])) as Tensor
    close(values(model.forward(x)), values(outer.forward(between as never) as Tensor))
  })

  it('merges, and unmerges to the bit, though a factor is 0', () => {
    const model = applyIa3(make(), { targetModules: ['0', '1'], feedforwardModules: '1' })
    noGrad(() => factors(model, 0).copy_(tensor([[1], [2], [3], [0]]) as never))
    const [before, weight] = [values(model.forward(x)), values(layer(model, 0).weight)]
    mergeLora(model)
    close(values(model.forward(x)), before)
    expect(values(layer(model, 0).weight)).not.toEqual(weight)
    unmergeLora(model)
    expect(values(layer(model, 0).weight)).toEqual(weight)
    expect(values(model.forward(x))).toEqual(before)
    mergeLora(model)
    removeLora(model)
    close(values(model.forward(x)), before)
  })

  it('of convolutions has a factor for each channel', () => {
    const image = tensor(Array.from({ length: 32 }, (_, i) => Math.cos(i))).reshape([1, 2, 4, 4]) as Tensor
    for (const feedforwardModules of [[], ['0']]) {
      const model = applyIa3(new nn.Sequential(new nn.Conv2d(2, 3, 3, { generator: generator() }) as nn.Layer), {
        targetModules: ['0'],
        feedforwardModules,
      })
      const adapter = (model.at(0) as unknown as nn.Conv2d).adapters.get('default') as Ia3Adapter
      noGrad(() => adapter.ia3L.fill_(2))
      const before = values(model.forward(image))
      mergeLora(model)
      close(values(model.forward(image)), before)
    }
    const grouped = applyIa3(new nn.Sequential(new nn.Conv2d(2, 2, 3, { groups: 2 }) as nn.Layer), {
      targetModules: ['0'],
      feedforwardModules: ['0'],
    })
    expect(() => mergeLora(grouped)).toThrow('it is a convolution of 2 groups, each of which sees other inputs')
  })

  it('is in files under PEFT’s names', async () => {
    const model = applyIa3(make(), { targetModules: ['0', '1'], feedforwardModules: ['1'], modulesToSave: [] })
    noGrad(() => factors(model, 1).fill_(3))
    const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
    try {
      await saveAdapter(model, path)
      const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
      expect(config).toMatchObject({ peft_type: 'IA3', target_modules: ['0', '1'], feedforward_modules: ['1'] })
      const other = make()
      await loadAdapter(other, path)
      expect(values(other.forward(x))).toEqual(values(model.forward(x)))
    } finally {
      await rm(path, { recursive: true })
    }
  })

  it('is refused what cannot be', () => {
    const table = new nn.Sequential(new nn.Embedding(3, 2) as nn.Layer)
    expect(() => applyIa3(table, { targetModules: ['0'] })).toThrow(
      "IA3 adapts linear layers and convolutions, but targetModules has ['0']",
    )
    expect(() => applyIa3(make(), { targetModules: ['0'], feedforwardModules: ['1'] })).toThrow(ValueError)
    expect(() => applyIa3(make(), { targetModules: ['0'], feedforwardModules: ['1'] })).toThrow(
      "feedforwardModules is ['1'], but names none of the layers ['0']",
    )
    expect(() => applyIa3(make(), { targetModules: ['0'], rank: 2 } as never)).toThrow(ValueError)
  })
})

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  addWeightedAdapter,
  applyLora,
  type CombineOptions,
  LoraAdapter,
  loadAdapter,
  mergeLora,
  saveAdapter,
  unmergeLora,
  withAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { Generator, nn, noGrad, optim, sum, type Tensor, tensor, ValueError } from '../../lib/index.js'

const generator = (seed = 7) => new Generator(seed)
const make = () =>
  new nn.Sequential(new nn.Linear(5, 4, { generator: generator(1) }), new nn.Linear(4, 3, { generator: generator(2) }))
const x = tensor([
  [1, -2, 0.5, 3, 0],
  [0, 3, -1, 1, 2],
])
const values = (of: Tensor) => [...of.dataSync()]
const close = (a: readonly number[], b: readonly number[], bound = 1e-5) =>
  a.forEach((value, i) => void expect(Math.abs(value - (b[i] as number))).toBeLessThan(bound))
const weight = (model: nn.Sequential, i: number) => (model.at(i) as unknown as nn.Linear).weight
const adapter = (model: nn.Sequential, i: number, name = 'default') =>
  (model.at(i) as unknown as nn.Linear).adapters.get(name) as LoraAdapter

function shake(model: nn.Module, seed: number): void {
  noGrad(() => {
    for (const module of model.modules())
      if (module instanceof LoraAdapter && module.adapterName === `a${seed}`)
        for (const factor of module.factors) nn.init.normal_(factor, 0, 1, { generator: generator(seed) })
  })
}

/** A model with an adapter of rank 2 on both layers, and one of rank 1 on the first. */
function two(ranks: readonly [number, number] = [2, 1]): nn.Sequential {
  const model = make()
  applyLora(model, { rank: ranks[0], alpha: 4, targetModules: ['0', '1'], name: 'a1' })
  applyLora(model, { rank: ranks[1], alpha: 3, targetModules: ['0'], name: 'a2' })
  for (const seed of [1, 2]) shake(model, seed)
  return model
}
const combine = (model: nn.Sequential, options: Partial<CombineOptions> = {}) =>
  addWeightedAdapter(model, {
    adapters: ['a1', 'a2'],
    weights: [0.5, -2],
    name: 'sum',
    combinationType: 'cat',
    ...options,
  })

describe('an adapter of others', () => {
  it('by cat is their weighted sum', async () => {
    const model = combine(two())
    const wanted = adapter(model, 0, 'a1')
      .delta()
      .mul(0.5)
      .add(adapter(model, 0, 'a2').delta().mul(-2) as Tensor) as Tensor
    close(values(adapter(model, 0, 'sum').delta()), values(wanted))
    close(values(adapter(model, 1, 'sum').delta()), values(adapter(model, 1, 'a1').delta().mul(0.5) as Tensor))
    expect([adapter(model, 0, 'sum').rank, adapter(model, 1, 'sum').rank]).toEqual([3, 2])
    const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
    try {
      await saveAdapter(model, path, { name: 'sum' })
      const other = make()
      await loadAdapter(other, path)
      close(values(other.forward(x)), values(model.forward(x)))
    } finally {
      await rm(path, { recursive: true })
    }
  })

  it('by svd is the best of its rank', () => {
    const whole = combine(two(), { combinationType: 'svd', svdRank: 3 })
    close(values(adapter(whole, 0, 'sum').delta()), values(adapter(combine(two()), 0, 'sum').delta()))
    const model = combine(two(), { combinationType: 'svd', svdRank: 1 })
    const delta = values(adapter(whole, 0, 'sum').delta())
    const error = (of: readonly number[]) =>
      of.reduce((total, value, i) => total + (value - (delta[i] as number)) ** 2, 0)
    const best = values(adapter(model, 0, 'sum').delta())
    const least = error(best)
    expect(least).toBeGreaterThan(0.01)
    // Any other factors of the same product are worse.
    for (const factor of [0.99, 1.01]) expect(error(best.map((value) => value * factor))).toBeGreaterThan(least)
    expect(adapter(combine(two(), { combinationType: 'svd' }), 0, 'sum').rank).toBe(2)
  })

  it('by linear has sums of factors', () => {
    const model = combine(two([2, 2]), { combinationType: 'linear' })
    const [one, other] = [adapter(model, 0, 'a1'), adapter(model, 0, 'a2')]
    // 0.5 * 4 / 2 is 1, and -2 * 3 / 2 is -3, whose sign goes to A.
    const a = one.factors[0].add(other.factors[0].mul(-Math.sqrt(3)) as Tensor) as Tensor
    const b = one.factors[1].add(other.factors[1].mul(Math.sqrt(3)) as Tensor) as Tensor
    close(values(adapter(model, 0, 'sum').factors[0]), values(a))
    close(values(adapter(model, 0, 'sum').factors[1]), values(b))
  })

  it.each([
    [{ adapters: ['a1', 'b'] }, "the model has no adapter ['b']; there are ['a1', 'a2']"],
    [{ weights: [1] }, 'weights are [1], but must be numbers, one for each of'],
    [{ weights: [1, Number.NaN] }, 'but must be numbers, one for each of'],
    [{ combinationType: 'ties' as never }, "combinationType is 'ties', but must be one of linear, cat, svd"],
    [
      { combinationType: 'linear' },
      "the adapters have the ranks 2 and 1 in 0, but 'linear' needs a common rank; use 'cat'",
    ],
    [{ svdRank: 2 }, "svdRank is 2, but must be a positive integer, and applies only to 'svd'"],
    [{ combinationType: 'svd', svdRank: 0 }, 'svdRank is 0, but must be a positive integer'],
    [{ name: 'a1' }, "already has an adapter 'a1'"],
  ] satisfies [Partial<CombineOptions>, string][])('is refused: %j', (options, message) => {
    const model = two()
    expect(() => combine(model, options)).toThrow(ValueError)
    expect(() => combine(model, options)).toThrow(message)
    const dora = applyLora(two(), { rank: 1, targetModules: ['0'], name: 'd', dora: true })
    expect(() => combine(dora, { adapters: ['a1', 'd'] })).toThrow("'d' is not only a sum of factors")
  })
})

describe('PiSSA', () => {
  const apply = (options = {}) =>
    applyLora(make(), { rank: 2, alpha: 3, targetModules: ['0', '1'], init: 'pissa', ...options })

  it('changes neither results nor weights before training, and then learns beside the weights', () => {
    const model = apply()
    const before = values(make().forward(x))
    close(values(model.forward(x)), before)
    expect(values(weight(model, 0))).toEqual(values(weight(make(), 0)))
    // The factors hold the largest part of the weight.
    const rest = weight(model, 0).sub(adapter(model, 0).residue() as Tensor) as Tensor
    const norm = (of: Tensor) => values(of).reduce((total, value) => total + value * value, 0)
    expect(norm(rest)).toBeLessThan(0.5 * norm(weight(model, 0)))
    close(values(adapter(model, 0).delta()), new Array(20).fill(0))
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 })
    const loss = () => sum(model.forward(x).mul(model.forward(x)) as Tensor)
    const first = loss().item() as number
    loss().backward()
    optimizer.step()
    expect(loss().item()).toBeLessThan(first)
    close(values(withoutAdapters(model, () => model.forward(x))), before)
    const learned = values(model.forward(x))
    mergeLora(model)
    close(values(model.forward(x)), learned)
    unmergeLora(model)
    close(values(weight(model, 0)), values(weight(make(), 0)), 1e-6)
  })

  it('is saved as PEFT has it, and read beside the same weights', async () => {
    const model = apply({ name: 'a1', dora: true })
    shake(model, 1)
    const results = values(model.forward(x))
    const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
    try {
      await saveAdapter(model, path)
      expect(JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8')).init_lora_weights).toBe('pissa')
      await loadAdapter(model, path, { name: 'other' })
      close(values(withAdapter(model, 'other', () => model.forward(x))), results)
    } finally {
      await rm(path, { recursive: true })
    }
  })

  it('is refused where there are no such values', () => {
    expect(() => apply({ init: 'corda' as never })).toThrow(
      "init is 'corda', but must be one of pissa, olora, or left out",
    )
    const table = new nn.Sequential(new nn.Embedding(3, 2) as nn.Layer)
    expect(() => applyLora(table, { rank: 1, targetModules: ['0'], init: 'pissa' })).toThrow(
      "init 'pissa' is for linear layers",
    )
  })

  it('leaves embeddings beside linear layers as they begin without it, as in PEFT', () => {
    const model = new nn.Sequential(new nn.Embedding(5, 4) as nn.Layer, new nn.Linear(4, 3))
    applyLora(model, { rank: 2, targetModules: ['0', '1'], init: 'pissa' })
    const [table, layer] = [model.at(0), model.at(1)] as unknown as [nn.Embedding, nn.Linear]
    const begun = [table, layer].map(({ adapters }) => (adapters.get('default') as LoraAdapter).residue() !== null)
    expect(begun).toEqual([false, true])
  })
})

describe('OLoRA', () => {
  const wave = (count: number, seed: number, scale: number) =>
    Array.from({ length: count }, (_, i) => scale * Math.sin(0.7 * i + seed))
  const base = () => {
    const model = new nn.Sequential(new nn.Linear(6, 5), new nn.Linear(5, 4))
    noGrad(() => {
      let seed = 0
      for (const parameter of model.parameters()) {
        const numbers = wave(parameter.numel, seed++, 0.5).map((each, i) => each + 0.3 * Math.cos(1.9 * i ** 1.3))
        parameter.copy_(tensor(numbers).reshape(parameter.shape) as never)
      }
    })
    return model
  }
  const input = tensor(wave(12, 9, 1)).reshape([2, 6]) as Tensor
  const options = { rank: 2, alpha: 3, targetModules: ['0', '1'], init: 'olora' } as const
  /** Gives the factors the numbers that they had in PEFT. */
  const wander = (model: nn.Sequential) =>
    noGrad(() => {
      let seed = 20
      for (const i of [0, 1])
        for (const factor of adapter(model, i).factors)
          factor.copy_(tensor(wave(factor.numel, seed++, 0.4)).reshape(factor.shape) as never)
    })

  it('begins as directions of the weight, and changes nothing before training', () => {
    const model = applyLora(base(), options)
    close(values(model.forward(input as never)), values(base().forward(input as never)), 1e-6)
    const [a, b] = adapter(model, 0).factors
    // These are PEFT's up to the signs of directions, which decompositions choose freely.
    const expected = [0.611, 0.6225, 0.6679, 0.1813, 0.3324, 0.8459, 0, 0.5207, 0.7757, 0.5205, 0.048, 0.2001]
    close(values(a).map(Math.abs), expected, 1e-4)
    close(values(b.transpose(0, 1).matmul(b)), [1, 0, 0, 1], 1e-6)
    close(values(adapter(model, 0).delta()), new Array(30).fill(0), 1e-6)
  })

  it('gives what PEFT gives, of a file of either', async () => {
    const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
    const expected = [
      0.04584739, 0.23936692, -0.18108121, -0.15553309, -0.20923212, 0.73214412, -0.20070128, -0.39920604,
    ]
    try {
      const model = applyLora(base(), options)
      await saveAdapter(model, path)
      const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8')) as object
      expect(config).toMatchObject({ init_lora_weights: 'olora' })
      wander(model)
      close(values(model.forward(input as never)), expected, 1e-5)
      await saveAdapter(model, path)
      await writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...config, init_lora_weights: 'OLoRA' }))
      const other = base()
      await loadAdapter(other, path)
      close(values(other.forward(input as never)), expected, 1e-5)
      // Without the part that was subtracted from the weights, it would be another adapter.
      await writeFile(join(path, 'adapter_config.json'), JSON.stringify({ ...config, init_lora_weights: true }))
      await expect(loadAdapter(base(), path)).rejects.toThrow("the config's settings were edited")
    } finally {
      await rm(path, { recursive: true })
    }
  })

  it('takes weights that lack directions', () => {
    const model = base()
    noGrad(() => weight(model, 0).fill_(0))
    applyLora(model, options)
    close(values(adapter(model, 0).delta()), new Array(30).fill(0))
  })

  it.each([
    [
      'pissa',
      false,
      [0.38827771, -0.36130801, -0.50485349, -0.44934967, 0.38816926, -0.36121321, -0.5049237, -0.44931212],
    ],
    [
      'pissa',
      true,
      [0.42029893, -0.35854316, -0.54208487, -0.3819539, 0.41943148, -0.35778469, -0.54264665, -0.3816537],
    ],
    [
      'olora',
      false,
      [0.78677434, -0.42940664, -0.17975441, -0.40258217, 1.0084753, -1.19327104, -0.239031, -0.43256524],
    ],
    [
      'olora',
      true,
      [0.37938699, -0.33221054, -0.55780077, -0.40837696, 0.37897331, -0.33693939, -0.56133741, -0.40552035],
    ],
  ] as const)(
    'and %s give layers narrower than the rank what PEFT gives (rankStabilized %s)',
    async (init, rankStabilized, expected) => {
      const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
      try {
        const model = applyLora(base(), { ...options, init, rank: 8, rankStabilized })
        close(values(model.forward(input as never)), values(base().forward(input as never)), 1e-5)
        expect([0, 1].map((i) => adapter(model, i).factors[0].shape)).toEqual([
          [5, 6],
          [4, 5],
        ])
        wander(model)
        close(values(model.forward(input as never)), expected, 1e-5)
        await saveAdapter(model, path)
        const other = base()
        await loadAdapter(other, path)
        close(values(other.forward(input as never)), expected, 1e-5)
      } finally {
        await rm(path, { recursive: true })
      }
    },
  )
})

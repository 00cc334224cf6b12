import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  applyLora,
  LoraAdapter,
  type LoraOptions,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  setAdapter,
  unmergeLora,
  withAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { Generator, nn, noGrad, optim, sum, type Tensor, tensor, ValueError } from '../../lib/index.js'

const generator = () => new Generator(7)
const x = tensor([
  [1, -2, 0.5],
  [0, 3, -1],
])
const values = (of: Tensor) => [...of.dataSync()]
const close = (a: readonly number[], b: readonly number[]) =>
  a.forEach((value, i) => void expect(Math.abs(value - (b[i] as number))).toBeLessThan(1e-5))

class Block extends nn.Module {
  readonly q = new nn.Linear(3, 3, { generator: generator() })
  readonly v = new nn.Linear(3, 3, { generator: generator() })

  forward(input: Tensor): Tensor {
    return this.q.forward(this.v.forward(input))
  }
}

class Net extends nn.Module {
  readonly inner = new nn.ModuleList([new Block(), new Block(), new Block()])
  readonly head = new nn.Linear(3, 2, { generator: generator() })

  forward(input: Tensor): Tensor {
    let y = input
    for (const block of this.inner) y = block.forward(y)
    return this.head.forward(y)
  }
}

/** Paths of the layers that are adapted. */
const adapted = (model: nn.Module) =>
  model
    .namedModules()
    .filter(([, module]) => module instanceof nn.Adaptable && module.adapters.names.length > 0)
    .map(([path]) => path)
const chosen = (options: Partial<LoraOptions>) =>
  adapted(applyLora(new Net(), { rank: 1, targetModules: ['q', 'v'], ...options }))

/** Moves an adapter's parameters away from their initial values. */
function shake(model: nn.Module): void {
  noGrad(() => {
    let at = 0
    for (const module of model.modules())
      if (module instanceof LoraAdapter)
        for (const parameter of module.parameters())
          parameter.copy_(parameter.add(tensor([0.3 - 0.1 * (at++ % 5)])) as Tensor)
  })
}

async function inFolder(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'firesteel-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

describe('layers are chosen', () => {
  it('without those that are excluded, by name and by expression', () => {
    expect(chosen({ excludeModules: ['v'] })).toEqual(['inner.0.q', 'inner.1.q', 'inner.2.q'])
    expect(chosen({ targetModules: 'all-linear', excludeModules: ['inner.1.q', 'v'] })).toEqual([
      'inner.0.q',
      'inner.2.q',
      'head',
    ])
    // The whole path must match.
    expect(chosen({ excludeModules: 'v' })).toHaveLength(6)
    expect(chosen({ excludeModules: '.*v' })).toHaveLength(3)
    expect(() => chosen({ excludeModules: ['q', 'v'] })).toThrow(ValueError)
    expect(() => chosen({ excludeModules: ['q', 'v'] })).toThrow('is left by excludeModules; choose others')
  })

  it('in some blocks', () => {
    const named = { layersPattern: 'inner' }
    expect(chosen({ layersToTransform: 1, ...named })).toEqual(['inner.1.q', 'inner.1.v'])
    expect(chosen({ layersToTransform: [0, 2], layersPattern: ['h', 'inner'], targetModules: ['q'] })).toEqual([
      'inner.0.q',
      'inner.2.q',
    ])
    // A path is taken as it is, whatever its block, as in PEFT.
    expect(chosen({ layersToTransform: 1, ...named, targetModules: ['q', 'inner.2.v'] })).toEqual([
      'inner.1.q',
      'inner.2.v',
    ])
    expect(() => chosen({ layersToTransform: 3, ...named })).toThrow('is left by excludeModules, layersToTransform')
    expect(() => chosen({ layersToTransform: 1, layersPattern: 'h' })).toThrow(ValueError)
    // Without a name of the list PEFT needs some name before the number.
    expect(() => chosen({ layersToTransform: 1 })).toThrow(ValueError)
    class Outer extends nn.Module {
      readonly model = new Net()

      forward(input: Tensor): Tensor {
        return this.model.forward(input)
      }
    }
    const outer = applyLora(new Outer(), { rank: 1, targetModules: ['q'], layersToTransform: 1 })
    expect(adapted(outer)).toEqual(['model.inner.1.q'])
  })

  it.each([
    [{ layersPattern: 'inner' }, "layersPattern is 'inner', but layersToTransform is missing"],
    [{ layersToTransform: -1 }, 'layersToTransform is -1, but must be the number of a block'],
    [{ layersToTransform: [] }, 'layersToTransform is [], but must be the number of a block'],
    [{ layersToTransform: 0, targetModules: '.*q' }, "goes with a list of names, but targetModules is '.*q'"],
    [{ layersToTransform: 0, layersPattern: '(' }, 'layersPattern "(" is not a supported regular expression'],
    [{ excludeModules: 3 as never }, 'excludeModules is 3, but must be a list of names'],
    [{ bias: 'some' as never }, "bias is 'some', but must be one of none, all, lora_only"],
    [{ dora: true, loraBias: true }, 'DoRA has no separate bias'],
    [{ dora: 1 as never }, 'dora is 1, but must be'],
  ] satisfies [Partial<LoraOptions>, string][])('or refused: %j', (options, message) => {
    expect(() => chosen(options)).toThrow(ValueError)
    expect(() => chosen(options)).toThrow(message)
  })
})

describe('DoRA', () => {
  it('begins as the layer, and gives magnitude times direction', () => {
    const model = new Net()
    const before = values(model.forward(x))
    applyLora(model, { rank: 2, targetModules: ['q'], dora: true })
    close(values(model.forward(x)), before)
    shake(model)
    const { q } = model.inner.at(0) as Block
    const adapter = q.adapters.get('default') as LoraAdapter
    const moved = q.weight.add(adapter.delta()) as Tensor
    const norms = moved.mul(moved).sum(1, { keepdim: true }).sqrt() as Tensor
    const magnitude = adapter.loraMagnitudeVector?.weight.reshape([3, 1]) as Tensor
    const weight = moved.mul(magnitude.div(norms) as Tensor) as Tensor
    const expected = x.matmul(weight.transpose(0, 1)).add(q.bias as Tensor) as Tensor
    close(values(q.forward(x)), values(expected))
  })

  it('merges, and unmerges to the bit', () => {
    const model = applyLora(new Net(), { rank: 2, targetModules: ['q', 'head'], dora: true }).eval()
    shake(model)
    const [before, base] = [values(model.forward(x)), values(model.head.weight)]
    mergeLora(model)
    expect(values(model.head.weight)).not.toEqual(base)
    close(values(model.forward(x)), before)
    unmergeLora(model)
    expect(values(model.head.weight)).toEqual(base)
    expect(values(model.forward(x))).toEqual(before)
    applyLora(model, { rank: 1, targetModules: ['head'], name: 'sum' })
    setAdapter(model, ['default', 'sum'])
    expect(() => mergeLora(model)).toThrow(/head has the adapter \['sum'\] too, beside which 'default' is not a sum/)
    expect(() => mergeLora(model, { name: 'sum' })).toThrow(
      /head has the adapter \['default'\] too, which may not be a sum/,
    )
    setAdapter(model, 'default')
    mergeLora(model)
    removeLora(model, { name: 'default' })
    close(values(withoutAdapters(model, () => model.forward(x))), before)
  })

  it('of a dropped input differs from the layer by what the input differs', () => {
    const model = applyLora(new nn.Sequential(new nn.Linear(3, 3, { generator: generator() })), {
      rank: 2,
      targetModules: ['0'],
      dora: true,
      dropout: 0.5,
      generator: new Generator(3),
    })
    shake(model)
    const layer = model.at(0) as unknown as nn.Linear
    const adapter = layer.adapters.get('default') as LoraAdapter
    const seen: Tensor[] = []
    adapter.dropout.registerForwardHook((_, _x, y) => void seen.push(y as Tensor))
    const got = values(model.forward(x))
    const dropped = seen[0] as Tensor
    expect(values(dropped)).toContain(0)
    model.eval()
    const plain = (of: Tensor) => withoutAdapters(model, () => model.forward(of)) as Tensor
    const added = (model.forward(dropped) as Tensor).sub(plain(dropped)) as Tensor
    close(got, values(plain(x).add(added) as Tensor))
  })

  it('learns, is saved under PEFT’s names, and is switched by name', async () => {
    const model = applyLora(new Net(), { rank: 2, targetModules: ['q'], dora: true, name: 'a' })
    const loss = () => sum(model.forward(x).mul(model.forward(x)) as Tensor)
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 })
    const first = loss().item()
    for (let i = 0; i < 3; i++) {
      optimizer.zeroGrad()
      loss().backward()
      optimizer.step()
    }
    expect(loss().item()).toBeLessThan(first as number)
    const names = model.namedParameters().map(([name]) => name)
    expect(names).toContain('inner.0.q.lora_magnitude_vector.a.weight')
    const results = values(model.forward(x))
    await inFolder(async (path) => {
      await saveAdapter(model, path)
      const config = JSON.parse(await readFile(join(path, 'adapter_config.json'), 'utf8'))
      expect(config).toMatchObject({ use_dora: true, target_modules: ['q'] })
      await loadAdapter(model, path, { name: 'b' })
    })
    expect(values(withAdapter(model, 'b', () => model.forward(x)))).toEqual(results)
    expect(values(withoutAdapters(model, () => model.forward(x)))).toEqual(values(new Net().forward(x)))
  })

  it('of a convolution has a norm for each channel', () => {
    const conv = new nn.Conv2d(2, 3, 3, { padding: 1, generator: generator() })
    const model = new nn.Sequential(conv as nn.Layer)
    const image = tensor(Array.from({ length: 32 }, (_, i) => Math.sin(i))).reshape([1, 2, 4, 4]) as Tensor
    const before = values(model.forward(image))
    applyLora(model, { rank: 1, targetModules: ['0'], dora: true })
    close(values(model.forward(image)), before)
    shake(model)
    const adapter = conv.adapters.get('default') as LoraAdapter
    expect(adapter.loraMagnitudeVector?.weight.shape).toEqual([1, 3, 1, 1])
    const results = values(model.forward(image))
    close(values(conv.forward(image.reshape([2, 4, 4]) as never) as Tensor), results)
    mergeLora(model)
    close(values(model.forward(image)), results)
    const grouped = new nn.Sequential(new nn.Conv2d(2, 2, 3, { groups: 2 }) as nn.Layer)
    expect(() => applyLora(grouped, { rank: 2, targetModules: ['0'], dora: true })).toThrow('convolutions with groups')
  })
})

describe('biases', () => {
  it('of the second factor are scaled, merged and taken out', () => {
    const model = applyLora(new Net(), { rank: 2, alpha: 4, targetModules: ['head'], loraBias: true })
    const adapter = model.head.adapters.get('default') as LoraAdapter
    const before = values(model.forward(x))
    noGrad(() => adapter.factorBias?.fill_(1))
    const results = values(model.forward(x))
    close(
      results,
      before.map((value) => value + 2),
    )
    mergeLora(model)
    close(values(model.forward(x)), results)
    unmergeLora(model)
    close(values(model.forward(x)), results)
    const bare = applyLora(new nn.Sequential(new nn.Linear(3, 2, { bias: false })), {
      targetModules: ['0'],
      loraBias: true,
    })
    expect(() => mergeLora(bare)).toThrow('the adapter has a bias, and the layer none to add it to')
    const table = new nn.Sequential(new nn.Embedding(3, 2) as nn.Layer)
    expect(() => applyLora(table, { targetModules: ['0'], loraBias: true })).toThrow('loraBias is not for embeddings')
  })

  it.each([
    ['lora_only', ['inner.0.q', 'inner.1.q', 'inner.2.q']],
    ['all', ['inner.0.q', 'inner.0.v', 'inner.1.q', 'inner.1.v', 'inner.2.q', 'inner.2.v', 'head']],
  ] as const)('of the model learn with the adapter: %s', async (bias, paths) => {
    const model = applyLora(new Net(), { rank: 1, targetModules: ['q'], bias })
    sum(model.forward(x) as Tensor).backward()
    const learned = model
      .namedParameters()
      .filter(([name, { grad }]) => grad !== null && name.endsWith('bias'))
      .map(([name]) => name)
    expect(learned).toEqual(paths.map((path) => `${path}.modules_to_save.default.bias`))
    const base = values(withoutAdapters(model, () => model.forward(x)))
    noGrad(() => {
      for (const [name, parameter] of model.namedParameters()) if (learned.includes(name)) parameter.fill_(0.5)
    })
    const results = values(model.forward(x))
    expect(results).not.toEqual(base)
    expect(values(withoutAdapters(model, () => model.forward(x)))).toEqual(base)
    await inFolder(async (path) => {
      await saveAdapter(model, path)
      const other = new Net()
      await loadAdapter(other, path)
      expect(values(other.forward(x))).toEqual(results)
      removeLora(other)
      expect(values(other.forward(x))).toEqual(base)
    })
  })
})

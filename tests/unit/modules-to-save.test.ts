/** Modules that learn whole with an adapter (`modulesToSave`). They are switched as in PEFT's ModulesToSaveWrapper. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  applyLora,
  freeze,
  loadAdapter,
  mergeLora,
  quantize,
  removeLora,
  saveAdapter,
  setAdapter,
  unmergeLora,
  withAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { checkpoint, linear, nn, noGrad, optim, sum, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { loadTensors } from '../../lib/io/tensors.js'
import { close, put } from './adapters.js'

/**
 * A head of two layers, a list and a table of parameters, and a weight that the model reads without calling its module.
 */
class Net extends nn.Module {
  body: nn.Linear
  head: nn.Sequential
  scales: nn.ParameterList
  shifts: nn.ParameterDict<{ a: nn.Parameter }>
  embed: nn.Embedding
  constructor(device: string) {
    super()
    this.body = new nn.Linear(2, 2, { device })
    this.head = new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.BatchNorm1d(2, { device })) as nn.Sequential
    this.scales = new nn.ParameterList([new nn.Parameter(tensor([1, 2], { device }))])
    this.shifts = new nn.ParameterDict({ a: new nn.Parameter(tensor([3, 4], { device })) })
    this.embed = new nn.Embedding(3, 2, { device })
    for (const [i, parameter] of [...this.parameters()].entries()) put(parameter, i)
  }
  forward(x: Tensor): Tensor {
    const hidden = this.head.forward(this.body.forward(x as never) as never) as Tensor
    const scaled = hidden.mul(this.scales.at(0) as never).add(this.shifts.get('a') as never) as Tensor
    return linear(scaled, this.embed.weight)
  }
}
const whole = ['head', 'scales', 'shifts', 'embed']

describe.each(['cpu', 'reference'])('modules that learn whole on %s', (device) => {
  const x = tensor(
    [
      [1, 2],
      [3, 5],
    ],
    { device },
  )
  const make = () => new Net(device).eval()
  const apply = (model: Net, name: string, modulesToSave = whole) =>
    applyLora(model, { name, rank: 1, targetModules: ['body'], modulesToSave })
  /** Another value for everything that an adapter learns whole. */
  const teach = (model: Net, name: string, by: number) =>
    noGrad(() => {
      for (const [path, parameter] of model.namedParameters())
        if (path.includes(`modules_to_save.${name}.`)) parameter.copy_(parameter.add(by))
    })
  const taught = (model: Net, name: string, by: number, modulesToSave = whole) => {
    apply(model, name, modulesToSave)
    teach(model, name, by)
    return model
  }
  const learning = (model: nn.Module) => model.namedParameters().flatMap(([name, p]) => (p.requiresGrad ? [name] : []))

  it('are switched off, for a call and for good, and each adapter has its own copies', () => {
    const [base, a, b] = [make(), taught(make(), 'a', 1), taught(make(), 'b', 2)]
    const model = taught(taught(make(), 'a', 1), 'b', 2)
    const run = () => model.forward(x)
    const [weight, scale] = [base.embed.weight, base.scales.at(0)].map((tensor) => [...(tensor?.dataSync() ?? [])])
    close(run(), b.forward(x))
    expect(a.forward(x).sub(base.forward(x)).abs().sum().item()).toBeGreaterThan(1)
    withAdapter(model, 'a', () => {
      close(run(), a.forward(x))
      withoutAdapters(model, () => close(run(), base.forward(x)))
      close(run(), a.forward(x))
      // A permanent switch within a call takes effect once the call has ended.
      setAdapter(model, [])
      close(run(), a.forward(x))
    })
    close(run(), base.forward(x))
    expect([[...model.embed.weight.dataSync()], [...(model.scales.at(0)?.dataSync() ?? [])]]).toEqual([weight, scale])
    expect(() =>
      withAdapter(model, 'a', () => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
    close(run(), base.forward(x))
    setAdapter(model, 'a')
    close(run(), a.forward(x))
    expect(learning(model)).toEqual(learning(a))
    // Another adapter over the same modules begins with the original weights.
    apply(model, 'c')
    close(run(), base.forward(x))
    setAdapter(model, [])
    expect(learning(model)).toEqual([])
  })

  it('have PEFT’s names in a state, and the base its own', () => {
    const model = make()
    const before = [...model.stateDict().keys()]
    taught(model, 'a', 1)
    const names = [...model.stateDict().keys()]
    expect(names.filter((name) => !name.includes('.a.'))).toEqual(before)
    expect(names.filter((name) => name.includes('modules_to_save'))).toEqual([
      'head.modules_to_save.a.0.weight',
      'head.modules_to_save.a.0.bias',
      'head.modules_to_save.a.1.weight',
      'head.modules_to_save.a.1.bias',
      'scales.modules_to_save.a.0',
      'shifts.modules_to_save.a.a',
      'embed.modules_to_save.a.weight',
      'head.modules_to_save.a.1.running_mean',
      'head.modules_to_save.a.1.running_var',
      'head.modules_to_save.a.1.num_batches_tracked',
    ])
    const values = (state: ReadonlyMap<string, Tensor>) => [...state].map(([name, t]) => [name, ...t.dataSync()])
    const state = values(model.stateDict())
    expect(withoutAdapters(model, () => values(model.stateDict()))).toEqual(state)
    setAdapter(model, [])
    expect(values(model.stateDict())).toEqual(state)
  })

  it('learn alone: weights and running statistics of the base stay', () => {
    const model = apply(make(), 'a').train()
    const state = () =>
      [...model.stateDict()].flatMap(([name, t]) => (name.includes('.a.') ? [] : [[name, ...t.dataSync()]]))
    const [before, first] = [state(), model.embed.weight.clone()]
    const sgd = new optim.SGD(model.parameters(), { lr: 0.1 })
    for (let i = 0; i < 2; i++) {
      sgd.zeroGrad()
      sum(model.forward(x).square()).backward()
      sgd.step()
    }
    expect(state()).toEqual(before)
    expect(model.embed.weight.sub(first).abs().sum().item()).toBeGreaterThan(0)
    const norm = model.head.at(1) as unknown as nn.BatchNorm1d
    expect(norm.numBatchesTracked?.item()).toBe(2)
    setAdapter(model, [])
    expect(norm.numBatchesTracked?.item()).toBe(0)
  })

  it('are those of the first time where a checkpoint runs its function again', () => {
    const model = taught(taught(make(), 'a', 1), 'b', 2)
    const gradients = (run: () => Tensor) => {
      model.zeroGrad()
      setAdapter(model, 'a')
      const loss = sum(run().square())
      setAdapter(model, 'b')
      withoutAdapters(model, () => loss.backward())
      setAdapter(model, 'a')
      return model.namedParameters().flatMap(([name, { grad }]) => (grad ? [[name, ...grad.dataSync()]] : []))
    }
    const wanted = gradients(() => model.forward(x))
    expect(wanted.length).toBeGreaterThan(6)
    expect(gradients(() => checkpoint((input: Tensor) => model.forward(input), x) as Tensor)).toEqual(wanted)
    const chosen = () => withAdapter(model, 'a', () => checkpoint((input: Tensor) => model.forward(input), x) as Tensor)
    expect(gradients(chosen)).toEqual(wanted)
  })

  it('are saved by name whoever is active, and loaded beside another’s', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
    try {
      const model = taught(taught(make(), 'a', 1), 'b', 2)
      setAdapter(model, [])
      await saveAdapter(model, folder, { name: 'a' })
      expect([...(await loadTensors(join(folder, 'adapter_model.safetensors'))).keys()].sort()).toEqual(
        [
          ...['embed.weight', 'head.0.bias', 'head.0.weight', 'head.1.bias', 'head.1.num_batches_tracked'],
          ...['head.1.running_mean', 'head.1.running_var', 'head.1.weight', 'scales.0', 'shifts.a'],
          ...['body.lora_A.weight', 'body.lora_B.weight'],
        ]
          .map((name) => `base_model.model.${name}`)
          .sort(),
      )
      const served = taught(make(), 'b', 2)
      await loadAdapter(served, folder, { name: 'a' })
      const wanted = taught(make(), 'a', 1).forward(x)
      close(served.forward(x), wanted)
      setAdapter(served, 'b')
      close(served.forward(x), taught(make(), 'b', 2).forward(x))
      const [weight] = [...served.parameters()]
      teach(served, 'a', 7)
      await loadAdapter(served, folder, { name: 'a' })
      close(served.forward(x), wanted)
      expect([...served.parameters()][0]).toBe(weight)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('go with their adapter, or stay where it was merged', () => {
    const [base, a] = [make(), taught(make(), 'a', 1)]
    const model = taught(taught(make(), 'a', 1), 'b', 2)
    removeLora(model, { name: 'b' })
    close(model.forward(x), base.forward(x))
    setAdapter(model, 'a')
    close(model.forward(x), a.forward(x))
    apply(model, 'b')
    setAdapter(model, 'a')
    mergeLora(model, { name: 'a' })
    close(model.forward(x), a.forward(x))
    expect(() => setAdapter(model, 'b')).toThrow("[setAdapter] the adapter 'a' is merged into the weight of body")
    removeLora(model, { name: 'a' })
    close(model.forward(x), a.forward(x))
    // The other adapter's copies are still in place, and stand for the originals that the merged one left.
    setAdapter(model, 'b')
    close(model.forward(x), base.forward(x))
    removeLora(model)
    close(model.forward(x), a.forward(x))
    expect([...model.stateDict().keys()]).toEqual([...base.stateDict().keys()])
  })

  it('are refused where two adapters would stand in, or cut one another', () => {
    const model = taught(taught(make(), 'a', 1), 'b', 2, ['embed'])
    for (const use of [() => setAdapter(model, ['a', 'b']), () => withAdapter(model, ['a', 'b'], () => 1)]) {
      expect(use).toThrow(ValueError)
      expect(use).toThrow("the adapters ['a', 'b'] both have their own weights for embed (modulesToSave)")
    }
    const apart = taught(taught(make(), 'a', 1, ['head']), 'b', 2, ['embed'])
    setAdapter(apart, ['a', 'b'])
    close(apart.embed.weight, make().embed.weight.add(2))
    close((apart.head.at(0) as unknown as nn.Linear).weight, (make().head.at(0) as unknown as nn.Linear).weight.add(1))
    for (const modulesToSave of [['head.0'], ['1']])
      expect(() => apply(model, 'c', modulesToSave)).toThrow(
        "but the adapter 'a' learns a module as a whole that contains it or is inside it; name the same one",
      )
    const inner = taught(make(), 'a', 1, ['head.0'])
    expect(() => apply(inner, 'b', ['head'])).toThrow("modulesToSave names 'head', but the adapter 'a' learns")
    // Both copies of one adapter count as one.
    expect(learning(apply(make(), 'a', ['head', 'head.0'])).filter((name) => !name.includes('lora'))).toHaveLength(4)
  })

  it('are merged by no other adapter, and freeze by its name', () => {
    const model = taught(make(), 'a', 1, ['head'])
    applyLora(model, { name: 'b', rank: 1, targetModules: ['head.0'] })
    mergeLora(model)
    for (const use of [() => withAdapter(model, ['b', 'a'], () => 1), () => setAdapter(model, ['b', 'a'])])
      expect(use).toThrow("the adapter 'b' is merged into a weight of head.0, which another one should replace")
    unmergeLora(model)
    setAdapter(model, ['a', 'b'])
    expect(() => mergeLora(model, { name: 'b' })).toThrow('the weight of head.0 belongs to another adapter')
    expect(freeze(model, { adapter: 'a' })).toBe(6)
    expect(learning(model)).toEqual(['head.0.lora_A.b.weight', 'head.0.lora_B.b.weight'])
  })

  it('need floats', () => {
    const model = new nn.Sequential(new nn.Linear(32, 32, { device }), new nn.Linear(32, 32, { device }))
    quantize(model, 'q8_0', { modules: ['1'] })
    expect(() => applyLora(model, { targetModules: ['0'], modulesToSave: ['1'] })).toThrow(
      "[applyLora] modulesToSave names '1', whose weight is q8_0, which cannot learn",
    )
  })
})

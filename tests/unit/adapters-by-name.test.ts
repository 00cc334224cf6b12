import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { currentChoice, withChoice } from '../../lib/core/choice.js'
import {
  applyLora,
  freeze,
  type LoraLinear,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  setAdapter,
  unmergeLora,
  withAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { add, checkpoint, linear, nn, sum, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { loadTensors } from '../../lib/io/tensors.js'
import { close, fill, Ia3, put } from './adapters.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe.each(['cpu', 'reference'])('adapters by name on %s', (device) => {
  const make = () => {
    const model = new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.Linear(2, 2, { device }))
    for (const [i, parameter] of [...model.parameters()].entries()) put(parameter, i)
    return model
  }
  const x = tensor([[1, 2]], { device })
  const run = (model: nn.Sequential): Tensor => model.forward(x as never) as Tensor
  const lora = (model: nn.Sequential, name: string, ks: readonly [number, number], targets = ['0', '1']) => {
    applyLora(model, { name, rank: 1, alpha: 2, targetModules: targets })
    fill(model, name, ks)
    return model
  }
  const learning = (model: nn.Module) => model.namedParameters().flatMap(([name, p]) => (p.requiresGrad ? [name] : []))
  const first = (model: nn.Sequential) => model.at(0) as unknown as nn.Linear

  it('switch for a call, for good, and off; several add up', () => {
    const [both, a, b] = [make(), lora(make(), 'a', [1, 2]), lora(make(), 'b', [3, 4], ['0'])]
    const base = run(both).detach()
    lora(lora(both, 'a', [1, 2]), 'b', [3, 4], ['0'])
    expect(first(both).adapters.active).toEqual(['b'])
    close(run(both), run(b))
    close(
      withAdapter(both, 'a', () => run(both)),
      run(a),
    )
    close(
      withoutAdapters(both, () => run(both)),
      base,
    )
    close(
      withAdapter(both, [], () => run(both)),
      base,
    )
    // A nested choice holds inside, and the outer one holds afterwards.
    withAdapter(both, 'a', () => {
      close(
        withoutAdapters(both, () => run(both)),
        base,
      )
      close(run(both), run(a))
    })
    expect(() =>
      withoutAdapters(both, () => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
    close(run(both), run(b))
    const deltas = ['a', 'b'].map((name) => (first(both).adapters.get(name) as LoraLinear).delta())
    const sumOf = deltas.reduce((left, right) => left.add(right), first(both).weight)
    const hidden = linear(x, sumOf, first(both).bias)
    close(
      withAdapter(both, ['a', 'b'], () => first(both).forward(x as never)),
      hidden,
    )
    setAdapter(both, 'a')
    close(run(both), run(a))
    expect(learning(both)).toEqual(learning(a))
    setAdapter(both, ['b', 'a'])
    expect([first(both).adapters.active, (both.at(1) as unknown as nn.Linear).adapters.active]).toEqual([
      ['b', 'a'],
      ['a'],
    ])
    expect(learning(both)).toHaveLength(6)
    close(first(both).forward(x as never), hidden)
    setAdapter(both, [])
    expect(learning(both)).toEqual([])
    close(run(both), base)
  })

  it('of one model do not switch another, and a part can be switched alone', () => {
    const [one, two] = [lora(make(), 'a', [1, 2]), lora(make(), 'a', [1, 2])]
    const adapted = run(two).detach()
    withoutAdapters(one, () => close(run(two), adapted))
    const base = withoutAdapters(one, () => run(one))
    withoutAdapters(one, () => withAdapter(two, 'a', () => close(run(one), base)))
    const [choice] = withoutAdapters(one, () => [currentChoice()])
    close(run(one), adapted)
    // This is how a function is run again.
    close(
      withChoice('test', choice ?? null, () => run(one)),
      base,
    )
    const half = linear(
      linear(x, first(one).weight, first(one).bias),
      add(
        (one.at(1) as unknown as nn.Linear).weight,
        ((one.at(1) as unknown as nn.Linear).adapters.get('a') as LoraLinear).delta(),
      ),
      (one.at(1) as unknown as nn.Linear).bias,
    )
    close(
      withoutAdapters(first(one), () => run(one)),
      half,
    )
  })

  it('give gradients to the one that learned in the pass, whatever is chosen after', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    setAdapter(model, ['a', 'b'])
    const loss = withAdapter(model, 'a', () => sum(run(model).square()))
    withoutAdapters(model, () => loss.backward())
    const named = model.namedParameters().flatMap(([name, p]) => (p.grad ? [name] : []))
    expect(named).toEqual(['0.lora_A.a.weight', '0.lora_B.a.weight', '1.lora_A.a.weight', '1.lora_B.a.weight'])
    const other = lora(make(), 'a', [1, 2])
    sum(run(other).square()).backward()
    for (const [name, p] of other.namedParameters())
      if (p.grad) close(new Map(model.namedParameters()).get(name)?.grad as Tensor, p.grad)
  })

  it('are those of the first time where a checkpoint runs again', () => {
    const grads = (pass: (model: nn.Sequential) => Tensor) => {
      const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
      setAdapter(model, ['a', 'b'])
      const loss = withAdapter(model, 'a', () => sum(pass(model).square()))
      withAdapter(model, 'b', () => loss.backward())
      return model.namedParameters().flatMap(([name, p]) => (p.grad ? [[name, [...p.grad.dataSync()]]] : []))
    }
    const plain = grads(run)
    expect(plain).toHaveLength(4)
    expect(grads((model) => checkpoint(() => run(model)))).toEqual(plain)
  })

  it('are those of the first time where they were switched for good before a checkpoint runs again', () => {
    const grads = (pass: (model: nn.Sequential) => Tensor, then: (model: nn.Sequential) => void) => {
      const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
      setAdapter(model, 'a')
      const loss = sum(pass(model).square())
      then(model)
      loss.backward()
      const found = model.namedParameters().flatMap(([name, p]) => (p.grad ? [[name, [...p.grad.dataSync()]]] : []))
      return { found, learn: learning(model), active: first(model).adapters.active }
    }
    const inner = (model: nn.Sequential) => checkpoint(() => checkpoint(() => run(model)))
    for (const names of ['b', ['a', 'b'], []] as const)
      for (const pass of [(model: nn.Sequential) => checkpoint(() => run(model)), inner]) {
        const then = (model: nn.Sequential) => setAdapter(model, names)
        const plain = grads(run, then)
        expect(plain.found).toHaveLength(4)
        expect(plain.active).toEqual([names].flat())
        expect(grads(pass, then)).toEqual(plain)
      }
    const switching = (model: nn.Sequential) =>
      checkpoint(() => {
        const y = run(model)
        setAdapter(model, 'b')
        return add(y, run(model))
      })
    expect(() => grads(switching, () => undefined)).toThrow(
      '[checkpoint] the function switches the adapters of a layer permanently',
    )
  })

  it('are refused what cannot be', async () => {
    const model = lora(make(), 'a', [1, 2])
    for (const [use, message] of [
      [
        () => withAdapter(model, 'b', () => 1),
        "[withAdapter] there is no adapter named ['b'] in the model; there are ['a']",
      ],
      [() => setAdapter(model, ['a', 'b']), "[setAdapter] there is no adapter named ['b']"],
      [() => withAdapter(model, ['a', 'a'], () => 1), '[withAdapter] an adapter is named twice'],
      [() => withAdapter(model, 3 as never, () => 1), '[withAdapter] names is 3, but must be a list of names'],
      [() => withAdapter({} as never, 'a', () => 1), '[withAdapter] the model is an object, but must be a module'],
      [() => withoutAdapters(null as never, () => 1), '[withoutAdapters] the model is null'],
      [() => withoutAdapters(model, 1 as never), '[withoutAdapters] needs a function to run, but got the number 1'],
      [() => withoutAdapters(model, async () => run(model)), '[withoutAdapters] the function returned a promise'],
      [() => withAdapter(model, 'a', async () => run(model)), '[withAdapter] the function returned a promise'],
      [() => lora(model, 'a', [1, 2]), "[applyLora] the model already has an adapter 'a', in 0, 1; use another name"],
      [() => lora(model, 'a.b', [1, 2]), "[applyLora] the adapter's name is 'a.b', but must be a text without dots"],
      [() => removeLora(model, { name: 'b' }), "[removeLora] the model has no adapter 'b'; there are ['a']"],
      [() => mergeLora(model, { name: 'b' }), "[mergeLora] the model has no adapter 'b'"],
      [() => unmergeLora(model, { name: 'b' }), "[unmergeLora] the model has no adapter 'b'"],
    ] as const) {
      expect(use).toThrow(ValueError)
      expect(use).toThrow(message)
    }
    const before = run(model)
    await expect(saveAdapter(model, folder, { name: 'b' })).rejects.toThrow(
      "[saveAdapter] the model has no adapter 'b'",
    )
    close(run(model), before)
  })

  it('cannot be switched off where they are merged, nor where modules learned in place', () => {
    const model = lora(make(), 'a', [1, 2])
    mergeLora(model)
    for (const [op, use] of [
      ['withoutAdapters', () => withoutAdapters(model, () => run(model))],
      ['setAdapter', () => setAdapter(model, [])],
      ['applyLora', () => lora(model, 'b', [3, 4])],
    ] as const)
      expect(use).toThrow(`[${op}] the adapter 'a' is merged into the weight of 0; call unmergeLora first`)
    expect(first(model).adapters.names).toEqual(['a'])
    close(
      withAdapter(model, 'a', () => run(model)),
      run(model),
    )
  })

  it('merge and unmerge by name', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    const base = first(model).weight.clone()
    expect(() => mergeLora(model, { name: 'a' })).toThrow(
      "[mergeLora] ['a'] is not active, and merging would change results; call setAdapter first",
    )
    setAdapter(model, [])
    expect(() => mergeLora(model)).toThrow("[mergeLora] ['a', 'b'] are not active")
    setAdapter(model, ['a', 'b'])
    const both = run(model).detach()
    mergeLora(model, { name: 'a' })
    const merged = (name: string) => (first(model).adapters.get(name) as LoraLinear).merged
    expect([merged('a'), merged('b')]).toEqual([true, false])
    close(run(model), both)
    mergeLora(model)
    expect([merged('a'), merged('b')]).toEqual([true, true])
    close(run(model), both, 4)
    unmergeLora(model, { name: 'a' })
    expect([merged('a'), merged('b')]).toEqual([false, true])
    close(run(model), both, 4)
    unmergeLora(model)
    close(first(model).weight, base)
    // Only active adapters run.
    setAdapter(model, 'b')
    mergeLora(model)
    expect([merged('a'), merged('b')]).toEqual([false, true])
  })

  it('are not merged beside what may be no sum', () => {
    const model = lora(make(), 'a', [1, 2])
    first(model).adapters.set('scale', new Ia3(first(model), false))
    expect(() => mergeLora(model)).toThrow("[mergeLora] 0 has the adapter ['scale'] too, which may not be a sum")
    setAdapter(model, 'a')
    mergeLora(model)
  })

  it('are removed by name, the others stay', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    setAdapter(model, ['a', 'b'])
    removeLora(model, { name: 'b' })
    expect([first(model).adapters.names, first(model).adapters.active]).toEqual([['a'], ['a']])
    close(run(model), run(lora(make(), 'a', [1, 2])))
    lora(model, 'b', [3, 4])
    removeLora(model)
    expect(first(model).adapters.names).toEqual([])
    expect(() => removeLora(model)).toThrow('[removeLora] the model has no adapter')
  })

  it('are saved and loaded by name', async () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4], ['0'])
    await expect(saveAdapter(model, folder)).rejects.toThrow(
      "[saveAdapter] the model has several adapters, ['a', 'b']; choose one with { name }",
    )
    const paths = ['a', 'b'].map((name) => join(folder, `${device}-${name}`)) as [string, string]
    await saveAdapter(model, paths[0], { name: 'a' })
    await saveAdapter(model, paths[1], { name: 'b' })
    expect([...(await loadTensors(join(paths[1], 'adapter_model.safetensors'))).keys()].sort()).toEqual([
      'base_model.model.0.lora_A.weight',
      'base_model.model.0.lora_B.weight',
    ])
    const served = make()
    await loadAdapter(served, paths[0], { name: 'polite' })
    await loadAdapter(served, paths[1])
    expect([first(served).adapters.names, first(served).adapters.active]).toEqual([['polite', 'default'], ['default']])
    for (const [name, other] of [
      ['polite', 'a'],
      ['default', 'b'],
    ] as const)
      close(
        withAdapter(served, name, () => run(served)),
        withAdapter(model, other, () => run(model)),
      )
    // Two requests run at once, each with its own adapter.
    const request = async (name: string) => {
      const results: Tensor[] = []
      for (let i = 0; i < 3; i++) {
        results.push(withAdapter(served, name, () => run(served)))
        await new Promise((resolve) => setImmediate(resolve))
      }
      return results
    }
    const [polite, plain] = await Promise.all([request('polite'), request('default')])
    for (const result of polite)
      close(
        result,
        withAdapter(model, 'a', () => run(model)),
      )
    for (const result of plain)
      close(
        result,
        withAdapter(model, 'b', () => run(model)),
      )
    // The file replaces only the adapter with its name.
    await loadAdapter(served, paths[1], { name: 'polite' })
    close(
      withAdapter(served, 'polite', () => run(served)),
      withAdapter(model, 'b', () => run(model)),
    )
    expect((served.at(1) as unknown as nn.Linear).adapters.names).toEqual([])
    first(served).adapters.set('mine', new Ia3(first(served), false))
    await expect(loadAdapter(served, paths[0], { name: 'mine' })).rejects.toThrow(
      "[loadAdapter] the model already has an adapter 'mine', in 0; use another name",
    )
    await expect(loadAdapter(served, paths[0], { nam: 'x' } as never)).rejects.toThrow(ValueError)
  })

  it('are no loss to those who load another', async () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    setAdapter(model, ['a', 'b'])
    // No warning says that the files lack weights that learn, because the other adapter is not part of the base.
    await saveAdapter(model, join(folder, `${device}-quiet`), { name: 'a' })
  })

  it('freeze by name', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4], ['0'])
    setAdapter(model, ['a', 'b'])
    expect(freeze(model, { adapter: 'a' })).toBe(4)
    expect(learning(model)).toEqual(['0.lora_A.b.weight', '0.lora_B.b.weight'])
    expect(freeze(model, '*.lora_A.b.weight')).toBe(1)
    expect(() => freeze(model, { adapter: 'c' })).toThrow(
      "[freeze] there is no adapter named 'c' in the model; there are ['a', 'b']",
    )
  })
})

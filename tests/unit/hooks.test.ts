/** Forward hooks of modules. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { nn } from '../../lib/index.js'
import { devices } from '../suites/support.js'

describe.each(devices.map((device) => [device.name, device] as const))('forward hooks on %s', (_name, device) => {
  const ones = (...shape: number[]) => f.ones(shape, { device })

  it('see inputs and outputs, and replace them, in the order in which they came', () => {
    const layer = new nn.Linear(2, 2, { bias: false, device })
    f.noGrad(() =>
      layer.weight.copy_(
        f.tensor(
          [
            [1, 0],
            [0, 1],
          ],
          { device },
        ),
      ),
    )
    const seen: string[] = []
    const told = (name: string, x: f.Tensor) => seen.push(`${name} ${x.detach().dataSync().join()}`)
    layer.registerForwardPreHook((_, [x]) => void told('first', x))
    const doubled = layer.registerForwardPreHook((module, [x]) => {
      expect(module).toBe(layer)
      return [x.mul(2)]
    })
    const after = layer.registerForwardHook((module, [x], y) => {
      expect(module).toBe(layer)
      told('input', x)
      told('output', y)
      return y.add(1)
    })
    layer.registerForwardHook((_, __, y) => void told('last', y))
    const x = ones(1, 2)
    expect(layer.forward(x).toArray()).toEqual([[3, 3]])
    expect(seen.splice(0)).toEqual(['first 1,1', 'input 2,2', 'output 2,2', 'last 3,3'])
    doubled.remove()
    doubled.remove()
    after[Symbol.dispose]()
    expect(layer.forward(x).toArray()).toEqual([[1, 1]])
    expect(seen).toEqual(['first 1,1', 'last 1,1'])
  })

  it('have gradients through what they give', () => {
    const layer = new nn.Linear(3, 1, { bias: false, device })
    layer.registerForwardHook((_, __, y) => y.mul(5))
    layer.forward(ones(1, 3)).sum().backward()
    expect(layer.weight.grad?.toArray()).toEqual([[5, 5, 5]])
  })

  it('see what goes between two layers that are one kernel otherwise', () => {
    const model = new nn.Sequential(new nn.Conv2d(1, 1, 1, { device }), new nn.ReLU())
    const [conv, relu] = [...model]
    f.noGrad(() => {
      for (const parameter of model.parameters()) parameter.fill_(-1)
    })
    const x = ones(1, 1, 1, 1)
    expect(f.trace(() => model.forward(x), device).count('relu')).toBe(0)
    for (const layer of [conv, relu]) {
      const seen: number[] = []
      const isConv = layer === conv
      const handle = isConv
        ? layer?.registerForwardHook((_, __, y) => void seen.push((y as f.Tensor).item()))
        : layer?.registerForwardPreHook((_, [y]) => void seen.push((y as f.Tensor).item()))
      expect(model.forward(x).item()).toBe(0)
      expect(seen).toEqual([-2])
      expect(f.trace(() => model.forward(x), device).count('relu')).toBe(1)
      handle?.remove()
    }
    expect(model.hasForwardHooks || conv?.hasForwardHooks || relu?.hasForwardHooks).toBe(false)
  })

  it('run once for each forward, of modules within modules too, and again under a checkpoint, as far as it runs again', () => {
    const model = new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 8, dropout: 0, device })
    const counts = new Map<string, number>()
    for (const [path, module] of model.namedModules())
      module.registerForwardHook((_, inputs, output) => {
        expect([inputs[0], output].every((each) => each instanceof f.Tensor)).toBe(true)
        counts.set(path, (counts.get(path) ?? 0) + 1)
      })
    const x = f.randn([1, 3, 4], { device })
    model.forward(x)
    expect([...counts.keys()].sort()).toEqual(
      model
        .namedModules()
        .map(([path]) => path)
        .sort(),
    )
    expect([...counts.values()].every((count) => count === 1)).toBe(true)
    f.checkpoint((y: f.Tensor) => model.forward(y), x)
      .sum()
      .backward()
    // The second run ends with the last tensor that the backward pass reads, which may be within the last modules.
    for (const path of ['self_attn', 'norm1', 'linear1']) expect(counts.get(path), path).toBe(3)
    for (const [path, count] of counts) expect([2, 3], path).toContain(count)
  })

  it('come and go while a forward runs without a stumble', () => {
    const layer = new nn.ReLU()
    let calls = 0
    const handle = layer.registerForwardPreHook(() => {
      calls++
      handle.remove()
      layer.registerForwardHook((_, __, y) => y.add(1))
    })
    const x = ones(1)
    expect([layer.forward(x).item(), layer.forward(x).item(), calls]).toEqual([1, 2, 1])
  })

  it('take any number of inputs, and results of any kind', () => {
    const lstm = new nn.LSTM(2, 3, { device })
    const state = [f.zeros([1, 1, 3], { device }), f.zeros([1, 1, 3], { device })] as const
    lstm.registerForwardPreHook((_, [x]) => [x, state])
    lstm.registerForwardHook((_, [, initial], { output, state: last }) => {
      expect(initial).toBe(state)
      return { output: output.mul(0), state: last }
    })
    expect(
      lstm
        .forward(ones(2, 1, 2))
        .output.sum()
        .item(),
    ).toBe(0)
  })

  it('are refused where they are none, by name', () => {
    const layer = new nn.ReLU()
    const x = ones(1)
    expect(() => layer.registerForwardHook(3 as never)).toThrow('[ReLU.registerForwardHook] the hook is')
    expect(layer.hasForwardHooks).toBe(false)
    const fails = (handle: { remove(): void }, message: string) => {
      expect(() => layer.forward(x)).toThrow(message)
      handle.remove()
      expect(layer.forward(x).item()).toBe(1)
    }
    fails(layer.registerForwardPreHook((() => x) as never), '[ReLU.registerForwardPreHook] the hook returned')
    fails(
      layer.registerForwardHook((async () => x) as never),
      '[ReLU.registerForwardHook] the function returned a promise',
    )
    fails(
      layer.registerForwardHook(() => {
        throw new Error('mine')
      }),
      'mine',
    )
  })

  it('know what the forward of their module takes and gives', () => {
    const lstm = new nn.LSTM(2, 3, { device })
    // @ts-expect-error an LSTM gives its state too
    lstm.registerForwardHook((_, __, y) => y.output)
    // @ts-expect-error a tensor has no output
    new nn.ReLU().registerForwardHook((_, __, y) => void y.output)
    const model: nn.Module = lstm
    model.registerForwardHook((_, inputs, output) => void [inputs, output])
    // @ts-expect-error what is not known is no tensor
    model.registerForwardHook((_, __, output) => output.exp())
  })
})

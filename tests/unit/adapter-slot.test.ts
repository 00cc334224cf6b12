import { describe, expect, it } from 'vitest'
import { applyLora, LoraConv2d, LoraLinear, mergeLora } from '../../lib/finetune/index.js'
import {
  add,
  DTypeError,
  linear,
  mul,
  nn,
  noGrad,
  sum,
  type Tensor,
  tensor,
  transpose,
  ValueError,
} from '../../lib/index.js'
import { Conv1D, close, Dora, Ia3, numbers, put } from './adapters.js'

describe.each(['cpu', 'reference'])('the slot on %s', (device) => {
  const layer = () => {
    const made = new nn.Linear(3, 4, { device })
    put(made.weight, 0)
    put(made.bias as Tensor, 1)
    return made
  }
  const x = () => numbers([2, 3], 2, device)
  const withDora = (to: nn.Adaptable) => {
    const dora = new Dora(to, 2, 1.5)
    put(dora.loraA, 3)
    put(dora.loraB, 4)
    noGrad(() => void dora.magnitude.copy_(tensor([1, 0.5, 2, 1.5], { device })))
    to.adapters.set('default', dora)
    return dora
  }
  const doraResult = [-1.033767, 1.549907, -0.654534, -1.594531, -0.766884, 1.425247, -0.848363, -1.51109]

  it('takes DoRA: values and gradients of PEFT’s formulas', () => {
    const to = layer()
    const dora = withDora(to)
    const input = x()
    input.requiresGrad = true
    to.weight.requiresGrad = false
    const result: Tensor = to.forward(input as never)
    close(result, doraResult)
    sum(result.square()).backward()
    close(dora.loraA.grad, [-0.494024, 4.144243, -3.972724, -0.390955, 1.901416, -2.110234], 4)
    close(dora.loraB.grad, [2.065708, 2.190051, -1.548033, -1.620642, 4.660873, 4.779937, 2.261571, 2.363399], 4)
    close(dora.magnitude.grad, [1.512919, 2.85839, 1.523858, 3.328942], 4)
    close(input.grad, [-3.513649, 0.301119, 7.014849, -4.479341, 0.20046, 7.030808], 4)
    expect(to.weight.grad).toBe(null)
  })

  it('takes IA3, of results and of inputs', () => {
    const [out, input] = [layer(), layer()]
    const [ofOut, ofInput] = [new Ia3(out, false), new Ia3(input, true)]
    noGrad(() => {
      ofOut.factors.copy_(tensor([0.5, 2, -1, 1.25], { device }))
      ofInput.factors.copy_(tensor([0.5, 2, -1], { device }))
    })
    out.adapters.set('scales', ofOut)
    input.adapters.set('scales', ofInput)
    close(out.forward(x() as never), [-0.84375, 1.25, 0.5, -2.03125, -0.6875, 0.875, 0.5, -1.796875])
    close(input.forward(x() as never), [-0.90625, 1.78125, 1.375, 0.96875, -1.125, 1.3125, 1, 0.6875])
  })

  it('takes layers whose weight is stored [in, out]', () => {
    const [to, like] = [new Conv1D(3, 4, device), layer()]
    noGrad(() => {
      to.weight.copy_(transpose(like.weight, 0, 1))
      to.bias.copy_(like.bias as Tensor)
    })
    withDora(to)
    close(to.forward(x()), doraResult)
    const [model, twin] = [new nn.Sequential(new Conv1D(3, 4, device)), new nn.Sequential(like)]
    noGrad(() => void (model.at(0) as Conv1D).weight.copy_(transpose(like.weight, 0, 1)))
    noGrad(() => void (model.at(0) as Conv1D).bias.copy_(like.bias as Tensor))
    for (const each of [model, twin]) {
      applyLora(each, { rank: 2, targetModules: 'all-linear' })
      for (const module of each.modules())
        if (module instanceof LoraLinear) for (const [i, factor] of module.factors.entries()) put(factor, i + 3)
    }
    const before = twin.forward(x()).detach()
    close(model.forward(x()), before)
    mergeLora(model)
    close(model.forward(x()), before)
    expect((model.at(0) as Conv1D).weight.shape).toEqual([3, 4])
  })

  it('composes several in order', () => {
    const to = layer()
    const plain: Tensor = to.forward(x() as never)
    const scale = new Ia3(to, false)
    noGrad(() => void scale.factors.fill_(2))
    const lora = new LoraLinear(to, { rank: 2 })
    for (const [i, factor] of lora.factors.entries()) put(factor, i + 3)
    const delta = linear(x(), lora.delta())
    to.adapters.set('scale', scale)
    to.adapters.set('lora', lora)
    close(to.forward(x() as never), add(mul(plain, 2), delta))
    to.adapters.activate(['lora', 'scale'])
    close(to.forward(x() as never), mul(add(plain, delta), 2))
    expect([to.adapters.names, to.adapters.active]).toEqual([
      ['scale', 'lora'],
      ['lora', 'scale'],
    ])
    // The bias is not included, but adapters before this one are.
    const seen: Tensor[] = []
    class Looks extends nn.Adapter {
      override linear(inner: nn.BaseLayer, input: Tensor): Tensor {
        seen.push(inner.product(input), inner.dense(), inner.bias as Tensor)
        return inner.forward(input)
      }
    }
    to.adapters.set('looks', new Looks())
    to.forward(x() as never)
    close(seen[0] as Tensor, mul(add(linear(x(), to.weight), delta), 2))
    expect(seen.slice(1)).toEqual([to.weight, to.bias])
    for (const name of to.adapters.names) expect(to.adapters.delete(name)).toBe(true)
    expect(to.adapters.delete('looks')).toBe(false)
    expect([...to.adapters]).toEqual([])
    close(to.forward(x() as never), plain)
  })

  it('names what adapters hold as PEFT does, and walks it', () => {
    const model = new nn.Sequential(layer())
    const dora = new Dora(model.at(0), 2, 1)
    model.at(0).adapters.set('polite', dora)
    expect(model.namedParameters().map(([name]) => name)).toEqual([
      '0.weight',
      '0.bias',
      '0.lora_A.polite',
      '0.lora_B.polite',
      '0.lora_magnitude_vector.polite',
    ])
    expect(dora.adapterName).toBe('polite')
    expect(model.namedModules().map(([path]) => path)).toEqual(['', '0', '0.adapters.polite'])
    model.eval()
    expect(dora.training).toBe(false)
    const state = new Map([...model.stateDict()].map(([name, value]) => [name, value.clone()]))
    put(dora.loraA, 5)
    model.loadStateDict(state)
    close(dora.loraA, [1, 1, 1, 1, 1, 1])
    model.at(0).adapters.delete('polite')
    expect([dora.adapterName, [...model.stateDict().keys()]]).toEqual([null, ['0.weight', '0.bias']])
  })

  it('refuses other dtypes than the weight’s, as the layer does, outside of autocast', () => {
    const to = layer().to('bfloat16')
    for (const use of [() => to.product(x()), () => to.forward(x() as never)]) {
      expect(use).toThrow(DTypeError)
      expect(use).toThrow('[linear]')
    }
    expect(to.product(x().to('bfloat16')).dtype).toBe('bfloat16')
  })

  it('refuses what is no adapter of its layer', () => {
    const to = layer()
    const { adapters } = to
    expect(() => adapters.set('a', new nn.Linear(3, 4) as never)).toThrow(
      '[Linear.adapters.set] the adapter is a Linear, but must extend nn.Adapter',
    )
    for (const name of ['', 'a.b', 3, null])
      expect(() => adapters.set(name as never, new Dora(to, 1, 1))).toThrow(
        "[Linear.adapters.set] the adapter's name is ",
      )
    const conv = new nn.Conv2d(1, 1, 1, { device })
    expect(() => adapters.set('a', new LoraConv2d(conv, { rank: 1 }))).toThrow(
      '[Linear.adapters.set] a LoraConv2d cannot adapt this layer; give it a method linear(layer, x)',
    )
    const dora = new Dora(to, 1, 1)
    adapters.set('a', dora)
    expect(() => layer().adapters.set('b', dora)).toThrow("the adapter is named 'a' in a layer already")
    expect(() => adapters.set('b', dora)).toThrow("the adapter is named 'a' in a layer already")
    expect(() => adapters.activate(['a', 'b'])).toThrow(
      "[Linear.adapters.activate] there is no adapter 'b'; there are ['a']",
    )
    expect(() => adapters.activate(['a', 'a'])).toThrow('an adapter is named twice')
    expect(() => adapters.activate('a' as never)).toThrow("names is 'a', but must be a list of names")
    expect(adapters.active).toEqual(['a'])
    expect(() => dora.forward()).toThrow('[Dora] an adapter has no forward')
    for (const method of ['registerForwardPreHook', 'registerForwardHook'] as const) {
      const register = (dora as nn.Module)[method].bind(dora) as (hook: () => void) => unknown
      expect(() => register(() => {})).toThrow(`[Dora.${method}] an adapter has no forward, so the hook would never`)
    }
    expect(() => new LoraLinear(conv, { rank: 1 })).toThrow(
      '[LoraLinear] the layer is a Conv2d, which is adapted by conv2d',
    )
    expect(() => new LoraLinear(new nn.LayerNorm(2) as never, { rank: 1 })).toThrow(ValueError)
  })
})

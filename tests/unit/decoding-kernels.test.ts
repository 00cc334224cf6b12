/** Kernels that a decoder calls without a graph: the bits of the operators that they stand for. */
import { describe, expect, it } from 'vitest'
import { withAutocast } from '../../lib/autograd/autocast.js'
import { applyLora } from '../../lib/finetune/index.js'
import { device, Generator, nn, noGrad, randn, type Tensor, tensor, trace, zeros } from '../../lib/index.js'
import { KvCache, llama } from '../../lib/models/index.js'
import { forwardEach } from '../../lib/nn/linear-each.js'
import { turned, turnedInto } from '../../lib/ops/attention/turn.js'

const generator = new Generator(1)
const numbers = (x: Tensor) => [...(x.to('float32').dataSync() as Float32Array)]
const kernelsOf = (run: () => unknown) => trace(() => void run(), device('cpu')).kernels.map(({ kernel }) => kernel)

describe('linear layers of one input', () => {
  const layersOf = (bias: boolean, of: 'cpu' | 'reference' = 'cpu') =>
    [5, 1, 7].map((out) => new nn.Linear(6, out, { bias, device: of, generator }))

  it.each([
    ['float32', true, [1, 1, 6]],
    ['float32', false, [2, 3, 6]],
    ['bfloat16', true, [4, 6]],
    ['bfloat16', false, [6]],
    ['float32', true, [0, 6]],
  ] as const)('in %s, with biases: %s, of %j, are one call with the bits of each', (dtype, bias, shape) => {
    const layers = layersOf(bias)
    for (const layer of layers) layer.to(dtype)
    const x = randn([...shape], { generator }).to(dtype)
    noGrad(() => {
      const alone = layers.map((layer) => layer.forward(x as never) as Tensor)
      expect(kernelsOf(() => forwardEach(x, layers))).toEqual(['matmul_each'])
      forwardEach(x, layers).forEach((y, i) => {
        expect(y.shape).toEqual(alone[i]?.shape)
        expect(numbers(y)).toEqual(numbers(alone[i] as Tensor))
      })
    })
  })

  it('are called one by one where a graph, an adapter, a hook or autocast is there, or biases are not all', () => {
    const x = randn([2, 6], { generator })
    const each = (layers: readonly nn.Linear[]) => kernelsOf(() => forwardEach(x, layers))
    const called = (layers: readonly nn.Linear[]) => noGrad(() => each(layers))
    expect(each(layersOf(true))).toEqual(['matmul', 'matmul', 'matmul'])
    expect(withAutocast('bfloat16', () => called(layersOf(true)))).not.toContain('matmul_each')
    const [first, second] = layersOf(true) as [nn.Linear, nn.Linear]
    expect(called([first, new nn.Linear(6, 2, { bias: false })])).toEqual(['matmul', 'matmul'])
    const hook = second.registerForwardHook((_module, _inputs, y) => y)
    expect(called([first, second])).toEqual(['matmul', 'matmul'])
    hook.remove()
    class Doubled extends nn.Linear {
      override forward(x: never): never {
        return (super.forward(x) as Tensor).mul(2) as never
      }
    }
    const doubled = new Doubled(6, 2)
    expect(called([first, doubled])).toContain('affine')
    const model = new nn.Sequential(first)
    applyLora(model, { rank: 2, targetModules: /./ })
    expect(called([first, second])).not.toContain('matmul_each')
    expect(called([second, second])).toEqual(['matmul_each'])
  })

  it('say what misfits as a layer alone does, and take the reference device', () => {
    noGrad(() => {
      expect(() => forwardEach(randn([2, 5]), layersOf(true))).toThrow(/gets 5 features, but takes 6/)
      expect(() => forwardEach(randn([2, 6]).to('bfloat16'), layersOf(true))).toThrow('[linear]')
      const x = randn([2, 6], { device: 'reference' })
      const layers = layersOf(true, 'reference')
      expect(forwardEach(x, layers).map(numbers)).toEqual(layers.map((layer) => numbers(layer.forward(x as never))))
    })
  })
})

describe('queries, keys and values of new columns', () => {
  it.each([
    ['cpu', 'float32'],
    ['cpu', 'bfloat16'],
    ['reference', 'float32'],
  ] as const)('on %s in %s are turned and put into a memory with the bits of the operators', (on, dtype) => {
    const make = (shape: readonly number[]) => randn([...shape], { device: on, generator }).to(dtype)
    const [q, k, v] = [make([2, 3, 4, 6]).transpose(1, 2), make([2, 3, 2, 6]).transpose(1, 2), make([2, 2, 3, 6])]
    const table = { cosines: randn([3, 3], { device: on, generator }), sines: randn([3, 3], { device: on, generator }) }
    const memory = () => zeros([2, 2, 8, 6], { device: on }).to(dtype)
    const [keys, values] = [memory(), memory()] as const
    noGrad(() => {
      const into = { keys: keys.narrow(2, 4, 3), values: values.narrow(2, 4, 3) }
      const run = () => turnedInto(into, { q, k, v }, table)
      if (on === 'cpu') expect(kernelsOf(run)).toEqual(['rotary_append'])
      expect(numbers(run())).toEqual(numbers(turned(q, table)))
      expect(numbers(into.keys)).toEqual(numbers(turned(k, table)))
      expect(numbers(into.values)).toEqual(numbers(v))
      for (const whole of [keys, values])
        expect(
          numbers(whole.narrow(2, 0, 4))
            .concat(numbers(whole.narrow(2, 7, 1)))
            .every((x) => x === 0),
        ).toBe(true)
    })
  })

  it('cost a token of a Llama eleven calls a layer', () => {
    const calls = (layers: number) => {
      const model = llama({ vocabSize: 16, layers, width: 8, heads: 2, keyHeads: 1, inner: 8, context: 16 })
      using cache = new KvCache(8)
      const step = (ids: readonly number[]) =>
        noGrad(() => model.hidden(tensor([[...ids]], { dtype: 'int32' }), { cache }))
      step([1, 2, 3])
      return kernelsOf(() => step([4])).length
    }
    expect(calls(3) - calls(2)).toBe(11)
  })
})

/**
 * Shapes of any size without elements. Computing nothing takes no time, and gradients of tensors with elements are 0.
 */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const many = 2 ** 40
const leaf = (...shape: number[]): f.Tensor => f.zeros(shape, { device: 'cpu', requiresGrad: true })

describe('of 2^40 places without elements', () => {
  it.each([
    ['all keys', {}],
    ['causal', { isCausal: true }],
    ['dropout', { dropoutP: 0.5 }],
    ['a mask', { attnMask: f.zeros([1, 1], { device: 'cpu' }) }],
  ] as const)('attention looks at no keys: %s', (_, options) => {
    for (const queries of [1, 2, 70]) {
      const [q, k, v] = [leaf(1, 1, queries, 0), leaf(1, 1, many, 0), leaf(1, 1, many, 0)]
      const y = f.scaledDotProductAttention(q, k, v, options)
      expect(y.shape).toEqual([1, 1, queries, 0])
      f.sum(y).backward()
      expect([q, k, v].map((x) => x.grad?.shape)).toEqual([q, k, v].map((x) => x.shape))
    }
  })

  it('attention looks at no batches', () => {
    const [q, k] = [leaf(many, 1, 0, 4), leaf(many, 1, 0, 4)]
    f.sum(f.scaledDotProductAttention(q, k, k)).backward()
    expect([q.grad?.shape, k.grad?.shape]).toEqual([q.shape, k.shape])
  })

  it('an additive mask that no output sees has gradient 0', () => {
    const mask = leaf(2, 3)
    f.sum(
      f.scaledDotProductAttention(leaf(1, 1, 2, 0), leaf(1, 1, 3, 0), leaf(1, 1, 3, 0), { attnMask: mask }),
    ).backward()
    expect(mask.grad?.toArray()).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ])
  })

  it('values without keys’ features are weighed alike', () => {
    const v = f.tensor([[[[1], [2], [6]]]], { device: 'cpu', requiresGrad: true })
    const y = f.scaledDotProductAttention(leaf(1, 1, 2, 0), leaf(1, 1, 3, 0), v)
    f.sum(y).backward()
    expect(y.toArray()).toEqual([[[[3], [3]]]])
    for (const each of v.grad?.dataSync() ?? []) expect(each).toBeCloseTo(2 / 3, 6)
  })

  it.each([false, true])(
    'an LSTM takes no steps, and the gradients of its weights are 0; bidirectional: %s',
    (bidirectional) => {
      const layer = new f.nn.LSTM(2, 3, { bidirectional, device: 'cpu' })
      const x = leaf(many, 0, 2)
      const { output } = layer.forward(x)
      expect(output.shape).toEqual([many, 0, bidirectional ? 6 : 3])
      f.sum(output).backward()
      expect(x.grad?.shape).toEqual(x.shape)
      for (const parameter of layer.parameters())
        for (const value of parameter.grad?.dataSync() ?? [Number.NaN]) expect(value).toBe(0)
    },
  )
})

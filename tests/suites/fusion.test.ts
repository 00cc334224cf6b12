/**
 * Layers that a Sequential runs as one. Values and gradients equal to the bit those of the layers one after the other.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { devices } from './support.js'

const { Conv2d, ReLU, Sequential } = f.nn

/** [channels, channels out, kernel, size, options] of a case for each way of the kernels. */
const shapes = [
  [1, 8, 3, 12, { padding: 1 }],
  [3, 16, 7, 21, { stride: 2, padding: 3 }],
  [32, 32, 3, 14, { padding: 1 }],
  [16, 24, 1, 9, {}],
  [8, 8, 3, 10, { padding: 1, groups: 8 }],
  [6, 9, 3, 11, { dilation: 2, groups: 3, bias: false }],
] as const

class Doubled extends Conv2d {
  override forward(x: f.Tensor): f.Tensor {
    return f.mul(super.forward(x), 2)
  }
}

describe.each(devices.map((device) => [device.name, device] as const))('fusion on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  it.each(shapes)('Conv2d(%i, %i, %i) of %i with ReLU', (channels, out, kernel, size, options) => {
    const conv = new Conv2d(channels, out, kernel, options)
    const model = new Sequential(conv, new ReLU())
    const values = f.randn([2, channels, size, size])
    const leaf = () => {
      const x = values.clone()
      x.requiresGrad = true
      return x
    }
    const [x, y] = [leaf(), leaf()]
    const traced = f.trace(() => model.forward(x))
    expect(traced.count('relu')).toBe(0)
    const apart = f.nn.functional.relu(conv.forward(y))
    expect([...traced.result.dataSync()]).toEqual([...apart.dataSync()])
    const gradient = f.randn(apart.shape)
    const parameters = [...model.parameters()]
    const fused = f.grad(traced.result, [x, ...parameters], { gradOutputs: [gradient] })
    const single = f.grad(apart, [y, ...parameters], { gradOutputs: [gradient] })
    fused.forEach((g, i) => {
      expect([...(g as f.Tensor).dataSync()]).toEqual([...(single[i] as f.Tensor).dataSync()])
    })
  })

  it('has second derivatives', () => {
    const conv = new Conv2d(2, 3, 3)
    const leaf = f.randn([1, 2, 6, 6])
    leaf.requiresGrad = true
    const second = (forward: (x: f.Tensor) => f.Tensor) => {
      const y = forward(leaf)
      const [first] = f.grad(f.sum(f.mul(y, y)), [leaf], { createGraph: true })
      const [found] = f.grad(f.sum(f.mul(first as f.Tensor, first as f.Tensor)), [leaf])
      return [...(found as f.Tensor).dataSync()] as number[]
    }
    const fused = second((x) => new Sequential(conv, new ReLU()).forward(x))
    const apart = second((x) => f.nn.functional.relu(conv.forward(x)))
    const largest = Math.max(...apart.map(Math.abs))
    fused.forEach((value, i) => {
      expect(Math.abs(value - (apart[i] as number))).toBeLessThan(1e-5 * largest)
    })
  })

  it('leaves a forward of ones own alone', () => {
    const conv = new Doubled(1, 2, 3)
    const x = f.randn([1, 1, 5, 5])
    const traced = f.trace(() => new Sequential(conv, new ReLU()).forward(x))
    expect(traced.count('relu')).toBe(1)
    expect([...traced.result.dataSync()]).toEqual([...f.nn.functional.relu(conv.forward(x)).dataSync()])
  })

  it('shows each layer to who asks for them', () => {
    const model = new Sequential(new Conv2d(1, 2, 3), new ReLU())
    expect(model.summary([1, 1, 5, 5]).toString()).toContain('ReLU')
  })
})

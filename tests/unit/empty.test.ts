/** Losses and normalisation of nothing, as PyTorch has them, by kernels, composites and second derivatives. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { devices } from '../suites/support.js'

const leaf = (shape: f.Shape, value = 0): f.Tensor => {
  const x = f.full(shape, value)
  x.requiresGrad = true
  return x
}
const ids = (shape: f.Shape, value = 0) => f.full(shape, value, { dtype: 'int32' })
const list = (x: f.Tensor | null | undefined) => [...(x as f.Tensor).detach().dataSync()]

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const losses: readonly [string, (x: f.Tensor, reduction: f.Reduction) => f.Tensor][] = [
    ['crossEntropy', (x, reduction) => f.crossEntropy(x, ids([0]), { reduction })],
    [
      'crossEntropy with weights and smoothing',
      (x, reduction) => f.crossEntropy(x, ids([0]), { reduction, weight: f.ones([3]), labelSmoothing: 0.1 }),
    ],
    ['mseLoss', (x, reduction) => f.mseLoss(x, f.zeros([0, 3]), { reduction })],
  ]
  it.each(losses)('%s of no rows', (_loss, loss) => {
    for (const createGraph of [false, true])
      for (const [reduction, value] of [
        ['mean', [Number.NaN]],
        ['sum', [0]],
        ['none', []],
      ] as const) {
        const x = leaf([0, 3])
        const y = loss(x, reduction)
        expect(list(y)).toEqual(value)
        f.sum(y).backward({ createGraph })
        expect(x.grad?.shape).toEqual([0, 3])
      }
  })

  it('the mean where no row counts is NaN, its gradient 0', () => {
    const x = leaf([2, 3], 1)
    const y = f.crossEntropy(x, ids([2], -100))
    expect(y.item()).toBeNaN()
    y.backward()
    expect(list(x.grad)).toEqual([0, 0, 0, 0, 0, 0])
  })

  it.each([[[0, 2]], [[0, 2, 5]], [[3, 2, 0]], [[0, 2, 3, 3]], [[0, 0]], [[3, 0]], [[3, 0, 4]]] as const)(
    'batch norm of %j leaves the running statistics as they are',
    (shape) => {
      const c = shape[1]
      for (const training of [true, false])
        for (const createGraph of [false, true]) {
          const [x, weight, bias] = [leaf(shape), leaf([c], 3), leaf([c])]
          const [mean, variance] = [f.full([c], 5), f.full([c], 7)]
          const y = f.batchNorm(x, mean, variance, { weight, bias, training })
          expect(y.shape).toEqual(shape)
          f.sum(y).backward({ createGraph })
          expect([list(mean), list(variance)]).toEqual([new Array(c).fill(5), new Array(c).fill(7)])
          expect(x.grad?.shape).toEqual(shape)
          expect([list(weight.grad), list(bias.grad)]).toEqual([new Array(c).fill(0), new Array(c).fill(0)])
        }
    },
  )

  it.each([
    [[0, 3], [3]],
    [[3, 0], [0]],
    [[0, 0], [0]],
    [
      [2, 0, 3],
      [0, 3],
    ],
  ] as const)('layer norm of %j over %j', (shape, tail) => {
    for (const createGraph of [false, true]) {
      const [x, weight, bias] = [leaf(shape), leaf(tail, 2), leaf(tail)]
      f.sum(f.layerNorm(x, tail, weight, bias)).backward({ createGraph })
      const zeros = new Array(tail.reduce((a: number, b: number) => a * b, 1)).fill(0)
      expect([x.grad?.shape, list(weight.grad), list(bias.grad)]).toEqual([shape, zeros, zeros])
    }
  })
})

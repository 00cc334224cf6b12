/** Averages of weights beside a model: their numbers, their place, and what they leave. */
import { describe, expect, it } from 'vitest'
import {
  type Device,
  memory,
  nn,
  noGrad,
  optim,
  StateDictError,
  type Tensor,
  tensor,
  ValueError,
} from '../../lib/index.js'
import { devices, reference } from '../suites/support.js'

const values = (x: Tensor): number[] => [...x.detach().dataSync()]

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const made = () => new nn.Linear(2, 1, { bias: false }).to(device)
  const set = (layer: nn.Linear, ...weights: number[]) => noGrad(() => layer.weight.copy_(tensor([weights]).to(device)))
  const walk = [
    [1, 2],
    [3, -2],
    [-4, 0.5],
  ]

  it.each([
    ['ema', optim.ema(0.75), [0.75 * 1.5 - 1, 0.75 * 1 + 0.125]],
    ['swa', optim.swa(), [0, 0.5 / 3]],
  ] as const)('%s follows the weights, and leaves the model as it is', (_kind, averaging, expected) => {
    const [layer, other] = [made(), made()]
    const average = new optim.WeightAverage(layer, averaging)
    for (const weights of walk) {
      set(layer, ...weights)
      average.update()
    }
    const close = (weights: readonly number[]) =>
      weights.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] as number, 6)
      })
    average.withWeights(() => close(values(layer.weight)))
    expect(values(layer.weight)).toEqual(walk[2])
    average.copyTo(other)
    close(values(other.weight))
    const resumed = new optim.WeightAverage(layer, averaging)
    resumed.loadStateDict(average.stateDict())
    average.update()
    resumed.update()
    const [a, b] = [average, resumed].map((each) => values(each.stateDict().tensors.get('weight') as Tensor))
    expect(a).toEqual(b)
  })

  it('gives the weights back after a promise, and after an error', async () => {
    const layer = made()
    const average = new optim.WeightAverage(layer, optim.swa())
    set(layer, 5, 6)
    average.update()
    set(layer, 1, 2)
    let during: number[] = []
    await average.withWeights(async () => {
      await Promise.resolve()
      during = values(layer.weight)
    })
    expect(during).toEqual([5, 6])
    expect(values(layer.weight)).toEqual([1, 2])
    const fails = () => {
      throw new Error('no')
    }
    expect(() => average.withWeights(fails)).toThrow('no')
    await expect(average.withWeights(() => Promise.reject(new Error('later')))).rejects.toThrow('later')
    expect(values(layer.weight)).toEqual([1, 2])
  })

  it('keeps averages of 16-bit weights in float32, and follows a model to another device', () => {
    const layer = made().to('bfloat16') as unknown as nn.Linear
    const average = new optim.WeightAverage(layer, optim.ema(0.999))
    set(layer, 1, 2)
    average.update()
    layer.to(reference)
    noGrad(() => layer.weight.copy_(tensor([[2, 2]]).to(reference)))
    average.update()
    const held = average.stateDict().tensors.get('weight') as Tensor
    expect([held.dtype, held.device]).toEqual(['float32', reference])
    expect(values(held)[0]).toBeCloseTo(1.001, 5)
    average.withWeights(() => expect(layer.weight.dtype).toBe('bfloat16'))
  })

  it('leaves nothing of an update in memory', () => {
    const layer = made()
    const average = new optim.WeightAverage(layer, optim.ema(0.9))
    average.update()
    const { tensors, bytes } = memory(device)
    average.update()
    average.withWeights(() => 1)
    expect([memory(device).tensors, memory(device).bytes]).toEqual([tensors, bytes])
  })

  it('refuses what does not fit, and changes nothing', () => {
    const layer = made()
    const average = new optim.WeightAverage(layer, optim.ema(0.9))
    expect(() => average.copyTo(layer)).toThrow('missing: weight; call update() first')
    average.update()
    expect(() => average.copyTo(new nn.Linear(3, 1, { bias: false }).to(device))).toThrow(StateDictError)
    const state = average.stateDict()
    for (const [spoilt, message] of [
      [{ ...state, counts: new Map([['weight', 0]]) }, 'the count of weight is 0'],
      [{ ...state, tensors: new Map([['bias', tensor([1])]]) }, 'unexpected: bias'],
      [{ ...state, tensors: new Map([['weight', tensor([1])]]) }, 'weight is [1], but must be [1, 2]'],
    ] as const)
      expect(() => average.loadStateDict(spoilt)).toThrow(message)
    expect(() => optim.ema(1)).toThrow(ValueError)
  })
})

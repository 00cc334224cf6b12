/** Run-time errors of Sequential for sizes that the types do not know. */
import { describe, expect, it } from 'vitest'
import { nn, randn, ShapeError, ValueError } from '../../lib/index.js'

/** Numbers of which the compiler knows nothing. */
const unknown = (n: number): number => n

const network = (features: number, example: readonly number[] = [unknown(1), 28, 28]) =>
  nn.Sequential.for(
    example,
    new nn.Conv2d(unknown(1), 8, 3, { padding: 1 }),
    new nn.BatchNorm2d(unknown(8)),
    new nn.MaxPool2d(unknown(2)),
    new nn.Dropout(0.5),
    new nn.Flatten(),
    new nn.Linear(unknown(features), 10),
  )

describe('Sequential.for', () => {
  it('gives the network of its layers, in training, which has seen nothing', () => {
    const model = network(1568)
    expect(model.length).toBe(6)
    expect(model.training).toBe(true)
    expect((model.at(1) as nn.BatchNorm2d).numBatchesTracked?.item()).toBe(0)
    expect(model.forward(randn([3, 1, 28, 28])).shape).toEqual([3, 10])
  })

  it('refuses layers that do not fit, with the place and both sizes', () => {
    expect(() => network(1569)).toThrow(ShapeError)
    expect(() => network(1569)).toThrow(
      /^\[linear\] gets 1568 features, but takes 1569: x is \[1, 1568\].*\(in Sequential\.5, Linear\(/,
    )
    expect(() => network(1568, [unknown(3), 28, 28])).toThrow(
      /^\[conv2d\] gets 3 channels, but takes 1: x is \[1, 3, 28, 28\].*\(in Sequential\.0, Conv2d\(/,
    )
    expect(() => network(1568, [unknown(1), 28])).toThrow('[BatchNorm2d] x must be [N, C, H, W], but is [8, 1, 28]')
  })

  it('refuses what is no shape', () => {
    for (const example of [28, null, 'abc', [-1, 28]])
      expect(() => nn.Sequential.for(example as unknown as number[], new nn.ReLU()), String(example)).toThrow(
        ValueError,
      )
    expect(() => nn.Sequential.for([3], 3 as unknown as nn.ReLU)).toThrow('[Sequential]')
  })

  it('makes the model on the device of its parameters', () => {
    const model = nn.Sequential.for([4], new nn.Linear(4, 2, { device: 'meta' }))
    expect(model.parameters()[Symbol.iterator]().next().value?.device.kind).toBe('meta')
  })
})

describe('layers that get other sizes than they take', () => {
  const cases: readonly (readonly [layer: nn.Layer, shape: readonly number[], text: string])[] = [
    [new nn.Linear(3, 2), [4, 5], '[linear] gets 5 features, but takes 3: x is [4, 5]'],
    [new nn.Conv1d(3, 2, 1), [4, 5, 6], '[conv1d] gets 5 channels, but takes 3: x is [4, 5, 6]'],
    [new nn.Conv2d(3, 2, 1), [4, 5, 6, 7], '[conv2d] gets 5 channels, but takes 3: x is [4, 5, 6, 7]'],
    [new nn.ConvTranspose2d(3, 2, 1), [4, 5, 6, 7], '[convTranspose2d] gets 5 channels, but takes 3'],
    [new nn.BatchNorm1d(3), [4, 5], '[BatchNorm1d] gets 5 channels, but takes 3: x is [4, 5]'],
    [new nn.BatchNorm2d(3), [4, 5, 6, 7], '[BatchNorm2d] gets 5 channels, but takes 3: x is [4, 5, 6, 7]'],
    [new nn.BatchNorm2d(3, { affine: false, trackRunningStats: false }), [4, 5, 6, 7], 'gets 5 channels, but takes 3'],
    [new nn.BatchNorm2d(3), [4, 3], '[BatchNorm2d] x must be [N, C, H, W], but is [4, 3]'],
    [new nn.BatchNorm1d(3), [3], '[BatchNorm1d] x must be [N, C] or [N, C, L], but is [3]'],
    [new nn.InstanceNorm1d(3), [5, 6], '[InstanceNorm1d] gets 5 channels, but takes 3: x is [5, 6]'],
    [new nn.InstanceNorm2d(3), [4, 5, 6, 7], '[InstanceNorm2d] gets 5 channels, but takes 3: x is [4, 5, 6, 7]'],
    [new nn.InstanceNorm2d(3), [4, 3], '[InstanceNorm2d] x must be [N, C, H, W] or [C, H, W], but is [4, 3]'],
    [new nn.GroupNorm(1, 3), [4, 5, 6], '[GroupNorm] gets 5 channels, but takes 3: x is [4, 5, 6]'],
    [new nn.MaxPool2d(3), [3, 2, 2], '[maxPool2d] a window that reaches over 3 x 3 does not fit into [3, 2, 2]'],
    [new nn.AvgPool2d(3), [1, 3, 2, 2], '[avgPool2d] a window that reaches over 3 x 3 does not fit into [1, 3, 2, 2]'],
  ]
  it.each(cases)('%s of %j', (layer, shape, text) => {
    const model = new nn.Sequential(...[layer])
    expect(() => model.forward(randn(shape))).toThrow(ShapeError)
    expect(() => model.forward(randn(shape))).toThrow(text)
    expect(() => model.forward(randn(shape))).toThrow('(in Sequential.0, ')
  })

  it('those that fit pass', () => {
    expect(new nn.InstanceNorm2d(3).forward(randn([3, 4, 5])).shape).toEqual([3, 4, 5])
    expect(new nn.InstanceNorm2d(3).forward(randn([2, 3, 4, 5])).shape).toEqual([2, 3, 4, 5])
    expect(new nn.BatchNorm1d(3).forward(randn([2, 3, 4])).shape).toEqual([2, 3, 4])
  })
})

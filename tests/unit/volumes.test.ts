/** Convolutions and pools of volumes beside those of images, and what they copy. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

const { nn } = f

describe.each(deviceNames)('a volume of one plane on %s', (device) => {
  const make = (...shape: number[]) => f.randn(shape, { device })
  const deep = (x: f.Tensor) => f.unsqueeze(x, -3)

  it('without a batch is named in errors as it was given', () => {
    const weight = make(3, 5, 1, 1, 1)
    for (const conv of [f.conv3d, f.convTranspose3d])
      expect(() => conv(make(2, 4, 4, 4), weight)).toThrow(/gets 2 channels, but takes \d: x is \[2, 4, 4, 4\]/)
  })

  it('is an image', () => {
    const [x, w, b] = [make(2, 4, 6, 5), make(6, 2, 3, 2), make(6)]
    const options = { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 } as const
    const three = { stride: [3, 2, 1], padding: [0, 1, 0], dilation: [2, 1, 2], groups: 2 } as const
    expect(f.conv3d(deep(x), deep(w), b, three).toArray()).toEqual(deep(f.conv2d(x, w, b, options)).toArray())
    expect(f.maxPool3d(deep(x), [1, 2, 3]).toArray()).toEqual(deep(f.maxPool2d(x, [2, 3])).toArray())
    expect(f.adaptiveMaxPool3d(deep(x), [1, 4, 2]).toArray()).toEqual(deep(f.adaptiveMaxPool2d(x, [4, 2])).toArray())
  })

  it('gives dense results, without a batch too', () => {
    const results = [
      f.conv3d(make(2, 3, 4, 5, 6), make(4, 3, 2, 2, 2)),
      f.convTranspose3d(make(2, 3, 4, 5, 6), make(3, 4, 2, 2, 2)),
      f.gridSample(make(2, 3, 4, 5), make(2, 3, 4, 2)),
    ]
    expect(results.map((y) => y.isContiguous)).toEqual([true, true, true])
    expect(f.conv3d(make(3, 4, 5, 6), make(4, 3, 2, 2, 2)).shape).toEqual([4, 3, 4, 5])
    expect(f.maxPool3d(make(3, 4, 5, 6), 2, { returnIndices: true })[1].shape).toEqual([3, 2, 2, 3])
  })
})

describe('the memory of conv3d', () => {
  it('is a copy of the input for each tap along the depth', () => {
    const x = f.randn([1, 2, 8, 16, 16])
    const weight = f.randn([2, 2, 3, 3, 3], { requiresGrad: true })
    const y = f.conv3d(x, weight, null, { padding: 'same' })
    const kept = f.savedForBackward(y).bytes - weight.numel * 4
    expect(kept).toBeLessThanOrEqual(3 * x.numel * 4)
  })
})

describe('layers over volumes', () => {
  it('pad by the input itself, around an even kernel too', () => {
    const layer = new nn.Conv3d(1, 1, [2, 1, 1], { padding: 'same', paddingMode: 'circular', bias: false })
    f.noGrad(() => layer.weight.copy_(f.tensor([[[[[1]], [[10]]]]])))
    const x = f.reshape(f.tensor([1, 2, 3]), [1, 1, 3, 1, 1])
    expect(f.flatten(layer.forward(x)).toArray()).toEqual([21, 32, 13])
  })

  it('choose a size among those that strides leave open', () => {
    const layer = new nn.ConvTranspose3d(2, 3, 3, { stride: 2, padding: 1 })
    const x = f.randn([1, 2, 2, 4, 5])
    expect(layer.forward(x).shape).toEqual([1, 3, 3, 7, 9])
    expect(layer.forward(x, [4, 8, 9]).shape).toEqual([1, 3, 4, 8, 9])
    expect(layer.forward(x, [1, 3, 3, 7, 10]).shape).toEqual([1, 3, 3, 7, 10])
    expect(() => layer.forward(x, [5, 8, 9])).toThrow('sizes from 3 to 4 in dimension 2')
    expect(() => layer.forward(x, [8])).toThrow('outputSize is [8], but must hold depth, height and width')
  })

  it('say their options', () => {
    expect(String(new nn.Conv3d(1, 2, 3, { padding: 1, paddingMode: 'reflect' }))).toBe(
      'Conv3d(inChannels=1, outChannels=2, kernelSize=[3, 3, 3], stride=[1, 1, 1], padding=[1, 1, 1], ' +
        'dilation=[1, 1, 1], groups=1, paddingMode=reflect, bias=true)',
    )
    expect(String(new nn.AdaptiveMaxPool3d([2, null, 1]))).toBe('AdaptiveMaxPool3d(outputSize=[2, null, 1])')
  })

  it('are refused at once if they fit no input', () => {
    expect(() => new nn.Conv3d(1, 2, [3, 3] as never)).toThrow(
      '[Conv3d] kernelSize is [3, 3], but must be a number or [depth, height, width]',
    )
    expect(() => new nn.Conv3d(1, 2, 3, { paddingMode: 'mirror' as never })).toThrow("paddingMode is 'mirror'")
    expect(() => new nn.Conv3d(1, 2, 3, { groups: 2 })).toThrow('do not both divide into 2 groups')
    expect(() => new nn.ConvTranspose3d(1, 2, 3, { outputPadding: 1 })).toThrow('outputPadding is 1 x 1 x 1')
    expect(() => new nn.MaxPool3d(2, { padding: [2, 0, 0] })).toThrow('padding 2 x 0 x 0 is more than half')
    expect(() => new nn.AvgPool3d(2, { divisorOverride: 0 })).toThrow('divisorOverride is 0')
    expect(() => new nn.AdaptiveAvgPool3d([1, 2] as never)).toThrow('[depth, height, width]')
  })
})

describe.each(deviceNames)('a grid on %s', (device) => {
  it('of the identity gives the image itself', () => {
    const x = f.randn([1, 2, 3, 4], { device })
    const theta = f.tensor(
      [
        [
          [1, 0, 0],
          [0, 1, 0],
        ],
      ],
      { device },
    )
    for (const alignCorners of [true, false]) {
      const grid = f.affineGrid(theta, [1, 2, 3, 4], { alignCorners })
      expect(f.gridSample(x, grid, { alignCorners, mode: 'nearest' }).toArray()).toEqual(x.toArray())
    }
  })

  it('reads nothing of the border outside, and the border itself at places that are no numbers', () => {
    const x = f.tensor([[[[1, Number.POSITIVE_INFINITY]]]], { device })
    const far = f.tensor([[[[5, 0]]]], { device })
    expect(f.gridSample(x, far).item()).toBe(0)
    const none = f.tensor([[[[Number.NaN, 0]]]], { device })
    expect(f.gridSample(x, none, { paddingMode: 'border', mode: 'nearest' }).item()).toBe(1)
    expect(f.gridSample(x, none).item()).toBeNaN()
  })

  it.each([
    ['zeros', [1, 2, -4, 0]],
    ['border', [0, 2, 0, 0]],
    ['reflection', [0, 2, 0, -2]],
  ] as const)('has the slopes of PyTorch on the elements themselves: %s', (paddingMode, slopes) => {
    const x = f.tensor([[[[1, 2, 4]]]], { device })
    const at = f.reshape(f.tensor([-1, 0, 0, 0, 1, 0, 2, 0], { device }), [1, 1, 4, 2])
    const grid = f.clone(at)
    grid.requiresGrad = true
    f.gridSample(x, grid, { paddingMode, alignCorners: true }).sum().backward()
    const along = f.select(grid.grad as f.Tensor, -1, 0)
    expect(f.flatten(f.add(along, 0)).toArray()).toEqual(slopes)
  })
})

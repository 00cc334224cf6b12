import { describe, expect, it } from 'vitest'
import { applyLora } from '../../lib/finetune/index.js'
import { nn, noGrad, randn, type Tensor, tensor, zeros } from '../../lib/index.js'
import { copyInto } from '../../lib/ops/inplace.js'

const fill = (x: Tensor, values: Tensor) => noGrad(() => copyInto(x, values, 'fill'))

describe('what a convolution is padded with', () => {
  const row = tensor([[[1, 2, 3, 4]]])
  const seen = (paddingMode: nn.PaddingMode, options: nn.Conv1dLayerOptions = { padding: 2 }) => {
    const layer = new nn.Conv1d(1, 1, 1, { ...options, paddingMode, bias: false })
    fill(layer.weight, tensor([[[1]]]))
    return layer.forward(row).toArray()
  }
  it.each([
    ['zeros', [0, 0, 1, 2, 3, 4, 0, 0]],
    ['reflect', [3, 2, 1, 2, 3, 4, 3, 2]],
    ['replicate', [1, 1, 1, 2, 3, 4, 4, 4]],
    ['circular', [3, 4, 1, 2, 3, 4, 1, 2]],
  ] as const)('%s', (mode, expected) => {
    expect(seen(mode)).toEqual([[expected]])
  })

  it('goes around an image of less than it takes with an error that says so', () => {
    expect(() => seen('reflect', { padding: 4 })).toThrow(
      "[Conv1d] mode 'reflect' pads dimension 2 of [1, 1, 4] by at most 3, but 4 is given",
    )
    expect(() => seen('circular', { padding: 5 })).toThrow(
      "mode 'circular' pads dimension 2 of [1, 1, 4] by at most 4, but 5 is given",
    )
    expect(seen('replicate', { padding: 5 })).toEqual([[[1, 1, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 4, 4]]])
  })

  it('stands behind an even kernel that keeps the size', () => {
    const layer = new nn.Conv2d(1, 1, [1, 2], { padding: 'same', paddingMode: 'circular', bias: false })
    fill(layer.weight, tensor([[[[1, 10]]]]))
    expect(layer.forward(tensor([[[[1, 2, 3]]]])).toArray()).toEqual([[[[21, 32, 13]]]])
  })

  it('is also before the layer is fused with a ReLU, and seen by its adapters', () => {
    const layer = new nn.Conv2d(2, 3, 3, { padding: 1, paddingMode: 'reflect' })
    const x = randn([1, 2, 4, 5])
    const both = new nn.Sequential(layer, new nn.ReLU()).forward(x)
    expect(both.toArray()).toEqual(new nn.ReLU().forward(layer.forward(x)).toArray())
    const model = applyLora(new nn.Sequential(layer), { targetModules: ['0'], rank: 2 })
    expect(model.forward(x).shape).toEqual([1, 3, 4, 5])
  })
})

describe('the size of a transposed convolution', () => {
  const layer = new nn.ConvTranspose2d(2, 3, 3, { stride: 2, padding: 1 })
  it('is chosen among those that its stride leaves open', () => {
    const x = randn([1, 2, 4, 5])
    expect(layer.forward(x).shape).toEqual([1, 3, 7, 9])
    expect(layer.forward(x, [8, 9]).shape).toEqual([1, 3, 8, 9])
    expect(layer.forward(x, [1, 3, 7, 10]).shape).toEqual([1, 3, 7, 10])
    expect(new nn.ConvTranspose1d(1, 1, 3, { stride: 3 }).forward(zeros([1, 1, 2]), [8]).shape).toEqual([1, 1, 8])
  })

  it('is refused where no padding gives it', () => {
    const x = randn([1, 2, 4, 5])
    expect(() => layer.forward(x, [9, 9])).toThrow('sizes from 7 to 8 in dimension 2')
    expect(() => layer.forward(x, [8])).toThrow('outputSize is [8], but must hold height and width')
  })
})

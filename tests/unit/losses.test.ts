/** Losses for which PyTorch's numbers do not follow a formula: infinities, impossible targets, nothing to compare. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { devices } from '../suites/support.js'

const { nn } = f
const list = (x: f.Tensor | null | undefined) => [...(x as f.Tensor).detach().dataSync()]
const leaf = (values: number[], shape: f.Shape = [values.length]) =>
  f.fromTypedArray(Float32Array.from(values), shape, { requiresGrad: true })
const ints = (values: number[], shape: f.Shape = [values.length]) => f.fromTypedArray(Int32Array.from(values), shape)
const { NaN: nan, POSITIVE_INFINITY: inf } = Number

function near(got: number[], wanted: number[], digits = 5): void {
  expect(got.length).toBe(wanted.length)
  wanted.forEach((x, i) => {
    if (Number.isFinite(x)) expect(got[i], `element ${i}`).toBeCloseTo(x, digits)
    else expect(got[i], `element ${i}`).toBe(x)
  })
}

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const logProbs = () => {
    const waves = Float32Array.from({ length: 36 }, (_, i) => Math.sin(0.7 * i))
    const x = f.logSoftmax(f.fromTypedArray(waves, [4, 3, 3]), -1).detach()
    return f.fromTypedArray(x.dataSync() as Float32Array, [4, 3, 3], { requiresGrad: true })
  }
  const targets = () => ints([1, 1, 1, 1, 2, 0, 0, 0, 0], [3, 3])

  it.each([false, true])(
    'ctcLoss of targets without an alignment, and without labels; zeroInfinity %s',
    (zeroInfinity) => {
      const x = logProbs()
      const losses = f.ctcLoss(x, targets(), ints([4, 3, 2]), ints([3, 2, 0]), { reduction: 'none', zeroInfinity })
      near(list(losses), [zeroInfinity ? 0 : inf, 2.294645, 2.317168])
      f.backward(losses, { gradient: f.ones([3]) })
      const none = zeroInfinity ? [0, 0, 0] : [nan, nan, nan]
      near(list(x.grad), [
        ...[...none, 0.274161, -0.431586, 0.157426, -0.684213, 0.282645, 0.401568],
        ...[...none, 0.274088, -0.095431, -0.178657, -0.687915, 0.282532, 0.405383],
        ...[...none, 0.274087, 0.310124, -0.584211, 0, 0, 0],
        ...[...none, 0, 0, 0, 0, 0, 0],
      ])
    },
  )

  it('ctcLoss takes targets one behind another, and lengths of any kind', () => {
    const joined = ints([1, 1, 2])
    for (const [t, inputs, lengths] of [
      [targets(), [4, 3, 2], [1, 2, 0]],
      [joined, ints([4, 3, 2]), [1, 2, 0]],
      [joined, [4, 3, 2], ints([1, 2, 0])],
    ] as const)
      expect(f.ctcLoss(logProbs(), t, inputs, lengths).item()).toBeCloseTo(2.164733, 5)
  })

  it('ctcLoss has a gradient of 0 for classes that cannot be', () => {
    const x = f.tensor(
      [
        [0, -1, -inf],
        [-1, 0, -inf],
      ],
      { requiresGrad: true },
    )
    f.ctcLoss(f.logSoftmax(x, -1), ints([1]), 2, 1).backward()
    for (const value of list(x.grad)) expect(value).not.toBeNaN()
  })

  it.each<(x: f.Tensor, y: f.Tensor, options: f.ReductionOptions) => f.Tensor>([f.smoothL1Loss, f.huberLoss])(
    '%o of infinities',
    (loss) => {
      const x = leaf([0, inf, -inf, 1, 3])
      const y = loss(x, f.zeros([5]), { reduction: 'none' })
      expect(list(y)).toEqual([0, inf, inf, 0.5, 2.5])
      f.sum(y).backward()
      expect(list(x.grad)).toEqual([0, 1, -1, 1, 1])
    },
  )

  it('binaryCrossEntropy of probabilities that leave no doubt', () => {
    const x = leaf([0, 1, 0])
    const y = f.binaryCrossEntropy(x, f.tensor([1, 0, 0]), { reduction: 'none' })
    near(list(y), [100, 100, 0])
    f.sum(y).backward()
    expect((list(x.grad)[0] as number) / 1e12).toBeCloseTo(-1, 5)
    expect((list(x.grad)[1] as number) / 1e12).toBeCloseTo(1, 5)
  })

  it('losses of logits do not overflow', () => {
    const x = leaf([1000, -1000])
    const y = f.binaryCrossEntropyWithLogits(x, f.tensor([0, 1]), { reduction: 'none' })
    expect(list(y)).toEqual([1000, 1000])
    f.sum(y).backward()
    expect(list(x.grad)).toEqual([1, -1])
    expect(list(f.softMarginLoss(x.detach(), f.tensor([-1, 1]), { reduction: 'none' }))).toEqual([1000, 1000])
  })

  it('klDiv of a share of 0 is 0, and of logits that are far apart finite', () => {
    near(list(f.klDiv(f.tensor([-1, -2]), f.tensor([0, 1]), { reduction: 'none' })), [0, 2])
    const student = leaf([0, 1], [1, 2])
    f.distillationLoss(student, f.tensor([[1000, -1000]])).backward()
    for (const value of list(student.grad)) expect(Number.isFinite(value)).toBe(true)
  })

  it('gaussianNllLoss reads a small variance as eps, and its gradient comes through', () => {
    const variance = leaf([1e-9, 2, -1])
    const y = f.gaussianNllLoss(f.zeros([3]), f.tensor([1e-3, 0, 0]), variance, { eps: 1e-6, reduction: 'none' })
    near(list(y), [0.5 * (Math.log(1e-6) + 1), 0.5 * Math.log(2), nan], 4)
    f.sum(y.narrow(0, 0, 2)).backward()
    expect(list(variance.grad)[1]).toBeCloseTo(0.25, 5)
    expect(Number.isFinite(list(variance.grad)[0])).toBe(true)
  })

  it('supervisedContrastive averages over vectors that have a partner, and is NaN without any', () => {
    const x = f.tensor([
      [1, 0],
      [0, 1],
      [1, 1],
    ])
    const each = list(f.supervisedContrastive(x, ints([0, 1, 0]), { reduction: 'none' })) as number[]
    expect(each[1]).toBe(0)
    const mean = f.supervisedContrastive(x, ints([0, 1, 0])).item()
    expect(mean).toBeCloseTo(((each[0] as number) + (each[2] as number)) / 2, 4)
    expect(f.supervisedContrastive(x, ints([0, 1, 2])).item()).toBeNaN()
  })

  it('bfloat16 logits give bfloat16 losses, computed in float32, and under autocast float32', () => {
    const x = f.randn([5, 7]).to('bfloat16')
    const labels = ints([0, 6, 3, 3, 1])
    const wide = x.to('float32')
    const low = f.crossEntropy(x, labels, { weight: f.ones([7]).to('bfloat16') })
    expect(low.dtype).toBe('bfloat16')
    expect(low.item()).toBe(f.crossEntropy(wide, labels).to('bfloat16').item())
    expect(f.nllLoss(x, labels).item()).toBe(f.nllLoss(wide, labels).to('bfloat16').item())
    expect(f.autocast('bfloat16', () => f.nllLoss(x, labels)).dtype).toBe('float32')
    expect(f.autocast('bfloat16', () => f.mseLoss(x, x)).dtype).toBe('float32')
    expect(f.mseLoss(x, wide).dtype).toBe('float32')
  })
})

it('weights of a loss are part of its state, under the names of PyTorch', () => {
  const keys = (layer: f.nn.Module) => [...layer.stateDict().keys()]
  expect(keys(new nn.CrossEntropyLoss({ weight: f.ones([3]) }))).toEqual(['weight'])
  expect(keys(new nn.BCEWithLogitsLoss({ posWeight: f.ones([3]) }))).toEqual(['pos_weight'])
  expect(keys(new nn.MSELoss())).toEqual([])
  const temperature = new nn.Parameter(f.tensor(0.1))
  expect([...new nn.ClipLoss({ temperature }).parameters()]).toEqual([temperature])
  expect(String(new nn.SmoothL1Loss({ beta: 0.5 }))).toBe('SmoothL1Loss(beta=0.5)')
})

it('a layer refuses its options when it is made', () => {
  expect(() => new nn.HuberLoss({ delta: -1 })).toThrow('[HuberLoss] delta is -1')
  expect(() => new nn.CTCLoss({ blank: -1 })).toThrow('[CTCLoss] blank is -1')
  expect(() => new nn.MSELoss({ reduction: 'median' as never })).toThrow("[MSELoss] reduction is 'median'")
  expect(() => new nn.NLLLoss({ weight: f.ones([2, 2]) })).toThrow('[NLLLoss] weight is [2, 2]')
  expect(() => new nn.TripletMarginLoss({ swap: 1 as never })).toThrow('[TripletMarginLoss] swap is 1')
  expect(() => new nn.SupConLoss({ temperature: 0 })).toThrow('[SupConLoss] temperature is 0')
})

it('layers give what their functions do', () => {
  const [x, y] = [f.randn([4, 3]), f.randn([4, 3])]
  expect(new nn.FocalLoss().forward(x, f.ones([4, 3])).item()).toBe(
    f.sigmoidFocalLoss(x, f.ones([4, 3]), { reduction: 'mean' }).item(),
  )
  expect(list(new nn.SmoothL1Loss({ beta: 0.3, reduction: 'none' }).forward(x, y))).toEqual(
    list(f.smoothL1Loss(x, y, { beta: 0.3, reduction: 'none' })),
  )
  const bag = new nn.EmbeddingBag(5, 2, { mode: 'sum', paddingIdx: -1 })
  expect(list(bag.weight.narrow(0, 4, 1))).toEqual([0, 0])
  expect(list(bag.forward(ints([0, 4, 2]), [0, 2]))).toEqual(
    list(f.embeddingBag(ints([0, 4, 2]), bag.weight, { mode: 'sum', offsets: [0, 2], paddingIdx: 4 })),
  )
})

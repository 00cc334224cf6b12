/** Metrics: what they count, in the shapes that the losses take and over long passes, and what they refuse. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  crossEntropy,
  type Device,
  DTypeError,
  defaultDevice,
  full,
  metrics,
  nn,
  optim,
  permute,
  randn,
  reshape,
  ShapeError,
  setDefaultDevice,
  type Tensor,
  Trainer,
  tensor,
  zeros,
} from '../../lib/index.js'
import { devices } from '../suites/support.js'

const labels = (values: number[] | number[][]) => tensor(values, { dtype: 'int32' }) as Tensor

async function measured(metric: metrics.Metric, ...batches: (readonly [Tensor, Tensor])[]): Promise<number> {
  for (const [output, target] of batches) metric.update(output, target)
  return metric.compute()
}

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const before = defaultDevice()
  beforeAll(() => setDefaultDevice(device))
  afterAll(() => setDefaultDevice(before))

  // The largest classes: 1, 0, 1.
  const logits = () =>
    tensor([
      [0, 1],
      [3, 2],
      [-2, -1],
    ]) as Tensor

  it('accuracy is the share of right rows, over all batches by their rows', async () => {
    expect(await measured(metrics.accuracy(), [logits(), labels([1, 1, 1])])).toBeCloseTo(2 / 3, 6)
    const two = [
      [logits(), labels([1, 0, 1])],
      [tensor([[1, 0]]) as Tensor, labels([1])],
    ] as const
    expect(await measured(metrics.accuracy(), ...two)).toBe(0.75)
  })

  it('rows that the loss ignores do not count', async () => {
    expect(await measured(metrics.accuracy(), [logits(), labels([1, -100, 0])])).toBe(0.5)
    expect(await measured(metrics.accuracy(), [logits(), labels([-100, -100, -100])])).toBeNaN()
    expect(await measured(metrics.accuracy({ ignoreIndex: 0 }), [logits(), labels([1, 0, 0])])).toBe(1)
    expect(await measured(metrics.accuracy({ ignoreIndex: -1 }), [logits(), labels([1, -1, 0])])).toBe(0.5)
    expect(await measured(metrics.accuracy(), [logits(), labels([1, 0, 0])], [logits(), labels([-100, -100, 1])])).toBe(
      0.75,
    )
  })

  it('classes lie along dimension 1, as for the loss, or along the last', async () => {
    const [n, c, t] = [2, 5, 3]
    const x = randn([n, c, t])
    const target = labels([
      [0, 1, 2],
      [3, 4, 0],
    ])
    expect(crossEntropy(x, target).item()).toBeGreaterThan(0)
    const first = await measured(metrics.accuracy(), [x, target])
    const last = await measured(metrics.accuracy(), [permute(x, [0, 2, 1]), target])
    const rows = reshape(permute(x, [0, 2, 1]), [n * t, c])
    const flat = await measured(metrics.accuracy(), [rows, reshape(target, [n * t])])
    expect([first, last]).toEqual([flat, flat])
    expect(await measured(metrics.accuracy(), [tensor([1, 5, 2]), tensor(1, { dtype: 'int32' }) as Tensor])).toBe(1)
  })

  it('where both would do, the dimension must be said', async () => {
    const x = tensor([
      [
        [9, 0],
        [0, 1],
      ],
    ]) as Tensor
    const target = labels([[0, 1]])
    expect(() => metrics.accuracy().update(x, target)).toThrow(ShapeError)
    expect(() => metrics.accuracy().update(x, target)).toThrow('use accuracy({ classDim: 1 }) or { classDim: -1 }')
    const other = tensor([
      [
        [0, 0],
        [5, 1],
      ],
    ]) as Tensor
    expect(await measured(metrics.accuracy({ classDim: 1 }), [other, target])).toBe(0.5)
    expect(await measured(metrics.accuracy({ classDim: -1 }), [other, target])).toBe(0.5)
    expect(await measured(metrics.accuracy({ classDim: -1 }), [x, target])).toBe(1)
  })

  it('bfloat16 outputs are taken', async () => {
    expect(await measured(metrics.accuracy(), [logits().to('bfloat16'), labels([1, 0, 0])])).toBeCloseTo(2 / 3, 6)
  })

  it('a long pass is counted exactly: more items than float32 can', async () => {
    const mean = new metrics.RunningMean()
    const [many, one] = [2 ** 22, 1]
    for (let i = 0; i < 8; i++) mean.update(full([], many), full([], many), many)
    for (let i = 0; i < 200; i++) mean.update(zeros([]), full([], one), one)
    expect(await mean.compute()).toBe((8 * many) / (8 * many + 200))
    mean.reset()
    expect(await mean.compute()).toBeNaN()
    mean.update(full([], 3), 2)
    expect(await mean.compute()).toBe(1.5)
  })

  it('takes the class with the largest share where targets are shares, as mixup makes them', async () => {
    const scores = tensor([
      [3, 1, 2],
      [0, 1, 4],
    ])
    const shares = tensor([
      [0.2, 0.1, 0.7],
      [0.4, 0, 0.6],
    ])
    expect(await measured(metrics.accuracy(), [scores, shares])).toBe(0.5)
    expect(await measured(metrics.accuracy({ classDim: -1 }), [scores, shares])).toBe(0.5)
    expect(await measured(metrics.topK(2), [scores, shares])).toBe(1)
    // Labels of several classes are not shares.
    expect(
      await measured(metrics.accuracy({ multilabel: true }), [
        scores,
        tensor([
          [1, 1, 0],
          [0, 1, 1],
        ]),
      ]),
    ).toBeCloseTo(5 / 6, 6)
    expect(() => metrics.f1().update(scores, shares)).toThrow('target is float32')
  })

  it('the Trainer gives the accuracy of a pass under mixed precision', async () => {
    const model = new nn.Linear(1, 2)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: crossEntropy,
      metrics: { accuracy: () => metrics.accuracy({ ignoreIndex: 1 }) },
      precision: 'bfloat16',
    })
    model.loadStateDict({ weight: tensor([[1], [0]]), bias: zeros([2]) })
    const batch = [tensor([[1], [2], [-3]]) as Tensor, labels([0, 1, 0])] as const
    expect((await trainer.evaluate([batch]))['accuracy']).toBe(0.5)
  })
})

it('what is no label, or has another shape, is refused', () => {
  const metric = metrics.accuracy()
  const x = zeros([2, 3])
  expect(() => metric.update(x, zeros([2]))).toThrow(DTypeError)
  expect(() => metric.update(x, zeros([2]))).toThrow('[accuracy] target is float32, but must be int32')
  expect(() => metric.update(3 as never, labels([0, 1]))).toThrow('[accuracy] output must be a tensor')
  expect(() => metric.update(x, labels([0, 1, 2]))).toThrow('[accuracy] outputs are [2, 3], targets [3]')
  expect(() => metric.update(x, zeros([2, 3], { dtype: 'int32' }))).toThrow(ShapeError)
  expect(() => metrics.accuracy({ classDim: 1 }).update(zeros([2, 3, 4]), zeros([2, 3], { dtype: 'int32' }))).toThrow(
    'without the dimension of the classes, which is 1',
  )
  // A single class is always the largest, whatever its logit.
  expect(() => metric.update(zeros([2, 1]), labels([0, 1]))).toThrow(
    '[accuracy] outputs are [2, 1], which is a single class',
  )
  expect(() => metrics.accuracy(0 as never)).toThrow('[accuracy] options are the number 0')
  expect(() => metrics.accuracy({ ignoreIndex: 0.5 })).toThrow('[accuracy] ignoreIndex is 0.5')
  expect(() => metrics.accuracy({ ignoreindex: 1 } as never)).toThrow('there is no option ignoreindex')
})

/** The predicted peak of a step against the measured one, and steps that must fit in less. */
import { describe, expect, it } from 'vitest'
import {
  type Batch,
  DataLoader,
  defaultGenerator,
  manualSeed,
  memory,
  mseLoss,
  nn,
  optim,
  randn,
  type Tensor,
  TensorDataset,
  Trainer,
  type TrainerOptions,
  unavailable,
  ValueError,
} from '../../lib/index.js'
import { parseBytes } from '../../lib/train/preflight/budget.js'
import { compare, configurations } from '../end-to-end/configurations.js'

const quiet = { progress: false } as const
const bits = (tensors: Iterable<Tensor>) => [...tensors].map((tensor) => [...tensor.dataSync()])

/** Layers that are as wide as they are deep, over rows that take more memory than the layers. */
function deep(middle: () => nn.Layer = () => new nn.Tanh()) {
  const layers = Array.from(
    { length: 4 },
    () => new nn.Sequential<readonly nn.Layer[]>(new nn.Linear(16, 64), middle(), new nn.Linear(64, 16)),
  )
  return new nn.Sequential<readonly nn.Layer[]>(...layers)
}

const batch = (rows = 64): Batch => [randn([rows, 16]), randn([rows, 16])]

function trainer(model: nn.Model = deep() as nn.Model, more: object = {}) {
  const options = { optimizer: new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 }), loss: mseLoss, ...more }
  return new Trainer(model, options as unknown as TrainerOptions<string, Batch, nn.Model>)
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail('did not throw'),
    (error: Error) => error,
  )

describe.skipIf(unavailable('cpu') !== null)('the predicted peak', () => {
  it.each(
    configurations(16)
      .filter((_, i) => i % 2 === 1 || i === 2 || i === 4)
      .map((each) => [each.name, each] as const),
  )('of %s is the measured one', async (_, each) => {
    const { predicted, measured } = await compare(each)
    expect(Math.abs(predicted.total / measured - 1)).toBeLessThan(0.05)
  })
})

describe('a prediction', () => {
  it('leaves everything as it was', async () => {
    manualSeed(3)
    const model = new nn.Sequential(
      new nn.Linear(16, 8),
      new nn.BatchNorm1d(8),
      new nn.Dropout(0.5),
      new nn.Linear(8, 16),
    )
    const optimizer = new optim.AdamW(model.parameters())
    const one = new Trainer(model, { optimizer, loss: mseLoss })
    await one.fit([batch()], quiet)
    for (const parameter of model.parameters()) parameter.grad = parameter.detach().clone()
    model.eval()
    const loader = new DataLoader(new TensorDataset(randn([64, 16]), randn([64, 16])), { batchSize: 8, shuffle: true })
    const state = () => ({
      weights: bits(model.stateDict().values()),
      states: [...optimizer.stateDict().state].map(([name, { step, tensors }]) => [
        name,
        step,
        bits(Object.values(tensors)),
      ]),
      gradients: [...model.parameters()].map((parameter) => parameter.peekGrad()),
      modes: model.modules().map(({ training }) => training),
      storages: [...model.parameters()].map(({ storage }) => storage),
      random: defaultGenerator().stateDict(),
      loader: loader.stateDict(),
    })
    const before = state()
    const { bytes, tensors } = memory()
    await one.predictMemory(loader)
    expect(state()).toEqual(before)
    expect(memory().bytes - bytes).toBeLessThan(16_384)
    expect(tensors).toBeGreaterThan(0)
  })

  it('counts what is there by kinds', async () => {
    const model = deep()
    const found = await trainer(model as nn.Model).predictMemory(batch())
    const bytes = 4 * [...model.parameters()].reduce((sum, { numel }) => sum + numel, 0)
    expect(found).toMatchObject({ weights: bytes, gradients: bytes, optimizer: bytes, batch: 2 * 4 * 64 * 16 })
    expect(found.peak).toBeGreaterThan(3 * bytes + found.activations)
    expect(String(found)).toMatch(/^peak +[\d.]+ kB\nweights/)
  })

  it('is refused where the step reads elements, by name', async () => {
    const reading = new nn.Sequential(new nn.Linear(16, 16), (x: Tensor) => x.mul(x.sum().item()))
    const error = await rejection(trainer(reading as nn.Model).predictMemory(batch()))
    expect(error).toBeInstanceOf(ValueError)
    expect(error.message).toMatch(/^\[Trainer.predictMemory\] .*cannot be predicted.*\[item\]/)
    expect(
      await rejection(trainer(new nn.Linear(16, 16) as nn.Model).predictMemory(batch(), { checkpointing: true })),
    ).toMatchObject({
      message: expect.stringContaining('Linear declares none'),
    })
  })
})

describe('fit within memory', () => {
  it.each([2, 3])('cuts batches along their rows, and learns the same, with accumulate %i', async (accumulate) => {
    const data = [batch(60), batch(24)]
    const weights: number[][][] = []
    for (const share of [1, 0.5]) {
      manualSeed(1)
      const model = deep() as nn.Model
      const one = trainer(model, accumulate === 2 ? {} : { accumulate })
      const { peak, weights: own } = await one.predictMemory(data[0] as Batch)
      const history = await one.fit(data, { ...quiet, memory: 3 * own + share * (peak - 3 * own) })
      weights.push(bits(model.parameters()))
      expect(history.memory?.prediction.parts).toBe(share === 1 ? 1 : 4)
      expect(history.memory?.prediction.recomputed).toBe(0)
      expect(history.epochs[0]?.loss).toBeGreaterThan(0)
      if (share !== 1)
        expect(String(history)).toMatch(/memory: batches of 60 rows in 4 parts of 15: .* predicted of .* without/)
    }
    for (const [i, each] of (weights[0] as number[][]).entries())
      for (const [k, value] of each.entries()) expect(weights[1]?.[i]?.[k]).toBeCloseTo(value, 5)
  })

  it('computes blocks again where rows see each other, which batch norm does, with the same bits', async () => {
    const found: number[][][] = []
    for (const share of [1, 0.8]) {
      manualSeed(1)
      const model = deep(() => new nn.BatchNorm1d(64)) as nn.Model
      const one = trainer(model)
      const { peak } = await one.predictMemory(batch())
      manualSeed(2)
      const history = await one.fit([batch(), batch()], { ...quiet, memory: share * peak })
      expect(history.memory?.prediction).toMatchObject({ parts: 1, recomputed: share === 1 ? 0 : 4 })
      found.push(bits(model.parameters()))
    }
    expect(found[1]).toEqual(found[0])
  })

  it('refuses what does not fit, with the smallest prediction', async () => {
    const one = trainer()
    const peaks = await Promise.all(
      [1, 2, 4, 8].flatMap((parts) =>
        [false, true].map((checkpointing) => one.predictMemory(batch(8), { parts, checkpointing })),
      ),
    )
    const smallest = Math.min(...peaks.map(({ peak }) => peak))
    const error = await rejection(one.fit([batch(8)], { ...quiet, memory: smallest - 1 }))
    expect(error).toBeInstanceOf(ValueError)
    expect(error.message).toMatch(/does not fit in .*the smallest prediction is .*, each batch in \d parts/)
    await one.fit([batch(8)], { ...quiet, memory: smallest })
  })

  it('sees that a loss is no sum over rows', async () => {
    const apart = {
      step: ([x]: Batch) => ({ total: model.forward(x).mean(0).square().sum(), count: 1 }),
      loss: undefined,
    }
    const model = new nn.Linear(16, 16) as nn.Model
    const error = await rejection(trainer(model, apart).fit([batch()], { ...quiet, memory: 100 }))
    expect(error.message).toContain('so rows see each other')
  })

  it('looks again where a batch is larger than those before', async () => {
    const one = trainer()
    const { peak } = await one.predictMemory(batch(32))
    const history = await one.fit([batch(32), batch(16), batch(64)], { ...quiet, memory: peak })
    expect(history.memory).toMatchObject({ rows: 64, partRows: 16 })
  })

  it('takes bytes in the usual units, and refuses others', () => {
    const found = ['8 GB', '1.5KiB', ' 2 mib ', '7 B', 100].map((given) => parseBytes('fit', given))
    expect(found).toEqual([8e9, 1536, 2 ** 21, 7, 100])
    for (const wrong of ['8', '8 XB', '1.2.3 GB', '', 0, -1, Number.NaN, Number.POSITIVE_INFINITY, null, true])
      expect(() => parseBytes('fit', wrong)).toThrow(ValueError)
  })
})

it('an option of the Trainer computes blocks again', async () => {
  const one = trainer(undefined, { checkpointing: true })
  const plain = await trainer().predictMemory(batch())
  const thrifty = await one.predictMemory(batch())
  expect(thrifty.peak).toBeLessThan(plain.peak)
  expect(thrifty.multiplyAdds).toBeGreaterThan(1.2 * plain.multiplyAdds)
  await one.fit([batch()], quiet)
  expect(() => trainer(undefined, { checkpointing: 1 })).toThrow('checkpointing is 1')
  const error = await rejection(
    trainer(new nn.Linear(16, 16) as nn.Model, { checkpointing: true }).fit([batch()], quiet),
  )
  expect(error.message).toContain('Linear declares none')
})

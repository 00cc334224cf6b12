/** Results of a Trainer's model: anything that the loss and the metrics accept. */
import { describe, expect, it } from 'vitest'
import {
  type Batch,
  type Metric,
  manualSeed,
  metrics,
  mseLoss,
  nn,
  optim,
  randn,
  type Tensor,
  Trainer,
  ValueError,
} from '../../lib/index.js'

const quiet = { progress: false } as const
const sequences = (): Batch[] => Array.from({ length: 4 }, () => [randn([2, 3, 5]), randn([2, 4])])

describe('a Trainer', () => {
  it('trains and measures a model that gives a record', async () => {
    manualSeed(3)
    const model = new nn.LSTM(5, 4, { batchFirst: true })
    /** The mean size of the memory at the end. */
    const memory = (): Metric<nn.LstmResult> => {
      const mean = new metrics.RunningMean()
      return {
        reset: () => mean.reset(),
        update: ({ state: [, c] }) => mean.update(c.abs().sum(), c.numel),
        compute: () => mean.compute(),
      }
    }
    const trainer = new Trainer(model, {
      optimizer: new optim.Adam(model.parameters(), { lr: 0.05 }),
      loss: ({ state: [h] }, target) => mseLoss(h.squeeze(0), target),
      metrics: { memory },
    })
    const data = sequences()
    const { epochs } = await trainer.fit(data, { epochs: 8, validation: data, ...quiet })
    const [first, last] = [epochs[0], epochs[7]]
    expect(last?.loss).toBeLessThan(first?.loss as number)
    expect(last?.memory).toBeGreaterThan(0)
    // Weights have not changed since the last validation.
    expect(await trainer.evaluate(data)).toEqual(last?.validation)
  })

  it('trains a function behind a model, within a Sequential, and refuses a bare one', async () => {
    const body = new nn.GRU(5, 4, { batchFirst: true })
    const model = new nn.Sequential(body, (x: Tensor) => x.select(1, -1))
    const options = { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: mseLoss }
    const before = body.stateDict().get('weight_ih_l0')?.toArray()
    await new Trainer(model, options).fit(sequences(), quiet)
    expect(body.stateDict().get('weight_ih_l0')?.toArray()).not.toEqual(before)
    const bare = ((x: Tensor) => x) as never
    expect(() => new Trainer(bare, options)).toThrow(ValueError)
    expect(() => new Trainer(bare, options)).toThrow(
      '[Trainer] the model is a function, but must be a module; put functions and learning modules into one nn.Sequential',
    )
  })

  it('refuses a model that gives a promise', async () => {
    class Late extends nn.Linear {
      override forward(x: Tensor): never {
        return Promise.resolve(super.forward(x as never)) as never
      }
    }
    const model = new Late(5, 4)
    const trainer = new Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: mseLoss })
    await expect(trainer.fit([[randn([2, 5]), randn([2, 4])]], quiet)).rejects.toThrow(
      "the model's forward gave a Promise, but must give the loss's input, not a promise",
    )
  })
})

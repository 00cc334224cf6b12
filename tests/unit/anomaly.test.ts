/** Losses and gradients that are not finite: the operator, module and step from which they come. */
import { describe, expect, it } from 'vitest'
import {
  type Batch,
  manualSeed,
  mseLoss,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  type Tensor,
  Trainer,
  type TrainerOptions,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const quiet = { progress: false } as const

class Part extends nn.Module {
  readonly linear = new nn.Linear(3, 3)
  readonly dropout = new nn.Dropout(0.5)
  readonly #after: (x: Tensor) => Tensor

  constructor(after: (x: Tensor) => Tensor) {
    super()
    this.#after = after
  }

  forward(x: Tensor): Tensor {
    return this.#after(this.dropout.forward(this.linear.forward(x)))
  }
}

function make(after: (x: Tensor) => Tensor, more: object = {}) {
  manualSeed(1)
  const part = new Part(after)
  const model = new nn.Sequential(new nn.BatchNorm1d(3), part)
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const options = { optimizer, loss: mseLoss, ...more } as unknown as TrainerOptions<string, Batch, nn.Model>
  return { model, part, trainer: new Trainer(model as nn.Model, options) }
}

const batch = (): Batch => [randn([4, 3]), ones([4, 3])]
const weights = (model: nn.Module) => [...model.stateDict().values()].map((tensor) => [...tensor.dataSync()])

async function warnings(): Promise<readonly string[]> {
  await new Promise((resolve) => setImmediate(resolve))
  return takeOutput()
}

describe('detectAnomaly', () => {
  it.each([
    [
      'NaN in a forward',
      (x: Tensor) => x.sub(100).log(),
      /step 2 is not finite: the first that is not finite: NaN came from log in Sequential\.1, in the forward pass/,
    ],
    [
      'infinity before NaN',
      (x: Tensor) => x.mul(0).add(1000).exp().mul(0),
      /an infinite number came from exp in Sequential\.1, in the forward pass; then NaN came from mul in Sequential\.1/,
    ],
    [
      'a gradient',
      (x: Tensor) => x.mul(0).sqrt(),
      /(an infinite number|NaN) came from sqrt in Sequential\.1, in the backward pass/,
    ],
  ])('names the operator of %s, and leaves the weights as they are', async (_, wrong, text) => {
    let steps = 0
    const { model, trainer } = make((x) => (steps++ === 0 || steps > 3 ? x : wrong(x)), { detectAnomaly: true })
    await trainer.fit([batch()], quiet)
    const before = weights(model)
    steps = 1
    const error = await trainer.fit([batch()], quiet).then(
      () => null,
      (thrown: Error) => thrown,
    )
    expect(error?.name).toBe('ValueError')
    expect(error?.message).toMatch(text)
    // Batch norm's statistics have seen the batch once, and no parameter has changed.
    expect(weights(model).slice(0, 2)).toEqual(before.slice(0, 2))
    expect(model.at(0) instanceof nn.BatchNorm1d && model.at(0)?.numBatchesTracked?.item()).toBe(2)
  })

  it('names the batch and parameters', async () => {
    const { part, trainer } = make((x) => x, { detectAnomaly: true })
    await expect(trainer.fit([[ones([4, 3]).div(0), ones([4, 3])]] as Batch[], quiet)).rejects.toThrow(
      'an infinite number is in the batch itself',
    )
    noGrad(() => part.linear.bias?.fill_(Number.NaN))
    await expect(trainer.fit([batch()], quiet)).rejects.toThrow('NaN is in the parameter 1.linear.bias')
  })

  it('changes nothing where all is finite', async () => {
    const found = []
    for (const detectAnomaly of [false, true]) {
      const { model, trainer } = make((x) => x.tanh(), { detectAnomaly })
      await trainer.fit([batch(), batch(), batch()], quiet)
      found.push(weights(model))
    }
    expect(found[1]).toEqual(found[0])
    expect(() => make((x) => x, { detectAnomaly: 'yes' })).toThrow("detectAnomaly is 'yes'")
  })
})

it('without it, the step behind is looked through, and what it finds is said', async () => {
  let steps = 0
  const { trainer } = make((x) => (steps++ === 1 ? x.div(0) : x))
  const history = await trainer.fit(Array.from({ length: 6 }, batch), quiet)
  expect(history.nonFinite).toMatchObject({ epoch: 0, index: 1 })
  const told = await warnings()
  expect(told).toHaveLength(2)
  expect(told[0]).toContain('the loss of batch 2 of epoch 1 is')
  expect(told[1]).toMatch(
    /examined step \d, because an earlier loss was not finite .*: the first that is not finite: NaN is in the parameter /,
  )
})

/** Ensembles, soups of weights, and snapshots of a run. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

const { nn, optim } = f

/** A model that gives the same scores for every row. */
class Scores extends nn.Module {
  readonly scores: f.nn.Parameter

  constructor(scores: readonly number[], device = 'cpu') {
    super()
    this.scores = new nn.Parameter(f.tensor(scores, { device }))
  }

  forward(x: f.Tensor): f.Tensor {
    return this.scores.expand([x.sizes[0] as number, this.scores.numel])
  }
}

const rows = (x: f.Tensor) => x.detach().exp().toArray() as number[][]
const close = (values: readonly number[], wanted: readonly number[]) => {
  for (const [i, value] of wanted.entries()) expect(values[i]).toBeCloseTo(value, 5)
}

describe.each(deviceNames)('an ensemble on %s', (device) => {
  const x = f.zeros([2, 1], { device })
  const logs = (...probabilities: number[]) => new Scores(probabilities.map(Math.log), device)
  const members = () => [logs(0.7, 0.2, 0.1), logs(0.1, 0.6, 0.3), logs(0.1, 0.5, 0.4)]

  it('has the mean of the probabilities', () => {
    const [row = []] = rows(new f.Ensemble(members()).forward(x))
    close(row, [0.3, 1.3 / 3, 0.8 / 3])
  })

  it('has the mean of the logits', () => {
    const made = new f.Ensemble([new Scores([1, 2], device), new Scores([3, -4], device)], { combine: 'logits' })
    expect(made.forward(x).toArray()).toEqual([
      [2, -1],
      [2, -1],
    ])
  })

  it('counts votes, none of which makes a class impossible', () => {
    const [row = []] = rows(new f.Ensemble(members(), { combine: 'votes' }).forward(x))
    close(row, [2 / 6, 3 / 6, 1 / 6])
  })

  it('keeps probabilities that no float could hold', () => {
    const made = new f.Ensemble([new Scores([0, -500], device), new Scores([0, -400], device)])
    close((made.forward(x).toArray() as number[][])[0] as number[], [0, -400 - Math.log(2)])
  })
})

describe('an ensemble', () => {
  it('finds classes in another dimension', () => {
    class Swapped extends nn.Module {
      readonly inner: Scores

      constructor(inner: Scores) {
        super()
        this.inner = inner
      }

      forward(x: f.Tensor): f.Tensor {
        return this.inner.forward(x).transpose(0, 1)
      }
    }
    const members = [new Scores([3, 1, 2]), new Scores([0, 5, 1]), new Scores([9, 0, 0])]
    const x = f.zeros([2, 1])
    for (const combine of ['votes', 'probabilities'] as const) {
      const wanted = new f.Ensemble(members, { combine, dim: -1 }).forward(x).transpose(0, 1).toArray()
      expect(
        new f.Ensemble(
          members.map((member) => new Swapped(member)),
          { combine, dim: 0 },
        )
          .forward(x)
          .toArray(),
      ).toEqual(wanted)
    }
  })

  it('is a module: its state, its gradients, its mode', () => {
    const made = new f.Ensemble([new nn.Linear(3, 2), new nn.Linear(3, 2)])
    expect([...made.stateDict().keys()]).toEqual([
      ...['members.0.weight', 'members.0.bias', 'members.1.weight', 'members.1.bias'],
    ])
    made
      .forward(f.rand([4, 3]))
      .square()
      .sum()
      .backward()
    expect([...made.parameters()].every(({ grad }) => grad !== null)).toBe(true)
    made.eval()
    expect([...made.members].map(({ training }) => training)).toEqual([false, false])
  })

  it('stands in for the model in evaluate and predict, and puts its mode back', async () => {
    const good = new Scores([0, 9])
    const model = new Scores([9, 0])
    const trainer = new f.Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: nn.functional.crossEntropy,
      metrics: { accuracy: f.metrics.accuracy },
    })
    const test = [[f.zeros([4, 1]), f.ones([4], { dtype: 'int32' })]] as const
    const voters = new f.Ensemble([model, good, new Scores([0, 9])], { combine: 'votes' })
    expect((await trainer.evaluate(test)).accuracy).toBe(0)
    expect((await trainer.evaluate(test, { model: voters })).accuracy).toBe(1)
    expect(voters.training).toBe(true)
    for await (const output of trainer.predict(test, { model: good }))
      expect(output.toArray()).toEqual(Array(4).fill([0, 9]))
    await expect(trainer.evaluate(test, { model: 3 as never })).rejects.toThrow(
      'model is the number 3, but must be a module',
    )
  })

  it('is refused where the trainer runs its own model', async () => {
    const model = new Scores([1, 2])
    const step = () => ({ total: model.scores.sum(), count: 1 })
    const trainer = new f.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), step })
    await expect(trainer.evaluate([1] as never, { model: new Scores([1, 2]) })).rejects.toThrow(
      'give the Trainer a loss or an objective',
    )
  })

  it.each<[RegExp, () => unknown]>([
    [/members are empty; give at least one/, () => new f.Ensemble([])],
    [/members\[1\] is the number 3, but must be a module/, () => new f.Ensemble([new Scores([1]), 3 as never])],
    [/combine is 'mean'/, () => new f.Ensemble([new Scores([1])], { combine: 'mean' as never })],
    [
      /dim is 2, but members gave \[1, 2\]/,
      () => new f.Ensemble([new Scores([1, 2])], { dim: 2 }).forward(f.zeros([1, 1])),
    ],
    [
      /member 0 gave \[1, 2\], but member 1 \[1, 3\]/,
      () => new f.Ensemble([new Scores([1, 2]), new Scores([1, 2, 3])]).forward(f.zeros([1, 1])),
    ],
    [
      /members\[0\] and members\[1\] are the same module/,
      () => {
        const one = new Scores([1])
        return new f.Ensemble([one, one])
      },
    ],
    [
      /member 0, a LSTM, gave an object, but an ensemble combines tensors/,
      () => new f.Ensemble([new nn.LSTM(2, 2) as unknown as f.Voter]).forward(f.zeros([1, 1, 2]) as never),
    ],
  ])('says %s', (message, make) => expect(make).toThrow(message))
})

describe('averageWeights', () => {
  const valued = (value: number) => new Scores([value, -value])
  const first = ({ scores }: Scores) => scores.detach().dataSync()[0] as number

  it('gives the mean of weights and running statistics, and keeps counters', async () => {
    const norms = [1, 2, 6].map((value) => {
      const norm = new nn.BatchNorm1d(2)
      f.noGrad(() => {
        norm.weight?.fill_(value)
        norm.runningMean?.fill_(10 * value)
        norm.numBatchesTracked?.fill_(value)
      })
      return norm
    })
    const { model, taken, score } = await f.averageWeights(norms, { into: new nn.BatchNorm1d(2) })
    expect([model.weight?.toArray(), model.runningMean?.toArray(), model.numBatchesTracked?.item()]).toEqual([
      ...[
        [3, 3],
        [30, 30],
      ],
      1,
    ])
    expect([taken, score]).toEqual([[0, 1, 2], null])
  })

  it('of equal models is that model, to the bit', async () => {
    const { model } = await f.averageWeights([0.1, 0.1, 0.1].map(valued), { into: valued(0) })
    expect(model.scores.toArray()).toEqual(valued(0.1).scores.toArray())
  })

  it('takes greedily what makes the score no worse', async () => {
    // A first weight nearer to 10 is better.
    const greedy = (model: Scores) => -Math.abs(first(model) - 10)
    const models = [4, 12, 9, 30].map(valued)
    const soup = await f.averageWeights(models, { into: valued(0), greedy })
    // 9 is the best. 12 makes the mean 10.5, which is better, whereas 4 and 30 make it worse.
    expect([soup.taken, soup.score, soup.model.scores.toArray()]).toEqual([[2, 1], -0.5, [10.5, -10.5]])
    expect(models.map(first)).toEqual([4, 12, 9, 30])
  })

  it('names what misfits', async () => {
    const wrong = f.averageWeights([new nn.Linear(3, 2), new nn.Linear(3, 4)], {
      into: new nn.Linear(3, 2, { bias: false }),
    })
    await expect(wrong).rejects.toThrow(f.StateDictError)
    await expect(wrong).rejects.toThrow(
      /weight of models\[1\] is float32 \[4, 3\], but of models\[0\] float32 \[2, 3\]/,
    )
    await expect(wrong).rejects.toThrow(/into lacks bias, which models\[0\] has/)
    const own = valued(1)
    await expect(f.averageWeights([own, valued(2)], { into: own })).rejects.toThrow(
      /into shares scores with models\[0\]/,
    )
    const greedy = () => Number.NaN
    await expect(f.averageWeights([own], { into: valued(2), greedy })).rejects.toThrow(
      /greedy gave NaN for models\[0\]/,
    )
  })
})

it('snapshots are the weights at the ends of cycles, and an ensemble can be made of them', async () => {
  const model = valuedLinear()
  const taken = f.snapshots({ every: 2 })
  const seen: unknown[] = []
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const trainer = new f.Trainer(model, {
    optimizer,
    loss: f.mseLoss,
    schedule: new optim.CosineAnnealingWarmRestarts(optimizer, { t0: 2 }),
    scheduleEvery: 'epoch',
    callbacks: [taken, { onEpochEnd: () => void seen.push(model.weight.toArray()) }],
  })
  await trainer.fit([[f.ones([2, 2]), f.ones([2, 1])]], { epochs: 5, progress: false })
  expect(taken.states.map((state) => state.get('weight')?.toArray())).toEqual([seen[1], seen[3]])
  const members = taken.states.map((state) => {
    const member = new nn.Linear(2, 1)
    member.loadStateDict(state)
    return member
  })
  const x = f.ones([1, 2])
  const mean = members.reduce((sum, member) => sum + member.forward(x).item() / 2, 0)
  expect(new f.Ensemble(members, { combine: 'logits' }).forward(x).item()).toBeCloseTo(mean, 5)
  const again = f.snapshots({ every: 2 })
  again.loadStateDict(taken.stateDict())
  expect(again.states.map((state) => state.get('weight')?.toArray())).toEqual([seen[1], seen[3]])
  expect(() => f.snapshots({ every: 0 })).toThrow('every is 0, but must be a positive number of epochs')
})

function valuedLinear(): f.nn.Linear {
  const model = new nn.Linear(2, 1)
  f.noGrad(() => {
    for (const parameter of model.parameters()) parameter.fill_(0.1)
  })
  return model
}

/** The check of a training before it begins: its findings, and that it leaves no trace. */
import { describe, expect, it } from 'vitest'
import {
  type Batch,
  crossEntropy,
  DataLoader,
  defaultGenerator,
  manualSeed,
  memory,
  mseLoss,
  nn,
  noGrad,
  optim,
  randn,
  type Tensor,
  TensorDataset,
  Trainer,
  type TrainerOptions,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

const bits = (tensors: Iterable<Tensor>) => [...tensors].map((each) => [...each.dataSync()])
const labelsOf = (labels: readonly number[]) => tensor([...labels], { dtype: 'int32' })
const classes = 4

function trainerOf(model: nn.Module, more: object = {}) {
  const options = { optimizer: new optim.Adam(model.parameters(), { lr: 0.01 }), loss: crossEntropy, ...more }
  return new Trainer(model as nn.Model, options as unknown as TrainerOptions<string, Batch, nn.Model>)
}

const rows = (count: number, seed = 0): [Tensor, Tensor] => {
  manualSeed(seed)
  return [randn([count, 6]), labelsOf(Array.from({ length: count }, (_, i) => i % classes))]
}

/** A model of two layers, with a function between them that causes the fault. */
class Net extends nn.Module {
  readonly first = new nn.Linear(6, 8)
  readonly second = new nn.Linear(8, classes)
  readonly #between: (x: Tensor) => Tensor

  constructor(between: (x: Tensor) => Tensor) {
    super()
    this.#between = between
  }

  forward(x: Tensor): Tensor {
    return this.second.forward(this.#between(this.first.forward(x)))
  }
}

const find = (
  { findings }: { readonly findings: readonly { readonly about: string; readonly text: string }[] },
  about: string,
) => findings.filter((each) => each.about === about).map(({ text }) => text)

describe('a check', () => {
  it('of a sound training finds nothing, and says its numbers', async () => {
    manualSeed(0)
    const model = new Net((x) => x.tanh())
    const loader = new DataLoader(new TensorDataset(...rows(16)), { batchSize: 8 })
    const validation = new DataLoader(new TensorDataset(...rows(8, 1)), { batchSize: 8 })
    const report = await trainerOf(model).check(loader, { validation, steps: 4 })
    expect(report.findings).toEqual([])
    expect(report.ok).toBe(true)
    expect(report.loss).toMatchObject({ chance: Math.log(classes), classes })
    expect(report.gradients).toMatchObject({ learning: 4, reached: 4, cut: [], zero: [], nonFinite: [] })
    expect(report.overfit?.losses).toHaveLength(5)
    expect(report.labels).toMatchObject({
      classes,
      count: 16,
      ignored: 0,
      outOfRange: 0,
      neverSeenCount: 0,
      largestShare: 0.25,
    })
    expect(report.rows).toEqual({ training: 16, validation: 8, both: 0, isComplete: true })
    expect(report.time?.epoch).toBeCloseTo(2 * (report.time?.step ?? 0), 9)
    expect(report.memory?.weights).toBe(4 * (6 * 8 + 8 + 8 * classes + classes))
    const text = String(report)
    expect(text).toMatch(/^Check: 0 faults, 0 warnings\n {2}loss {7}1\.\d+ at first; chance gives 1\.386 \(4 classes\)/)
    expect(text).toContain('at 4 of 4 parameters that learn')
    expect(text).toContain('0 of 8 of the validation are among 16 of the training')
  })

  it('leaves model, optimizer, random numbers, data and metrics as they were, to the bit', async () => {
    manualSeed(5)
    class Counting extends nn.Module {
      readonly body = new nn.Sequential(
        new nn.Linear(6, 8),
        new nn.BatchNorm1d(8),
        new nn.Dropout(0.3),
        new nn.Linear(8, classes),
      )
      calls = 0
      last: Tensor | null = null
      forward(x: Tensor): Tensor {
        this.calls++
        this.last = this.body.forward(x)
        return this.last
      }
    }
    const model = new Counting()
    let updates = 0
    const metric = { reset() {}, update: () => void updates++, compute: async () => 0 }
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 })
    const trainer = trainerOf(model, { optimizer, metrics: { seen: () => metric }, clipGradNorm: 1 })
    const loader = new DataLoader(new TensorDataset(...rows(16)), { batchSize: 4, shuffle: true })
    await trainer.fit(loader, { progress: false })
    model.eval()
    model.body.train()
    const state = () => ({
      weights: bits(model.stateDict().values()),
      states: [...optimizer.stateDict().state].map(([name, { step, tensors }]) => [
        name,
        step,
        bits(Object.values(tensors)),
      ]),
      groups: optimizer.paramGroups.map((group) => ({ ...group })),
      gradients: [...model.parameters()].map((parameter) => parameter.peekGrad()),
      storages: [...model.stateDict().values()].map(({ storage }) => [storage.handle, storage.version]),
      modes: model.modules().map(({ training }) => training),
      random: defaultGenerator().stateDict(),
      loader: loader.stateDict(),
      own: [model.calls, model.last, updates],
    })
    const before = state()
    const { bytes } = memory()
    const report = await trainer.check(loader, { validation: loader, steps: 3 })
    expect(report.overfit?.losses[3]).toBeLessThan(report.overfit?.losses[0] ?? 0)
    expect(state()).toEqual(before)
    expect(memory().bytes - bytes).toBeLessThan(65_536)
  })

  it.each([
    ['detach', (x: Tensor) => x.detach().tanh(), 'is cut off by a detach() before tanh in Net'],
    ['noGrad', (x: Tensor) => noGrad(() => x.tanh()), 'is cut off by noGrad at tanh in Net'],
    ['operator', (x: Tensor) => x.to('int32').to('float32'), 'is cut off by to in Net, which has no gradient'],
    [
      'unused',
      (x: Tensor) => zeros([x.size(0), 8]).add(x.sum().item()),
      'was last read by sum in Net, whose result reaches no loss as a tensor',
    ],
  ])('names what cuts gradients off: %s', async (cause, between, text) => {
    const report = await trainerOf(new Net(between)).check(rows(8), { steps: 0 })
    expect(report.ok).toBe(false)
    expect(report.gradients).toMatchObject({ learning: 4, reached: 2 })
    expect(report.gradients?.cut.map((cut) => cut.cause)).toEqual([cause, cause])
    expect(report.gradients?.cut[0]?.text).toBe(`first.weight ${text}`)
    expect(find(report, 'gradients')).toEqual([
      expect.stringContaining('each of 2 parameters (first.weight, first.bias) gets no gradient'),
    ])
  })

  it('names parameters whose module does not run or does not read them, that are not stepped, or get zeros', async () => {
    const model = new Net((x) => x.mul(0).tanh())
    const extra = Object.assign(model, { idle: new nn.Linear(2, 2), gain: new nn.Parameter(zeros([2])) })
    const optimizer = new optim.SGD([...extra.first.parameters(), ...extra.idle.parameters(), extra.gain], { lr: 0 })
    const report = await trainerOf(extra, { optimizer }).check(rows(8), { steps: 2 })
    const causes = Object.fromEntries((report.gradients?.cut ?? []).map(({ parameter, cause }) => [parameter, cause]))
    expect(causes).toEqual({ 'idle.weight': 'not run', 'idle.bias': 'not run', gain: 'unread' })
    expect(report.gradients?.zero).toEqual(['first.weight', 'first.bias', 'second.weight'])
    expect(find(report, 'gradients').join()).toContain(
      '2 parameters that learn are not in the optimizer: second.weight, second.bias',
    )
    expect(find(report, 'overfit').join()).toContain('did not lower its loss')
  })

  it('counts labels that are ignored, wrong and never seen, over all batches', async () => {
    const model = new Net((x) => x.tanh())
    const [x] = rows(4)
    const good = await trainerOf(model).check([
      [x, labelsOf([0, -100, 1, 1])],
      [x, labelsOf([1, 1, -100, 0])],
    ] as Batch[])
    expect(good.labels).toEqual({
      classes,
      count: 8,
      ignored: 0.25,
      outOfRange: 0,
      neverSeen: [2, 3],
      neverSeenCount: 2,
      largestShare: 4 / 6,
    })
    expect(good.ok).toBe(true)
    expect(find(good, 'labels')).toEqual(['2 of 4 classes have no label: 2, 3'])
    for (const wrong of [-1, classes]) {
      const report = await trainerOf(model).check([x, labelsOf([0, 1, 2, wrong])] as unknown as Batch)
      // The reference device throws before the labels can be read.
      expect(report.labels?.outOfRange ?? 1).toBe(1)
      expect(report.ok).toBe(false)
      expect(find(report, 'loss').join()).toContain('IndexOutOfRangeError')
    }
    const none = await trainerOf(model).check([x, labelsOf([-100, -100, -100, -100])] as unknown as Batch, { steps: 0 })
    expect(find(none, 'labels').join()).toContain('all labels are ignored')
  })

  it('counts rows that stand in both sets, and says how many it looked at', async () => {
    const [x, y] = rows(12)
    const part = (from: number, count: number): Batch => [x.narrow(0, from, count), y.narrow(0, from, count)]
    const trainer = trainerOf(new Net((z) => z.tanh()))
    const report = await trainer.check([part(0, 4), part(4, 4)], { validation: [part(6, 6)], steps: 0 })
    expect(report.rows).toEqual({ training: 8, validation: 6, both: 2, isComplete: true })
    expect(find(report, 'rows')).toHaveLength(1)
    const few = await trainer.check([part(0, 4), part(4, 4)], { validation: [part(6, 6)], steps: 0, rows: 4 })
    expect(few.rows).toEqual({ training: 4, validation: 6, both: 0, isComplete: false })
  })

  it('says what is wrong with the first loss', async () => {
    const model = new Net((x) => x.mul(100))
    expect(find(await trainerOf(model).check(rows(8), { steps: 0 }), 'loss').join()).toMatch(/times what chance gives/)
    const nan = new Net((x) => x.mul(Number.NaN))
    const report = await trainerOf(nan).check(rows(8), { steps: 1 })
    expect(find(report, 'loss').join()).toContain('is NaN')
    expect(report.gradients?.nonFinite).toContain('second.weight')
  })

  it('says what to change where a step does not fit', async () => {
    const trainer = trainerOf(new Net((x) => x.tanh()))
    const { peak } = await trainer.predictMemory(rows(64))
    const report = await trainer.check(rows(64), { memory: 0.8 * peak, steps: 0 })
    expect(find(report, 'memory').join()).toMatch(/would run it with batches of 64 rows in \d+ parts/)
    const never = await trainer.check(rows(64), { memory: 100, steps: 0 })
    expect(find(never, 'memory').join()).toMatch(/does not fit in 100 B: the smallest prediction/)
    expect((await trainer.check(rows(64), { memory: peak, steps: 0 })).ok).toBe(true)
  })

  it('is refused for batches that would be gone, and for wrong options', async () => {
    const trainer = trainerOf(new Net((x) => x.tanh()))
    const iterator = [rows(4)][Symbol.iterator]() as unknown as Batch[]
    await expect(trainer.check(iterator)).rejects.toThrow('the batches are an iterator')
    await expect(trainer.check([])).rejects.toThrow('there are no batches')
    await expect(trainer.check(rows(4), { steps: -1 })).rejects.toThrow(ValueError)
    await expect(trainer.check(rows(4), { rows: 1.5 })).rejects.toThrow('rows is 1.5')
    await expect(trainer.check(rows(4), { memory: 'much' })).rejects.toThrow('memory is')
    await expect(trainer.check(3 as unknown as Batch)).rejects.toThrow('needs a batch')
  })

  it('takes losses that have no labels', async () => {
    const model = new nn.Linear(6, 6)
    const report = await trainerOf(model, { loss: mseLoss }).check([rows(8)[0], rows(8)[0]])
    expect(report).toMatchObject({ labels: null, rows: null, loss: { chance: null, classes: null } })
  })
})

/** The lifetime of metrics: their states, merging, what they keep, and when they read. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  crossEntropy,
  type Device,
  defaultDevice,
  IndexOutOfRangeError,
  memory,
  metrics,
  nn,
  noGrad,
  optim,
  randint,
  randn,
  StateDictError,
  scope,
  setDefaultDevice,
  type Tensor,
  Trainer,
  tensor,
  ValueError,
} from '../../lib/index.js'
import { devices } from '../suites/support.js'

const labels = (values: number[]) => tensor(values, { dtype: 'int32' }) as Tensor
const logits = (values: number[][]) => tensor(values) as Tensor

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const before = defaultDevice()
  beforeAll(() => setDefaultDevice(device))
  afterAll(() => setDefaultDevice(before))

  it('an update sees its tensors as they are then, in a scope and overwritten after', async () => {
    const metric = metrics.mae()
    const [x, target] = [tensor([1, 2, 3]) as Tensor, tensor([0, 0, 0]) as Tensor]
    scope(() => metric.update(x.mul(2), target))
    noGrad(() => x.fill_(100))
    expect(await metric.compute()).toBe(4)
    const late = metrics.mae()
    late.update(x, target)
    noGrad(() => x.fill_(7))
    // A state waits for the device itself, before any promise resolves.
    const copy = metrics.mae()
    copy.loadStateDict(late.stateDict())
    expect([await copy.compute(), await late.compute()]).toEqual([100, 100])
  })

  it('leaves nothing on the device once it was computed, and nothing after a reset', async () => {
    const [x, target] = [randn([5, 3]), randint(0, 3, [5])]
    const all = [
      metrics.accuracy(),
      metrics.topK(2),
      metrics.f1({ average: 'macro' }),
      metrics.rocAuc(),
      metrics.logLoss(),
    ]
    const live = memory(device.name).tensors
    scope(() => {
      for (const metric of all) metric.update(x, target)
    })
    for (const metric of all) await metric.compute()
    for (const metric of all) metric.reset()
    expect(memory(device.name).tensors).toBe(live)
  })

  it('a state of a pass under way goes through JSON, NaN and infinity with it', async () => {
    for (const last of [1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const [whole, half] = [metrics.mse(), metrics.mse()]
      const [a, b] = [tensor([1, last]) as Tensor, tensor([0, 0]) as Tensor]
      for (const metric of [whole, half]) metric.update(a, b)
      const resumed = metrics.mse()
      resumed.update(b, a)
      resumed.loadStateDict(JSON.parse(JSON.stringify(half.stateDict())))
      for (const metric of [whole, resumed]) metric.update(b, b)
      expect(await resumed.compute()).toBe(await whole.compute())
    }
  })

  it('accuracy resumes between the sums it moves from the device', async () => {
    const [right, wrong] = [logits([[0, 1]]), logits([[1, 0]])]
    const metric = metrics.accuracy()
    for (let i = 0; i < 70; i++) metric.update(i % 2 === 0 ? right : wrong, labels([1]))
    const other = metrics.accuracy()
    other.loadStateDict(metric.stateDict())
    other.update(right, labels([1]))
    expect([await metric.compute(), await other.compute()]).toEqual([0.5, 36 / 71])
    other.merge(metric)
    expect(await other.compute()).toBe(71 / 141)
  })

  it('merges what is still on its way, and leaves the other as it is', async () => {
    const [a, b] = [metrics.f1({ average: 'none' }), metrics.f1({ average: 'none' })]
    const x = logits([
      [1, 0],
      [0, 1],
    ])
    a.update(x, labels([0, 0]))
    b.update(x, labels([1, 1]))
    a.merge(b)
    expect([await a.compute(), await b.compute()]).toEqual([
      [0.5, 0.5],
      [0, 2 / 3],
    ])
  })

  it('a reset during compute leaves the value of before', async () => {
    const metric = metrics.mae()
    metric.update(tensor([3]) as Tensor, tensor([1]) as Tensor)
    const value = metric.compute()
    metric.reset()
    expect([await value, await metric.compute()]).toEqual([2, Number.NaN])
  })

  it('a label out of range is an error of compute, in its turn, and gone after a reset', async () => {
    const metric = metrics.f1({ average: 'macro' })
    const x = randn([2, 3])
    metric.update(x, labels([0, 1]))
    const first = metric.compute()
    metric.update(x, labels([0, 3]))
    await expect(first).resolves.toBeGreaterThanOrEqual(0)
    await expect(metric.compute()).rejects.toThrow(IndexOutOfRangeError)
    await expect(metric.compute()).rejects.toThrow('[f1] a target is 3, but must be one of the 3 classes, 0 to 2')
    expect(() => metric.stateDict()).toThrow(IndexOutOfRangeError)
    metric.reset()
    metric.update(x, labels([0, 1]))
    await expect(metric.compute()).resolves.toBeGreaterThanOrEqual(0)
  })

  it('what keeps all scores says so beyond its limit', async () => {
    const metric = metrics.rocAuc({ limit: 3 })
    metric.update(tensor([0.1, 0.2, 0.3]) as Tensor, labels([0, 1, 1]))
    expect(await metric.compute()).toBe(1)
    metric.update(tensor([0.4]) as Tensor, labels([1]))
    await expect(metric.compute()).rejects.toThrow(
      '[rocAuc] a pass has more than 3 numbers to keep, 8 bytes each; raise limit',
    )
  })

  it('a Trainer gives those that are numbers by their names, and refuses a report', async () => {
    const model = new nn.Linear(2, 3)
    const options = { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: crossEntropy }
    const own = {
      accuracy: metrics.accuracy,
      f1: () => metrics.f1({ average: 'macro' }),
      auc: metrics.rocAuc,
      loss2: metrics.logLoss(),
    }
    const trainer = new Trainer(model, { ...options, metrics: own })
    const record = await trainer.evaluate([[randn([6, 2]), labels([0, 1, 2, 0, 1, 2])] as const])
    expect(Object.keys(record).sort()).toEqual(['accuracy', 'auc', 'f1', 'loss', 'loss2'])
    expect(record['loss2']).toBeCloseTo(record.loss, 5)
    const reporting = new Trainer(model, { ...options, metrics: { report: metrics.perClass as never } })
    await expect(reporting.evaluate([[randn([1, 2]), labels([0])] as const])).rejects.toThrow(
      'metric report computed an object, but must give a promise of a number',
    )
  })
})

it('a state of another metric, of other options or of other words is refused, and changes nothing', async () => {
  const metric = metrics.f1({ average: 'macro' })
  metric.update(logits([[0, 1]]), labels([1]))
  const state = metric.stateDict()
  const problems = (bad: unknown) => {
    try {
      metric.loadStateDict(bad as metrics.MetricState)
    } catch (error) {
      if (error instanceof StateDictError) return error.problems.join('; ')
      throw error
    }
    return 'none'
  }
  expect(problems(metrics.recall({ average: 'macro' }).stateDict())).toBe("metric is 'recall', but must be 'f1'")
  expect(problems(metrics.f1().stateDict())).toBe('options are {}, but must be {"average":"macro"}')
  expect(problems({ ...state, totals: { ...state.totals, hits: 'AAA' } })).toContain("totals.hits is 'AAA'")
  expect(problems({ ...state, totals: {} })).toContain('totals.rows is undefined')
  expect(problems(null)).toContain('metric is undefined')
  expect(problems(state)).toBe('none')
  expect(await metric.compute()).toBe(0.5)
  expect(() => metric.merge(metrics.recall())).toThrow(StateDictError)
  expect(() => metric.merge(3 as never)).toThrow(ValueError)
})

it('measure leaves what a metric counted before', async () => {
  const metric = metrics.mae()
  metric.update(tensor([5]) as Tensor, tensor([0]) as Tensor)
  expect(await metrics.measure(metric, tensor([1]) as Tensor, tensor([0]) as Tensor)).toBe(1)
  expect(await metric.compute()).toBe(5)
  expect(await metrics.measure(metrics.bleu(), ['the cat sat on the mat'], ['the cat sat on the mat'])).toBeCloseTo(
    100,
    9,
  )
})

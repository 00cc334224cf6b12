/**
 * The contract of training: sums divided by counts, whatever the form of a batch and however a step is cut into parts.
 */
import { describe, expect, it, vi } from 'vitest'
import {
  add,
  autocast,
  type Batch,
  crossEntropy,
  DTypeError,
  Generator,
  type Loss,
  memory,
  metrics,
  mseLoss,
  nn,
  type Objective,
  ones,
  optim,
  randn,
  ShapeError,
  type Tensor,
  Trainer,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'
import { devices } from '../suites/support.js'

const quiet = { progress: false } as const

/** The number of trainings that warned of a loss that counted nothing. */
async function toldOfNothing(trainings: number): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  const output = takeOutput()
  expect(output).toHaveLength(trainings)
  for (const text of output) expect(text).toContain('[Trainer.fit] the loss counted nothing in all')
}
const values = (x: Tensor) => [...x.dataSync()]

function expectClose(got: readonly number[], wanted: readonly number[], digits = 5): void {
  expect(got).toHaveLength(wanted.length)
  for (const [i, value] of got.entries()) expect(value).toBeCloseTo(wanted[i] as number, digits)
}

/** Tokens of two sentences of unequal length. Labels of -100 count for nothing. */
interface Tokens {
  readonly inputs: Tensor
  readonly labels: Tensor
}

const ignore = -100

/** The classes' loss over the counting tokens, whose number only the device knows. */
const tagging: Objective<nn.Linear, Tokens, 'accuracy'> = {
  loss(model, { inputs, labels }) {
    const output = model.forward(inputs)
    const total = crossEntropy(output, labels, { reduction: 'sum', ignoreIndex: ignore })
    return { total, count: labels.ne(ignore).sum(), output, target: labels }
  },
  predict: (model, { inputs }) => model.forward(inputs),
  metrics: { accuracy: () => metrics.accuracy({ ignoreIndex: ignore }) },
}

function tagger(seed: number, device: Tensor['device']) {
  const model = new nn.Linear(5, 3, { generator: new Generator(seed), device })
  return { model, optimizer: new optim.SGD(model.parameters(), { lr: 0.5, momentum: 0.9 }) }
}

function tokens(device: Tensor['device'], counts: readonly number[], length = 6, seed = 3): Tokens[] {
  const generator = new Generator(seed)
  return counts.map((count) => ({
    inputs: randn([length, 5], { generator, device }),
    labels: tensor(
      Array.from({ length }, (_, i) => (i < count ? i % 3 : ignore)),
      { dtype: 'int32', device },
    ),
  }))
}

const joined = (parts: readonly Tokens[], cat: (tensors: Tensor[], dim: number) => Tensor): Tokens => ({
  inputs: cat(
    parts.map(({ inputs }) => inputs),
    0,
  ),
  labels: cat(
    parts.map(({ labels }) => labels),
    0,
  ),
})

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  it('a step over micro-batches is that over the whole batch, whatever counts they have', async () => {
    const { cat } = await import('../../lib/index.js')
    for (const counts of [[1, 6, 3], [0, 5, 2], [6], [2, 2]]) {
      const parts = tokens(device, counts)
      const run = async (batches: readonly Tokens[], accumulate: number) => {
        const { model, optimizer } = tagger(0, device)
        const trainer = new Trainer(model, { optimizer, objective: tagging, accumulate, clipGradNorm: 0.3 })
        const { epochs } = await trainer.fit(batches, { epochs: 3, ...quiet })
        return { weights: values(model.weight), epochs }
      }
      const whole = await run([joined(parts, cat)], 1)
      const cut = await run(parts, parts.length)
      expectClose(cut.weights, whole.weights)
      for (const [i, { loss, accuracy }] of whole.epochs.entries()) {
        expect(cut.epochs[i]?.loss).toBeCloseTo(loss, 5)
        expect(cut.epochs[i]?.accuracy).toBe(accuracy)
      }
    }
  })

  it('the last step of a pass takes the batches that are left, and divides by these alone', async () => {
    const { cat } = await import('../../lib/index.js')
    const parts = tokens(device, [4, 1, 6, 2, 3])
    const { model, optimizer } = tagger(1, device)
    const trainer = new Trainer(model, { optimizer, objective: tagging, accumulate: 2 })
    const items: number[] = []
    const losses: number[] = []
    for await (const step of trainer.steps(parts)) {
      items.push(step.items)
      losses.push(await step.loss())
    }
    expect(items).toEqual([12, 12, 6])
    const other = tagger(1, device)
    const bare: number[] = []
    for (const group of [parts.slice(0, 2), parts.slice(2, 4), parts.slice(4)]) {
      const { total, count } = tagging.loss(other.model, joined(group, cat))
      const mean = total.div(count)
      mean.backward()
      other.optimizer.step()
      other.optimizer.zeroGrad()
      bare.push(mean.item())
    }
    expectClose(losses, bare)
    expectClose(values(model.weight), values(other.model.weight))
  })

  it('the short form over micro-batches is a mean over rows', async () => {
    const rows = [3, 1, 2].map(
      (count, i) => [randn([count, 2], { generator: new Generator(i), device }), ones([count, 1], { device })] as const,
    )
    const run = async (batches: readonly Batch[], accumulate: number) => {
      const model = new nn.Linear(2, 1, { generator: new Generator(9), device })
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.1 })
      const { epochs } = await new Trainer(model, { optimizer, loss: mseLoss, accumulate }).fit(batches, {
        epochs: 4,
        ...quiet,
      })
      return [...values(model.weight), ...epochs.map(({ loss }) => loss)]
    }
    const { cat } = await import('../../lib/index.js')
    const whole = await run(
      [
        [
          cat(
            rows.map(([x]) => x),
            0,
          ),
          cat(
            rows.map(([, y]) => y),
            0,
          ),
        ],
      ],
      1,
    )
    expectClose(await run(rows, 3), whole, 4)
  })

  it('an evaluation divides summed totals by summed counts, and one within an epoch disturbs nothing', async () => {
    const parts = tokens(device, [1, 6, 0, 4])
    const run = async (evaluating: boolean) => {
      const { model, optimizer } = tagger(2, device)
      const measured: number[] = []
      const trainer: Trainer<'accuracy', Tokens, nn.Linear> = new Trainer(model, {
        optimizer,
        objective: tagging,
        accumulate: 2,
        callbacks: evaluating ? [{ onStep: async () => void measured.push((await trainer.evaluate(parts)).loss) }] : [],
      })
      const before = await trainer.evaluate(parts)
      const sums = parts
        .map((part) => tagging.loss(model, part))
        .map(({ total, count }) => [total.item(), (count as Tensor).item()])
      const [total, count] = [0, 1].map((j) => sums.reduce((sum, each) => sum + (each[j] as number), 0))
      expect(before.loss).toBeCloseTo((total as number) / (count as number), 5)
      const { epochs } = await trainer.fit(parts, { epochs: 2, ...quiet })
      expect(measured).toHaveLength(evaluating ? 4 : 0)
      return { weights: values(model.weight), losses: epochs.map(({ loss, accuracy }) => [loss, accuracy]) }
    }
    expect(await run(true)).toEqual(await run(false))
  })

  it('a batch that counts nothing teaches nothing, and harms nothing', async () => {
    for (const count of [0, zeros([], { device }), zeros([1], { dtype: 'int32', device })]) {
      const { model, optimizer } = tagger(3, device)
      const before = values(model.weight)
      const step = (x: Tensor): Loss => ({ total: model.forward(x).mul(0).sum(), count })
      const history = await new Trainer(model, { optimizer, step }).fit([ones([2, 5], { device })], quiet)
      expect(values(model.weight)).toEqual(before)
      expect(history.epochs[0]?.loss).toBeNaN()
    }
    await toldOfNothing(3)
  })

  it('a training that waits for a prediction is ended by its signal', async () => {
    const { model, optimizer } = tagger(3, device)
    const trainer = new Trainer(model, { optimizer, loss: crossEntropy })
    const x = ones([2, 5], { device })
    const open = trainer.predict([x, x])
    await open.next()
    const fit = trainer.fit([[x, zeros([2], { dtype: 'int32', device })]], {
      signal: AbortSignal.timeout(30),
      ...quiet,
    })
    expect((await fit).stopped).toContain('aborted')
    await open.return(undefined)
    expect(model.training).toBe(true)
  })

  it('a total that counts for nothing changes nothing, and a count that is none is told of', async () => {
    for (const accumulate of [1, 2])
      for (const count of [0, zeros([], { device })]) {
        const { model, optimizer } = tagger(3, device)
        const before = values(model.weight)
        const step = (x: Tensor): Loss => ({ total: model.forward(x).sum(), count })
        const trainer = new Trainer(model, { optimizer, step, accumulate })
        const { epochs } = await trainer.fit([ones([2, 5], { device }), ones([2, 5], { device })], quiet)
        expect(values(model.weight)).toEqual(before)
        expect(epochs[0]?.loss).toBeNaN()
      }
    await toldOfNothing(4)
    for (const count of [-2, Number.NaN, Number.POSITIVE_INFINITY]) {
      const { model, optimizer } = tagger(3, device)
      const step = (x: Tensor): Loss => ({ total: model.forward(x).sum(), count: tensor(count, { device }) })
      const fit = new Trainer(model, { optimizer, step }).fit([ones([2, 5], { device })], quiet)
      await expect(fit).rejects.toThrow(`[Trainer.fit] the count of batch 1 is ${count}`)
    }
  })

  it('gradients of several batches are freed with their step', async () => {
    const { model, optimizer } = tagger(3, device)
    const batches: Batch[] = [0, 1, 2].map(() => [ones([2, 5], { device }), zeros([2], { dtype: 'int32', device })])
    const trainer = new Trainer(model, { optimizer, loss: crossEntropy, accumulate: 2 })
    await trainer.fit(batches, quiet)
    const before = memory(device.name).tensors
    await trainer.fit(batches, { epochs: 20, ...quiet })
    expect(memory(device.name).tensors).toBeLessThanOrEqual(before + 4)
  })

  it('predict streams the outputs of batches with targets and without, and leaves modes as they were', async () => {
    const model = new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.Dropout(0.5))
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
    const trainer = new Trainer(model, { optimizer, loss: mseLoss })
    const inputs = [ones([2, 2], { device }), ones([1, 2], { device })]
    const outputs: number[][] = []
    for await (const output of trainer.predict(inputs)) {
      expect(model.training).toBe(false)
      expect(output.requiresGrad).toBe(false)
      outputs.push(values(output))
    }
    expect(model.training).toBe(true)
    expect(outputs.map(({ length }) => length)).toEqual([4, 2])
    for await (const output of trainer.predict(inputs.map((x) => [x, x] as const))) {
      expect(values(output)).toEqual(outputs[0])
      break
    }
    expect(model.training).toBe(true)
    // The abandoned loop does not block the next step.
    await trainer.fit([[ones([2, 2], { device }), ones([2, 2], { device })]], quiet)
    const tags = tagger(4, device)
    const parts = tokens(device, [2, 3])
    const by = new Trainer(tags.model, { optimizer: tags.optimizer, objective: tagging })
    let i = 0
    for await (const output of by.predict(parts))
      expect(values(output)).toEqual(values(tags.model.forward((parts[i++] as Tokens).inputs)))
    expect(i).toBe(2)
  })

  it('under autocast the sums of micro-batches stay float32', async () => {
    const parts = tokens(device, [5, 6], 6)
    const { model, optimizer } = tagger(5, device)
    const trainer = new Trainer(model, { optimizer, objective: tagging, accumulate: 2, precision: 'bfloat16' })
    await trainer.fit(parts, quiet)
    const other = tagger(5, device)
    const losses = parts.map((part) => autocast('bfloat16', () => tagging.loss(other.model, part)))
    const total = losses.map((loss) => loss.total).reduce((a, b) => add(a, b))
    total.div(11).backward()
    other.optimizer.step()
    expectClose(values(model.weight), values(other.model.weight), 2)
  })
})

describe('what ends a fit', () => {
  const line = (callbacks: object[] = []) => {
    const model = new nn.Linear(1, 1, { bias: false })
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
    return { model, trainer: new Trainer(model, { optimizer, loss: mseLoss, callbacks }) }
  }
  const batches = (count: number): Batch[] => Array.from({ length: count }, () => [ones([1, 1]), ones([1, 1])])

  it('is so many steps, in the middle of a pass too; a second fit goes on counting', async () => {
    const seen: (readonly [number, number, number])[] = []
    const { trainer } = line([
      {
        onStep: (step: { epoch: number; index: number; step: number }) =>
          void seen.push([step.epoch, step.index, step.step]),
      },
    ])
    const first = await trainer.fit(batches(3), { steps: 4, ...quiet })
    expect(first.epochs.map(({ epoch }) => epoch)).toEqual([0, 1])
    expect(first.stopped).toBeNull()
    const second = await trainer.fit(batches(3), { epochs: 1, steps: 2, ...quiet })
    expect(second.epochs.map(({ epoch }) => epoch)).toEqual([2])
    expect(seen).toEqual([
      [0, 0, 0],
      [0, 1, 1],
      [0, 2, 2],
      [1, 0, 3],
      [2, 0, 4],
      [2, 1, 5],
    ])
    expect((await trainer.fit(batches(3), { epochs: 1, steps: 9, ...quiet })).epochs).toHaveLength(1)
  })

  it('is so many minutes, after the step that runs', async () => {
    const { trainer } = line([{ onStep: () => new Promise((resolve) => setTimeout(resolve, 5)) }])
    const { epochs, stopped } = await trainer.fit(batches(2), { minutes: 1e-9, ...quiet })
    expect([epochs.length, stopped]).toEqual([0, null])
    const short = await trainer.fit(batches(10_000), { minutes: 0.0005, ...quiet })
    expect(short.epochs).toHaveLength(1)
  })

  it('by steps at the end of a pass steps a schedule of epochs, as by epochs', async () => {
    const rates = async (plan: object) => {
      const { model } = line()
      const optimizer = new optim.SGD(model.parameters(), { lr: 1 })
      const schedule = new optim.StepLR(optimizer, { stepSize: 1, gamma: 0.1 })
      const trainer = new Trainer(model, { optimizer, loss: mseLoss, schedule, scheduleEvery: 'epoch' })
      await trainer.fit(batches(3), { ...plan, ...quiet })
      return optimizer.paramGroups[0]?.lr
    }
    expect(await rates({ steps: 3 })).toBe(await rates({ epochs: 1 }))
    expect(await rates({ steps: 4 })).toBe(await rates({ epochs: 1 }))
  })

  it('validateEvery measures behind every so many steps, and once more at the end', async () => {
    const told: number[] = []
    const { trainer } = line([{ onValidation: ({ step }: { step: number }) => void told.push(step) }])
    const history = await trainer.fit(batches(5), { epochs: 2, validation: batches(1), validateEvery: 4, ...quiet })
    expect(history.validations.map(({ step, epoch }) => [step, epoch])).toEqual([
      [4, 0],
      [8, 1],
      [10, 1],
    ])
    expect(told).toEqual([4, 8, 10])
    expect(history.epochs.map(({ validation }) => validation?.loss)).toEqual([
      history.validations[0]?.loss,
      history.validations[2]?.loss,
    ])
    const each = await trainer.fit(batches(5), { epochs: 2, validation: batches(1), ...quiet })
    expect(each.validations.map(({ step, epoch }) => [step, epoch])).toEqual([
      [15, 2],
      [20, 3],
    ])
  })

  it('validateEvery behind the last step is told of, and at it is not', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const plan = { epochs: 2, validation: batches(1), ...quiet } as const
    const { trainer } = line()
    await trainer.fit(batches(5), { ...plan, validateEvery: 10 })
    await trainer.fit(batches(5), { ...plan, validateEvery: 13 })
    expect(warn).not.toHaveBeenCalled()
    await line().trainer.fit(batches(5), { ...plan, validateEvery: 11 })
    await line().trainer.fit(batches(5), { ...plan, steps: 3, validateEvery: 4 })
    expect(warn.mock.calls.map(([text]) => String(text))).toEqual([
      expect.stringContaining('[Trainer.fit] validateEvery is 11, but this training ends with step 10, so nothing'),
      expect.stringContaining('validateEvery is 4, but this training ends with step 3'),
    ])
    warn.mockRestore()
  })

  it.each<readonly [object, string]>([
    [{ steps: 0 }, 'steps is 0'],
    [{ steps: 1.5 }, 'steps is 1.5'],
    [{ minutes: -1 }, 'minutes is -1'],
    [{ validateEvery: 2 }, 'validateEvery needs validation batches'],
    [{ validateEvery: 0, validation: batches(1) }, 'validateEvery is 0'],
    [{ epochs: Number.POSITIVE_INFINITY }, 'epochs is'],
  ])('%#: refused', async (options, message) => {
    const fit = line().trainer.fit(batches(1), { ...options, ...quiet })
    await expect(fit).rejects.toThrow(ValueError)
    await expect(fit).rejects.toThrow(`[Trainer.fit] ${message}`)
  })
})

describe('an objective that cannot work is refused:', () => {
  const model = new nn.Linear(1, 1)
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const of = (step: unknown, more: object = {}) => new Trainer(model, { optimizer, step: step as () => Loss, ...more })
  const batch = ones([2, 1])
  const total = () => model.forward(batch).sum()

  it.each([
    ['a mean', () => total(), ValueError, 'the objective gave a Tensor'],
    ['nothing', () => undefined, ValueError, 'the objective gave undefined'],
    ['a promise', async () => ({}), ValueError, 'the objective gave a Promise'],
    ['no number', () => ({ total: 1, count: 1 }), ValueError, 'the total is the number 1'],
    ['a total a row', () => ({ total: model.forward(batch), count: 2 }), ShapeError, 'the total is [2, 1]'],
    ['a total of integers', () => ({ total: total().to('int32'), count: 2 }), DTypeError, 'the total is int32'],
    ['a negative count', () => ({ total: total(), count: -1 }), ValueError, 'the count is -1'],
    ['a count a row', () => ({ total: total(), count: ones([2]) }), ShapeError, 'the count is [2]'],
  ])('a step that gives %s', async (_title, step, type, message) => {
    const fit = of(step).fit([batch] as never, quiet)
    await expect(fit).rejects.toThrow(type)
    await expect(fit).rejects.toThrow(`[Trainer.fit] ${message}`)
  })

  it('one without an output, where metrics or predictions want it', async () => {
    const trainer = of(() => ({ total: total(), count: 2 }), { metrics: { accuracy: metrics.accuracy } })
    await expect(trainer.fit([batch] as never, quiet)).rejects.toThrow(
      'the objective gave no output, which metric accuracy measures',
    )
    const first = of(() => ({ total: total(), count: 2 }))
      .predict([batch])
      .next()
    await expect(first).rejects.toThrow(
      '[Trainer.predict] step gave undefined as an output, but a prediction must be a tensor; return it as { total, count, output }',
    )
  })

  it.each([
    [{ loss: mseLoss }, 'needs one of loss'],
    [{ step: undefined }, 'but got none'],
    [{ step: undefined, objective: {} }, 'the objective is an object'],
    [{ accumulate: 0 }, 'accumulate is 0'],
  ])('options %#', (more, message) => {
    expect(() => of(() => ({ total: total(), count: 2 }), more)).toThrow(message)
  })
})

/**
 * The Trainer: its refusals, what it keeps, and that evaluation and training do not disturb each other. The file is
 * over 600 lines because all its parts need the same small model, batches and record of warnings.
 */
import assert from 'node:assert'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { applyLora, freeze } from '../../lib/finetune/index.js'
import {
  AutogradError,
  type Batch,
  type Callback,
  crossEntropy,
  DataLoader,
  type Device,
  defaultDevice,
  type EpochRecord,
  earlyStopping,
  full,
  type History,
  IndexOutOfRangeError,
  metrics,
  mseLoss,
  nn,
  noGrad,
  ones,
  optim,
  rand,
  ShapeError,
  setDefaultDevice,
  type Tensor,
  TensorDataset,
  Trainer,
  type TrainerOptions,
  tensor,
  type ValidationRecord,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'
import { devices } from '../suites/support.js'

const values = (x: Tensor) => [...x.dataSync()].map((value) => Math.round(value * 1e5) / 1e5)
const quiet = { progress: false } as const

/** y = w x from w = 0 to 1, with the gradient 2 (w - 1) for inputs of ones. */
type Given = Partial<Omit<TrainerOptions, 'loss' | 'step' | 'objective'>>

function line(options: Given & { readonly lr?: number; readonly loss?: typeof mseLoss } = {}) {
  const { lr = 0.25, loss = mseLoss, ...rest } = options
  const model = new nn.Linear(1, 1, { bias: false })
  noGrad(() => model.weight.fill_(0))
  const optimizer = new optim.SGD(model.parameters(), { lr })
  const trainer = new Trainer(model, { optimizer, ...rest, loss })
  return { model, optimizer, trainer }
}

const batch = (rows = 2): Batch => [ones([rows, 1]), ones([rows, 1])]
const batches = (count: number): Batch[] => Array.from({ length: count }, () => batch())
const losses = ({ epochs }: History) => epochs.map(({ loss }) => loss)

/** The output of this test so far. Warnings are emitted in a later turn. */
async function warnings(): Promise<readonly string[]> {
  await new Promise((resolve) => setImmediate(resolve))
  return takeOutput()
}

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const before = defaultDevice()
  beforeAll(() => setDefaultDevice(device))
  afterAll(() => setDefaultDevice(before))

  it('trains, measures and records', async () => {
    const { model, trainer } = line()
    const start = performance.now()
    const history = await trainer.fit([batch(2), batch(1)], { epochs: 2, validation: [batch(3)], ...quiet })
    const seconds = (performance.now() - start) / 1000
    // w: 0, 0.5, 0.75, 0.875, 0.9375; losses (w - 1)^2 by rows.
    expect(values(model.weight)).toEqual([0.9375])
    const [first, second] = history.epochs as [EpochRecord, EpochRecord]
    expect(first.loss).toBeCloseTo((2 * 1 + 0.25) / 3, 6)
    expect(second.loss).toBeCloseTo((2 * 0.0625 + 0.015625) / 3, 6)
    expect(first.validation?.loss).toBeCloseTo(0.0625, 6)
    expect(history).toMatchObject({ stopped: null, nonFinite: null })
    // There are 3 rows in an epoch, whose time includes the wait for them.
    expect(history.telemetry.map(({ epoch }) => epoch)).toEqual([0, 1])
    for (const { itemsPerSecond, waiting, peakBytes } of history.telemetry) {
      expect(itemsPerSecond).toBeGreaterThanOrEqual(3 / seconds)
      expect([waiting >= 0, waiting <= 1, peakBytes > 0]).toEqual([true, true, true])
    }
    expect(inspect(history)).toContain('epoch 1: loss 0.7500  validation.loss 0.06250  lr 0.25')
    expect(`${history}`).toBe(inspect(history))
  })

  describe('an evaluation', () => {
    it('in a callback of a step measures those weights, and disturbs neither loss nor metric of the epoch', async () => {
      for (const accuracy of [metrics.accuracy, metrics.accuracy()]) {
        const model = new nn.Linear(1, 2, { bias: false })
        noGrad(() => model.weight.copy_(tensor([[1], [0]])))
        const seen: number[] = []
        const right: Batch = [ones([2, 1]), zeros([2], { dtype: 'int32' })]
        const wrong: Batch = [ones([2, 1]), full([2], 1, { dtype: 'int32' })]
        const trainer: Trainer = new Trainer(model, {
          optimizer: new optim.SGD(model.parameters(), { lr: 1e-9 }),
          loss: crossEntropy,
          metrics: { accuracy },
          callbacks: [
            {
              async onStep() {
                seen.push((await trainer.evaluate([wrong, wrong, wrong]))['accuracy'] as number)
              },
            },
          ],
        })
        const { epochs } = await trainer.fit([right, wrong], quiet)
        expect(epochs[0]?.['accuracy']).toBe(0.5)
        expect(seen).toEqual([0, 0])
      }
    })

    it('that nobody awaits sees one state of the weights all the same, and modes are put back', async () => {
      const evaluations: Promise<{ readonly loss: number }>[] = []
      const { model, trainer } = line({
        callbacks: [{ onStep: () => void evaluations.push(trainer.evaluate(batches(3))) }],
      })
      await trainer.fit(batches(3), quiet)
      const measured = await Promise.all(evaluations)
      expect(measured.map(({ loss }) => loss)).toEqual([0.25, 0.0625, 0.015625])
      expect(model.training).toBe(true)
    })

    it('of several at once, and of another Trainer of the model, leaves modes as they were', async () => {
      const model = new nn.Sequential(new nn.BatchNorm1d(1), new nn.Dropout(0.5), new nn.Linear(1, 1))
      const make = () =>
        new Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: mseLoss })
      ;(model.at(0) as nn.Module).eval()
      const modes = () => model.modules().map(({ training }) => training)
      expect(modes()).toEqual([true, false, true, true])
      const [one, other] = [make(), make()]
      const all = await Promise.all([one.evaluate(batches(1)), other.evaluate(batches(4)), one.evaluate(batches(2))])
      expect(all[1].loss).toBeCloseTo(all[0].loss, 6)
      expect(modes()).toEqual([true, false, true, true])
      await expect(one.evaluate([[zeros([2, 5]), zeros([2])]])).rejects.toThrow()
      expect(modes()).toEqual([true, false, true, true])
    })

    it('is refused where something else changes the weights or the mode meanwhile', async () => {
      const { model, trainer } = line()
      async function* changing(change: () => void) {
        yield batch()
        change()
        yield batch()
      }
      const weights = trainer.evaluate(changing(() => noGrad(() => model.weight.fill_(3))))
      await expect(weights).rejects.toThrow(
        "[Trainer.evaluate] the model's weights changed while it was being evaluated",
      )
      const mode = trainer.evaluate(changing(() => model.train()))
      await expect(mode).rejects.toThrow("[Trainer.evaluate] the model's mode changed")
      expect(model.training).toBe(true)
    })

    it('lets a step of the training run before another follows it', async () => {
      const { trainer } = line()
      const fit = trainer.fit(batches(20), quiet)
      const seen: number[] = []
      for (let i = 0; i < 4; i++) seen.push((await trainer.evaluate(batches(2))).loss)
      await fit
      expect(new Set(seen.slice(1)).size).toBe(3)
    })

    it('within a step is refused', async () => {
      const inner: Promise<string>[] = []
      const { trainer } = line({
        loss: (output, target) => {
          inner.push(trainer.evaluate(batches(1)).then(String, String))
          return mseLoss(output, target)
        },
      })
      await trainer.fit(batches(1), quiet)
      expect(await Promise.all(inner)).toEqual([
        expect.stringContaining('[Trainer.evaluate] was called within a training step'),
      ])
    })

    it('with a metric that cannot be had anew is refused in the middle of an epoch only', async () => {
      const counting = () => {
        let count = 0
        return {
          reset: () => {
            count = 0
          },
          update: () => {
            count++
          },
          compute: async () => count,
        }
      }
      let failed: unknown
      const callbacks: Callback[] = [
        {
          onStep: () =>
            trainer.evaluate(batches(1)).then(
              () => undefined,
              (error: unknown) => void (failed = error),
            ),
        },
      ]
      const { trainer } = line({ metrics: { count: counting() }, callbacks })
      const { epochs } = await trainer.fit(batches(3), { validation: batches(2), ...quiet })
      expect(epochs[0]).toMatchObject({ count: 3, validation: { count: 2 } })
      expect(failed).toBeInstanceOf(ValueError)
      expect((failed as Error).message).toContain('[Trainer.evaluate] metric count is measuring another pass')
      expect(await trainer.evaluate(batches(5))).toMatchObject({ count: 5 })
    })
  })

  it('a frozen norm on which eval() was called stays so; a model in evaluation is put into training', async () => {
    const norm = new nn.BatchNorm1d(3)
    const model = new nn.Sequential(norm, new nn.BatchNorm1d(3), new nn.Linear(3, 2))
    freeze(model, '0')
    norm.eval()
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: crossEntropy,
    })
    const data: Batch[] = [[rand([4, 3]), zeros([4], { dtype: 'int32' })]]
    await trainer.fit(data, { epochs: 2, validation: data, ...quiet })
    expect(norm.training).toBe(false)
    expect(values(norm.runningMean as Tensor)).toEqual([0, 0, 0])
    model.eval()
    await trainer.fit(data, quiet)
    expect(model.modules().map(({ training }) => training)).toEqual([true, false, true, true])
  })

  it('gradients from before, and of parameters that nobody steps, do not add up', async () => {
    const model = new nn.Sequential(new nn.Linear(1, 1, { bias: false }), new nn.Linear(1, 1, { bias: false }))
    noGrad(() => {
      for (const p of model.parameters()) p.fill_(1)
    })
    const [first, second] = [...model.parameters()] as [nn.Parameter, nn.Parameter]
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD([first], { lr: 0.5 }),
      loss: (output) => output.mean(),
      clipGradNorm: 1,
    })
    first.grad = full([1, 1], 100)
    second.grad = full([1, 1], 100)
    await trainer.fit(batches(2), quiet)
    expect(values(first)).toEqual([0])
    expect(second.grad).toBeNull()
    // Nor do they learn, which is reported once.
    const [text] = await warnings()
    expect(text).toContain('1 parameters of the model want gradients, but are not in the optimizer')
    expect(text).toContain('1.weight')
    await trainer.fit(batches(2), quiet)
    expect(await warnings()).toEqual([])
  })

  it('an adapter that came after a list of parameters is told of', async () => {
    const model = new nn.Sequential(new nn.Linear(1, 2), new nn.ReLU(), new nn.Linear(2, 1))
    const parameters = [...model.parameters()]
    const trainer = new Trainer(model, { optimizer: new optim.SGD(parameters, { lr: 0.1 }), loss: mseLoss })
    applyLora(model, { rank: 1, targetModules: ['0'] })
    model.at(2)?.requiresGrad_(true)
    await trainer.fit(batches(2), quiet)
    const [text] = await warnings()
    expect(text).toContain('2 parameters of the model want gradients')
    expect(text).toContain('0.lora_A.default.weight')
  })

  it('a model whose eval() is called for a prediction between steps goes on training', async () => {
    const model = new nn.Sequential(new nn.Linear(1, 1), new nn.Dropout(0.5))
    const modes: boolean[] = []
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0 }),
      loss: (output, target) => {
        modes.push(model.at(1)?.training ?? false)
        return mseLoss(output, target)
      },
      callbacks: [{ onStep: () => void model.eval() }],
    })
    await trainer.fit(batches(3), quiet)
    expect(modes).toEqual([true, true, true])
  })

  it('a label out of range ends the training with its error, and the Trainer can go on', async () => {
    const model = new nn.Linear(1, 2)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: crossEntropy,
    })
    const [x, good, bad] = [ones([2, 1]), zeros([2], { dtype: 'int32' }), full([2], 7, { dtype: 'int32' })]
    await expect(trainer.fit([[x, bad]], quiet)).rejects.toThrow(IndexOutOfRangeError)
    expect(losses(await trainer.fit([[x, good]], quiet))[0]).toBeGreaterThan(0)
  })
})

describe('nothing to train on', () => {
  function* generator() {
    yield batch()
  }
  it.each([
    ['an empty list', () => [], 'there are no batches'],
    ['an empty generator', () => (function* (): Generator<Batch> {})(), 'there are no batches'],
    [
      'a loader that drops all',
      () => new DataLoader(new TensorDataset(ones([3, 1]), ones([3, 1])), { batchSize: 4, dropLast: true }),
      'there are no batches',
    ],
    ['a batch of no rows', () => [batch(), batch(0)], 'a batch has no rows: input [0, 1]'],
    ['a batch that is none', () => [[ones([1, 1])]] as never, 'a batch is [a Tensor], but must be [input, target]'],
    [
      'rows that are no tensors',
      () => [[[1], [1]]] as never,
      'a batch is [an array, an array], but must be [input, target]',
    ],
    ['a function that makes none', () => (() => 3) as never, 'the function for the batches gave the number 3'],
  ] as const)('%s is refused, in training, validation and evaluation', async (_title, make, message) => {
    const { trainer } = line()
    await expect(trainer.fit(make(), quiet)).rejects.toThrow(`[Trainer.fit] ${message}`)
    await expect(trainer.evaluate(make())).rejects.toThrow(`[Trainer.evaluate] ${message}`)
    const validation = trainer.fit(batches(1), { validation: make(), ...quiet })
    await expect(validation).rejects.toThrow(`[Trainer.fit] ${message.replace('no batches', 'no validation batches')}`)
    const steps = async () => {
      for await (const _step of trainer.steps(make())) void _step
    }
    await expect(steps()).rejects.toThrow(`[Trainer.steps] ${message}`)
    expect(losses(await trainer.fit(batches(1), quiet))).toHaveLength(1)
  })

  it('a generator makes one pass: more of them are refused, and a function that makes it is taken', async () => {
    const { trainer } = line()
    const refused = '[Trainer.fit] the batches are an iterator, which is used up after one of 2 passes'
    await expect(trainer.fit(generator(), { epochs: 2, ...quiet })).rejects.toThrow(refused)
    await expect(trainer.fit(batches(1), { epochs: 2, validation: generator(), ...quiet })).rejects.toThrow(
      'the validation batches are an iterator',
    )
    expect(losses(await trainer.fit(generator(), quiet))).toHaveLength(1)
    expect(losses(await trainer.fit(generator, { epochs: 3, validation: generator, ...quiet }))).toHaveLength(3)
    expect(losses(await trainer.fit([], { epochs: 0, ...quiet }))).toEqual([])
  })
})

describe('a loss that is not finite', () => {
  it('is told of once, by epoch and batch, and kept in the history', async () => {
    const { trainer } = line()
    const bad: Batch = [ones([2, 1]), full([2, 1], Number.NaN)]
    const history = await trainer.fit([batch(), bad, batch()], { epochs: 2, ...quiet })
    expect(history.nonFinite).toEqual({ epoch: 0, index: 1, loss: Number.NaN })
    const output = await warnings()
    expect(output).toHaveLength(2)
    expect(output[1]).toContain('examined step')
    expect(output[0]).toContain('[Trainer.fit] the loss of batch 2 of epoch 1 is NaN')
    expect(inspect(history)).toContain('first NaN: epoch 1, batch 2')
  })
  it('in validation alone is told of too', async () => {
    const { trainer } = line()
    const history = await trainer.fit(batches(1), {
      validation: [[ones([1, 1]), full([1, 1], Number.POSITIVE_INFINITY)]],
      ...quiet,
    })
    expect(history.nonFinite).toEqual({ epoch: 0, index: null, loss: Number.POSITIVE_INFINITY })
    expect((await warnings()).join()).toContain('the loss of the validation after epoch 1 is Infinity')
  })
})

describe('earlyStopping', () => {
  /** Shows the callback these numbers as validation losses, with the weight set to the number of the epoch. */
  async function run(numbers: readonly number[], callback: Callback) {
    const { model } = line()
    let stopped: string | null = null
    const context = {
      model,
      epochs: numbers.length,
      stepsPerEpoch: 1,
      monitors: ['loss', 'validation.loss'],
      stop: (reason: string) => {
        stopped ??= reason
      },
    }
    await callback.onStart?.(context)
    let epoch = 0
    for (; epoch < numbers.length && stopped === null; epoch++) {
      noGrad(() => model.weight.fill_(epoch))
      const validation = { loss: numbers[epoch] as number }
      await callback.onValidation?.({ epoch, step: epoch, ...validation } as object as ValidationRecord, context)
      const record = { epoch, loss: 0, seconds: 0, lr: 0, validation }
      await callback.onEpochEnd?.(record as object as EpochRecord, context)
    }
    await callback.onEnd?.(context)
    return { epochs: epoch, stopped, restored: model.weight.item() }
  }
  const { NaN: nan } = Number
  it('never takes NaN for an improvement', async () => {
    const best = () => earlyStopping({ patience: 2, restoreBest: true })
    expect(await run([nan, 1, 0.5, 0.4], best())).toEqual({ epochs: 4, stopped: null, restored: 3 })
    expect(await run([1, nan, 0.5, 0.6, 0.7], best())).toMatchObject({ epochs: 5, restored: 2 })
    expect(await run([nan, nan, 1], best())).toMatchObject({
      epochs: 2,
      stopped: expect.stringContaining('all were NaN'),
    })
    expect((await warnings()).join()).toContain('validation.loss was NaN in all 2 validations')
    expect(await run([1, nan, nan, nan], best())).toMatchObject({
      epochs: 3,
      restored: 0,
      stopped: expect.stringContaining('best 1'),
    })
  })
  it('finds a misspelt monitor before the first step', async () => {
    const { model, trainer } = line({ callbacks: [earlyStopping({ monitor: 'validation.los', mode: 'min' })] })
    const fit = trainer.fit(batches(1), { validation: batches(1), ...quiet })
    await expect(fit).rejects.toThrow(
      "[earlyStopping] there is no 'validation.los' to monitor, but only loss, validation.loss, lr",
    )
    expect(model.weight.item()).toBe(0)
    const other = line({ callbacks: [earlyStopping()] }).trainer
    await expect(other.fit(batches(1), quiet)).rejects.toThrow('or give fit a validation set')
  })
  it('asks for the mode of what its name does not tell', () => {
    expect(() => earlyStopping({ monitor: 'validation.f1' })).toThrow("needs a mode for 'validation.f1'")
    expect(() => earlyStopping({ monitor: 'validation.f1', mode: 'max' })).not.toThrow()
    expect(() => earlyStopping({ monitor: 'validation.f1', mode: 'up' as never })).toThrow("mode is 'up'")
    expect(() => earlyStopping({ minDelta: Number.NaN })).toThrow('minDelta is NaN')
  })
})

describe('wiring that cannot work is refused:', () => {
  const { model, optimizer } = line()
  const make =
    (options: object, other: unknown = model) =>
    () =>
      new Trainer(other as never, { optimizer, loss: mseLoss, ...options } as never)
  const another = new optim.SGD(new nn.Linear(1, 1).parameters(), { lr: 1 })
  it.each([
    [
      "another model's parameters",
      { optimizer: another },
      "none of the optimizer's 2 parameters is one of the model's 1",
    ],
    [
      "another optimizer's schedule",
      { schedule: new optim.LinearLR(another) },
      'the schedule belongs to another optimizer',
    ],
    ['a schedule that is none', { schedule: 3 }, 'the schedule is the number 3'],
    ['scheduleEvery alone', { scheduleEvery: 'epoch' }, 'scheduleEvery needs a schedule'],
    [
      'an interval that there is not',
      { schedule: new optim.LinearLR(optimizer), scheduleEvery: 'batch' },
      "scheduleEvery is 'batch'",
    ],
    ['no optimizer', { optimizer: undefined }, 'needs an optimizer'],
    ['no loss', { loss: undefined }, 'needs one of loss: (output, target) => Tensor, objective'],
    ['clipGradNorm 0', { clipGradNorm: 0 }, 'clipGradNorm is 0'],
    ['clipGradNorm NaN', { clipGradNorm: Number.NaN }, 'clipGradNorm is NaN'],
    ['clipGradNorm of text', { clipGradNorm: '1' }, "clipGradNorm is '1'"],
    ['metrics in a list', { metrics: [metrics.accuracy] }, 'metrics are an array'],
    ['a metric that is none', { metrics: { accuracy: {} } }, 'metric accuracy is an object'],
    ['a metric under a name of the record', { metrics: { loss: metrics.accuracy } }, "a metric cannot be named 'loss'"],
    ['a callback that was not made', { callbacks: [earlyStopping] }, 'callback 0 is a function; call it'],
    ['a callback alone', { callbacks: earlyStopping() }, 'callbacks are an object'],
    [
      'a hook that nobody calls',
      { callbacks: [{ onEpochend() {} }] },
      'callback 0 has onEpochend, which is never called',
    ],
    ['a hook that is no function', { callbacks: [{ onStep: 3 }] }, 'onStep of callback 0 is the number 3'],
  ])('%s', (_title, options, message) => {
    expect(make(options)).toThrow(ValueError)
    expect(make(options)).toThrow(`[Trainer] ${message}`)
  })
  it('no model', () => {
    expect(make({}, null)).toThrow('[Trainer] the model is null')
    expect(make({}, new nn.ReLU())).toThrow('[Trainer] the model has no parameters')
  })

  const failing = async (loss: unknown, spoil: (model: nn.Linear) => void = () => undefined) => {
    const { model: own, trainer } = line({ loss: loss as never })
    spoil(own)
    return trainer.fit(batches(1), quiet).then(
      () => null,
      (error: unknown) => error as Error,
    )
  }
  it.each([
    ['a number', () => 0.5, ValueError, 'the loss function gave the number 0.5'],
    ['a promise', async () => zeros([]), ValueError, 'the loss function gave a Promise'],
    ['nothing', () => undefined, ValueError, 'the loss function gave undefined'],
    [
      'a loss a row',
      (y: Tensor, t: Tensor) => mseLoss(y, t, { reduction: 'none' }),
      ShapeError,
      'the loss function gave [2, 1]',
    ],
    ['a loss of something else', () => zeros([]), AutogradError, 'the loss depends on no parameter'],
    [
      'a loss of another leaf',
      () => tensor([1], { requiresGrad: true }).sum(),
      AutogradError,
      "the loss reaches none of the optimizer's 1 parameters",
    ],
  ])('a loss function that gives %s', async (_title, loss, type, message) => {
    const error = await failing(loss)
    expect(error).toBeInstanceOf(type)
    expect(error?.message).toContain(`[Trainer.fit] ${message}`)
  })
  it('a model that is frozen', async () => {
    const error = await failing(mseLoss, (own) => void own.requiresGrad_(false))
    expect(error?.message).toContain("[Trainer.fit] all of the optimizer's 1 parameters are frozen")
  })
  it('a forward that is asynchronous', async () => {
    class Later extends nn.Linear {
      override forward(x: Tensor): never {
        return Promise.resolve(super.forward(x)) as never
      }
    }
    const later = new Later(1, 1)
    const trainer = new Trainer(later, { optimizer: new optim.SGD(later.parameters(), { lr: 1 }), loss: mseLoss })
    await expect(trainer.fit(batches(1), quiet)).rejects.toThrow("the model's forward gave a Promise")
  })
  it.each([
    ['epochs', { epochs: 1.5 }, 'epochs is 1.5'],
    ['epochs', { epochs: '3' }, "epochs is '3'"],
    ['signal', { signal: {} }, 'the signal is an object'],
    ['progress', { progress: 'no' }, "progress is 'no'"],
    ['validation', { validation: 3 }, 'the batches are the number 3'],
  ])('%s of fit', async (_title, options, message) => {
    const { trainer } = line()
    await expect(trainer.fit(batches(1), { ...quiet, ...(options as object) })).rejects.toThrow(
      `[Trainer.fit] ${message}`,
    )
  })
})

describe('callbacks', () => {
  it('that began are ended, whatever others throw, and the first error is the one that is seen', async () => {
    const ended: string[] = []
    const named = (name: string, more: Callback = {}): Callback => ({ onEnd: () => void ended.push(name), ...more })
    const failing = (message: string) => () => {
      throw new Error(message)
    }
    const start = line({ callbacks: [named('a'), named('b', { onStart: failing('in onStart') }), named('c')] }).trainer
    await expect(start.fit(batches(1), quiet)).rejects.toThrow('in onStart')
    expect(ended).toEqual(['a'])
    const end = line({ callbacks: [named('d', { onEnd: failing('in onEnd') }), named('e')] }).trainer
    await expect(end.fit(batches(1), quiet)).rejects.toThrow('in onEnd')
    expect(ended).toEqual(['a', 'e'])
    const both = line({ callbacks: [{ onStep: failing('in onStep'), onEnd: failing('in onEnd') }, named('f')] }).trainer
    await expect(both.fit(batches(1), quiet)).rejects.toThrow('in onStep')
    expect(ended).toEqual(['a', 'e', 'f'])
    expect((await warnings()).join()).toContain("a callback's onEnd failed too: Error: in onEnd")
  })

  it('onStep is awaited: its error is the training’s, and no step is taken meanwhile', async () => {
    const { model, trainer } = line({
      callbacks: [
        {
          async onStep({ index }) {
            const weight = model.weight.item()
            await new Promise((resolve) => setTimeout(resolve, 5))
            expect(model.weight.item()).toBe(weight)
            if (index === 1) throw new Error('the disk is full')
          },
        },
      ],
    })
    await expect(trainer.fit(batches(4), quiet)).rejects.toThrow('the disk is full')
    expect(model.weight.item()).toBe(0.75)
  })

  it('a device error that arrives while one waits is thrown, not left unhandled', async () => {
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    const model = new nn.Linear(1, 2)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: crossEntropy,
      callbacks: [{ onStep: () => new Promise<void>((resolve) => setTimeout(resolve, 10)) }],
    })
    const bad: Batch = [ones([2, 1]), full([2], 7, { dtype: 'int32' })]
    await expect(trainer.fit([bad, bad, bad, bad], quiet)).rejects.toThrow(IndexOutOfRangeError)
    await new Promise((resolve) => setTimeout(resolve, 10))
    process.off('unhandledRejection', unhandled)
    expect(unhandled).not.toHaveBeenCalled()
  })
})

describe('a training that ends before its time', () => {
  it('leaves its history, and the Trainer usable', async () => {
    const controller = new AbortController()
    const { trainer } = line({
      callbacks: [{ onEpochEnd: ({ epoch }) => (epoch === 1 ? controller.abort(new Error('enough')) : undefined) }],
    })
    const aborted = await trainer.fit(batches(2), { epochs: 9, signal: controller.signal, ...quiet })
    expect(aborted.stopped).toBe('aborted: Error: enough')
    expect(aborted).toBe(trainer.history)
    expect(losses(trainer.history)).toHaveLength(2)
    expect(losses(await trainer.fit(batches(2), { epochs: 1, ...quiet }))).toHaveLength(1)
  })

  it('does not begin with a signal that was aborted', async () => {
    const onStart = vi.fn()
    const { model, trainer } = line({ callbacks: [{ onStart }] })
    await expect(trainer.fit(batches(1), { signal: AbortSignal.abort(new Error('before')), ...quiet })).rejects.toThrow(
      'before',
    )
    expect(onStart).not.toHaveBeenCalled()
    expect(model.weight.item()).toBe(0)
  })

  it('because the batches fail, or the loop is left, can be followed by another', async () => {
    const { trainer } = line({ metrics: { zero: { reset() {}, update() {}, compute: async () => 0 } } })
    async function* failing(): AsyncGenerator<Batch> {
      yield batch()
      throw new Error('the file is gone')
    }
    await expect(trainer.fit(failing(), quiet)).rejects.toThrow('the file is gone')
    await expect(trainer.evaluate(failing())).rejects.toThrow('the file is gone')
    for await (const _step of trainer.steps(batches(3))) break
    expect(losses(await trainer.fit(batches(1), quiet))).toHaveLength(1)
  })

  it('two at once are refused, and the first goes on', async () => {
    const onStart = vi.fn()
    const { trainer } = line({ callbacks: [{ onStart }] })
    const first = trainer.fit(batches(3), { epochs: 2, ...quiet })
    await expect(trainer.fit(batches(1), quiet)).rejects.toThrow('[Trainer] is already running')
    await expect(trainer.steps(batches(1)).next()).rejects.toThrow('[Trainer] is already running')
    expect(losses(await first)).toHaveLength(2)
    expect(onStart).toHaveBeenCalledTimes(1)
  })

  it('two at once of one model are refused, but steps in turn are not, nor a fit after a refused or failed one', async () => {
    const { model, optimizer, trainer } = line()
    const other = new Trainer(model, { optimizer, loss: mseLoss })
    const first = trainer.fit(batches(3), quiet)
    await expect(other.fit(batches(1), quiet)).rejects.toThrow(
      '[Trainer.fit] another Trainer is fitting the same model (a Linear)',
    )
    expect(other.running).toBe(false)
    for await (const _step of other.steps(batches(2)));
    await first
    await expect(other.fit([[ones([1, 2]), ones([1, 1])]], quiet)).rejects.toThrow(ShapeError)
    expect(losses(await trainer.fit(batches(1), quiet))).toHaveLength(1)
  })

  it('one that cannot begin leaves its Trainer and its model free', async () => {
    const { model, optimizer, trainer } = line({ checkpointing: true })
    await expect(trainer.fit(batches(1), quiet)).rejects.toThrow('blocks')
    expect(trainer.running).toBe(false)
    const state = { stateDict: () => assert.fail('no state'), loadStateDict: () => undefined }
    const plain = new Trainer(model, { optimizer, loss: mseLoss })
    const validation = { ...state, [Symbol.iterator]: () => batches(1)[Symbol.iterator]() }
    await expect(plain.fit(batches(1), { validation, ...quiet })).rejects.toThrow('no state')
    expect(losses(await plain.fit(batches(1), quiet))).toHaveLength(1)
  })
})

describe('a schedule', () => {
  const scheduled = (tMax: number, scheduleEvery?: 'epoch') => {
    const model = new nn.Linear(1, 1)
    const optimizer = new optim.SGD(model.parameters(), { lr: 1 })
    const schedule = new optim.CosineAnnealingLR(optimizer, { tMax })
    return new Trainer(model, { optimizer, loss: mseLoss, schedule, ...(scheduleEvery && { scheduleEvery }) })
  }
  const rates = ({ epochs }: History) => epochs.map(({ lr }) => Math.round(lr * 1e6) / 1e6)

  it('is stepped with the optimizer, or after each epoch', async () => {
    expect(rates(await scheduled(8).fit(batches(4), { epochs: 2, ...quiet }))).toEqual([0.5, 0])
    expect(rates(await scheduled(3, 'epoch').fit(batches(4), { epochs: 3, ...quiet }))).toEqual([1, 0.75, 0.25])
    expect(await warnings()).toEqual([])
    expect(rates(await scheduled(6).fit(batches(4), { epochs: 2, ...quiet }))).toEqual([0.25, 0.25])
    expect(await warnings()).toHaveLength(1)
  })

  it('that ends before the training is told of once, at the start where the steps are known', async () => {
    const trainer = scheduled(3)
    await trainer.fit(batches(4), { epochs: 3, ...quiet })
    await trainer.fit(batches(4), quiet)
    const output = await warnings()
    expect(output).toHaveLength(1)
    expect(output[0]).toContain('[Trainer.fit] the schedule ends after 3 steps, of which 0 have been taken')
    expect(output[0]).toContain('this training takes 12')
    await scheduled(3).fit(() => batches(4).values(), { epochs: 3, ...quiet })
    expect((await warnings())[0]).toContain('ended after 3 steps, but the training continues')
  })

  it('that has ended is told of before a second training', async () => {
    const trainer = scheduled(4)
    await trainer.fit(batches(4), quiet)
    expect(await warnings()).toEqual([])
    await trainer.fit(batches(1), quiet)
    expect((await warnings())[0]).toContain('of which 4 have been taken')
  })
})

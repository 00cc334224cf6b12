/** Best weights, averages of the weights, and the learning-rate range test. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  bestWeights,
  type Callback,
  DataLoader,
  earlyStopping,
  findLearningRate,
  Generator,
  manualSeed,
  metrics,
  mseLoss,
  nn,
  ones,
  optim,
  randint,
  randn,
  type Tensor,
  TensorDataset,
  Trainer,
  type TrainerOptions,
  ValueError,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const folders: string[] = []
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

const quiet = { progress: false } as const
const bits = (tensors: Iterable<Tensor>) =>
  [...tensors].map((x) => Buffer.from(x.detach().dataSync().slice().buffer).toString('hex'))

/** Three steps in an epoch, with dropout, batch norm and momentum. */
function made(options: Partial<TrainerOptions> = {}) {
  manualSeed(5)
  const generator = new Generator(1)
  const loader = new DataLoader(new TensorDataset(randn([12, 6], { generator }), randint(0, 3, [12], { generator })), {
    batchSize: 4,
    shuffle: true,
    generator,
  })
  const model = new nn.Sequential(
    new nn.Linear(6, 8),
    new nn.BatchNorm1d(8),
    new nn.Dropout(0.3),
    new nn.Linear(8, 3),
    new nn.Dropout(0.1, { generator: new Generator(9) }),
  )
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
  const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy, ...(options as object) })
  return { model, optimizer, trainer, loader, generator }
}

describe('bestWeights', () => {
  it('gives the model the weights of its best validation, and stops nothing', async () => {
    const seen: string[][] = []
    const { model, trainer, loader } = made({
      callbacks: [bestWeights(), { onValidation: () => void seen.push(bits(model.stateDict().values())) }],
    })
    const validation = [[randn([8, 6]), randint(0, 3, [8])] as const]
    const { epochs, stopped } = await trainer.fit(loader, { ...quiet, epochs: 6, validation })
    const losses = epochs.map((epoch) => epoch.validation?.loss ?? Number.NaN)
    const best = losses.indexOf(Math.min(...losses))
    expect(stopped).toBeNull()
    expect(epochs).toHaveLength(6)
    expect(bits(model.stateDict().values())).toEqual(seen[best])
    expect((await trainer.evaluate(validation)).loss).toBe(losses[best])
  })

  it('says that no weights are the best if all losses were NaN', async () => {
    const model = new nn.Linear(1, 1)
    const trainer = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }),
      loss: (output, target) => mseLoss(output, target).mul(Number.NaN),
      callbacks: [bestWeights({ monitor: 'loss' })],
    })
    await trainer.fit([[ones([1, 1]), ones([1, 1])]], { epochs: 2, progress: false })
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput().join('\n')).toContain(
      '[bestWeights] loss was NaN in all 2 epochs, so no weights are the best, and the model keeps its last',
    )
  })

  it('names what it cannot do', async () => {
    expect(() => bestWeights({ monitor: 'f1' })).toThrow("[bestWeights] needs a mode for 'f1'")
    expect(() => bestWeights({ patience: 3 } as never)).toThrow('[bestWeights] there is no option patience')
    const { trainer, loader } = made({ callbacks: [bestWeights()] })
    await expect(trainer.fit(loader, quiet)).rejects.toThrow("[bestWeights] there is no 'validation.loss' to monitor")
  })
})

describe('an average', () => {
  it.each([
    ['ema', optim.ema(0.5), (before: number, now: number) => (before + now) / 2],
    ['swa', optim.swa(), (before: number, now: number, count: number) => (before * count + now) / (count + 1)],
  ] as const)('%s is what validations measure and the model has in the end', async (_name, average, next) => {
    let [expected, count] = [Number.NaN, 0]
    const validated: number[] = []
    const weight = () => model.at(0).weight.dataSync()[0] as number
    const { model, trainer, loader } = made({
      average,
      averageAfter: 2,
      callbacks: [
        {
          onStep({ step }) {
            if (step < 2) return
            expected = count === 0 ? weight() : next(expected, weight(), count)
            count++
          },
          onValidation: () => void validated.push(weight() - expected),
        },
      ],
    })
    await trainer.fit(loader, { ...quiet, epochs: 2, validation: loader })
    expect(count).toBe(4)
    for (const difference of [...validated, weight() - expected]) expect(Math.abs(difference)).toBeLessThan(1e-6)
  })

  it('before it begins, the own weights are measured', async () => {
    const { trainer, loader } = made({ average: optim.ema(0.5), averageAfter: 100 })
    const generator = new Generator(2)
    const options = {
      ...quiet,
      validation: [[randn([4, 6], { generator }), randint(0, 3, [4], { generator })] as const],
    }
    const { validations } = await trainer.fit(loader, options)
    const plain = made()
    expect((await plain.trainer.fit(plain.loader, options)).validations).toEqual(validations)
  })

  it('is part of checkpoints', async () => {
    const options = { average: optim.ema(0.9) }
    const whole = made(options)
    await whole.trainer.fit(whole.loader, { ...quiet, epochs: 2 })
    const folder = mkdtempSync(join(tmpdir(), 'firesteel-average-'))
    folders.push(folder)
    const checkpoints = { folder, every: 1 }
    const cut = {
      onStep: ({ step }: { step: number }) => {
        if (step >= fails) throw new Error('a power cut')
      },
    }
    let fails = 4
    const first = made({ ...options, checkpoints, callbacks: [cut] })
    await expect(first.trainer.fit(first.loader, { ...quiet, epochs: 2 })).rejects.toThrow('a power cut')
    fails = 100
    const second = made({ ...options, checkpoints, callbacks: [cut] })
    await second.trainer.fit(second.loader, { ...quiet, epochs: 2, resume: 'auto' })
    expect(bits(second.model.stateDict().values())).toEqual(bits(whole.model.stateDict().values()))
    const without = made({ checkpoints, callbacks: [cut] })
    await expect(without.trainer.fit(without.loader, { ...quiet, resume: 'auto' })).rejects.toThrow(
      'average is false, but was true',
    )
  })

  it.each([
    [{ average: 0.9 }, 'average is the number 0.9'],
    [{ average: optim.swa(), averageAfter: -1 }, 'averageAfter is -1'],
    [{ averageAfter: 1 }, 'averageAfter needs an average'],
  ])('options %#: refused', (options, message) => {
    expect(() => made(options as never)).toThrow(ValueError)
    expect(() => made(options as never)).toThrow(message)
  })
})

describe('findLearningRate', () => {
  it('finds where the loss falls fastest, and puts everything back to the bit', async () => {
    const options = { metrics: { accuracy: metrics.accuracy }, clipGradNorm: 100 }
    const { model, optimizer, trainer, loader, generator } = made(options as never)
    await trainer.fit(loader, quiet)
    const all = () => ({
      weights: bits(model.stateDict().values()),
      momentum: [...optimizer.stateDict().state.values()].flatMap(({ tensors }) => bits(Object.values(tensors))),
      groups: optimizer.stateDict().groups,
      random: nn.randomState(model),
      loader: loader.stateDict(),
      generator: generator.stateDict(),
    })
    const before = all()
    const found = await findLearningRate(trainer, loader, { from: 1e-4, to: 100, steps: 40 })
    expect(all()).toEqual(before)
    expect(found.curve.length).toBeGreaterThan(10)
    expect(found.curve[0]?.lr).toBe(1e-4)
    const rates = found.curve.map(({ lr }) => lr)
    expect(rates[2]).toBeCloseTo(1e-4 * 1e6 ** (2 / 39), 12)
    expect(found.suggestion).toBeGreaterThan(1e-4)
    expect(found.suggestion).toBeLessThan(100)
    expect(String(found)).toContain('; suggestion ')
    // The run continues like one that was never tested.
    const tested = await trainer.fit(loader, quiet)
    const other = made(options as never)
    await other.trainer.fit(other.loader, quiet)
    const untested = await other.trainer.fit(other.loader, quiet)
    expect(tested.epochs[0]?.loss).toBe(untested.epochs[0]?.loss)
    expect(bits(model.stateDict().values())).toEqual(bits(other.model.stateDict().values()))
  })

  it('ends where the loss diverges, and tells where it only grows', async () => {
    const model = new nn.Linear(1, 1)
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
    const trainer = new Trainer(model, { optimizer, loss: nn.functional.mseLoss })
    const batch = [randn([8, 1]), randn([8, 1])] as const
    const found = await findLearningRate(trainer, [batch], { from: 1, to: 1e6, steps: 100 })
    expect(found.curve.length).toBeLessThan(60)
    expect(found.curve.length).toBeGreaterThan(5)
    expect(optimizer.paramGroups[0]?.lr).toBe(0.1)
  })

  it('says that batches which end too early can be used only once', async () => {
    const { trainer, loader } = made()
    async function* once() {
      yield* loader
    }
    await expect(findLearningRate(trainer, once())).rejects.toThrow(
      '[findLearningRate] the batches end before the test does, and can be used only once; give fewer steps,',
    )
    await expect(findLearningRate(trainer, [])).rejects.toThrow('[findLearningRate] there are no batches')
  })

  it('keeps the proportions of groups, and is for a Trainer at rest', async () => {
    const { trainer, loader } = made()
    const seen: number[][] = []
    const model = new nn.Sequential(new nn.Linear(6, 4), new nn.Linear(4, 3))
    const optimizer = new optim.SGD(
      [
        { params: model.at(0).parameters(), lr: 0.1 },
        { params: model.at(1).parameters(), lr: 0.01 },
      ],
      { lr: 1 },
    )
    model.registerForwardHook(() => void seen.push(optimizer.paramGroups.map(({ lr }) => lr)))
    const grouped = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy })
    await findLearningRate(grouped, loader, { from: 1e-3, to: 1e-2, steps: 10 })
    expect(seen).toHaveLength(10)
    for (const [first = 0, second = 0] of seen) expect(second / first).toBeCloseTo(0.1, 12)
    const steps = trainer.steps(loader)
    await steps.next()
    await expect(findLearningRate(trainer, loader)).rejects.toThrow('the Trainer is training')
    await steps.return(undefined)
    await expect(findLearningRate(trainer, () => [])).rejects.toThrow('there are no batches')
  })

  it.each([
    [{ from: 0 }, 'from is 0'],
    [{ from: 1, to: 1 }, 'to is 1'],
    [{ steps: 9 }, 'steps is 9'],
    [{ diverged: 1 }, 'diverged is 1'],
    [{ least: 1 }, 'there is no option least'],
  ])('options %#: refused', async (options, message) => {
    const { trainer, loader } = made()
    await expect(findLearningRate(trainer, loader, options as never)).rejects.toThrow(`[findLearningRate] ${message}`)
  })
})

describe('a callback', () => {
  it('without a single event is refused, because nothing would call it', () => {
    const { optimizer } = made()
    const plateau = new optim.ReduceLROnPlateau(optimizer) as object
    expect(() => made({ callbacks: [plateau] })).toThrow(
      '[Trainer] callback 0 is a ReduceLROnPlateau without any of onStart, onStep,',
    )
    expect(() => made({ schedule: plateau as optim.Schedule })).toThrow('let checkpoints save its state: { also: {')
  })

  it('of another kind or order than before is refused, and the error names callback and file', async () => {
    const run = async (callbacks: readonly Callback[], resume?: 'auto', folder = folders.at(-1) as string) => {
      const { trainer, loader } = made({ callbacks, checkpoints: { folder } })
      await trainer.fit(loader, { ...quiet, epochs: resume === undefined ? 1 : 2, ...(resume && { resume }) })
    }
    const plain = { onStep: () => undefined }
    const stopping = () => earlyStopping({ monitor: 'loss' })
    const broken = {
      ...plain,
      stateDict: () => 1,
      loadStateDict() {
        throw new TypeError('cannot')
      },
    }
    for (const [before, after, message] of [
      [
        plain,
        stopping(),
        /step-0+3\.safetensors, callback 0: the state is null, but must be \{ best, waited, weights }/,
      ],
      [
        stopping(),
        plain,
        /callback 0 has no state, but had one when .*step-0+3\.safetensors was written; give the same/,
      ],
      [broken, broken, /step-0+3\.safetensors, callback 0: its loadStateDict threw TypeError: cannot/],
    ] as const) {
      folders.push(mkdtempSync(join(tmpdir(), 'firesteel-callbacks-')))
      await run([before])
      const error = await run([after], 'auto').then(
        () => expect.fail('did not throw'),
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(ValueError)
      expect((error as Error).message).toMatch(message)
    }
  })
})

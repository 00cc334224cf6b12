/**
 * Runs that are cut at every step and resumed end with the same bits as one that never was. The file is over 600 lines
 * because all its parts need the same small runs, kills and comparisons of bits.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  crossEntropy,
  DataLoader,
  earlyStopping,
  Generator,
  type History,
  loadCheckpoint,
  manualSeed,
  metrics,
  nn,
  optim,
  randint,
  randn,
  StateDictError,
  saveCheckpoint,
  type Tensor,
  TensorDataset,
  Trainer,
  tensor,
  ValueError,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'
import { devices } from '../suites/support.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-resume-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

const bits = (tensors: Iterable<Tensor>) =>
  [...tensors].map((x) => Buffer.from(x.detach().dataSync().slice().buffer).toString('hex'))

interface Made {
  readonly accumulate?: number
  readonly every?: number | string
  readonly keep?: number
  readonly lr?: number
  readonly restoreBest?: boolean
}

/**
 * A run with everything that has a state: dropout, batch norm, momentum, a schedule, averages, a shuffled loader,
 * metrics, early stopping.
 */
function run(device: Tensor['device'], where: string | null, made: Made = {}) {
  const { accumulate = 2, every = 1, keep = 2, lr = 0.1, restoreBest = true } = made
  manualSeed(5)
  const generator = new Generator(1)
  const x = randn([22, 6], { generator, device })
  const y = randint(0, 3, [22], { generator, device })
  const loader = new DataLoader(new TensorDataset(x, y), { batchSize: 4, shuffle: true })
  const options = { generator, device }
  const model = new nn.Sequential(
    new nn.Linear(6, 8, options),
    new nn.BatchNorm1d(8, { device }),
    new nn.ReLU(),
    new nn.Dropout(0.3),
    new nn.Linear(8, 3, options),
    new nn.Dropout(0.1, { generator: new Generator(9) }),
  )
  const optimizer = new optim.AdamW(model.parameters(), { lr })
  const average = new optim.WeightAverage(model, optim.ema(0.9))
  const trainer = new Trainer(model, {
    optimizer,
    loss: crossEntropy,
    metrics: { accuracy: metrics.accuracy },
    schedule: new optim.CosineAnnealingLR(optimizer, { tMax: 30 }),
    clipGradNorm: 1,
    accumulate,
    callbacks: [
      { onStep: () => average.update() },
      earlyStopping({ monitor: 'validation.accuracy', patience: 50, restoreBest }),
    ],
    ...(where === null ? {} : { checkpoints: { folder: where, every, keep, also: { average } } }),
  })
  const validation = [[x, y] as const]
  const state = () => ({
    weights: bits(model.stateDict().values()),
    average: bits(average.stateDict().tensors.values()),
  })
  return { model, trainer, loader, validation, state }
}

const numbers = ({ epochs, validations, stopped }: History<'accuracy'>) => ({
  epochs: epochs.map(({ seconds: _seconds, ...rest }) => rest),
  validations,
  stopped,
})

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device) => {
  it.each([
    ['epochs', { epochs: 3 }, 9],
    ['steps and validations within passes', { steps: 8, validateEvery: 2 }, 8],
  ] as const)('a run of %s, cut behind any step, ends with the same bits', async (_title, plan, steps) => {
    const whole = run(device, null)
    const history = await whole.trainer.fit(whole.loader, { ...plan, validation: whole.validation, progress: false })
    const wanted = { ...whole.state(), ...numbers(history) }
    for (let cut = 1; cut <= steps; cut++) {
      const where = folder()
      // If checkpoints are rare, the abort's is the only one.
      const first = run(device, where, { every: cut % 2 === 0 ? 1 : 1000 })
      const abort = new AbortController()
      // There are two batches in a step, and the abort comes within a step, which is still taken.
      let batches = 0
      first.model.registerForwardHook(() => {
        if (first.model.training && ++batches === 2 * cut) abort.abort()
      })
      const before = await first.trainer.fit(first.loader, {
        ...plan,
        validation: first.validation,
        progress: false,
        signal: abort.signal,
      })
      expect(before.stopped).toContain('aborted')
      const second = run(device, where)
      const rest = await second.trainer.fit(second.loader, {
        ...plan,
        validation: second.validation,
        progress: false,
        resume: 'auto',
      })
      expect({ ...second.state(), ...numbers(rest) }, `cut behind step ${cut}`).toEqual(wanted)
    }
  })
})

const cpu = devices[0] as Tensor['device']

it.each([
  ['within a pass', {}, [1, 2, 4, 5, 7]],
  ['at the end of a pass', {}, [3, 6]],
  ['where its last validation is one more', { validateEvery: 4 }, [1, 3, 5, 6, 7]],
] as const)(
  'a fit that ended %s and is made longer ends with the bits of one that never ended',
  async (_title, more, ends) => {
    const plan = { ...more, progress: false } as const
    const whole = run(cpu, null)
    const history = await whole.trainer.fit(whole.loader, { ...plan, steps: 8, validation: whole.validation })
    const wanted = { ...whole.state(), ...numbers(history) }
    for (const end of ends) {
      const where = folder()
      const first = run(cpu, where, { every: 1000 })
      const before = await first.trainer.fit(first.loader, { ...plan, steps: end, validation: first.validation })
      // It runs once more unchanged, and must end the same.
      const again = run(cpu, where, { every: 1000 })
      const same = await again.trainer.fit(again.loader, {
        ...plan,
        steps: end,
        validation: again.validation,
        resume: 'auto',
      })
      expect({ ...again.state(), ...numbers(same) }).toEqual({ ...first.state(), ...numbers(before) })
      const second = run(cpu, where, { every: 1000 })
      const rest = await second.trainer.fit(second.loader, {
        ...plan,
        steps: 8,
        validation: second.validation,
        resume: 'auto',
      })
      expect({ ...second.state(), ...numbers(rest) }, `ended after ${end}`).toEqual(wanted)
    }
    // Warnings are emitted in a later turn.
    await new Promise((resolve) => setImmediate(resolve))
    const late = 'validateEvery' in more ? ends.filter((end) => end < more.validateEvery) : []
    expect([...new Set(takeOutput())]).toEqual(
      late.map((end) => expect.stringContaining(`this training ends with step ${end}`)),
    )
  },
)

const fitting = { epochs: 2, progress: false } as const

describe('checkpoints', () => {
  it('are the newest so many, and one behind the last step; a run that ended goes on no further', async () => {
    const where = folder()
    const { trainer, loader, state } = run(cpu, where, { keep: 3 })
    const history = await trainer.fit(loader, { ...fitting, validation: run(cpu, null).validation })
    expect(readdirSync(join(where, 'checkpoints')).sort()).toEqual(
      [4, 5, 6].map((step) => `step-${String(step).padStart(10, '0')}.safetensors`),
    )
    const again = run(cpu, where, { keep: 3 })
    const rest = await again.trainer.fit(again.loader, { ...fitting, validation: again.validation, resume: 'auto' })
    expect(numbers(rest)).toEqual(numbers(history))
    expect(rest.telemetry).toEqual(history.telemetry)
    expect(again.state()).toEqual(state())
    const longer = run(cpu, where, { keep: 3 })
    const more = await longer.trainer.fit(longer.loader, {
      ...fitting,
      epochs: 3,
      validation: longer.validation,
      resume: 'auto',
    })
    expect(more.epochs.map(({ epoch }) => epoch)).toEqual([0, 1, 2])
  })

  it('are written if the abort comes while a step waits for the rest of its batches', async () => {
    const all = Array.from({ length: 6 }, (_, i): readonly [Tensor, Tensor] => {
      const generator = new Generator(i)
      return [randn([4, 6], { generator, device: cpu }), randint(0, 3, [4], { generator, device: cpu })]
    })
    const whole = run(cpu, null)
    const plan = { epochs: 2, validation: whole.validation, progress: false } as const
    await whole.trainer.fit(all, plan)
    const [where, abort] = [folder(), new AbortController()]
    async function* slow() {
      for (const [i, batch] of all.entries()) {
        await new Promise((resolve) => setImmediate(resolve))
        if (i === 3) abort.abort()
        await new Promise((resolve) => setImmediate(resolve))
        yield batch
      }
    }
    const first = run(cpu, where, { every: 1000 })
    const { stopped } = await first.trainer.fit(slow, { ...plan, signal: abort.signal })
    expect(stopped).toContain('aborted')
    expect(readdirSync(join(where, 'checkpoints'))).toEqual(['step-0000000002.safetensors'])
    const second = run(cpu, where, { every: 1000 })
    await second.trainer.fit(() => all, { ...plan, resume: 'auto' })
    expect(second.state()).toEqual(whole.state())
  })

  it('are not written if the rest of its batches never come, and a warning says so', async () => {
    const [x, y] = [randn([4, 6], { device: cpu }), randint(0, 3, [4], { device: cpu })]
    const [where, abort] = [folder(), new AbortController()]
    async function* stalled() {
      for (let i = 0; i < 3; i++) yield [x, y] as const
      setImmediate(() => abort.abort())
      await new Promise(() => undefined)
    }
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { trainer, validation } = run(cpu, where, { every: 1000 })
      const fit = trainer.fit(stalled, { validation, progress: false, signal: abort.signal })
      while (!abort.signal.aborted) await new Promise((resolve) => setImmediate(resolve))
      await vi.advanceTimersByTimeAsync(10_000)
      expect((await fit).stopped).toContain('aborted')
    } finally {
      vi.useRealTimers()
    }
    expect(existsSync(join(where, 'checkpoints'))).toBe(false)
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput()).toEqual([
      'warning: Warning: [Trainer.fit] was aborted within step 2, whose next batch did not come, so no checkpoint was written; a resumed run continues from the one before',
    ])
  })

  it('are written at the end of a validation that is aborted, and between passes', async () => {
    for (const [event, plan] of [
      ['validation', { epochs: 3 }],
      ['validation', { steps: 8, validateEvery: 2 }],
      ['onEpochEnd', { epochs: 3 }],
    ] as const) {
      const whole = run(cpu, null)
      const history = await whole.trainer.fit(whole.loader, { ...plan, validation: whole.validation, progress: false })
      const where = folder()
      const first = run(cpu, where, { every: 1000 })
      const abort = new AbortController()
      let validations = 0
      first.model.registerForwardHook(() => {
        if (!first.model.training && ++validations === 2 && event === 'validation') abort.abort()
      })
      const watch = () => {
        if (event === 'onEpochEnd' && first.trainer.history.epochs.length === 1) abort.abort()
      }
      first.model.registerForwardHook(watch)
      // The number of batches is doubled, so that one follows the abort.
      const twice = [...whole.validation, ...whole.validation]
      const aborted = await first.trainer.fit(first.loader, {
        ...plan,
        validation: twice,
        progress: false,
        signal: abort.signal,
      })
      expect(aborted.stopped).toContain('aborted')
      const second = run(cpu, where, { every: 1000 })
      const rest = await second.trainer.fit(second.loader, {
        ...plan,
        validation: twice,
        progress: false,
        resume: 'auto',
      })
      expect({ ...second.state(), ...numbers(rest) }).toEqual({ ...whole.state(), ...numbers(history) })
    }
  })

  it.each([
    ['a generator of its own', () => ({ generator: new Generator(8) })],
    ['the default generator', () => ({})],
  ])('hold the place of a validation loader with %s, whose rows are others in each pass', async (_name, own) => {
    const x = randn([12, 6], { generator: new Generator(2), device: cpu })
    const y = randint(0, 3, [12], { generator: new Generator(3), device: cpu })
    const noisy = ([a, b]: readonly [Tensor, Tensor], generator: Generator) =>
      [a.add(randn([4, 6], { generator, device: cpu })), b] as const
    const heldOut = () =>
      new DataLoader<unknown, readonly [Tensor, Tensor]>(new TensorDataset(x, y), {
        ...own(),
        batchSize: 4,
        shuffle: true,
        mix: [noisy],
      })
    const plan = { steps: 6, validateEvery: 2, progress: false } as const
    const whole = run(cpu, null)
    const history = await whole.trainer.fit(whole.loader, { ...plan, validation: heldOut() })
    const wanted = { ...whole.state(), ...numbers(history) }
    expect(new Set(history.validations.map(({ loss }) => loss)).size).toBe(3)
    // The abort comes after a step, and within the second validation.
    for (const [training, count] of [
      [true, 6],
      [false, 5],
    ] as const) {
      const where = folder()
      const first = run(cpu, where, { every: 1000 })
      const abort = new AbortController()
      let batches = 0
      first.model.registerForwardHook(() => {
        if (first.model.training === training && ++batches === count) abort.abort()
      })
      await first.trainer.fit(first.loader, { ...plan, validation: heldOut(), signal: abort.signal })
      expect(first.trainer.history.stopped).toContain('aborted')
      const second = run(cpu, where)
      const rest = await second.trainer.fit(second.loader, { ...plan, validation: heldOut(), resume: 'auto' })
      expect({ ...second.state(), ...numbers(rest) }).toEqual(wanted)
      const third = run(cpu, where)
      const other = third.trainer.fit(third.loader, { ...plan, validation: third.validation, resume: 'auto' })
      await expect(other).rejects.toThrow('the validation batches are an array')
    }
  })

  it('hold the place of their own pass, whoever else reads the loader', async () => {
    const plan = { steps: 7, validateEvery: 2, progress: false } as const
    const whole = run(cpu, null)
    await whole.trainer.fit(whole.loader, { ...plan, validation: whole.loader })
    for (const cut of [2, 3, 5, 6]) {
      const where = folder()
      const first = run(cpu, where, { every: 1000 })
      const abort = new AbortController()
      let batches = 0
      first.model.registerForwardHook(() => {
        if (first.model.training && ++batches === 2 * cut) abort.abort()
      })
      await first.trainer.fit(first.loader, { ...plan, validation: first.loader, signal: abort.signal })
      const second = run(cpu, where)
      await second.trainer.fit(second.loader, { ...plan, validation: second.loader, resume: 'auto' })
      expect(second.state(), `cut behind step ${cut}`).toEqual(whole.state())
    }
  })

  it('that are damaged do not count, and do not stay behind the run', async () => {
    const where = folder()
    const plan = { epochs: 2, progress: false } as const
    const first = run(cpu, where, { every: 2, keep: 3 })
    await first.trainer.fit(first.loader, { ...plan, validation: first.validation })
    const names = () => readdirSync(join(where, 'checkpoints')).sort()
    const [, , newest = ''] = names()
    truncateSync(join(where, 'checkpoints', newest), 100)
    const second = run(cpu, where, { every: 1, keep: 1 })
    await second.trainer.fit(second.loader, { ...plan, steps: 5, validation: second.validation, resume: 'auto' })
    await new Promise((resolve) => setImmediate(resolve))
    takeOutput()
    expect(names()).toEqual(['step-0000000005.safetensors'])
    const third = run(cpu, where, { every: 1, keep: 1 })
    const history = await third.trainer.fit(third.loader, { ...plan, validation: third.validation, resume: 'auto' })
    expect(history.epochs).toHaveLength(2)
  })

  it('that were cut or changed are told of, and the one before is taken', async () => {
    const where = folder()
    const { trainer, loader } = run(cpu, where, { keep: 6, accumulate: 1, restoreBest: false })
    await trainer.fit(loader, { ...fitting, validation: run(cpu, null).validation })
    const all = readdirSync(join(where, 'checkpoints'))
      .sort()
      .map((name) => join(where, 'checkpoints', name))
    const newest = all.at(-1) as string
    const bytes = readFileSync(newest)
    const generator = new Generator(2)
    const faults = Array.from({ length: 60 }, () => Math.floor(generator.random() * bytes.length))
    for (const [i, at] of [0, 1, 8, bytes.length - 1, ...faults].entries()) {
      if (i % 2 === 0) {
        writeFileSync(newest, bytes)
        truncateSync(newest, at)
      } else {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] as number) ^ 4
        writeFileSync(newest, changed)
      }
      await expect(loadCheckpoint(newest)).rejects.toThrow(ValueError)
    }
    const second = run(cpu, where, { keep: 6, accumulate: 1, restoreBest: false })
    const history = await second.trainer.fit(second.loader, {
      ...fitting,
      validation: second.validation,
      resume: 'auto',
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput().join()).toContain('trying the checkpoint before it')
    expect(history.epochs).toHaveLength(2)
    for (const path of all) if (existsSync(path)) truncateSync(path, 20)
    const third = run(cpu, where, { keep: 6, accumulate: 1 })
    for (const name of readdirSync(join(where, 'checkpoints'))) truncateSync(join(where, 'checkpoints', name), 20)
    await expect(third.trainer.fit(third.loader, { ...fitting, resume: 'auto' })).rejects.toThrow(
      /is complete; put copies of them back, if there are any, or begin a new run: name another folder/,
    )
    await new Promise((resolve) => setImmediate(resolve))
    takeOutput()
  })

  it('of another run are not written over, and another configuration is refused by its field', async () => {
    const where = folder()
    const first = run(cpu, where)
    await first.trainer.fit(first.loader, { ...fitting, validation: first.validation })
    const second = run(cpu, where)
    await expect(second.trainer.fit(second.loader, { ...fitting, validation: second.validation })).rejects.toThrow(
      "already has checkpoints up to step 6; continue from them (resume: 'auto'), or name another folder",
    )
    // A second fit of the same Trainer continues its own run.
    const more = await first.trainer.fit(first.loader, { ...fitting, epochs: 1, validation: first.validation })
    expect(more.epochs.map(({ epoch }) => epoch)).toEqual([2])
    const other = run(cpu, where, { accumulate: 3 })
    await expect(
      other.trainer.fit(other.loader, { ...fitting, validation: other.validation, resume: 'auto' }),
    ).rejects.toThrow('accumulate is 3, but was 2 when')
    const faster = run(cpu, where, { lr: 0.2 })
    await expect(
      faster.trainer.fit(faster.loader, { ...fitting, validation: faster.validation, resume: 'auto' }),
    ).rejects.toThrow("lr of the optimizer's group 0 is '0.2', but was '0.1' when")
    // The schedule has changed the rate meanwhile, because this is the same process.
    const again = { ...fitting, epochs: 4, validation: first.validation, resume: 'auto' } as const
    expect((await first.trainer.fit(first.loader, again)).epochs.map(({ epoch }) => epoch)).toContain(3)
    const larger = run(cpu, where)
    const wider = new nn.Sequential(new nn.Linear(6, 3))
    const optimizer = new optim.AdamW(wider.parameters(), { lr: 0.1 })
    const trainer = new Trainer(wider, {
      optimizer,
      loss: crossEntropy,
      metrics: { accuracy: metrics.accuracy },
      schedule: new optim.CosineAnnealingLR(optimizer, { tMax: 30 }),
      clipGradNorm: 1,
      accumulate: 2,
      callbacks: [{}, {}],
      checkpoints: { folder: where, also: { average: new optim.WeightAverage(wider, optim.ema(0.9)) } },
    })
    await expect(trainer.fit(larger.loader, { ...fitting, resume: 'auto' })).rejects.toThrow(StateDictError)
  })

  it('refuse loaders of other options and another first rate of a schedule, and nothing has changed then', async () => {
    const where = folder()
    const rows = new TensorDataset(randn([22, 6], { device: cpu }), randint(0, 3, [22], { device: cpu }))
    const loader = (shuffle: boolean) => new DataLoader(rows, { batchSize: 4, shuffle })
    const made = (lr = 0.1) => {
      const model = new nn.Linear(6, 3, { device: cpu })
      const optimizer = new optim.AdamW(model.parameters(), { lr })
      // Its first step has rate 0, whatever the optimizer was given.
      const schedule = new optim.WarmupCosineLR(optimizer, { warmupSteps: 2, totalSteps: 30 })
      const checkpoints = { folder: where }
      const trainer = new Trainer(model, { optimizer, schedule, loss: crossEntropy, checkpoints })
      return { trainer, state: () => [...bits(model.parameters()), JSON.stringify(schedule.stateDict())] }
    }
    const plan = { steps: 3, progress: false } as const
    await made().trainer.fit(loader(true), { ...plan, validation: loader(true) })
    for (const [lr, training, validation, message] of [
      [0.1, false, true, 'shuffle is false, but was true'],
      [0.1, true, false, 'shuffle is false, but was true'],
      [0.2, true, true, "the rate before the schedule of the optimizer's group 0 is 0.2, but was 0.1 when"],
    ] as const) {
      const { trainer, state } = made(lr)
      const before = state()
      const options = { ...plan, steps: 5, validation: loader(validation), resume: 'auto' } as const
      await expect(trainer.fit(loader(training), options)).rejects.toThrow(message)
      expect(state()).toEqual(before)
    }
  })

  it('are named, with the part, where a state does not fit', async () => {
    const where = folder()
    const made = (width: number, own: ReturnType<typeof part>) => {
      const model = new nn.Linear(6, width, { device: cpu })
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
      return new Trainer(model, {
        optimizer,
        loss: crossEntropy,
        callbacks: [own],
        checkpoints: { folder: where, also: { own } },
      })
    }
    const part = (refuses: number) => {
      let loads = 0
      const loadStateDict = () => {
        if (++loads === refuses) throw new ValueError('own', 'the state is stale')
      }
      return { onStart: () => undefined, stateDict: () => null, loadStateDict }
    }
    const data = [[randn([2, 6], { device: cpu }), randint(0, 3, [2], { device: cpu })] as const]
    await made(3, part(0)).fit(data, { progress: false })
    const again = (width: number, refuses: number) =>
      made(width, part(refuses)).fit(data, { progress: false, epochs: 2, resume: 'auto' })
    const path = join(where, 'checkpoints', 'step-0000000001.safetensors')
    await expect(again(4, 0)).rejects.toThrow(`${path}, the model: 2 mismatches`)
    await expect(again(3, 1)).rejects.toThrow(`[own] ${path}, own: the state is stale`)
    await expect(again(3, 2)).rejects.toThrow(`[own] ${path}, callback 0: the state is stale`)
  })

  it.each([
    [{ folder: '' }, "folder is ''"],
    [{ folder: 'a', every: 0 }, 'every is 0'],
    [{ folder: 'a', every: 'daily' }, "every is 'daily'"],
    [{ folder: 'a', keep: 0 }, 'keep is 0'],
    [{ folder: 'a', also: { ema: 3 } }, 'also.ema is the number 3'],
    [{ path: 'a' }, 'path'],
  ] as const)('options %#: refused', (checkpoints, message) => {
    const model = new nn.Linear(1, 1)
    const make = () =>
      new Trainer(model, {
        optimizer: new optim.SGD(model.parameters(), { lr: 1 }),
        loss: crossEntropy,
        checkpoints: checkpoints as never,
      })
    expect(make).toThrow(ValueError)
    expect(make).toThrow(message)
  })

  it('need a folder to go on from, and metrics with a state', async () => {
    const { trainer, loader } = run(cpu, null)
    await expect(trainer.fit(loader, { resume: 'auto' })).rejects.toThrow('resume needs')
    const model = new nn.Linear(6, 3)
    const own = new Trainer(model, {
      optimizer: new optim.SGD(model.parameters(), { lr: 1 }),
      loss: crossEntropy,
      metrics: { zero: () => ({ reset() {}, update() {}, compute: async () => 0 }) },
      checkpoints: { folder: folder() },
    })
    await expect(own.fit(loader, fitting)).rejects.toThrow('metric zero has no stateDict()')
  })
})

describe('saveCheckpoint', () => {
  it('keeps states and plain data, and gives them back', async () => {
    const path = join(folder(), 'run.ckpt')
    const model = new nn.Linear(2, 3)
    const optimizer = new optim.AdamW(model.parameters())
    model
      .forward(randn([4, 2]))
      .sum()
      .backward()
    optimizer.step()
    const generator = new Generator(4)
    generator.random()
    const plain = {
      epoch: 3,
      lost: Number.NaN,
      least: -0,
      bound: Number.NEGATIVE_INFINITY,
      names: ['a', null, true],
      $: { $: 'number' },
      map: new Map([['k', tensor([1, 2])]]),
      array: Int32Array.of(1, -2),
      nothing: undefined,
    }
    await saveCheckpoint(path, { model, optimizer, generator, plain })
    const [weights, next] = [bits(model.stateDict().values()), generator.random()]
    const other = new nn.Linear(2, 3)
    const otherOptimizer = new optim.AdamW(other.parameters())
    const again = new Generator(0)
    const saved = await loadCheckpoint(path, { model: other, optimizer: otherOptimizer, generator: again })
    expect(bits(other.stateDict().values())).toEqual(weights)
    expect(again.random()).toBe(next)
    expect(otherOptimizer.stateDict().state.size).toBe(2)
    const { map, nothing: _nothing, ...rest } = plain
    const { map: read, ...others } = saved['plain'] as typeof plain
    expect(others).toEqual(rest)
    expect(Object.is(others.least, -0)).toBe(true)
    expect(bits(read.values())).toEqual(bits(map.values()))
  })

  it('keeps float64 and tensors whose paths read alike, of a Map too', async () => {
    const path = join(folder(), 'x.ckpt')
    const exact = tensor([0.1], { dtype: 'float64', device: 'reference' })
    await saveCheckpoint(path, { exact, 'a.b': tensor([1]), a: { b: tensor([2]) }, firesteel: { crc32: tensor([3]) } })
    const saved = (await loadCheckpoint(path)) as { [name: string]: Tensor & { [name: string]: Tensor } }
    expect(saved['exact']?.dtype).toBe('float64')
    expect(saved['exact']?.item()).toBe(0.1)
    expect(saved['a.b']?.item()).toBe(1)
    expect(saved['a']?.['b']?.item()).toBe(2)
    expect(saved['firesteel']?.['crc32']?.item()).toBe(3)
    await saveCheckpoint(path, new Map([['epoch', 4]]) as never)
    expect(await loadCheckpoint(path)).toEqual({ epoch: 4 })
    let deep: unknown = 1
    for (let i = 0; i < 100; i++) deep = { deep }
    await expect(saveCheckpoint(path, { deep })).rejects.toThrow('nested deeper than')
  })

  it.each([
    ['a function', { a: { b: () => 1 } }, 'a.b is a function'],
    ['a bigint', { a: [1n] }, 'a.0 is'],
    ['a Map with other keys', { a: new Map([[1, 2]]) }, 'a is a Map with the key'],
    ['an instance', { a: new Date() }, 'a is'],
  ])('refuses %s', async (_title, parts, message) => {
    const path = join(folder(), 'x.ckpt')
    await expect(saveCheckpoint(path, parts)).rejects.toThrow(message)
    expect(existsSync(path)).toBe(false)
  })

  it('refuses what goes round in circles, other files and missing parts', async () => {
    const path = join(folder(), 'x.ckpt')
    const circle: { self?: unknown } = {}
    circle.self = circle
    await expect(saveCheckpoint(path, { circle })).rejects.toThrow('circle.self is part of itself')
    await new nn.Linear(1, 1).save(path)
    await expect(loadCheckpoint(path)).rejects.toThrow('is a safetensors file, but not a checkpoint')
    await saveCheckpoint(path, { epoch: 1 })
    await expect(loadCheckpoint(path, { model: new nn.Linear(1, 1) })).rejects.toThrow('has no model; it has epoch')
    const broken = {
      stateDict: () => 1,
      loadStateDict() {
        throw new TypeError('cannot')
      },
    }
    await saveCheckpoint(path, { broken })
    await expect(loadCheckpoint(path, { broken })).rejects.toThrow(
      `[loadCheckpoint] ${path}, broken: its loadStateDict threw TypeError: cannot`,
    )
    await expect(loadCheckpoint(path, { epoch: 2 })).rejects.toThrow('must have loadStateDict()')
    const freed = tensor([1])
    freed.dispose()
    await expect(saveCheckpoint(path, { a: { b: freed } })).rejects.toThrow('[saveCheckpoint] a.b was freed')
  })
})

/** A run as a folder: its records, its single owner, and events that continue after a checkpoint. */
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  consoleLogger,
  csvLogger,
  DataLoader,
  Generator,
  jsonLines,
  type Logger,
  manualSeed,
  metrics,
  nn,
  optim,
  randint,
  randn,
  TensorDataset,
  Trainer,
  type TrainingEvent,
  ValueError,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'

const folders: string[] = []
const folder = () => {
  const made = mkdtempSync(join(tmpdir(), 'firesteel-run-'))
  folders.push(made)
  return made
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true })
})

interface Made {
  readonly run?: string
  readonly every?: number
  readonly tMax?: number
  readonly seed?: number
  readonly loggers?: readonly Logger[]
  /** The steps after which a callback throws. */
  readonly failsAfter?: number
}

/** Three steps in an epoch, all of them recorded. */
function made({ run, every, tMax = 30, seed = 1, loggers, failsAfter = Number.POSITIVE_INFINITY }: Made) {
  manualSeed(5)
  const generator = new Generator(seed)
  const dataset = new TensorDataset(randn([12, 6], { generator }), randint(0, 3, [12], { generator }))
  const loader = new DataLoader(dataset, { batchSize: 4, shuffle: true })
  const model = new nn.Sequential(new nn.Linear(6, 8), new nn.ReLU(), new nn.Linear(8, 3))
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const trainer = new Trainer(model, {
    optimizer,
    loss: nn.functional.crossEntropy,
    metrics: { accuracy: metrics.accuracy },
    schedule: new optim.CosineAnnealingLR(optimizer, { tMax }),
    logEvery: 1,
    gradNorm: true,
    callbacks: [
      {
        onStep({ step }) {
          if (step >= failsAfter) throw new Error('a power cut')
        },
      },
    ],
    ...(run !== undefined && { run }),
    ...(loggers !== undefined && { loggers }),
    ...(every !== undefined && { checkpoints: { every } }),
  })
  return { trainer, loader, model }
}

/** The path of a file. */
function file(): string {
  const path = join(folder(), 'file')
  writeFileSync(path, '')
  return path
}

const quiet = { progress: false } as const
const plan = { ...quiet, epochs: 3 } as const
const eventsOf = (run: string) =>
  readFileSync(join(run, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as TrainingEvent)

/** The parts in which two equal runs must agree: everything except times and measurements. */
const told = (events: readonly TrainingEvent[]) =>
  events
    .filter(({ type }) => type === 'step' || type === 'validation' || type === 'epoch')
    .map((event) => {
      const { loss, lr, accuracy, gradNorm } = (event as { numbers: { [name: string]: number } }).numbers
      return { type: event.type, step: event.step, epoch: event.epoch, loss, lr, accuracy, gradNorm }
    })

describe('a run', () => {
  it('says what it is and what happened', async () => {
    const run = join(folder(), 'of', 'mine')
    const { trainer, loader, model } = made({ run })
    const history = await trainer.fit(loader, { ...quiet, epochs: 2, validation: loader })
    expect(readdirSync(run).sort()).toEqual(['events.jsonl', 'run.json'])
    const said = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'))
    expect(said).toMatchObject({
      format: 1,
      model: { class: 'Sequential', parameters: 83, trainable: 83 },
      config: { optimizer: 'SGD', schedule: 'CosineAnnealingLR', batchSize: 4 },
      fit: { epochs: 2 },
      data: { rows: 12, batches: 3, fingerprint: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      sessions: [
        {
          step: 0,
          node: process.version,
          device: { name: [...model.parameters()][0]?.device.name },
          seeds: { default: { seed: 5 } },
        },
      ],
    })
    const events = eventsOf(run)
    const each = ['step', 'step', 'step', 'validation', 'epoch']
    expect(events.map(({ type }) => type)).toEqual(['start', ...each, ...each, 'end'])
    const numbers = (type: string) =>
      events.flatMap((event) => (event.type === type ? [event as { numbers: object }] : []))
    expect(numbers('epoch').map((event) => event.numbers)).toMatchObject(
      history.epochs.map(({ loss, accuracy, validation }) => ({ loss, accuracy, 'validation.loss': validation?.loss })),
    )
    expect(numbers('epoch').map((event) => event.numbers)).toMatchObject(
      history.telemetry.map(({ epoch: _epoch, ...rates }) => rates),
    )
    expect(history.telemetry.map(({ epoch }) => epoch)).toEqual([0, 1])
    for (const { numbers: step } of numbers('step')) {
      expect(step).toMatchObject({
        loss: expect.any(Number),
        gradNorm: expect.any(Number),
        peakBytes: expect.any(Number),
      })
      const { itemsPerSecond, waiting } = step as { itemsPerSecond: number; waiting: number }
      expect(itemsPerSecond).toBeGreaterThan(0)
      expect(waiting).toBeGreaterThanOrEqual(0)
      expect(waiting).toBeLessThanOrEqual(1)
    }
    // The loss counts rows, so they are not recorded twice.
    expect(JSON.stringify(events)).not.toContain('countedPerSecond')
  })

  it('that goes on tells nothing twice, wherever it was cut', async () => {
    const train = ({ trainer, loader }: ReturnType<typeof made>, validated: boolean, resume?: 'auto') =>
      trainer.fit(loader, { ...plan, ...(validated && { validation: loader }), ...(resume && { resume }) })
    const wholeOf = async (validated: boolean) => {
      const whole = folder()
      await train(made({ run: whole }), validated)
      return told(eventsOf(whole))
    }
    const [bare, wanted] = [await wholeOf(false), await wholeOf(true)]
    expect([bare.length, wanted.length]).toEqual([12, 15])
    for (const [every, cut, validated] of [
      // The checkpoint after the last step of an epoch is older than the events at its end.
      [1, 3, false],
      [1, 3, true],
      [2, 5, true],
      [100, 4, true],
    ] as const) {
      const run = folder()
      await expect(train(made({ run, every, failsAfter: cut }), validated)).rejects.toThrow('a power cut')
      // A kill leaves half a line.
      appendFileSync(join(run, 'events.jsonl'), '{"type":"step","time":1,"st')
      await train(made({ run, every }), validated, 'auto')
      const events = eventsOf(run)
      expect(told(events), `every ${every}, cut behind ${cut}`).toEqual(validated ? wanted : bare)
      const resumed = cut >= every
      expect(events.filter(({ type }) => type === 'start')).toHaveLength(resumed ? 2 : 1)
      // Warnings are emitted in a later turn.
      await new Promise((resolve) => setImmediate(resolve))
      expect(takeOutput()).toEqual(
        resumed
          ? []
          : [
              `warning: Warning: [Trainer.fit] starts from the beginning, because there is no checkpoint in ${run} to resume from`,
            ],
      )
      expect(JSON.parse(readFileSync(join(run, 'run.json'), 'utf8')).sessions).toHaveLength(resumed ? 2 : 1)
    }
  })

  it('has the events of all steps in a checkpoint as soon as that is there, because a kill takes those that wait', async () => {
    const run = folder()
    const { trainer, loader, model } = made({ run })
    const checkpoints = join(run, 'checkpoints')
    const seen: { checkpoint: number; steps: readonly number[]; rows: number }[] = []
    const table = join(run, 'steps.csv')
    const watched = new Trainer(model, {
      ...trainer.options,
      metrics: {},
      loss: nn.functional.crossEntropy,
      loggers: [csvLogger(table, { rows: 'step' })],
      checkpoints: { every: 1 },
      callbacks: [
        {
          async onStep({ step }) {
            if (step === 0) return
            const isThere = (name: string) => Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1]) === step
            while (!existsSync(checkpoints) || !readdirSync(checkpoints).some(isThere))
              await new Promise((resolve) => setImmediate(resolve))
            const steps = eventsOf(run).flatMap((event) => (event.type === 'step' ? [event.step] : []))
            seen.push({ checkpoint: step, steps, rows: readFileSync(table, 'utf8').split('\n').length - 2 })
          },
        },
      ],
    })
    await watched.fit(loader, quiet)
    expect(seen).toEqual([
      { checkpoint: 1, steps: [1], rows: 1 },
      { checkpoint: 2, steps: [1, 2], rows: 2 },
    ])
  })

  it('of a Trainer goes on with its second fit, and another does not write over it', async () => {
    const run = folder()
    const { trainer, loader } = made({ run })
    await trainer.fit(loader, quiet)
    await trainer.fit(loader, quiet)
    expect(eventsOf(run).flatMap(({ type, step }) => (type === 'step' ? [step] : []))).toEqual([1, 2, 3, 4, 5, 6])
    const other = made({ run })
    await expect(other.trainer.fit(other.loader, quiet)).rejects.toThrow(
      `[Trainer.fit] ${run} already has a run of 6 steps`,
    )
    expect(eventsOf(run)).toHaveLength(12)
  })

  it('notices another schedule and other data', async () => {
    const run = folder()
    const { trainer, loader } = made({ run, every: 1 })
    await trainer.fit(loader, quiet)
    const go = (options: Made) => {
      const other = made({ run, every: 1, ...options })
      return other.trainer.fit(other.loader, { ...quiet, epochs: 2, resume: 'auto' })
    }
    await expect(go({ tMax: 31 })).rejects.toThrow(
      'the rate of the schedule after 1 steps is 0.997435, but was 0.997261 when',
    )
    await expect(go({ seed: 2 })).rejects.toThrow('as their fingerprints show; continue with the same data')
    expect((await go({})).epochs).toHaveLength(2)
  })
})

describe('a folder', () => {
  it("is one fit's at a time, in this process and in another", async () => {
    const run = folder()
    const { trainer, loader } = made({ run })
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const waiting = async function* () {
      await gate
      yield* loader
    }
    const running = trainer.fit(waiting, quiet)
    while (!existsSync(join(run, 'run.lock'))) await new Promise((resolve) => setImmediate(resolve))
    const other = made({ run, every: 1 })
    await expect(other.trainer.fit(other.loader, { ...quiet, resume: 'auto' })).rejects.toThrow(
      `[Trainer.fit] another run has ${run}: this process, since `,
    )
    open()
    await running
    expect(existsSync(join(run, 'run.lock'))).toBe(false)
    // The parent of this process is alive, and is not this one.
    const holder = { pid: process.ppid, host: hostname(), began: null, taken: Date.now(), id: '' }
    const lock = (over: object) => writeFileSync(join(run, 'run.lock'), JSON.stringify({ ...holder, ...over }))
    lock({})
    await expect(trainer.fit(loader, quiet)).rejects.toThrow(`another run has ${run}: process ${process.ppid}, since `)
    lock({ host: 'elsewhere', pid: 1 })
    await expect(trainer.fit(loader, quiet)).rejects.toThrow('process 1 on elsewhere')
    expect(readdirSync(run).sort()).toEqual(['events.jsonl', 'run.json', 'run.lock'])
  })

  it('is taken from a process that has ended', async () => {
    const run = folder()
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    const holder = { pid, host: hostname(), began: null, taken: Date.now(), id: '' }
    for (const text of [
      JSON.stringify(holder),
      // The number of a process is used again, for another process and for this one.
      JSON.stringify({ ...holder, pid: process.ppid, began: 'another start' }),
      JSON.stringify({ ...holder, pid: process.pid, taken: Date.now() - 1000 * process.uptime() - 1000 }),
      JSON.stringify({ ...holder, pid: process.ppid, taken: 0 }),
      '',
    ]) {
      // Only Linux tells this.
      if (text.includes('another start') && !existsSync('/proc/self/stat')) continue
      writeFileSync(join(run, 'run.lock'), text)
      const { trainer, loader } = made({ run: join(run) })
      rmSync(join(run, 'events.jsonl'), { force: true })
      expect((await trainer.fit(loader, quiet)).epochs).toHaveLength(1)
    }
    expect(readdirSync(run).sort()).toEqual(['events.jsonl', 'run.json'])
  })

  it('is swept of what takers left that were killed, and of nothing else', async () => {
    const run = folder()
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    const holder = { pid, host: hostname(), began: null, taken: Date.now(), id: '' }
    const left = (name: string, over: object | null) =>
      writeFileSync(join(run, name), over === null ? '' : JSON.stringify({ ...holder, ...over }))
    left('run.lock.0123456789abcdef', {})
    left('run.lock.0123456789abcde0', null)
    const stay = ['run.lock.0123456789abcde1', 'run.lock.0123456789abcde2', 'run.lock.notes']
    left(stay[0] as string, { pid: process.ppid })
    left(stay[1] as string, { host: 'elsewhere' })
    left(stay[2] as string, null)
    const { trainer, loader } = made({ run })
    await trainer.fit(loader, quiet)
    expect(readdirSync(run).sort()).toEqual(['events.jsonl', 'run.json', ...stay])
  })

  it('is given back by a fit that fails', async () => {
    const run = folder()
    const { trainer, loader } = made({ run, failsAfter: 1 })
    await expect(trainer.fit(loader, quiet)).rejects.toThrow('a power cut')
    expect(readdirSync(run).sort()).toEqual(['events.jsonl', 'run.json'])
    expect(eventsOf(run).at(-1)).toMatchObject({ type: 'end', stopped: 'failed: Error: a power cut' })
  })

  it.each([
    ['a file is in its place', () => join(file(), 'run'), 'is a file'],
    ['it takes no folders', () => '/proc/firesteel/run', existsSync('/proc') ? 'does not accept folders' : 'cannot'],
  ])('is refused where %s', async (_title, where, message) => {
    for (const options of [{ run: where() }, { checkpoints: { folder: where() } }]) {
      const model = new nn.Linear(6, 3)
      const loader = [[randn([2, 6]), randint(0, 3, [2])]] as const
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
      const trainer = new Trainer(model, { optimizer, loss: nn.functional.crossEntropy, ...options })
      await expect(trainer.fit(loader, quiet)).rejects.toThrow(ValueError)
      await expect(trainer.fit(loader, quiet)).rejects.toThrow(message)
    }
  })
})

describe('loggers', () => {
  it('are opened, told everything and closed; one that fails is told once and left out', async () => {
    const seen: string[] = []
    const logger: Logger = {
      open: ({ resumed, reached }) => void seen.push(`open ${resumed} ${reached.steps}`),
      log: ({ type }) => void seen.push(type),
      close: () => void seen.push('close'),
    }
    const broken: Logger = {
      log() {
        throw new Error('no room')
      },
    }
    const path = join(folder(), 'lines', 'a.jsonl')
    const { trainer, loader } = made({ loggers: [broken, logger, jsonLines(path)] })
    await trainer.fit(loader, quiet)
    expect(seen).toEqual(['open false 0', 'start', 'step', 'step', 'step', 'epoch', 'end', 'close'])
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(6)
    await new Promise((resolve) => setImmediate(resolve))
    expect(takeOutput()).toEqual([
      'warning: Warning: [Trainer.fit] a logger failed, and gets no more events: Error: no room',
    ])
  })

  it('that cannot be opened end the fit before its first step, and the others are closed', async () => {
    let closed = 0
    const failing: Logger = {
      open() {
        throw new Error('not today')
      },
      log() {},
      close: () => void closed++,
    }
    const logger: Logger = { log() {}, close: () => void closed++ }
    const { trainer, loader } = made({ loggers: [logger, failing] })
    await expect(trainer.fit(loader, quiet)).rejects.toThrow('not today')
    expect(closed).toBe(1)
  })

  it('say once that a fit which was to go on begins anew', async () => {
    const run = folder()
    let text = ''
    const lines = consoleLogger({ stream: { write: (piece: string) => (text += piece) } })
    for (const resume of ['auto', 'auto'] as const) {
      const { trainer, loader } = made({ run, every: 3, loggers: [lines] })
      await trainer.fit(loader, { ...quiet, epochs: 1, resume })
    }
    const asked = text.split('\n').filter((line) => line.startsWith('starts') || line.startsWith('continues'))
    expect(asked).toEqual([
      'starts from the beginning, because there is no checkpoint to resume from',
      'continues after step 3',
    ])
    text = ''
    const { trainer, loader } = made({ loggers: [lines] })
    await trainer.fit(loader, { ...quiet, epochs: 1 })
    expect(text).not.toContain('starts')
  })

  it('survive a full disk: that is told once', async () => {
    if (!existsSync('/dev/full')) return
    const { trainer, loader } = made({ loggers: [jsonLines('/dev/full')] })
    expect((await trainer.fit(loader, { ...quiet, epochs: 2 })).stopped).toBeNull()
    await new Promise((resolve) => setImmediate(resolve))
    const output = takeOutput()
    expect(output).toHaveLength(2)
    expect(output[0]).toContain('cannot write /dev/full: ENOSPC')
    expect(output[1]).toContain('/dev/full lacks 10 entries')
  })

  it.each([
    [{ run: '' }, "run is ''"],
    [{ run: 'a', checkpoints: { folder: 'b' } }, 'run is a, but checkpoints.folder is b'],
    [{ loggers: {} }, 'loggers are'],
    [{ loggers: [jsonLines] }, 'logger 0 is a function; call it'],
    [{ loggers: [{}] }, 'logger 0 is'],
    [{ run: 'a', logEvery: 0 }, 'logEvery is 0'],
    [{ run: 'a', gradNorm: 1 }, 'gradNorm is 1'],
    [{ logEvery: 5 }, 'logEvery needs a run or loggers'],
    [{ gradNorm: true }, 'gradNorm needs a run or loggers'],
    [{ checkpoints: {} }, 'folder is undefined'],
  ])('options %#: refused', (options, message) => {
    const model = new nn.Linear(1, 1)
    const optimizer = new optim.SGD(model.parameters(), { lr: 1 })
    const make = () => new Trainer(model, { optimizer, loss: nn.functional.crossEntropy, ...(options as object) })
    expect(make).toThrow(ValueError)
    expect(make).toThrow(message)
  })
})

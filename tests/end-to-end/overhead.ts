/**
 * Compares the time of the Trainer's steps with that of a bare loop: `tsx tests/end-to-end/overhead.ts [--rounds 15]
 * [--processor]`. --processor measures processor time instead of the clock's time, which says little on a busy machine.
 * All loops take turns, and the least time of some steps in a row counts for each, because the machine's other work
 * only adds to it. Prints a line for each, and fails if the Trainer adds more than 2 % to the CNN's step or 5 % to the
 * MLP's.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  crossEntropy,
  csvLogger,
  nn,
  optim,
  randint,
  randn,
  type StepRecord,
  scope,
  Trainer,
  tensorBoard,
} from '../../lib/index.js'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, processor: { type: 'boolean', default: false } },
})
const rounds = Number(values.rounds)

/** Milliseconds, by the clock or of the processor time that this process had. */
function now(): number {
  if (!values.processor) return performance.now()
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const folder = mkdtempSync(join(tmpdir(), 'firesteel-overhead-'))

const cnn = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 32, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(32, 64, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(3136, 128),
    new nn.ReLU(),
    new nn.Linear(128, 10),
  )
const mlp = () =>
  new nn.Sequential(
    new nn.Linear(784, 256),
    new nn.ReLU(),
    new nn.Linear(256, 128),
    new nn.ReLU(),
    new nn.Linear(128, 10),
  )

interface Workload {
  readonly name: string
  readonly model: () => nn.Model
  readonly shape: readonly [number, ...number[]]
  readonly steps: number
  readonly inRow: number
  /** The largest allowed ratio of the Trainer's step to the bare loop's. */
  readonly most: number
}

const workloads: readonly Workload[] = [
  { name: 'CNN', model: cnn, shape: [32, 1, 28, 28], steps: 16, inRow: 10, most: 1.02 },
  { name: 'MLP', model: mlp, shape: [128, 784], steps: 80, inRow: 50, most: 1.05 },
]

let failed = false
for (const { name, model: make, shape, steps, inRow, most } of workloads) {
  const batches = Array.from({ length: steps }, () => [randn(shape), randint(0, 10, [shape[0]])] as const)

  const made = () => {
    const model = make()
    return { model, optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3 }) }
  }

  /**
   * Runs a loop, which calls `seen` at each loss. Returns the milliseconds for each step of the fastest few in a row.
   */
  const timed = async (loop: (seen: () => void) => Promise<unknown>) => {
    const times: number[] = []
    await loop(() => void times.push(now()))
    const spans = times.slice(inRow).map((time, i) => (time - (times[i] as number)) / inRow)
    return Math.min(...spans)
  }

  /** The shortest loop that frees its tensors, reads its losses, runs two steps ahead and lets the event loop turn. */
  const bare = () => {
    const { model, optimizer } = made()
    return async (seen: () => void) => {
      const reads: Promise<unknown>[] = []
      for (const [x, y] of batches) {
        const { read } = scope(() => {
          const loss = crossEntropy(model.forward(x), y)
          loss.backward()
          optimizer.step()
          optimizer.zeroGrad()
          return { read: loss.data() }
        })
        reads.push(read.then(seen))
        if (reads.length > 2) await reads.shift()
        await nextTurn()
      }
      await Promise.all(reads)
    }
  }
  const trained = (options: object) => {
    const { model, optimizer } = made()
    let behind = () => {}
    const callbacks = [{ onStep: (step: StepRecord) => void step.loss().then(behind) }]
    const trainer = new Trainer(model, { optimizer, loss: crossEntropy, callbacks, ...options })
    return (seen: () => void) => {
      behind = seen
      return trainer.fit(batches, { progress: false })
    }
  }
  const loops = {
    'bare loop': bare(),
    Trainer: trained({}),
    'Trainer with a run and loggers': trained({
      run: join(folder, name),
      loggers: [tensorBoard(join(folder, name)), csvLogger(join(folder, `${name}.csv`), { rows: 'step' })],
      gradNorm: true,
    }),
  }
  const least: { [loop: string]: number } = {}
  for (let round = 0; round < rounds; round++)
    for (const [loop, run] of Object.entries(loops)) {
      const time = await timed(run)
      least[loop] = Math.min(least[loop] ?? Number.POSITIVE_INFINITY, time)
    }
  for (const [loop, time] of Object.entries(least)) {
    const ratio = time / (least['bare loop'] as number)
    const bad = ratio > most
    failed ||= bad
    process.stdout.write(
      `${bad ? 'FAILED' : 'ok    '} ${name}, ${loop}: ${time.toFixed(3)} ms a step, ${ratio.toFixed(3)}\n`,
    )
  }
}
rmSync(folder, { recursive: true })
process.exitCode = failed ? 1 : 0

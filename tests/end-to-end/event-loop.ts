/**
 * Measures how long the event loop waits while the Trainer trains a CNN with a loader, checkpoints and loggers:
 * `tsx event-loop.ts SECONDS`. Prints one line of JSON with the milliseconds between the turns of a timer of one
 * millisecond.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import {
  crossEntropy,
  csvLogger,
  DataLoader,
  nn,
  optim,
  randint,
  randn,
  TensorDataset,
  Trainer,
  tensorBoard,
} from '../../lib/index.js'

const seconds = Number(process.argv[2] ?? 5)
const folder = mkdtempSync(join(tmpdir(), 'firesteel-event-loop-'))
const model = new nn.Sequential(
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
const rows = new TensorDataset(randn([2560, 1, 28, 28]), randint(0, 10, [2560]))
const loader = new DataLoader(rows, { batchSize: 128, shuffle: true })
const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3 }),
  loss: crossEntropy,
  run: join(folder, 'run'),
  checkpoints: { every: 20 },
  loggers: [tensorBoard(join(folder, 'board')), csvLogger(join(folder, 'steps.csv'), { rows: 'step' })],
})

// The first steps compile code that runs only once. The rest of the training is what matters.
await trainer.fit(loader, { epochs: 1, progress: false })
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const [started, used] = [performance.now(), process.cpuUsage()]
let steps = 0
while (performance.now() - started < 1000 * seconds) {
  await trainer.fit(loader, { epochs: 1, progress: false })
  steps += loader.length
}
delay.disable()
const { user, system } = process.cpuUsage(used)
rmSync(folder, { recursive: true })

const milliseconds = (nanoseconds: number) => nanoseconds / 1e6
process.stdout.write(
  `${JSON.stringify({
    steps,
    seconds: (performance.now() - started) / 1000,
    /** The number of processors that this process had on average. If it is below one, the waits are the machine's. */
    processors: (user + system) / 1e3 / (performance.now() - started),
    median: milliseconds(delay.percentile(50)),
    p99: milliseconds(delay.percentile(99)),
    most: milliseconds(delay.max),
  })}\n`,
)

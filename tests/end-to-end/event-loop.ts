/**
 * How long the event loop waits while the Trainer runs a CNN: `tsx event-loop.ts SECONDS`. Prints one line of JSON with
 * milliseconds between the turns of a timer of one.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { crossEntropy, nn, optim, randint, randn, Trainer } from '../../lib/index.js'

const seconds = Number(process.argv[2] ?? 5)
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
const batches = Array.from({ length: 20 }, () => [randn([128, 1, 28, 28]), randint(0, 10, [128])] as const)
const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3 }),
  loss: crossEntropy,
})

// The first steps compile what runs once only; what matters is how training goes on.
for await (const _step of trainer.steps(batches)) void _step
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const started = performance.now()
let steps = 0
while (performance.now() - started < 1000 * seconds) for await (const _step of trainer.steps(batches)) steps++
delay.disable()

const milliseconds = (nanoseconds: number) => nanoseconds / 1e6
process.stdout.write(
  `${JSON.stringify({
    steps,
    seconds: (performance.now() - started) / 1000,
    median: milliseconds(delay.percentile(50)),
    p99: milliseconds(delay.percentile(99)),
    most: milliseconds(delay.max),
  })}\n`,
)

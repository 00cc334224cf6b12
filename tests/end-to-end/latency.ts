/**
 * Measures how long small predictions take while the CNN trains: `tsx tests/end-to-end/latency.ts [--seconds 10]`.
 * First nothing trains, then the CNN trains in the same thread, and then in a worker. Prints the median and the 99th
 * percentile of each, in milliseconds.
 */
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { crossEntropy, nn, noGrad, optim, randint, randn, scope, Trainer } from '../../lib/index.js'

async function train(until: () => boolean): Promise<number> {
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
  const batches = Array.from({ length: 10 }, () => [randn([128, 1, 28, 28]), randint(0, 10, [128])] as const)
  const trainer = new Trainer(model, { optimizer: new optim.AdamW(model.parameters()), loss: crossEntropy })
  let steps = 0
  while (!until())
    for await (const _step of trainer.steps(batches)) {
      steps++
      if (until()) break
    }
  return steps
}

const seconds = Number(parseArgs({ options: { seconds: { type: 'string', default: '10' } } }).values.seconds)

/** The waits of requests that come every 20 ms, or as soon as the previous one is answered. */
async function predictions(): Promise<number[]> {
  const served = new nn.Sequential(new nn.Linear(32, 64), new nn.ReLU(), new nn.Linear(64, 4)).eval()
  const input = randn([1, 32])
  const times: number[] = []
  const end = performance.now() + 1000 * seconds
  while (performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    const from = performance.now()
    const { read } = scope(() => ({ read: noGrad(() => served.forward(input)).data() }))
    await read
    times.push(performance.now() - from)
  }
  return times.sort((a, b) => a - b)
}

function print(name: string, times: readonly number[], steps: string): void {
  const at = (share: number) => (times[Math.floor(share * (times.length - 1))] ?? Number.NaN).toFixed(2)
  process.stdout.write(`${name}: median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms of ${times.length}${steps}\n`)
}

if (isMainThread) {
  print('nothing trains', await predictions(), '')
  let over = false
  const training = train(() => over)
  const beside = await predictions()
  over = true
  print('training in the same thread', beside, `, ${await training} steps`)
  // Node 20 cannot start a worker from TypeScript.
  const begin = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(import.meta.url)}) })`
  const worker = new Worker(begin, { eval: true, argv: process.argv.slice(2) })
  await new Promise((resolve) => worker.once('message', resolve))
  print('training in a worker', await predictions(), '')
  await worker.terminate()
} else {
  parentPort?.postMessage('begins')
  await train(() => false)
}

// Ends a process whose threads train, in the way that its argument names. endings.ts runs it.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  crossEntropy,
  defaultDevice,
  fromTypedArray,
  full,
  manualSeed,
  matmul,
  nn,
  optim,
  randn,
  scope,
} from '../../lib/index.ts'

const ending = process.argv[2] ?? workerData

/** Takes steps of a small network, and returns its first and last loss. */
function train(seed, steps) {
  manualSeed(seed)
  const model = new nn.Sequential(new nn.Linear(64, 128), new nn.ReLU(), new nn.Linear(128, 10))
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 })
  const x = randn([256, 64])
  const labels = fromTypedArray(
    Int32Array.from({ length: 256 }, (_, i) => i % 10),
    [256],
  )
  const losses = []
  for (let step = 0; step < steps; step++)
    scope(() => {
      const loss = crossEntropy(model.forward(x), labels)
      loss.backward()
      optimizer.step()
      optimizer.zeroGrad()
      losses.push(loss.item())
    })
  return [losses[0], losses.at(-1)]
}

/**
 * Queues many kernels of a tenth of a second or more, and returns at once, with the last result and the time of one
 * kernel.
 */
function queueLongWork(kernels) {
  const a = full([3072, 3072], 0.001)
  matmul(a, a)
  defaultDevice().synchronize()
  const started = Date.now()
  let out = matmul(a, a)
  defaultDevice().synchronize()
  const each = Date.now() - started
  for (let i = 0; i < kernels; i++) out = matmul(out, a)
  return [out, each]
}

function say(text) {
  process.stdout.write(`${text} at ${Date.now()}\n`)
}

/** The number of kernels in the queue of a worker that is ended. */
const queued = 100

/** The role of the fourth worker while the others train. */
const lastRoles = {
  'train and terminate': 'terminate',
  'terminate while it waits': 'terminate blocked',
  'throw in a worker': 'throw',
}

if (!isMainThread) {
  const { role, seed } = workerData
  if (role === 'train') parentPort.postMessage(train(seed, 300))
  else {
    train(seed, 5)
    const [out, each] = queueLongWork(queued)
    parentPort.postMessage(each)
    if (role === 'throw') throw new Error('on purpose, in a worker')
    if (role === 'terminate blocked') out.dataSync()
    await out.data()
  }
} else if (ending in lastRoles) {
  const last = lastRoles[ending]
  const workers = ['train', 'train', 'train', last].map((role, seed) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { role, seed } })
    const event = (name) => new Promise((resolve) => worker.once(name, resolve))
    return { worker, message: event('message'), exit: event('exit'), error: event('error') }
  })
  const victim = workers[3]
  const each = await victim.message
  let took = 0
  if (last !== 'throw') {
    await new Promise((resolve) => setTimeout(resolve, 200))
    const started = Date.now()
    await victim.worker.terminate()
    took = Date.now() - started
    // The running kernel is ended or runs to its end. Those that wait do not run, though a busy machine may slow it
    // down fourfold.
    if (took > (queued * each) / 4)
      throw new Error(`a worker with ${queued} kernels of ${each} ms in its queue took ${took} ms to end`)
  } else if ((await victim.error).message !== 'on purpose, in a worker') throw new Error('another error')
  const code = await victim.exit
  if (code !== 1) throw new Error(`the worker that was ended exited with ${code}`)
  for (const { message } of workers.slice(0, 3)) {
    const [before, after] = await message
    if (!(after < 0.5 * before)) throw new Error(`a worker did not learn: loss ${before} to ${after}`)
  }
  for (const { exit } of workers.slice(0, 3)) {
    const clean = await exit
    if (clean !== 0) throw new Error(`a worker that trained exited with ${clean}`)
  }
  const [before, after] = train(9, 50) // the main thread's own device is not affected
  if (!(after < before)) throw new Error('the main thread did not learn')
  say(`${defaultDevice().name}: 3 workers learned, the fourth was ended within ${took} ms`)
} else {
  train(1, 5)
  queueLongWork(10)
  say('10 matmuls of 3072 are queued')
  if (ending === 'process.exit') process.exit(7)
  throw new Error('on purpose')
}

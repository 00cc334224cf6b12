// Ends a process or its workers in the middle of native work, in the way that its argument names. native-device.test.ts
// runs it.
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { tsImport } from 'tsx/esm/api' // in workers, Node 20 does not apply `--import tsx`

const { createNativeDevice } = await tsImport('../../lib/backend/native/device.ts', import.meta.url)
const { kernelOf } = await tsImport('../../lib/backend/call.ts', import.meta.url)
const device = createNativeDevice()

function work(seconds) {
  const count = 256 * 256
  const make = () => {
    const storage = device.allocate('float32', count, true, 'test')
    return { storage, offset: 0, sizes: [256, 256], steps: [256, 1], dtype: 'float32' }
  }
  const a = make()
  device.run(kernelOf('fill'), { out: a, value: 0.001 })
  const end = performance.now() + 1000 * seconds
  let out = a
  do {
    const next = make()
    device.run(kernelOf('matmul'), { out: next, a: out, b: a, bias: null })
    out = next
  } while (performance.now() < end)
  return out
}

function startWorker() {
  return new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
}

if (!isMainThread) {
  work(0.05)
  parentPort.postMessage('working')
  if (process.argv[2] === 'terminate') for (;;) work(0.05)
  device.synchronize()
} else if (process.argv[2] === 'workers' || process.argv[2] === 'terminate') {
  const workers = Array.from({ length: 4 }, startWorker)
  const ended = workers.map((worker) => new Promise((resolve) => worker.on('exit', resolve)))
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))))
  if (process.argv[2] === 'terminate') await Promise.all(workers.map((worker) => worker.terminate()))
  const codes = await Promise.all(ended)
  const expected = process.argv[2] === 'terminate' ? 1 : 0
  if (codes.some((code) => code !== expected)) process.exitCode = 3
} else {
  const out = work(0.01)
  if (process.argv[2] === 'exit') process.exit(7)
  if (process.argv[2] === 'throw') throw new Error('on purpose')
  if (process.argv[2] === 'pending') device.read(out)
}

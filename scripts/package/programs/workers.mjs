// One worker alone, then four at once; each has a device of its own.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

if (isMainThread) {
  const run = async () => (await once(new Worker(new URL(import.meta.url)), 'message'))[0]
  const first = await run()
  const all = await Promise.all([run(), run(), run(), run()])
  if (all.some((each) => each !== first)) throw new Error(`workers differ: ${first}; ${all.join('; ')}`)
  console.log(first)
} else {
  const { describeDevice, manualSeed, randn } = await import('firesteel')
  manualSeed(3)
  const x = randn([64, 64], { requiresGrad: true })
  x.matmul(x).sum().backward()
  parentPort.postMessage(`${describeDevice()}; ${x.grad.sum().item()}`)
}

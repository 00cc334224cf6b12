/**
 * One way to reach the end of memory, in a process of a control group with a limit of 640 MiB: `tsx within-group.ts
 * SCENARIO`. Prints one line of JSON with the errors. Each scenario then shows that the process still works: a small
 * network learns.
 */
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { isMainThread, Worker } from 'node:worker_threads'
import { createGzip } from 'node:zlib'
import { readIdx } from '../../lib/data/datasets/index.js'
import * as f from '../../lib/index.js'

/** The elements of 128 MiB of float32. */
const block = 2 ** 25

interface Met {
  readonly name: string
  readonly message: string
}

const met: Met[] = []

function note(error: unknown): void {
  const { name, message } = error as Error
  met.push({ name, message })
}

/** Runs `fn`, and notes what it throws. */
function attempt(fn: () => unknown): void {
  try {
    fn()
  } catch (error) {
    note(error)
  }
}

/** Calls `make` again and again without waiting, until it throws. Returns how many calls did not throw. */
function exhaust(make: () => unknown, most = 100): number {
  const held: unknown[] = []
  attempt(() => {
    while (held.length < most) held.push(make())
  })
  // Now the waiting work has memory too, and late errors arrive here at the latest.
  attempt(() => f.defaultDevice().synchronize())
  return held.length
}

type Network = f.nn.Sequential<readonly f.nn.Layer[]>

function deepNetwork(width: number): Network {
  const layers: f.nn.Layer[] = []
  for (let i = 0; i < 12; i++) layers.push(new f.nn.Linear(width, width), new f.nn.ReLU())
  return new f.nn.Sequential<readonly f.nn.Layer[]>(...layers)
}

/** Takes a training step on this many rows. If `wait`, it waits for each layer. */
function stepOf(model: Network, optimizer: f.optim.SGD, rows: number, wait: boolean): number {
  return f.scope(() => {
    let x: f.Tensor = f.ones([rows, 256])
    if (wait)
      for (const layer of model as Iterable<{ forward(x: f.Tensor): f.Tensor }>) {
        x = layer.forward(x)
        f.defaultDevice().synchronize()
      }
    else x = model.forward(x)
    const loss = x.square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
    return loss.item()
  })
}

function train(wait: boolean): void {
  const model = deepNetwork(256)
  const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.01 })
  const first = stepOf(model, optimizer, 100, false)
  for (let round = 0; round < 10; round++) {
    attempt(() => stepOf(model, optimizer, 40_000 + 10_000 * round, wait))
    attempt(() => f.defaultDevice().throwPending())
    optimizer.zeroGrad()
  }
  let last = first
  for (let i = 0; i < 10; i++) last = stepOf(model, optimizer, 100, false)
  if (!(last < first)) throw new Error(`the loss went from ${first} to ${last}`)
}

/** Describes what lives after all garbage has been collected. */
function held(): string {
  attempt(() => f.zeros([2 ** 50]))
  if (met.pop()?.name !== 'OutOfMemoryError') throw new Error('four petabytes were given')
  const { tensors, bytes } = f.memory()
  return `${tensors} tensors, ${bytes} bytes`
}

/** A model whose embedding is most of what it holds. */
class Words extends f.nn.Module {
  readonly words = new f.nn.Embedding(2 ** 20, 64)
  forward(ids: f.Tensor): f.Tensor {
    return this.words.forward(ids).mean(0)
  }
}

const scenarios: { readonly [name: string]: () => unknown } = {
  zeros: () => exhaust(() => f.zeros([block])),
  bytes: () => exhaust(() => f.zeros([4 * block], { dtype: 'bool' })),
  many: () => exhaust(() => f.ones([2 ** 18]).add(1), 1e6),
  rounds() {
    const kept = f.zeros([3 * block]) // touched once; each round touches the rest of the memory
    for (let i = 0; i < 30; i++) exhaust(() => f.scope(() => f.keep(f.zeros([block / 4]).add(1))))
    if (kept.sum().item() !== 0) throw new Error('what was kept has changed')
  },
  'a deep network': () => train(false),
  'a deep network, waited for': () => train(true),
  /** There is memory for the maxima, but not for their places. Both are given up. */
  'half of an operator'() {
    const x = f.ones([1, 1, 7500, 7500])
    const before = held()
    for (let i = 0; i < 4; i++) {
      if (i % 2 === 0) attempt(() => f.maxPool2d(x, 1))
      else f.scope(() => attempt(() => f.maxPool2d(x, 1)))
      if (held() !== before) throw new Error(`${before} were held, then ${held()}`)
    }
  },
  'a named parameter'() {
    const model = new Words()
    model
      .forward(f.zeros([4], { dtype: 'int32' }))
      .sum()
      .item()
    exhaust(() => f.zeros([block / 4]).exp())
    if (model.words.weight.storage.freed) throw new Error('the model is gone')
  },
  'batch norm': () => attempt(() => new f.nn.BatchNorm2d(2147483647)),
  /** The kernel first copies the transposed matrix, which only the kernel knows, so the error is a late one. */
  scratch() {
    const x = f.ones([7500, 7500])
    attempt(() => f.add(x, x.transpose(0, 1)).select(0, 0).select(0, 0).item())
  },
  /** Memory that the allocator keeps is no use to an array until it has been returned. */
  async cached() {
    for (const wait of [true, false]) {
      const a = f.zeros([2 * block])
      const b = f.zeros([block])
      f.defaultDevice().synchronize()
      a.dispose()
      const read = wait ? b.dataSync() : await b.data()
      if (read.length !== block || read[block - 1] !== 0) throw new Error('the elements are wrong')
      b.dispose()
    }
    const rest = f.ones([2 * block])
    attempt(() => [rest.dataSync(), rest.dataSync(), rest.dataSync()])
  },
  /** A file without bytes on the disk, and a small one that unpacks to a large one. */
  async files() {
    const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
    try {
      const header = Buffer.from([0, 0, 8, 1, 0x40, 0, 0, 0])
      const [sparse, packed] = [join(folder, 'sparse'), join(folder, 'packed')]
      await writeFile(sparse, header)
      await truncate(sparse, 2 ** 30 + 8)
      await readIdx(sparse).catch(note)
      const gzip = createGzip({ level: 1 })
      const zeros = Buffer.alloc(2 ** 20)
      const content = function* () {
        yield header
        for (let i = 0; i < 1024; i++) yield zeros
      }
      await pipeline(Readable.from(content()), gzip, createWriteStream(packed))
      await readIdx(packed).catch(note)
    } finally {
      await rm(folder, { recursive: true })
    }
  },
  async reads() {
    const x = f.zeros([block / 2])
    const reads: Promise<unknown>[] = []
    attempt(() => {
      for (let i = 0; i < 10; i++) {
        f.noGrad(() => x.fill_(i))
        reads.push(x.data())
      }
    })
    for (const result of await Promise.allSettled(reads)) if (result.status === 'rejected') note(result.reason)
  },
  uploads() {
    const data = new Float32Array(block / 2)
    let busy = f.ones([2 ** 22])
    exhaust(() => {
      for (let i = 0; i < 20; i++) busy = f.scope(() => busy.mul(1).exp().log())
      return f.fromTypedArray(data, [data.length])
    })
  },
  'small tensors': () => exhaust(() => f.zeros([1]), 50e6),
  /** A worker learns only from the addon what memory the others were promised. */
  workers: () =>
    Promise.all(
      [0, 1, 2].map(
        () =>
          new Promise<void>((resolve, reject) => {
            const worker = new Worker(new URL(import.meta.url), { argv: ['zeros'] })
            worker.on('message', (errors: readonly Met[]) => met.push(...errors))
            worker.on('error', reject)
            worker.on('exit', () => resolve())
          }),
      ),
    ),
}

async function main(): Promise<void> {
  const name = process.argv[2] as string
  const scenario = scenarios[name]
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  await scenario()
  const model = new f.nn.Linear(4, 1)
  const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
  const losses = [0, 1, 2, 3].map(() => {
    const loss = model
      .forward(f.ones([2, 4]))
      .sub(1)
      .square()
      .mean()
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
    return loss.item()
  })
  if (!((losses[3] as number) < (losses[0] as number))) throw new Error(`the losses are ${losses.join(', ')}`)
  if (isMainThread) process.stdout.write(`${JSON.stringify(met)}\n`)
  else (await import('node:worker_threads')).parentPort?.postMessage(met)
}

await main()

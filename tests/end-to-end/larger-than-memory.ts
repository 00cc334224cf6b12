/**
 * Trains on a NumPy file ten times larger than the memory that the process may still take (`ulimit -v`). Then it trains
 * on a tenth of the same rows in memory, without a limit. Both take the same number of steps, which must take the same
 * time to within a tenth. Rows of a batch are neighbours in the file, so each batch is one read. Batches come in random
 * order. --processor compares processor time instead of the clock's time, which says little on a busy machine. It does
 * not include waiting for a disk.
 *
 * Usage: npx tsx tests/end-to-end/larger-than-memory.ts [--megabytes 2000] [--steps 2000] [--slower 1.1] [--processor]
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { npy } from '../../lib/data/text/index.js'
import { DataLoader, Generator, manualSeed, nn, optim, type Sampler, scope, type Tensor } from '../../lib/index.js'

const { values: options } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '2000' },
    steps: { type: 'string', default: '2000' },
    slower: { type: 'string', default: '1.1' },
    processor: { type: 'boolean', default: false },
    /** Only for the process that measures: the file, and the way in which its rows are read. */
    file: { type: 'string' },
    mode: { type: 'string', default: 'disk' },
  },
})
const [features, batchSize, steps] = [784, 128, Number(options.steps)]

interface Measured {
  /** The median time of a step, by the clock. */
  readonly milliseconds: number
  /** The mean processor time of a step. */
  readonly processor: number
  readonly loss: number
  /** The largest address space, in kB, which `ulimit -v` limits. */
  readonly virtual: number
  readonly resident: number
}

const neighbours: Sampler = {
  count: ({ length }) => Math.floor(length / batchSize),
  *batches({ length }, generator) {
    for (const batch of generator.randperm(Math.floor(length / batchSize)))
      yield Array.from({ length: batchSize }, (_, i) => batch * batchSize + i)
  },
}

/** The number in a line of /proc/self/status. */
const status = (name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1])

async function train(file: string, inMemory: boolean): Promise<Measured> {
  manualSeed(0)
  const rows = await npy(file)
  const held = inMemory ? await rows.batch(Array.from({ length: Math.floor(rows.length / 10) }, (_, i) => i)) : null
  const source =
    held === null
      ? rows
      : {
          length: held.shape[0] as number,
          batch: (indices: readonly number[]) => held.narrow(0, indices[0] as number, indices.length),
        }
  const loader = new DataLoader<unknown, Tensor>(source, {
    sampler: neighbours,
    batchSize,
    generator: new Generator(1),
  })
  const model = new nn.Sequential(new nn.Linear(features, 512), new nn.ReLU(), new nn.Linear(512, features))
  const optimizer = new optim.SGD(model.parameters(), { lr: 1e-2 })
  const times: number[] = []
  let loss = Number.NaN
  let before = performance.now()
  const used = process.cpuUsage()
  while (times.length < steps)
    for await (const batch of loader) {
      loss = scope(() => {
        optimizer.zeroGrad()
        const error = nn.functional.mseLoss(model.forward(batch), batch)
        error.backward()
        optimizer.step()
        return error.item()
      })
      if (!inMemory) batch.dispose()
      const now = performance.now()
      times.push(now - before)
      before = now
      if (times.length === steps) break
    }
  const { user, system } = process.cpuUsage(used)
  times.sort((a, b) => a - b)
  return {
    milliseconds: times[steps >> 1] as number,
    processor: (user + system) / 1000 / steps,
    loss,
    virtual: status('VmPeak'),
    resident: status('VmHWM'),
  }
}

/**
 * Writes random numbers in NumPy's format: the same piece of about a megabyte again and again, with another first
 * number.
 */
function write(path: string, rows: number): void {
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${features}), }`.padEnd(117)
  const file = openSync(path, 'w')
  writeSync(file, Buffer.concat([Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'), Buffer.from(`${dict}\n`)]))
  const generator = new Generator(2)
  const block = Float32Array.from({ length: 256 * features }, () => generator.random())
  for (let row = 0; row < rows; row += 256) {
    block[0] = row / rows
    writeSync(file, Buffer.from(block.buffer, 0, 4 * features * Math.min(256, rows - row)))
  }
  closeSync(file)
}

const timeOf = ({ milliseconds, processor }: Measured) => (options.processor ? processor : milliseconds)

/** Measures in a process that may take `limit` kB of addresses, or any number if it is null. */
function measure(file: string, mode: string, limit: number | null, count = steps): Measured {
  const own = `"${process.execPath}" --import tsx "${fileURLToPath(import.meta.url)}" --file "${file}" --mode ${mode} --steps ${count}`
  const command = limit === null ? own : `ulimit -v ${limit}; ${own}`
  const { stdout, stderr, status: code, signal } = spawnSync('bash', ['-c', command], { encoding: 'utf8' })
  if (code !== 0) throw new Error(`${mode} ended with ${code ?? signal}: ${stderr.slice(-2000)}`)
  return JSON.parse(stdout) as Measured
}

if (options.file !== undefined)
  process.stdout.write(JSON.stringify(await train(options.file, options.mode === 'memory')))
else {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-large-'))
  try {
    const file = join(folder, 'rows.npy')
    const few = join(folder, 'few.npy')
    const bytes = 1e6 * Number(options.megabytes)
    write(file, Math.floor(bytes / (4 * features)))
    write(few, 4 * batchSize)
    const allowed = bytes / 10
    // The memory that the process takes with hardly any data. The limit is above it.
    const base = measure(few, 'disk', null, 200)
    // The two take turns, and the better time of each counts, because the machine may do other work meanwhile.
    const both = Array.from({ length: 2 }, () => [
      measure(file, 'disk', base.virtual + Math.floor(allowed / 1024)),
      measure(file, 'memory', null),
    ])
    const [disk, memory] = [0, 1].map((i) =>
      both.map((pair) => pair[i] as Measured).reduce((a, b) => (timeOf(a) < timeOf(b) ? a : b)),
    ) as [Measured, Measured]
    const ratio = timeOf(disk) / timeOf(memory)
    const told = ({ milliseconds, processor, resident }: Measured) =>
      `${milliseconds.toFixed(2)} ms a step, ${processor.toFixed(2)} ms of processors' time, ${((resident * 1024) / 1e6).toFixed(0)} MB resident at most`
    process.stdout.write(
      `${(bytes / 1e6).toFixed(0)} MB of rows; ${(allowed / 1e6).toFixed(0)} MB more than a process without rows allowed\n` +
        `from disk: ${told(disk)}\n` +
        `in memory, a tenth of the rows: ${told(memory)}\n` +
        `ratio ${ratio.toFixed(3)}\n`,
    )
    if (!Number.isFinite(disk.loss) || ratio > Number(options.slower)) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true })
  }
}

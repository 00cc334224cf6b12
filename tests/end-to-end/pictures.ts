/**
 * Measures pictures per second from a folder of JPEGs that it makes (500 x 375, like ImageNet's). It measures decoding
 * alone and with the steps of a training, each by the loader's own thread on one processor, which `taskset` gives, and
 * by no, one and two workers on all processors. One processor is what two are compared with. One worker would not do,
 * because libvips always decodes in its own threads, so that a single worker keeps more than one processor busy.
 *
 * The clock says nothing on a busy machine, but processor time does. Measured are the time of a picture, and the part
 * of it that the loader's thread takes, which no worker can share.
 *
 * Usage: npx tsx tests/end-to-end/pictures.ts [--pictures 512] [--passes 3] [--least 0]. Fails if two workers on two
 * processors multiply the throughput of one processor by less than `least`. Without `taskset` nothing is compared.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import {
  augment,
  colorJitter,
  imageFolder,
  normalize,
  randomHorizontalFlip,
  randomResizedCrop,
} from '../../lib/images/index.js'
import { DataLoader, Generator } from '../../lib/index.js'

const { values: options } = parseArgs({
  options: {
    pictures: { type: 'string', default: '512' },
    passes: { type: 'string', default: '3' },
    least: { type: 'string', default: '0' },
    /** The folder of the pictures, for the process on one processor. */
    folder: { type: 'string' },
    steps: { type: 'boolean', default: false },
  },
})
const [width, height] = [500, 375]

interface Measured {
  /** Pictures a second, by the clock. */
  readonly rate: number
  /** Milliseconds of all processors' time for a picture. */
  readonly cost: number
  /** The part of them that the loader's thread takes, which no worker can share. */
  readonly own: number
}

/** Milliseconds of this thread's processor time. Linux counts it in hundredths of a second. */
function ownMilliseconds(): number {
  const fields = readFileSync(`/proc/self/task/${process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** Writes waves with noise, which are as hard to decode as photographs. */
async function write(path: string, random: Generator): Promise<void> {
  const [across, down] = [random.randint(20, 90), random.randint(20, 90)]
  const noise = Uint8Array.from({ length: 4096 }, () => random.randint(0, 24))
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [i % (3 * width), Math.floor(i / (3 * width))]
    return 116 + 50 * Math.sin(x / across) + 50 * Math.cos(y / down) + (noise[(i * 31) % 4096] as number)
  })
  await sharp(data, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toFile(path)
}

/** The best of some passes. */
async function measured(folder: string, withSteps: boolean, workers: number): Promise<Measured> {
  const pictures = await imageFolder(folder)
  const steps = augment(
    randomResizedCrop(224),
    randomHorizontalFlip(),
    colorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
    normalize('imagenet'),
  )
  const rows = withSteps ? pictures.map(steps) : pictures
  const loader = new DataLoader(rows, { batchSize: 16, shuffle: true, workers, generator: new Generator(1) })
  // Threads start in the first pass.
  for await (const _ of loader);
  let [rate, cost, own] = [0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let pass = 0; pass < Number(options.passes); pass++) {
    const [started, before, ownBefore] = [performance.now(), process.cpuUsage(), ownMilliseconds()]
    for await (const [images] of loader) (images as { dispose(): void }).dispose()
    const seconds = (performance.now() - started) / 1000
    const { user, system } = process.cpuUsage(before)
    rate = Math.max(rate, pictures.length / seconds)
    cost = Math.min(cost, (user + system) / 1000 / pictures.length)
    own = Math.min(own, (ownMilliseconds() - ownBefore) / pictures.length)
  }
  return { rate, cost, own }
}

/** The same without workers in a process that has a single processor, or null if the system cannot do this. */
function onOneProcessor(folder: string, withSteps: boolean): Measured | null {
  const [, first = '0'] = /Cpus_allowed_list:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  const own = [...process.execArgv, fileURLToPath(import.meta.url), '--folder', folder, '--passes', options.passes]
  const args = ['-c', first, process.execPath, ...own, ...(withSteps ? ['--steps'] : [])]
  const { status, stdout, stderr, error } = spawnSync('taskset', args, { encoding: 'utf8' })
  if (error !== undefined) return null
  if (status !== 0) throw new Error(`the process on one processor failed: ${stderr}`)
  return JSON.parse(stdout) as Measured
}

function print(name: string, { rate, cost, own }: Measured): void {
  process.stdout.write(
    `${name}: ${rate.toFixed(0)} pictures a second; each takes ${cost.toFixed(2)} ms of processors' time, ` +
      `${own.toFixed(2)} of them in the loader's thread\n`,
  )
}

async function compare(folder: string): Promise<void> {
  for (const [name, withSteps] of [
    ['decoded', false],
    ['with steps', true],
  ] as const) {
    const one = onOneProcessor(folder, withSteps)
    if (one !== null) print(`${name}, one processor, no workers`, one)
    let two: Measured | null = null
    for (const workers of [0, 1, 2]) {
      two = await measured(folder, withSteps, workers)
      print(`${name}, all processors, ${workers} workers`, two)
    }
    if (one === null || two === null) {
      process.stdout.write(`${name}: nothing to compare with, because taskset is missing\n`)
      continue
    }
    const gain = two.rate / one.rate
    // What two processors would give that nothing else used, and of which none waited.
    const possible = Math.min((2 * one.cost) / two.cost, one.cost / two.own)
    process.stdout.write(
      `${name}: two workers make ${gain.toFixed(2)} of one processor's throughput by the clock, and can make ` +
        `${possible.toFixed(2)} by the processors' time\n`,
    )
    if (withSteps && gain < Number(options.least)) process.exitCode = 1
  }
}

if (options.folder !== undefined) process.stdout.write(JSON.stringify(await measured(options.folder, options.steps, 0)))
else {
  const folder = mkdtempSync(join(tmpdir(), 'firesteel-pictures-'))
  try {
    const random = new Generator(1)
    for (let i = 0; i < Number(options.pictures); i++) {
      mkdirSync(join(folder, String(i % 4)), { recursive: true })
      await write(join(folder, String(i % 4), `${i}.jpg`), random)
    }
    await compare(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/**
 * Measures pictures per second from a folder of JPEGs that it makes (500 x 375, like ImageNet's). It measures decoding
 * alone and with the steps of a training, each by the loader's own thread and by one and two workers. libvips always
 * decodes in its own threads, as many at a time as UV_THREADPOOL_SIZE says (4), and workers share them. Set it to 1 to
 * see what one processor decodes.
 *
 * The clock says nothing on a busy machine, but processor time does. Measured are the time of a picture with two
 * workers and with one, and the part of it that the loader's thread takes, which no worker can share.
 *
 * Usage: npx tsx tests/end-to-end/pictures.ts [--pictures 512] [--passes 3] [--least 0]. Fails if the second worker
 * multiplies the throughput with steps by less than `least`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
  },
})
const [width, height] = [500, 375]
const folder = mkdtempSync(join(tmpdir(), 'firesteel-pictures-'))

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

try {
  const random = new Generator(1)
  for (let i = 0; i < Number(options.pictures); i++) {
    mkdirSync(join(folder, String(i % 4)), { recursive: true })
    await write(join(folder, String(i % 4), `${i}.jpg`), random)
  }
  const pictures = await imageFolder(folder)
  const steps = augment(
    randomResizedCrop(224),
    randomHorizontalFlip(),
    colorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
    normalize('imagenet'),
  )
  for (const [name, rows] of Object.entries({ decoded: pictures, 'with steps': pictures.map(steps) })) {
    const rates: number[] = []
    const costs: number[] = []
    for (const workers of [0, 1, 2]) {
      const loader = new DataLoader(rows, { batchSize: 16, shuffle: true, workers, generator: new Generator(1) })
      // Threads start in the first pass.
      for await (const _ of loader);
      let [best, cost, own] = [0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
      for (let pass = 0; pass < Number(options.passes); pass++) {
        const [started, before, ownBefore] = [performance.now(), process.cpuUsage(), ownMilliseconds()]
        for await (const [images] of loader) (images as { dispose(): void }).dispose()
        const seconds = (performance.now() - started) / 1000
        const { user, system } = process.cpuUsage(before)
        const rate = pictures.length / seconds
        const processors = ((user + system) / 1e6 / seconds).toFixed(2)
        process.stdout.write(
          `${name}, ${workers} workers: ${rate.toFixed(0)} pictures a second on ${processors} processors\n`,
        )
        best = Math.max(best, rate)
        cost = Math.min(cost, (user + system) / 1000 / pictures.length)
        own = Math.min(own, (ownMilliseconds() - ownBefore) / pictures.length)
      }
      process.stdout.write(
        `${name}, ${workers} workers: a picture takes ${cost.toFixed(2)} ms of processors' time, ${own.toFixed(2)} of them in the loader's thread\n`,
      )
      rates.push(best)
      costs.push(cost)
    }
    const [, one = 1, two = 0] = rates
    const [, cost1 = Number.NaN, cost2 = Number.NaN] = costs
    process.stdout.write(
      `${name}: the second worker makes ${(two / one).toFixed(2)} of it by the clock; a picture takes ${(cost2 / cost1).toFixed(2)} of its processors' time\n`,
    )
    if (name === 'with steps' && two / one < Number(options.least)) process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true })
}

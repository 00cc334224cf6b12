/**
 * Kills runs at random moments and resumes them until they end. Each must leave the same bytes as an uninterrupted run,
 * at any number of threads. Usage: tsx tests/resume/main.ts [KILLS] [SEED] [KIND ...]; ends with `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Generator } from '../../lib/index.js'
import { bundled } from '../program.js'

const program = bundled(new URL('run.ts', import.meta.url))
const [kills = 20, seed = 1] = process.argv.slice(2, 4).map(Number)
const named = process.argv.slice(4)
const generator = new Generator(seed)

interface Ended {
  /** Null if the run was killed. */
  readonly hash: string | null
  readonly peak: number
  /** The duration of the training. */
  readonly milliseconds: number
}

/** Runs the program, and kills it `after` milliseconds after the beginning of its training. */
function run(kind: string, folder: string, threads: number, after: number | null = null): Promise<Ended> {
  const child = spawn(process.execPath, [program, kind, folder], {
    env: { ...process.env, FIRESTEEL_THREADS: String(threads) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, faults] = ['', '']
  let begun: number | null = null
  let timer: NodeJS.Timeout | undefined
  child.stdout.on('data', (data) => {
    out += data
    if (begun !== null) return
    begun = performance.now()
    if (after !== null) timer = setTimeout(() => child.kill('SIGKILL'), after)
  })
  child.stderr.on('data', (data) => {
    faults += data
  })
  return new Promise((resolve, reject) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const [, hash = null, peak = '0'] = /hash (\w+) peak (\d+)/.exec(out) ?? []
      if (signal === null && (code !== 0 || hash === null)) reject(new Error(`${kind} ended with ${code}: ${faults}`))
      else resolve({ hash, peak: Number(peak), milliseconds: performance.now() - (begun ?? Number.NaN) })
    })
  })
}

const checkpointsIn = (folder: string) => {
  try {
    return readdirSync(join(folder, 'checkpoints')).filter((name) => name.endsWith('.safetensors')).length
  } catch {
    return 0
  }
}

const folderFor = (kind: string) => mkdtempSync(join(tmpdir(), `firesteel-${kind}-`))

let [passed, failed] = [0, 0]
for (const kind of named.length > 0 ? named : ['cnn', 'lstm', 'gpt', 'qlora']) {
  const whole = await run(kind, '', 1)
  /** The peak memory of a run that writes checkpoints and is not killed, by the number of threads less one. */
  const peaks: number[] = []
  for (const threads of [1, 2]) {
    const folder = folderFor(kind)
    const { hash, peak } = await run(kind, folder, threads)
    if (hash !== whole.hash) throw new Error(`${kind}: ${threads} threads, or checkpoints, gave other bytes`)
    peaks.push(peak)
    rmSync(folder, { recursive: true })
  }
  let [cuts, resumed, more] = [0, 0, 0]
  while (cuts < kills) {
    const folder = folderFor(kind)
    let ended: Ended
    let threads: number
    do {
      if (checkpointsIn(folder) > 0) resumed++
      // Moments from before the first step to after the last one. After the last kill the run may end.
      const after = cuts < kills ? 1.1 * whole.milliseconds * generator.random() : null
      threads = 1 + (cuts % 2)
      ended = await run(kind, folder, threads, after)
      if (ended.hash === null) cuts++
    } while (ended.hash === null)
    more = Math.max(more, ended.peak / (peaks[threads - 1] as number))
    if (ended.hash === whole.hash) {
      passed++
      rmSync(folder, { recursive: true })
    } else {
      failed++
      console.log(`${kind}: a run left other bytes than the uncut one; its folder: ${folder}`)
    }
  }
  console.log(
    `${kind}: killed ${cuts} times, went on from a checkpoint ${resumed} times; peak of memory at most ${more.toFixed(3)} of an uncut run's ` +
      'with as many threads',
  )
  if (resumed === 0) {
    failed++
    console.log(`${kind}: no run went on from a checkpoint, which shows nothing`)
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

/** Runs scenarios of memory.ts in their own processes, and says what is allowed. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { guardShare } from '../../lib/backend/native/memory.js'
import { bundled } from '../program.js'
import type { Outcome, Sample } from './memory.js'
import type { NodeBinary } from './nodes.js'

const script = new URL('memory.ts', import.meta.url)

/** The scenarios with their own loop, in the order of the check. `trainer` is separate. */
export const loops = [
  'plain',
  'microtasks',
  'evaluation',
  'throws in forward',
  'throws in backward',
  'throws in scope',
] as const

export interface Report {
  readonly name: string
  readonly figures: string
  /** The figures that are out of bounds. */
  readonly faults: readonly string[]
}

/**
 * The device lets 256 MB of garbage gather before it collects, and twice as much of what survived two collections
 * before it runs a full one. Node and the library take 70 MB.
 */
const residentLimit = 700e6
/** The memory of a process when the device first looks for garbage. */
const residentAtFirstCollection = 335e6

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
const most = (samples: readonly Sample[], field: keyof Sample) => Math.max(...samples.map((sample) => sample[field]))
const least = (samples: readonly Sample[], field: keyof Sample) => Math.min(...samples.map((sample) => sample[field]))

function check(condition: boolean, fault: string): string[] {
  return condition ? [] : [fault]
}

/**
 * Small garbage stays as long as a small tensor that shares its guard, so the counts before and after may differ by as
 * many tensors as a guard has. A leak shows as one tensor for every step.
 */
function checkHeld(more: number): readonly string[] {
  return check(more < guardShare, `${more} tensors are held that nobody holds`)
}

export function runLoop(node: NodeBinary, name: string, steps: number): Report {
  const { stdout, stderr, status, signal } = spawnSync(node.path, [bundled(script), name, String(steps)], {
    encoding: 'utf8',
    maxBuffer: 1e8,
  })
  if (status !== 0) return { name, figures: '', faults: [`ended with ${status ?? signal}: ${stderr.trim()}`] }
  const { samples, seconds, peakRss, tensorsBefore, tensorsAfter } = JSON.parse(stdout) as Outcome
  const half = samples.length >> 1
  const first = samples.slice(0, half)
  const second = samples.slice(half)
  const [rss1, rss2] = [most(first, 'rss'), most(second, 'rss')]
  const [heap1, heap2] = [least(first, 'heap'), least(second, 'heap')]
  return {
    name,
    figures:
      `${((1000 * seconds) / steps).toFixed(2)} ms a step; resident at most ${megabytes(rss1)} in the first half, ` +
      `${megabytes(rss2)} in the second; memory() at most ${megabytes(most(samples, 'bytes'))}, ` +
      `${most(samples, 'tensors')} tensors; heap at least ${megabytes(heap1)}, ${megabytes(heap2)}; ` +
      `${tensorsBefore} tensors lived before, ${tensorsAfter} after`,
    faults: [
      ...check(peakRss < residentLimit, `the process grew to ${megabytes(peakRss)}`),
      ...check(
        rss2 < 1.1 * Math.max(rss1, residentAtFirstCollection),
        `the process grew from ${megabytes(rss1)} to ${megabytes(rss2)}`,
      ),
      ...check(heap2 < heap1 + 10e6, `the JavaScript heap grew from ${megabytes(heap1)} to ${megabytes(heap2)}`),
      // There are fewer if the step never runs again, because its optimiser is then garbage.
      ...checkHeld(tensorsAfter - tensorsBefore),
    ],
  }
}

interface TrainerBlock {
  readonly seconds: number
  readonly sample: Sample
}

class TrainerProcess {
  readonly #child: ChildProcess
  #resolve: (message: unknown) => void = () => undefined
  #reject: (error: Error) => void = () => undefined
  readonly blocks: TrainerBlock[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (message) => this.#resolve(message))
    child.on('exit', (code) => this.#reject(new Error(`the process that trains ended with ${code}`)))
  }

  static async start(node: NodeBinary, heapBytes: number): Promise<TrainerProcess> {
    const started = new TrainerProcess(
      fork(bundled(script), ['trainer', String(heapBytes)], { execPath: node.path, execArgv: [] }),
    )
    await started.#answer()
    return started
  }

  #answer<T>(): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#resolve = (message) => resolve(message as T)
      this.#reject = reject
    })
  }

  async train(steps: number): Promise<void> {
    this.#child.send(steps)
    this.blocks.push(await this.#answer<TrainerBlock>())
  }

  /** Counts what is left after a collection of all garbage. */
  async survivors(): Promise<{ readonly tensors: number; readonly heap: number }> {
    this.#child.send(0)
    return this.#answer()
  }

  kill(): void {
    this.#child.kill()
  }
}

/**
 * The Trainer in two processes, one of them beside a JavaScript heap of 300 MB. They take turns, so that the machine's
 * other work affects both alike, and the fastest turns are compared.
 */
export async function runTrainers(
  node: NodeBinary,
  turns: number,
  steps: number,
  allowed: { readonly ratio: number; readonly growth: number },
): Promise<Report> {
  const processes: TrainerProcess[] = []
  try {
    for (const heap of [0, 300e6]) processes.push(await TrainerProcess.start(node, heap))
    const [bare, loaded] = processes as [TrainerProcess, TrainerProcess]
    await loaded.train(10)
    const before = await loaded.survivors()
    loaded.blocks.length = 0
    for (let turn = 0; turn < turns; turn++)
      for (const one of turn % 2 === 0 ? [bare, loaded] : [loaded, bare]) await one.train(steps)
    const fastest = ({ blocks }: TrainerProcess) => Math.min(...blocks.map(({ seconds }) => seconds))
    const ratio = fastest(loaded) / fastest(bare)
    const samples = loaded.blocks.map(({ sample }) => sample)
    const half = samples.length >> 1
    const [rss1, rss2] = [most(samples.slice(0, half), 'rss'), most(samples.slice(half), 'rss')]
    const { heap, tensors } = await loaded.survivors()
    return {
      name: 'Trainer beside a heap of 300 MB',
      figures:
        `${((1000 * fastest(loaded)) / steps).toFixed(2)} ms a step, ${((1000 * fastest(bare)) / steps).toFixed(2)} ` +
        `without the heap: ratio ${ratio.toFixed(3)}; resident at most ` +
        `${megabytes(rss1)} in the first half, ${megabytes(rss2)} in the second; heap ` +
        `${megabytes(heap)}; memory() at most ${megabytes(most(samples, 'bytes'))}, ${most(samples, 'tensors')} tensors; ` +
        `${before.tensors} tensors lived before, ${tensors} after`,
      faults: [
        ...check(ratio < allowed.ratio, `${ratio.toFixed(3)} times the time without the heap`),
        ...check(rss2 < allowed.growth * rss1, `the process grew from ${megabytes(rss1)} to ${megabytes(rss2)}`),
        ...check(heap > 280e6, `the heap held only ${megabytes(heap)}`),
        ...checkHeld(tensors - before.tensors),
      ],
    }
  } finally {
    for (const one of processes) one.kill()
  }
}

interface LoopDelay {
  readonly steps: number
  readonly seconds: number
  readonly processors: number
  readonly median: number
  readonly p99: number
  readonly most: number
}

/**
 * The waits of the event loop while the Trainer trains a CNN with a loader, checkpoints and loggers, in milliseconds.
 */
export function runEventLoop(node: NodeBinary, seconds: number, allowed: number): Report {
  const name = 'event loop beside the Trainer'
  const program = bundled(new URL('event-loop.ts', import.meta.url))
  const { stdout, stderr, status, signal } = spawnSync(node.path, [program, String(seconds)], {
    encoding: 'utf8',
  })
  if (status !== 0) return { name, figures: '', faults: [`ended with ${status ?? signal}: ${stderr.trim()}`] }
  const { steps, seconds: took, processors, median, p99, most: longest } = JSON.parse(stdout) as LoopDelay
  return {
    name,
    figures:
      `${((1000 * took) / steps).toFixed(1)} ms a step on ${processors.toFixed(2)} processors; a timer of 1 ms fired after ${median.toFixed(1)} ms in the ` +
      `median, 99% within ${p99.toFixed(1)} ms, all within ${longest.toFixed(1)} ms`,
    faults: check(p99 < allowed, `the 99th percentile is ${p99.toFixed(1)} ms; ${allowed} ms are allowed`),
  }
}

/** Threads that make the batches of a loader's passes. */
import type { Worker } from 'node:worker_threads'
import { WorkerError } from '../core/errors.js'
import type { Answer, Asked, Fault, WorkerTask } from './messages.js'
import { unpack } from './packed.js'
import { rowMessage, type SeededPass } from './row-context.js'
import { startThread } from './thread.js'

interface Waiting {
  readonly resolve: (batch: unknown) => void
  readonly reject: (error: Error) => void
}

interface Thread {
  readonly worker: Worker
  readonly waiting: Map<number, Waiting>
  /** The reason why it gives no more batches. */
  fault: Error | null
}

function errorOf({ name, message, stack, row }: Fault): WorkerError {
  const cause = Object.assign(new Error(message), { name, stack })
  const what = row === null ? `a worker failed: ${message}` : rowMessage(row, message)
  return new WorkerError('DataLoader', what, cause, row)
}

const ended = (how: string, cause?: Error) => new WorkerError('DataLoader', `a worker ended ${how}`, cause)

/** Threads without a request for this long end. */
const idleMilliseconds = 30_000

/** Threads, which live until `end`. They keep the process alive only while it waits for one of their batches. */
export class Workers {
  readonly #task: WorkerTask
  readonly #threads: readonly Thread[]
  #next = 0
  #ended = false
  #idle: NodeJS.Timeout | undefined

  constructor(count: number, task: WorkerTask) {
    this.#task = task
    this.#threads = Array.from({ length: count }, () => {
      const worker = startThread('DataLoader', 'data/worker', task)
      const thread: Thread = { worker, waiting: new Map(), fault: null }
      worker.unref()
      worker.on('message', (answer: Answer) => this.#receive(thread, answer))
      worker.on('messageerror', (error) => fail(thread, error))
      worker.on('error', (error) => fail(thread, ended(`with an error: ${error.message}`, error)))
      worker.on('exit', (code) => fail(thread, ended(`with exit code ${code} before its batches were made`)))
      return thread
    })
  }

  /** Keeps the threads for the next pass for a while. */
  rest(): void {
    this.#idle = setTimeout(() => void this.end(), idleMilliseconds)
    this.#idle.unref()
  }

  /** Whether they can make the batches of another pass over this many rows. They stop waiting. */
  wake(length: number): boolean {
    clearTimeout(this.#idle)
    return !this.#ended && length === this.#task.length && this.#threads.every(({ fault }) => fault === null)
  }

  /** The batch of these rows, made by the thread that has the least work. */
  batch(indices: readonly number[], pass: SeededPass): Promise<unknown> {
    const thread = this.#threads.reduce((least, other) => (other.waiting.size < least.waiting.size ? other : least))
    // A failed thread has no work, and is chosen, so its error comes soon.
    if (thread.fault !== null) return Promise.reject(thread.fault)
    const asked: Asked = { id: this.#next++, indices, pass }
    return new Promise((resolve, reject) => {
      thread.waiting.set(asked.id, { resolve, reject })
      thread.worker.ref()
      thread.worker.postMessage(asked)
    })
  }

  #receive(thread: Thread, answer: Answer): void {
    if (this.#ended) return
    if (answer.id === null) {
      fail(thread, errorOf(answer.fault))
      return
    }
    const waiting = thread.waiting.get(answer.id)
    thread.waiting.delete(answer.id)
    if (thread.waiting.size === 0) thread.worker.unref()
    try {
      if ('fault' in answer) waiting?.reject(errorOf(answer.fault))
      else waiting?.resolve(unpack(answer.batch))
    } catch (error) {
      waiting?.reject(error as Error)
    }
  }

  /** Ends the threads, whatever they are doing. */
  async end(): Promise<void> {
    clearTimeout(this.#idle)
    this.#ended = true
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }
}

function fail(thread: Thread, error: Error): void {
  thread.fault ??= error
  for (const { reject } of thread.waiting.values()) reject(thread.fault)
  thread.waiting.clear()
  thread.worker.unref()
}

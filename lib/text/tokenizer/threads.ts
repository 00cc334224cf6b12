/** Batches of texts that a thread encodes, so that the event loop goes on meanwhile. */
import type { Worker } from 'node:worker_threads'
import { ValueError, WorkerError } from '../../core/errors.js'
import { startThread } from '../../data/thread.js'
import type { EncodedBatch } from './batch.js'
import type { BatchOptions, EncodingAnswer, EncodingAsked, EncodingTask, Fault, Given } from './messages.js'

/**
 * The most UTF-16 units of a batch that the calling thread encodes. That takes two milliseconds; a message to the
 * tokenizer's thread and back takes about as long on a busy machine.
 */
const mostInline = 4096

/** The units of the texts of a message, unless one text alone has more: a thread works for some 20 ms on them. */
const unitsOfMessage = 1 << 15

/** Messages on their way, so that the thread never waits, and little memory is taken for texts that wait. */
const mostAsked = 2

/** A thread that nobody asks for anything for so long ends. */
const idleMilliseconds = 30_000

function unitsOf(text: Given): number {
  return typeof text === 'string' ? text.length : text[0].length + text[1].length
}

/** Whether the texts are encoded sooner than they are sent to a thread. */
export function isBrief(texts: readonly Given[]): boolean {
  let units = 0
  for (let i = 0; i < texts.length && units <= mostInline; i++) units += unitsOf(texts[i] as Given)
  return units <= mostInline
}

interface Waiting {
  resolve(answer: EncodedBatch | Fault): void
  reject(error: Error): void
}

/** A thread that holds a tokenizer. It keeps the process alive only while it is waited for. */
export class EncodingThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #next = 0
  /** Batches whose parts are on their way. */
  #batches = 0
  #fault: Error | null = null
  #retired = false
  #idle: NodeJS.Timeout | undefined

  constructor(op: string, task: EncodingTask) {
    this.#worker = startThread(op, 'text/tokenizer/worker', task)
    const ended = (how: string, cause?: Error) => this.#fail(new WorkerError(op, `the thread ended ${how}`, cause))
    this.#worker.on('message', (answer: EncodingAnswer) => this.#receive(answer))
    this.#worker.on('messageerror', (error) => ended(`with a message that cannot be read: ${error.message}`, error))
    this.#worker.on('error', (error) => ended(`with an error: ${error.message}`, error))
    this.#worker.on('exit', (code) => ended(`with exit code ${code} before its texts were encoded`))
    this.#worker.unref()
  }

  /** Whether it still works. */
  get alive(): boolean {
    return this.#fault === null
  }

  /** The parts of a batch. Rejects as `encodeParts`, and with WorkerError if the thread ends before. */
  async encode(op: string, texts: readonly Given[], options: BatchOptions): Promise<EncodedBatch[]> {
    clearTimeout(this.#idle)
    if (this.#batches++ === 0) this.#worker.ref()
    try {
      return await encodeParts(op, texts, (part) => this.#ask(part, options))
    } finally {
      if (--this.#batches === 0) this.#rest()
    }
  }

  #rest(): void {
    this.#worker.unref()
    if (this.#retired) void this.end()
    this.#idle = setTimeout(() => void this.end(), idleMilliseconds)
    this.#idle.unref()
  }

  #ask(texts: readonly Given[], options: BatchOptions): Promise<EncodedBatch | Fault> {
    if (this.#fault !== null) return Promise.reject(this.#fault)
    const asked: EncodingAsked = { id: this.#next++, texts, options }
    return new Promise((resolve, reject) => {
      this.#waiting.set(asked.id, { resolve, reject })
      this.#worker.postMessage(asked)
    })
  }

  #receive(answer: EncodingAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    waiting?.resolve('part' in answer ? answer.part : answer)
  }

  #fail(error: Error): void {
    this.#fault ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#fault)
    this.#waiting.clear()
  }

  /** Ends it once it has answered what it was asked for. */
  retire(): void {
    this.#retired = true
    if (this.#batches === 0) void this.end()
  }

  /** Ends it, whatever it is doing. */
  async end(): Promise<void> {
    clearTimeout(this.#idle)
    await this.#worker.terminate()
  }
}

/** Texts for one message each, with the place of the first. */
function* messages(texts: readonly Given[]): Generator<readonly [first: number, texts: readonly Given[]]> {
  let [first, units] = [0, 0]
  for (let i = 0; i < texts.length; i++) {
    const more = unitsOf(texts[i] as Given)
    if (i > first && units + more > unitsOfMessage) {
      yield [first, texts.slice(first, i)]
      first = i
      units = 0
    }
    units += more
  }
  if (texts.length > first) yield [first, texts.slice(first)]
}

/**
 * Encodes a batch by `encode`, and yields its parts in order. Throws ValueError with the number of the first text that
 * cannot be encoded.
 */
export async function encodeParts(
  op: string,
  texts: readonly Given[],
  encode: (texts: readonly Given[]) => Promise<EncodedBatch | Fault>,
): Promise<EncodedBatch[]> {
  const parts: EncodedBatch[] = []
  const asked: Promise<void>[] = []
  const faults: Fault[] = []
  const take = async (place: number, first: number, part: readonly Given[]) => {
    const made = await encode(part)
    if (!('text' in made)) parts[place] = made
    else faults.push({ ...made, text: first + made.text })
  }
  let place = 0
  for (const [first, part] of messages(texts)) {
    if (asked.length >= mostAsked) await asked.shift()
    if (faults.length > 0) break
    const taken = take(place++, first, part)
    // Its error is thrown where it is awaited, which may be after another's.
    taken.catch(() => undefined)
    asked.push(taken)
  }
  await Promise.all(asked)
  const [fault] = faults
  if (fault !== undefined) throw new ValueError(op, `text ${fault.text}: ${fault.message}`)
  return parts
}

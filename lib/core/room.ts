/**
 * Room for what is no tensor: arrays that a file is read into, lists that a tensor becomes. The system gives any array and ends
 * the process when it is filled, and V8 ends it when its heap is full; so both are asked before.
 */
import { OutOfMemoryError, ValueError } from './errors.js'
import { heapLeft } from './host.js'

type AskRoom = (bytes: number, op: string) => void

let ask: AskRoom = () => {}

/** For the backend, which knows what the machine has left and what an allocator can give back. */
export function answerRoom(answer: AskRoom): void {
  ask = answer
}

/** Throws OutOfMemoryError where an array of so many bytes does not fit in what the system has left. */
export function askRoom(bytes: number, op: string): void {
  ask(bytes, op)
}

/** Lists of fewer bytes are made without a look at the heap, which costs some microseconds. */
const largeBytes = 2 ** 24
/** Bytes of the heap that stay free, because the program makes other objects meanwhile. */
const heapReserve = 64e6

/** Throws OutOfMemoryError where lists of so many bytes do not fit in the JavaScript heap. `what` are they, such as `8 pieces`. */
export function askHeap(bytes: number, op: string, what: string, advice: string): void {
  if (bytes < largeBytes) return
  const left = Math.max(0, heapLeft() - heapReserve)
  if (bytes <= left) return
  throw new OutOfMemoryError(
    op,
    `${what} take about ${megabytes(bytes)} of the JavaScript heap, which has ${megabytes(left)} left; ${advice}, or start Node ` +
      'with a larger --max-old-space-size',
  )
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`
}

/** A list of JavaScript is not to be longer: beyond, V8 keeps it as a table of hashes, or ends the process. */
export const mostEntries = 2 ** 26

/** Throws ValueError where a list would have more than `most` entries. */
export function checkEntries(op: string, count: number, most: number, what: string, advice: string): void {
  if (count > most) throw new ValueError(op, `${count} ${what}, but at most ${most} are possible; ${advice}`)
}

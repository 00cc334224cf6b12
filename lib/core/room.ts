/**
 * Checks of memory for things other than tensors: arrays that a file is read into, lists that a tensor becomes. The
 * system grants any array, and ends the process when it is filled; V8 ends the process when its heap is full. So both
 * are asked first.
 */
import { OutOfMemoryError, ValueError } from './errors.js'
import { heapLeft } from './host.js'

type AskRoom = (bytes: number, op: string) => void

let ask: AskRoom = () => {}

/**
 * Sets the answer to `askRoom`. The backend supplies it, because it knows how much memory the machine has left and an
 * allocator can give back.
 */
export function answerRoom(answer: AskRoom): void {
  ask = answer
}

/** Throws OutOfMemoryError if the system cannot hold an array of `bytes` more. */
export function askRoom(bytes: number, op: string): void {
  ask(bytes, op)
}

/** Lists of fewer bytes are made without asking for the heap's size, which costs some microseconds. */
const largeBytes = 2 ** 24
/** Bytes of the heap kept free, because the program makes other objects meanwhile. */
const heapReserve = 64e6

/**
 * Throws OutOfMemoryError if lists of `bytes` do not fit in the JavaScript heap. `what` names them, such as `8 pieces`.
 */
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

/** The greatest length of a JavaScript list: beyond it V8 keeps a list as a hash table, or ends the process. */
export const mostEntries = 2 ** 26

/** Throws ValueError if a list would have more than `most` entries. */
export function checkEntries(op: string, count: number, most: number, what: string, advice: string): void {
  if (count > most) throw new ValueError(op, `${count} ${what}, but at most ${most} are possible; ${advice}`)
}

/**
 * The capture of a device's calls as a graph, which repeats them later without the program. Whoever makes a call whose
 * numbers change from time to time says here how a repetition gets its own.
 */
import type { Device } from './device.js'
import type { Shadow, Storage } from './storage.js'

/** The way in which a step of an optimiser is repeated. */
export interface Renewal {
  /** Throws if the program no longer has what the step was captured with. Changes nothing. */
  check(): void
  /** Counts one more step, and gives the arguments of its call, of which only numbers and flags are read. */
  next(): object
  /** Takes back the captured step, because the capture failed and the step will not run. */
  cancel(): void
}

export interface Capture {
  readonly device: Device
  /** Says how the next call of an optimiser's kernel is repeated. */
  renewNext(renewal: Renewal): void
  /** Notes that a captured call reads this copy of a storage, which an earlier call wrote. */
  readsShadow(storage: Storage, shadow: Shadow): void
}

let current: Capture | null = null

/** The capture that is running, or null. */
export function currentCapture(): Capture | null {
  return current
}

export function withCapture<R>(capture: Capture, fn: () => R): R {
  const before = current
  current = capture
  try {
    return fn()
  } finally {
    current = before
  }
}

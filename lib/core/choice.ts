/**
 * What stands in for objects while a synchronous function runs, as adapters of layers for one request. A stack of the calling
 * thread, never held across an `await`. Whoever runs a function again later, as checkpoints of activations do, restores it.
 */
import { checkFinished, checkFunction } from './synchronous.js'

export interface Choice {
  readonly values: ReadonlyMap<object, object | null>
  readonly outer: Choice | null
}

let current: Choice | null = null

/** What holds now; null where nothing was chosen. */
export function currentChoice(): Choice | null {
  return current
}

/** What stands in for an object, by the innermost choice that speaks of it; undefined: none does. */
export function chosenFor(key: object): object | null | undefined {
  for (let at = current; at !== null; at = at.outer) {
    const value = at.values.get(key)
    if (value !== undefined) return value
  }
  return undefined
}

/** Runs a function under a choice. Throws ValueError if it returns what runs on: a promise or a generator. */
export function withChoice<R>(op: string, choice: Choice | null, fn: () => R): R {
  checkFunction(op, fn)
  const before = current
  current = choice
  try {
    return checkFinished(op, fn())
  } finally {
    current = before
  }
}

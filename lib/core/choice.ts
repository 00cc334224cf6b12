/**
 * Choices: objects that stand in for others while a synchronous function runs, as a layer's adapters do for one
 * request. They form a stack of the calling thread, which is never held across an `await`. Activation checkpointing
 * restores them when it runs a function again.
 */
import { AutogradError } from './errors.js'
import { checkFinished, checkFunction } from './synchronous.js'

export interface Choice {
  readonly values: ReadonlyMap<object, object | null>
  readonly outer: Choice | null
}

let current: Choice | null = null

/** The current choice; null if nothing was chosen. */
export function currentChoice(): Choice | null {
  return current
}

const all = new Set<WeakRef<StandingIn>>()

/**
 * An object that swaps others into place, such as another weight into a layer's property, so that code that uses them
 * need not ask for a choice.
 */
export abstract class StandingIn {
  constructor() {
    all.add(new WeakRef(this))
  }

  /** The object that is in place when no choice names this one. */
  abstract get own(): object | null

  /** Puts into place the objects that the current choice names. */
  abstract settle(): void
}

/** Makes the objects named by a choice, and by those around it up to `until`, follow the current choice. */
function settle(choice: Choice | null, until: Choice | null): void {
  for (let at = choice; at !== null && at !== until; at = at.outer)
    for (const key of at.values.keys()) if (key instanceof StandingIn) key.settle()
}

/** The object that stands in for another, by the innermost choice that names it; undefined if none does. */
export function chosenFor(key: object): object | null | undefined {
  for (let at = current; at !== null; at = at.outer) {
    const value = at.values.get(key)
    if (value !== undefined) return value
  }
  return undefined
}

/** The objects that were used because no choice named them. By the time a function runs again, others may be used. */
export type Defaults = Map<object, object | null>

interface Note {
  readonly defaults: Defaults
  readonly outer: Note | null
}

let noting: Note | null = null

/** The object that stands in for another, or `own` if no choice names it. */
export function chosenOr(key: object, own: object | null): object | null {
  const chosen = chosenFor(key)
  if (chosen !== undefined) return chosen
  for (let at = noting; at !== null; at = at.outer) {
    if (!at.defaults.has(key)) at.defaults.set(key, own)
    else if (at.defaults.get(key) !== own)
      throw new AutogradError(
        'checkpoint',
        'the function switches the adapters of a layer permanently, and would do so again when it runs again; use withAdapter inside it',
      )
  }
  return own
}

/** Runs a function, and records in `defaults` the objects that it uses because no choice names them. */
export function notingDefaults<R>(defaults: Defaults, fn: () => R): R {
  const outer = noting
  noting = { defaults, outer }
  // Stand-ins are used without asking, so any of them may have been used.
  for (const reference of all) {
    const standing = reference.deref()
    if (standing === undefined) all.delete(reference)
    else chosenOr(standing, standing.own)
  }
  try {
    return fn()
  } finally {
    noting = outer
  }
}

/**
 * Runs a function under a choice. Throws ValueError if it returns a promise or a generator, which would run on
 * afterwards.
 */
export function withChoice<R>(op: string, choice: Choice | null, fn: () => R): R {
  checkFunction(op, fn)
  const before = current
  current = choice
  try {
    settle(choice, before)
    return checkFinished(op, fn())
  } finally {
    current = before
    settle(choice, before)
  }
}

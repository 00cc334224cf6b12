/**
 * Choices: objects that stand in for others while a synchronous function runs, as adapters of layers do for one request.
 * They are a stack of the calling thread, which is never held across an `await`. A checkpoint of activations, which runs a
 * function again later, restores them.
 */
import { AutogradError } from './errors.js'
import { checkFinished, checkFunction } from './synchronous.js'

export interface Choice {
  readonly values: ReadonlyMap<object, object | null>
  readonly outer: Choice | null
}

let current: Choice | null = null

/** The choice that holds now; null where nothing was chosen. */
export function currentChoice(): Choice | null {
  return current
}

const all = new Set<WeakRef<StandingIn>>()

/** An object that puts others in place, as another weight in a layer's property, so that who uses them asks for no choice. */
export abstract class StandingIn {
  constructor() {
    all.add(new WeakRef(this))
  }

  /** The object that is in place where no choice speaks of this one. */
  abstract get own(): object | null

  /** Puts in place what the choice that holds now says. */
  abstract settle(): void
}

/** Lets the objects that a choice speaks of, and those around it up to another one, follow the choice that holds now. */
function settle(choice: Choice | null, until: Choice | null): void {
  for (let at = choice; at !== null && at !== until; at = at.outer)
    for (const key of at.values.keys()) if (key instanceof StandingIn) key.settle()
}

/** The object that stands in for another, by the innermost choice that speaks of it; undefined where none does. */
export function chosenFor(key: object): object | null | undefined {
  for (let at = current; at !== null; at = at.outer) {
    const value = at.values.get(key)
    if (value !== undefined) return value
  }
  return undefined
}

/** The objects that were used where no choice spoke of them. Others may be used by the time that a function runs again. */
export type Defaults = Map<object, object | null>

interface Note {
  readonly defaults: Defaults
  readonly outer: Note | null
}

let noting: Note | null = null

/** The object that stands in for another, or `own` where no choice speaks of it. */
export function chosenOr(key: object, own: object | null): object | null {
  const chosen = chosenFor(key)
  if (chosen !== undefined) return chosen
  for (let at = noting; at !== null; at = at.outer) {
    if (!at.defaults.has(key)) at.defaults.set(key, own)
    else if (at.defaults.get(key) !== own)
      throw new AutogradError(
        'checkpoint',
        'the function switches the adapters of a layer for good, which it would do again when it runs again; use withAdapter in it',
      )
  }
  return own
}

/** Runs a function, and notes in `defaults` the objects that it uses where no choice speaks of them. */
export function notingDefaults<R>(defaults: Defaults, fn: () => R): R {
  const outer = noting
  noting = { defaults, outer }
  // They are used without a word, so that each may have been.
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

/** Runs a function under a choice. Throws ValueError if it returns what runs on: a promise or a generator. */
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

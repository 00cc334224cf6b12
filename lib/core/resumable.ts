/** Loading states into several parts, each of which is checked before the first of them changes. */
import type { Resumable } from './generator.js'

/**
 * The name of a method that checks a state and returns the function that puts it in place. It throws where the state
 * does not fit, and has then changed nothing.
 */
export const prepareState: unique symbol = Symbol('prepareState')

interface Preparing {
  [prepareState](state: unknown): () => void
}

/**
 * The function that loads a state into a part. Parts of the library check the state at once; others do so when the
 * function runs.
 */
export function preparedState(part: Resumable<unknown>, state: unknown): () => void {
  let owner: object | null = part
  while (owner !== null && !Object.hasOwn(owner, 'loadStateDict')) owner = Object.getPrototypeOf(owner)
  // A loadStateDict that a subclass overrides may do something else than what its base prepares.
  if (owner !== null && Object.hasOwn(owner, prepareState)) return (part as unknown as Preparing)[prepareState](state)
  return () => part.loadStateDict(state)
}

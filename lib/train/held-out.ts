/** The state of the validation's data in checkpoints. */
import { kindOf, ValueError } from '../core/errors.js'
import { preparedState } from '../core/resumable.js'
import type { Module } from '../nn/module.js'
import { loadRandomState, type RandomState, randomState } from '../nn/random-state.js'
import { isResumable } from './resume.js'

/**
 * The place in the validation's data: the one after the last complete validation, because an interrupted one is
 * repeated. A loader that shuffles or augments its rows yields others in each pass, so a resumed run must not start
 * them from the beginning.
 */
export class HeldOut {
  /** Plain data, or null if the data have no state. */
  place: unknown
  readonly #data: unknown
  #before: RandomState | null = null

  /** `training` are the batches of the fit. The checkpoint already has their place. */
  constructor(data: unknown, training: unknown) {
    this.#data = data === training ? null : data
    this.place = this.#now()
  }

  #now(): unknown {
    return isResumable(this.#data) ? this.#data.stateDict() : null
  }

  /**
   * Checks a place, and returns the function that restores it. Throws ValueError if the place belongs to stateful data,
   * but these data have no state.
   */
  prepare(op: string, place: unknown): () => void {
    // Checkpoints of earlier versions have no such place.
    if (place === null || place === undefined) return () => undefined
    if (!isResumable(this.#data))
      throw new ValueError(
        op,
        `the validation batches are ${kindOf(this.#data)}, but were a loader with a state of its own when the checkpoint was written; ` +
          'go on with the same data',
      )
    const load = preparedState(this.#data, place)
    return () => {
      load()
      this.place = place
    }
  }

  /** Called when a validation begins. It may draw random numbers. */
  begins(model: Module): void {
    this.#before = randomState(model)
  }

  /** Called when a validation was aborted: the random numbers it drew will be drawn again. */
  aborted(model: Module): void {
    if (this.#before !== null) loadRandomState(model, this.#before)
  }

  ended(): void {
    this.#before = null
    this.place = this.#now()
  }
}

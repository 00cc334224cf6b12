/** The validation's data in checkpoints. */
import { kindOf, ValueError } from '../core/errors.js'
import { preparedState } from '../core/resumable.js'
import type { Module } from '../nn/module.js'
import { loadRandomState, type RandomState, randomState } from '../nn/random-state.js'
import { isResumable } from './resume.js'

/**
 * The place of the validation's data: that behind the last whole validation, because one that is cut is made again. A loader that shuffles
 * or augments its rows gives others in each pass, so that a run that goes on must not begin them anew.
 */
export class HeldOut {
  /** Plain data; null for data without a state. */
  place: unknown
  readonly #data: unknown
  #before: RandomState | null = null

  /** `training` are the batches of the fit, whose place the checkpoint has already. */
  constructor(data: unknown, training: unknown) {
    this.#data = data === training ? null : data
    this.place = this.#now()
  }

  #now(): unknown {
    return isResumable(this.#data) ? this.#data.stateDict() : null
  }

  /** Checks a place and gives the function that goes there. Throws ValueError for a place of data with a state where these have none. */
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

  /** A validation begins, which may draw random numbers. */
  begins(model: Module): void {
    this.#before = randomState(model)
  }

  /** It was aborted: what it drew will be drawn again. */
  aborted(model: Module): void {
    if (this.#before !== null) loadRandomState(model, this.#before)
  }

  ended(): void {
    this.#before = null
    this.place = this.#now()
  }
}

/** A block of a model, run so that it leaves no more in memory than it must. */
import { scope } from '../core/scope.js'
import type { Module } from './module.js'

/**
 * Runs one block, and frees at once what neither its result nor its backward pass needs. Otherwise that of all blocks
 * would be there together until the step ends. That is most of the activations if weights are frozen. A block with
 * hooks inside is left alone, because a hook may have kept what it saw. `frees` is false where a call is too short to
 * be worth it.
 */
export function runBlock<R>(block: Module, run: () => R, frees = true): R {
  return frees && !block.modules().some(({ hasForwardHooks }) => hasForwardHooks) ? scope(run) : run()
}

/** Modules whose activations are computed again in the backward pass instead of kept, as `checkpoint` does for a function. */
import { checkpoint } from '../autograd/checkpoint.js'
import type { Module } from './module.js'

type Forward = (...inputs: unknown[]) => unknown

/** By module the number of its group; null where nothing is to be computed again. */
let groups: ReadonlyMap<Module, number> | null = null

/** Whether some modules are to be computed again. */
export function isRecomputed(): boolean {
  return groups !== null
}

/** The group of a module that is to be computed again; undefined for others. */
export function groupOf(module: Module): number | undefined {
  return groups?.get(module)
}

/**
 * Runs `fn` with each of these modules as a `checkpoint`. Modules of one group that stand one after another in a `Sequential` are one
 * together. Gradients have the same bits as without. Hooks of modules inside may run twice.
 */
export function recomputing<R>(modules: readonly (readonly Module[])[], fn: () => R): R {
  return within(new Map(modules.flatMap((group, i) => group.map((module) => [module, i] as const))), fn)
}

/** The forward of such a module as a checkpoint. What stands inside is none of its own, the first time as the second. */
export function asCheckpoint(forward: Forward): Forward {
  return function (this: unknown, ...inputs) {
    return checkpoint((...given: unknown[]) => within(null, () => forward.apply(this, given)) as object, ...inputs)
  }
}

function within<R>(next: typeof groups, fn: () => R): R {
  const before = groups
  groups = next
  try {
    return fn()
  } finally {
    groups = before
  }
}

/**
 * Modules whose activations are computed again in the backward pass rather than kept, as `checkpoint` does for a
 * function.
 */
import { checkpoint } from '../autograd/checkpoint.js'
import type { Module } from './module.js'

type Forward = (...inputs: unknown[]) => unknown

/** The group number of each module to compute again; null if there are none. */
let groups: ReadonlyMap<Module, number> | null = null

/** Whether any modules will be computed again. */
export function isRecomputed(): boolean {
  return groups !== null
}

/** The group of a module that will be computed again; undefined for other modules. */
export function groupOf(module: Module): number | undefined {
  return groups?.get(module)
}

/**
 * Runs `fn` with each of these modules as a `checkpoint`. Modules of one group that follow one another in a
 * `Sequential` form one checkpoint. Gradients have the same bits as without it. Hooks of modules inside may run twice.
 */
export function recomputing<R>(modules: readonly (readonly Module[])[], fn: () => R): R {
  return within(new Map(modules.flatMap((group, i) => group.map((module) => [module, i] as const))), fn)
}

/**
 * Runs the forward of such a module as a checkpoint. Modules inside it are not checkpoints themselves, in either run.
 */
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

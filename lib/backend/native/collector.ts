/**
 * Garbage collections on demand. `gc` is V8's own function, taken from a context made after `--expose-gc` was set. The
 * flag is process-wide and is never unset, because a worker starting at that moment would not find the function.
 */
import { nodeModule } from '../../core/host.js'
import type { Addon } from './addon.js'

type Gc = (options?: { type: 'minor' }) => void

export interface Collector {
  minor(): void
  major(): void
}

/** V8's own collector, or null if it is not available. */
export function exposedGc(): Gc | null {
  const { setFlagsFromString } = nodeModule('node:v8')
  const { runInNewContext } = nodeModule('node:vm')
  for (let attempt = 0; attempt < 100; attempt++) {
    setFlagsFromString('--expose-gc')
    try {
      const gc: unknown = runInNewContext('typeof gc === "function" ? gc : undefined')
      if (typeof gc === 'function') return gc as Gc
    } catch {
      return null
    }
  }
  return null
}

/**
 * Holds each array below for a moment, so that it is not optimised away.
 * @public
 */
export let litter: unknown = null

/** The collector without `gc`: allocates young garbage until a watched object, which nothing holds, is collected. */
function litterCollector(addon: Addon): Collector {
  const collect = (arrays: number) => {
    addon.watch({})
    for (let i = 0; i < arrays && addon.watchedLives(); i++) litter = new Array(1000).fill(i)
    litter = null
  }
  // A full collection cannot be requested; V8 runs one when enough objects have been promoted.
  return { minor: () => collect(8_000), major: () => collect(8_000) }
}

export function makeCollector(addon: Addon): Collector {
  const gc = exposedGc()
  if (gc === null) return litterCollector(addon)
  const minor = { type: 'minor' } as const
  return { minor: () => gc(minor), major: () => gc() }
}

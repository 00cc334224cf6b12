/**
 * Garbage collections on demand. `gc` is V8's own, taken from a context made after `--expose-gc` was set; the flag is
 * process-wide and never unset, because a worker that starts at that moment would find the function gone.
 */
import { nodeModule } from '../../core/host.js'
import type { Addon } from './addon.js'

type Gc = (options?: { type: 'minor' }) => void

export interface Collector {
  minor(): void
  major(): void
}

/** V8's own collector, or null where it cannot be had. */
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
 * Held for a moment only, so that the arrays below are not optimised away.
 * @public
 */
export let litter: unknown = null

/** Without `gc`: allocates young garbage until a watched object, which nothing holds, is collected. */
function litterCollector(addon: Addon): Collector {
  const collect = (arrays: number) => {
    addon.watch({})
    for (let i = 0; i < arrays && addon.watchedLives(); i++) litter = new Array(1000).fill(i)
    litter = null
  }
  // A full collection cannot be asked for; V8 runs one when enough has been promoted.
  return { minor: () => collect(8_000), major: () => collect(8_000) }
}

export function makeCollector(addon: Addon): Collector {
  const gc = exposedGc()
  if (gc === null) return litterCollector(addon)
  const minor = { type: 'minor' } as const
  return { minor: () => gc(minor), major: () => gc() }
}

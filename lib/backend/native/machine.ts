/** Memory that this process may still take, by the machine and by its control groups (native/core/memory.h). */
import { freemem } from 'node:os'
import { addonModule } from './loader.js'

/** Without the addon Node tells, which knows the machine and the process's own group. */
export function availableMemory(): number {
  const module = addonModule()
  if (module !== null) return module.availableMemory()
  return typeof process.availableMemory === 'function' ? process.availableMemory() : freemem()
}

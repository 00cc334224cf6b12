/** The memory that this process may still take, by the machine and by its control groups (native/core/memory.h). */
import { OutOfMemoryError } from '../../core/errors.js'
import { inNode, nodeModule } from '../../core/host.js'
import { answerRoom } from '../../core/room.js'
import { formatBytes } from './bytes.js'
import { exposedGc } from './collector.js'
import { addonModule } from './loader.js'

/** Without the addon Node answers, which knows the machine and the process's own group. A browser has no answer. */
export function availableMemory(): number {
  if (!inNode) return Number.POSITIVE_INFINITY
  const module = addonModule()
  if (module !== null) return module.availableMemory()
  return typeof process.availableMemory === 'function' ? process.availableMemory() : nodeModule('node:os').freemem()
}

/**
 * Throws OutOfMemoryError if this many bytes do not fit, because the system grants any array, and ends the process when
 * it is filled.
 */
export function makeMachineRoom(bytes: number, op: string): void {
  if (bytes <= availableMemory()) return
  const collect = exposedGc()
  // The memory of arrays that a collection found is returned by the time of the next collection.
  for (let i = 0; i < 2 && collect !== null; i++) {
    collect()
    if (bytes <= availableMemory()) return
  }
  throw new OutOfMemoryError(
    op,
    `${formatBytes(bytes)} do not fit: ${formatBytes(availableMemory())} are left to this process; free tensors (scope, ` +
      'using, dispose) or use a smaller batch',
  )
}

/** The bytes of arrays that may be made before the remaining memory is checked again. */
export const unseenBytes = 2 ** 24
let unseen = 0

// Once there is a native device, it answers better, because its allocator can give memory back.
answerRoom((bytes, op) => {
  unseen += bytes
  if (unseen < unseenBytes) return
  unseen = 0
  makeMachineRoom(bytes, op)
})

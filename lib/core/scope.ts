/**
 * Frames: who owns the storages that are made now. A stack of the calling thread, never held across an `await`.
 *
 * `scope` frames free at their end what is not returned or kept. Frames of the backward pass free each right after its last
 * use. The garbage collector is told only of what no frame holds, for that costs as much as a small kernel.
 */
import { ValueError } from './errors.js'
import type { Storage } from './storage.js'
import { Tensor } from './tensor.js'

export interface Frame {
  readonly parent: Frame | null
  readonly storages: Storage[]
}

let top: Frame | null = null

export function pushFrame(): Frame {
  top = { parent: top, storages: [] }
  return top
}

export function popFrame(frame: Frame): void {
  top = frame.parent
}

/** Whether a storage made now is to be known to the garbage collector. */
export function allocationsTracked(): boolean {
  return top === null
}

/** Gives a storage to the open frame; to the garbage collector where there is none. */
export function registerAllocation(storage: Storage): void {
  storage.frame = top
  if (top !== null) top.storages.push(storage)
  else adopt(storage)
}

/** Hands a storage that was made untracked to the garbage collector. */
export function adopt(storage: Storage): Storage {
  if (!storage.tracked) {
    storage.tracked = true
    storage.device.track(storage)
  }
  return storage
}

/** Runs `fn` with storages owned by the garbage collector, whatever frames are open: for what outlives them. */
export function outsideFrames<R>(fn: () => R): R {
  const saved = top
  top = null
  try {
    return fn()
  } finally {
    top = saved
  }
}

/** Every tensor reachable from a value through arrays, plain objects, maps and sets. */
export function visitTensors(value: unknown, visit: (tensor: Tensor) => void, seen = new Set<object>()): void {
  if (value === null || typeof value !== 'object' || seen.has(value)) return
  seen.add(value)
  if (value instanceof Tensor) visit(value)
  else if (Array.isArray(value) || value instanceof Set) for (const item of value) visitTensors(item, visit, seen)
  else if (value instanceof Map) for (const item of value.values()) visitTensors(item, visit, seen)
  else if (!ArrayBuffer.isView(value)) for (const item of Object.values(value)) visitTensors(item, visit, seen)
}

/**
 * Runs a synchronous function and frees every tensor made inside, except what it returns (in arrays and objects too),
 * what the graph behind a returned tensor needs for its backward pass, and what a module, an optimiser or `keep` holds.
 * Using a freed tensor throws DisposedError. Frees also when `fn` throws.
 */
export function scope<R>(fn: () => R): R {
  const frame = pushFrame()
  const returned = new Set<Storage>()
  try {
    const result = fn()
    if (result instanceof Promise)
      throw new ValueError('scope', 'the function returned a promise; a scope is synchronous: await outside of it')
    const nodes = new Set<object>()
    visitTensors(result, (tensor) => {
      returned.add(tensor.storage)
      tensor.node?.visitSaved((storage) => returned.add(storage), nodes)
    })
    return result
  } finally {
    popFrame(frame)
    for (const storage of frame.storages) {
      if (storage.freed) continue
      if (storage.kept || returned.has(storage)) registerAllocation(storage)
      else storage.device.free(storage)
    }
  }
}

/** Lets a tensor outlive the scopes it was made in; it is then freed by the garbage collector or by `dispose()`. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.storage.kept = true
  return tensor
}

/**
 * Frames own the storages that are being made. They form a stack of the calling thread, which is never held across an
 * `await`.
 *
 * The frame of a `scope` frees, at its end, the storages that are not returned or kept. A frame of the backward pass
 * frees each storage right after its last use. The garbage collector hears only of storages that no frame holds,
 * because telling it costs as much as a small kernel.
 */
import type { Device } from './device.js'
import type { DType } from './dtype.js'
import { isMap, isSet } from './engine.js'
import { DTypeError, kindOf } from './errors.js'
import type { Frame, Storage } from './storage.js'
import { checkFinished, checkFunction } from './synchronous.js'
import { Tensor } from './tensor.js'

class OpenFrame implements Frame {
  readonly parent: OpenFrame | null
  readonly storages: Storage[] = []
  /** Leaves whose gradient got a graph while the frame was open; null if there are none. */
  leaves: Set<Tensor> | null = null

  constructor(parent: OpenFrame | null) {
    this.parent = parent
  }
}

let top: OpenFrame | null = null

export function pushFrame(): Frame {
  top = new OpenFrame(top)
  return top
}

export function popFrame(frame: Frame): void {
  top = frame.parent as OpenFrame | null
}

/** Makes a storage, and gives it to the open frame, or to the garbage collector if no frame is open. */
export function allocate(device: Device, dtype: DType, count: number, op: string): Storage {
  if (top === null) return device.allocate(dtype, count, true, op)
  const storage = device.allocate(dtype, count, false, op)
  storage.owner = top
  top.storages.push(storage)
  return storage
}

/** Hands a storage from an ended frame to the open one, or to the garbage collector if no frame is open. */
export function handUp(storage: Storage): void {
  if (top === null) storage.adopt()
  else {
    storage.owner = top
    top.storages.push(storage)
  }
}

/**
 * Runs `fn` with storages owned by the garbage collector, whatever frames are open, because they outlive the frames.
 */
export function outsideFrames<R>(fn: () => R): R {
  const saved = top
  top = null
  try {
    return fn()
  } finally {
    top = saved
  }
}

/** Runs `fn`, a program's function called from the library, as if the library's innermost frame were not open. */
export function inOuterFrame<R>(fn: () => R): R {
  const saved = top
  top = saved === null ? null : saved.parent
  try {
    return fn()
  } finally {
    top = saved
  }
}

/** Keeps the graph behind a leaf's gradient alive as long as the gradient, which no scope frees. */
export function outliveScopes(leaf: Tensor): void {
  for (let frame = top; frame !== null; frame = frame.parent) {
    frame.leaves ??= new Set()
    frame.leaves.add(leaf)
  }
}

/** Every tensor reachable from a value through arrays, plain objects, maps (values and keys) and sets, in order. */
export function visitTensors(value: unknown, visit: (tensor: Tensor) => void): void {
  // A work list replaces recursion, because nesting may be deeper than the stack.
  const seen = new Set<object>()
  const left: unknown[] = [value]
  while (left.length > 0) {
    const at = left.pop()
    if (at === null || typeof at !== 'object' || seen.has(at)) continue
    seen.add(at)
    if (at instanceof Tensor) visit(at)
    else for (const item of partsOf(at).reverse()) left.push(item)
  }
}

function partsOf(value: object): unknown[] {
  if (Array.isArray(value)) return [...value]
  if (isMap(value)) return [...value].flat()
  if (isSet(value)) return [...value]
  return ArrayBuffer.isView(value) ? [] : Object.values(value)
}

/**
 * Runs a synchronous function and frees every tensor made inside. Three kinds of tensors survive. The function returns
 * the first, in arrays and objects too. The graph behind a returned tensor needs the second for its backward pass. A
 * module, an optimiser or `keep` holds the third. Using a freed tensor throws DisposedError. It frees them also when
 * `fn` throws. Throws ValueError if the function returns a promise or a generator, which would run on afterwards.
 */
export function scope<R>(fn: () => R): R {
  checkFunction('scope', fn)
  const frame = new OpenFrame(top)
  top = frame
  let held = nothing
  try {
    const result = checkFinished('scope', fn())
    if ((typeof result === 'object' && result !== null) || frame.leaves !== null) held = heldBy(result, frame.leaves)
    return result
  } finally {
    popFrame(frame)
    const { storages } = frame
    // Storages to be freed move to the front of the list, because another list would cost more than a small scope.
    let dead = 0
    for (let i = 0; i < storages.length; i++) {
      const storage = storages[i] as Storage
      if (storage.freed || storage.owner !== frame) continue
      if (held.has(storage)) handUp(storage)
      else storages[dead++] = storage
    }
    storages.length = dead
    freeAll(storages)
  }
}

const nothing: ReadonlySet<Storage> = new Set()

/** The storages that a scope's result needs, and those of the leaves whose gradient got a graph in it. */
function heldBy(result: unknown, leaves: ReadonlySet<Tensor> | null): ReadonlySet<Storage> {
  const held = new Set<Storage>()
  const nodes = new Set<object>()
  const hold = (tensor: Tensor) => {
    held.add(tensor.storage)
    tensor.node?.visitSaved((storage) => held.add(storage), nodes)
  }
  if (result instanceof Tensor) hold(result)
  else visitTensors(result, hold)
  for (const leaf of leaves ?? []) {
    const gradient = leaf.peekGrad()
    if (gradient !== null) hold(gradient)
  }
  return held
}

/** Frees storages, those of one device together. */
function freeAll(storages: readonly Storage[]): void {
  const device = storages[0]?.device
  if (device === undefined) return
  if (device.freeAll !== undefined && storages.length > 1 && storages.every((storage) => storage.device === device))
    device.freeAll(storages)
  else for (const storage of storages) storage.device.free(storage)
}

/**
 * Lets a tensor outlive the scopes it was made in. The garbage collector or `dispose()` then frees it. Throws
 * DTypeError for anything but a tensor.
 */
export function keep<T extends Tensor>(tensor: T): T {
  if (!(tensor instanceof Tensor)) throw new DTypeError('keep', `needs a tensor, but got ${kindOf(tensor)}`)
  tensor.storage.adopt()
  tensor.storage.owner = 'model'
  return tensor
}

/**
 * Kinds of objects, told by the engine's own knowledge rather than by class, because another realm (worker, vm, frame)
 * has other classes.
 */

/** The kind that an object claims to be; '' if asking throws. */
function tagOf(value: object): string {
  try {
    return Object.prototype.toString.call(value).slice(8, -1)
  } catch {
    return ''
  }
}

/** The getter of `size`, which throws for everything that the engine did not make as a Map, or as a Set. */
const sizeOf = (prototype: object) =>
  Object.getOwnPropertyDescriptor(prototype, 'size')?.get as (this: unknown) => number
const mapSize = sizeOf(Map.prototype)
const setSize = sizeOf(Set.prototype)

function has(size: (this: unknown) => number, value: object): boolean {
  try {
    size.call(value)
    return true
  } catch {
    return false
  }
}

// The tag is compared first, because an exception takes a thousand times as long.

export function isMap(value: object): value is Map<unknown, unknown> {
  return (value instanceof Map || tagOf(value) === 'Map') && has(mapSize, value)
}

export function isSet(value: object): value is Set<unknown> {
  return (value instanceof Set || tagOf(value) === 'Set') && has(setSize, value)
}

/** Whether a generator function returned the value, synchronous or not. */
export function isGenerator(value: object): boolean {
  return /^(Async)?Generator$/.test(tagOf(value))
}

/**
 * Whether the value can be iterated, synchronously or not. Texts and typed arrays do not count, because their elements
 * are no items.
 */
export function isIterable(value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false
  return Symbol.asyncIterator in value || Symbol.iterator in value
}

/** Whether threads share the memory. A browser may lack SharedArrayBuffer. */
export function isShared(buffer: ArrayBufferLike): boolean {
  return tagOf(buffer) === 'SharedArrayBuffer'
}

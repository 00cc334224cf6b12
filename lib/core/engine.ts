/**
 * Kinds of objects, by what the engine knows of them rather than by their classes, because those of another realm (worker, vm,
 * frame) are others.
 */

/** The kind that an object says it is of; '' where asking is an error. */
function tagOf(value: object): string {
  try {
    return Object.prototype.toString.call(value).slice(8, -1)
  } catch {
    return ''
  }
}

/** Reads the number of items. It throws for all but what the engine made as a Map, or as a Set. */
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

// The tag comes first, because an exception takes a thousand times as long.

export function isMap(value: object): value is Map<unknown, unknown> {
  return (value instanceof Map || tagOf(value) === 'Map') && has(mapSize, value)
}

export function isSet(value: object): value is Set<unknown> {
  return (value instanceof Set || tagOf(value) === 'Set') && has(setSize, value)
}

/** Whether the value is what a generator function returns, synchronous or not. */
export function isGenerator(value: object): boolean {
  return /^(Async)?Generator$/.test(tagOf(value))
}

/** Whether threads share the memory. A browser may have no class of that name. */
export function isShared(buffer: ArrayBufferLike): boolean {
  return tagOf(buffer) === 'SharedArrayBuffer'
}

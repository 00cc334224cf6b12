/** Walks through values that hold tensors: lists, plain objects, Maps and Sets, nested or not. */
import { isMap, isSet } from '../core/engine.js'

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  // A plain object may come from any realm. Its prototype has no prototype.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Whether a Map or Set has no subclass of the program's, which might hold more than its items. */
function isBare(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Map.prototype || prototype === Set.prototype
}

/**
 * Copies arrays, plain objects, Maps and Sets, and replaces every other value by the result of `change`. Objects that
 * are keys of Maps go to `change` too, whatever they are, because a copy of a key finds nothing.
 */
export function mapLeaves(value: unknown, change: (leaf: unknown, path: string) => unknown, path = ''): unknown {
  if (Array.isArray(value)) return value.map((item, i) => mapLeaves(item, change, `${path}[${i}]`))
  if (typeof value !== 'object' || value === null) return change(value, path)
  if (isPlain(value)) {
    const entries = Object.entries(value)
    return Object.fromEntries(entries.map(([key, item]) => [key, mapLeaves(item, change, `${path}.${key}`)]))
  }
  if (isMap(value) && isBare(value))
    return new Map(
      [...value].map(([key, item], i) => {
        const name = typeof key === 'string' ? `'${key}'` : `key ${i}`
        const own = typeof key === 'object' ? change(key, `${path}[the key ${i}]`) : key
        return [own, mapLeaves(item, change, `${path}[${name}]`)]
      }),
    )
  if (isSet(value) && isBare(value))
    return new Set([...value].map((item, i) => mapLeaves(item, change, `${path}[${i}]`)))
  return change(value, path)
}

/** The number of objects that a search visits before it gives up. */
const mostObjects = 100_000

/**
 * The path to a wanted item within a value. Own properties of class instances are searched too. It is null if there is
 * none, and `undefined` if the value is too large to be searched. Private `#fields` and closures cannot be searched.
 */
export function findWithin(value: unknown, isWanted: (object: object) => boolean): string | null | undefined {
  const seen = new Set<object>()
  // A work list replaces recursion, because nesting may be deeper than the stack.
  const left: [item: unknown, path: string][] = [[value, '']]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [at, path] = next
    if (typeof at !== 'object' || at === null || ArrayBuffer.isView(at) || seen.has(at)) continue
    if (isWanted(at)) return path
    if (seen.add(at).size > mostObjects) return undefined
    if (Array.isArray(at)) {
      // Only objects are listed, because a path for each number and text would be wasted.
      for (let i = at.length - 1; i >= 0; i--) if (typeof at[i] === 'object') left.push([at[i], `${path}[${i}]`])
      continue
    }
    if (isMap(at)) for (const [key, item] of at) left.push([key, `${path}[a key]`], [item, `${path}[a value]`])
    if (isSet(at)) for (const item of at) left.push([item, `${path}[an item]`])
    for (const [key, item] of Object.entries(at)) left.push([item, `${path}.${key}`])
  }
  return null
}

import { isMap } from '../core/engine.js'

/** Parts by name that a program gave to be written: entries of a Map, or members of an object, getters of its class included. */
export function membersOf(given: object): Map<string, unknown> {
  if (isMap(given)) return new Map(given as Map<string, unknown>)
  const members = new Map<string, unknown>(Object.entries(given))
  let at: object | null = Object.getPrototypeOf(given)
  // The last prototype is that of all objects, of this realm or another.
  for (; at !== null && Object.getPrototypeOf(at) !== null; at = Object.getPrototypeOf(at))
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (get !== undefined && !members.has(name)) members.set(name, (given as { [name: string]: unknown })[name])
  return members
}

import { isIterable, isMap } from '../core/engine.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { Tensor } from '../core/tensor.js'

/**
 * Parts by name that a program gave to be written: entries of a Map, or members of an object, including getters of its
 * class. Throws ValueError for a value without names, because an empty file would be written silently.
 */
export function membersOf(op: string, what: string, given: object): Map<string, unknown> {
  const members = new Map<string, unknown>()
  if (isMap(given)) {
    for (const [name, part] of given) {
      if (typeof name !== 'string')
        throw new ValueError(
          op,
          `the Map of ${what} has the key ${shown(name)}, but keys must be texts, which name the parts`,
        )
      members.set(name, part)
    }
    return members
  }
  if (given instanceof Tensor || isIterable(given) || ArrayBuffer.isView(given))
    throw new ValueError(op, `${what} are ${kindOf(given)}, but must be an object, or a Map with names as keys`)
  for (const [name, part] of Object.entries(given)) members.set(name, part)
  let at: object | null = Object.getPrototypeOf(given)
  const isPlain = at === null || Object.getPrototypeOf(at) === null
  // The last prototype is that of all objects, of this realm or another.
  for (; at !== null && Object.getPrototypeOf(at) !== null; at = Object.getPrototypeOf(at))
    for (const [name, { get }] of Object.entries(Object.getOwnPropertyDescriptors(at)))
      if (get !== undefined && !members.has(name)) members.set(name, (given as { [name: string]: unknown })[name])
  if (members.size === 0 && !isPlain)
    throw new ValueError(
      op,
      `${what} are ${kindOf(given)}, which has no members; give an object, or a Map with names as keys`,
    )
  return members
}

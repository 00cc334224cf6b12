/** Checks of options objects, in which a misspelt name must not be ignored. */
import { kindOf, shown, ValueError } from './errors.js'
import { Tensor } from './tensor.js'

/** Every name of an options type. The compiler makes sure that none is left out. */
export type OptionNames<O> = { readonly [K in keyof O]-?: true }

/**
 * Returns the options if they are an object whose own properties have known names. Options may also be of a class with
 * getters. JavaScript has no compiler to notice a misspelt option, or a number in place of options, and would take it
 * for options left out. Throws a ValueError that names what was given, or lists the unknown names and the known ones.
 * `path` is the path of options within others, such as `checkpoints`, and precedes each name in the error.
 */
export function checkOptions<O extends object>(op: string, options: O, names: OptionNames<O>, path?: string): O {
  const spelt = (all: readonly string[]) =>
    all.map((name) => (path === undefined ? name : `${path}.${name}`)).join(', ')
  if (!isOptions(options, names)) {
    const known = Object.keys(names)
    throw new ValueError(
      op,
      `${path === undefined ? 'options are' : `${path} is`} ${kindOf(options)}, but must be an object such as ` +
        `{ ${known[0] ?? ''}: ... }, or left out; there are ${spelt(known)}`,
    )
  }
  // Only the object's own names are checked, because libraries put names on Object.prototype.
  for (const name in options) {
    if (Object.hasOwn(names, name) || !Object.hasOwn(options, name)) continue
    const unknown = Object.keys(options).filter((key) => !Object.hasOwn(names, key))
    throw new ValueError(op, `there is no option ${spelt(unknown)}; there are ${spelt(Object.keys(names))}`)
  }
  return options
}

/**
 * Copies the items of a program's iterable into our own list. A string counts as one item, not as an iterable, so
 * it is refused. Throws ValueError for a value without items, and for an array whose memory went to another thread.
 */
export function listOf<T>(op: string, name: string, value: Iterable<T>, what: string): T[] {
  const iterable = typeof value === 'object' && value !== null && typeof value[Symbol.iterator] === 'function'
  if (!iterable) throw new ValueError(op, `${name} are ${kindOf(value)}, but must be ${what}`)
  try {
    return [...value]
  } catch (error) {
    if (!ArrayBuffer.isView(value)) throw error
    throw new ValueError(op, `${name} lie in memory that was sent to another thread; take them before that`)
  }
}

/** Throws unless the value is true or false. 0, 'false' and null are neither. */
export function checkFlag(op: string, name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw new ValueError(op, `${name} is ${shown(value)}, but must be true or false`)
}

/**
 * `checkOptions` for callers that keep or spread the options: returns a plain copy, lists included. A spread would lose
 * getters of a class, and the program could still change an object that was kept.
 */
export function ownOptions<O extends object>(op: string, options: O, names: OptionNames<O>): O {
  checkOptions(op, options, names)
  const own: { [name: string]: unknown } = {}
  for (const name of Object.keys(names)) {
    const value: unknown = options[name as keyof O]
    if (value !== undefined) own[name] = Array.isArray(value) ? [...value] : value
  }
  return own as O
}

/**
 * Whether the value is a plain object, or of a class that can hold options: not an array, Map, tensor, generator or
 * device.
 */
function isOptions(value: unknown, names: object): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  // A plain object of another realm has that realm's Object.prototype, which has no prototype itself.
  if (prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null) return true
  if (Object.prototype.toString.call(value) !== '[object Object]' || value instanceof Tensor) return false
  return Object.keys(names).some((name) => name in value)
}

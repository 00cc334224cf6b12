/** Walks through a module's content: its own properties, and the lists and tables there. */

import { isMap, isSet } from '../core/engine.js'
import { shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkNesting } from '../core/module-path.js'
import { Tensor } from '../core/tensor.js'
import { Uncloneable } from '../core/uncloneable.js'
import { Buffer, originalOf, Parameter } from './parameter.js'
import { tellOnce } from './tell.js'

export type OnTensor = (name: string, tensor: Tensor) => void
/**
 * `inside` is the prefix of names inside the holder, if it is not the holder's own name; '' names them as if they were
 * outside.
 */
export type OnHolder = (name: string, holder: Holder, inside?: string) => void
export type OnGenerator = (name: string, generator: Generator) => void

/** The depth of nested lists beyond which they are not searched. */
const deepest = 32

/** The size above which lists and tables that held nothing the last time are not walked at every step. */
const large = 64

/**
 * The sizes of large lists and tables that held nothing, such as a vocabulary. The table is emptied when that proves
 * wrong.
 */
let barren = new WeakMap<object, number>()

/** Makes walks search everything again, after a module was met that no walk finds. */
export function forgetBarren(): void {
  barren = new WeakMap()
}

/**
 * An own property of every module, which comes before its tensors, so that the error of structuredClone speaks of the
 * module rather than of them.
 */
export const uncloneableModule = new Uncloneable(
  'structuredClone',
  'a module is not copied, because its tensors are in memory of a device; save() it to a file, and load it there',
)

/** Whether a tensor belongs to a module. Any other may be a cache. */
function isOwned(tensor: Tensor): boolean {
  return tensor instanceof Parameter || tensor instanceof Buffer
}

/** Warns of a tensor that was most likely meant to be a parameter: no operator made it, and it wants a gradient. */
function tellIfStray(tensor: Tensor, holder: Holder, property: string, place = ''): void {
  if (!(tensor.requiresGrad && tensor.isLeaf)) return
  const subject = `${holder.constructor.name}.${property}`
  tellOnce(
    `${subject}${place} is a tensor that wants a gradient, but is not a Parameter: it is neither trained, saved ` +
      'nor moved with the module; wrap it: new nn.Parameter(...). If it should not learn, set its requiresGrad to false',
    // The subject is the property, because a list of a hundred such tensors is a single mistake.
    subject,
  )
}

/**
 * An object whose own properties are walked. It is the base of Module, and stands here so that the walk need not know
 * modules.
 */
export abstract class Holder {
  /**
   * The number of own properties when their names were last compared; -1 if two agreed, so that every walk compares
   * again.
   */
  #compared = 0

  /** The name in a state of a property. */
  abstract stateName(property: string): string

  /**
   * Calls back with the name of each parameter, buffer, holder and generator in the own properties, and in lists and
   * tables there.
   */
  visitOwn(onTensor: OnTensor | null, onHolder: OnHolder | null, onGenerator: OnGenerator | null = null): void {
    // Properties are read by name, because every step walks all modules, and `Object.entries` would make an array for
    // each property.
    const own = this as object as { readonly [property: string]: unknown }
    const properties = Object.keys(this)
    if (properties.length !== this.#compared) this.#compare(properties)
    const names = this.#compared < 0 ? new Map<string, string>() : null
    for (const property of properties) {
      const value = own[property]
      if (typeof value !== 'object' || value === null || value === uncloneableModule) continue
      const name = this.stateName(property)
      if (value instanceof Tensor) {
        if (!isOwned(value)) tellIfStray(value, this, property)
        else if (names === null || this.#isNew(names, name, property)) onTensor?.(name, originalOf(value))
      } else if (value instanceof Holder) {
        if (names === null || this.#isNew(names, name, property)) onHolder?.(name, value)
      } else if (value instanceof Generator) onGenerator?.(name, value)
      else
        visitInside(
          this,
          property,
          name,
          value,
          onTensor,
          onHolder,
          onGenerator,
          () => names === null || this.#isNew(names, name, property),
        )
    }
  }

  /** Replaces tensors in the own properties, and in lists and tables there. */
  exchangeOwn(others: ReadonlyMap<Tensor, Tensor>): void {
    exchangeIn(this, others, new Set())
  }

  #compare(properties: readonly string[]): void {
    const names = new Set(properties.map((property) => this.stateName(property)))
    this.#compared = names.size === properties.length ? properties.length : -1
  }

  /**
   * Whether a name is new. Throws if two properties with different content have the same name; false if their content
   * is the same.
   */
  #isNew(names: Map<string, string>, name: string, property: string): boolean {
    const other = names.get(name)
    names.set(name, property)
    if (other === undefined || other === property) return true
    const own = this as object as { readonly [property: string]: unknown }
    if (own[other] === own[property]) return false
    throw new ValueError(
      this.constructor.name,
      `the properties ${other} and ${property} have the same name in a state, ${name}; rename one, or name it in static stateNames`,
    )
  }
}

/** Exchanges tensors wherever a walk finds them: in arrays, Maps, Sets and plain objects, each visited once. */
function exchangeIn(container: object, others: ReadonlyMap<Tensor, Tensor>, seen: Set<object>): void {
  if (seen.size === seen.add(container).size) return
  const table = container as { [key: string | number]: unknown }
  const entries = container instanceof Holder ? Object.entries(container) : entriesOf(container)
  if (entries === null || barren.get(container) === sizeOf(container)) return
  const found = [...entries]
  /** Whether the Set must be refilled in its order, because its entries cannot be replaced in place. */
  let rebuilt = false
  for (const [i, [key, value]] of found.entries()) {
    if (typeof value !== 'object' || value === null || value instanceof Holder) continue
    if (!(value instanceof Tensor)) {
      exchangeIn(value, others, seen)
      continue
    }
    const other = others.get(value)
    if (other === undefined) continue
    if (isMap(container)) container.set(key, other)
    else if (isSet(container)) {
      found[i] = [key, other]
      rebuilt = true
    } else table[key as string] = other
  }
  if (rebuilt && isSet(container)) {
    container.clear()
    for (const [, value] of found) container.add(value)
  }
}

/** The lists and tables on the way to a nested one. */
interface Trail {
  readonly container: object
  readonly outer: Trail | null
  readonly depth: number
}

/**
 * The number of holes after which an array's entries are found by their keys, because it may have billions of places
 * but few entries.
 */
const mostHoles = 1024

/** The entries of an array, without its holes. */
function* entriesOfArray(array: readonly unknown[]): Iterable<readonly [number, unknown]> {
  let holes = 0
  for (let i = 0; i < array.length; i++) {
    if (array[i] !== undefined || i in array) yield [i, array[i]]
    else if (++holes === mostHoles) {
      for (const key of Object.keys(array)) {
        const index = Number(key)
        // Keys other than indices come after all indices.
        if (!(index < array.length)) return
        if (index > i) yield [index, array[index]]
      }
      return
    }
  }
}

/** The entries of a list or table, with their names; null for anything else. */
function entriesOf(container: object): Iterable<readonly [key: unknown, value: unknown]> | null {
  if (Array.isArray(container)) return container.length > large ? entriesOfArray(container) : container.entries()
  const prototype: unknown = Object.getPrototypeOf(container)
  // Plain objects of any realm count. Their prototype has no prototype itself.
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null
  if (plain) return Object.entries(container)
  if (isMap(container)) return container.entries()
  return isSet(container) ? [...container].entries() : null
}

function sizeOf(container: object): number {
  if (Array.isArray(container)) return container.length
  return isMap(container) || isSet(container) ? container.size : Object.keys(container).length
}

/**
 * Whether a list holds only numbers, such as sizes. These are by far the most common lists, and mostly of one or two
 * entries, which are compared without a loop.
 */
function holdsNumbers(value: object): boolean {
  return Array.isArray(value) && value.length <= 4 && value.every((item) => typeof item === 'number')
}

function visitInside(
  holder: Holder,
  property: string,
  name: string,
  value: object,
  onTensor: OnTensor | null,
  onHolder: OnHolder | null,
  onGenerator: OnGenerator | null,
  isNew: () => boolean,
): void {
  /**
   * Counts of entries examined, items found and branches skipped. Their change over a container tells whether it is
   * barren.
   */
  let [seen, held, cut] = [0, 0, 0]
  /** Null while nothing was found; false if the content was found under another property. */
  let fresh: boolean | null = null
  const refuse = (why: string): never => {
    throw new ValueError(holder.constructor.name, why)
  }
  const visit = (path: string, container: object, outer: Trail | null): void => {
    if (holdsNumbers(container)) return
    const known = barren.get(container)
    if (known !== undefined && known === sizeOf(container)) return
    const entries = entriesOf(container)
    if (entries === null) return
    const trail: Trail = { container, outer, depth: outer === null ? 1 : outer.depth + 1 }
    let within = trail.depth > deepest
    for (let at = outer; at !== null; at = at.outer) within ||= at.container === container
    if (within) {
      cut++
      return
    }
    const before = { seen, held, cut }
    const names = isMap(container) ? new Set<string>() : null
    for (const [key, item] of entries) {
      seen++
      if (typeof item !== 'object' || item === null) continue
      const isTensor = item instanceof Tensor
      if (isTensor || item instanceof Holder || item instanceof Generator) {
        if (isTensor && !isOwned(item)) {
          tellIfStray(item, holder, property, `${path.slice(name.length)}.${String(key)}`)
          continue
        }
        held++
        fresh ??= isNew()
        if (!fresh) continue
        if (typeof key !== 'string' && typeof key !== 'number')
          refuse(`a Map of modules needs strings or numbers as keys, for names in a state; ${path} has ${shown(key)}`)
        const place = String(key)
        if (place === '' || place.includes('.'))
          refuse(`'${place}' in ${path} cannot be a module's name in a state: it must not be empty nor hold a dot`)
        if (names !== null && names.size === names.add(place).size)
          refuse(`two keys of ${path} have the same name in a state, ${place}`)
        if (isTensor) onTensor?.(`${path}.${place}`, originalOf(item))
        else if (item instanceof Holder) onHolder?.(`${path}.${place}`, item)
        else onGenerator?.(`${path}.${place}`, item)
      } else visit(`${path}.${String(key)}`, item, trail)
    }
    if (held === before.held && cut === before.cut && seen - before.seen > large)
      barren.set(container, sizeOf(container))
  }
  visit(name, value, null)
}

export interface Walk {
  /** Whether a holder is entered only once, under its first path, rather than under all its paths. */
  readonly once: boolean
  readonly onHolder?: (path: string, holder: Holder) => void
  readonly onTensor?: (path: string, tensor: Tensor) => void
  /** Called with a path that names every holder, so that no two paths are alike. */
  readonly onGenerator?: (path: string, generator: Generator) => void
}

/**
 * Walks a holder ('') and everything inside: its own tensors, then its inner holders, in order of definition. Cycles
 * are cut.
 */
export function walk(root: Holder, prefix: string, { once, onHolder, onTensor, onGenerator }: Walk): void {
  const entered = new Set<Holder>()
  const enter = (path: string, holder: Holder, inside: string, place: string, depth: number): void => {
    checkNesting(depth, holder)
    if (entered.size === entered.add(holder).size) return
    onHolder?.(path, holder)
    const inner: (readonly [string, Holder, string, string])[] = []
    const before = inside === '' ? '' : `${inside}.`
    const at = place === '' ? '' : `${place}.`
    holder.visitOwn(
      onTensor ? (name, tensor) => onTensor(before + name, tensor) : null,
      (name, child, within = name) =>
        void inner.push([before + name, child, within === '' ? inside : before + within, at + name]),
      onGenerator ? (name, generator) => onGenerator(at + name, generator) : null,
    )
    for (const [name, child, within, own] of inner) enter(name, child, within, own, depth + 1)
    if (!once) entered.delete(holder)
  }
  enter(prefix, root, prefix, prefix, 1)
}

/** Ordered modules or parameters: the common part of Sequential, ModuleList and ParameterList. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import { Module } from './module.js'
import { originalOf, Parameter } from './parameter.js'
import type { OnGenerator, OnHolder, OnTensor } from './walk.js'

/** Whether a function is a class, passed by mistake instead of an instance. */
function isClass(fn: { readonly prototype?: unknown }): boolean {
  return fn.prototype instanceof Module || /^class\b/.test(Function.prototype.toString.call(fn))
}

/** The description in errors of a value that is not a module. */
function notModule(value: unknown): string {
  if (typeof value !== 'function') return kindOf(value)
  return isClass(value) ? `the class ${value.name}; make it with new` : `the function ${value.name}`.trimEnd()
}

/** Throws unless an entry of a container is a module. */
export function checkModule(container: string, entry: string, value: unknown): asserts value is Module {
  if (!(value instanceof Module))
    throw new ValueError(container, `${entry} is ${notModule(value)}, but must be a module`)
}

/** Throws unless an entry of a container is a parameter. */
export function checkParameter(container: string, entry: string, value: unknown): asserts value is Parameter {
  if (!(value instanceof Parameter))
    throw new ValueError(
      container,
      `${entry} is ${kindOf(value)}, but must be a parameter${value instanceof Tensor ? '; wrap it: new nn.Parameter(...)' : ''}`,
    )
}

/** Throws if a container would contain itself. */
export function checkOutside(container: Module, entry: string, value: Module | Parameter): void {
  if (!(value instanceof Module) || (value !== container && !value.modules().includes(container))) return
  const { name } = container.constructor
  throw new ValueError(
    name,
    value === container
      ? `${entry} is this ${name} itself, which cannot be inside itself`
      : `${entry} is ${kindOf(value)} that holds this ${name}, which cannot be inside itself`,
  )
}

/** Whether a value is a function other than a class, so that it may be a layer. */
export function isPlainFunction(value: unknown): value is (...inputs: never[]) => unknown {
  return typeof value === 'function' && !isClass(value)
}

/** Shows an entry of a container to a walk. */
export function visitEntry(
  name: string,
  value: Module | Parameter,
  onTensor: OnTensor | null,
  onHolder: OnHolder | null,
): void {
  if (value instanceof Module) onHolder?.(name, value)
  else onTensor?.(name, originalOf(value))
}

/**
 * Ordered modules or parameters, each named by its place. A replaced or removed entry is no longer part of the model.
 * Walks, states and `parameters()` give the current entries, and an optimiser made with `parameters()` follows.
 */
export abstract class Sequence<V extends Module | Parameter, In = V> extends Module {
  readonly #entries: V[] = []
  /** Whether the constructor has added its entries. Before that, nothing can contain the list. */
  #isMade = false

  /** Turns a given value into an entry. Throws ValueError for a value that cannot be one. */
  protected abstract admit(entry: string, value: In): V

  /** The number of entries. */
  get length(): number {
    return this.#entries.length
  }

  /** The entry at a place, counted from the end if negative; undefined if there is none. */
  at(index: number): V | undefined {
    return this.#entries.at(this.#checkIndex('at', index))
  }

  /** Replaces the entry at a place, counted from the end if negative. Throws ValueError if there is none. */
  set(index: number, value: In): this {
    const place = this.#placeOf('set', index, this.length - 1)
    this.#entries[place] = this.#admitted(place, value)
    return this
  }

  /** Inserts an entry before the one at a place, counted from the end if negative. `length` inserts after the last. */
  insert(index: number, value: In): this {
    const place = this.#placeOf('insert', index, this.length)
    this.#entries.splice(place, 0, this.#admitted(place, value))
    return this
  }

  /** Adds an entry after the last. */
  append(value: In): this {
    this.#entries.push(this.#admitted(this.length, value))
    return this
  }

  /** Adds entries after the last: all of them, or none if one is refused. */
  extend(values: Iterable<In>): this {
    const given = listOf(this.constructor.name, 'the entries', values, 'an array or another iterable')
    for (const entry of given.map((value, i) => this.#admitted(this.length + i, value))) this.#entries.push(entry)
    this.#isMade = true
    return this
  }

  /** Removes and returns an entry, by default the last. Throws ValueError if there is none. */
  pop(index = -1): V {
    return this.#entries.splice(this.#placeOf('pop', index, this.length - 1), 1)[0] as V
  }

  *[Symbol.iterator](): Generator<V> {
    yield* this.#entries
  }

  /** The entries from one place up to another, as in `Array.slice`. */
  protected between(start?: number, end?: number): V[] {
    for (const index of [start, end]) if (index !== undefined) this.#checkIndex('slice', index)
    return this.#entries.slice(start, end)
  }

  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    for (const [i, value] of this.#entries.entries()) visitEntry(String(i), value, onTensor, onHolder)
  }

  override exchangeOwn(others: ReadonlyMap<Tensor, Tensor>): void {
    super.exchangeOwn(others)
    for (const [i, value] of this.#entries.entries())
      if (value instanceof Tensor) this.#entries[i] = (others.get(value) ?? value) as V
  }

  #admitted(place: number, value: In): V {
    const entry = `entry ${place}`
    const admitted = this.admit(entry, value)
    if (this.#isMade) checkOutside(this, entry, admitted)
    return admitted
  }

  #checkIndex(method: string, index: number): number {
    if (!Number.isInteger(index))
      throw new ValueError(`${this.constructor.name}.${method}`, `the index is ${shown(index)}, but must be an integer`)
    return index
  }

  /** The index counted from the front. Throws if it is beyond `last`. */
  #placeOf(method: string, index: number, last: number): number {
    const { length } = this
    const place = this.#checkIndex(method, index) < 0 ? index + length : index
    if (place < 0 || place > last)
      throw new ValueError(
        `${this.constructor.name}.${method}`,
        `index ${index} lies outside the ${length} entries${last < 0 ? '' : `; allowed are ${-length} to ${last}`}`,
      )
    return place
  }
}

/** Modules or parameters in an order: what Sequential, ModuleList and ParameterList have in common. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import { Tensor } from '../core/tensor.js'
import { Module } from './module.js'
import { originalOf, Parameter } from './parameter.js'
import type { OnGenerator, OnHolder, OnTensor } from './walk.js'

/** Whether a function is a class, which somebody forgot to make an instance of. */
function isClass(fn: { readonly prototype?: unknown }): boolean {
  return fn.prototype instanceof Module || /^class\b/.test(Function.prototype.toString.call(fn))
}

/** The name in errors of a value that is no module. */
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

/** Throws where a container would be inside itself. */
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

/** A function that is no class, and so may be a layer. */
export function isPlainFunction(value: unknown): value is (...inputs: never[]) => unknown {
  return typeof value === 'function' && !isClass(value)
}

/** Shows a walk an entry of a container. */
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
 * Modules or parameters in an order, each named by its place. What is replaced or taken out is no part of the model any more:
 * walks, states and `parameters()` give what is there now, and an optimiser that was made with `parameters()` follows them.
 */
export abstract class Sequence<V extends Module | Parameter, In = V> extends Module {
  readonly #entries: V[] = []
  /** Whether the constructor's entries are in. Before, nothing can hold the list. */
  #isMade = false

  /** The member of the list for a given entry. Throws ValueError for a value that cannot be an entry. */
  protected abstract admit(entry: string, value: In): V

  /** Number of entries. */
  get length(): number {
    return this.#entries.length
  }

  /** The entry at a place, which may be negative from the end; undefined where there is none. */
  at(index: number): V | undefined {
    return this.#entries.at(this.#checkIndex('at', index))
  }

  /** Replaces what stands at a place, negative from the end. Throws ValueError where there is none. */
  set(index: number, value: In): this {
    const place = this.#placeOf('set', index, this.length - 1)
    this.#entries[place] = this.#admitted(place, value)
    return this
  }

  /** Puts an entry before the one at a place, negative from the end, or with `length` behind the last. */
  insert(index: number, value: In): this {
    const place = this.#placeOf('insert', index, this.length)
    this.#entries.splice(place, 0, this.#admitted(place, value))
    return this
  }

  /** Puts an entry behind the last. */
  append(value: In): this {
    this.#entries.push(this.#admitted(this.length, value))
    return this
  }

  /** Puts entries behind the last: all, or none where one of them is refused. */
  extend(values: Iterable<In>): this {
    const given = listOf(this.constructor.name, 'the entries', values, 'an array or another iterable')
    for (const entry of given.map((value, i) => this.#admitted(this.length + i, value))) this.#entries.push(entry)
    this.#isMade = true
    return this
  }

  /** Takes an entry out, the last one unless a place is named, and gives it. Throws ValueError where there is none. */
  pop(index = -1): V {
    return this.#entries.splice(this.#placeOf('pop', index, this.length - 1), 1)[0] as V
  }

  *[Symbol.iterator](): Generator<V> {
    yield* this.#entries
  }

  /** Those from a place up to another one, as `Array.slice` counts. */
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

  /** An index counted from the front, if it is not beyond `last`. */
  #placeOf(method: string, index: number, last: number): number {
    const { length } = this
    const place = this.#checkIndex(method, index) < 0 ? index + length : index
    if (place < 0 || place > last)
      throw new ValueError(
        `${this.constructor.name}.${method}`,
        `there is no place ${index} among ${length} entries${last < 0 ? '' : `; there are ${-length} to ${last}`}`,
      )
    return place
  }
}

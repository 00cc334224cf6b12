/** Modules and parameters by key, and parameters in a list. */
import { formatShape, kindOf, shown, ValueError } from '../core/errors.js'
import { listOf } from '../core/options.js'
import type { Tensor } from '../core/tensor.js'
import { Module, Parameter, settings } from './module.js'
import { checkModule, checkOutside, checkParameter, Sequence, visitEntry } from './sequence.js'
import type { OnGenerator, OnHolder, OnTensor } from './walk.js'

type Table<V> = { readonly [key: string]: V }

/** The entries of an object, with the getters of its class, but without names that were put on Object.prototype. */
function entriesOf<V>(given: Table<V>): (readonly [string, V])[] {
  const found: (readonly [string, V])[] = []
  for (const key in given)
    if (Object.hasOwn(given, key) || !(key in Object.prototype)) found.push([key, given[key] as V])
  return found
}

/** The entries by key of an object, a Map or pairs. */
function pairsOf<V>(container: string, given: Table<V> | Iterable<readonly [string, V]>): (readonly [string, V])[] {
  const wanted = 'an object, a Map or a list of [key, value]'
  if (typeof given !== 'object' || given === null || given instanceof Module)
    throw new ValueError(container, `the entries are ${kindOf(given)}, but must be ${wanted}`)
  if (!(Symbol.iterator in given)) {
    const found = entriesOf(given)
    if (found.length === 0 && Object.prototype.toString.call(given) !== '[object Object]')
      throw new ValueError(container, `the entries are ${kindOf(given)}, but must be ${wanted}`)
    return found
  }
  const pairs = listOf(container, 'the entries', given as Iterable<readonly [string, V]>, wanted)
  for (const [i, pair] of pairs.entries())
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new ValueError(container, `entry ${i} is ${kindOf(pair)}, but must be [key, value]`)
  return pairs
}

/**
 * Modules or parameters by key, in insertion order. A replaced or deleted entry is no longer part of the model, as in a
 * Sequential.
 */
abstract class Dictionary<V extends Module | Parameter, T extends Table<V>> extends Module {
  readonly #entries = new Map<string, V>()

  /** `entries` is an object, a Map, or pairs of key and entry. */
  constructor(entries: T | Iterable<readonly [keyof T & string, T[keyof T & string]]> = {} as T) {
    super()
    for (const [key, value] of pairsOf<unknown>(this.constructor.name, entries)) this.#put(key, value)
  }

  /** Returns the value if it can be an entry, else throws ValueError. */
  protected abstract admit(entry: string, value: unknown): V

  /** The number of entries. */
  get size(): number {
    return this.#entries.size
  }

  /** The entry under a key. Throws ValueError if there is none, as `d[key]` throws in PyTorch. */
  get<K extends keyof T & string>(key: K): T[K] {
    const found = this.#entries.get(key)
    if (found === undefined)
      throw new ValueError(
        `${this.constructor.name}.get`,
        `there is no key ${shown(key)}; the keys are ${shown([...this.#entries.keys()])}`,
      )
    return found as unknown as T[K]
  }

  /** Sets the entry of a key. A key that exists keeps its place. */
  set<K extends keyof T & string>(key: K, value: T[K]): this {
    return this.#put(key, value)
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** Removes the entry of a key. Returns false if there is none. */
  delete(key: keyof T & string): boolean {
    return this.#entries.delete(key)
  }

  *keys(): Generator<keyof T & string> {
    yield* this.#entries.keys() as Iterable<keyof T & string>
  }

  *values(): Generator<T[keyof T & string]> {
    yield* this.#entries.values() as Iterable<T[keyof T & string]>
  }

  *entries(): Generator<[key: keyof T & string, value: T[keyof T & string]]> {
    yield* this.#entries.entries() as Iterable<[keyof T & string, T[keyof T & string]]>
  }

  [Symbol.iterator](): Generator<[key: keyof T & string, value: T[keyof T & string]]> {
    return this.entries()
  }

  override visitOwn(
    onTensor: OnTensor | null,
    onHolder: OnHolder | null,
    onGenerator: OnGenerator | null = null,
  ): void {
    super.visitOwn(onTensor, onHolder, onGenerator)
    for (const [key, value] of this.#entries) visitEntry(key, value, onTensor, onHolder)
  }

  override exchangeOwn(others: ReadonlyMap<Tensor, Tensor>): void {
    super.exchangeOwn(others)
    for (const [key, value] of this.#entries)
      if (value instanceof Parameter) this.#entries.set(key, (others.get(value) ?? value) as V)
  }

  /** Throws, because a container is not a step of a computation; use its entries. */
  forward(): never {
    throw new ValueError(this.constructor.name, 'has no forward; get an entry by its key, and call that')
  }

  #put(key: string, value: unknown): this {
    const { name } = this.constructor
    if (typeof key !== 'string' || key === '' || key.includes('.'))
      throw new ValueError(
        name,
        `the key is ${shown(key)}, but must be a text, not empty and without dots, because it is part of names in a state`,
      )
    const admitted = this.admit(`entry '${key}'`, value)
    checkOutside(this, `entry '${key}'`, admitted)
    this.#entries.set(key, admitted)
    return this
  }
}

/**
 * Modules by key, whose parameters belong to the module that holds it: `new nn.ModuleDict({ a: new nn.Linear(2, 3) })`.
 * `get` knows the class of the keys given to the constructor; `nn.ModuleDict<{ [key: string]: nn.Linear }>` takes any
 * key. State names are the keys: `a.weight`.
 */
export class ModuleDict<T extends { readonly [key: string]: Module } = Table<Module>> extends Dictionary<Module, T> {
  protected override admit(entry: string, value: unknown): Module {
    checkModule(this.constructor.name, entry, value)
    return value
  }
}

/** Parameters by key, which belong to the module that holds it. State names are the keys. */
export class ParameterDict<T extends { readonly [key: string]: Parameter } = Table<Parameter>> extends Dictionary<
  Parameter,
  T
> {
  protected override admit(entry: string, value: unknown): Parameter {
    checkParameter(this.constructor.name, entry, value)
    return value
  }

  override extraRepr(): string {
    return shapes(this.entries())
  }
}

/** A list of parameters, which belong to the module that holds it. State names are '0', '1', ... */
export class ParameterList extends Sequence<Parameter> {
  constructor(parameters: Iterable<Parameter> = []) {
    super()
    this.extend(parameters)
  }

  protected override admit(entry: string, value: Parameter): Parameter {
    checkParameter(this.constructor.name, entry, value)
    return value
  }

  /** A list of the same parameters from one place up to another, as in `Array.slice`. */
  slice(start?: number, end?: number): ParameterList {
    return new ParameterList(this.between(start, end))
  }

  override extraRepr(): string {
    return shapes([...this].entries())
  }

  /** Throws, because a list is not a step of a computation; use its parameters. */
  forward(): never {
    throw new ValueError(this.constructor.name, 'has no forward; iterate over it and use its parameters')
  }
}

function shapes(parameters: Iterable<readonly [key: string | number, parameter: Parameter]>): string {
  return settings(Object.fromEntries([...parameters].map(([key, { sizes }]) => [key, formatShape(sizes)])))
}

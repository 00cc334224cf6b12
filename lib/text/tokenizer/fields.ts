/** Values of a JSON file of unknown origin. Each is checked when it is read. */
import { kindOf, shown, ValueError } from '../../core/errors.js'

/** A table of a file, with its place in it for errors. */
export class Fields {
  readonly #op: string
  readonly #path: string
  readonly #place: string
  readonly #table: { readonly [name: string]: unknown }

  constructor(op: string, path: string, value: unknown, place = '') {
    this.#op = op
    this.#path = path
    this.#place = place
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      this.fail(`is ${kindOf(value)}, but must be an object`)
    this.#table = value as { readonly [name: string]: unknown }
  }

  /** Throws ValueError about this table, or about one of its fields. */
  fail(why: string, name = ''): never {
    const place = [this.#place, name].filter((part) => part !== '').join('.')
    throw new ValueError(this.#op, `${this.#path}: ${place === '' ? 'its value' : place} ${why}`)
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined && this.raw(name) !== null
  }

  /** The value as it is. Only own properties count, because a file may name one `constructor`. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#table, name) ? this.#table[name] : undefined
  }

  entries(): readonly (readonly [name: string, value: unknown])[] {
    return Object.entries(this.#table)
  }

  text(name: string, otherwise?: string): string {
    const value = this.raw(name) ?? otherwise
    return typeof value === 'string' ? value : this.fail(`is ${kindOf(value)}, but must be a text`, name)
  }

  flag(name: string, otherwise?: boolean): boolean {
    const value = this.raw(name) ?? otherwise
    return typeof value === 'boolean' ? value : this.fail(`is ${kindOf(value)}, but must be true or false`, name)
  }

  /** An integer of at least 0. */
  count(name: string, otherwise?: number): number {
    const value = this.raw(name) ?? otherwise
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.fail(`is ${shown(value)}, but must be a whole number of at least 0`, name)
  }

  list(name: string): readonly unknown[] {
    const value = this.raw(name)
    return Array.isArray(value) ? value : this.fail(`is ${kindOf(value)}, but must be a list`, name)
  }

  table(name: string): Fields {
    return new Fields(this.#op, this.#path, this.raw(name), this.#within(name))
  }

  /** Null if the field is null or absent. */
  optional(name: string): Fields | null {
    return this.has(name) ? this.table(name) : null
  }

  tables(name: string): readonly Fields[] {
    return this.list(name).map((value, i) => new Fields(this.#op, this.#path, value, `${this.#within(name)}[${i}]`))
  }

  /** One of the given texts. */
  choice<const C extends string>(name: string, choices: readonly C[], otherwise?: C): C {
    const value = this.text(name, otherwise)
    const found = choices.find((choice) => choice === value)
    return found ?? this.fail(`is ${kindOf(value)}, but must be one of ${choices.join(', ')}`, name)
  }

  #within(name: string): string {
    return this.#place === '' ? name : `${this.#place}.${name}`
  }
}

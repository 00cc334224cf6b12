/** Labels of rows as numbers, and the names of the classes. */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { listOf } from '../../core/options.js'
import type { RowReader } from './read.js'

/**
 * The kind of the labels: one class each, any number of classes each, or a number each. In that order the objectives
 * `classification()`, `classification({ multiLabel: true })` and `regression()` learn them.
 */
export type LabelKind = 'class' | 'classes' | 'number'

export const labelKinds: readonly LabelKind[] = ['class', 'classes', 'number']

/** A label in a row: a class by name or index, true or false, a list of names, or one or several numbers. */
export type Label = string | number | boolean | readonly string[] | readonly number[]

/** Names in an order that does not depend on the order of the rows: numbers by value, others as text. */
export function ordered(names: Iterable<string>): string[] {
  const own = [...names]
  if (own.every((name) => /^-?\d{1,15}$/.test(name))) return own.sort((a, b) => Number(a) - Number(b))
  return own.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/** Throws unless they are distinct names. Undefined if they are left out. */
export function checkLabels(op: string, labels: readonly string[] | undefined): readonly string[] | undefined {
  if (labels === undefined) return undefined
  const own = listOf(op, 'labels', labels, 'a list of names')
  if (own.length === 0 || own.some((name) => typeof name !== 'string') || new Set(own).size !== own.length)
    throw new ValueError(op, `labels are ${shown(own)}, but must be names, at least one, and each once`)
  return own
}

/** A number for each name, while the names are still being found or once they are given. */
export class Names {
  readonly #op: string
  readonly #given: readonly string[] | undefined
  readonly #indices: Map<string, number>

  constructor(op: string, given: readonly string[] | undefined) {
    this.#op = op
    this.#given = given
    this.#indices = new Map(given?.map((name, i) => [name, i]))
  }

  /** Notes a name. Throws for a name that is not among the given ones. */
  see(reader: RowReader<unknown>, called: string, name: string): string {
    if (this.#given === undefined) this.#indices.set(name, -1)
    else if (!this.#indices.has(name))
      throw reader.error(
        `${called} is ${kindOf(name)}, but the labels are ${listed(this.#given)}; mend the row, or add it to labels`,
      )
    return name
  }

  /** All names in order, after which `indexOf` knows them. Throws if there is only one. */
  settle(what: string): readonly string[] {
    if (this.#given !== undefined) return this.#given
    const names = ordered(this.#indices.keys())
    if (names.length === 1)
      throw new ValueError(
        this.#op,
        `all ${what} have the label ${kindOf(names[0])}, and nothing can be learned from one class; add rows of other classes, or name all ` +
          "classes: labels: ['...', '...']",
      )
    for (const [i, name] of names.entries()) this.#indices.set(name, i)
    return names
  }

  indexOf(name: string): number {
    return this.#indices.get(name) as number
  }
}

/** Names for an error, which may leave some out. */
export function listed(names: readonly string[]): string {
  const more = names.length > 12 ? `, and ${names.length - 12} more` : ''
  return names.slice(0, 12).map(kindOf).join(', ') + more
}

/** A label as read, before names have numbers. */
export type ReadLabel = string | number | readonly string[] | Float32Array

/** Reads labels of one kind. If the kind is not given, the first label decides it. */
export class LabelReader {
  readonly #op: string
  readonly #given: readonly string[] | undefined
  readonly names: Names
  #kind: LabelKind | undefined
  /** Whether classes are given by index. Undefined before the first label. */
  #byIndex: boolean | undefined
  #most = -1
  #width: number | undefined
  readonly #seen = new Set<number>()

  constructor(op: string, kind: LabelKind | undefined, labels: readonly string[] | undefined) {
    this.#op = op
    this.#kind = kind
    this.#given = checkLabels(op, labels)
    this.names = new Names(op, this.#given)
    if (kind !== undefined && !labelKinds.includes(kind))
      throw new ValueError(
        op,
        `kind is ${shown(kind)}, but must be one of ${labelKinds.map((each) => `'${each}'`).join(', ')}`,
      )
    if (kind === 'number' && labels !== undefined)
      throw new ValueError(op, "labels name classes, but kind is 'number'; leave one of them out")
  }

  read(reader: RowReader<unknown>, called: string, value: unknown): ReadLabel {
    this.#kind ??= Array.isArray(value) ? 'classes' : 'class'
    if (this.#kind === 'number') return this.#numbers(reader, called, value)
    if (this.#kind === 'classes') {
      if (!Array.isArray(value) || !value.every((name) => typeof name === 'string'))
        throw reader.error(
          `${called} is ${kindOf(value)}, but must be a list of names, which may be empty, as in the rows before`,
        )
      return value.map((name: string) => this.names.see(reader, called, name))
    }
    return this.#class(reader, called, value)
  }

  #class(reader: RowReader<unknown>, called: string, value: unknown): string | number {
    const byIndex = typeof value === 'number'
    if (!byIndex && typeof value !== 'string' && typeof value !== 'boolean')
      throw reader.error(`${called} is ${kindOf(value)}, but must be the name or the index of a class`)
    this.#byIndex ??= byIndex
    if (byIndex !== this.#byIndex)
      throw reader.error(
        `${called} is ${kindOf(value)}, but rows before it have ${this.#byIndex ? 'indices' : 'names'} of classes; write all labels in one way`,
      )
    if (!byIndex) {
      if (value === '') throw reader.error(`${called} is empty; leave the row out, or mend it`)
      return this.names.see(reader, called, String(value))
    }
    if (!Number.isSafeInteger(value) || value < 0)
      throw reader.error(
        `${called} is ${value}, but must be the index of a class, from 0 on; if labels are numbers to predict, give kind: 'number'`,
      )
    if (this.#given !== undefined && value >= this.#given.length)
      throw reader.error(
        `${called} is ${value}, but the classes are 0 to ${this.#given.length - 1}: ${listed(this.#given)}`,
      )
    if (value >= mostClasses)
      throw reader.error(
        `${called} is ${value}, but a class has an index below ${mostClasses}; if labels are numbers to predict, give kind: 'number'`,
      )
    this.#most = Math.max(this.#most, value)
    this.#seen.add(value)
    return value
  }

  #numbers(reader: RowReader<unknown>, called: string, value: unknown): number | Float32Array {
    const list: readonly unknown[] =
      Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value as ArrayLike<unknown>) : [value]
    const wrong = list.find((each) => typeof each !== 'number' || !Number.isFinite(each))
    if (wrong !== undefined || list.length === 0)
      throw reader.error(
        `${called} is ${kindOf(list.length === 0 ? value : wrong)}, but must be a finite number, or a list of them`,
      )
    const width = list.length === 1 && !Array.isArray(value) && !ArrayBuffer.isView(value) ? 0 : list.length
    this.#width ??= width
    if (width !== this.#width)
      throw reader.error(
        `${called} has ${Math.max(1, width)} numbers, but rows before it have ${Math.max(1, this.#width)}; give each row as many`,
      )
    return width === 0 ? (list[0] as number) : Float32Array.from(list as readonly number[])
  }

  /** The names of the classes, or none for numbers. To be called after the last row and before `labelOf`. */
  settle(rows: number): readonly string[] {
    if (this.#kind === 'number' || this.#kind === undefined) return []
    if (this.#byIndex !== true) {
      const names = this.names.settle(`${rows} rows`)
      if (names.length > 0) return names
      throw new ValueError(this.#op, `none of the ${rows} rows has a label; name the classes: labels: ['...', '...']`)
    }
    if (this.#given !== undefined) return this.#given
    if (this.#seen.size === 1)
      throw new ValueError(
        this.#op,
        `all ${rows} rows have the label ${this.#most}, and nothing can be learned from one class; add rows of other classes, or name all ` +
          "classes: labels: ['...', '...']",
      )
    return Array.from({ length: this.#most + 1 }, (_, i) => String(i))
  }

  /** A label in the form for a batch: an index, a number, or numbers. */
  labelOf(label: ReadLabel, classes: number): number | Float32Array {
    if (typeof label === 'string') return this.names.indexOf(label)
    if (typeof label === 'number' || label instanceof Float32Array) return label
    const hot = new Float32Array(classes)
    for (const name of label) hot[this.names.indexOf(name)] = 1
    return hot
  }

  /** The dtype of one label for each row: integers for classes, floats for numbers. */
  get dtype(): 'int32' | 'float32' {
    return this.#kind === 'number' ? 'float32' : 'int32'
  }
}

/** More classes than any head has. A larger index must be a number with another meaning. */
const mostClasses = 2 ** 20

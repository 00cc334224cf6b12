/**
 * Totals that metrics add up on the host, in float64. Each part can be written down, and can add another one's numbers.
 */
import { fromBase64, toBase64 } from '../../core/base64.js'
import { ValueError } from '../../core/errors.js'

export interface Part {
  /** Its numbers, which suffice to add them to another part of the same kind. */
  dump(): Float64Array
  /** Adds the numbers that another part of the same kind has dumped. */
  take(numbers: Float64Array): void
}

/** The parts of a metric by name. */
export type Parts = { readonly [name: string]: Part }

/** Numbers in base64 of their bytes. This is exact, also for NaN and infinities, which JSON lacks. */
export function encode(numbers: Float64Array): string {
  return toBase64(numbers)
}

/** The numbers that `encode` wrote, or null for a text that it cannot have written. */
export function decode(text: unknown): Float64Array | null {
  if (typeof text !== 'string') return null
  const bytes = fromBase64(text)
  return bytes === null || bytes.length % 8 !== 0 ? null : new Float64Array(bytes.buffer)
}

/** Sums by index, as many as are written. */
export class Sums implements Part {
  values: Float64Array

  constructor(size = 0) {
    this.values = new Float64Array(size)
  }

  /** Makes room for at least this many. */
  grow(size: number): void {
    if (size <= this.values.length) return
    const longer = new Float64Array(size)
    longer.set(this.values)
    this.values = longer
  }

  add(index: number, value: number): void {
    ;(this.values[index] as number) += value
  }

  /** Adds each of the values, to the sums from `start` on. */
  addAll(values: Iterable<number>, start = 0): void {
    let index = start
    for (const value of values) this.add(index++, value)
  }

  get(index: number): number {
    return this.values[index] ?? 0
  }

  dump(): Float64Array {
    return this.values
  }

  take(numbers: Float64Array): void {
    this.grow(numbers.length)
    this.addAll(numbers)
  }
}

/** The largest of the given numbers. NaN once one of them was NaN, and -Infinity before any was given. */
export class Largest implements Part {
  value = Number.NEGATIVE_INFINITY

  dump(): Float64Array {
    return Float64Array.of(this.value)
  }

  take(numbers: Float64Array): void {
    for (const value of numbers) this.value = Math.max(this.value, value)
  }
}

/** All given numbers, in order: 8 bytes each, and up to as much again in reserve. */
export class Column implements Part {
  readonly #op: string
  readonly #limit: number
  #values = new Float64Array(0)
  length = 0

  /** Throws ValueError, in the name of `op`, beyond `limit` numbers. */
  constructor(op: string, limit: number) {
    this.#op = op
    this.#limit = limit
  }

  push(value: number): void {
    this.#reserve(1)
    this.#values[this.length++] = value
  }

  #reserve(more: number): void {
    const needed = this.length + more
    if (needed > this.#limit)
      throw new ValueError(
        this.#op,
        `a pass has more than ${this.#limit} numbers to keep, 8 bytes each; raise limit, or measure fewer rows`,
      )
    if (needed <= this.#values.length) return
    const longer = new Float64Array(Math.min(this.#limit, Math.max(needed, 2 * this.#values.length, 256)))
    longer.set(this.#values)
    this.#values = longer
  }

  dump(): Float64Array {
    return this.#values.subarray(0, this.length)
  }

  take(numbers: Float64Array): void {
    this.#reserve(numbers.length)
    this.#values.set(numbers, this.length)
    this.length += numbers.length
  }
}

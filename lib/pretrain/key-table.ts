/** Numbers under 64-bit keys, kept outside JavaScript's heap. */
import { askRoom } from '../core/room.js'

/** Entries are 12 bytes, and at least a third of the places are free, so that a search ends soon. */
const fullest = 2 / 3

/**
 * Numbers under keys of two 32-bit words. A key can have several numbers. Keys must be hashes, because their first word
 * chooses the place. An entry takes 18 to 36 bytes.
 */
export class KeyTable {
  #first: Uint32Array
  #second: Uint32Array
  /** One more than the number; 0 marks a free place. */
  #values: Uint32Array
  #mask: number
  #count = 0

  constructor(places = 1024) {
    this.#first = new Uint32Array(places)
    this.#second = new Uint32Array(places)
    this.#values = new Uint32Array(places)
    this.#mask = places - 1
  }

  get count(): number {
    return this.#count
  }

  /** Adds a number, unless the key already has `most`, because a search walks over all of them. */
  add(first: number, second: number, value: number, most = Number.POSITIVE_INFINITY): void {
    if (this.#count + 1 > fullest * (this.#mask + 1)) this.#grow()
    if (this.#put(first, second, value + 1, most)) this.#count++
  }

  /** The numbers under a key, in the order in which they were added. */
  *valuesOf(first: number, second: number): Generator<number, void, void> {
    for (let at = first & this.#mask; ; at = (at + 1) & this.#mask) {
      const value = this.#values[at] as number
      if (value === 0) return
      if (this.#first[at] === first && this.#second[at] === second) yield value - 1
    }
  }

  has(first: number, second: number): boolean {
    return this.valuesOf(first, second).next().done !== true
  }

  #put(first: number, second: number, value: number, most: number): boolean {
    let at = first & this.#mask
    for (let same = 0; this.#values[at] !== 0; at = (at + 1) & this.#mask)
      if (this.#first[at] === first && this.#second[at] === second && ++same >= most) return false
    this.#first[at] = first
    this.#second[at] = second
    this.#values[at] = value
    return true
  }

  /** Entries of one key keep their order, because the walk begins after a free place. */
  #grow(): void {
    const [firsts, seconds, values, places] = [this.#first, this.#second, this.#values, this.#mask + 1]
    askRoom(12 * 2 * places, 'prepare')
    this.#first = new Uint32Array(2 * places)
    this.#second = new Uint32Array(2 * places)
    this.#values = new Uint32Array(2 * places)
    this.#mask = 2 * places - 1
    const start = values.indexOf(0)
    for (let i = 1; i <= places; i++) {
      const at = (start + i) & (places - 1)
      const value = values[at] as number
      if (value !== 0) this.#put(firsts[at] as number, seconds[at] as number, value, Number.POSITIVE_INFINITY)
    }
  }
}

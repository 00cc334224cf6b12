/**
 * Text on its way through a tokenizer. Each unit knows the part of the original that it represents. Positions are
 * UTF-16 units. Changes affect them as in Hugging Face's `NormalizedString`, so that offsets agree.
 */

/**
 * A character of a new text: 0 if it replaces one, 1 if it is inserted after one, -n if n more after it are removed.
 */
export type Change = readonly [character: string, change: number]

export class Aligned {
  readonly text: string
  /** The part's beginning in the original, whatever was changed in the part since it was cut. */
  readonly origin: number
  /**
   * The beginning and the end of each unit in the original; null while the text is unchanged there, from `#base` on.
   */
  readonly #starts: ArrayLike<number> | null
  readonly #ends: ArrayLike<number>
  readonly #base: number

  private constructor(
    text: string,
    origin: number,
    base: number,
    starts: ArrayLike<number> | null,
    ends: ArrayLike<number>,
  ) {
    this.text = text
    this.origin = origin
    this.#base = base
    this.#starts = starts
    this.#ends = ends
  }

  static of(text: string): Aligned {
    return new Aligned(text, 0, 0, null, [])
  }

  /** The beginning of a unit's character in the original. */
  startOf(i: number): number {
    if (this.#starts !== null) return this.#starts[i] as number
    return this.#base + (i > 0 && isLow(this.text, i) ? i - 1 : i)
  }

  /** The end of a unit's character in the original. */
  endOf(i: number): number {
    if (this.#starts !== null) return this.#ends[i] as number
    return this.#base + (isLow(this.text, i + 1) ? i + 2 : i + 1)
  }

  slice(from: number, to: number): Aligned {
    if (from === 0 && to === this.text.length) {
      const origin = to > 0 ? this.startOf(0) : this.origin
      return origin === this.origin ? this : new Aligned(this.text, origin, this.#base, this.#starts, this.#ends)
    }
    const origin = from < to ? this.startOf(from) : this.origin + from
    if (this.#starts === null)
      return new Aligned(this.text.slice(from, to), origin, this.#base + from, null, this.#ends)
    const part = (list: ArrayLike<number>) => Array.prototype.slice.call(list, from, to) as number[]
    return new Aligned(this.text.slice(from, to), origin, 0, part(this.#starts), part(this.#ends))
  }

  /** The same places with other units, one for one. */
  replaced(text: string): Aligned {
    return new Aligned(text, this.origin, this.#base, this.#starts, this.#ends)
  }

  /**
   * A new text, given character by character, after the first `removed` characters are left out. A new character has
   * the place of the one that it replaces, or of the one after which it is inserted.
   */
  transform(changes: Iterable<Change>, removed = 0): Aligned {
    const points = [...this.text]
    const starts: number[] = []
    const ends: number[] = []
    let text = ''
    let [point, at] = [0, 0]
    const skip = (count: number) => {
      for (const end = Math.min(points.length, point + count); point < end; point++)
        at += (points[point] as string).length
    }
    skip(removed)
    for (const [character, change] of changes) {
      const unit = Math.min(change > 0 ? at - 1 : at, this.text.length - 1)
      const start = unit < 0 ? this.origin : this.startOf(unit)
      const end = unit < 0 ? this.origin : this.endOf(unit)
      if (change <= 0) skip(1 - change)
      text += character
      for (let i = 0; i < character.length; i++) {
        starts.push(start)
        ends.push(end)
      }
    }
    return new Aligned(text, this.origin, 0, starts, ends)
  }

  /** The text without unwanted characters. The others keep their places. */
  filter(keep: (character: string) => boolean): Aligned {
    const starts: number[] = []
    const ends: number[] = []
    let text = ''
    let at = 0
    for (const character of this.text) {
      if (keep(character)) {
        text += character
        for (let i = at; i < at + character.length; i++) {
          starts.push(this.startOf(i))
          ends.push(this.endOf(i))
        }
      }
      at += character.length
    }
    return text.length === this.text.length ? this : new Aligned(text, this.origin, 0, starts, ends)
  }

  /** Replaces each character by a text. All of a longer one represents the character. */
  map(change: (character: string) => string): Aligned {
    const changes: Change[] = []
    for (const character of this.text)
      [...change(character)].forEach((each, i) => {
        changes.push([each, i > 0 ? 1 : 0])
      })
    return this.transform(changes)
  }

  /** The text with another one before it, which represents the first character. Nothing is put before an empty text. */
  prepend(prefix: string): Aligned {
    if (this.text === '' || prefix === '') return this
    const { starts, ends } = this.#places()
    const [start, end] = [this.startOf(0), this.endOf(0)]
    const same = (place: number) => new Array<number>(prefix.length).fill(place)
    return new Aligned(prefix + this.text, this.origin, 0, [...same(start), ...starts], [...same(end), ...ends])
  }

  /** The text with another one after it, which represents the last character. */
  append(suffix: string): Aligned {
    if (this.text === '' || suffix === '') return this
    const { starts, ends } = this.#places()
    const last = this.text.length - 1
    for (let i = 0; i < suffix.length; i++) {
      starts.push(this.startOf(last))
      ends.push(this.endOf(last))
    }
    return new Aligned(this.text + suffix, this.origin, 0, starts, ends)
  }

  /** Replaces each match (`[from, to]`, in order) by a text, which represents the last character of the match. */
  replace(matches: Iterable<readonly [from: number, to: number]>, content: string): Aligned {
    const starts: number[] = []
    const ends: number[] = []
    let text = ''
    let last = 0
    const copy = (to: number) => {
      text += this.text.slice(last, to)
      for (let i = last; i < to; i++) {
        starts.push(this.startOf(i))
        ends.push(this.endOf(i))
      }
    }
    for (const [from, to] of matches) {
      copy(from)
      text += content
      const unit = to - 1
      for (let i = 0; i < content.length; i++) {
        starts.push(unit < 0 ? this.origin : this.startOf(unit))
        ends.push(unit < 0 ? this.origin : this.endOf(unit))
      }
      last = to
    }
    if (last === 0 && text === '') return this
    copy(this.text.length)
    return new Aligned(text, this.origin, 0, starts, ends)
  }

  #places(): { readonly starts: number[]; readonly ends: number[] } {
    const starts = new Array<number>(this.text.length)
    const ends = new Array<number>(this.text.length)
    for (let i = 0; i < starts.length; i++) {
      starts[i] = this.startOf(i)
      ends[i] = this.endOf(i)
    }
    return { starts, ends }
  }
}

/** Whether a unit is the second of a surrogate pair. Texts are well formed here. */
function isLow(text: string, i: number): boolean {
  const unit = text.charCodeAt(i)
  return unit >= 0xdc00 && unit <= 0xdfff
}

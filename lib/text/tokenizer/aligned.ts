/**
 * Text on its way through a tokenizer, each unit of which knows the part of the original that it stands for. Positions are UTF-16
 * units. What a change does to them follows Hugging Face's `NormalizedString`, so that offsets agree with theirs.
 */

/** A character of a new text: 0 where it replaces one, 1 where it is inserted after one, -n where n more after it go. */
export type Change = readonly [character: string, change: number]

export class Aligned {
  readonly text: string
  /** Where the part begins in the original, whatever was changed in it since it was cut. */
  readonly origin: number
  /** Where each unit begins and ends in the original; null while the text stands there as it is, from `#base` on. */
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

  /** Where a unit's character begins in the original. */
  startOf(i: number): number {
    if (this.#starts !== null) return this.#starts[i] as number
    return this.#base + (i > 0 && isLow(this.text, i) ? i - 1 : i)
  }

  /** Where a unit's character ends in the original. */
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
   * Another text, character by character, after the first `removed` characters were left out. A new character has the place of
   * the one that it replaces, or of the one before it where it is inserted.
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

  /** Without the characters that are not wanted; the others keep their places. */
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

  /** With another text for each character. A longer one stands for the character with all that it has. */
  map(change: (character: string) => string): Aligned {
    const changes: Change[] = []
    for (const character of this.text)
      [...change(character)].forEach((each, i) => {
        changes.push([each, i > 0 ? 1 : 0])
      })
    return this.transform(changes)
  }

  /** With a text before it, which stands for the first character. Nothing comes before an empty text. */
  prepend(prefix: string): Aligned {
    if (this.text === '' || prefix === '') return this
    const { starts, ends } = this.#places()
    const [start, end] = [this.startOf(0), this.endOf(0)]
    const same = (place: number) => new Array<number>(prefix.length).fill(place)
    return new Aligned(prefix + this.text, this.origin, 0, [...same(start), ...starts], [...same(end), ...ends])
  }

  /** With a text after it, which stands for the last character. */
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

  /** With a text in the place of each match (`[from, to]`, in order). It stands for the last character of the match. */
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

/** Whether a unit is the second of a character of two. Texts are well formed here. */
function isLow(text: string, i: number): boolean {
  const unit = text.charCodeAt(i)
  return unit >= 0xdc00 && unit <= 0xdfff
}

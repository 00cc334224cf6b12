/** Values for which memory has no room, in a temporary file: appended in order, and read by index. */
import { ValueError } from '../core/errors.js'
import {
  closeSync,
  deserialize,
  join,
  openSync,
  pid,
  randomUUID,
  readSync,
  rmSync,
  serialize,
  tmpdir,
  writeSync,
} from '../io/system.js'

/** Closes the files of spills that nobody holds any more. */
const forgotten = new FinalizationRegistry<number>((file) => closeSync(file))

/**
 * A file of plain values (those that `structuredClone` accepts, without shared ones). Memory holds only their places.
 * The file loses its name once it is open, so that it disappears with the process, however that ends.
 */
export class Spill {
  readonly #op: string
  readonly #file: number
  readonly #folder: string
  /** The end of each value, in bytes. The list is longer than needed, so that it need not grow with each value. */
  #ends = new Float64Array(1024)
  #count = 0

  /** Throws ValueError if no file can be made in the temporary folder. */
  constructor(op: string) {
    this.#op = op
    this.#folder = tmpdir()
    const path = join(this.#folder, `firesteel-${pid}-${randomUUID()}`)
    try {
      this.#file = openSync(path, 'wx+', 0o600)
      rmSync(path)
    } catch (error) {
      throw this.#refusal(error)
    }
    forgotten.register(this, this.#file)
  }

  get length(): number {
    return this.#count
  }

  /** Adds values after the others. Throws ValueError if the disk has no room for them. */
  append(values: readonly unknown[]): void {
    const pieces = values.map((value) => serialize(value))
    let end = this.#end
    const from = end
    for (const { length } of pieces) {
      if (this.#count === this.#ends.length) {
        const grown = new Float64Array(2 * this.#count)
        grown.set(this.#ends)
        this.#ends = grown
      }
      end += length
      this.#ends[this.#count++] = end
    }
    const bytes = new Uint8Array(end - from)
    let at = 0
    for (const piece of pieces) {
      bytes.set(piece, at)
      at += piece.length
    }
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#file, bytes, done, bytes.length - done, from + done)
    } catch (error) {
      throw this.#refusal(error)
    }
  }

  /** The value at an existing index, a new object at each call. */
  at(index: number): unknown {
    const from = index === 0 ? 0 : (this.#ends[index - 1] as number)
    const bytes = new Uint8Array((this.#ends[index] as number) - from)
    for (let done = 0; done < bytes.length; ) {
      const read = readSync(this.#file, bytes, done, bytes.length - done, from + done)
      if (read === 0) throw new ValueError(this.#op, `the temporary file of rows in ${this.#folder} was shortened`)
      done += read
    }
    return deserialize(bytes)
  }

  get #end(): number {
    return this.#count === 0 ? 0 : (this.#ends[this.#count - 1] as number)
  }

  #refusal(error: unknown): ValueError {
    const { code, message } = error as NodeJS.ErrnoException
    return new ValueError(
      this.#op,
      `rows that should not stay in memory cannot be written to ${this.#folder}: ${code === 'ENOSPC' ? 'the disk is full' : message}; make ` +
        'room there, or set TMPDIR to another folder',
    )
  }
}

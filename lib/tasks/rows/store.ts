/** Rows in tokens while they are read: in memory, and from a number of bytes on in a temporary file. */
import { ValueError } from '../../core/errors.js'
import { environment, inNode } from '../../core/host.js'
import { Spill } from '../../data/spill.js'

/** Rows by index. An array is one. */
export interface RowList<R> {
  readonly length: number
  /** The row at an index; undefined where there is none. */
  at(index: number): R | undefined
}

const variable = 'FIRESTEEL_ROWS_MEMORY'
const megabyte = 2 ** 20

/** Bytes of rows that are held in memory: a half of a GiB, or as the environment says, in MiB. */
function mostBytes(op: string): number {
  const text = environment()[variable]
  if (text === undefined || text === '') return 512 * megabyte
  if (!/^\d{1,9}$/.test(text))
    throw new ValueError(op, `${variable} is '${text}', but must be a whole number of MiB, from 0 on`)
  return Number(text) * megabyte
}

/** The bytes of an object and its properties without their elements, about. */
const objectBytes = 96

/** Bytes that a value takes in memory, about. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return 2 * value.length + 16
  if (typeof value !== 'object' || value === null) return 8
  if (ArrayBuffer.isView(value)) return value.byteLength + objectBytes
  return Object.values(value).reduce<number>((sum, part) => sum + bytesOf(part), objectBytes)
}

/** Bytes of rows that are written at once. */
const pieceBytes = megabyte

/**
 * Rows that are added one by one, and read by index with the same bits. Up to `most` bytes stay in memory. The row that
 * exceeds this moves all rows to a temporary file; memory then holds only their places. A browser has no files, and
 * keeps all rows in memory.
 */
export class RowStore<R> {
  readonly #op: string
  readonly #most: number
  /** All rows, or those behind the ones in the file. */
  #held: R[] = []
  #bytes = 0
  #spill: Spill | null = null

  constructor(op: string, most = inNode ? mostBytes(op) : Number.POSITIVE_INFINITY) {
    this.#op = op
    this.#most = most
  }

  push(row: R): void {
    this.#held.push(row)
    this.#bytes += bytesOf(row)
    if (this.#bytes <= (this.#spill === null ? this.#most : pieceBytes)) return
    this.#spill ??= new Spill(this.#op)
    // Rows are written in pieces, because those of the first time may take half of the memory, and their bytes as much
    // again.
    for (let from = 0; from < this.#held.length; from += 1024) this.#spill.append(this.#held.slice(from, from + 1024))
    this.#held = []
    this.#bytes = 0
  }

  /** Whether rows are in a file. */
  get isSpilled(): boolean {
    return this.#spill !== null
  }

  /** The rows so far, each as `made` gives it when it is asked for. */
  list<T>(made: (row: R) => T): RowList<T> {
    const [spill, held] = [this.#spill, this.#held]
    const written = spill?.length ?? 0
    const length = written + held.length
    return {
      length,
      at: (index) => {
        if (!(index >= 0 && index < length)) return undefined
        return made(index < written ? ((spill as Spill).at(index) as R) : (held[index - written] as R))
      },
    }
  }
}

/** The row as it was read. */
export const asRead = <R>(row: R): R => row

/** The texts that were kept so far, and the search for repetitions of them. */
import type { AppendedFile } from './append.js'
import { KeyTable } from './key-table.js'
import { bandKey, bands, likenessOf, signatureLength, signatureOf } from './likeness.js'

/** The duplicates that are left out. */
export type Deduplication = 'none' | 'exact' | 'near'

/**
 * The most texts with which a text is compared. More texts share a band with it only if they are similar, but not
 * enough.
 */
const mostCompared = 100

/** The most texts under one band. Others are found by their other bands. */
const mostInBand = 1000

/** The number of texts read at a time when the tables are rebuilt. */
const textsRead = 1024

/** The result of looking for a text. */
export interface Look {
  readonly digest: Uint32Array
  readonly signature: Uint32Array | null
  readonly duplicate: 'exact' | 'near' | null
}

/**
 * This keeps the key of each text's digest. For near duplicates it also keeps 20 bands in tables (about 400 bytes), and
 * the text's signature in a file. The tables are rebuilt from the file after a kill. Exact duplicates are found by 64
 * bits of SHA-256.
 */
export class KeptTexts {
  readonly #near: boolean
  readonly #similarity: number
  readonly #file: AppendedFile
  readonly #recordWords: number
  readonly #digests = new KeyTable()
  readonly #bands = new KeyTable()
  readonly #other = new Uint32Array(signatureLength)
  #count = 0
  /** The number of texts that were not compared with all texts that share a band with them. */
  notCompared = 0

  constructor(mode: Exclude<Deduplication, 'none'>, similarity: number, file: AppendedFile) {
    this.#near = mode === 'near'
    this.#similarity = similarity
    this.#file = file
    this.#recordWords = 2 + (this.#near ? signatureLength : 0)
    this.#rebuild()
  }

  #rebuild(): void {
    const count = this.#file.length / (4 * this.#recordWords)
    for (let from = 0; from < count; from += textsRead) {
      const texts = Math.min(textsRead, count - from)
      const records = new Uint32Array(texts * this.#recordWords)
      this.#file.read(from * 4 * this.#recordWords, records)
      for (let i = 0; i < texts; i++) {
        const record = records.subarray(i * this.#recordWords, (i + 1) * this.#recordWords)
        this.#enter(record, this.#near && hasWords(record.subarray(2)) ? record.subarray(2) : null)
      }
    }
  }

  #enter(digest: Uint32Array, signature: Uint32Array | null): void {
    this.#digests.add(digest[0] as number, digest[1] as number, this.#count)
    if (signature !== null)
      for (let band = 0; band < bands; band++) this.#bands.add(...bandKey(signature, band), this.#count, mostInBand)
    this.#count++
  }

  look(text: string, digest: Uint32Array): Look {
    if (this.#digests.has(digest[0] as number, digest[1] as number))
      return { digest, signature: null, duplicate: 'exact' }
    const signature = this.#near ? signatureOf(text) : null
    return { digest, signature, duplicate: signature !== null && this.#isNear(signature) ? 'near' : null }
  }

  /**
   * Texts that share the most bands are compared first, because texts that are similar enough share five on average.
   */
  #isNear(signature: Uint32Array): boolean {
    const shared = new Map<number, number>()
    let isFull = false
    for (let band = 0; band < bands; band++) {
      let found = 0
      for (const other of this.#bands.valuesOf(...bandKey(signature, band))) {
        shared.set(other, (shared.get(other) ?? 0) + 1)
        found++
      }
      if (found === mostInBand) isFull = true
    }
    const candidates = [...shared].sort(([a, n], [b, m]) => m - n || a - b)
    for (const [other] of candidates.slice(0, mostCompared)) {
      this.#file.read(4 * (other * this.#recordWords + 2), this.#other)
      if (likenessOf(signature, this.#other) >= this.#similarity) return true
    }
    if (isFull || candidates.length > mostCompared) this.notCompared++
    return false
  }

  /** Keeps a text that was searched for. */
  add({ digest, signature }: Look): void {
    const record = new Uint32Array(this.#recordWords)
    record.set(digest.subarray(0, 2))
    if (signature !== null) record.set(signature, 2)
    this.#file.append(record)
    this.#enter(digest, signature)
  }
}

/** A text without words has a signature of zeros in the file, which no text with words has. */
function hasWords(signature: Uint32Array): boolean {
  return signature.some((value) => value !== 0)
}

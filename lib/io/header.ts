/**
 * The header of a safetensors file, which is a JSON object of a fixed form. A parser for only that form reads it.
 * `JSON.parse` will not do, because it accepts repeated names, which the format forbids, and because a few megabytes of
 * `[[[[` or `{},{}` make it fill the heap. Memory here grows only with tensors and names.
 *
 * Rules: https://huggingface.co/docs/safetensors and, where the text is silent, its reference implementation.
 */

/** Bits of an element of each dtype of the format. */
export const formatBits = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  I64: 64,
  I32: 32,
  U8: 8,
  BOOL: 8,
  C64: 64,
  U64: 64,
  U32: 32,
  I16: 16,
  U16: 16,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
} as const satisfies { readonly [dtype: string]: number }

export type FormatDType = keyof typeof formatBits

/**
 * A tensor of the file. `from` and `to` are bytes, counted from the end of the header. The dtype may be from a later
 * version of the format. The other tensors can then be read all the same.
 */
export interface Entry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly from: number
  readonly to: number
}

export interface Header {
  readonly tensors: ReadonlyMap<string, Entry>
  readonly metadata: ReadonlyMap<string, string>
}

/** The reference implementation's limit. */
export const maxHeaderBytes = 100_000_000

/**
 * The most tensors, and the most entries of the metadata. The largest models have about 100,000 tensors in all of their
 * files.
 */
const maxEntries = 2 ** 20

/** The most dimensions, as in NumPy. */
const maxRank = 64

const quote = 0x22
const backslash = 0x5c
const [zero, nine] = [0x30, 0x39]

/** A name in a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name)
}

/** Reads and checks the header of a file whose tensors have `dataBytes` bytes together. `fail` receives the fault. */
export function parseHeader(bytes: Uint8Array, dataBytes: number, fail: (why: string) => never): Header {
  const header = new HeaderParser(bytes, fail).parse()
  checkLayout(header.tensors, dataBytes, fail)
  return header
}

class HeaderParser {
  readonly #bytes: Uint8Array
  readonly #fail: (why: string) => never
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #at = 0

  constructor(bytes: Uint8Array, fail: (why: string) => never) {
    this.#bytes = bytes
    this.#fail = fail
  }

  parse(): Header {
    const tensors = new Map<string, Entry>()
    let metadata: Map<string, string> | null = null
    if (this.#bytes[0] !== 0x7b) this.#refuse('does not begin with {')
    this.#object((name) => {
      if (name === '__metadata__') {
        if (metadata) this.#refuse('has __metadata__ twice')
        metadata = this.#texts()
        return
      }
      if (tensors.has(name)) this.#refuse(`has the name ${quoted(name)} twice`)
      if (tensors.size === maxEntries) this.#refuse(`has more than ${maxEntries} tensors`)
      tensors.set(name, this.#entry(name))
    })
    if (this.#next() !== undefined) this.#refuse('goes on after its end')
    return { tensors, metadata: metadata ?? new Map() }
  }

  #texts(): Map<string, string> {
    const texts = new Map<string, string>()
    this.#object((key) => {
      if (texts.has(key)) this.#refuse(`has the key ${quoted(key)} of __metadata__ twice`)
      if (texts.size === maxEntries) this.#refuse(`has more than ${maxEntries} entries of __metadata__`)
      texts.set(
        key,
        this.#string(() => `__metadata__ may hold only texts, but ${quoted(key)} is not one`),
      )
    })
    return texts
  }

  #entry(name: string): Entry {
    let dtype: string | null = null
    let shape: number[] | null = null
    let offsets: number[] | null = null
    this.#object((field) => {
      const twice = () => this.#refuse(`has ${quoted(field)} of ${quoted(name)} twice`)
      if (field === 'dtype') {
        if (dtype !== null) twice()
        dtype = this.#string(() => `the dtype of ${quoted(name)} is not a text`)
      } else if (field === 'shape') {
        if (shape) twice()
        shape = this.#numbers(maxRank, () => `the shape of ${quoted(name)}`)
      } else if (field === 'data_offsets') {
        if (offsets) twice()
        offsets = this.#numbers(2, () => `data_offsets of ${quoted(name)}`)
      } else this.#refuse(`has ${quoted(field)} in ${quoted(name)}, but a tensor has dtype, shape and data_offsets`)
    })
    // They were assigned in closures, which TypeScript does not see.
    const found = { dtype, shape, offsets } as {
      dtype: string | null
      shape: number[] | null
      offsets: number[] | null
    }
    if (found.dtype === null || !found.shape || !found.offsets)
      return this.#refuse(`lacks dtype, shape or data_offsets of ${quoted(name)}`)
    const [from, to] = found.offsets
    if (from === undefined || to === undefined)
      return this.#refuse(`does not have two numbers in data_offsets of ${quoted(name)}`)
    return { dtype: found.dtype, shape: found.shape, from, to }
  }

  /** `{"key": value, ...}`; `member` reads the value. */
  #object(member: (key: string) => void): void {
    this.#expect('{')
    if (this.#take('}')) return
    do {
      const key = this.#string(() => 'expected a name')
      this.#expect(':')
      member(key)
    } while (this.#take(','))
    this.#expect('}')
  }

  #numbers(most: number, what: () => string): number[] {
    const numbers: number[] = []
    this.#expect('[')
    if (this.#take(']')) return numbers
    do {
      if (numbers.length === most) this.#refuse(`has more than ${most} numbers in ${what()}`)
      numbers.push(this.#number(what))
    } while (this.#take(','))
    this.#expect(']')
    return numbers
  }

  #number(what: () => string): number {
    let digit = this.#next()
    const start = this.#at
    let value = 0
    while (digit !== undefined && digit >= zero && digit <= nine) {
      value = 10 * value + (digit - zero)
      digit = this.#bytes[++this.#at]
    }
    const digits = this.#at - start
    if (digits === 0 || (digits > 1 && this.#bytes[start] === zero) || !Number.isSafeInteger(value))
      this.#refuse(`has something other than an integer from 0 to 2^53 - 1 in ${what()}`)
    return value
  }

  #string(otherwise: () => string): string {
    if (this.#next() !== quote) this.#refuse(`is wrong: ${otherwise()}`)
    const start = ++this.#at
    let escaped = false
    for (let byte = this.#bytes[start]; byte !== quote; byte = this.#bytes[++this.#at]) {
      if (byte === undefined) return this.#refuse('ends within a text')
      if (byte < 0x20) this.#refuse('has a control character in a text')
      if (byte !== backslash) continue
      escaped = true
      this.#at++
    }
    const end = this.#at++
    try {
      const text = this.#decoder.decode(this.#bytes.subarray(start, end))
      if (!escaped) return text
      const value = JSON.parse(`"${text}"`) as string
      if (isWellFormed(value)) return value
    } catch {
      // The error below is the same for half a surrogate pair.
    }
    this.#at = start
    return this.#refuse('has a text that is not UTF-8, or an invalid escape')
  }

  /** The next byte that is no white space. */
  #next(): number | undefined {
    let byte = this.#bytes[this.#at]
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = this.#bytes[++this.#at]
    return byte
  }

  #take(character: string): boolean {
    if (this.#next() !== character.charCodeAt(0)) return false
    this.#at++
    return true
  }

  #expect(character: string): void {
    if (!this.#take(character)) this.#refuse(`is not JSON in the format's form: expected ${character}`)
  }

  #refuse(why: string): never {
    return this.#fail(`its header ${why} (at byte ${this.#at} of ${this.#bytes.length})`)
  }
}

function isFormatDType(dtype: string): dtype is FormatDType {
  return Object.hasOwn(formatBits, dtype)
}

/** Whether no half of a surrogate pair is alone, which UTF-8 cannot encode. */
export function isWellFormed(text: string): boolean {
  return !/[\ud800-\udfff]/u.test(text)
}

/** Bytes of a tensor, or null if that is not an integer, or is too large to be exact. */
export function byteCount(dtype: FormatDType, shape: readonly number[]): number | null {
  let bits: number = shape.includes(0) ? 0 : formatBits[dtype]
  if (bits > 0) for (const size of shape) bits *= size
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : null
}

/** Checks that every byte of the data belongs to one tensor. */
function checkLayout(tensors: ReadonlyMap<string, Entry>, dataBytes: number, fail: (why: string) => never): void {
  const entries = [...tensors].sort(([, a], [, b]) => a.from - b.from || a.to - b.to)
  let end = 0
  let last = ''
  for (const [name, { dtype, shape, from, to }] of entries) {
    // An unknown dtype says nothing of sizes, so only the place of the bytes can be checked.
    if (isFormatDType(dtype) ? to - from !== byteCount(dtype, shape) : to < from)
      fail(
        `${quoted(name)} of shape [${shape.join(', ')}] and dtype ${dtype.slice(0, 20)} does not fill its bytes [${from}, ${to}]`,
      )
    if (from < end) fail(`${quoted(name)} and ${quoted(last)} share bytes from ${from} on`)
    if (from > end) fail(`the bytes from ${end} to ${from} belong to no tensor`)
    end = to
    last = name
  }
  if (end > dataBytes) fail(`it is cut off: its tensors have ${end} bytes, but only ${dataBytes} are there`)
  if (end < dataBytes) fail(`the bytes from ${end} to ${dataBytes} belong to no tensor`)
}

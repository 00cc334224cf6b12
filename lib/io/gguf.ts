/**
 * GGUF, llama.cpp's format: metadata, descriptions of tensors, then their bytes, each at a multiple of the alignment.
 * It is read lazily, and a tensor of an unknown dtype fails only when it is read. It is written in float32, float16 and
 * q8_0.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian)
 */
import { type BlockDType, dtypes } from '../core/dtype.js'
import { formatShape, kindOf, ValueError } from '../core/errors.js'
import { type Chunks, writeAtomically } from './atomic.js'
import { isWellFormed, quoted } from './header.js'
import { InputFile } from './input.js'
import {
  type FileArray,
  type FileDType,
  type FileTensor,
  fileArrays,
  isFileDType,
  type SourceSpec,
  type TensorSource,
} from './source.js'

/** Values of the metadata. A list has entries of one kind. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[]

/** Dtypes of the format by number. An unknown one is named by its number. */
const tensorTypes: { readonly [type: number]: FileDType } = {
  0: 'F32',
  1: 'F16',
  2: 'q4_0',
  8: 'q8_0',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  30: 'BF16',
}

const magic = 0x46554747
const mostDims = 4
const mostTensors = 2 ** 20
/** The most bytes of the header. Metadata hold a vocabulary, and the largest have about 20 MB. */
const mostHeaderBytes = 2 ** 28
const deepest = 8

interface Entry {
  readonly dtype: string
  readonly shape: readonly number[]
  /** The place of its first byte in the file. */
  readonly from: number
  readonly bytes: number
}

function isBlock(dtype: FileDType): dtype is BlockDType {
  return dtype === 'q8_0' || dtype === 'q4_0' || dtype === 'nf4'
}

/** Bytes of a tensor, or null if its last dimension does not consist of whole blocks. */
function bytesOf(dtype: FileDType, shape: readonly number[]): number | null {
  const count = shape.reduce((product, size) => product * size, 1)
  if (!isBlock(dtype)) return count * fileArrays[dtype].BYTES_PER_ELEMENT
  const { bytes, block } = dtypes[dtype]
  return (shape.at(-1) ?? 1) % block === 0 ? count * bytes : null
}

export class GgufFile implements TensorSource {
  readonly names: readonly string[]
  /** All metadata, by their names: `general.architecture`, `llama.block_count`, ... */
  readonly values: ReadonlyMap<string, GgufValue>
  readonly #file: InputFile
  readonly #tensors: ReadonlyMap<string, Entry>

  private constructor(file: InputFile, values: ReadonlyMap<string, GgufValue>, tensors: ReadonlyMap<string, Entry>) {
    this.#file = file
    this.#tensors = tensors
    this.values = values
    this.names = [...tensors.keys()]
  }

  /** Opens a file for `op`, which errors name. Throws a ValueError that tells the file's fault. */
  static async open(path: string, op = 'load'): Promise<GgufFile> {
    const file = await InputFile.open(op, path)
    const fail = (why: string): never => {
      throw new ValueError(op, `${path} cannot be read as a GGUF file: ${why}`)
    }
    try {
      // The length of the header is unknown, so the file is read until it ends.
      for (let most = 2 ** 20; ; most *= 4) {
        const header = new Header(await file.head(Math.min(most, mostHeaderBytes)), file.size, fail).read()
        if (header !== null) return new GgufFile(file, header.values, header.tensors)
        if (most >= Math.min(file.size, mostHeaderBytes)) fail('it is cut off in its header')
      }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get path(): string {
    return this.#file.path
  }

  /** The texts of the metadata. */
  get metadata(): ReadonlyMap<string, string> {
    return new Map([...this.values].filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
  }

  spec(name: string): SourceSpec | undefined {
    const entry = this.#tensors.get(name)
    return entry && { dtype: entry.dtype, shape: entry.shape }
  }

  async read(name: string, into?: FileArray, from = 0): Promise<FileTensor> {
    const { what, dtype, shape, position, count } = this.#find(name, into, from)
    const data = into ?? (await this.#file.read(what, position, fileArrays[dtype], count))
    if (into !== undefined) await this.#file.fill(what, position, into)
    return { dtype, shape, data }
  }

  readSync(name: string, into: FileArray, from: number): FileTensor {
    const { what, dtype, shape, position } = this.#find(name, into, from)
    this.#file.fillSync(what, position, into)
    return { dtype, shape, data: into }
  }

  #find(name: string, into: FileArray | undefined, from: number) {
    const { op, path } = this.#file
    const entry = this.#tensors.get(name)
    if (entry === undefined) throw new ValueError(op, `${path} has no tensor ${quoted(name)}`)
    const { dtype, shape } = entry
    const what = `tensor ${quoted(name)} of shape ${formatShape(shape)}`
    if (!isFileDType(dtype))
      throw new ValueError(
        op,
        `${path}: ${what} has the GGML type ${dtype}, which cannot be loaded; quantise it to one of F32, F16, BF16, Q8_0, Q4_0`,
      )
    const size = fileArrays[dtype].BYTES_PER_ELEMENT
    const count = entry.bytes / size
    if (into !== undefined && !(from >= 0 && from + into.length <= count && into.BYTES_PER_ELEMENT === size))
      throw new ValueError(
        op,
        `${what} does not have ${into.length} elements of ${into.BYTES_PER_ELEMENT} bytes from ${from} on`,
      )
    return { what, dtype, shape, position: entry.from + from * size, count }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** Thrown if the bytes read so far end before the header does. */
class Short extends Error {}

/** Reads everything before the tensors' bytes. */
class Header {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #size: number
  readonly #fail: (why: string) => never
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  #at = 0

  constructor(bytes: Uint8Array, size: number, fail: (why: string) => never) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#size = size
    this.#fail = fail
  }

  /** Null if more bytes are needed. */
  read(): { readonly values: ReadonlyMap<string, GgufValue>; readonly tensors: ReadonlyMap<string, Entry> } | null {
    try {
      return this.#read()
    } catch (error) {
      if (error instanceof Short) return null
      throw error
    }
  }

  #read(): { readonly values: ReadonlyMap<string, GgufValue>; readonly tensors: ReadonlyMap<string, Entry> } {
    if (this.#bytes.length < 24 || this.#u32() !== magic) this.#fail('it does not begin with GGUF')
    const version = this.#u32()
    if (version !== 2 && version !== 3)
      this.#fail(`it has version ${version}, but must have version 2 or 3, little-endian`)
    const [tensorCount, valueCount] = [this.#count(24, 'tensors'), this.#count(12, 'metadata')]
    if (tensorCount > mostTensors) this.#fail(`it has ${tensorCount} tensors, but may have at most ${mostTensors}`)
    const values = new Map<string, GgufValue>()
    for (let i = 0; i < valueCount; i++) {
      const key = this.#text()
      if (values.has(key)) this.#fail(`it has the metadata ${quoted(key)} twice`)
      values.set(key, this.#value(this.#u32(), 0))
    }
    const listed = Array.from({ length: tensorCount }, () => this.#tensor())
    const alignment = values.get('general.alignment') ?? 32
    if (typeof alignment !== 'number' || alignment < 8 || alignment % 8 !== 0)
      return this.#fail('its general.alignment is not a multiple of 8')
    const start = Math.ceil(this.#at / alignment) * alignment
    const tensors = new Map<string, Entry>()
    for (const { name, type, shape, offset } of listed) {
      if (tensors.has(name)) this.#fail(`it has the tensor ${quoted(name)} twice`)
      tensors.set(name, this.#entry(name, type, shape, start + offset))
    }
    return { values, tensors }
  }

  #entry(name: string, type: number, shape: readonly number[], from: number): Entry {
    const dtype = tensorTypes[type]
    // The number of bytes of an unknown dtype is unknown.
    if (dtype === undefined) return { dtype: `${type}`, shape, from, bytes: 0 }
    const bytes = bytesOf(dtype, shape)
    if (bytes === null)
      return this.#fail(`${quoted(name)} of shape ${formatShape(shape)} does not consist of whole blocks of ${dtype}`)
    if (!(from + bytes <= this.#size))
      this.#fail(
        `it is cut off: ${quoted(name)} of shape ${formatShape(shape)} ends at ${from + bytes}, the file at ${this.#size}`,
      )
    return { dtype, shape, from, bytes }
  }

  #tensor() {
    const name = this.#text()
    const dims = this.#u32()
    if (dims > mostDims) this.#fail(`${quoted(name)} has ${dims} dimensions, but may have at most ${mostDims}`)
    // The fastest dimension comes first in the file.
    const shape = Array.from({ length: dims }, () => this.#u64()).reverse()
    if (!Number.isSafeInteger(shape.reduce((product, size) => product * size, 1)))
      this.#fail(`${quoted(name)} of shape ${formatShape(shape)} has more elements than can be counted`)
    return { name, shape, type: this.#u32(), offset: this.#u64() }
  }

  #value(type: number, depth: number): GgufValue {
    switch (type) {
      case 0:
        return this.#take(1).getUint8(0)
      case 1:
        return this.#take(1).getInt8(0)
      case 2:
        return this.#take(2).getUint16(0, true)
      case 3:
        return this.#take(2).getInt16(0, true)
      case 4:
        return this.#u32()
      case 5:
        return this.#take(4).getInt32(0, true)
      case 6:
        return this.#take(4).getFloat32(0, true)
      case 7: {
        const flag = this.#take(1).getUint8(0)
        return flag > 1 ? this.#fail(`a boolean is ${flag}, but must be 0 or 1`) : flag === 1
      }
      case 8:
        return this.#text()
      case 9:
        return this.#list(depth)
      case 10:
        return plain(this.#take(8).getBigUint64(0, true))
      case 11:
        return plain(this.#take(8).getBigInt64(0, true))
      case 12:
        return this.#take(8).getFloat64(0, true)
    }
    return this.#fail(`its metadata have a value of type ${type}, which does not exist`)
  }

  #list(depth: number): GgufValue[] {
    if (depth >= deepest) return this.#fail(`its metadata nest lists more than ${deepest} deep`)
    const type = this.#u32()
    // An entry has at least one byte, so no list can be longer than the file.
    const count = this.#count(1, 'entries of a list')
    const list: GgufValue[] = []
    for (let i = 0; i < count; i++) list.push(this.#value(type, depth + 1))
    return list
  }

  #take(bytes: number): DataView {
    const at = this.#at
    if (at + bytes > this.#bytes.length) throw new Short()
    this.#at += bytes
    return new DataView(this.#view.buffer, this.#view.byteOffset + at, bytes)
  }

  #u32(): number {
    return this.#take(4).getUint32(0, true)
  }

  #u64(): number {
    return Number(this.#take(8).getBigUint64(0, true))
  }

  /** A number of things with at least this many bytes each. */
  #count(least: number, what: string): number {
    const count = this.#u64()
    if (count * least > this.#bytes.length - this.#at)
      this.#fail(
        `it is cut off: it would have ${count} ${what}, but only ${this.#bytes.length - this.#at} bytes are left`,
      )
    return count
  }

  #text(): string {
    const length = this.#count(1, 'bytes of a text')
    const view = this.#take(length)
    // Pieces of a vocabulary may not be UTF-8. They then get the replacement character.
    return this.#decoder.decode(new Uint8Array(view.buffer, view.byteOffset, length))
  }
}

function plain(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

/** A tensor to write. 16-bit floats are given as their bits, and blocks as their bytes, as in `FileTensor`. */
export interface GgufTensor {
  readonly dtype: FileDType
  readonly shape: readonly number[]
  readonly data: FileArray
}

const writtenTypes: { readonly [D in FileDType]?: number } = { F32: 0, F16: 1, q8_0: 8 }

class Writer {
  readonly #parts: Uint8Array[] = []
  size = 0

  add(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.size += bytes.length
  }

  #number(bytes: number, write: (view: DataView) => void): void {
    const array = new Uint8Array(bytes)
    write(new DataView(array.buffer))
    this.add(array)
  }

  u32(value: number): void {
    this.#number(4, (view) => view.setUint32(0, value, true))
  }

  u64(value: number): void {
    this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true))
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value)
    this.u64(bytes.length)
    this.add(bytes)
  }

  /** The number of a value's type. Integers have 32 bits if they fit, and fractions are float32. */
  static typeOf(op: string, key: string, value: unknown): number {
    if (typeof value === 'string') return 8
    if (typeof value === 'boolean') return 7
    if (typeof value === 'bigint') return value < 0n ? 11 : 10
    if (Array.isArray(value)) return 9
    if (typeof value !== 'number' || Number.isNaN(value))
      throw new ValueError(
        op,
        `the metadata ${quoted(key)} is ${kindOf(value)}, but must be a number, text, boolean or list`,
      )
    if (!Number.isSafeInteger(value)) return 6
    if (value >= 0) return value < 2 ** 32 ? 4 : 10
    return value >= -(2 ** 31) ? 5 : 11
  }

  value(op: string, key: string, type: number, value: GgufValue): void {
    if (type === 8) this.text(value as string)
    else if (type === 7) this.add(Uint8Array.of(value === true ? 1 : 0))
    else if (type === 4) this.u32(value as number)
    else if (type === 5) this.#number(4, (view) => view.setInt32(0, value as number, true))
    else if (type === 6) this.#number(4, (view) => view.setFloat32(0, value as number, true))
    else if (type === 9) this.#list(op, key, value as readonly GgufValue[])
    else this.#number(8, (view) => view.setBigInt64(0, BigInt.asIntN(64, BigInt(value as bigint)), true))
  }

  #list(op: string, key: string, list: readonly GgufValue[]): void {
    const types = [...new Set(list.map((entry) => Writer.typeOf(op, key, entry)))]
    // Integers beside fractions become fractions.
    const type =
      types.length > 1 && types.every((each) => [4, 5, 6, 10, 11].includes(each))
        ? types.includes(6)
          ? 6
          : 11
        : types[0]
    if (types.length > 1 && type !== 6 && type !== 11)
      throw new ValueError(op, `the metadata ${quoted(key)} is a list of several kinds, but must be of one kind`)
    this.u32(type ?? 4)
    this.u64(list.length)
    for (const entry of list) this.value(op, key, type ?? 4, entry)
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#parts)
  }
}

const alignment = 32

/**
 * Writes a GGUF file, whole or not at all. Throws ValueError if a tensor has a dtype other than F32, F16 and q8_0, or
 * more than four dimensions, or if the format has no kind for one of the metadata.
 */
export async function writeGguf(
  path: string,
  tensors: ReadonlyMap<string, GgufTensor>,
  metadata: { readonly [key: string]: GgufValue } = {},
  op = 'writeGguf',
): Promise<void> {
  const header = new Writer()
  header.u32(magic)
  header.u32(3)
  header.u64(tensors.size)
  const values = Object.entries({ ...metadata, 'general.alignment': alignment })
  header.u64(values.length)
  for (const [key, value] of values) {
    if (!isWellFormed(key)) throw new ValueError(op, `the metadata ${quoted(key)} has a name that UTF-8 cannot hold`)
    const type = Writer.typeOf(op, key, value)
    header.text(key)
    header.u32(type)
    header.value(op, key, type, value)
  }
  const padding = (bytes: number) => Math.ceil(bytes / alignment) * alignment - bytes
  let offset = 0
  for (const [name, { dtype, shape, data }] of tensors) {
    const type = writtenTypes[dtype]
    if (type === undefined)
      throw new ValueError(
        op,
        `${quoted(name)} has dtype ${dtype}, but GGUF is written in ${Object.keys(writtenTypes).join(', ')}`,
      )
    const bytes = bytesOf(dtype, shape)
    if (shape.length > mostDims || bytes !== data.byteLength)
      throw new ValueError(
        op,
        `${quoted(name)} of shape ${formatShape(shape)} and ${data.byteLength} bytes cannot be written as ${dtype} with at most ${mostDims} dimensions`,
      )
    header.text(name)
    header.u32(shape.length)
    for (const size of [...shape].reverse()) header.u64(size)
    header.u32(type)
    header.u64(offset)
    offset += bytes + padding(bytes)
  }
  header.add(new Uint8Array(padding(header.size)))
  await writeAtomically(path, chunks(header, tensors, padding), op)
}

function* chunks(
  header: Writer,
  tensors: ReadonlyMap<string, GgufTensor>,
  padding: (bytes: number) => number,
): Extract<Chunks, Iterable<ArrayBufferView>> {
  yield header.bytes()
  for (const { data } of tensors.values()) {
    yield data
    yield new Uint8Array(padding(data.byteLength))
  }
}

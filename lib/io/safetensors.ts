/**
 * Safetensors files: an 8-byte length, a JSON header, then the tensors' bytes. This file reads and writes raw arrays,
 * and knows no tensors. Format: https://huggingface.co/docs/safetensors
 *
 * The format has no block dtypes. A tensor of a block dtype is stored as U8, and its last dimension counts bytes. The
 * metadata list such tensors under `firesteel.blocks`, a JSON list of [name, dtype].
 */
import type { FilePart } from '../core/device.js'
import { type BlockDType, blockDTypes, dtypes } from '../core/dtype.js'
import { formatShape, InternalError, ValueError } from '../core/errors.js'
import type { Chunks } from './atomic.js'
import {
  byteCount,
  type Entry,
  type FormatDType,
  formatBits,
  isWellFormed,
  maxHeaderBytes,
  parseHeader,
  quoted,
} from './header.js'
import { InputFile } from './input.js'
import { kindBytes, kindOf } from './kinds.js'
import {
  type FileArray,
  type FileDType,
  type FileTensor,
  fileArrays,
  isFileDType,
  type TensorSource,
} from './source.js'

/**
 * A file whose header was read and checked: no name occurs twice, and every byte of the data belongs to one tensor. A
 * tensor's bytes are read only on demand.
 */
export class SafetensorsFile implements TensorSource {
  readonly tensors: ReadonlyMap<string, Entry>
  readonly metadata: ReadonlyMap<string, string>
  readonly #file: InputFile
  readonly #dataStart: number

  private constructor(
    file: InputFile,
    dataStart: number,
    tensors: ReadonlyMap<string, Entry>,
    metadata: ReadonlyMap<string, string>,
  ) {
    this.#file = file
    this.#dataStart = dataStart
    this.tensors = tensors
    this.metadata = metadata
  }

  /**
   * Opens a file for `op`, which errors name. Throws a ValueError that tells what it is instead, or why it cannot be
   * read.
   */
  static async open(path: string, op = 'load'): Promise<SafetensorsFile> {
    const file = await InputFile.open(op, path)
    try {
      return await SafetensorsFile.#read(file)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  static async #read(file: InputFile): Promise<SafetensorsFile> {
    const { op, path, size } = file
    const fail = (why: string): never => {
      throw new ValueError(op, `${path} is not a safetensors file: ${why}`)
    }
    const start = await file.head(9)
    const length = start.length < 9 ? 0 : Number(new DataView(start.buffer).getBigUint64(0, true))
    if (start[8] !== 0x7b || length > maxHeaderBytes) {
      const kind = kindOf(await file.head(kindBytes))
      if (kind !== null) fail(`it is ${kind}`)
      if (size < 9) fail(`it has ${size} bytes`)
      fail(
        start[8] === 0x7b
          ? `its header would have ${length} bytes, but may have at most ${maxHeaderBytes}`
          : 'its header does not begin with {',
      )
    }
    if (length > size - 8) fail(`it is cut off: its header has ${length} bytes, but only ${size - 8} are there`)
    const header = await file.read('its header', 8, Uint8Array, length)
    const { tensors, metadata } = parseHeader(header, size - 8 - length, fail)
    return new SafetensorsFile(file, 8 + length, withBlocks(tensors, metadata, fail), metadata)
  }

  get path(): string {
    return this.#file.path
  }

  get names(): readonly string[] {
    return [...this.tensors.keys()]
  }

  spec(name: string): Entry | undefined {
    return this.tensors.get(name)
  }

  async read(name: string, into?: FileArray, from = 0): Promise<FileTensor> {
    const { what, dtype, shape, position, count } = this.#find(name, into, from)
    // Each tensor has its own array, which is aligned for its elements and freed by itself.
    const data = into ?? (await this.#file.read(what, position, fileArrays[dtype], count))
    if (into !== undefined) await this.#file.fill(what, position, into)
    if (dtype === 'BOOL') checkBooleans(this.#file, name, data as Uint8Array, from)
    return { dtype, shape, data }
  }

  readSync(name: string, into: FileArray, from: number): FileTensor {
    const { what, dtype, shape, position } = this.#find(name, into, from)
    this.#file.fillSync(what, position, into)
    if (dtype === 'BOOL') checkBooleans(this.#file, name, into as Uint8Array, from)
    return { dtype, shape, data: into }
  }

  lend<T>(name: string, from: number, count: number, load: (part: FilePart) => Promise<T>): Promise<T> | null {
    const { dtype, position, count: all } = this.#find(name, undefined, from)
    // Booleans must be checked.
    if (dtype === 'BOOL' || !(from >= 0 && from + count <= all)) return null
    const bytes = count * fileArrays[dtype].BYTES_PER_ELEMENT
    return this.#file.lend((file) => load({ file, position, bytes }))
  }

  /**
   * The place of the elements. Only here is it checked whether any array can hold them, because nobody may want them.
   */
  #find(name: string, into: FileArray | undefined, from: number) {
    const { op, path } = this.#file
    const entry = this.tensors.get(name)
    if (entry === undefined) throw new ValueError(op, `${path} has no tensor ${quoted(name)}`)
    const { dtype, shape } = entry
    const what = `tensor ${quoted(name)} of shape ${formatShape(shape)}`
    if (!isFileDType(dtype))
      throw new ValueError(
        op,
        `${path}: ${what} has dtype ${dtype.slice(0, 20)}, which cannot be loaded; write it as one of ${Object.keys(fileArrays).join(', ')}`,
      )
    const bytes = fileArrays[dtype].BYTES_PER_ELEMENT
    const count = (entry.to - entry.from) / bytes
    if (into !== undefined && !(from >= 0 && from + into.length <= count && into.BYTES_PER_ELEMENT === bytes))
      throw new ValueError(
        op,
        `${what} does not have ${into.length} elements of ${into.BYTES_PER_ELEMENT} bytes from ${from} on: it has ${count} of ${bytes}`,
      )
    return { what, dtype, shape, position: this.#dataStart + entry.from + from * bytes, count }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

function elementBytes(dtype: FileDType): number {
  return isBlocks(dtype) ? 1 : formatBits[dtype] / 8
}

const blocksKey = 'firesteel.blocks'

/** The tensors, with block tensors in elements instead of bytes, as the metadata say. */
function withBlocks(
  tensors: ReadonlyMap<string, Entry>,
  metadata: ReadonlyMap<string, string>,
  fail: (why: string) => never,
): ReadonlyMap<string, Entry> {
  const text = metadata.get(blocksKey)
  if (text === undefined) return tensors
  const all = new Map(tensors)
  for (const [name, dtype] of namedBlocks(text, fail)) {
    const entry = tensors.get(name)
    if (entry?.dtype !== 'U8')
      return fail(`its metadata say that ${quoted(name)} is ${dtype}, but it has no bytes of that name`)
    const shape = isBlocks(dtype) ? shapeOfBlocks(dtype, entry.shape) : entry.shape
    if (shape === null)
      return fail(`${quoted(name)} of ${formatShape(entry.shape)} bytes does not consist of whole blocks of ${dtype}`)
    // A dtype of a later version is an error only when the tensor is read.
    all.set(name, { ...entry, dtype, shape })
  }
  return all
}

function namedBlocks(text: string, fail: (why: string) => never): readonly (readonly [name: string, dtype: string])[] {
  let list: unknown
  try {
    list = JSON.parse(text)
  } catch {
    return fail(`its metadata ${blocksKey} are not JSON`)
  }
  const isPair = (pair: unknown) =>
    Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string')
  return Array.isArray(list) && list.every(isPair)
    ? list
    : fail(`its metadata ${blocksKey} are not a list of [name, dtype]`)
}

function isBlocks(dtype: string): dtype is BlockDType {
  return blockDTypes.some((block) => block === dtype)
}

/** The shape in elements for a shape in bytes, or null if it does not consist of whole blocks. */
function shapeOfBlocks(dtype: BlockDType, shape: readonly number[]): readonly number[] | null {
  const { bytes, block } = dtypes[dtype]
  const last = shape.at(-1)
  return last === undefined || last % (bytes * block) !== 0 ? null : [...shape.slice(0, -1), last / bytes]
}

/** The dtype and the shape in the format's terms. */
function asWritten({ dtype, shape }: ComingTensor): { readonly dtype: FormatDType; readonly shape: readonly number[] } {
  if (!isBlocks(dtype)) return { dtype, shape }
  return { dtype: 'U8', shape: [...shape.slice(0, -1), (shape.at(-1) as number) * dtypes[dtype].bytes] }
}

function checkBooleans({ op, path }: InputFile, name: string, data: Uint8Array, from: number): void {
  for (let i = 0; i < data.length; i++)
    if ((data[i] as number) > 1)
      throw new ValueError(
        op,
        `${path}: element ${from + i} of tensor ${quoted(name)} is ${data[i]}, but a BOOL is 0 or 1`,
      )
}

/** Reads a whole file. Throws a ValueError that tells its fault, or why it cannot be read. */
export async function readSafetensors(path: string, op = 'load'): Promise<ReadonlyMap<string, FileTensor>> {
  const file = await SafetensorsFile.open(path, op)
  try {
    const tensors = new Map<string, FileTensor>()
    for (const name of file.tensors.keys()) tensors.set(name, await file.read(name))
    return tensors
  } finally {
    await file.close()
  }
}

/** A tensor to write, whose elements may still be on their way. */
export interface ComingTensor {
  readonly dtype: FileDType
  readonly shape: readonly number[]
  /** A function is called when everything before it has been written. */
  readonly data: FileArray | PromiseLike<FileArray> | (() => FileArray)
}

/**
 * The bytes of a file, as a writer takes them. Throws ValueError at once for names and metadata that no file can hold.
 */
export function safetensorsChunks(
  tensors: ReadonlyMap<string, ComingTensor>,
  metadata: { readonly [key: string]: string } = {},
  op = 'save',
): Chunks {
  const check = (what: string, text: unknown) => {
    if (typeof text !== 'string' || !isWellFormed(text))
      throw new ValueError(op, `${what} ${quoted(String(text))} is not a text that UTF-8 can hold`)
  }
  if (Object.hasOwn(metadata, blocksKey))
    throw new ValueError(op, `the metadata ${blocksKey} is reserved by the library; give yours another name`)
  const blocks = [...tensors].flatMap(([name, { dtype }]) => (isBlocks(dtype) ? [[name, dtype]] : []))
  const texts = Object.entries(blocks.length > 0 ? { ...metadata, [blocksKey]: JSON.stringify(blocks) } : metadata)
  for (const text of texts.flat()) check('the metadata', text)
  // Wide elements come first, as in the reference implementation, so that all are aligned in the file.
  const ordered = [...tensors].sort(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype))
  // The text is built member by member, because an object would treat `__proto__` differently.
  const members = texts.length > 0 ? [`"__metadata__":${JSON.stringify(Object.fromEntries(texts))}`] : []
  let offset = 0
  for (const [name, coming] of ordered) {
    const { dtype, shape } = asWritten(coming)
    check('the name', name)
    if (name === '__metadata__')
      throw new ValueError(op, `no tensor can have the name ${name}, which the format reserves; rename it`)
    const end = offset + (byteCount(dtype, shape) as number)
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [offset, end] })}`)
    offset = end
  }
  return chunksOf(paddedHeader(`{${members.join(',')}}`, op), ordered)
}

/** The header with its length before it. The data begin at a multiple of 8, as readers that map the file expect. */
function paddedHeader(text: string, op: string): Uint8Array {
  const encoded = new TextEncoder().encode(text)
  const length = Math.ceil(encoded.length / 8) * 8
  if (length > maxHeaderBytes)
    throw new ValueError(op, `the names make a header of ${length} bytes, but the format allows ${maxHeaderBytes}`)
  const header = new Uint8Array(8 + length).fill(0x20)
  header.set(encoded, 8)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  return header
}

async function* chunksOf(
  header: Uint8Array,
  ordered: readonly (readonly [name: string, ComingTensor])[],
): AsyncIterable<ArrayBufferView> {
  yield header
  for (const [name, coming] of ordered) {
    const { dtype, shape } = asWritten(coming)
    const array = await (typeof coming.data === 'function' ? coming.data() : coming.data)
    if (array.byteLength !== byteCount(dtype, shape))
      throw new InternalError(
        'save',
        `${quoted(name)} has ${array.byteLength} bytes for ${dtype} ${formatShape(shape)}`,
      )
    yield array
  }
}

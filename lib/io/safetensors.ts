/**
 * Safetensors files: an 8-byte length, a JSON header, then the tensors' bytes. Reads and writes raw arrays; knows no tensor.
 * Format: https://huggingface.co/docs/safetensors
 */
import { open, rename, rm, writeFile } from 'node:fs/promises'
import { ValueError } from '../core/errors.js'
import { countOf } from '../core/shape.js'

/** Element types of the format that Firesteel reads; I64 is narrowed to int32 by whoever loads it. */
export type FileDType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'U8' | 'BOOL'

const bytesOf: { readonly [D in FileDType]: number } = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  U8: 1,
  BOOL: 1,
}

export interface FileTensor {
  readonly dtype: FileDType
  readonly shape: readonly number[]
  readonly data: Uint8Array<ArrayBuffer>
}

export interface FileContent {
  readonly tensors: ReadonlyMap<string, FileTensor>
  readonly metadata: { readonly [key: string]: string }
}

interface HeaderEntry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly [number, number]
}

const maxHeader = 100_000_000

function fail(path: string, why: string): never {
  throw new ValueError('safetensors', `${path} is not a safetensors file: ${why}`)
}

/** What the system says of a file, as an error that names the file asked for. */
function refused(what: 'read' | 'write', path: string, error: NodeJS.ErrnoException): never {
  const advice = what === 'write' && error.code === 'ENOENT' ? '; make its folder first' : ''
  throw new ValueError('safetensors', `cannot ${what} ${String(path)}: ${error.message}${advice}`)
}

function checkEntry(path: string, name: string, entry: HeaderEntry, total: number): FileDType {
  const { dtype, shape, data_offsets: offsets } = entry
  if (!Object.hasOwn(bytesOf, dtype))
    throw new ValueError(
      'safetensors',
      `${path}: ${name} has dtype ${dtype}; readable are ${Object.keys(bytesOf).join(', ')}`,
    )
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0))
    fail(path, `the shape of ${name} is ${String(shape)}`)
  const [from, to] = Array.isArray(offsets) ? (offsets as readonly [number, number]) : [-1, -1]
  if (
    !Number.isSafeInteger(from) ||
    !Number.isSafeInteger(to) ||
    from < 0 ||
    to > total ||
    to - from !== countOf(shape) * bytesOf[dtype as FileDType]
  )
    fail(path, `${name} of shape [${shape.join(', ')}] and dtype ${dtype} does not fill its bytes ${String(offsets)}`)
  return dtype as FileDType
}

function checkPath(what: 'read' | 'write', path: string): void {
  if (typeof path !== 'string')
    throw new ValueError('safetensors', `cannot ${what} ${String(path)}: a path must be a string`)
}

/** Reads a whole file. Throws ValueError that says what is wrong with it, or why it cannot be read. */
export async function readSafetensors(path: string): Promise<FileContent> {
  checkPath('read', path)
  const file = await open(path).catch((error: Error) => refused('read', path, error))
  try {
    const { size } = await file.stat()
    const lengthBytes = new Uint8Array(8)
    if (size < 8) fail(path, `it has ${size} bytes`)
    await file.read(lengthBytes, 0, 8, 0)
    const length = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true))
    if (length > maxHeader || length > size - 8) fail(path, `its header says it is ${length} bytes long`)
    const headerBytes = new Uint8Array(length)
    await file.read(headerBytes, 0, length, 8)
    let header: { [name: string]: HeaderEntry }
    try {
      header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(headerBytes)) as typeof header
    } catch (error) {
      fail(path, `its header is no JSON (${(error as Error).message})`)
    }
    const metadata = (header['__metadata__'] ?? {}) as unknown as { readonly [key: string]: string }
    const tensors = new Map<string, FileTensor>()
    for (const [name, entry] of Object.entries(header)) {
      if (name === '__metadata__') continue
      const dtype = checkEntry(path, name, entry, size - 8 - length)
      const [from, to] = entry.data_offsets
      // A buffer of its own for each: aligned for any element type, and freed one by one.
      const data = new Uint8Array(to - from)
      if (data.length > 0) await file.read(data, 0, data.length, 8 + length + from)
      tensors.set(name, { dtype, shape: entry.shape, data })
    }
    return { tensors, metadata }
  } catch (error) {
    if (error instanceof ValueError) throw error
    return refused('read', path, error as Error)
  } finally {
    await file.close()
  }
}

/** Writes a file whole or not at all: beside its place first, then renamed. Throws ValueError that says why it cannot. */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, FileTensor>,
  metadata: { readonly [key: string]: string } = {},
): Promise<void> {
  checkPath('write', path)
  const header: { [name: string]: unknown } = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {}
  let offset = 0
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.length] }
    offset += data.length
  }
  const text = JSON.stringify(header)
  // The data begin at a multiple of 8, as readers that map the file expect.
  const padded = new TextEncoder().encode(text + ' '.repeat((8 - (new TextEncoder().encode(text).length % 8)) % 8))
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true)
  const beside = `${path}.partial`
  try {
    await writeFile(beside, [length, padded, ...[...tensors.values()].map(({ data }) => data)])
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    refused('write', path, error as Error)
  }
}

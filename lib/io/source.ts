/**
 * A source of tensors, which are read one at a time or in pieces: a file, or a folder of several. This file knows no
 * tensor.
 */
import type { FilePart } from '../core/device.js'
import type { BlockDType, TypedArray } from '../core/dtype.js'

/**
 * Element types of the safetensors format that Firesteel reads. Loading narrows I64 to int32. The format has no blocks:
 * these are the library's own dtypes, which files store as bytes (see safetensors.ts).
 */
export type FileDType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'U8' | 'BOOL' | BlockDType

/** The array of a tensor's elements. It holds 16-bit floats as their bits, and blocks as their bytes. */
export type FileArray = TypedArray | BigInt64Array

type FileArrayClass = {
  new (count: number): FileArray
  new (buffer: ArrayBuffer, byteOffset: number, count: number): FileArray
  readonly BYTES_PER_ELEMENT: number
}

/** The class of the array that holds the elements of each dtype. */
export const fileArrays: { readonly [D in FileDType]: FileArrayClass } = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
  q8_0: Uint8Array,
  q4_0: Uint8Array,
  nf4: Uint8Array,
}

export function isFileDType(dtype: string): dtype is FileDType {
  return Object.hasOwn(fileArrays, dtype)
}

/** The description of a tensor before it is read. The dtype may be one that cannot be read. */
export interface SourceSpec {
  readonly dtype: string
  readonly shape: readonly number[]
}

export function isSource(value: unknown): value is TensorSource {
  const { names, spec, read, readSync } = (value ?? {}) as Partial<TensorSource>
  return Array.isArray(names) && [spec, read, readSync].every((method) => typeof method === 'function')
}

export interface FileTensor {
  readonly dtype: FileDType
  readonly shape: readonly number[]
  readonly data: FileArray
}

/**
 * Tensors by name, described without being read. The code that opened a source must close it, and it cannot be used
 * afterwards.
 */
export interface TensorSource {
  /** The file or folder that errors name. */
  readonly path: string
  readonly names: readonly string[]
  /** Texts that a file has besides its tensors. */
  readonly metadata?: ReadonlyMap<string, string>
  /** Undefined if there is no tensor of that name. */
  spec(name: string): SourceSpec | undefined
  /**
   * All elements in row-major order. `into` receives the elements from the entry `from` of the array on, as many as it
   * holds, so that a large tensor can be read piece by piece. Throws ValueError for a dtype that cannot be read, for a
   * file that was cut off, and for invalid values of the dtype.
   */
  read(name: string, into?: FileArray, from?: number): Promise<FileTensor>
  /** Like `read` with `into`, without a turn of the event loop. */
  readSync(name: string, into: FileArray, from: number): FileTensor
  /**
   * Lends the file in which this many entries, from `from` on, lie as elements lie in memory, until the promise of
   * `load` resolves. Returns null if they do not lie so. A source without files leaves it out.
   */
  lend?<T>(name: string, from: number, count: number, load: (part: FilePart) => Promise<T>): Promise<T> | null
  close(): Promise<void>
}

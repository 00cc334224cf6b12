/** Tensors from sources and into safetensors files. */
import { noGrad } from '../autograd/mode.js'
import { checkTensor } from '../autograd/operator.js'
import type { Device, FilePart } from '../core/device.js'
import { arrayLength, type DType, dtypes, type TypedArray } from '../core/dtype.js'
import { DeviceError, kindOf, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, ownOptions } from '../core/options.js'
import { keep, outsideFrames } from '../core/scope.js'
import { countOf, denseStrides, maxDims, type Shape, sameShape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray, zeros } from '../ops/creation.js'
import { copyInto } from '../ops/inplace.js'
import { creationNames, place, unwritten } from '../ops/placement.js'
import { dataSync } from '../ops/read.js'
import { contiguous } from '../ops/shape/index.js'
import { type NewFile, writeAtomically } from './atomic.js'
import { membersOf } from './members.js'
import { type ComingTensor, safetensorsChunks } from './safetensors.js'
import { openTensors } from './shards.js'
import {
  type FileArray,
  type FileDType,
  fileArrays,
  isFileDType,
  isSource,
  type SourceSpec,
  type TensorSource,
} from './source.js'

const fileDTypes = {
  float32: 'F32',
  float64: 'F64',
  bfloat16: 'BF16',
  float16: 'F16',
  int32: 'I32',
  uint8: 'U8',
  bool: 'BOOL',
  q8_0: 'q8_0',
  q4_0: 'q4_0',
  nf4: 'nf4',
} as const satisfies { readonly [D in DType]: FileDType }

const ownDTypes = new Map<FileDType, DType>(Object.entries(fileDTypes).map(([own, file]) => [file, own as DType]))

/** The dtype of the tensors made from elements of a file, if their device has it. Null if there is none. */
export function ownDType(dtype: string | undefined): DType | null {
  return dtype === 'I64' ? 'int32' : (ownDTypes.get(dtype as FileDType) ?? null)
}

/** int64 exists only in files. It is narrowed if every value fits. */
function narrowed(op: string, path: string, name: string, wide: BigInt64Array): Int32Array {
  // The halves are read as numbers, because a BigInt for each element would take ten times as long.
  const halves = new Int32Array(wide.buffer, wide.byteOffset, 2 * wide.length)
  const narrow = new Int32Array(wide.length)
  for (let i = 0; i < narrow.length; i++) {
    const low = halves[2 * i] as number
    if (halves[2 * i + 1] !== low >> 31)
      throw new ValueError(op, `${path}: ${name} holds ${wide[i]}, which does not fit into 32 bits`)
    narrow[i] = low
  }
  return narrow
}

/** Elements of a source on a device, in the dtype of the source, or in float32 if the device lacks that. */
function onDevice(
  op: string,
  path: string,
  name: string,
  dtype: FileDType,
  data: FileArray,
  shape: Shape,
  device: Device,
): Tensor {
  if (data instanceof BigInt64Array) return fromTypedArray(narrowed(op, path, name, data), shape, { device })
  const own = ownDTypes.get(dtype) as DType
  if (device.supports(own)) return fromTypedArray(data, shape, { dtype: own, device })
  // The reference has every dtype. 16-bit floats are bits in an array, which only a device can convert.
  const wide = fromTypedArray(data, shape, { dtype: own, device: 'reference' })
  return fromTypedArray(Float32Array.from(dataSync(wide)), shape, { device })
}

function checkRank(op: string, path: string, name: string, shape: Shape): void {
  if (shape.length > maxDims)
    throw new ShapeError(op, `${path}: ${name} has ${shape.length} dimensions; a tensor has at most ${maxDims}`, [
      shape,
    ])
}

/** The shape that a tensor must have to be read from a file, and the device that it goes to. */
export type Wanted = Pick<Tensor, 'shape' | 'device'>

export interface LoadTensorsOptions {
  /** The device for the tensors. Default: the default device. */
  readonly device?: string | Device
  /** The names to read. Default: all. */
  readonly names?: readonly string[]
}

/**
 * The tensors of a safetensors file, of a folder (see `openTensors`), or of an open source, which stays open, by name.
 * They have the dtypes of the file; float64 and 16-bit floats become float32 if the device lacks theirs. Throws
 * ValueError for other files, and for names that do not exist.
 */
export async function loadTensors(
  from: string | TensorSource,
  options: LoadTensorsOptions = {},
): Promise<Map<string, Tensor>> {
  const op = 'loadTensors'
  const own = ownOptions(op, options, { device: true, names: true })
  const { device } = place(op, own.device === undefined ? {} : { device: own.device }, creationNames)
  if (own.names !== undefined && !Array.isArray(own.names))
    throw new ValueError(op, `names are ${kindOf(own.names)}, but must be a list of names`)
  const source = isSource(from) ? from : await openTensors(from, op)
  try {
    const { names = source.names } = own
    const lacking = names.filter((name) => source.spec(name) === undefined)
    if (lacking.length > 0)
      throw new ValueError(op, `${source.path} has no tensor ${shown(lacking)}; it has ${shown(source.names)}`)
    const tensors = new Map<string, Tensor>()
    for (const name of names) tensors.set(name, await tensorOf(op, source, name, device))
    return tensors
  } finally {
    if (source !== from) await source.close()
  }
}

/** A tensor of a source, whole. */
async function tensorOf(op: string, source: TensorSource, name: string, device: Device): Promise<Tensor> {
  const { dtype, data, shape } = await source.read(name)
  checkRank(op, source.path, name, shape)
  return onDevice(op, source.path, name, dtype, data, shape, device)
}

/**
 * The tensors of a source by name. Without `wanted`, all of them, on the default device. With it, only tensors of a
 * wanted name and shape are read, each to the device where it is wanted. The others are represented by name and shape
 * alone, so that `loadStateDict` can tell what does not fit.
 */
export async function tensorsIn(
  source: TensorSource,
  wanted: ReadonlyMap<string, Wanted> | undefined,
  op: string,
): Promise<Map<string, Tensor>> {
  const { device } = place(op, {}, creationNames)
  const tensors = new Map<string, Tensor>()
  // A file may name a million tensors that nobody wants, so all of them share one number.
  const [unreadable, readable] = [zeros([]), zeros([])]
  unreadable.dispose()
  for (const name of source.names) {
    const shape = source.spec(name)?.shape ?? []
    const by = wanted?.get(name)
    if (wanted && !(by && sameShape(by.shape, shape))) tensors.set(name, unread(shape, by ? readable : unreadable))
    else tensors.set(name, await tensorOf(op, source, name, by?.device ?? device))
  }
  return tensors
}

/** A shape without elements: one number stands for all, or no memory if that is disposed because nobody may read it. */
function unread(shape: readonly number[], { storage }: Tensor): Tensor {
  return new Tensor(storage, shape, storage.freed ? denseStrides(shape) : shape.map(() => 0), 0)
}

/** Bytes that are read at a time. A disk delivers them in about the time of a copy. */
const pieceBytes = 2 ** 23

/** A part of a tensor that is read at a time: a run of entries of one dimension. */
export interface Piece {
  /** Elements before it, in row-major order. */
  readonly from: number
  readonly count: number
  /** The place where it begins: an index for each dimension up to that of the run. */
  readonly start: readonly number[]
  readonly shape: Shape
}

/** A tensor of these sizes in pieces of at most this many elements, in row-major order. */
export function* piecesOf(sizes: Shape, most: number): Generator<Piece> {
  let entry = countOf(sizes)
  if (entry === 0) return
  if (sizes.length === 0) return void (yield { from: 0, count: 1, start: [], shape: [] })
  // This is the first dimension whose entries are small enough. Pieces are runs of these.
  let dim = 0
  for (entry /= sizes[0] as number; entry > most; entry /= sizes[++dim] as number);
  const run = Math.floor(most / entry)
  const inner = sizes.slice(dim + 1)
  const start = new Array<number>(dim + 1).fill(0)
  let from = 0
  for (;;) {
    const entries = Math.min(run, (sizes[dim] as number) - (start[dim] as number))
    yield { from, count: entries * entry, start: [...start], shape: [entries, ...inner] }
    from += entries * entry
    start[dim] = (start[dim] as number) + entries
    for (let d = dim; start[d] === sizes[d]; d--) {
      if (d === 0) return
      start[d] = 0
      start[d - 1] = (start[d - 1] as number) + 1
    }
  }
}

/** The part of a tensor to which a piece belongs, whatever its strides. */
function partOf({ storage, offset, steps }: Tensor, { start, shape }: Piece): Tensor {
  let at = offset
  start.forEach((index, d) => {
    at += index * (steps[d] as number)
  })
  return new Tensor(storage, shape, steps.slice(Math.max(0, start.length - 1)), at)
}

/**
 * Reads tensors of a source into existing memory, piece by piece through two buffers. However large the tensors are,
 * this takes only about 30 MB more.
 */
export class PieceReader {
  readonly #op: string
  readonly #source: TensorSource
  readonly #buffers: (ArrayBuffer | undefined)[] = []
  /** Bytes on their way since the last wait for a device. */
  #coming = 0

  constructor(op: string, source: TensorSource) {
    this.#op = op
    this.#source = source
  }

  /**
   * Throws for tensors that cannot be loaded by their rank or dtype. If `whole` is set, also throws for faults that
   * only reading reveals, such as a bad disk.
   */
  async check(name: string, whole: boolean): Promise<void> {
    const { path } = this.#source
    const { dtype, shape } = this.#spec(name)
    checkRank(this.#op, path, name, shape)
    // The source gives the best reason why it cannot be read.
    if (!isFileDType(dtype)) await this.#source.read(name)
    if (!whole) return
    for (const piece of piecesOf(shape, this.#most(name))) {
      const { data } = await this.#source.read(name, this.#part(name, piece), this.#from(name, piece))
      if (data instanceof BigInt64Array) narrowed(this.#op, path, name, data)
    }
  }

  /** Whether two tensors of one shape have the same elements in a dtype, as `device` converts them. NaN is NaN. */
  async agree(name: string, other: string, dtype: DType, device: Device): Promise<boolean> {
    for (const piece of piecesOf(this.#spec(name).shape, Math.min(this.#most(name), this.#most(other)))) {
      const read = async (one: string, buffer: number) => {
        const { data } = await this.#source.read(one, this.#part(one, piece, buffer), this.#from(one, piece))
        const made = this.#tensor(one, data, piece, device)
        const elements = dataSync(castTo(made, dtype))
        made.dispose()
        return elements
      }
      if (!sameNumbers(await read(name, 0), await read(other, 1))) return false
    }
    return true
  }

  /** Fills a tensor that nobody uses yet. If it `isWhole`, its memory need not exist before. */
  async fill(name: string, to: Tensor): Promise<void> {
    // A kernel writes parts only into memory that exists.
    if (isWhole(to) && !this.#copies(name, to)) to.device.uploadPart(to.storage, new dtypes[to.dtype].Array(0), 0)
    for (const piece of piecesOf(to.sizes, this.#most(name))) {
      if (await this.#load(name, piece, to)) continue
      const { data } = await this.#source.read(name, this.#part(name, piece), this.#from(name, piece))
      // A device may fall behind, and without a wait all of a large tensor could be on its way at once. Reading an
      // element after the copy waits for it, and blocks nobody meanwhile.
      if (this.#put(name, piece, data, to)) await to.device.read(firstOf(to))
    }
  }

  /** Fills a tensor within one turn of the event loop. */
  fillSync(name: string, to: Tensor): void {
    for (const piece of piecesOf(to.sizes, this.#most(name))) {
      const { data } = this.#source.readSync(name, this.#part(name, piece), this.#from(name, piece))
      if (this.#put(name, piece, data, to)) to.device.synchronize()
    }
  }

  /** Whether bytes become the tensor's bytes unchanged. */
  #copies(name: string, to: Tensor): boolean {
    return isWhole(to) && ownDTypes.get(this.#spec(name).dtype as FileDType) === to.dtype
  }

  /** The dtype from which a device that reads files widens elements itself. */
  #widened(name: string, to: Tensor): 'bfloat16' | 'float16' | undefined {
    const own = ownDTypes.get(this.#spec(name).dtype as FileDType)
    return (own === 'bfloat16' || own === 'float16') && isWhole(to) && to.dtype === 'float32' ? own : undefined
  }

  /**
   * Lets the device read a piece by itself, without a copy, or into memory for one piece from which it is converted.
   * Returns false if that is impossible or fails; `read` then tells why.
   */
  async #load(name: string, piece: Piece, to: Tensor): Promise<boolean> {
    const { device, storage } = to
    const own = ownDTypes.get(this.#spec(name).dtype as FileDType)
    if (device.loadPart === undefined || own === undefined || !device.supports(own)) return false
    storage.check(this.#op)
    const from = this.#from(name, piece)
    const widened = this.#widened(name, to)
    const direct = widened !== undefined || this.#copies(name, to)
    const read = direct ? to : outsideFrames(() => keep(unwritten(this.#op, device, own, piece.count)))
    const load = (part: FilePart) =>
      device.loadPart?.(read.storage, direct ? from : 0, widened ? { ...part, widened } : part) ??
      Promise.resolve(false)
    try {
      const loaded = await this.#source.lend?.(name, from, this.#entries(name, piece.count), load)
      if (loaded !== true) return false
      if (direct) storage.markWritten(this.#op)
      else
        noGrad(() =>
          copyInto(partOf(to, piece), new Tensor(read.storage, piece.shape, denseStrides(piece.shape), 0), this.#op),
        )
      return true
    } finally {
      if (!direct) read.dispose()
    }
  }

  /** Copies a piece into a tensor. Returns whether so much is on its way that the device should be waited for. */
  #put(name: string, piece: Piece, data: FileArray, to: Tensor): boolean {
    to.storage.check(this.#op)
    if (this.#copies(name, to)) {
      to.device.uploadPart(to.storage, data as TypedArray, this.#from(name, piece))
      to.storage.markWritten(this.#op)
    } else {
      const source = this.#tensor(name, data, piece, to.device)
      noGrad(() => copyInto(partOf(to, piece), source, this.#op))
      source.dispose()
    }
    this.#coming += data.byteLength
    if (this.#coming < pieceBytes) return false
    this.#coming = 0
    return true
  }

  #spec(name: string): SourceSpec {
    const spec = this.#source.spec(name)
    if (spec === undefined) throw new ValueError(this.#op, `${this.#source.path} has no tensor ${name}`)
    return spec
  }

  #array(name: string) {
    return fileArrays[this.#spec(name).dtype as FileDType]
  }

  /** Elements of a piece, which are whole blocks if the dtype has blocks. */
  #most(name: string): number {
    const own = ownDTypes.get(this.#spec(name).dtype as FileDType)
    if (own === undefined) return pieceBytes / this.#array(name).BYTES_PER_ELEMENT
    const { bytes, block } = dtypes[own]
    return Math.floor(pieceBytes / (bytes * block)) * block
  }

  /** The room for a piece in one of the buffers. */
  #part(name: string, { count }: Piece, buffer = 0): FileArray {
    this.#buffers[buffer] ??= new ArrayBuffer(pieceBytes)
    return new (this.#array(name))(this.#buffers[buffer], 0, this.#entries(name, count))
  }

  /** The source's place for a piece, in entries of its array. */
  #from(name: string, { from }: Piece): number {
    return this.#entries(name, from)
  }

  #entries(name: string, count: number): number {
    const own = ownDTypes.get(this.#spec(name).dtype as FileDType)
    return own === undefined ? count : arrayLength(own, count)
  }

  #tensor(name: string, data: FileArray, { shape }: Piece, device: Device): Tensor {
    const dtype = this.#spec(name).dtype as FileDType
    return onDevice(this.#op, this.#source.path, name, dtype, data, shape, device)
  }
}

/** Whether a tensor is all of its memory, in order. */
export function isWhole(x: Tensor): boolean {
  return x.numel > 0 && x.isContiguous && x.numel === x.storage.count
}

/** The smallest part of a tensor that can be read. */
function firstOf({ storage, offset, dtype }: Tensor): Tensor {
  const { block } = dtypes[dtype]
  return new Tensor(storage, [block], [1], offset)
}

export function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] && !(Number.isNaN(a[i]) && Number.isNaN(b[i]))) return false
  return a.length === b.length
}

/** Begins to read tensors, as they are now, to write them to a file. */
export function comingTensors(tensors: ReadonlyMap<string, Tensor>, op: string): Map<string, ComingTensor> {
  const coming = new Map<string, ComingTensor>()
  for (const [name, tensor] of tensors) {
    tensor.storage.check(op, name)
    if (tensor.device.kind === 'meta')
      throw new DeviceError(op, `${name} is on meta, where tensors have shapes but no elements; load the model before`)
  }
  for (const [name, tensor] of tensors) {
    // The bits are read unchanged, for 16-bit floats too.
    const dense = noGrad(() => contiguous(tensor))
    const data: Promise<TypedArray> = dense.device.read(dense)
    // The writer of the file meets the first failure. The others must not end the process.
    data.catch(() => {})
    coming.set(name, { dtype: fileDTypes[tensor.dtype], shape: tensor.sizes, data })
  }
  return coming
}

/**
 * A file of the tensors as they are now. All their reads are in the device's queue when this returns, before any later
 * kernel, so that training may go on while the file is written. Until then their elements are in memory once more.
 */
export function tensorFile(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: { readonly [key: string]: string } = {},
  op = 'save',
): NewFile {
  const coming = comingTensors(tensors, op)
  return { path, chunks: safetensorsChunks(coming, metadata, op) }
}

export interface SaveTensorsOptions {
  /** Texts to keep with the tensors: `{ format: 'pt' }`. `openTensors(path)` returns them in `metadata`. */
  readonly metadata?: { readonly [key: string]: string }
}

/**
 * Writes tensors by name, as they are at the call, to a safetensors file, whole or not at all. Throws ValueError for
 * values that no such file can hold, and if it cannot be written.
 */
export async function saveTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | { readonly [name: string]: Tensor },
  options: SaveTensorsOptions = {},
): Promise<void> {
  const op = 'saveTensors'
  const { metadata } = checkOptions(op, options, { metadata: true })
  const named = namedTensors(op, tensors)
  if (metadata !== undefined && (typeof metadata !== 'object' || metadata === null))
    throw new ValueError(op, `metadata are ${kindOf(metadata)}, but must be an object of texts`)
  await writeTensors(path, named, metadata, op)
}

/** The tensors that a program gave to be saved. */
export function namedTensors(
  op: string,
  tensors: ReadonlyMap<string, Tensor> | { readonly [name: string]: Tensor },
): Map<string, Tensor> {
  if (typeof tensors !== 'object' || tensors === null || tensors instanceof Tensor || Array.isArray(tensors))
    throw new ValueError(op, `the tensors are ${kindOf(tensors)}, but must be an object or a Map of tensors by name`)
  const named = membersOf(op, 'the tensors', tensors) as Map<string, Tensor>
  for (const [name, tensor] of named)
    if (tensor instanceof Tensor) tensor.storage.check(op, `'${name}'`)
    else checkTensor(op, `'${name}'`, tensor)
  return named
}

/** Like saveTensors, in the name of another function. */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: { readonly [key: string]: string } = {},
  op = 'save',
): Promise<void> {
  const { chunks } = tensorFile(path, tensors, metadata, op)
  await writeAtomically(path, chunks, op)
}

/**
 * NumPy's files of one array (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), with rows read
 * on demand.
 */
import type { NumericArray } from '../../core/arrays.js'
import type { DType } from '../../core/dtype.js'
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { listOf } from '../../core/options.js'
import { askRoom } from '../../core/room.js'
import type { Tensor } from '../../core/tensor.js'
import type { InputFile } from '../../io/input.js'
import { kindOf as kindOfFile } from '../../io/kinds.js'
import { LingeringFile } from '../../io/lingering.js'
import { fromTypedArray } from '../../ops/creation.js'
import { select } from '../../ops/shape/slices.js'
import { Dataset } from '../dataset.js'

type ArrayClass = { new (count: number): NumericArray; readonly BYTES_PER_ELEMENT: number }

interface Kind {
  readonly Array: ArrayClass
  /** The dtype, if it differs from that of the array's kind. */
  readonly dtype?: DType
}

/** Element types, by kind and bytes. */
const kinds: { readonly [code: string]: Kind } = {
  f2: { Array: Uint16Array, dtype: 'float16' },
  f4: { Array: Float32Array },
  f8: { Array: Float64Array },
  b1: { Array: Uint8Array, dtype: 'bool' },
  u1: { Array: Uint8Array },
  i1: { Array: Int8Array },
  i2: { Array: Int16Array },
  u2: { Array: Uint16Array, dtype: 'int32' },
  i4: { Array: Int32Array },
  u4: { Array: Uint32Array },
  i8: { Array: BigInt64Array },
  u8: { Array: BigUint64Array },
}

interface Header {
  readonly shape: readonly number[]
  readonly kind: Kind
  /** Whether the elements' bytes have the other order. */
  readonly swapped: boolean
  readonly fortran: boolean
  /** Bytes before the first element. */
  readonly start: number
}

const magic = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)
/** The longest header. NumPy itself refuses longer ones. */
const mostHeader = 10_000

async function headerOf(file: InputFile, fail: (why: string) => never): Promise<Header> {
  const head = await file.head(12 + mostHeader)
  if (head.length < 12 || magic.some((byte, i) => head[i] !== byte)) {
    const kind = kindOfFile(head)
    fail(kind === null ? 'it does not begin like one' : `it is ${kind}`)
  }
  const view = new DataView(head.buffer, head.byteOffset)
  const long = (head[6] as number) >= 2
  const from = long ? 12 : 10
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true)
  if (length > mostHeader || from + length > head.length)
    fail(`its header says that it has ${length} bytes, but the file is shorter, or NumPy allows fewer`)
  const text = Buffer.from(head.subarray(from, from + length)).toString('latin1')
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1]
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1]
  const sizes = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1]
  if (order === undefined || sizes === undefined || (descr === undefined && !text.includes("'descr'")))
    return fail(`its header does not describe the array: ${kindOf(text)}`)
  if (descr === undefined) return fail('its elements are records; save each field as an array')
  const name = descr.slice(1)
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
  if (kind === undefined || !/^[<>|=]/.test(descr))
    return fail(
      `its elements are ${kindOf(descr)}, which tensors do not support; save it as numbers: x.astype('float32')` +
        (descr.includes('O') ? ' (Python objects can contain programs)' : ''),
    )
  const shape = sizes.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]))
  const bytes = shape.reduce((product, size) => product * size, kind.Array.BYTES_PER_ELEMENT)
  if (!Number.isSafeInteger(bytes) || from + length + bytes !== file.size)
    fail(`it has ${file.size} bytes, but an array of ${shown(shape)} and its header have ${from + length + bytes}`)
  return {
    shape,
    kind,
    swapped: descr.startsWith('>') && kind.Array.BYTES_PER_ELEMENT > 1,
    fortran: order === 'True' && shape.length > 1,
    start: from + length,
  }
}

/** Rows of a NumPy array along its first dimension. */
export class NpyDataset extends Dataset<Tensor, Tensor> {
  readonly path: string
  /** Sizes of the whole array. */
  readonly shape: readonly number[]
  readonly #header: Header
  readonly #file: LingeringFile

  /** Private: use `npy`. */
  constructor(file: LingeringFile, path: string, header: Header) {
    super()
    this.path = path
    this.shape = header.shape
    this.#header = header
    this.#file = file
  }

  get length(): number {
    return this.shape[0] as number
  }

  async get(index: number): Promise<Tensor> {
    return select(await this.batch([index]), 0, 0)
  }

  /**
   * The rows, of shape [indices, ...]: float32, float64 (if the device has it), float16, bool or uint8, and other
   * integers as int32. Consecutive rows are read at once. In Fortran's order the elements of a row lie apart, so rows
   * in a random order take a read for each element. Throws ValueError for an integer that int32 cannot hold, and for a
   * finite float64 that would become infinite in float32.
   */
  override async batch(indices: readonly number[]): Promise<Tensor> {
    const op = 'npy'
    const own = listOf(op, 'the indices', indices, 'an array of integers')
    for (const index of own)
      if (!Number.isInteger(index) || index < 0 || index >= this.length)
        throw new ValueError(op, `index ${shown(index)} lies outside the ${this.length} rows of ${this.path}`)
    const { kind, fortran, shape, swapped } = this.#header
    const [, ...sizes] = shape
    const width = sizes.reduce((product, size) => product * size, 1)
    askRoom(own.length * width * kind.Array.BYTES_PER_ELEMENT, op)
    const data = await this.#file.read((file) =>
      fortran ? this.#byColumns(file, own, width) : this.#byRows(file, own, width),
    )
    if (swapped) swap(data)
    const { dtype } = kind
    const elements = dtype === 'int32' ? Int32Array.from(data as Uint16Array) : data
    try {
      const rows = fromTypedArray(elements, [indices.length, ...sizes], dtype === undefined ? {} : { dtype })
      if (kind.Array === Float64Array && rows.dtype !== 'float64') this.#checkRange(data as Float64Array, own, width)
      return rows
    } catch (error) {
      if (!(error instanceof ValueError)) throw error
      throw new ValueError(op, `${this.path}: ${error.message.replace(/^\[\w+\] /, '')}`)
    }
  }

  #checkRange(data: Float64Array, indices: readonly number[], width: number): void {
    const wrong = data.findIndex((value) => Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
    if (wrong < 0) return
    throw new ValueError(
      'npy',
      `${this.path}: row ${indices[Math.floor(wrong / width)]} holds ${data[wrong]}, which float32 cannot hold; scale the numbers and save them again`,
    )
  }

  async #byRows(file: InputFile, indices: readonly number[], width: number): Promise<NumericArray> {
    const { kind, start } = this.#header
    const bytes = width * kind.Array.BYTES_PER_ELEMENT
    const data = new kind.Array(indices.length * width)
    for (const [from, count] of runs(indices))
      await file.fill(
        `row ${indices[from]}`,
        start + (indices[from] as number) * bytes,
        new Uint8Array(data.buffer, from * bytes, count * bytes),
      )
    return data
  }

  /**
   * Element j of row i, with dimensions counted as in C, is the i-th of column k, with dimensions counted the other
   * way.
   */
  async #byColumns(file: InputFile, indices: readonly number[], width: number): Promise<NumericArray> {
    const { kind, start, shape } = this.#header
    const size = kind.Array.BYTES_PER_ELEMENT
    const [length = 0, ...sizes] = shape
    const data = new kind.Array(indices.length * width) as Float64Array
    const column = new kind.Array(indices.length) as Float64Array
    for (let k = 0; k < width; k++) {
      for (const [from, count] of runs(indices))
        await file.fill(
          `column ${k}`,
          start + (k * length + (indices[from] as number)) * size,
          new Uint8Array(column.buffer, from * size, count * size),
        )
      let j = 0
      let rest = k
      for (const each of sizes.keys()) {
        const below = sizes.slice(each + 1).reduce((product, n) => product * n, 1)
        j += (rest % (sizes[each] as number)) * below
        rest = Math.floor(rest / (sizes[each] as number))
      }
      for (let i = 0; i < indices.length; i++) data[i * width + j] = column[i] as number
    }
    return data
  }
}

/** Places in the list, and the number of consecutive ones from there on. */
function* runs(indices: readonly number[]): Iterable<readonly [from: number, count: number]> {
  for (let from = 0, to = 1; from < indices.length; from = to++) {
    while (to < indices.length && indices[to] === (indices[to - 1] as number) + 1) to++
    yield [from, to - from]
  }
}

function swap({ buffer, byteOffset, byteLength, BYTES_PER_ELEMENT }: NumericArray): void {
  const bytes = Buffer.from(buffer, byteOffset, byteLength)
  if (BYTES_PER_ELEMENT === 2) bytes.swap16()
  else if (BYTES_PER_ELEMENT === 4) bytes.swap32()
  else bytes.swap64()
}

/**
 * A NumPy array (.npy) as rows by index, which are read on demand. `await (await npy(path)).batch([0, 1])` is [2, ...].
 * Throws ValueError for elements that are not numbers, and for a file that is cut off.
 */
export async function npy(path: string): Promise<NpyDataset> {
  const op = 'npy'
  const lingering = new LingeringFile(op, path)
  return lingering.read(async (file) => {
    const header = await headerOf(file, (why): never => {
      throw new ValueError(op, `${path} is not a NumPy array: ${why}`)
    })
    if (header.shape.length === 0)
      throw new ValueError(op, `${path} holds a single number, which has no rows; save it as an array: x.reshape(1)`)
    return new NpyDataset(lingering, path, header)
  })
}

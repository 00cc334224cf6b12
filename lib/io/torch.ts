/**
 * Files of `torch.save`, read lazily and without running anything: zip archives, and the files of torch before 1.6. A
 * tensor's name is the path to it: `model.weight` is the entry `weight` of the dictionary `model`. Views and shared
 * storages are read as they are. Plain values besides the tensors are left out, and counted in `leftOut`.
 */
import { formatShape, ValueError } from '../core/errors.js'
import { type FormatDType, formatBits, quoted } from './header.js'
import { InputFile } from './input.js'
import { type StorageRef, type TensorRef, unpickle, type Value } from './pickle.js'
import {
  type FileArray,
  type FileTensor,
  fileArrays,
  isFileDType,
  type SourceSpec,
  type TensorSource,
} from './source.js'
import { zipEntries } from './zip.js'

/** The largest pickle. It holds names and shapes, and the largest published ones have a few MB. */
const mostPickleBytes = 2 ** 28

const mostTensors = 2 ** 20
const deepest = 64

/** The place of a storage's bytes in the file. */
interface Place {
  readonly from: number
  readonly size: number
}

export class TorchFile implements TensorSource {
  readonly names: readonly string[]
  /** The number of values that are not tensors: numbers, texts, and other contents of a checkpoint. */
  readonly leftOut: number
  readonly #file: InputFile
  readonly #tensors: ReadonlyMap<string, TensorRef>
  readonly #places: ReadonlyMap<string, Place>

  private constructor(
    file: InputFile,
    tensors: ReadonlyMap<string, TensorRef>,
    leftOut: number,
    places: ReadonlyMap<string, Place>,
  ) {
    this.#file = file
    this.#tensors = tensors
    this.#places = places
    this.names = [...tensors.keys()]
    this.leftOut = leftOut
  }

  /**
   * Opens a file for `op`, which errors name. Throws a ValueError that tells the fault, or what the file asks to run.
   */
  static async open(path: string, op = 'load'): Promise<TorchFile> {
    const file = await InputFile.open(op, path)
    const fail = (why: string): never => {
      throw new ValueError(op, `${path} cannot be read as a PyTorch file: ${why}`)
    }
    try {
      const head = await file.head(4)
      const { value, places } = await (head[0] === 0x50 ? readZip : readLegacy)(file, fail)
      const { tensors, leftOut } = tensorsIn(value, fail)
      for (const [name, tensor] of tensors) check(file, name, tensor, places, fail)
      return new TorchFile(file, tensors, leftOut, places)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get path(): string {
    return this.#file.path
  }

  spec(name: string): SourceSpec | undefined {
    const tensor = this.#tensors.get(name)
    return tensor && { dtype: tensor.dtype, shape: tensor.shape }
  }

  async read(name: string, into?: FileArray, from = 0): Promise<FileTensor> {
    const { tensor, dtype, what } = this.#find(name, into, from)
    const data = into ?? new fileArrays[dtype](countOf(tensor.shape))
    for (const { position, part, spread } of this.#parts(tensor, data, from)) {
      await this.#file.fill(what, position, part)
      spread()
    }
    this.#checkBooleans(what, dtype, data)
    return { dtype, shape: tensor.shape, data }
  }

  readSync(name: string, into: FileArray, from: number): FileTensor {
    const { tensor, dtype, what } = this.#find(name, into, from)
    for (const { position, part, spread } of this.#parts(tensor, into, from)) {
      this.#file.fillSync(what, position, part)
      spread()
    }
    this.#checkBooleans(what, dtype, into)
    return { dtype, shape: tensor.shape, data: into }
  }

  #find(name: string, into: FileArray | undefined, from: number) {
    const { op, path } = this.#file
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) throw new ValueError(op, `${path} has no tensor ${quoted(name)}`)
    const { dtype, shape } = tensor
    const what = `tensor ${quoted(name)} of shape ${formatShape(shape)}`
    if (!isFileDType(dtype))
      throw new ValueError(
        op,
        `${path}: ${what} has dtype ${dtype}, which cannot be loaded; write it as one of ${Object.keys(fileArrays).join(', ')}`,
      )
    const bytes = fileArrays[dtype].BYTES_PER_ELEMENT
    const count = countOf(shape)
    if (into !== undefined && !(from >= 0 && from + into.length <= count && into.BYTES_PER_ELEMENT === bytes))
      throw new ValueError(
        op,
        `${what} does not have ${into.length} elements of ${into.BYTES_PER_ELEMENT} bytes from ${from} on`,
      )
    return { tensor, dtype, what }
  }

  /**
   * Runs of bytes to read for elements from `from` on: one run if they lie in order, else everything between the
   * outermost ones.
   */
  #parts({ storage, offset, shape, strides }: TensorRef, data: FileArray, from: number) {
    if (data.length === 0) return []
    const { from: start } = this.#places.get(storage.key) as Place
    const bytes = data.BYTES_PER_ELEMENT
    if (isDense(shape, strides)) {
      const position = start + (offset + from) * bytes
      return [{ position, part: data, spread: () => {} }]
    }
    const indices = new Float64Array(data.length)
    let [least, most] = [Number.POSITIVE_INFINITY, 0]
    for (let i = 0; i < data.length; i++) {
      let [rest, index] = [from + i, offset]
      for (let d = shape.length - 1; d >= 0; d--) {
        const size = shape[d] as number
        index += (rest % size) * (strides[d] as number)
        rest = Math.floor(rest / size)
      }
      indices[i] = index
      least = Math.min(least, index)
      most = Math.max(most, index)
    }
    const ArrayClass = data.constructor as { new (count: number): FileArray }
    const part = new ArrayClass(most - least + 1)
    const spread = () => {
      for (let i = 0; i < data.length; i++) data[i] = part[(indices[i] as number) - least] as never
    }
    return [{ position: start + least * bytes, part, spread }]
  }

  #checkBooleans(what: string, dtype: FormatDType | string, data: FileArray): void {
    const { op, path } = this.#file
    if (dtype === 'BOOL' && (data as Uint8Array).some((value) => value > 1))
      throw new ValueError(op, `${path}: ${what} has a BOOL element that is neither 0 nor 1`)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== step) return false
    step *= shape[d] as number
  }
  return true
}

/** Throws unless all elements of a tensor lie in its storage, and the storage in the file. */
function check(
  file: InputFile,
  name: string,
  { storage, dtype, offset, shape, strides }: TensorRef,
  places: ReadonlyMap<string, Place>,
  fail: (why: string) => never,
): void {
  const bytes = formatBits[dtype] / 8
  const count = countOf(shape)
  const place = places.get(storage.key)
  if (place === undefined) throw fail(`the storage ${quoted(storage.key)} of ${quoted(name)} is missing`)
  const last = count === 0 ? -1 : shape.reduce((index, size, d) => index + (size - 1) * (strides[d] as number), offset)
  if (!((last + 1) * bytes <= place.size))
    fail(`${quoted(name)} of shape ${formatShape(shape)} goes beyond the ${place.size} bytes of its storage`)
  // A view may repeat elements. A small file must not become something huge this way.
  if (count * bytes > file.size)
    fail(
      `${quoted(name)} of shape ${formatShape(shape)} is larger than the file, because it repeats elements; save it with contiguous()`,
    )
}

type Found = { readonly value: Value; readonly places: ReadonlyMap<string, Place> }

async function readZip(file: InputFile, fail: (why: string) => never): Promise<Found> {
  const entries = await zipEntries(file, fail)
  const pickles = [...entries.keys()].filter((name) => name.endsWith('/data.pkl'))
  const [pickle] = pickles
  if (pickle === undefined || pickles.length > 1)
    return fail(`it is a zip archive with ${pickles.length} entries named data.pkl, but torch writes one`)
  const folder = pickle.slice(0, -'data.pkl'.length)
  const whole = async (entry: Place, most: number) => {
    if (entry.size > most) fail(`an entry has ${entry.size} bytes, but may have at most ${most}`)
    return file.read('an entry', entry.from, Uint8Array, entry.size)
  }
  const order = entries.get(`${folder}byteorder`)
  if (order !== undefined && new TextDecoder().decode(await whole(order, 100)) !== 'little')
    return fail('its bytes are not in the order of this machine (byteorder is not little)')
  const { value } = unpickle(await whole(entries.get(pickle) as Place, mostPickleBytes), 0, fail)
  const data = `${folder}data/`
  const places = [...entries].filter(([name]) => name.startsWith(data))
  return { value, places: new Map(places.map(([name, place]) => [name.slice(data.length), place])) }
}

/**
 * Three pickles precede the value (a number, the protocol, the machine), one follows it (the storages), and then come
 * the storages.
 */
async function readLegacy(file: InputFile, fail: (why: string) => never): Promise<Found> {
  const head = await file.head(mostPickleBytes)
  if (head[0] !== 0x80) return fail('it begins with neither a zip archive nor a pickle')
  let at = 0
  const values: Value[] = []
  for (let i = 0; i < 5; i++) {
    const { value, end } = unpickle(head, at, fail)
    values.push(value)
    at = end
  }
  const [magic, protocol, machine, value = null, keys] = values
  if (magic !== 0x1950a86a20f9469cfc6cn || protocol !== 1001)
    return fail('it is a pickle that torch.save did not write')
  if (!(machine instanceof Map) || machine.get('little_endian') !== true)
    return fail('its bytes are not in the order of this machine')
  if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string'))
    return fail('its list of storages is not a list')
  const { storages } = walk(value, fail)
  const places = new Map<string, Place>()
  for (const key of keys as string[]) {
    const storage = storages.get(key)
    if (storage === undefined || storage.dtype === null) return fail(`the storage ${quoted(key)} belongs to no tensor`)
    if (places.has(key)) return fail(`the storage ${quoted(key)} occurs twice`)
    if (at + 8 > file.size) return fail('it is cut off before a storage')
    const count = (await file.read('a storage', at, BigInt64Array, 1))[0]
    if (count !== BigInt(storage.count))
      return fail(`the storage ${quoted(key)} has ${count} elements, but its tensors say ${storage.count}`)
    const size = (storage.count * formatBits[storage.dtype]) / 8
    if (at + 8 + size > file.size) return fail(`it is cut off in the storage ${quoted(key)}`)
    places.set(key, { from: at + 8, size })
    at += 8 + size
  }
  return { value, places }
}

function tensorsIn(value: Value, fail: (why: string) => never) {
  const { tensors, leftOut } = walk(value, fail)
  return { tensors, leftOut }
}

/** All tensors of a value by name. A value reached in several ways counts several times, so the number is bounded. */
function walk(value: Value, fail: (why: string) => never) {
  const tensors = new Map<string, TensorRef>()
  const storages = new Map<string, StorageRef>()
  let [leftOut, seen] = [0, 0]
  const visit = (name: string, each: Value, depth: number): void => {
    if (++seen > mostTensors) fail(`it holds more than ${mostTensors} values`)
    if (depth > deepest) fail(`it nests values more than ${deepest} deep`)
    const within = (key: string) => (name === '' ? key : `${name}.${key}`)
    if (Array.isArray(each)) for (const [i, entry] of each.entries()) visit(within(String(i)), entry, depth + 1)
    else if (each instanceof Map)
      for (const [key, entry] of each) {
        if (typeof key !== 'string' && typeof key !== 'number')
          fail(`${quoted(name)} has a key that is neither a text nor a number`)
        visit(within(String(key)), entry, depth + 1)
      }
    else if (typeof each === 'object' && each !== null && 'kind' in each && each.kind === 'tensor') {
      const own = name === '' ? 'tensor' : name
      if (tensors.has(own)) fail(`it has two tensors by the name ${quoted(own)}`)
      tensors.set(own, each)
      storages.set(each.storage.key, each.storage)
    } else leftOut++
  }
  visit('', value, 0)
  return { tensors, storages, leftOut }
}

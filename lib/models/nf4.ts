/**
 * Weights that bitsandbytes stored in NF4 (Dettmers et al., 2023), read as the block dtype `nf4`. The packed bytes are
 * the same. The magnitudes, which bitsandbytes stores separately and may quantise again, are placed between them.
 */
import type { FilePart } from '../core/device.js'
import { dtypes } from '../core/dtype.js'
import { shown, ValueError } from '../core/errors.js'
import { countOf, type Shape } from '../core/shape.js'
import type { FileArray, FileTensor, SourceSpec, TensorSource } from '../io/source.js'
import type { ConfigJson } from './config.js'

const { block } = dtypes.nf4
const packedBytes = block / 2
const blockBytes = 4 + packedBytes
/** The ending of the name of a weight's description, after the weight's name. */
const stateName = '.quant_state.bitsandbytes__nf4'
const companions = ['.absmax', '.nested_absmax', '.nested_quant_map', '.quant_map', stateName]

/** A weight according to its description. */
interface Quantised {
  readonly shape: Shape
  /** The number of numbers that share a magnitude: one or several blocks of the dtype. */
  readonly per: number
  /** Magnitudes are float32, or codes with the numbers that they represent. */
  readonly nested: { readonly block: number; readonly offset: number } | null
}

/** Whether `quantization_config` has supported settings of NF4. Throws ValueError that names unsupported ones. */
export function checkQuantization(op: string, path: string, json: ConfigJson): boolean {
  const config = json['quantization_config'] ?? null
  if (config === null) return false
  const settings = config as ConfigJson
  const wanted = { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' }
  for (const [name, value] of Object.entries(wanted))
    if (settings[name] !== value)
      throw new ValueError(
        op,
        `${path}: quantization_config.${name} is ${shown(settings[name])}, but only ${shown(value)} is supported`,
      )
  return true
}

function parse(op: string, path: string, name: string, text: string): Quantised {
  const fail = (why: string): never => {
    throw new ValueError(op, `${path}: ${name}${stateName} ${why}`)
  }
  let state: { readonly [key: string]: unknown } = {}
  try {
    state = JSON.parse(text) as typeof state
  } catch {
    fail('is not valid JSON')
  }
  const { quant_type: type, blocksize, shape, nested_blocksize: nestedBlock, nested_offset: offset } = state
  if (type !== 'nf4') fail(`has quant_type ${shown(type)}, but must have nf4`)
  const per = blocksize as number
  if (!(Number.isSafeInteger(per) && per > 0 && per % block === 0))
    fail(`has blocks of ${shown(blocksize)} numbers, but only multiples of ${block} are supported`)
  const sizes =
    Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size > 0) ? (shape as number[]) : []
  if (sizes.length !== 2) fail(`has shape ${shown(shape)}, but must have that of a matrix`)
  if ((sizes[1] as number) % block !== 0)
    fail(`has shape ${shown(shape)}, but its rows must be whole blocks of ${block}, because products need these`)
  if (nestedBlock === undefined) return { shape: sizes, per, nested: null }
  if (!(Number.isSafeInteger(nestedBlock) && (nestedBlock as number) > 0 && Number.isFinite(offset)))
    fail('must have nested_blocksize and nested_offset that are numbers')
  return { shape: sizes, per, nested: { block: nestedBlock as number, offset: offset as number } }
}

/** A source in which each weight in NF4 is one tensor of blocks. All other tensors are unchanged. */
export class Nf4Source implements TensorSource {
  readonly path: string
  readonly names: readonly string[]
  readonly #source: TensorSource
  readonly #quantised: ReadonlyMap<string, Quantised>
  /** The magnitudes of the last weight that was read, because a weight is read in pieces. */
  #magnitudes: { readonly name: string; readonly values: Float32Array } | null = null

  private constructor(source: TensorSource, quantised: ReadonlyMap<string, Quantised>) {
    this.path = source.path
    const beside = new Set([...quantised.keys()].flatMap((name) => companions.map((each) => name + each)))
    this.names = source.names.filter((name) => !beside.has(name))
    this.#source = source
    this.#quantised = quantised
  }

  /** Reads the descriptions. Throws ValueError for a weight whose parts do not fit together. */
  static async open(op: string, source: TensorSource): Promise<Nf4Source> {
    const quantised = new Map<string, Quantised>()
    for (const name of source.names) {
      if (!name.endsWith(stateName)) continue
      const weight = name.slice(0, -stateName.length)
      const { data } = await source.read(name)
      const found = parse(op, source.path, weight, new TextDecoder().decode(data as Uint8Array))
      const size = countOf(found.shape)
      const magnitudes = Math.ceil(size / found.per)
      const counts = { '': size / 2, '.absmax': magnitudes }
      const nested = { '.nested_quant_map': 256, '.nested_absmax': Math.ceil(magnitudes / (found.nested?.block ?? 1)) }
      for (const [part, count] of Object.entries(found.nested === null ? counts : { ...counts, ...nested })) {
        const spec = source.spec(weight + part)
        const dtype = part === '' || (part === '.absmax' && found.nested !== null) ? 'U8' : 'F32'
        if (spec?.dtype !== dtype || countOf(spec.shape) !== count)
          throw new ValueError(
            op,
            `${source.path}: ${weight}${part} is ${spec === undefined ? 'missing' : `${spec.dtype} ${shown(spec.shape)}`}, but must ` +
              `be ${count} numbers in ${dtype}`,
          )
      }
      quantised.set(weight, found)
    }
    return new Nf4Source(source, quantised)
  }

  /** Names of the weights in NF4. */
  get quantised(): Iterable<string> {
    return this.#quantised.keys()
  }

  spec(name: string): SourceSpec | undefined {
    const found = this.#quantised.get(name)
    return found === undefined ? this.#source.spec(name) : { dtype: 'nf4', shape: found.shape }
  }

  async read(name: string, into?: FileArray, from = 0): Promise<FileTensor> {
    const found = this.#quantised.get(name)
    if (found === undefined) return this.#source.read(name, into, from)
    const blocks = this.#blocksIn(found, into)
    const packed = new Uint8Array(blocks * packedBytes)
    await this.#source.read(name, packed, (from / blockBytes) * packedBytes)
    // Everything is read within one turn, because the parts are small and a piece may be read synchronously.
    return this.#together(name, found, packed, into, from)
  }

  readSync(name: string, into: FileArray, from: number): FileTensor {
    const found = this.#quantised.get(name)
    if (found === undefined) return this.#source.readSync(name, into, from)
    const packed = new Uint8Array(this.#blocksIn(found, into) * packedBytes)
    this.#source.readSync(name, packed, (from / blockBytes) * packedBytes)
    return this.#together(name, found, packed, into, from)
  }

  lend<T>(name: string, from: number, count: number, load: (part: FilePart) => Promise<T>): Promise<T> | null {
    return this.#quantised.has(name) ? null : (this.#source.lend?.(name, from, count, load) ?? null)
  }

  close(): Promise<void> {
    return this.#source.close()
  }

  #blocksIn({ shape }: Quantised, into: FileArray | undefined): number {
    return into === undefined ? countOf(shape) / block : into.length / blockBytes
  }

  /** Blocks in the dtype's form: the magnitude, and then the packed bytes. */
  #together(name: string, found: Quantised, packed: Uint8Array, into: FileArray | undefined, from: number): FileTensor {
    const blocks = packed.length / packedBytes
    const data = (into ?? new Uint8Array(blocks * blockBytes)) as Uint8Array
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    const magnitudes = this.#magnitudesOf(name, found)
    const first = from / blockBytes
    const shared = found.per / block
    for (let i = 0; i < blocks; i++) {
      view.setFloat32(i * blockBytes, magnitudes[Math.floor((first + i) / shared)] as number, true)
      data.set(packed.subarray(i * packedBytes, (i + 1) * packedBytes), i * blockBytes + 4)
    }
    return { dtype: 'nf4', shape: found.shape, data }
  }

  #magnitudesOf(name: string, { shape, per, nested }: Quantised): Float32Array {
    if (this.#magnitudes?.name === name) return this.#magnitudes.values
    const part = <A extends FileArray>(suffix: string, array: A): A => {
      this.#source.readSync(name + suffix, array, 0)
      return array
    }
    const count = Math.ceil(countOf(shape) / per)
    let values: Float32Array
    if (nested === null) values = part('.absmax', new Float32Array(count))
    else {
      const codes = part('.absmax', new Uint8Array(count))
      const table = part('.nested_quant_map', new Float32Array(256))
      const largest = part('.nested_absmax', new Float32Array(Math.ceil(count / nested.block)))
      // Rounded after each step, because bitsandbytes computes in float32.
      values = Float32Array.from(codes, (code, i) => {
        const scaled = Math.fround((table[code] as number) * (largest[Math.floor(i / nested.block)] as number))
        return scaled + Math.fround(nested.offset)
      })
    }
    this.#magnitudes = { name, values }
    return values
  }
}

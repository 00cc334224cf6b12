/**
 * Reads mutated files of arrays: safetensors and IDX. Each must give what a simple reading of its bytes gives, or a
 * ValueError that names the file. A model that loads it may throw any of Firesteel's errors. `mutants.ts` says how to
 * call this.
 */
import { gunzipSync, gzipSync } from 'node:zlib'
import { readIdx } from '../../lib/data/datasets/index.js'
import { nn } from '../../lib/index.js'
import { type ComingTensor, readSafetensors, safetensorsChunks } from '../../lib/io/safetensors.js'
import { below, changed, fuzz, insist, type Kind, mutant, mutated, pick, random, refusalOf } from './mutants.js'

async function safetensorsOf(tensors: { readonly [name: string]: ComingTensor }, metadata = {}): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const { buffer, byteOffset, byteLength } of safetensorsChunks(new Map(Object.entries(tensors)), metadata))
    chunks.push(new Uint8Array(buffer, byteOffset, byteLength))
  return Buffer.concat(chunks)
}

function idxOf(shape: readonly number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header[2] = 8
  header[3] = shape.length
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i)
  const count = shape.reduce((product, size) => product * size, 1)
  return Buffer.concat([header, Buffer.from(Array.from({ length: count }, () => below(256)))])
}

/** The file with the length that its header has after a change, so that the parser is reached. */
function withLength(bytes: Buffer, dataBytes: number): Buffer {
  const length = bytes.length - 8 - dataBytes
  if (length >= 0) bytes.writeBigUInt64LE(BigInt(length))
  return bytes
}

/** The content of a file, read with no check except that every tensor has its bytes. */
function simply(bytes: Buffer): Map<string, Buffer> {
  const length = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as {
    [name: string]: { data_offsets: [number, number] }
  }
  const data = bytes.subarray(8 + length)
  const found = new Map<string, Buffer>()
  let covered = 0
  for (const [
    name,
    {
      data_offsets: [from, to],
    },
  ] of Object.entries(header).filter(([name]) => name !== '__metadata__')) {
    found.set(name, data.subarray(from, to))
    covered += to - from
  }
  if (covered !== data.length) throw new Error(`${covered} of ${data.length} bytes belong to a tensor`)
  return found
}

const same = (a: ArrayBufferView, b: Uint8Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(b)

function refused(error: unknown): null {
  refusalOf(error, mutant)
  return null
}

async function checkSafetensors(bytes: Buffer): Promise<boolean> {
  const tensors = await readSafetensors(mutant).catch(refused)
  if (tensors) {
    const expected = simply(bytes)
    insist(expected.size === tensors.size, `${tensors.size} tensors instead of ${expected.size}`)
    for (const [name, { data }] of tensors) insist(same(data, expected.get(name) as Buffer), `${name} has other bytes`)
  }
  const layer = new nn.Linear(3, 2)
  await layer.load(mutant, { strict: random() < 0.5 }).catch((error: { op?: unknown }) => {
    insist(typeof error.op === 'string', `${error} is none of Firesteel's`)
  })
  return tensors !== null
}

async function checkIdx(bytes: Buffer): Promise<boolean> {
  const content = await readIdx(mutant).catch(refused)
  if (!content) return false
  const { shape, data } = content
  const plain = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes
  insist(same(data, plain.subarray(4 + 4 * shape.length)), 'other bytes')
  insist(data.length === shape.reduce((product, size) => product * size, 1), 'another shape')
  return true
}

const small = await safetensorsOf({
  weight: { dtype: 'F32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
  bias: { dtype: 'F32', shape: [2], data: Float32Array.of(7, 8) },
})
const mixed = await safetensorsOf(
  {
    weight: { dtype: 'BF16', shape: [2, 3], data: new Uint16Array(6) },
    bias: { dtype: 'I64', shape: [2], data: BigInt64Array.of(1n, -1n) },
    none: { dtype: 'F64', shape: [0, 4], data: new Float64Array(0) },
    flags: { dtype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 1) },
    'a"\\é': { dtype: 'U8', shape: [], data: Uint8Array.of(9) },
  },
  { format: 'pt', note: '"\u00e9' },
)
const digits = idxOf([5, 4, 3])
const packed = gzipSync(digits)

const idx: Kind = {
  make: () => mutated(pick([digits, packed])),
  read: checkIdx,
}
const safetensors: Kind = {
  make() {
    const original = pick([small, mixed])
    const headerEnd = 8 + Number(original.readBigUInt64LE())
    let bytes: Buffer = Buffer.from(original)
    for (let changes = pick([1, 1, 1, 2, 5]); changes > 0; changes--)
      bytes = changed(bytes, random() < 0.8 ? headerEnd : bytes.length)
    return bytes.length >= 8 && random() < 0.7 ? withLength(Buffer.from(bytes), original.length - headerEnd) : bytes
  },
  read: checkSafetensors,
}

await fuzz({ safetensors, idx })

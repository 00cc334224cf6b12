/**
 * Reads files that were mutated. Each gives what a simple reading of its bytes gives, or a ValueError (IDX), or any of
 * Firesteel's errors (models), that names the file; none takes long, and all together take little memory.
 *
 * `tsx files.ts SEED SECONDS FILE`: writes what it is about to read into FILE, as base64, so that a crash or a hang can be told.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { readIdx } from '../../lib/data/datasets/index.js'
import { nn, ValueError } from '../../lib/index.js'
import { type ComingTensor, readSafetensors, safetensorsChunks } from '../../lib/io/safetensors.js'
import { randomOf } from '../cases/case.js'
import { mutations } from './mutations.js'

const [, , seedText = '1', secondsText = '5', path = ''] = process.argv
const random = randomOf(Number(seedText))
const { below, pick, changed } = mutations(random)

/** A file takes a thousandth of this where nothing else runs. */
const longMilliseconds = 5000
const moreMemory = 300_000_000

const folder = mkdtempSync(join(tmpdir(), 'firesteel-fuzz-'))
const mutant = join(folder, 'mutant')

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

/** With the length that the header has after a change, so that the parser is reached. */
function withLength(bytes: Buffer, dataBytes: number): Buffer {
  const length = bytes.length - 8 - dataBytes
  if (length >= 0) bytes.writeBigUInt64LE(BigInt(length))
  return bytes
}

/** What a file holds, read without any checks but that every tensor has its bytes. */
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

function insist(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

const same = (a: ArrayBufferView, b: Uint8Array) => Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(b)

async function checkSafetensors(bytes: Buffer): Promise<boolean> {
  const refused = (error: unknown): null => {
    insist(error instanceof ValueError && error.message.includes(mutant), `${error} is no ValueError of the file`)
    insist((error as Error).message.length < 2000, 'the message is endless')
    return null
  }
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
  const content = await readIdx(mutant).catch((error: unknown) => {
    insist(error instanceof ValueError && error.message.includes(mutant), `${error} is no ValueError of the file`)
    return null
  })
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

let done = 0
let read = 0
const before = process.memoryUsage.rss()
const end = Date.now() + 1000 * Number(secondsText)
while (Date.now() < end) {
  const original = pick([small, mixed, small, mixed, digits, packed])
  const isIdx = original === digits || original === packed
  const headerEnd = isIdx ? original.length : 8 + Number(original.readBigUInt64LE())
  let bytes: Buffer = Buffer.from(original)
  for (let changes = pick([1, 1, 1, 2, 5]); changes > 0; changes--)
    bytes = changed(bytes, random() < 0.8 ? headerEnd : bytes.length)
  if (!isIdx && bytes.length >= 8 && random() < 0.7) bytes = withLength(Buffer.from(bytes), original.length - headerEnd)
  writeFileSync(mutant, bytes)
  if (path !== '') writeFileSync(path, bytes.toString('base64'))
  const started = Date.now()
  if (await (isIdx ? checkIdx : checkSafetensors)(bytes)) read++
  insist(Date.now() - started < longMilliseconds, `${Date.now() - started} ms`)
  done++
}
const more = process.memoryUsage.rss() - before
insist(more < moreMemory, `${more} bytes more than before`)
insist(read > 0 && read < done, `${read} of ${done} were read`)
rmSync(folder, { recursive: true })
process.stdout.write(`${done} files, of which ${read} were read\n`)

/**
 * Models in several files: a folder whose index, model.safetensors.index.json or pytorch_model.bin.index.json, names
 * the shard of each tensor. Opening a folder compares all headers with the index, because an index of another save
 * would mix two models.
 */
import type { FilePart } from '../core/device.js'
import { dtypes } from '../core/dtype.js'
import { formatShape, kindOf, ValueError } from '../core/errors.js'
import { warn } from '../core/host.js'
import { isGguf, isTorch } from './formats.js'
import { quoted } from './header.js'
import { InputFile } from './input.js'
import { checkPath, refusal } from './refusal.js'
import { SafetensorsFile } from './safetensors.js'
import {
  type FileArray,
  type FileDType,
  type FileTensor,
  fileArrays,
  isFileDType,
  type SourceSpec,
  type TensorSource,
} from './source.js'
import { dirname, join, readFile, stat } from './system.js'

/** The largest index. The largest published models have 100,000 tensors and an index of 10 MB. */
const mostIndexBytes = 64e6

/** Files of weights that a folder may hold, in order of preference. */
const folderNames = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const

interface Index {
  /** The shard of each tensor. */
  readonly shardOf: ReadonlyMap<string, string>
  /** Bytes of all tensors, if the index tells. */
  readonly total: number | null
}

/** A folder's shards, as one source. */
class ShardedSource implements TensorSource {
  readonly path: string
  readonly names: readonly string[]
  readonly #op: string
  readonly #index: Index
  readonly #shards: ReadonlyMap<string, TensorSource>

  constructor(op: string, path: string, index: Index, shards: ReadonlyMap<string, TensorSource>) {
    this.path = path
    this.names = [...index.shardOf.keys()]
    this.#op = op
    this.#index = index
    this.#shards = shards
  }

  #shardOf(name: string): TensorSource | undefined {
    const shard = this.#index.shardOf.get(name)
    return shard === undefined ? undefined : this.#shards.get(shard)
  }

  spec(name: string): SourceSpec | undefined {
    return this.#shardOf(name)?.spec(name)
  }

  async read(name: string, into?: FileArray, from?: number): Promise<FileTensor> {
    return this.#holder(name).read(name, into, from)
  }

  readSync(name: string, into: FileArray, from: number): FileTensor {
    return this.#holder(name).readSync(name, into, from)
  }

  lend<T>(name: string, from: number, count: number, load: (part: FilePart) => Promise<T>): Promise<T> | null {
    return this.#holder(name).lend?.(name, from, count, load) ?? null
  }

  #holder(name: string): TensorSource {
    const shard = this.#shardOf(name)
    if (shard === undefined) throw new ValueError(this.#op, `${this.path} has no tensor ${quoted(name)}`)
    return shard
  }

  async close(): Promise<void> {
    await closeAll(this.#shards.values())
  }
}

async function closeAll(files: Iterable<TensorSource>): Promise<void> {
  await Promise.all([...files].map((file) => file.close()))
}

async function readIndex(op: string, path: string): Promise<Index> {
  const fail = (why: string): never => {
    throw new ValueError(op, `${path} is not an index of shards: ${why}`)
  }
  let parsed: unknown
  try {
    const { size } = await stat(path)
    if (size > mostIndexBytes) fail(`it has ${size} bytes`)
    parsed = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return fail(`it is not JSON (${error.message})`)
    throw refusal(op, 'read', path, error)
  }
  const { weight_map: map, metadata } = (isTable(parsed) ? parsed : {}) as { readonly [key: string]: unknown }
  if (!isTable(map)) return fail('it has no weight_map, which must name the shard of each tensor')
  const shardOf = new Map<string, string>()
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== 'string')
      return fail(`the shard of ${quoted(name)} is ${kindOf(shard)}, but must be a file's name`)
    // A model has no files in other folders, whatever the index says.
    if (shard === '' || shard === '.' || shard === '..' || /[/\\\0]/.test(shard))
      return fail(`the shard of ${quoted(name)} is ${quoted(shard)}, but must be the name of a file beside the index`)
    shardOf.set(name, shard)
  }
  const total = isTable(metadata) ? metadata['total_size'] : undefined
  if (total !== undefined && !(typeof total === 'number' && total >= 0))
    return fail(`its total_size is ${kindOf(total)}, but must be a number of bytes`)
  return { shardOf, total: total ?? null }
}

function isTable(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Throws if index and shards do not hold the same tensors. Warns of a wrong total, which published models have. */
function checkShards(op: string, path: string, { shardOf, total }: Index, shards: ReadonlyMap<string, TensorSource>) {
  const fail = (why: string): never => {
    throw new ValueError(
      op,
      `${path} does not fit its shards: ${why}; the files are from different saves, or one is damaged`,
    )
  }
  for (const [name, shard] of shardOf)
    if (shards.get(shard)?.spec(name) === undefined) fail(`${quoted(name)} should be in ${shard}, but is not there`)
  let bytes = 0
  let known = true
  for (const [file, source] of shards)
    for (const name of source.names) {
      const { dtype, shape } = source.spec(name) as SourceSpec
      const listed = shardOf.get(name)
      if (listed === undefined)
        fail(`${file} holds ${quoted(name)} ${formatShape(shape)}, which the index does not name`)
      if (listed !== file) fail(`${quoted(name)} is in two shards, ${listed} and ${file}`)
      if (isFileDType(dtype)) bytes += bytesOf(dtype, shape)
      else known = false
    }
  // Each file is as long as its header says, because it would have been refused otherwise. The total was computed by
  // another program.
  if (total !== null && known && total !== bytes)
    warn(
      `[${op}] ${path} says a total_size of ${total}, but its shards have ${bytes} bytes of tensors; they are loaded, because the ` +
        'index names exactly the tensors that are there',
      { type: 'FiresteelWarning', code: 'FIRESTEEL_INDEX' },
    )
}

/** The bytes of a tensor in a file. */
export function bytesOf(dtype: FileDType, shape: readonly number[]): number {
  const own = dtypes as { readonly [name: string]: { readonly bytes: number } }
  return shape.reduce((product, size) => product * size, own[dtype]?.bytes ?? fileArrays[dtype].BYTES_PER_ELEMENT)
}

async function openShards(op: string, path: string): Promise<TensorSource> {
  const index = await readIndex(op, path)
  const shards = new Map<string, TensorSource>()
  try {
    for (const shard of new Set(index.shardOf.values()))
      shards.set(shard, await openFile(op, join(dirname(path), shard)))
    checkShards(op, path, index, shards)
  } catch (error) {
    await closeAll(shards.values())
    throw error
  }
  return new ShardedSource(op, path, index, shards)
}

/**
 * Whether a path leads to something, and whether that is a folder. Throws a typed error for other refusals of the
 * system.
 */
async function kindAt(op: string, path: string): Promise<'folder' | 'file' | null> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw refusal(op, 'read', path, error)
  }
}

/** A file of any kind, told by its first bytes. */
async function openFile(op: string, path: string): Promise<TensorSource> {
  const file = await InputFile.open(op, path)
  let head: Uint8Array
  try {
    head = await file.head(4)
  } finally {
    await file.close()
  }
  if (isGguf(head)) return (await import('./gguf.js')).GgufFile.open(path, op)
  if (isTorch(head)) return (await import('./torch.js')).TorchFile.open(path, op)
  return SafetensorsFile.open(path, op)
}

/**
 * Opens the tensors of a safetensors or GGUF file, of a file of `torch.save`, or of an index of shards. A folder must
 * have model.safetensors, pytorch_model.bin or an index of either kind. Reads only headers, and runs nothing. Throws a
 * ValueError that tells what is at the path instead, what a file asks to run, or the fault of an index. A shard may be
 * missing, outside the folder or from another save.
 */
export async function openTensors(path: string, op = 'openTensors'): Promise<TensorSource> {
  checkPath(op, 'read', path)
  const open = (file: string) => (file.endsWith('.index.json') ? openShards(op, file) : openFile(op, file))
  if ((await kindAt(op, path)) !== 'folder') return open(path)
  for (const name of folderNames) if ((await kindAt(op, join(path, name))) === 'file') return open(join(path, name))
  throw new ValueError(
    op,
    `cannot read ${path}: the folder holds none of ${folderNames.join(', ')}; give the path of a file of tensors`,
  )
}

/**
 * Writes the weights of a folder as one file or as several, with the names, the index and the rule of splitting of
 * Hugging Face: https://huggingface.co/docs/huggingface_hub/package_reference/serialization
 */
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Tensor } from '../core/tensor.js'
import type { NewFile } from './atomic.js'
import { refusal } from './refusal.js'
import { type ComingTensor, safetensorsChunks } from './safetensors.js'
import { bytesOf } from './shards.js'
import { join, readdir } from './system.js'
import { comingTensors } from './tensors.js'

const [whole, index] = ['model.safetensors', 'model.safetensors.index.json']

const units = { KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 } as const

/** The bytes that `maxShardSize` means: a number, or a text such as '5GB' with a decimal unit. */
function shardBytes(op: string, size: unknown): number {
  const [, count, unit] = /^\s*(\d+\.?\d*|\.\d+)\s*([KMGT]B)\s*$/i.exec(typeof size === 'string' ? size : '') ?? []
  const bytes = unit === undefined ? size : Math.floor(Number(count) * units[unit.toUpperCase() as keyof typeof units])
  if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new ValueError(
    op,
    `maxShardSize is ${['string', 'number'].includes(typeof size) ? shown(size) : kindOf(size)}, but must be a whole ` +
      "number of bytes above 0, or a text of a number and KB, MB, GB or TB, such as '5GB'",
  )
}

/**
 * The order of names in transformers: part by part, numbers before texts, and the number at the end of a text counted.
 * So shards are the same as those of a model that transformers loaded and saved.
 */
function byParts(a: string, b: string): number {
  const [left, right] = [a.split('.'), b.split('.')]
  for (let i = 0; i < left.length && i < right.length; i++) {
    const [one, other] = [parted(left[i] as string), parted(right[i] as string)]
    if (one.text !== other.text) return one.text < other.text ? -1 : 1
    if (one.count !== other.count) return one.count - other.count
  }
  return left.length - right.length
}

/** A part's text, which is empty for a number, and the number at its end, or -1. */
function parted(part: string): { readonly text: string; readonly count: number } {
  const digits = /\d*$/.exec(part)?.[0] as string
  return { text: part.slice(0, part.length - digits.length), count: digits === '' ? -1 : Number(digits) }
}

/**
 * The names of each shard's tensors. Tensors keep their order. A tensor begins a new shard if the present one would
 * pass the limit, and a tensor that passes it alone has its own shard, while the present one goes on.
 */
function splitNames(bytes: ReadonlyMap<string, number>, limit: number): string[][] {
  const shards: string[][] = []
  let [names, filled] = [[] as string[], 0]
  for (const [name, size] of bytes) {
    if (size > limit) {
      shards.push([name])
      continue
    }
    if (filled + size > limit) {
      shards.push(names)
      names = []
      filled = 0
    }
    names.push(name)
    filled += size
  }
  if (names.length > 0) shards.push(names)
  return shards
}

/** Weights of a folder that are ready to be written. */
export interface WeightFiles {
  /** The number of files of tensors. */
  readonly count: number
  /** Gives the files names that are free in the folder. */
  readonly placed: () => Promise<PlacedWeights>
}

/**
 * The files of weights, in the order of a save that may be killed at any time: weights, whatever else the folder has,
 * the index, and then the removal of what is outdated. Shards take no name of an earlier save, so its index names its
 * own shards until the new index has its place.
 */
export interface PlacedWeights {
  readonly weights: readonly NewFile[]
  /** Empty if there is one file of weights. */
  readonly index: readonly NewFile[]
  /** Files of an earlier save. The first of them is what a loader would prefer to the new index. */
  readonly outdated: readonly string[]
}

/** The names of shards, of which all saves but the first over others have a number. */
const shardPattern = /^model(-\d+)?-\d{5}-of-\d{5}\.safetensors$/

/**
 * The weights of a folder, as they are now (see `tensorFile`): model.safetensors, or several files and their index if
 * they have more bytes than `maxShardSize`. `parameters` is the number that the index gives. Throws ValueError for a
 * size that is none.
 */
export function weightFiles(
  folder: string,
  tensors: ReadonlyMap<string, Tensor>,
  parameters: number,
  maxShardSize: number | string,
  op: string,
): WeightFiles {
  const limit = shardBytes(op, maxShardSize)
  const coming = comingTensors(tensors, op)
  const bytes = new Map([...coming].map(([name, { dtype, shape }]) => [name, bytesOf(dtype, shape)]))
  const total = [...bytes.values()].reduce((sum, size) => sum + size, 0)
  const shards =
    total <= limit ? [[...bytes.keys()]] : splitNames(new Map([...bytes].sort(([a], [b]) => byParts(a, b))), limit)
  const part = (names: readonly string[]): Map<string, ComingTensor> =>
    new Map(names.map((name) => [name, coming.get(name) as ComingTensor]))
  const chunks = shards.map((names) => safetensorsChunks(part(names), { format: 'pt' }, op))
  const placed = async (): Promise<PlacedWeights> => {
    const there = await namesIn(op, folder)
    const old = there.filter((name) => shardPattern.test(name))
    const isSplit = shards.length > 1
    const names = isSplit ? freeNames(shards.length, new Set(there)) : [whole]
    const outdated = [isSplit ? whole : index, ...old].map((name) => join(folder, name))
    const weights = chunks.map((each, at) => ({ path: join(folder, names[at] as string), chunks: each }))
    if (!isSplit) return { weights, index: [], outdated }
    const shardOf = new Map(shards.flatMap((held, at) => held.map((name) => [name, names[at] as string])))
    const text = new TextEncoder().encode(indexText(parameters, total, shardOf))
    return { weights, index: [{ path: join(folder, index), chunks: [text] }], outdated }
  }
  return { count: shards.length, placed }
}

/** Names of shards, none of which is there: model-00001-of-00002, or model-2-00001-of-00002 and so on. */
function freeNames(count: number, there: ReadonlySet<string>): readonly string[] {
  const digits = (n: number) => String(n).padStart(5, '0')
  for (let save = 1; ; save++) {
    const begin = save === 1 ? 'model' : `model-${save}`
    const names = Array.from({ length: count }, (_, at) => `${begin}-${digits(at + 1)}-of-${digits(count)}.safetensors`)
    if (!names.some((name) => there.has(name))) return names
  }
}

/** The text of an index, as Python writes it with sorted keys. */
function indexText(parameters: number, total: number, shardOf: ReadonlyMap<string, string>): string {
  const sorted = [...shardOf].sort(([a], [b]) => (a < b ? -1 : 1))
  // The members are written one by one, because an object would put names of digits first.
  const lines = sorted.map(([name, shard]) => `    ${JSON.stringify(name)}: ${JSON.stringify(shard)}`)
  const metadata = `    "total_parameters": ${parameters},\n    "total_size": ${total}`
  return `{\n  "metadata": {\n${metadata}\n  },\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`
}

async function namesIn(op: string, folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw refusal(op, 'write', folder, error)
  }
}

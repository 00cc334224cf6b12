/** The file that describes the content of a folder of shards, and the state of its making: `corpus.json`. */
import { join } from 'node:path'
import { shown, ValueError } from '../core/errors.js'
import { writeAtomically } from '../io/atomic.js'
import { readJson } from '../io/json.js'
import type { Deduplication } from './duplicates.js'

export const manifestName = 'corpus.json'

/** Tokens are integers of two or four bytes, little-endian, depending on the size of the vocabulary. */
export type TokenDType = 'uint16' | 'uint32'

/** A file of tokens, with the file of its documents' ends beside it. */
export interface ShardFile {
  /**
   * The name without its ending. `.bin` has the tokens, and `.ends` has the place after each document, in tokens, as
   * uint32.
   */
  readonly name: string
  readonly documents: number
  readonly tokens: number
  /** The CRC-32 of the tokens' bytes, and of the ends'. */
  readonly crc: number
  readonly endsCrc: number
}

/** A part of the corpus. */
export interface SplitFiles {
  readonly shards: readonly ShardFile[]
  /** Bytes of the documents' texts in UTF-8. */
  readonly bytes: number
}

/** The fate of the corpus' rows. */
export interface CorpusCounts {
  /** The number of rows read, which is the sum of the kept ones and all counts below. */
  readonly read: number
  readonly kept: number
  /** Texts with only white space, or without a token. */
  readonly empty: number
  /** Texts that were kept before, apart from case, white space and forms of characters. */
  readonly exactDuplicates: number
  /** Texts that share most of their shingles with a kept one. */
  readonly nearDuplicates: number
  /** Texts that were kept although they were not compared with all possibly similar kept texts. */
  readonly notCompared: number
}

/** Options that decide the content of the shards. None may change in a folder. */
export interface PreparedOptions {
  readonly validation: number
  readonly deduplicate: Deduplication
  readonly similarity: number
  readonly seed: number
  readonly endToken: number | null
  readonly shardTokens: number
}

export interface Manifest {
  readonly format: 1
  readonly complete: boolean
  readonly options: PreparedOptions
  /** The digest of the tokenizer's file, and one more than its highest id. */
  readonly tokenizer: { readonly fingerprint: string; readonly size: number }
  readonly dtype: TokenDType
  readonly counts: CorpusCounts
  readonly splits: { readonly train: SplitFiles; readonly validation: SplitFiles }
  /**
   * The state from which to continue. `first` is the digest of the first texts, which tells another corpus from this
   * one.
   */
  readonly progress: {
    readonly first: string
    readonly seen: { readonly bytes: number; readonly crc: number }
    readonly place: unknown
  }
}

/** The largest manifest, which names about 10,000 shards. */
const mostBytes = 2 ** 24

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
const areCounts = (table: unknown, names: readonly string[]): boolean =>
  typeof table === 'object' &&
  table !== null &&
  names.every((name) => isCount((table as { readonly [name: string]: unknown })[name]))

function isSplit(value: unknown): boolean {
  const { shards, bytes } = (value ?? {}) as Partial<SplitFiles>
  return (
    isCount(bytes) &&
    Array.isArray(shards) &&
    shards.every(
      (shard: Partial<ShardFile> | null) =>
        /^(train|validation)-\d{5,}$/.test(String(shard?.name)) &&
        areCounts(shard, ['documents', 'tokens', 'crc', 'endsCrc']),
    )
  )
}

/** The first part that is wrong, or null. */
function faultOf(value: unknown): string | null {
  const { format, complete, options, tokenizer, dtype, counts, splits, progress } = (value ?? {}) as Partial<Manifest>
  if (format !== 1) return `format is ${shown(format)}, but must be 1`
  const checks = {
    complete: typeof complete === 'boolean',
    options:
      areCounts(options, ['seed', 'shardTokens']) &&
      typeof options?.validation === 'number' &&
      typeof options.similarity === 'number' &&
      ['none', 'exact', 'near'].includes(options.deduplicate) &&
      (options.endToken === null || isCount(options.endToken)),
    tokenizer: typeof tokenizer?.fingerprint === 'string' && isCount(tokenizer.size),
    dtype: dtype === 'uint16' || dtype === 'uint32',
    counts: areCounts(counts, ['read', 'kept', 'empty', 'exactDuplicates', 'nearDuplicates', 'notCompared']),
    splits: isSplit(splits?.train) && isSplit(splits?.validation),
    progress: typeof progress?.first === 'string' && areCounts(progress.seen, ['bytes', 'crc']),
  }
  const wrong = Object.entries(checks).find(([, well]) => !well)
  return wrong === undefined ? null : `${wrong[0]} is missing, or not as prepare writes it`
}

export async function readManifest(op: string, folder: string): Promise<Manifest> {
  const path = join(folder, manifestName)
  const value = await readJson(op, path, mostBytes)
  const fault = faultOf(value)
  if (fault !== null) throw new ValueError(op, `${path} does not describe shards: ${fault}; prepare the corpus again`)
  return value as Manifest
}

export async function writeManifest(op: string, folder: string, manifest: Manifest): Promise<void> {
  const text = `${JSON.stringify(manifest, null, 1)}\n`
  await writeAtomically(join(folder, manifestName), [new TextEncoder().encode(text)], op)
}

export function tokensOf({ shards }: SplitFiles): number {
  return shards.reduce((sum, { tokens }) => sum + tokens, 0)
}

export function documentsOf({ shards }: SplitFiles): number {
  return shards.reduce((sum, { documents }) => sum + documents, 0)
}

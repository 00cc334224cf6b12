/** Shards of tokens in a folder, and windows of them, read by range, in batches from which a run can resume. */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { shown, ValueError } from '../core/errors.js'
import { Generator } from '../core/generator.js'
import { checkFlag, checkOptions } from '../core/options.js'
import { askRoom } from '../core/room.js'
import type { Tensor } from '../core/tensor.js'
import { Dataset } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import type { InputFile } from '../io/input.js'
import { checkPath } from '../io/refusal.js'
import { fromTypedArray } from '../ops/creation.js'
import { FilePool } from './file-pool.js'
import {
  type CorpusCounts,
  documentsOf,
  type PreparedOptions,
  readManifest,
  type ShardFile,
  type SplitFiles,
  type TokenDType,
  tokensOf,
} from './manifest.js'
import { shuffledRows } from './order.js'

const op = 'openShards'

/** A batch for models that predict the next token, such as `model.loss(ids, { labels, positions, documents })`. */
export interface WindowBatch {
  /** int32 [B, T]. */
  readonly ids: Tensor
  /**
   * int32 [B, T]: the ids. With `documents`, -100 at each document's first token, because nothing before it predicts
   * it.
   */
  readonly labels: Tensor
  /** int32 [B, T]: the position of each token in its document's part of the window. Only with `documents`. */
  readonly positions?: Tensor
  /** int32 [B, T]: the document's number in its window, from 0. Only with `documents`. */
  readonly documents?: Tensor
}

export interface WindowOptions {
  /** Tokens of a window, which are as many as the model sees. */
  readonly length: number
  /** Whether batches tell where documents end, so that attention can stay within them. Default false. */
  readonly documents?: boolean
}

export interface ShardBatchesOptions extends WindowOptions {
  /** Windows in a batch. Default 1. */
  readonly batchSize?: number
  /** Whether windows come in another random order in each pass. Default false. */
  readonly shuffle?: boolean
  /** The seed of the order. Default: drawn from the default generator. */
  readonly seed?: number
  /** Leave out a last batch with fewer windows. Default false. */
  readonly dropLast?: boolean
}

export interface Shards {
  readonly train: TokenShards
  /** The held-out part, without tokens if nothing was held out. */
  readonly validation: TokenShards
  /** The fate of the corpus' rows. */
  readonly counts: CorpusCounts
  readonly options: PreparedOptions
  readonly tokenizer: { readonly fingerprint: string; readonly size: number }
  /** Closes the files. */
  close(): Promise<void>
}

/**
 * Opens a folder that `prepare` wrote. Throws ValueError for an unfinished folder, and for files whose length has
 * changed.
 */
export async function openShards(folder: string): Promise<Shards> {
  checkPath(op, 'read', folder)
  const manifest = await readManifest(op, folder)
  const { complete, splits, dtype, counts, options, tokenizer } = manifest
  if (!complete)
    throw new ValueError(
      op,
      `${folder} is not whole: ${counts.read} rows were read when prepare was interrupted; call it again with the same corpus and options`,
    )
  const train = await TokenShards.open(folder, splits.train, dtype)
  try {
    const validation = await TokenShards.open(folder, splits.validation, dtype)
    const close = async () => {
      await Promise.all([train.close(), validation.close()])
    }
    return { train, validation, counts, options, tokenizer, close }
  } catch (error) {
    await train.close()
    throw error
  }
}

interface PlacedShard extends ShardFile {
  /** The place where it begins in the sequence of all tokens. */
  readonly start: number
  /** The paths of its tokens, and of the ends of its documents. */
  readonly path: string
  readonly ends: string
}

/** The tokens of one part of a corpus, one document after another. */
export class TokenShards {
  readonly tokens: number
  readonly documents: number
  /** Bytes of the documents' texts in UTF-8, by which `bitsPerByte` divides. */
  readonly bytes: number
  readonly dtype: TokenDType
  readonly #shards: readonly PlacedShard[]
  readonly #pool: FilePool
  /** The place after each document, in tokens from the first. Read on demand. */
  #ends: Float64Array | null = null

  private constructor(files: SplitFiles, dtype: TokenDType, shards: readonly PlacedShard[], pool: FilePool) {
    this.tokens = tokensOf(files)
    this.documents = documentsOf(files)
    this.bytes = files.bytes
    this.dtype = dtype
    this.#shards = shards
    this.#pool = pool
  }

  static async open(folder: string, files: SplitFiles, dtype: TokenDType): Promise<TokenShards> {
    const shards: PlacedShard[] = []
    const pool = new FilePool(op)
    const check = (path: string, bytes: number) =>
      pool.read(path, async ({ size }) => {
        if (size !== bytes)
          throw new ValueError(
            op,
            `${path} has ${size} bytes, but should have ${bytes}; delete the folder, and prepare the corpus again`,
          )
      })
    try {
      let start = 0
      for (const shard of files.shards) {
        const [path, ends] = [join(folder, `${shard.name}.bin`), join(folder, `${shard.name}.ends`)]
        await check(path, shard.tokens * (dtype === 'uint16' ? 2 : 4))
        await check(ends, 4 * shard.documents)
        shards.push({ ...shard, start, path, ends })
        start += shard.tokens
      }
      return new TokenShards(files, dtype, shards, pool)
    } catch (error) {
      await pool.close()
      throw error
    }
  }

  /** Reads tokens from a place on. */
  async read(from: number, count: number): Promise<Int32Array> {
    if (
      !Number.isSafeInteger(from) ||
      !Number.isSafeInteger(count) ||
      from < 0 ||
      count < 0 ||
      from + count > this.tokens
    )
      throw new ValueError(
        'TokenShards.read',
        `tokens ${shown(from)} to ${shown(from + count)} were asked for, but there are ${this.tokens}`,
      )
    askRoom(4 * count, 'TokenShards.read')
    const ids = new Int32Array(count)
    for (let done = 0, i = this.#shardAt(from); done < count; i++) {
      const { path, start, tokens } = this.#shards[i] as PlacedShard
      const first = from + done - start
      const part = Math.min(count - done, tokens - first)
      const elements = this.dtype === 'uint16' ? new Uint16Array(part) : new Uint32Array(part)
      await this.#pool.read(path, (file) => file.fill('a window', first * elements.BYTES_PER_ELEMENT, elements))
      ids.set(elements, done)
      done += part
    }
    return ids
  }

  /** The last shard that begins at or before a token. */
  #shardAt(token: number): number {
    return lastAtMost(this.#shards.length, (i) => (this.#shards[i] as PlacedShard).start, token)
  }

  /** The ends of documents within (from, to), in tokens from `from`. */
  async #endsWithin(from: number, to: number): Promise<number[]> {
    this.#ends ??= await this.#readEnds()
    const ends = this.#ends
    const within: number[] = []
    for (let i = lastAtMost(ends.length, (at) => ends[at] as number, from) + 1; i < ends.length; i++) {
      const end = ends[i] as number
      if (end >= to) break
      within.push(end - from)
    }
    return within
  }

  async #readEnds(): Promise<Float64Array> {
    askRoom(8 * this.documents, 'TokenShards')
    const ends = new Float64Array(this.documents)
    let done = 0
    for (const { ends: path, documents, start, endsCrc } of this.#shards) {
      const own = await this.#pool.read(path, (file) => file.read('the ends of documents', 0, Uint32Array, documents))
      // Ends are checked here, because they are read whole, and with wrong ones attention would cross documents.
      checkCrc('TokenShards', path, crc32(new Uint8Array(own.buffer, own.byteOffset, own.byteLength)), endsCrc)
      for (const end of own) ends[done++] = start + end
    }
    return ends
  }

  /**
   * Windows of `length` tokens in order. Each begins with the last token of the one before, so that every token but the
   * first is predicted once in a pass. The remainder at the end, with fewer tokens than a window, is left out.
   */
  windows(options: WindowOptions): Dataset<WindowRow, WindowBatch> {
    const name = 'TokenShards.windows'
    const { length, documents = false } = checkOptions(name, options, { length: true, documents: true })
    return new Windows(name, this, length, documents, (from, to) => this.#endsWithin(from, to))
  }

  /**
   * Batches of windows, for `trainer.fit` and evaluations. Checkpoints record the position. With `shuffle` each pass
   * has its own order, by the seed.
   */
  batches(options: ShardBatchesOptions): DataLoader<WindowRow, WindowBatch> {
    const name = 'TokenShards.batches'
    const {
      length,
      documents,
      batchSize,
      shuffle = false,
      seed,
      dropLast,
    } = checkOptions(name, options, {
      length: true,
      documents: true,
      batchSize: true,
      shuffle: true,
      seed: true,
      dropLast: true,
    })
    checkFlag(name, 'shuffle', shuffle)
    if (seed !== undefined && !shuffle)
      throw new ValueError(name, 'seed is given, but windows are not shuffled; also give shuffle: true')
    const windows = new Windows(name, this, length, documents ?? false, (from, to) => this.#endsWithin(from, to))
    return new DataLoader<WindowRow, WindowBatch>(windows, {
      ...(batchSize !== undefined && { batchSize }),
      ...(dropLast !== undefined && { dropLast }),
      ...(shuffle && { sampler: shuffledRows }),
      ...(seed !== undefined && { generator: new Generator(seed) }),
    })
  }

  /** Reads every file. Throws ValueError for a file whose bytes differ from the written ones. */
  async verify(): Promise<void> {
    for (const { path, ends, crc, endsCrc } of this.#shards)
      for (const [each, wanted] of [
        [path, crc],
        [ends, endsCrc],
      ] as const)
        checkCrc('TokenShards.verify', each, await this.#pool.read(each, crcOf), wanted)
  }

  /** Closes the files. */
  async close(): Promise<void> {
    await this.#pool.close()
  }
}

function checkCrc(op: string, path: string, found: number, wanted: number): void {
  if (found !== wanted)
    throw new ValueError(
      op,
      `the bytes of ${path} differ from those written; prepare the corpus again, in another folder`,
    )
}

async function crcOf(file: InputFile): Promise<number> {
  let found = 0
  for (let at = 0; at < file.size; at += pieceBytes)
    found = crc32(await file.read('a piece', at, Uint8Array, Math.min(pieceBytes, file.size - at)), found)
  return found
}

const pieceBytes = 1 << 20

/** The index of the last of `count` ascending numbers that is at most `value`, or -1. */
function lastAtMost(count: number, at: (index: number) => number, value: number): number {
  let [low, high] = [0, count]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (at(middle) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** The tokens of a window, and the ends of documents in it, in tokens from its beginning. */
export interface WindowRow {
  readonly ids: Int32Array
  readonly ends: readonly number[]
}

class Windows extends Dataset<WindowRow, WindowBatch> {
  readonly length: number
  readonly #shards: TokenShards
  readonly #tokens: number
  readonly #documents: boolean
  readonly #endsWithin: (from: number, to: number) => Promise<number[]>

  constructor(
    name: string,
    shards: TokenShards,
    tokens: number,
    documents: boolean,
    endsWithin: (from: number, to: number) => Promise<number[]>,
  ) {
    super()
    if (!Number.isSafeInteger(tokens) || tokens < 2)
      throw new ValueError(name, `length is ${shown(tokens)}, but must be a number of tokens, at least 2`)
    checkFlag(name, 'documents', documents)
    if (shards.tokens < tokens)
      throw new ValueError(
        name,
        `there are ${shards.tokens} tokens, but a window has ${tokens}; give a smaller length, ${shards.tokens === 0 ? 'hold documents back (validation)' : 'or more text'}`,
      )
    this.#shards = shards
    this.#tokens = tokens
    this.#documents = documents
    this.#endsWithin = endsWithin
    this.length = Math.floor((shards.tokens - 1) / (tokens - 1))
  }

  async get(index: number): Promise<WindowRow> {
    const from = index * (this.#tokens - 1)
    const ids = await this.#shards.read(from, this.#tokens)
    return { ids, ends: this.#documents ? await this.#endsWithin(from, from + this.#tokens) : [] }
  }

  override async batch(indices: readonly number[]): Promise<WindowBatch> {
    const rows = await this.rows(indices)
    const shape = [rows.length, this.#tokens] as const
    const all = new Int32Array(rows.length * this.#tokens)
    for (const [i, { ids }] of rows.entries()) all.set(ids, i * this.#tokens)
    const ids = fromTypedArray(all, shape)
    if (!this.#documents) return { ids, labels: ids }
    const [labels, positions, documents] = [all.slice(), new Int32Array(all.length), new Int32Array(all.length)]
    for (const [i, { ends }] of rows.entries()) {
      const bounds = [0, ...ends, this.#tokens]
      for (let d = 0; d + 1 < bounds.length; d++) {
        const start = bounds[d] as number
        labels[i * this.#tokens + start] = -100
        for (let t = start; t < (bounds[d + 1] as number); t++) {
          positions[i * this.#tokens + t] = t - start
          documents[i * this.#tokens + t] = d
        }
      }
    }
    return {
      ids,
      labels: fromTypedArray(labels, shape),
      positions: fromTypedArray(positions, shape),
      documents: fromTypedArray(documents, shape),
    }
  }
}

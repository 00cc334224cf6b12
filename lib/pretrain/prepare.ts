/**
 * Turns a corpus into shards of tokens, in one pass. Memory grows with the number of texts, and with the characters and
 * tokens of the longest one.
 */
import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isIterable } from '../core/engine.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import { nextTurn } from '../core/host.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import { Dataset } from '../data/dataset.js'
import { IterableDataset, type PassState, type RowSource } from '../data/iterable.js'
import { makeFolder } from '../io/folders.js'
import { checkPath } from '../io/refusal.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'
import { checkSignal } from '../train/checks.js'
import { FolderLock } from '../train/record/lock.js'
import { AppendedFile } from './append.js'
import { type Deduplication, KeptTexts, type Look } from './duplicates.js'
import { digestOf, normalised } from './likeness.js'
import { idsOfLong } from './long-text.js'
import {
  type CorpusCounts,
  documentsOf,
  type Manifest,
  manifestName,
  type PreparedOptions,
  readManifest,
  writeManifest,
} from './manifest.js'
import { openShards, type Shards } from './shards.js'
import { SplitWriter } from './split-writer.js'

/** A document: its text, or a row that has it in `text`. */
export type CorpusRow = string | { readonly text: string }

/** The part of a tokenizer that preparing a corpus needs. */
export type CorpusTokenizer = Pick<Tokenizer, 'size' | 'encode' | 'toJSON' | 'idFor'>

export interface PrepareOptions {
  /**
   * The share of documents that is held out, from 0 to below 1. A hash of the text decides, so that the same text goes
   * the same way in every corpus. Default 0.
   */
  readonly validation?: number
  /**
   * Leaves out texts that were kept before, in either part. 'exact' leaves out those that differ only in case, white
   * space or forms of characters. true also leaves out those that share most of their runs of five words (in Chinese,
   * characters). Default false.
   */
  readonly deduplicate?: boolean | 'exact'
  /** The share of common runs from which texts are near duplicates, as MinHash estimates it. Default 0.8. */
  readonly similarity?: number
  /** Chooses which documents are held out. Default 0. */
  readonly seed?: number
  /** The id after each document, or null for none. Default: the tokenizer's `eos`, or else `sep`, if it has one. */
  readonly endToken?: number | null
  /** The number of tokens at which a shard is full. Default 2^26. */
  readonly shardTokens?: number
  /** Called now and then with the counts of the rows so far. */
  readonly onProgress?: (counts: CorpusCounts) => void
  /** Ends the work, which a later call can continue. */
  readonly signal?: AbortSignal
}

const names: OptionNames<PrepareOptions> = {
  validation: true,
  deduplicate: true,
  similarity: true,
  seed: true,
  endToken: true,
  shardTokens: true,
  onProgress: true,
  signal: true,
}

const op = 'prepare'

/** A commit comes after this many rows, or this many characters. */
const rowsBetween = 2 ** 14
const charactersBetween = 2 ** 25

/** The number of texts whose digest tells one corpus from another. */
const firstTexts = 16

/** Rows after which timers and signals get a turn, because a corpus in memory never waits. */
const rowsInTurn = 64

const seenName = 'seen.partial'

/**
 * Writes the tokens of a corpus into a folder, and makes the folder if it is missing: `await
 * prepare(textFiles('corpus/*.txt'), tokenizer, 'shards', { validation: 0.01, deduplicate: true })`. A row is a
 * document. The first of several duplicates is kept. The counts of the result tell what was left out. An interrupted
 * call continues from the last commit, and a finished folder is only opened. Throws ValueError if a row, which is named
 * by its number, has no text. Throws ValueError if the folder was made from another corpus, with another tokenizer or
 * with other options, or if a part would be empty.
 */
export async function prepare(
  corpus: RowSource<CorpusRow> | Dataset<CorpusRow>,
  tokenizer: CorpusTokenizer,
  folder: string,
  options: PrepareOptions = {},
): Promise<Shards> {
  const prepared = preparedOptions(tokenizer, options)
  const rows = streamOf(corpus)
  checkPath(op, 'write', folder)
  await makeFolder(op, folder)
  const lock = await FolderLock.take(op, folder)
  try {
    const first = await firstOf(rows)
    const manifest = await begun(folder, tokenizer, prepared, first)
    if (!manifest.complete) await new Preparation(folder, tokenizer, manifest, options).run(rows)
  } finally {
    lock.release()
  }
  return openShards(folder)
}

function preparedOptions(tokenizer: CorpusTokenizer, options: PrepareOptions): PreparedOptions {
  checkOptions(op, options, names)
  const { validation = 0, deduplicate = false, seed = 0, shardTokens = 2 ** 26 } = options
  const { size, encode, toJSON, idFor } = (tokenizer ?? {}) as Partial<CorpusTokenizer>
  if (![encode, toJSON, idFor].every((each) => typeof each === 'function') || !Number.isSafeInteger(size))
    throw new ValueError(
      op,
      `the tokenizer is ${kindOf(tokenizer)}, but must be a Tokenizer, as AutoTokenizer.load gives`,
    )
  const { endToken = tokenizer.idFor('eos') ?? tokenizer.idFor('sep') } = options
  if (!(typeof validation === 'number' && validation >= 0 && validation < 1))
    throw new ValueError(
      op,
      `validation is ${shown(validation)}, but must be a share of the documents, from 0 to below 1`,
    )
  if (typeof deduplicate !== 'boolean' && deduplicate !== 'exact')
    throw new ValueError(op, `deduplicate is ${shown(deduplicate)}, but must be true, false or 'exact'`)
  if (options.similarity !== undefined && deduplicate !== true)
    throw new ValueError(
      op,
      'similarity is given, but near duplicates are not searched for; also give deduplicate: true',
    )
  const { similarity = 0.8 } = options
  if (!(typeof similarity === 'number' && similarity > 0 && similarity <= 1))
    throw new ValueError(op, `similarity is ${shown(similarity)}, but must be above 0 and at most 1`)
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ValueError(op, `seed is ${shown(seed)}, but must be a non-negative integer`)
  if (!Number.isSafeInteger(shardTokens) || shardTokens < 1 || shardTokens > 2 ** 30)
    throw new ValueError(op, `shardTokens is ${shown(shardTokens)}, but must be an integer from 1 to ${2 ** 30}`)
  if (endToken !== null && !(Number.isSafeInteger(endToken) && endToken >= 0 && endToken < tokenizer.size))
    throw new ValueError(
      op,
      `endToken is ${shown(endToken)}, but must be an id of the tokenizer, from 0 to ${tokenizer.size - 1}, or null`,
    )
  checkSignal(op, options.signal)
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function')
    throw new ValueError(op, `onProgress is ${shown(options.onProgress)}, but must be a function of counts`)
  const mode: Deduplication = deduplicate === true ? 'near' : deduplicate === 'exact' ? 'exact' : 'none'
  return { validation, deduplicate: mode, similarity, seed, endToken, shardTokens }
}

function streamOf(corpus: RowSource<CorpusRow> | Dataset<CorpusRow>): IterableDataset<CorpusRow> {
  if (corpus instanceof IterableDataset) return corpus
  if (corpus instanceof Dataset) return corpus.stream()
  if (!isIterable(corpus))
    throw new ValueError(
      op,
      `the corpus is ${kindOf(corpus)}, but must be texts or rows with a text: textFiles(...), jsonl(...), parquet(...) or a list`,
    )
  if ('next' in corpus)
    throw new ValueError(
      op,
      'the corpus is an iterator, which can be read once, but its beginning is read twice; give what begins a pass: new ' +
        'IterableDataset(() => rows())',
    )
  return new IterableDataset(() => corpus)
}

function textOf(row: unknown, number: number): string {
  const text = typeof row === 'string' ? row : (row as { readonly text?: unknown } | null)?.text
  if (typeof text === 'string') return text
  const found =
    typeof row === 'object' && row !== null
      ? `has ${kindOf(text)} for its text (there are ${Object.keys(row).slice(0, 20).join(', ') || 'no columns'})`
      : `is ${kindOf(row)}`
  throw new ValueError(
    op,
    `row ${number} of the corpus ${found}, but must be a text, or have one in 'text'; name it by map: rows.map((row) => row.body)`,
  )
}

/** The digest of the first texts. */
async function firstOf(rows: IterableDataset<CorpusRow>): Promise<string> {
  const hash = createHash('sha256')
  let number = 0
  for await (const row of rows.take(firstTexts)) hash.update(`${JSON.stringify(textOf(row, number++))}\n`)
  if (number === 0) throw new ValueError(op, 'the corpus has no rows')
  return hash.digest('hex')
}

/** A digest of everything that the tokenizer does. */
function fingerprintOf(tokenizer: CorpusTokenizer): string {
  return createHash('sha256').update(JSON.stringify(tokenizer.toJSON())).digest('hex')
}

/** The manifest of the folder if it belongs to exactly this work, or a new one. */
async function begun(
  folder: string,
  tokenizer: CorpusTokenizer,
  options: PreparedOptions,
  first: string,
): Promise<Manifest> {
  const { size } = tokenizer
  const fingerprint = fingerprintOf(tokenizer)
  const there = (await readdir(folder)).filter((name) => !name.startsWith('run.lock') && !name.endsWith('.partial'))
  if (!there.includes(manifestName)) {
    if (there.length > 0)
      throw new ValueError(
        op,
        `${folder} holds ${there.slice(0, 3).join(', ')}, but no ${manifestName}; give an empty folder, or one that is not there`,
      )
    const manifest: Manifest = {
      format: 1,
      complete: false,
      options,
      tokenizer: { fingerprint, size },
      dtype: size <= 2 ** 16 ? 'uint16' : 'uint32',
      counts: { read: 0, kept: 0, empty: 0, exactDuplicates: 0, nearDuplicates: 0, notCompared: 0 },
      splits: { train: { shards: [], bytes: 0 }, validation: { shards: [], bytes: 0 } },
      progress: { first, seen: { bytes: 0, crc: 0 }, place: null },
    }
    await writeManifest(op, folder, manifest)
    return manifest
  }
  const manifest = await readManifest(op, folder)
  const changed = Object.keys(options).flatMap((name) => {
    const [before, now] = [manifest.options[name as keyof PreparedOptions], options[name as keyof PreparedOptions]]
    return before === now ? [] : [`${name} was ${shown(before)} and is ${shown(now)}`]
  })
  if (manifest.tokenizer.fingerprint !== fingerprint)
    changed.unshift(`the tokenizer is another one (of ${manifest.tokenizer.size} tokens before, of ${size} now)`)
  if (manifest.progress.first !== first) changed.push('the corpus begins with different texts')
  if (changed.length > 0)
    throw new ValueError(
      op,
      `${folder} was made differently: ${changed.join('; ')}. Give another folder, or delete this one`,
    )
  return manifest
}

/** The work from one state of the folder to the next. */
class Preparation {
  readonly #folder: string
  readonly #tokenizer: CorpusTokenizer
  readonly #options: PrepareOptions
  #manifest: Manifest
  readonly #counts: { -readonly [K in keyof CorpusCounts]: CorpusCounts[K] }

  constructor(folder: string, tokenizer: CorpusTokenizer, manifest: Manifest, options: PrepareOptions) {
    this.#folder = folder
    this.#tokenizer = tokenizer
    this.#manifest = manifest
    this.#options = options
    this.#counts = { ...manifest.counts }
  }

  async run(rows: IterableDataset<CorpusRow>): Promise<void> {
    const { dtype, splits, progress, options } = this.#manifest
    const form = { dtype, shardTokens: options.shardTokens }
    const closing: { close(): Promise<void> }[] = []
    const opened = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
      const made = await opening
      closing.push(made)
      return made
    }
    try {
      const parts = {
        train: await opened(SplitWriter.open(op, this.#folder, 'train', form, splits.train)),
        validation: await opened(SplitWriter.open(op, this.#folder, 'validation', form, splits.validation)),
      }
      const { bytes, crc } = progress.seen
      const seen = await opened(AppendedFile.open(op, join(this.#folder, seenName), bytes, crc))
      const { deduplicate, similarity } = options
      const kept = deduplicate === 'none' ? null : new KeptTexts(deduplicate, similarity, seen)
      await this.#read(rows, parts, seen, kept)
      this.#checkParts()
    } finally {
      await Promise.allSettled(closing.map((each) => each.close()))
    }
    await writeManifest(op, this.#folder, { ...this.#manifest, complete: true })
    await rm(join(this.#folder, seenName), { force: true })
  }

  async #read(
    rows: IterableDataset<CorpusRow>,
    parts: { readonly train: SplitWriter; readonly validation: SplitWriter },
    seen: AppendedFile,
    kept: KeptTexts | null,
  ): Promise<void> {
    const { signal, onProgress } = this.#options
    const counts = this.#counts
    const notComparedBefore = counts.notCompared
    const pass = rows.pass((this.#manifest.progress.place ?? undefined) as PassState | undefined)
    const commit = async () => {
      if (kept !== null) counts.notCompared = notComparedBefore + kept.notCompared
      const splits = { train: await parts.train.commit(), validation: await parts.validation.commit() }
      await seen.commit()
      const { first } = this.#manifest.progress
      const progress = { first, seen: { bytes: seen.length, crc: seen.crc }, place: pass.state() }
      this.#manifest = { ...this.#manifest, counts: { ...counts }, splits, progress }
      await writeManifest(op, this.#folder, this.#manifest)
      onProgress?.({ ...counts })
    }
    let [since, characters] = [0, 0]
    try {
      for await (const row of pass) {
        const text = textOf(row, counts.read)
        await this.#take(text, parts, kept)
        counts.read++
        characters += text.length
        if (++since % rowsInTurn === 0) await nextTurn()
        if (since >= rowsBetween || characters >= charactersBetween) {
          await commit()
          ;[since, characters] = [0, 0]
        }
        if (signal?.aborted) {
          await commit()
          throw signal.reason
        }
      }
    } finally {
      await pass.return()
    }
    await commit()
  }

  async #take(
    text: string,
    parts: { readonly train: SplitWriter; readonly validation: SplitWriter },
    kept: KeptTexts | null,
  ): Promise<void> {
    const counts = this.#counts
    const { validation, seed, endToken } = this.#manifest.options
    const plain = normalised(text)
    if (plain === '') {
      counts.empty++
      return
    }
    const digest = digestOf(plain, seed)
    const look: Look | null = kept === null ? null : kept.look(plain, digest)
    if (look !== null && look.duplicate !== null) {
      counts[look.duplicate === 'exact' ? 'exactDuplicates' : 'nearDuplicates']++
      return
    }
    const ids = await idsOfLong((part) => this.#tokenizer.encode(part, { specialTokens: false }), text)
    if (ids.length === 0) {
      counts.empty++
      return
    }
    const wrong = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < this.#tokenizer.size))
    if (wrong !== undefined)
      throw new ValueError(
        op,
        `the tokenizer gave the id ${shown(wrong)} for row ${counts.read}, but its ids go from 0 to ${this.#tokenizer.size - 1}`,
      )
    if (look !== null) kept?.add(look)
    const chance = ((digest[2] as number) * 2 ** 21 + ((digest[3] as number) >>> 11)) / 2 ** 53
    const part = chance < validation ? parts.validation : parts.train
    if (endToken !== null) ids.push(endToken)
    await part.add(ids, Buffer.byteLength(text))
    counts.kept++
  }

  #checkParts(): void {
    const { splits, options, counts } = this.#manifest
    const [train, validation] = [documentsOf(splits.train), documentsOf(splits.validation)]
    if (train > 0 && (validation > 0 || options.validation === 0)) return
    throw new ValueError(
      op,
      `the ${train === 0 ? 'training' : 'validation'} part is empty: of ${counts.read} rows ${counts.kept} were kept, and validation is ` +
        `${options.validation}; delete ${this.#folder}, and give more documents, another share or another seed`,
    )
  }
}

/** One part of the corpus on its way to the disk: it writes documents into shards. */
import { join } from 'node:path'
import { AppendedFile } from './append.js'
import type { ShardFile, SplitFiles, TokenDType } from './manifest.js'

interface Open {
  readonly name: string
  readonly tokens: AppendedFile
  readonly ends: AppendedFile
  documents: number
  count: number
}

export class SplitWriter {
  readonly #op: string
  readonly #folder: string
  readonly #split: 'train' | 'validation'
  readonly #Tokens: Uint16ArrayConstructor | Uint32ArrayConstructor
  readonly #shardTokens: number
  /** Shards that are complete and on the disk. */
  readonly #whole: ShardFile[]
  #open: Open | null = null
  #bytes: number

  private constructor(
    op: string,
    folder: string,
    split: 'train' | 'validation',
    { dtype, shardTokens }: { readonly dtype: TokenDType; readonly shardTokens: number },
    { shards, bytes }: SplitFiles,
  ) {
    this.#op = op
    this.#folder = folder
    this.#split = split
    this.#Tokens = dtype === 'uint16' ? Uint16Array : Uint32Array
    this.#shardTokens = shardTokens
    this.#whole = [...shards]
    this.#bytes = bytes
  }

  /** Continues after the manifest's content. Bytes left by a kill are cut off. */
  static async open(
    op: string,
    folder: string,
    split: 'train' | 'validation',
    form: { readonly dtype: TokenDType; readonly shardTokens: number },
    files: SplitFiles,
  ): Promise<SplitWriter> {
    const writer = new SplitWriter(op, folder, split, form, files)
    const last = writer.#whole.at(-1)
    if (last !== undefined && last.tokens < form.shardTokens) {
      writer.#whole.pop()
      await writer.#begin(last)
    }
    return writer
  }

  async #begin(shard: ShardFile): Promise<Open> {
    const path = join(this.#folder, shard.name)
    const bytes = shard.tokens * this.#Tokens.BYTES_PER_ELEMENT
    const tokens = await AppendedFile.open(this.#op, `${path}.bin`, bytes, shard.crc)
    const ends = await AppendedFile.open(this.#op, `${path}.ends`, 4 * shard.documents, shard.endsCrc)
    this.#open = { name: shard.name, tokens, ends, documents: shard.documents, count: shard.tokens }
    return this.#open
  }

  /**
   * Adds a document whose text has this many bytes. It lies within one shard. If that is full, the next document begins
   * a new shard.
   */
  async add(ids: readonly number[], bytes: number): Promise<void> {
    if (this.#open !== null && this.#open.count >= this.#shardTokens) await this.#end()
    const name = `${this.#split}-${String(this.#whole.length).padStart(5, '0')}`
    const open = this.#open ?? (await this.#begin({ name, documents: 0, tokens: 0, crc: 0, endsCrc: 0 }))
    open.tokens.append(this.#Tokens.from(ids))
    open.count += ids.length
    open.documents++
    open.ends.append(Uint32Array.of(open.count))
    this.#bytes += bytes
  }

  /** Resolves when all documents are on the disk, and returns their files. */
  async commit(): Promise<SplitFiles> {
    await this.#open?.tokens.commit()
    await this.#open?.ends.commit()
    return { shards: [...this.#whole, ...(this.#open === null ? [] : [fileOf(this.#open)])], bytes: this.#bytes }
  }

  async #end(): Promise<void> {
    const open = this.#open
    if (open === null) return
    await this.commit()
    this.#whole.push(fileOf(open))
    await this.close()
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = null
    await open?.tokens.close()
    await open?.ends.close()
  }
}

function fileOf({ name, tokens, ends, documents, count }: Open): ShardFile {
  return { name, documents, tokens: count, crc: tokens.crc, endsCrc: ends.crc }
}

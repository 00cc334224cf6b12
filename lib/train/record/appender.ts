/** A file that grows while the training runs: written in the background, a few times a second. */
import type { FileHandle } from 'node:fs/promises'
import { warn } from '../../core/host.js'
import { refusal } from '../../io/refusal.js'
import { Buffer, ftruncateSync, open, process, writeSync } from './system.js'

/** In milliseconds: what is told within is written together. */
const every = 500

/** Bytes that may wait for a disk which takes nothing. More is left out, and counted. */
const mostWaiting = 4 * 2 ** 20

/**
 * Bytes are written in order, each piece at its place in the file, so that one that was written in part is written again as a
 * whole. Where the system refuses (a full disk), that is told once, and tried again: the training goes on.
 */
export class Appender {
  readonly #path: string
  readonly #file: FileHandle
  #end: number
  #waiting: Uint8Array[] = []
  #bytes = 0
  #lost = 0
  #told = false
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> = Promise.resolve()
  /** All that are open, which the process writes to when it ends in the midst of a training. */
  static readonly #open = new Set<Appender>()
  static #watched = false

  private constructor(path: string, file: FileHandle, end: number) {
    this.#path = path
    this.#file = file
    this.#end = end
    Appender.#open.add(this)
    // One listener for all, because Node warns of many.
    if (!Appender.#watched) process.once('exit', Appender.#rescueAll)
    Appender.#watched = true
  }

  /** Opens a file, made where it is missing, whose first `keep` bytes stay. Throws ValueError where the system refuses. */
  static async open(op: string, path: string, keep = 0): Promise<Appender> {
    try {
      const file = await open(path, keep === 0 ? 'w' : 'r+')
      if (keep > 0) await file.truncate(keep)
      return new Appender(path, file, keep)
    } catch (error) {
      throw refusal(op, 'write', path, error)
    }
  }

  append(data: string | Uint8Array): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (this.#bytes + bytes.length > mostWaiting) {
      this.#lost++
      return
    }
    this.#waiting.push(bytes)
    this.#bytes += bytes.length
    // It does not keep the process alive; what is left is written when that ends.
    this.#timer ??= setTimeout(() => this.#begin(), every).unref()
  }

  #begin(): void {
    this.#timer = null
    this.#writing = this.#writing.then(() => this.#write())
  }

  async #write(): Promise<void> {
    if (this.#waiting.length === 0) return
    const piece = Buffer.concat(this.#waiting)
    const pieces = this.#waiting.length
    try {
      for (let done = 0; done < piece.length; ) {
        const { bytesWritten } = await this.#file.write(piece, done, piece.length - done, this.#end + done)
        if (bytesWritten === 0) throw new Error('the system wrote none of the bytes')
        done += bytesWritten
      }
    } catch (error) {
      this.#tell(String((error as Error).message))
      return
    }
    this.#waiting.splice(0, pieces)
    this.#bytes -= piece.length
    this.#end += piece.length
  }

  #tell(why: string): void {
    if (this.#told) return
    this.#told = true
    warn(
      `[Trainer.fit] cannot write ${this.#path}: ${why}; the training goes on, and what it tells is kept for when that has room`,
    )
  }

  /** Writes what waits; whatever cannot be written is told of. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#begin()
    await this.#writing
    Appender.#open.delete(this)
    this.#lost += this.#waiting.length
    this.#waiting = []
    if (this.#lost > 0) warn(`[Trainer.fit] ${this.#path} lacks ${this.#lost} entries, because it could not be written`)
    // A piece that was written in part goes.
    await this.#file.truncate(this.#end).catch(() => undefined)
    await this.#file.close().catch((error: Error) => this.#tell(error.message))
  }

  static #rescueAll(): void {
    for (const each of Appender.#open) each.#rescue()
  }

  /** The process ends in the midst of the training. */
  #rescue(): void {
    try {
      const piece = Buffer.concat(this.#waiting)
      const written = writeSync(this.#file.fd, piece, 0, piece.length, this.#end)
      if (written < piece.length) ftruncateSync(this.#file.fd, this.#end)
    } catch {
      // There is nobody left to tell.
    }
  }
}

/** A file that grows during the training, written in the background a few times a second. */
import type { FileHandle } from 'node:fs/promises'
import { warn } from '../../core/host.js'
import { refusal } from '../../io/refusal.js'
import { Buffer, ftruncateSync, open, process, writeSync } from './system.js'

/** Milliseconds between two writes. All events within this time are written together. */
const every = 500

/** The number of bytes that may wait for a disk that accepts nothing. Any more are dropped and counted. */
const mostWaiting = 4 * 2 ** 20

/**
 * Bytes are written in order, each piece at its place in the file, so a piece that was written only partly is written
 * again completely. If the system refuses (a full disk), a warning says so once, and the write is tried again while the
 * training continues.
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
  /** All open appenders. The process writes to them if it ends during a training. */
  static readonly #open = new Set<Appender>()
  static #watched = false

  private constructor(path: string, file: FileHandle, end: number) {
    this.#path = path
    this.#file = file
    this.#end = end
    Appender.#open.add(this)
    // One listener serves all, because Node warns about many.
    if (!Appender.#watched) process.once('exit', Appender.#rescueAll)
    Appender.#watched = true
  }

  /** Opens a file, which is made if missing. Its first `keep` bytes stay. Throws ValueError if the system refuses. */
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
    // The timer does not keep the process alive. The rest is written when the process ends.
    this.#timer ??= setTimeout(() => this.#begin(), every).unref()
  }

  /** Writes all bytes that are waiting now. Warns of those that cannot be written. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#begin()
    return this.#writing
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
      `[Trainer.fit] cannot write ${this.#path}: ${why}; the training continues, and its events are kept until there is room`,
    )
  }

  /** Writes all waiting bytes. Warns of those that cannot be written. */
  async close(): Promise<void> {
    await this.flush()
    Appender.#open.delete(this)
    this.#lost += this.#waiting.length
    this.#waiting = []
    if (this.#lost > 0) warn(`[Trainer.fit] ${this.#path} lacks ${this.#lost} entries, because it could not be written`)
    // A piece that was written only partly is removed.
    await this.#file.truncate(this.#end).catch(() => undefined)
    await this.#file.close().catch((error: Error) => this.#tell(error.message))
  }

  static #rescueAll(): void {
    for (const each of Appender.#open) each.#rescue()
  }

  /** Called when the process ends during the training. */
  #rescue(): void {
    try {
      const piece = Buffer.concat(this.#waiting)
      const written = writeSync(this.#file.fd, piece, 0, piece.length, this.#end)
      if (written < piece.length) ftruncateSync(this.#file.fd, this.#end)
    } catch {
      // Nobody is left to be told.
    }
  }
}

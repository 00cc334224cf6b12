/** A file to read from. Every read gets all bytes, or an error that tells what is missing. */
import type { FileHandle } from 'node:fs/promises'
import { ValueError } from '../core/errors.js'
import { askRoom } from '../core/room.js'
import { checkPath, checkRegular, refusal } from './refusal.js'
import { constants, open, readSync } from './system.js'

/** Node ends the process at 2^31 bytes a call, and Linux reads fewer than that. */
const partBytes = 2 ** 30

/** The largest part of an array, from byte `done` on, that one call may read. */
function partOf({ buffer, byteOffset, byteLength }: ArrayBufferView, done: number): Uint8Array {
  return new Uint8Array(buffer, byteOffset + done, Math.min(partBytes, byteLength - done))
}

export class InputFile {
  readonly op: string
  readonly path: string
  /** The file's size in bytes when it was opened. */
  readonly size: number
  readonly #handle: FileHandle
  readonly #lent = new Set<Promise<unknown>>()
  #closing = false

  private constructor(op: string, path: string, size: number, handle: FileHandle) {
    this.op = op
    this.path = path
    this.size = size
    this.#handle = handle
  }

  /** Throws ValueError if the file does not exist, or is a directory, pipe or device. */
  static async open(op: string, path: string): Promise<InputFile> {
    checkPath(op, 'read', path)
    let handle: FileHandle | null = null
    try {
      // O_NONBLOCK is set, because opening a pipe without a writer would wait for ever.
      handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
      const stats = await handle.stat()
      checkRegular(op, 'read', path, stats)
      return new InputFile(op, path, stats.size, handle)
    } catch (error) {
      await handle?.close()
      throw refusal(op, 'read', path, error)
    }
  }

  /**
   * Fills the array with the bytes from `position` on. Throws ValueError if the file ends before; `what` names the
   * bytes.
   */
  async fill(what: string, position: number, array: ArrayBufferView): Promise<void> {
    this.#checkOpen()
    try {
      for (let done = 0; done < array.byteLength; ) {
        const part = partOf(array, done)
        const { bytesRead } = await this.#handle.read(part, 0, part.length, position + done)
        done = this.#advance(what, position, array, done, bytesRead)
      }
    } catch (error) {
      throw refusal(this.op, 'read', this.path, error)
    }
  }

  /** Like `fill`, without a turn of the event loop. */
  fillSync(what: string, position: number, array: ArrayBufferView): void {
    this.#checkOpen()
    try {
      for (let done = 0; done < array.byteLength; ) {
        const part = partOf(array, done)
        const read = readSync(this.#handle.fd, part, 0, part.length, position + done)
        done = this.#advance(what, position, array, done, read)
      }
    } catch (error) {
      throw refusal(this.op, 'read', this.path, error)
    }
  }

  /** Lends the file to someone who reads it by its number. It stays open until that promise is resolved. */
  async lend<T>(use: (file: number) => Promise<T>): Promise<T> {
    this.#checkOpen()
    const used = use(this.#handle.fd)
    this.#lent.add(used)
    try {
      return await used
    } finally {
      this.#lent.delete(used)
    }
  }

  #checkOpen(): void {
    if (this.#closing || this.#handle.fd < 0)
      throw new ValueError(this.op, `${this.path} was closed; open it again to read from it`)
  }

  #advance(what: string, position: number, { byteLength }: ArrayBufferView, done: number, read: number): number {
    if (read > 0) return done + read
    throw new ValueError(
      this.op,
      `${this.path} was cut off while it was read: ${what} has ${byteLength} bytes from ${position} on, but only ${done} are there`,
    )
  }

  /** An array of this many elements, filled with the bytes from `position` on. Throws OutOfMemoryError. */
  async read<T extends ArrayBufferView>(
    what: string,
    position: number,
    ArrayClass: { new (count: number): T; readonly BYTES_PER_ELEMENT: number },
    count: number,
  ): Promise<T> {
    askRoom(count * ArrayClass.BYTES_PER_ELEMENT, this.op)
    let array: T
    try {
      array = new ArrayClass(count)
    } catch (error) {
      throw refusal(this.op, 'read', `${what} of ${this.path}`, error)
    }
    await this.fill(what, position, array)
    return array
  }

  /** The first bytes: `most` of them, or all. */
  async head(most: number): Promise<Uint8Array> {
    return this.read('its beginning', 0, Uint8Array, Math.min(most, this.size))
  }

  async close(): Promise<void> {
    // Nothing is lent from here on, because the system gives the number to the next opened file, and a load would read
    // that one.
    this.#closing = true
    await Promise.allSettled(this.#lent)
    await this.#handle.close()
  }
}

/** A growing file. A kill loses at most the bytes after the last commit. */

import { readSync, writeSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { ValueError } from '../core/errors.js'
import { refusal } from '../io/refusal.js'

/** Bytes that wait to be written together. */
const waitingBytes = 1 << 20

export class AppendedFile {
  readonly path: string
  readonly #op: string
  readonly #file: FileHandle
  readonly #waiting = new Uint8Array(waitingBytes)
  #count = 0
  /** Bytes of the file that the system has. */
  #written: number
  #crc: number

  private constructor(op: string, path: string, file: FileHandle, length: number, crc: number) {
    this.#op = op
    this.path = path
    this.#file = file
    this.#written = length
    this.#crc = crc
  }

  /**
   * Opens a file, or makes it if it is missing. Cuts off everything after its first `length` bytes, which must have
   * this CRC-32.
   */
  static async open(op: string, path: string, length = 0, crc = 0): Promise<AppendedFile> {
    let file: FileHandle | null = null
    try {
      file = await open(path, length === 0 ? 'w+' : 'r+')
      const { size } = await file.stat()
      if (size < length)
        throw new ValueError(
          op,
          `${path} has ${size} bytes, but ${length} were written to it; delete the folder, and prepare the corpus again`,
        )
      await file.truncate(length)
      return new AppendedFile(op, path, file, length, crc)
    } catch (error) {
      await file?.close()
      throw refusal(op, 'write', path, error)
    }
  }

  /** The file's length in bytes, with those that wait to be written. */
  get length(): number {
    return this.#written + this.#count
  }

  /** The CRC-32 of all bytes. */
  get crc(): number {
    return this.#crc
  }

  append({ buffer, byteOffset, byteLength }: ArrayBufferView): void {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength)
    this.#crc = crc32(bytes, this.#crc)
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + waitingBytes - this.#count)
      this.#waiting.set(part, this.#count)
      this.#count += part.length
      from += part.length
      if (this.#count === waitingBytes) this.#flush()
    }
  }

  /** Fills the array with the bytes from `position` on, which must exist. */
  read(position: number, array: Uint32Array): void {
    if (position + array.byteLength > this.#written) this.#flush()
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    try {
      for (let done = 0; done < bytes.length; ) {
        const read = readSync(this.#file.fd, bytes, done, bytes.length - done, position + done)
        if (read === 0)
          throw new ValueError(this.#op, `${this.path} was cut off by another program; prepare the corpus again`)
        done += read
      }
    } catch (error) {
      throw refusal(this.#op, 'read', this.path, error)
    }
  }

  #flush(): void {
    try {
      for (let done = 0; done < this.#count; )
        done += writeSync(this.#file.fd, this.#waiting, done, this.#count - done, this.#written + done)
    } catch (error) {
      throw refusal(this.#op, 'write', this.path, error)
    }
    this.#written += this.#count
    this.#count = 0
  }

  /** Resolves when all bytes are on the disk. */
  async commit(): Promise<void> {
    this.#flush()
    try {
      await this.#file.sync()
    } catch (error) {
      throw refusal(this.#op, 'write', this.path, error)
    }
  }

  /** Closes the file. Bytes that were not committed may be lost. */
  async close(): Promise<void> {
    await this.#file.close()
  }
}

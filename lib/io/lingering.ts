/**
 * A file that is read now and then. It stays open between reads that follow soon after one another. Opening and closing
 * it each time would be tasks for another thread, and would take longer than reading a few rows.
 */
import type { Stats } from 'node:fs'
import { ValueError } from '../core/errors.js'
import { InputFile } from './input.js'
import { refusal } from './refusal.js'
import { statSync } from './system.js'

/** The time after the last read in which the file stays open. */
const lingeringMilliseconds = 1000

export class LingeringFile {
  readonly #op: string
  readonly #path: string
  #opened: Promise<InputFile> | null = null
  #first: Stats | null = null
  #readers = 0
  #timer: NodeJS.Timeout | undefined

  constructor(op: string, path: string) {
    this.#op = op
    this.#path = path
  }

  /**
   * Reads from the file, which must be the same each time. Throws ValueError if another file has taken its place, or if
   * a program has written into it, as NumPy's save does.
   */
  async read<R>(reading: (file: InputFile) => Promise<R>): Promise<R> {
    clearTimeout(this.#timer)
    this.#readers++
    try {
      this.#opened ??= InputFile.open(this.#op, this.#path)
      const file = await this.#opened
      this.#checkSame()
      return await reading(file)
    } catch (error) {
      // A file that could not be opened is tried again by the next reader.
      await this.#opened?.catch(() => this.#forget())
      throw error
    } finally {
      this.#readers--
      // The program may end meanwhile, because the system closes the files of a process.
      if (this.#readers === 0) this.#timer = setTimeout(() => void this.#close(), lingeringMilliseconds).unref()
    }
  }

  #checkSame(): void {
    let stats: Stats
    try {
      stats = statSync(this.#path)
    } catch (error) {
      throw refusal(this.#op, 'read', this.#path, error)
    }
    this.#first ??= stats
    const { size, ino, dev, mtimeMs } = this.#first
    const isAnother = stats.ino !== ino || stats.dev !== dev
    if (stats.size === size && !isAnother && stats.mtimeMs === mtimeMs) return
    let what = isAnother ? 'is another file' : 'was written to since it was opened'
    if (stats.size !== size) what = `has ${stats.size} bytes, but had ${size} when it was opened`
    throw new ValueError(this.#op, `${this.#path} ${what}; open the file anew that took its place`)
  }

  #forget(): void {
    this.#opened = null
  }

  async #close(): Promise<void> {
    const opened = this.#opened
    this.#forget()
    await (await opened)?.close()
  }
}

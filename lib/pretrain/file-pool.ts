/** Many files to read from. Few are open at once, because systems allow about a thousand for each process. */
import { ValueError } from '../core/errors.js'
import { InputFile } from '../io/input.js'

/** Files that stay open while nobody reads them. */
const mostOpen = 32

interface Entry {
  readonly file: Promise<InputFile>
  readers: number
}

export class FilePool {
  readonly #op: string
  /** The open files by path, with the most recently read one last. */
  readonly #open = new Map<string, Entry>()
  #closed = false

  constructor(op: string) {
    this.#op = op
  }

  /** Opens a file unless it is open, and keeps it open until the reading is done. */
  async read<R>(path: string, reading: (file: InputFile) => Promise<R>): Promise<R> {
    if (this.#closed) throw new ValueError(this.#op, `${path} was closed; open the shards again to read from them`)
    const entry = this.#open.get(path) ?? { file: InputFile.open(this.#op, path), readers: 0 }
    this.#open.delete(path)
    this.#open.set(path, entry)
    entry.readers++
    try {
      return await reading(await entry.file)
    } catch (error) {
      // A file that could not be opened is tried again by the next reader.
      await entry.file.catch(() => this.#open.delete(path))
      throw error
    } finally {
      entry.readers--
      await this.#closeIdle(this.#closed ? 0 : mostOpen)
    }
  }

  /** Closes idle files, the least recently read first, until only this many are open. */
  async #closeIdle(most: number): Promise<void> {
    const idle = [...this.#open].filter(([, { readers }]) => readers === 0)
    const closing = idle.slice(0, Math.max(0, this.#open.size - most))
    for (const [path] of closing) this.#open.delete(path)
    await Promise.all(closing.map(async ([, { file }]) => (await file).close()))
  }

  /** Closes all files. A file that is being read is closed as soon as that is done. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#closeIdle(0)
  }
}

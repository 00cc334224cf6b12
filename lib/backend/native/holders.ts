/** Who made the large storages that live: what the end of memory tells about, besides how much is held. */
import { currentLabel, describeLabel, outermostModules } from '../../core/module-path.js'
import { formatBytes } from './bytes.js'

/**
 * Storages of fewer bytes are not noted: a note costs a tenth of a microsecond, and they are not what memory ends by.
 */
export const noteworthyBytes = 2 ** 20
const mostNamed = 3

interface Note {
  readonly bytes: number
  readonly op: string
  readonly label: number
}

/** A module that has been run, as it names its parameters; the backend does not know the type of modules. */
interface NamesParameters {
  namedParameters(): Iterable<readonly [string, { readonly storage: { readonly handle: number } }]>
}

/** Paths of parameters by the handles of their storages, of all modules that were run and still live. */
function parameterNames(): ReadonlyMap<number, string> {
  const names = new Map<number, string>()
  for (const module of outermostModules())
    try {
      for (const [name, { storage }] of (module as NamesParameters).namedParameters()) names.set(storage.handle, name)
    } catch {
      // A program's own class may hold what it likes; nothing may hide the error that this is for.
    }
  return names
}

export class Holders {
  readonly #notes = new Map<number, Note>()

  note(handle: number, bytes: number, op: string): void {
    this.#notes.set(handle, { bytes, op, label: currentLabel() })
  }

  forget(handle: number): void {
    this.#notes.delete(handle)
  }

  /**
   * Such as `2.10 GB in 3 results of relu (in Net.body.1), 1.20 GB in the parameter conv1.weight`; empty without notes.
   */
  describe(): string {
    const names = parameterNames()
    const groups = new Map<string, { bytes: number; count: number; parameter: boolean }>()
    for (const [handle, { bytes, op, label }] of this.#notes) {
      const name = names.get(handle)
      const path = describeLabel(label)
      const place = path === '' ? '' : ` (in ${path})`
      const key = name ?? `${op}${place}`
      const group = groups.get(key) ?? { bytes: 0, count: 0, parameter: name !== undefined }
      group.bytes += bytes
      group.count++
      groups.set(key, group)
    }
    return [...groups]
      .sort(([, a], [, b]) => b.bytes - a.bytes)
      .slice(0, mostNamed)
      .map(([key, { bytes, count, parameter }]) => {
        const what = parameter ? 'the parameter' : count === 1 ? 'a result of' : `${count} results of`
        return `${formatBytes(bytes)} in ${what} ${key}`
      })
      .join(', ')
  }
}

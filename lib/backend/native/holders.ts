/** The makers of large live storages, which the error at the end of memory lists. */
import { currentLabel, describeLabel, outermostModules } from '../../core/module-path.js'
import { formatBytes } from './bytes.js'

/**
 * Storages of fewer bytes are not noted, because a note costs a tenth of a microsecond, and small storages rarely fill
 * memory.
 */
export const noteworthyBytes = 2 ** 20
const mostNamed = 3

interface Note {
  readonly bytes: number
  readonly op: string
  readonly label: number
}

/** A module that has run, seen as something that names its parameters, because the backend does not know modules. */
interface NamesParameters {
  namedParameters(): Iterable<readonly [string, { readonly storage: { readonly handle: number } }]>
}

/**
 * The paths of parameters by the handles of their storages. It holds those of all modules that have run and are still
 * alive.
 */
function parameterNames(): ReadonlyMap<number, string> {
  const names = new Map<number, string>()
  for (const module of outermostModules())
    try {
      for (const [name, { storage }] of (module as NamesParameters).namedParameters()) names.set(storage.handle, name)
    } catch {
      // An error of a program's own class is ignored, because it must not hide the error that is being described.
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
   * The text, such as `2.10 GB in 3 results of relu (in Net.body.1), 1.20 GB in the parameter conv1.weight`; empty if
   * there are no notes.
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

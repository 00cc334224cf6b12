/** Files by their paths or patterns, and rows of them one after another. */
import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { kindOf, ValueError } from '../../core/errors.js'
import { checkPath, refusal } from '../../io/refusal.js'
import { IterableDataset } from '../iterable.js'

/**
 * A path, a pattern such as `corpus/**\/*.txt`, or several. `*` and `?` match anything but slashes, and `**\/` any
 * folders.
 */
export type Files = string | readonly string[]

/** A row, with the position after it in its file. */
export interface Placed<R, P> {
  readonly row: R
  readonly place: P
}

interface State<P> {
  /** The index of the file, in order. */
  readonly file: number
  readonly path: string
  readonly place: P | null
}

const isPattern = (path: string) => /[*?]/.test(path)

/** Throws unless they are paths or patterns. */
function checkFiles(op: string, files: Files): readonly string[] {
  const list: readonly unknown[] = Array.isArray(files) ? files : [files]
  if (list.length === 0) throw new ValueError(op, 'there are no files: the list of paths is empty')
  for (const path of list) checkPath(op, 'read', path)
  return list as readonly string[]
}

function expressionOf(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*\/|\*+|\?/g, (sign) => (sign === '**/' ? '(?:.*/)?' : sign === '?' ? '[^/]' : '[^/]*'))
  return new RegExp(`^${source}$`, 's')
}

/** The files of a folder and of those below it, except hidden ones. */
async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries: Dirent[] = await readdir(folder === '' ? '.' : folder, { withFileTypes: true })
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue
    const path = `${folder}${entry.name}`
    if (entry.isDirectory()) yield* filesBelow(`${path}/`)
    else yield path
  }
}

/** The paths, with patterns replaced by the matching files, in the order of their names. */
export async function pathsOf(op: string, files: Files): Promise<readonly string[]> {
  const paths: string[] = []
  for (const given of checkFiles(op, files)) {
    if (!isPattern(given)) {
      paths.push(given)
      continue
    }
    const pattern = given.split(sep).join('/')
    const folder = pattern.slice(0, pattern.slice(0, pattern.search(/[*?]/)).lastIndexOf('/') + 1)
    const matches = expressionOf(pattern)
    const found: string[] = []
    try {
      for await (const path of filesBelow(folder)) if (matches.test(path)) found.push(path)
    } catch (error) {
      throw refusal(op, 'read', folder === '' ? '.' : join(folder), error)
    }
    if (found.length === 0) throw new ValueError(op, `no file matches ${given}`)
    paths.push(...found.sort((a, b) => (a < b ? -1 : 1)))
  }
  return paths
}

/**
 * The rows of files, one file after another. `read` gives them from a position on. A pass continues in the file where
 * it was. Files are searched for when a pass begins.
 */
export function rowsOfFiles<R, P>(
  op: string,
  files: Files,
  read: (path: string, from: P | null) => AsyncIterable<Placed<R, P>>,
): IterableDataset<R> {
  checkFiles(op, files)
  const own = Array.isArray(files) ? [...files] : files
  return new IterableDataset((from) => {
    let state = (from ?? null) as State<P> | null
    async function* rows(): AsyncGenerator<R, void, void> {
      const paths = await pathsOf(op, own)
      if (state !== null && paths[state.file] !== state.path)
        throw new ValueError(
          op,
          `the state is in ${state.path}, file ${state.file}, which is ${kindOf(paths[state.file])} now; continue with the same files`,
        )
      for (let file = state?.file ?? 0; file < paths.length; file++) {
        const path = paths[file] as string
        const start = state?.file === file ? state.place : null
        state = { file, path, place: start }
        for await (const { row, place } of read(path, start)) {
          state = { file, path, place }
          yield row
        }
      }
    }
    return Object.assign(rows(), { state: () => state ?? undefined })
  })
}

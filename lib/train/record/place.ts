/** The folder of a run. */
import { ValueError } from '../../core/errors.js'
import { checkPath, refusal } from '../../io/refusal.js'
import { dirname, mkdir, resolve, stat } from './system.js'

/** The folders that are missing on a path, the innermost first, and the last that is there. Throws ValueError where that is none. */
export async function missingFolders(
  op: string,
  path: string,
): Promise<{ readonly missing: readonly string[]; readonly last: string }> {
  checkPath(op, 'write', path)
  const missing: string[] = []
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
      throw refusal(op, 'write', path, error)
    })
    if (found === null) {
      missing.push(folder)
      continue
    }
    if (!found.isDirectory()) throw new ValueError(op, `cannot make the folder ${path}: ${folder} is a file`)
    return { missing, last: folder }
  }
}

/**
 * Makes a folder and those above it, where they are missing. One after the other, because Node's recursive mkdir never comes back
 * from a place that takes no folders and denies that it is there, such as /proc. Throws ValueError where the system refuses.
 */
export async function makeFolder(op: string, path: string): Promise<void> {
  const { missing } = await missingFolders(op, path)
  for (const folder of missing.toReversed()) {
    try {
      await mkdir(folder)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      // Somebody else was faster.
      if (code === 'EEXIST') continue
      if (code === 'ENOENT')
        throw new ValueError(op, `cannot make the folder ${path}: ${dirname(folder)} takes no folders (${message})`)
      throw refusal(op, 'write', path, error)
    }
  }
}

/** The folder of a run; undefined without one. Throws ValueError where the options name two. */
export function folderOf(run: string | undefined, folder: string | undefined): string | undefined {
  if (run !== undefined && folder !== undefined && resolve(run) !== resolve(folder))
    throw new ValueError(
      'Trainer',
      `run is ${run}, but checkpoints.folder is ${folder}; checkpoints lie in the run's folder, so leave checkpoints.folder out`,
    )
  return run ?? folder
}

/** Makes the folders of files that are to be written. */
import { ValueError } from '../core/errors.js'
import { checkPath, refusal } from './refusal.js'
import { dirname, mkdir, resolve, stat } from './system.js'

/**
 * The folders missing on a path, the innermost first, and the innermost existing one. Throws ValueError if that is not
 * a folder.
 */
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
 * Makes a folder and its missing parents. They are made one by one. Node's recursive mkdir never returns for a place
 * such as /proc, which accepts no folders but reports that it does not exist. Throws ValueError if the system refuses.
 */
export async function makeFolder(op: string, path: string): Promise<void> {
  const { missing } = await missingFolders(op, path)
  for (const folder of missing.toReversed()) {
    try {
      await mkdir(folder)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      // Another process was faster.
      if (code === 'EEXIST') continue
      if (code === 'ENOENT')
        throw new ValueError(
          op,
          `cannot make the folder ${path}: ${dirname(folder)} does not accept folders (${message})`,
        )
      throw refusal(op, 'write', path, error)
    }
  }
}

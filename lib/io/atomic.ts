/**
 * Files that are written whole or not at all. The bytes go to a separate file beside the place, reach the disk, and
 * take the place by a rename. So a reader, a kill or a loss of power meets the old file or the new one. Saves to one
 * path at the same time do not mix: the last rename wins. A file that a kill leaves behind ends with `.partial`. The
 * next write to that path removes it when it is older than a day, because no write takes that long.
 */
import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { ValueError } from '../core/errors.js'
import { checkPath, checkRegular, refusal } from './refusal.js'
import {
  basename,
  dirname,
  isAbsolute,
  lstat,
  open,
  pid,
  platform,
  readdir,
  readlink,
  realpath,
  renameSync,
  rm,
  rmSync,
  sep,
} from './system.js'

/** The bytes of a file, in order. */
export type Chunks = Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>

export interface NewFile {
  readonly path: string
  readonly chunks: Chunks
}

/** Node ends the process at 2^31 bytes a call, and Linux writes fewer than that. */
const partBytes = 2 ** 30

/** The number of links that Linux follows. */
const maxLinks = 40

/** Names may have 255 bytes. The ending takes about 40 of them. */
const longName = 200

/** Milliseconds. A `.partial` file that nobody has written to for this long belongs to a killed process. */
const longAgo = 24 * 60 * 60 * 1000

/** Refusals of Windows while another program, such as a search for viruses, has a file open. */
const heldOpen = ['EPERM', 'EACCES', 'EBUSY']

/** Milliseconds between tries to rename or to remove a file that is held open, 4 seconds together. */
const pauses = [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1445] as const

/** A file that is complete and on the disk, but not yet in its place. */
interface Written {
  readonly path: string
  readonly partial: string
  readonly target: string
}

/**
 * Writes a file whole or not at all. A link at `path` stays, and the file to which it leads is replaced. The new file
 * keeps the old one's mode and, if this process may set it, its owner. Throws ValueError if the folder does not exist,
 * if something other than a file is in the place, or if the system refuses (a full disk). The old file is then
 * unchanged. Errors of `chunks` pass through. Files that killed processes left from earlier writes to the path,
 * `.partial` ones older than a day, are removed.
 */
export async function writeAtomically(path: string, chunks: Chunks, op = 'save'): Promise<void> {
  await writeTogether([{ path, chunks }], op)
}

/**
 * Writes files that belong together. All are complete before the first takes its place. They take their places in the
 * given order, one right after the other. So every path leads at all times to a whole file, old or new. A reader that
 * comes between two renames, or after a kill there, finds files of two saves, and must be able to tell by their
 * contents. Calls of one process do not mix, but two processes must not write one group at the same time. Errors are
 * those of `writeAtomically`. All files are then unchanged, unless the system refuses a rename after the first.
 * `outdated` files of the old save are removed once all new files have their places. Those that do not exist are passed
 * over.
 */
export async function writeTogether(
  files: readonly NewFile[],
  op = 'save',
  outdated: readonly string[] = [],
): Promise<void> {
  for (const { path } of files) checkFilePath(op, path)
  const written: Written[] = []
  try {
    for (const { path, chunks } of files) written.push(await writeBeside(op, path, chunks))
    // There is no turn of the event loop between the renames, so that few readers and kills meet files of two saves.
    for (const file of written) put(op, file)
    for (const path of outdated) remove(op, path)
  } catch (error) {
    await Promise.allSettled(written.map(({ partial }) => rm(partial, { force: true })))
    throw error
  }
  for (const folder of new Set(written.map(({ target }) => dirname(target)))) {
    try {
      await syncFolder(folder)
    } catch (error) {
      throw refusal(op, 'write', folder, error)
    }
  }
}

function checkFilePath(op: string, path: unknown): void {
  checkPath(op, 'write', path)
  if (path.endsWith('/') || path.endsWith(sep))
    throw new ValueError(op, `cannot write ${path}: it ends in a slash, as paths of folders do; add the name of a file`)
}

async function writeBeside(op: string, path: string, chunks: Chunks): Promise<Written> {
  try {
    const { target, stats } = await targetOf(op, path)
    if (stats) checkRegular(op, 'write', path, stats)
    await removeLeft(target)
    const partial = besides(target)
    // The flag is 'x', because a link or file that somebody else put there must not be written to.
    const file = await open(partial, 'wx', stats ? stats.mode & 0o777 : 0o666)
    try {
      try {
        for await (const chunk of chunks) await writeFully(file, chunk)
        if (stats) await keepRights(file, stats)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
    return { path, partial, target }
  } catch (error) {
    throw refusal(op, 'write', path, error)
  }
}

/** The place to which a path leads, and what is there now. A link may lead to a file that does not exist yet. */
async function targetOf(op: string, path: string): Promise<{ readonly target: string; readonly stats: Stats | null }> {
  let target = path
  for (let links = 0; links <= maxLinks; links++) {
    const stats = await lstat(target).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (!stats?.isSymbolicLink()) return { target, stats }
    const next = await readlink(target)
    // Joined as text, because only the system knows what '..' means behind a link to a folder.
    target = isAbsolute(next) ? next : `${await realpath(dirname(target))}/${next}`
  }
  throw new ValueError(op, `cannot write ${path}: more than ${maxLinks} links lead on from it`)
}

/** The beginning of the names of a target's partial files. */
function beginning(target: string): string {
  const name = basename(target)
  return `${new TextEncoder().encode(name).length > longName ? name.slice(0, longName / 4) : name}.`
}

function besides(target: string): string {
  const random = crypto.getRandomValues(new Uint8Array(6))
  const unique = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${dirname(target)}/${beginning(target)}${pid}.${unique}.partial`
}

/**
 * Removes a target's partial files of killed processes. A refusal of the system is ignored, because the write does not
 * depend on it.
 */
async function removeLeft(target: string): Promise<void> {
  const [folder, begins] = [dirname(target), beginning(target)]
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    if (!(name.startsWith(begins) && /^\d+\.[0-9a-f]{12}\.partial$/.test(name.slice(begins.length)))) continue
    const path = `${folder}/${name}`
    const stats = await lstat(path).catch(() => null)
    if (stats?.isFile() && Date.now() - stats.mtimeMs > longAgo) await rm(path, { force: true }).catch(() => {})
  }
}

async function writeFully(file: FileHandle, { buffer, byteOffset, byteLength }: ArrayBufferView): Promise<void> {
  for (let done = 0; done < byteLength; ) {
    const part = new Uint8Array(buffer, byteOffset + done, Math.min(partBytes, byteLength - done))
    const { bytesWritten } = await file.write(part)
    if (bytesWritten === 0) throw Object.assign(new Error('the system wrote none of the bytes'), { errno: 0 })
    done += bytesWritten
  }
}

async function keepRights(file: FileHandle, { mode, uid, gid }: Stats): Promise<void> {
  const own = await file.stat()
  // Only root may give files away. If another user saves, the file becomes that user's, as with every editor.
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid).catch(() => {})
  // Node's permission model denies this call, so it is made only if it changes something.
  if ((own.mode & 0o777) !== (mode & 0o777)) await file.chmod(mode & 0o777)
}

function put(op: string, { path, partial, target }: Written): void {
  try {
    untilFree(() => renameSync(partial, target))
  } catch (error) {
    throw refusal(op, 'write', path, error)
  }
}

function remove(op: string, path: string): void {
  try {
    untilFree(() => rmSync(path, { force: true }))
  } catch (error) {
    throw refusal(op, 'write', path, error)
  }
}

/**
 * Changes a folder. On Windows a change is refused while another program has the file open, mostly for milliseconds,
 * so it is tried again for a while, as the package graceful-fs does. The thread sleeps meanwhile, because a turn of the
 * event loop could mix saves. On other systems such a refusal is one of rights, and stays.
 */
export function untilFree(change: () => void): void {
  for (let tries = 0; ; tries++) {
    try {
      change()
      return
    } catch (error) {
      const pause = pauses[tries]
      const isHeld = platform() === 'win32' && heldOpen.includes((error as NodeJS.ErrnoException).code ?? '')
      if (!isHeld || pause === undefined) throw error
      sleep(pause)
    }
  }
}

/** Stops the thread for some milliseconds. */
function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

/** A rename is on the disk only once the folder is. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | null = null
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    // Windows and some network file systems lack this operation. A folder may also be writable but not readable, for
    // example by Node's permission model.
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP', 'ERR_ACCESS_DENIED'].includes(code)) throw error
  } finally {
    await handle?.close()
  }
}

/**
 * Files that are written whole or not at all. The bytes go to a file of their own beside the place, reach the disk, and take
 * the place by a rename. Hence a reader, a kill or a loss of power meets the old file or the new one, and saves to one path
 * at the same time do not mix: the last rename wins. What a kill leaves behind ends with `.partial`, and can be deleted; what
 * ends with `.old` is the last file of a group whose renames were cut short.
 */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { type FileHandle, lstat, open, readlink, realpath, rename, rm } from 'node:fs/promises'
import { basename, dirname, isAbsolute } from 'node:path'
import { ValueError } from '../core/errors.js'
import { checkPath, checkRegular, refusal } from './refusal.js'

/** The bytes of a file, in order. */
export type Chunks = Iterable<ArrayBufferView> | AsyncIterable<ArrayBufferView>

export interface NewFile {
  readonly path: string
  readonly chunks: Chunks
}

/** Node ends the process at 2^31 bytes a call, and Linux writes fewer than that. */
const partBytes = 2 ** 30

/** As many links as Linux follows. */
const maxLinks = 40

/** Names may have 255 bytes, of which the ending takes about 40. */
const longName = 200

/** A file that is complete and on the disk, but not yet in its place. */
interface Written {
  readonly path: string
  readonly partial: string
  readonly target: string
}

/**
 * Writes a file whole or not at all. A link at `path` stays, and the file it leads to is replaced; that keeps its mode and,
 * where this process may, its owner. Throws ValueError where there is no such folder, where something else than a file is
 * in the place, or where the system refuses (a full disk); the old file is then as it was. Errors of `chunks` pass through.
 */
export async function writeAtomically(path: string, chunks: Chunks, op = 'save'): Promise<void> {
  await writeTogether([{ path, chunks }], op)
}

/**
 * Writes files that belong together. All are complete before the first takes its place, and they take their places in the
 * given order. The last one must be the file without which nobody reads the others: its old version goes aside before the
 * others change, and hence whoever finds it finds the others of the same save. Calls of one process take turns; two
 * processes must not write one group at the same time.
 */
export async function writeTogether(files: readonly NewFile[], op = 'save'): Promise<void> {
  for (const { path } of files) checkPath(op, 'write', path)
  const written: Written[] = []
  try {
    for (const { path, chunks } of files) written.push(await writeBeside(op, path, chunks))
    if (written.length === 1) await put(op, written[0] as Written)
    else await inTurn(() => putTogether(op, written))
  } catch (error) {
    await Promise.allSettled(written.map(({ partial }) => rm(partial, { force: true })))
    throw error
  }
}

async function writeBeside(op: string, path: string, chunks: Chunks): Promise<Written> {
  try {
    const { target, stats } = await targetOf(op, path)
    if (stats) checkRegular(op, 'write', path, stats)
    const partial = besides(target, 'partial')
    // 'x', because a link or file that somebody else put there must not be written to.
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

/** Where a path leads, with what is there now. A link may lead to a file that is not there yet. */
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

function besides(target: string, ending: string): string {
  const name = basename(target)
  const short = Buffer.byteLength(name) > longName ? name.slice(0, longName / 4) : name
  return `${dirname(target)}/${short}.${process.pid}.${randomBytes(6).toString('hex')}.${ending}`
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
  // Only root may give files away; for others the file becomes theirs, as with every editor.
  if (own.uid !== uid || own.gid !== gid) await file.chown(uid, gid).catch(() => {})
  await file.chmod(mode & 0o777)
}

async function put(op: string, { path, partial, target }: Written): Promise<void> {
  try {
    await rename(partial, target)
    await syncFolder(dirname(target))
  } catch (error) {
    throw refusal(op, 'write', path, error)
  }
}

async function putTogether(op: string, written: readonly Written[]): Promise<void> {
  const { target: last } = written.at(-1) as Written
  const aside = besides(last, 'old')
  const hadOld = await rename(last, aside).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw refusal(op, 'write', last, error)
    },
  )
  let changed = false
  try {
    if (hadOld) await syncFolder(dirname(last))
    for (const file of written) {
      await put(op, file)
      changed = true
    }
  } catch (error) {
    if (hadOld && !changed) await rename(aside, last)
    throw error
  }
  if (hadOld) await rm(aside, { force: true })
}

/** A rename is on the disk only when the folder is. */
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | null = null
  try {
    handle = await open(folder, 'r')
    await handle.sync()
  } catch (error) {
    // Windows and some network file systems know no such thing, and a folder may be writable but not readable.
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP'].includes(code)) throw error
  } finally {
    await handle?.close()
  }
}

let turn: Promise<unknown> = Promise.resolve()

/** Runs when all earlier ones are done, because the renames of two groups must not alternate. */
function inTurn(run: () => Promise<void>): Promise<void> {
  const mine = turn.then(run)
  turn = mine.catch(() => {})
  return mine
}

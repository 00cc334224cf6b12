/** Errors for refusals by the system or a file. They always name the path that the user gave. */
import type { Stats } from 'node:fs'
import { kindOf, OutOfMemoryError, ValueError } from '../core/errors.js'
import { inNode } from '../core/host.js'
import { dirname, existsSync } from './system.js'

export type Access = 'read' | 'write'

/** The reason why no path works in a browser. */
export const noFiles =
  'files need Node, and this program runs elsewhere, as in a browser; fetch numbers and make tensors of them, or do this in Node'

/** Throws ValueError for a value that cannot be a path, and for any path if there are no files. */
export function checkPath(op: string, access: Access, path: unknown): asserts path is string {
  if (typeof path !== 'string')
    throw new ValueError(op, `cannot ${access} a file: the path is ${kindOf(path)}, but must be a string`)
  if (path === '' || path.includes('\0'))
    throw new ValueError(
      op,
      `cannot ${access} a file: the path is ${JSON.stringify(path)}, but must not be empty or hold a zero byte`,
    )
  if (!inNode) throw new ValueError(op, `cannot ${access} ${path}: ${noFiles}`)
}

/** The error of a system call as one of ours. Any other error stays as it is. */
export function refusal(op: string, access: Access, path: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code, errno } = error as NodeJS.ErrnoException
  // These are V8's words for an array for which the machine has no room.
  if (error instanceof RangeError && /allocation failed|invalid (typed )?array (buffer )?length/i.test(error.message))
    return new OutOfMemoryError(op, `cannot ${access} ${path}: ${error.message}`)
  if (code === 'ERR_ACCESS_DENIED') return new ValueError(op, `cannot ${access} ${path}: ${denied(error)}`)
  if (errno === undefined) return error
  const advice = access === 'write' ? writeAdvice(error) : ''
  return new ValueError(op, `cannot ${access} ${path}: ${error.message}${advice}`)
}

/** The words of Node's permission model, with the flag that allows what was denied. */
function denied(error: Error & { permission?: unknown; resource?: unknown }): string {
  const flag = { FileSystemRead: '--allow-fs-read', FileSystemWrite: '--allow-fs-write' }[String(error.permission)]
  const advice = flag === undefined ? '' : `; start Node with ${flag}=${String(error.resource)}`
  return `Node's permission model is on, and ${error.message}${advice}`
}

/** A file is first written beside its place, so the folder matters. */
function writeAdvice({ code, path }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT')
    return path !== undefined && existsSync(dirname(path))
      ? '; its folder takes no new files, so give a path in another folder'
      : '; make its folder first'
  if (code === 'ENOSPC' || code === 'EDQUOT') return '; make room there, or give a path on another disk'
  if (code === 'EROFS') return '; give a path on a writable file system'
  if (code === 'EBUSY') return '; another program has it open, so end that one or give another path'
  if (code === 'EACCES' || code === 'EPERM')
    return '; its folder must take new files, because a file is made there first'
  return ''
}

/** Throws ValueError if the path leads to something without bytes to read or replace. */
export function checkRegular(op: string, access: Access, path: string, stats: Stats): void {
  if (stats.isFile()) return
  const kind = stats.isDirectory()
    ? 'a directory'
    : stats.isFIFO()
      ? 'a pipe'
      : stats.isSocket()
        ? 'a socket'
        : 'a device'
  const advice =
    access === 'read' && !stats.isDirectory() ? 'copy its content to a file, and read that' : 'give the path of a file'
  throw new ValueError(op, `cannot ${access} ${path}: it is ${kind}; ${advice}`)
}

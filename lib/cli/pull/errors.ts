/** The ways in which a pull fails. */
import { ValueError } from '../../core/errors.js'

/**
 * 'unauthorized': the server wants a different token; 'missing': the repository, revision or file does not exist;
 * 'hash': the bytes do not match the server's hash; 'disk': no space; 'answer': the server's answer makes no sense;
 * 'network': the server cannot be reached.
 */
export type PullReason = 'unauthorized' | 'missing' | 'hash' | 'disk' | 'answer' | 'network'

/** A pull that failed, with the reason. */
export class PullError extends ValueError {
  readonly reason: PullReason
  constructor(reason: PullReason, message: string, cause?: unknown) {
    super('pull', message)
    this.reason = reason
    if (cause !== undefined) Object.defineProperty(this, 'cause', { value: cause, writable: true, configurable: true })
  }
}
Object.defineProperty(PullError.prototype, 'name', { value: 'PullError' })

/** An error that another try may avoid: the connection broke, or the server is busy. */
export class Interrupted extends Error {
  /** The wait in milliseconds that the server asks for. */
  readonly wait: number | null
  constructor(message: string, wait: number | null = null) {
    super(message)
    this.wait = wait
  }
}

/** Turns the error of a full disk into PullError. Returns any other error unchanged. */
export function diskError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new PullError(
    'disk',
    `cannot write ${path}: ${code === 'ENOSPC' ? 'the disk is full' : 'the quota is used up'}; make room, and pull again to continue from here`,
    error,
  )
}

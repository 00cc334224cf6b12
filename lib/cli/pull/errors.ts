/** The ways in which a pull fails. */
import { ValueError } from '../../core/errors.js'

/**
 * 'unauthorized': the server wants another token; 'missing': there is no such repository, revision or file; 'hash': bytes are not
 * those that the server announced; 'disk': no room; 'answer': the server's answer makes no sense; 'network': it cannot be reached.
 */
export type PullReason = 'unauthorized' | 'missing' | 'hash' | 'disk' | 'answer' | 'network'

/** A pull that failed, and why. */
export class PullError extends ValueError {
  readonly reason: PullReason
  constructor(reason: PullReason, message: string, cause?: unknown) {
    super('pull', message)
    this.reason = reason
    if (cause !== undefined) Object.defineProperty(this, 'cause', { value: cause, writable: true, configurable: true })
  }
}
Object.defineProperty(PullError.prototype, 'name', { value: 'PullError' })

/** An error that another try may mend: the connection broke, or the server is busy. */
export class Interrupted extends Error {
  /** Milliseconds that the server asks to wait. */
  readonly wait: number | null
  constructor(message: string, wait: number | null = null) {
    super(message)
    this.wait = wait
  }
}

/** A full disk as an error of its own; any other error as it is. */
export function diskError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new PullError(
    'disk',
    `cannot write ${path}: ${code === 'ENOSPC' ? 'the disk is full' : 'the quota is used up'}; make room and pull again, which goes on where this ended`,
    error,
  )
}

/** The ways in which a command ends, for shells. */
import { isFiresteelError } from '../core/errors.js'
import { PullError } from './pull/errors.js'

/** The exit codes of all commands. */
export const exitCodes = {
  done: 0,
  /** The machine, the network or the library failed. */
  failed: 1,
  /** Arguments, config or data are wrong: the same command will fail again until somebody corrects them. */
  wrong: 2,
  /** SIGINT stopped the command. It left a state from which the next one resumes. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Arguments or a config with which no command can run. Only its message is printed. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A command was interrupted from the keyboard, and left a state from which the next one resumes. */
export class Interruption extends Error {
  override readonly name = 'Interruption'
}

/** The system's names of faults of the machine, which a later call may not meet. */
const ofMachine = /\b(ENOSPC|EDQUOT|EIO|EMFILE|ENFILE)\b/

/** The exit code for an error that a command threw. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.wrong
  if (error instanceof Interruption) return exitCodes.interrupted
  if (error instanceof PullError)
    return ['missing', 'unauthorized'].includes(error.reason) ? exitCodes.wrong : exitCodes.failed
  if (isFiresteelError(error) && ofMachine.test(error.message)) return exitCodes.failed
  if (isFiresteelError(error) && ['ERR_VALUE', 'ERR_DTYPE', 'ERR_SHAPE', 'ERR_STATE_DICT'].includes(error.code))
    return exitCodes.wrong
  return exitCodes.failed
}

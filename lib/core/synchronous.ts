/** Checks for functions that call another and hold a mode while it runs: scopes, gradient mode, autocast. */
import { isGenerator } from './engine.js'
import { kindOf, ValueError } from './errors.js'

export function checkFunction(op: string, fn: unknown): void {
  if (typeof fn !== 'function') throw new ValueError(op, `needs a function to run, but got ${kindOf(fn)}`)
}

/**
 * Returns the result. Throws ValueError if it is a promise or a generator, which runs on after the function has
 * returned.
 */
export function checkFinished<R>(op: string, result: R): R {
  if (typeof result !== 'object' || result === null) return result
  if (typeof (result as { then?: unknown }).then === 'function')
    throw new ValueError(op, `the function returned a promise, but ${op} is synchronous: await outside of it`)
  if (isGenerator(result))
    throw new ValueError(op, `the function returned a generator, which runs after ${op} has ended; return an array`)
  return result
}

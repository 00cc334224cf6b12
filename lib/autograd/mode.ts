import { isGradEnabled, setGradEnabled } from '../core/grad-mode.js'
import { checkFinished, checkFunction } from '../core/synchronous.js'

export { isGradEnabled }

export function withGradMode<R>(op: string, value: boolean, fn: () => R): R {
  checkFunction(op, fn)
  const before = setGradEnabled(value)
  try {
    return checkFinished(op, fn())
  } finally {
    setGradEnabled(before)
  }
}

/** Runs a synchronous function without recording a graph. */
export function noGrad<R>(fn: () => R): R {
  return withGradMode('noGrad', false, fn)
}

/** Runs a synchronous function that records a graph, even inside `noGrad`. */
export function enableGrad<R>(fn: () => R): R {
  return withGradMode('enableGrad', true, fn)
}

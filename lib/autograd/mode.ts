import { ValueError } from '../core/errors.js'

let enabled = true

export function isGradEnabled(): boolean {
  return enabled
}

export function withGradMode<R>(op: string, value: boolean, fn: () => R): R {
  const before = enabled
  enabled = value
  try {
    const result = fn()
    if (result instanceof Promise)
      throw new ValueError(
        op,
        'the function returned a promise; gradient mode is synchronous and never held across an await',
      )
    return result
  } finally {
    enabled = before
  }
}

/** Runs a synchronous function without recording a graph. */
export function noGrad<R>(fn: () => R): R {
  return withGradMode('noGrad', false, fn)
}

/** Records a graph inside of `noGrad`. */
export function enableGrad<R>(fn: () => R): R {
  return withGradMode('enableGrad', true, fn)
}

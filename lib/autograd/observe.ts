/** Watching operators run and gradients go back: for who looks for the one that did something wrong. */
import type { Tensor } from '../core/tensor.js'
import type { Node } from './node.js'
import type { AnyOperator, Extras, Inputs } from './operator.js'

export interface OperatorObserver {
  /** An operator has run. Those that it is made of came before it. */
  ran?(operator: AnyOperator, inputs: Inputs, attrs: unknown, results: Extras): void
  /** The backward of a node begins; operators that run until its end are parts of it. */
  goesBack?(node: Node): void
  /** The backward of a node gave gradients of its inputs. */
  wentBack?(node: Node, gradients: readonly (Tensor | null)[]): void
}

let observer: OperatorObserver | null = null

/** The observer of now. Null for nearly all calls, which pay a look and no more. */
export function operatorObserver(): OperatorObserver | null {
  return observer
}

/** Lets `seen` watch all operators and backwards that run in `fn`. */
export function observeOperators<R>(seen: OperatorObserver, fn: () => R): R {
  const before = observer
  observer = seen
  try {
    return fn()
  } finally {
    observer = before
  }
}

/** Runs `fn` without an observer: what that one does itself. */
export function unobserved<R>(fn: () => R): R {
  const before = observer
  observer = null
  try {
    return fn()
  } finally {
    observer = before
  }
}

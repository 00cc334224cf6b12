/** Observation of operators and of their backwards, for finding the one that went wrong. */
import type { Tensor } from '../core/tensor.js'
import type { Node } from './node.js'
import type { AnyOperator, Extras, Inputs } from './operator.js'

export interface OperatorObserver {
  /** An operator has run. The operators of its composite were reported before it. */
  ran?(operator: AnyOperator, inputs: Inputs, attrs: unknown, results: Extras): void
  /** The backward of a node begins; operators that run until its end are parts of it. */
  goesBack?(node: Node): void
  /** The backward of a node gave gradients of its inputs. */
  wentBack?(node: Node, gradients: readonly (Tensor | null)[]): void
}

let observer: OperatorObserver | null = null

/** The current observer; null for nearly all calls, which pay only for this look. */
export function operatorObserver(): OperatorObserver | null {
  return observer
}

/** Calls `seen` for all operators and backwards that run in `fn`. */
export function observeOperators<R>(seen: OperatorObserver, fn: () => R): R {
  const before = observer
  observer = seen
  try {
    return fn()
  } finally {
    observer = before
  }
}

/** Runs `fn` without an observer. An observer uses it for its own operators. */
export function unobserved<R>(fn: () => R): R {
  const before = observer
  observer = null
  try {
    return fn()
  } finally {
    observer = before
  }
}

/** What a kind of golden case that is a whole run gives. */
import type { Given } from './cases.js'

/** Pairs of what came out and what was expected, each with the number of steps or elements that errors grew over. */
export interface Comparison {
  readonly what: string
  readonly got: ArrayLike<number>
  readonly expected: ArrayLike<number>
  readonly reduces: number
  /** An absolute bound instead, where rounding decides the value. */
  readonly bound?: number
}

export type Runs = { readonly [kind: string]: (given: Given) => Comparison[] }

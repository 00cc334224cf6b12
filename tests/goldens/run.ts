/** The result of a golden case that is a whole run. */
import type { Given } from './cases.js'

/** Results and expected values, each with the number of steps or elements over which errors grow. */
export interface Comparison {
  readonly what: string
  readonly got: ArrayLike<number>
  readonly expected: ArrayLike<number>
  readonly reduces: number
  /** An absolute bound instead, for values that rounding decides. */
  readonly bound?: number
}

export type Runs = { readonly [kind: string]: (given: Given) => Comparison[] }

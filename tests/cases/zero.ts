/**
 * Calls of public functions with named sizes, so that a suite can make each of them 0. A family has a call for each of
 * its functions, under the function's name, with a suffix ('sum of all') if there are several.
 */
import type * as f from '../../lib/index.js'
import * as ops from '../../lib/ops/index.js'
import { type Input, positive } from './case.js'

export type Sizes = { readonly [name: string]: number }
export interface ZeroSizes {
  readonly sizes: Sizes
  inputs(sizes: Sizes): readonly Input[]
  call(inputs: readonly f.Tensor[], sizes: Sizes): f.Tensor | readonly f.Tensor[]
  /**
   * The sizes of 0 that are refused, as in PyTorch (whose conv2d of no channels gives no channels). If one is refused,
   * so is the call with all sizes 0.
   */
  readonly refuses?: readonly string[]
  /** The value that fills each result if the size is 0, which is PyTorch's. */
  readonly fills?: { readonly [size: string]: number }
}

export type Unary = (x: f.Tensor) => f.Tensor | readonly f.Tensor[]
export const mn = { m: 3, n: 2 }
export const unaryZeros = (call: Unary, more: Partial<ZeroSizes> = {}): ZeroSizes => ({
  sizes: mn,
  inputs: ({ m = 0, n = 0 }) => [positive([m, n])],
  call: ([x]) => call(x as f.Tensor),
  ...more,
})
export const creation = (call: (sizes: Sizes) => f.Tensor): ZeroSizes => ({
  sizes: mn,
  inputs: () => [],
  call: (_, s) => call(s),
})
export const named = (
  names: readonly string[],
  entry: (fn: never) => ZeroSizes,
): { readonly [name: string]: ZeroSizes } =>
  Object.fromEntries(names.map((name) => [name, entry((ops as unknown as { [name: string]: never })[name] as never)]))

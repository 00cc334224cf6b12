import type { DType, TypedArray } from '../../core/dtype.js'
import { InternalError } from '../../core/errors.js'

/**
 * A tensor as a reference kernel sees it: the whole storage, and the layout of its elements in it (counted in
 * elements).
 */
export interface HostView {
  readonly data: TypedArray
  readonly dtype: DType
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

/** The integers of a window of two dimensions, height first. */
export function both(op: string, name: string, integers: readonly number[]): readonly [h: number, w: number] {
  const [h, w] = integers
  if (integers.length !== 2 || h === undefined || w === undefined)
    throw new InternalError(op, `${name} has ${integers.length} integers, but planes have 2 dimensions`)
  return [h, w]
}

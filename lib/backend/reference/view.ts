import type { DType, TypedArray } from '../../core/dtype.js'

/** What a reference kernel sees of a tensor: the whole storage, and where in it the elements lie (counted in elements). */
export interface HostView {
  readonly data: TypedArray
  readonly dtype: DType
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

/** Element types and what a JavaScript program sees of them. */

/** int64 exists in files only; float64 on the reference device only. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int32' | 'uint8' | 'bool'

/**
 * What an operator computes in under autocast: `low`, the dtype of autocast, where the arithmetic is most of the work and
 * sums are accumulated in float32; `float32`, where rounding would show; `widest`, the widest of the inputs' dtypes.
 */
export type Precision = 'low' | 'float32' | 'widest'

/** Whether autocast turns the dtype into another by itself. */
export function isConvertible(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16'
}

/** What holds a tensor's elements in JavaScript; the 16-bit floats are kept as their bits. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array

export interface DTypeInfo {
  readonly bytes: number
  readonly floating: boolean
  readonly Array: new (lengthOrBuffer: number | ArrayBuffer, offset?: number, length?: number) => TypedArray
}

export const dtypes = {
  float32: { bytes: 4, floating: true, Array: Float32Array },
  float64: { bytes: 8, floating: true, Array: Float64Array },
  bfloat16: { bytes: 2, floating: true, Array: Uint16Array },
  float16: { bytes: 2, floating: true, Array: Uint16Array },
  int32: { bytes: 4, floating: false, Array: Int32Array },
  uint8: { bytes: 1, floating: false, Array: Uint8Array },
  bool: { bytes: 1, floating: false, Array: Uint8Array },
} as const satisfies { readonly [D in DType]: unknown }

/** Numbers of the dtypes in the addon's calls, as in `enum class DType`; float64 has none. */
export const dtypeCodes = {
  float32: 0,
  bfloat16: 1,
  float16: 2,
  int32: 3,
  uint8: 4,
  bool: 5,
} as const satisfies { readonly [D in Exclude<DType, 'float64'>]: number }

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(dtypes, value)
}

/** Element types and what a JavaScript program sees of them. */
import { kindOf, ValueError } from './errors.js'

/** int64 exists in files only; float64 on the reference device only. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int32' | 'uint8' | 'bool'

/**
 * float32 and the 16-bit floats: one kind to the types, because autocast turns one into another without their knowledge.
 * JavaScript sees all of them as float32.
 */
export type SingleFloat = 'float32' | 'bfloat16' | 'float16'

/** What the types know of a tensor that is made with a dtype. */
export type Known<D extends DType> = [DType] extends [D] ? DType : D extends SingleFloat ? SingleFloat : D

/** What reading a tensor of each dtype gives. A table, because the compiler sees how its entries vary, and not conditions. */
interface Elements {
  readonly float32: Float32Array
  readonly bfloat16: Float32Array
  readonly float16: Float32Array
  readonly float64: Float64Array
  readonly int32: Int32Array
  readonly uint8: Uint8Array
  readonly bool: Uint8Array
}

/** What reading a tensor gives; a union where its dtype is not known. */
export type ElementsOf<D extends DType> = Elements[D]

/** What stands for one element in nested arrays. */
export type ElementOf<D extends DType> = { readonly [T in DType]: T extends 'bool' ? boolean : number }[D]

/** The dtype of a sum: bytes and truths are counted in int32. */
export type Summed<D extends DType> = { readonly [T in DType]: T extends 'uint8' | 'bool' ? 'int32' : T }[D]

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

export function isFloating(dtype: DType): boolean {
  return dtypes[dtype].floating
}

/** What elements of the dtypes may be that are not floats. */
export const integerRanges: { readonly [D in DType]?: readonly [low: number, high: number] } = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 255],
  bool: [0, 1],
}

/** Whether an element may be this number. Floats take every one: they round it, and beyond their range to infinity. */
export function holds(dtype: DType, value: number): boolean {
  const range = integerRanges[dtype]
  return range === undefined || (Number.isInteger(value) && value >= range[0] && value <= range[1])
}

/** Throws ValueError unless the value is a number that an element of the dtype may be. */
export function checkElement(op: string, value: number, dtype: DType): number {
  if (typeof value !== 'number') throw new ValueError(op, `the value is ${kindOf(value)}, but must be a number`)
  if (!holds(dtype, value)) throw noElement(op, value, dtype)
  return value
}

export function noElement(op: string, value: number | bigint, dtype: DType): ValueError {
  const [low, high] = integerRanges[dtype] ?? []
  return new ValueError(op, `${value} is no ${dtype}, which holds integers from ${low} to ${high}; name another dtype`)
}

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(dtypes, value)
}

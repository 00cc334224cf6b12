/** Element types and what a JavaScript program sees of them. */
import { kindOf, ValueError } from './errors.js'

/** int64 exists only in files, and float64 only on the reference device. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int32' | 'uint8' | 'bool' | BlockDType

/**
 * Numbers in blocks along the last dimension, each with its own scale, for weights at a fraction of their memory.
 * Their tensors can be converted, moved, saved, looked up by row and multiplied with. Nothing else computes with them,
 * and they take no gradient. Numbers are little-endian.
 *
 * - q8_0: GGML's; 34 bytes for 32 numbers, a float16 scale and 32 int8; a number is scale * int8.
 * - q4_0: GGML's; 18 bytes for 32 numbers, a float16 scale and 16 bytes; byte i holds number i in its low four bits and
 *   number 16 + i in its high ones; a number is scale * (bits - 8).
 * - nf4: QLoRA's (Dettmers et al. 2023); 36 bytes for 64 numbers, the largest magnitude in float32 and 32 bytes; byte i
 *   holds number 2 i in its high four bits and number 2 i + 1 in its low ones; a number is the magnitude times one of
 *   16 levels. Bits and magnitude are those of bitsandbytes, whose magnitudes are float32 too, so that its files can be
 *   repacked exactly.
 */
export type BlockDType = 'q8_0' | 'q4_0' | 'nf4'

/**
 * float32 and the 16-bit floats, which are one kind to the type system, because autocast converts between them at run
 * time. JavaScript sees all of them as float32.
 */
export type SingleFloat = 'float32' | 'bfloat16' | 'float16'

/** The static dtype of a tensor created with dtype D. */
export type Known<D extends DType> = [DType] extends [D] ? DType : D extends SingleFloat ? SingleFloat : D

/**
 * The array that reading a tensor of each dtype gives. It is a table, because the compiler can infer how its entries
 * vary.
 */
interface Elements {
  readonly float32: Float32Array
  readonly bfloat16: Float32Array
  readonly float16: Float32Array
  readonly float64: Float64Array
  readonly int32: Int32Array
  readonly uint8: Uint8Array
  readonly bool: Uint8Array
  readonly q8_0: Float32Array
  readonly q4_0: Float32Array
  readonly nf4: Float32Array
}

/** The array that reading a tensor gives; a union if its dtype is unknown. */
export type ElementsOf<D extends DType> = Elements[D]

/** The JavaScript value of one element in nested arrays. */
export type ElementOf<D extends DType> = { readonly [T in DType]: T extends 'bool' ? boolean : number }[D]

/** The dtype of a sum: uint8 and bool are summed in int32. */
export type Summed<D extends DType> = { readonly [T in DType]: T extends 'uint8' | 'bool' ? 'int32' : T }[D]

/**
 * The dtype that an operator computes in under autocast: `low`, the dtype of autocast, where the arithmetic is most of
 * the work and sums are accumulated in float32; `float32`, where rounding would show; `widest`, the widest of the
 * inputs' dtypes.
 */
export type Precision = 'low' | 'float32' | 'widest'

/** Whether autocast converts the dtype. */
export function isConvertible(dtype: DType): boolean {
  return dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16'
}

/** The array that holds a tensor's elements in JavaScript. It keeps 16-bit floats as their bits. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array | Uint16Array

/**
 * `bytes` is the size of an element; a block dtype's is a fraction, which is exact for whole blocks. `block` is the
 * number of elements stored together, 1 unless it is a block dtype.
 */
export const dtypes = {
  float32: { bytes: 4, block: 1, floating: true, Array: Float32Array },
  float64: { bytes: 8, block: 1, floating: true, Array: Float64Array },
  bfloat16: { bytes: 2, block: 1, floating: true, Array: Uint16Array },
  float16: { bytes: 2, block: 1, floating: true, Array: Uint16Array },
  int32: { bytes: 4, block: 1, floating: false, Array: Int32Array },
  uint8: { bytes: 1, block: 1, floating: false, Array: Uint8Array },
  bool: { bytes: 1, block: 1, floating: false, Array: Uint8Array },
  q8_0: { bytes: 34 / 32, block: 32, floating: false, Array: Uint8Array },
  q4_0: { bytes: 18 / 32, block: 32, floating: false, Array: Uint8Array },
  nf4: { bytes: 36 / 64, block: 64, floating: false, Array: Uint8Array },
} as const satisfies { readonly [D in DType]: unknown }

/** Codes of the dtypes in the addon's calls, as in `enum class DType`. float64 has none. */
export const dtypeCodes = {
  float32: 0,
  bfloat16: 1,
  float16: 2,
  int32: 3,
  uint8: 4,
  bool: 5,
  q8_0: 6,
  q4_0: 7,
  nf4: 8,
} as const satisfies { readonly [D in Exclude<DType, 'float64'>]: number }

/** The dtypes whose elements are stored in blocks. */
export const blockDTypes = ['q8_0', 'q4_0', 'nf4'] as const satisfies readonly BlockDType[]

// Whether the dtype is stored in blocks. These are comparisons rather than a lookup, because every view asks.
export function isBlocks(dtype: DType): dtype is BlockDType {
  return dtype === 'q8_0' || dtype === 'q4_0' || dtype === 'nf4'
}

/** The length of the array that holds `count` elements of the dtype. */
export function arrayLength(dtype: DType, count: number): number {
  return isBlocks(dtype) ? count * dtypes[dtype].bytes : count
}

/** Whether its numbers are floats, which can have a gradient. */
export function isFloating(dtype: DType): boolean {
  return dtypes[dtype].floating
}

/** The least and the largest element of each dtype that is not a float. */
export const integerRanges: { readonly [D in DType]?: readonly [low: number, high: number] } = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 255],
  bool: [0, 1],
}

/** Whether an element can hold this number. Floats take every number: they round it, beyond their range to infinity. */
export function holds(dtype: DType, value: number): boolean {
  const range = integerRanges[dtype]
  return range === undefined || (Number.isInteger(value) && value >= range[0] && value <= range[1])
}

/** Throws ValueError unless the value is a number that an element of the dtype can hold. */
export function checkElement(op: string, value: number, dtype: DType): number {
  if (typeof value !== 'number') throw new ValueError(op, `the value is ${kindOf(value)}, but must be a number`)
  if (!holds(dtype, value)) throw noElement(op, value, dtype)
  return value
}

export function noElement(op: string, value: number | bigint, dtype: DType): ValueError {
  const [low, high] = integerRanges[dtype] ?? []
  return new ValueError(
    op,
    `${value} does not fit ${dtype}, which holds integers from ${low} to ${high}; name another dtype`,
  )
}

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(dtypes, value)
}

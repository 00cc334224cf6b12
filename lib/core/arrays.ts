/**
 * Conversion of typed arrays to the kinds that hold a tensor's elements. A program's array may be of any kind, from any
 * realm (worker, vm, test runner) and over any buffer.
 */
import { type DType, dtypes, holds, isBlocks, noElement, type TypedArray } from './dtype.js'
import { isShared } from './engine.js'
import { DTypeError, kindOf, ValueError } from './errors.js'

/**
 * The arrays that tensors are made of. Uint16Array holds the bits of 16-bit floats; integers without a dtype become
 * int32.
 */
export type NumericArray =
  | TypedArray
  | Uint8ClampedArray
  | Int8Array
  | Int16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

/** The dtype that each kind of array becomes when the program names none. */
const kinds: { readonly [kind: string]: DType | 'bits' } = {
  Float32Array: 'float32',
  Float64Array: 'float64',
  Float16Array: 'float16',
  Int32Array: 'int32',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
  Int8Array: 'int32',
  Int16Array: 'int32',
  Uint32Array: 'int32',
  BigInt64Array: 'int32',
  BigUint64Array: 'int32',
  Uint16Array: 'bits',
}

const prototype: object = Object.getPrototypeOf(Uint8Array.prototype)
const tag = Object.getOwnPropertyDescriptor(prototype, Symbol.toStringTag)?.get as (this: unknown) => string | undefined

/** Whether the value is a typed array of any realm. A DataView is not one. */
export function isNumericArray(value: unknown): value is NumericArray {
  // `instanceof` knows the classes of one realm only; the tag comes from what the engine knows of the object.
  return ArrayBuffer.isView(value) && tag.call(value) !== undefined
}

/** The dtype of a row of a nested array; null for the bits of 16-bit floats. */
export function dtypeOfRow(row: NumericArray): DType | null {
  const held = kinds[tag.call(row) as string]
  return held === undefined || held === 'bits' ? null : held
}

/** The elements for a tensor of the dtype: already in that dtype, or floats that are still to be converted. */
export interface Elements {
  readonly data: TypedArray
  readonly dtype: DType
}

/**
 * The elements of an array in the form of a tensor of dtype `wanted` (by default the dtype of the array's kind).
 * Numbers become floats by rounding. A number that an integer dtype cannot hold is a ValueError; it is never truncated.
 * The array is copied only if it must change.
 */
export function elementsOf(op: string, array: NumericArray, wanted: DType | undefined): Elements {
  if (!isNumericArray(array)) {
    const hint = ArrayBuffer.isView(array) ? '; make a typed array over its buffer' : ''
    throw new ValueError(op, `data must be a typed array, but is ${kindOf(array)}${hint}`)
  }
  const kind = tag.call(array) as string
  const held = kinds[kind]
  if (held === undefined) throw new DTypeError(op, `there is no dtype for the elements of ${kindOf(array)}`)
  if (array.length === 0) checkAttached(op, array)
  const half = wanted === 'bfloat16' || wanted === 'float16'
  if (held === 'bits' && !half)
    throw new DTypeError(
      op,
      `a Uint16Array holds the bits of 16-bit floats: name the dtype 'bfloat16' or 'float16'; ` +
        'if it holds integers, give Int32Array.from(data)',
    )
  if (held === 'bits' || (kind === 'Float16Array' && (wanted ?? 'float16') === 'float16'))
    return { data: plain(array, Uint16Array), dtype: wanted ?? 'float16' }
  if (kind === 'Float16Array') return { data: Float32Array.from(array as Float32Array), dtype: 'float32' }
  if (wanted !== undefined && isBlocks(wanted) && kind === 'Uint8Array')
    return { data: plain(array, Uint8Array), dtype: wanted }
  const dtype = wanted ?? held
  if (isBlocks(dtype)) return { data: floats(array, false), dtype: 'float32' }
  if (dtype === 'float32' && held === 'float32') return { data: plain(array, Float32Array), dtype }
  if (dtype === 'float64' && held === 'float64') return { data: plain(array, Float64Array), dtype }
  if (!dtypes[dtype].floating) return { data: integers(op, array, kind, dtype), dtype }
  // The device rounds to 16-bit floats, starting from its widest float.
  const target = held === 'float64' ? 'float64' : 'float32'
  return {
    data: floats(array, dtype === 'float64' || target === 'float64'),
    dtype: dtype === 'float64' ? dtype : target,
  }
}

function floats(array: NumericArray, wide: boolean): TypedArray {
  const numbers = isBig(array) ? Float64Array.from(array as BigInt64Array, Number) : (array as Float64Array)
  if (wide) return tag.call(numbers) === 'Float64Array' ? plain(numbers, Float64Array) : new Float64Array(numbers)
  return tag.call(numbers) === 'Float32Array' ? plain(numbers, Float32Array) : new Float32Array(numbers)
}

function integers(op: string, array: NumericArray, kind: string, dtype: DType): TypedArray {
  if (dtype === 'int32' && kind === 'Int32Array') return plain(array, Int32Array)
  if (dtype === 'uint8' && (kind === 'Uint8Array' || kind === 'Uint8ClampedArray')) return plain(array, Uint8Array)
  for (let i = 0; i < array.length; i++) {
    const value = array[i] as number | bigint
    if (!holds(dtype, Number(value))) throw noElement(op, value, dtype)
  }
  const numbers = isBig(array) ? Float64Array.from(array as BigInt64Array, Number) : (array as Float64Array)
  return dtype === 'int32' ? new Int32Array(numbers) : new Uint8Array(numbers)
}

function isBig(array: NumericArray): boolean {
  return (tag.call(array) as string).startsWith('Big')
}

type View<A> = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => A

/**
 * The same elements in an array of this realm's class. Its memory can change neither through another thread nor through
 * a resize.
 */
function plain<A extends TypedArray>(array: NumericArray, Class: View<A>): A {
  const { buffer, byteOffset, length } = array
  const view = new Class(buffer, byteOffset, length)
  const changing = isShared(buffer) || (buffer as { resizable?: boolean }).resizable === true
  return changing ? (view.slice() as A) : view
}

/**
 * Throws for an array that has lost its buffer to another thread or to a resize, because it would pass for an empty
 * one.
 */
function checkAttached(op: string, array: NumericArray): void {
  try {
    ;(prototype as Uint8Array).values.call(array as Uint8Array)
  } catch {
    throw new ValueError(
      op,
      'the buffer of the typed array was detached (sent to another thread) or shortened; make the tensor before that',
    )
  }
}

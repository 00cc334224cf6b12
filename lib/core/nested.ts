/** Conversion of nested JavaScript arrays to the elements of a tensor. */
import { dtypeOfRow, isNumericArray, type NumericArray } from './arrays.js'
import type { DType, TypedArray } from './dtype.js'
import { DTypeError, kindOf, ShapeError, ValueError } from './errors.js'
import { maxDims } from './shape.js'

interface Flattened {
  readonly shape: readonly number[]
  /** A Float64Array, or an array of the kind that all innermost lists have. */
  readonly data: TypedArray
  /** The dtype of the tensor if the program names none. */
  readonly dtype: DType
}

/**
 * The elements of nested arrays in row-major order. Throws for ragged nesting, and for an item that is not a number,
 * and names its place.
 */
export function flattened(op: string, value: unknown): Flattened {
  const shape = shapeOf(op, value)
  const rows: unknown[] = []
  collect(op, value, shape, 0, rows)
  const width = shape.at(-1) ?? 1
  const data = new Float64Array(rows.length * width)
  let booleans = data.length > 0
  const dtypes = new Set<DType>()
  rows.forEach((row, r) => {
    const list = shape.length === 0 ? [row] : (row as readonly unknown[])
    const typed = isNumericArray(row)
    dtypes.add(typed ? rowDType(op, row) : 'float32')
    booleans &&= !typed
    for (let i = 0; i < width; i++) {
      const item = list[i]
      if (typeof item === 'number') booleans = false
      else if (!typed && typeof item !== 'boolean') throw noNumber(op, item)
      data[r * width + i] = Number(item)
    }
  })
  return { shape, data, dtype: booleans ? 'bool' : commonDType(dtypes) }
}

/** The dtype of mixed lists: integers stay integers, but beside a float all become float32. */
function commonDType(dtypes: ReadonlySet<DType>): DType {
  const [only] = dtypes
  if (dtypes.size === 1 && only !== undefined && only !== 'float64') return only
  return dtypes.size > 0 && [...dtypes].every((dtype) => dtype === 'uint8' || dtype === 'int32') ? 'int32' : 'float32'
}

function rowDType(op: string, row: NumericArray): DType {
  const dtype = dtypeOfRow(row)
  if (dtype !== null) return dtype
  throw new DTypeError(
    op,
    'a Uint16Array in a list may hold integers or the bits of 16-bit floats; give Int32Array.from(row), or fromTypedArray() ' +
      'an array with the dtype',
  )
}

/** The shape, read from the first entry of each list. */
function shapeOf(op: string, value: unknown): number[] {
  const shape: number[] = []
  for (let at = value; Array.isArray(at) || isNumericArray(at); at = at[0]) {
    // The depth is limited, because an array may contain itself.
    if (shape.length === maxDims)
      throw new ShapeError(
        op,
        `lists are nested deeper than ${maxDims}, but a tensor may have at most ${maxDims} dimensions`,
      )
    shape.push(at.length)
  }
  return shape
}

/** The innermost lists in order, after checks that each list has the length of the first one at its depth. */
function collect(op: string, value: unknown, shape: readonly number[], depth: number, rows: unknown[]): void {
  if (depth === shape.length) {
    if (Array.isArray(value) || isNumericArray(value))
      throw new ShapeError(op, `ragged nesting: a list stands at depth ${depth}, where the first entry has a number`)
    if (depth === 0) rows.push(value)
    return
  }
  const typed = isNumericArray(value)
  if (!typed && !Array.isArray(value)) {
    if (typeof value !== 'number' && typeof value !== 'boolean') throw noNumber(op, value)
    throw new ShapeError(op, `ragged nesting: a number stands at depth ${depth}, where the first entry has lists`)
  }
  const { length } = value
  if (length !== shape[depth] || (typed && depth < shape.length - 1))
    throw new ShapeError(
      op,
      `ragged nesting: a list at depth ${depth} has ${length} entries, the first one there has ${shape[depth]}`,
    )
  if (depth === shape.length - 1) rows.push(value)
  else for (let i = 0; i < length; i++) collect(op, value[i], shape, depth + 1, rows)
}

function noNumber(op: string, item: unknown): ValueError {
  const isTensor = typeof item === 'object' && item !== null && 'storage' in item && 'shape' in item
  const hint = isTensor ? '; clone() copies a tensor, stack() and cat() join several' : ''
  return new ValueError(op, `${kindOf(item)} is neither a number nor a boolean, nor a list of them${hint}`)
}

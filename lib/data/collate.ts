/** The way from rows to a batch: numbers become tensors, and tuples and records are combined place by place. */
import { isNumericArray, type NumericArray } from '../core/arrays.js'
import { type DType, dtypes } from '../core/dtype.js'
import { formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { askRoom } from '../core/room.js'
import type { Shape } from '../core/shape.js'
import { Tensor } from '../core/tensor.js'
import { to } from '../ops/convert.js'
import { fromTypedArray, tensor } from '../ops/creation.js'
import { stack } from '../ops/shape/join.js'
import { Picture, planesOf } from './picture.js'

type Scalar = number | boolean | bigint
/** The values that `tensor` accepts. */
type Numbers = readonly (number | boolean | Numbers)[]

type Places<R> = { readonly [K in keyof R]: Part<R[K]> }
/** A part of a row. In contrast to the row itself, lists of lists of numbers are one tensor. */
type Part<R> = R extends Numbers ? Tensor : Collated<R>

/** The batch that `defaultCollate` makes of rows of type R. */
export type Collated<R> = R extends Scalar
  ? Tensor<[number]>
  : R extends string
    ? readonly string[]
    : R extends Tensor<infer S extends Shape, infer D>
      ? Tensor<[number, ...S], D>
      : R extends Picture
        ? Tensor<[number, number, number, number]>
        : R extends NumericArray | readonly (number | boolean)[]
          ? Tensor<[number, number]>
          : R extends object
            ? Places<R>
            : never

/**
 * Dtypes of a row's numbers if they differ from the usual ones, in the form of the row. Those left out are as usual.
 */
export type RowDTypes = DType | readonly (RowDTypes | undefined)[] | { readonly [name: string]: RowDTypes | undefined }

export interface CollateOptions {
  /** Such as `{ label: 'int32' }` or `['float32', 'int32']`. */
  readonly dtypes?: RowDTypes
}

interface Column {
  readonly op: string
  readonly values: readonly unknown[]
  /** The column's place within its rows, such as `.pixels` or `[1]`, or empty for whole rows. */
  readonly path: string
  readonly depth: number
  readonly dtype: unknown
  /** The device of tensors made from numbers. Tensors in rows stay on theirs. Default: that of new tensors. */
  readonly device: string | undefined
}

/** The deepest nesting, because rows that contain themselves have no end. */
const mostDepth = 64

const advice = 'make rows alike by map, or give a collate'

/**
 * One batch of the rows. A number, boolean or bigint in each becomes a tensor [rows] (float32, bool, int32). A typed
 * array of n numbers or a list of n numbers becomes [rows, n], a tensor [rows, ...] of its dtype, and a picture [rows,
 * C, H, W]. Text stays an array. A tuple (a list that holds anything but numbers) and a plain object are combined place
 * by place. Within them, lists of lists of numbers become one tensor. Throws ShapeError for rows of different sizes,
 * and ValueError for different kinds and for other values, with the row and the place.
 */
export function defaultCollate<const R>(rows: readonly R[], options: CollateOptions = {}): Collated<R> {
  if (!Array.isArray(rows)) throw new ValueError('defaultCollate', `rows are ${kindOf(rows)}, but must be an array`)
  const { dtypes: rowDTypes } = checkOptions('defaultCollate', options, { dtypes: true })
  return collateFor<R>('defaultCollate', rows, rowDTypes)
}

/** `defaultCollate` in the name of its caller. */
export function collateFor<R>(
  op: string,
  rows: readonly R[],
  rowDTypes: RowDTypes | undefined,
  device?: string,
): Collated<R> {
  if (rows.length === 0) throw new ValueError(op, 'there are no rows for a batch')
  return collated({ op, values: rows, path: '', depth: 0, dtype: rowDTypes, device }) as Collated<R>
}

type Kind = 'number' | 'boolean' | 'bigint' | 'text' | 'tensor' | 'picture' | 'typed array' | 'list' | 'record'

function kindOfValue(value: unknown): Kind | null {
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return typeof value as Kind
  if (typeof value === 'string') return 'text'
  if (value instanceof Tensor) return 'tensor'
  if (value instanceof Picture) return 'picture'
  if (isNumericArray(value)) return 'typed array'
  if (Array.isArray(value)) return 'list'
  if (typeof value !== 'object' || value === null) return null
  const prototype: unknown = Object.getPrototypeOf(value)
  // A plain object of another realm has that realm's Object.prototype, which has no prototype itself.
  return prototype === null || Object.getPrototypeOf(prototype) === null ? 'record' : null
}

const place = (row: number, path: string) => (path === '' ? `row ${row} of the batch` : `row ${row}${path}`)

function collated(column: Column): unknown {
  const { op, values, path, depth, dtype } = column
  if (depth > mostDepth)
    throw new ValueError(op, `${place(0, path.slice(0, 80))} is nested deeper than ${mostDepth}; ${advice}`)
  const kind = kindOfValue(values[0])
  for (const [i, value] of values.entries()) {
    const own = kindOfValue(value)
    if (own === null)
      throw new ValueError(op, `${place(i, path)} is ${kindOf(value)}, which cannot become a tensor; ${advice}`)
    if (own !== kind)
      throw new ValueError(
        op,
        `${place(i, path)} is ${kindOf(value)}, but ${place(0, path)} ${kindOf(values[0])}; ${advice}`,
      )
  }
  if (kind === 'record') return record(column)
  if (kind === 'list' && !isNumbers(values[0], depth > 0)) return tuple(column)
  if (kind === 'text') {
    if (dtype !== undefined)
      throw new ValueError(
        op,
        `dtypes name ${shown(dtype)} for ${place(0, path)}, which is text; leave it out of dtypes`,
      )
    return values
  }
  return namedAs(op, () => numbers(column, kind as Kind, dtypeOf(column)))
}

/** Whether a list holds only numbers or, if `deep`, lists of them. */
function isNumbers(value: unknown, deep: boolean): boolean {
  const list = value as readonly unknown[]
  let first: unknown = list[0]
  if (!deep) return list.every((each) => typeof each === 'number' || typeof each === 'boolean')
  for (let depth = 0; Array.isArray(first) && depth < mostDepth; depth++) first = first[0]
  return list.length === 0 || typeof first === 'number' || typeof first === 'boolean'
}

function dtypeOf({ op, path, dtype }: Column): DType | undefined {
  if (dtype !== undefined && (typeof dtype !== 'string' || !Object.hasOwn(dtypes, dtype)))
    throw new ValueError(
      op,
      `dtypes name ${shown(dtype)} for ${place(0, path)}, which is not a dtype; give one of ${Object.keys(dtypes).join(', ')}`,
    )
  return dtype as DType | undefined
}

function numbers({ op, values, path, device }: Column, kind: Kind, dtype: DType | undefined): Tensor {
  const options = { ...(dtype === undefined ? {} : { dtype }), ...(device === undefined ? {} : { device }) }
  if (kind === 'number' || kind === 'boolean') return tensor(values as readonly number[], options)
  if (kind === 'bigint') return fromTypedArray(bigIntegers(op, values as readonly bigint[]), [values.length], options)
  const sizes = values.map(sizesOf)
  const first = sizes[0] as readonly number[]
  for (const [i, size] of sizes.entries())
    if (size.length !== first.length || size.some((n, d) => n !== first[d]))
      throw new ShapeError(
        op,
        `rows have different sizes: ${place(0, path)} is ${formatShape(first)}, but ${place(i, path)} ${formatShape(size)}; pad ` +
          'them to one size in a collate, or cut them with map',
        [first, size],
      )
  if (kind === 'tensor') {
    const joined = stack(values as readonly Tensor[])
    return dtype === undefined ? joined : to(joined, dtype)
  }
  if (kind === 'picture') {
    const pictures = values as readonly Picture[]
    const bytes = (picture: Picture) => picture.data instanceof Uint8Array
    const other = pictures.findIndex((picture) => bytes(picture) !== bytes(pictures[0] as Picture))
    if (other >= 0)
      throw new ValueError(
        op,
        `${place(other, path)} and ${place(0, path)} are pictures of different kinds, bytes and floats; ${advice}`,
      )
    askRoom(values.length * (pictures[0] as Picture).data.byteLength, op)
    return fromTypedArray(planesOf(pictures), [values.length, ...first], options)
  }
  if (kind === 'list') return tensor(values as Numbers, options)
  for (const [i, value] of values.entries()) {
    const [tag, wanted] = [value, values[0]].map((array) => (array as NumericArray)[Symbol.toStringTag])
    if (tag !== wanted)
      throw new ValueError(op, `${place(i, path)} is a ${tag}, but ${place(0, path)} a ${wanted}; ${advice}`)
  }
  const joined = joinedArrays(op, values as readonly NumericArray[], first[0] as number)
  return fromTypedArray(joined, [values.length, ...first], options)
}

function sizesOf(value: unknown): readonly number[] {
  if (value instanceof Tensor) return value.sizes
  if (value instanceof Picture) return [value.channels, value.height, value.width]
  const sizes: number[] = []
  for (let at = value; (Array.isArray(at) || isNumericArray(at)) && sizes.length < mostDepth; at = at[0])
    sizes.push(at.length)
  return sizes
}

function bigIntegers(op: string, values: readonly bigint[]): BigInt64Array {
  const wide = values.find((value) => BigInt.asIntN(64, value) !== value)
  if (wide !== undefined) throw new ValueError(op, `a row has a bigint of more than 64 bits, which fits no dtype`)
  return BigInt64Array.from(values)
}

function joinedArrays(op: string, arrays: readonly NumericArray[], length: number): NumericArray {
  askRoom(arrays.length * (arrays[0] as NumericArray).byteLength, op)
  const tag = (arrays[0] as NumericArray)[Symbol.toStringTag] as string
  // The array's own constructor is not used, because it may be Buffer, or of another realm.
  const Class = (globalThis as unknown as { readonly [name: string]: new (length: number) => NumericArray })[tag]
  const joined = new (Class as new (length: number) => NumericArray)(arrays.length * length) as Float64Array
  for (const [i, array] of arrays.entries()) joined.set(array as Float64Array, i * length)
  return joined
}

/** The dtypes that `dtype` names for places, which must be among the names. */
function dtypesWithin({ op, path, dtype }: Column, names: readonly string[]): { readonly [name: string]: unknown } {
  if (dtype === undefined) return {}
  if (typeof dtype !== 'object' || dtype === null)
    throw new ValueError(
      op,
      `dtypes name ${shown(dtype)} for ${place(0, path)}, which has the places ${names.join(', ')}; give a dtype for each`,
    )
  const unknown = Object.keys(dtype).filter((name) => !names.includes(name))
  if (unknown.length > 0)
    throw new ValueError(
      op,
      `dtypes name ${unknown.join(', ')}, but ${place(0, path)} has ${names.join(', ') || 'nothing'}`,
    )
  return dtype as { readonly [name: string]: unknown }
}

function tuple(column: Column): readonly unknown[] {
  const { op, path, depth, device } = column
  const values = column.values as readonly (readonly unknown[])[]
  const width = (values[0] as readonly unknown[]).length
  for (const [i, value] of values.entries())
    if (value.length !== width)
      throw new ShapeError(
        op,
        `${place(i, path)} has ${value.length} parts, but ${place(0, path)} has ${width}; ${advice}`,
        [[width], [value.length]],
      )
  const own = dtypesWithin(
    column,
    Array.from({ length: width }, (_, k) => String(k)),
  )
  return Array.from({ length: width }, (_, k) =>
    collated({
      op,
      values: values.map((value) => value[k]),
      path: `${path}[${k}]`,
      depth: depth + 1,
      dtype: own[k],
      device,
    }),
  )
}

function record(column: Column): object {
  const { op, path, depth, device } = column
  const values = column.values as readonly { readonly [name: string]: unknown }[]
  const names = Object.keys(values[0] as object)
  for (const [i, value] of values.entries()) {
    const missing = names.find((name) => !Object.hasOwn(value, name))
    const added = Object.keys(value).find((name) => !names.includes(name))
    if (missing !== undefined || added !== undefined)
      throw new ValueError(
        op,
        `${place(i, path)} has ${missing === undefined ? `a ${added}, which` : `no ${missing}, which only`} ${place(0, path)} ` +
          `${missing === undefined ? 'lacks' : 'has'}; ${advice}`,
      )
  }
  const own = dtypesWithin(column, names)
  return Object.fromEntries(
    names.map((name) => [
      name,
      collated({
        op,
        values: values.map((value) => value[name]),
        path: `${path}.${name}`,
        depth: depth + 1,
        dtype: own[name],
        device,
      }),
    ]),
  )
}

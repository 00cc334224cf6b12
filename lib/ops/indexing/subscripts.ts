/**
 * The parser of Python's subscripts, `x[0, 1:3, None, mask, [2, 0]]`. Slices and new dimensions become a view of x; the
 * rest becomes tensors of indices along dimensions of this view.
 */

import { isNumericArray, type NumericArray } from '../../core/arrays.js'
import {
  allowed,
  DTypeError,
  formatShape,
  IndexOutOfRangeError,
  kindOf,
  ShapeError,
  shown,
  ValueError,
} from '../../core/errors.js'
import { flattened } from '../../core/nested.js'
import { broadcastShapes, type Shape, sameShape } from '../../core/shape.js'
import { Tensor } from '../../core/tensor.js'
import { arange, fromTypedArray, type NestedArray } from '../creation.js'
import { add, lt, mul, where } from '../elementwise/index.js'
import { dataSync } from '../read.js'
import { detach, expand, reshape, type SliceIndex, slice } from '../shape/index.js'
import { columnsOf, placesOf } from './places.js'
import { indexSelect } from './rows.js'

type Bound = '' | number

/**
 * One of: an integer, which removes a dimension; 'start:end' or 'start:end:step' as in Python ('1:', ':-1', '::2',
 * ':'); '...', which stands for all dimensions without another index; null, a new dimension of size 1; indices along
 * one dimension, as an int32 tensor or nested lists; a mask over one dimension or more, as a bool tensor or nested
 * lists of booleans.
 */
export type Index =
  | number
  | `${Bound}:${Bound}`
  | `${Bound}:${Bound}:${Bound}`
  | '...'
  | null
  | boolean
  | Tensor
  | NumericArray
  | readonly NestedArray[]

/** Indices along a dimension of the view. */
export interface Found {
  readonly dim: number
  readonly index: Tensor
  /** Whether the indices are known to lie inside; if not, a kernel must check. */
  readonly isChecked: boolean
}

export interface Subscripts {
  /** The view of x's memory. */
  readonly view: Tensor
  /** The indices, at most one for each dimension, in order. They broadcast together. */
  readonly found: readonly Found[]
  /** The shape that they broadcast to. */
  readonly picks: Shape
}

type Read =
  | { readonly kind: 'rest' }
  | { readonly kind: 'new' }
  | { readonly kind: 'slice'; readonly slice: SliceIndex }
  | { readonly kind: 'mask'; readonly sizes: Shape; readonly truths: ArrayLike<number> }
  | { readonly kind: 'tensor'; readonly index: Tensor }
  | { readonly kind: 'list'; readonly sizes: Shape; readonly data: ArrayLike<number> }

const sliceText = /^\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?\s*)?$/

function readText(op: string, text: string): Read {
  if (text === '...') return { kind: 'rest' }
  const match = sliceText.exec(text)
  if (match === null)
    throw new ValueError(
      op,
      `the index ${kindOf(text)} is not valid; a text must be a slice, such as '1:3' or '::2', or '...'`,
    )
  const [from = null, to = null, step = 1] = match
    .slice(1)
    .map((part) => (part === undefined ? undefined : Number(part)))
  return { kind: 'slice', slice: [from, to, step] }
}

function readTensor(op: string, index: Tensor): Read {
  index.storage.check(op)
  if (index.dtype === 'bool')
    return { kind: 'mask', sizes: index.sizes, truths: dataSync(detach(index)) as ArrayLike<number> }
  if (index.dtype !== 'int32')
    throw new DTypeError(
      op,
      `an index is ${index.dtype}, but must be int32, or bool for a mask; convert it with .to('int32')`,
    )
  // A single number is read, as in PyTorch, because it removes its dimension and so gives a view.
  if (index.ndim === 0) return { kind: 'slice', slice: dataSync(index)[0] as number }
  return { kind: 'tensor', index }
}

function readIndex(op: string, index: Index): Read {
  if (index === null) return { kind: 'new' }
  if (typeof index === 'number') return { kind: 'slice', slice: index }
  if (typeof index === 'boolean') return { kind: 'mask', sizes: [], truths: [Number(index)] }
  if (typeof index === 'string') return readText(op, index)
  if (index instanceof Tensor) return readTensor(op, index)
  if (!Array.isArray(index) && !isNumericArray(index))
    throw new ValueError(
      op,
      `an index is ${kindOf(index)}, but must be an integer, a slice such as '1:3', '...', null, a tensor, or a list`,
    )
  const { shape, data, dtype } = flattened(op, index)
  return dtype === 'bool' ? { kind: 'mask', sizes: shape, truths: data } : { kind: 'list', sizes: shape, data }
}

/** The number of dimensions of x that an index covers. */
function rankOf(read: Read): number {
  return read.kind === 'rest' || read.kind === 'new' ? 0 : read.kind === 'mask' ? read.sizes.length : 1
}

/** The integers of a list along a dimension. Negative ones count from the end. */
function listed(op: string, { sizes, data }: Extract<Read, { kind: 'list' }>, x: Tensor, dim: number): Tensor {
  const size = x.sizes[dim] as number
  const places = Int32Array.from({ length: data.length }, (_, i) => {
    const index = data[i] as number
    if (!Number.isInteger(index))
      throw new ValueError(op, `a list of indices holds ${shown(index)}, which is not an integer`)
    if (index < -size || index >= size)
      throw new IndexOutOfRangeError(
        op,
        `index ${index} lies outside dimension ${dim} of ${formatShape(x.sizes)}${size === 0 ? '' : `; allowed are ${allowed(size)}`}`,
      )
    return index < 0 ? index + size : index
  })
  return fromTypedArray(places, sizes, { device: x.device })
}

/** Makes negative indices count from the end. Indices outside stay as they are, so that the error can tell them. */
export function wrapped(index: Tensor, size: number): Tensor {
  const fromEnd = add(index, size)
  return where(lt(index, 0), where(lt(fromEnd, 0), index, fromEnd), index)
}

/** The indices of a mask's true elements, along each dimension that it covers. */
function maskColumns(op: string, { sizes, truths }: Extract<Read, { kind: 'mask' }>, x: Tensor, dim: number): Tensor[] {
  const here = x.sizes.slice(dim, dim + sizes.length)
  if (!sameShape(here, sizes))
    throw new ShapeError(
      op,
      `a mask is ${formatShape(sizes)}, but must be ${formatShape(here)}, the sizes of x ${formatShape(x.sizes)} from dimension ${dim} on`,
      [x.sizes, sizes],
    )
  return columnsOf(placesOf(truths), sizes).map((column) =>
    fromTypedArray(column, [column.length], { device: x.device }),
  )
}

function picksOf(op: string, found: readonly Found[]): Shape {
  try {
    return found.reduce<Shape>((shape, { index }) => broadcastShapes(op, shape, index.sizes), [])
  } catch (cause) {
    const shapes = found.map(({ index }) => index.sizes)
    throw Object.assign(
      new ShapeError(op, `indices of ${shapes.map(formatShape).join(' and ')} do not broadcast together`, shapes),
      { cause },
    )
  }
}

/** Parses the indices of x. Masks and single numbers in tensors are read, and waited for. */
export function takeApart(op: string, x: Tensor, indices: readonly Index[]): Subscripts {
  const reads = indices.map((index) => readIndex(op, index))
  if (reads.filter(({ kind }) => kind === 'rest').length > 1)
    throw new ValueError(op, `'...' occurs more than once; only one can stand for all remaining dimensions`)
  const rank = reads.reduce((sum, read) => sum + rankOf(read), 0)
  if (rank > x.ndim)
    throw new ValueError(op, `there are indices for ${rank} dimensions, but x is ${formatShape(x.sizes)}`)
  if (!reads.some(({ kind }) => kind === 'rest')) reads.push({ kind: 'rest' })
  /** The slice of each dimension of x. */
  const slices: SliceIndex[] = []
  /** Whether each dimension of the view is new. */
  const isNew: boolean[] = []
  const found: Found[] = []
  const keep = (index: SliceIndex) => {
    slices.push(index)
    isNew.push(false)
  }
  const pick = (index: Tensor, isChecked: boolean) => {
    found.push({ dim: isNew.length, index, isChecked })
    keep(null)
  }
  for (const read of reads) {
    const dim = slices.length
    if (read.kind === 'rest') for (let i = rank; i < x.ndim; i++) keep(null)
    else if (read.kind === 'new') isNew.push(true)
    else if (read.kind === 'slice' && typeof read.slice === 'number') slices.push(read.slice)
    else if (read.kind === 'slice') keep(read.slice)
    else if (read.kind === 'list') pick(listed(op, read, x, dim), true)
    else if (read.kind === 'tensor') pick(wrapped(read.index, x.sizes[dim] as number), false)
    else if (read.sizes.length > 0) for (const column of maskColumns(op, read, x, dim)) pick(column, true)
    else {
      // A single boolean picks the one place of a new dimension, or none.
      const places = new Int32Array(read.truths[0] === 0 ? 0 : 1)
      found.push({
        dim: isNew.length,
        index: fromTypedArray(places, [places.length], { device: x.device }),
        isChecked: true,
      })
      isNew.push(true)
    }
  }
  const sliced = slices.every((each) => each === null) ? x : slice(x, ...slices)
  const sizes = [...sliced.sizes]
  const view = isNew.includes(true)
    ? reshape(
        sliced,
        isNew.map((made) => (made ? 1 : (sizes.shift() as number))),
      )
    : sliced
  return { view, found, picks: picksOf(op, found) }
}

/**
 * Whether the indices stand side by side. If so, the picked dimensions take their place, and otherwise they come first.
 */
export function areAdjacent(found: readonly Found[]): boolean {
  return found.every(({ dim }, i) => i === 0 || dim === (found[i - 1] as Found).dim + 1)
}

/**
 * The offsets of the indexed elements along the dimension, in steps of `stride`, in the shape to which indices
 * broadcast.
 */
function offsets({ dim, index, isChecked }: Found, size: number, stride: number): Tensor {
  if (isChecked) return stride === 1 ? index : mul(index, stride)
  // A look-up is used, because it refuses indices outside, and names the dimension.
  const { device } = index
  const table = arange(0, size, 1, { dtype: 'int32', device })
  const line = Array.from({ length: dim + 1 }, (_, i) => (i === dim ? size : 1))
  const steps = reshape(stride === 1 ? table : mul(table, stride), line)
  return reshape(indexSelect(steps, dim, reshape(index, [index.numel])), index.sizes)
}

const mostPlaces = 2 ** 31 - 1

/** Joins adjacent indices into one index along all their dimensions together. */
export function joined(op: string, view: Tensor, found: readonly Found[], picks: Shape): Tensor {
  const sizes = found.map(({ dim }) => view.sizes[dim] as number)
  const count = sizes.reduce((product, size) => product * size, 1)
  checkPlaces(op, count, view)
  let stride = count
  const parts = found.map((each, i) => {
    const size = sizes[i] as number
    // Every index of an empty dimension lies outside.
    stride = size === 0 ? 1 : stride / size
    return offsets(each, size, Math.max(stride, 1))
  })
  return expand(
    parts.reduce((sum, part) => add(sum, part)),
    picks,
  )
}

function checkPlaces(op: string, count: number, view: Tensor): void {
  if (count > mostPlaces)
    throw new ValueError(
      op,
      `indices of several dimensions of ${formatShape(view.sizes)} reach beyond ${mostPlaces} elements; index one dimension after the other`,
    )
}

/** The layout of elements in memory, of a tensor or of one still to be made. */
type Lying = Pick<Tensor, 'sizes' | 'steps' | 'offset'>

/** The places in memory (int32) of the elements that the subscripts name, in the shape of the result. */
export function positions(op: string, { view, found, picks }: Subscripts, { sizes, steps, offset }: Lying): Tensor {
  const { device } = view
  const first = found[0]
  const lead = first !== undefined && areAdjacent(found) ? first.dim : 0
  const others = sizes.map((_, dim) => dim).filter((dim) => !found.some((each) => each.dim === dim))
  const sizesOf = (dims: readonly number[]) => dims.map((dim) => sizes[dim] as number)
  const shape = [...sizesOf(others.slice(0, lead)), ...picks, ...sizesOf(others.slice(lead))]
  const last = sizes.reduce((sum, size, dim) => sum + Math.max(0, size - 1) * (steps[dim] as number), offset)
  checkPlaces(op, last + 1, view)
  // A size of 1 may have any stride.
  const stepOf = (dim: number) => ((sizes[dim] as number) > 1 ? (steps[dim] as number) : 1)
  let at: Tensor = fromTypedArray(Int32Array.of(offset), [], { device })
  const behind = others.length - lead
  for (const each of found) {
    const part = offsets(each, sizes[each.dim] as number, stepOf(each.dim))
    at = add(at, reshape(part, [...part.sizes, ...new Array<number>(behind).fill(1)]))
  }
  for (const [i, dim] of others.entries()) {
    const size = sizes[dim] as number
    const ranks = i < lead ? lead - i - 1 + picks.length + behind : others.length - i - 1
    const line = mul(arange(0, size, 1, { dtype: 'int32', device }), stepOf(dim))
    at = add(at, reshape(line, [size, ...new Array<number>(ranks).fill(1)]))
  }
  return expand(at, shape)
}

/** Arithmetic of shapes: no tensors, no devices. */
import { formatShape, kindOf, ShapeError, ValueError } from './errors.js'
import type { Mutable } from './shape-types.js'

/** Sizes of a tensor, outermost first. */
export type Shape = readonly number[]

export const maxDims = 8

/** Copies a list. The usual lengths are written out, because an array method costs five times as much. */
export function copyOf(list: Shape): number[] {
  switch (list.length) {
    case 0:
      return []
    case 1:
      return [list[0] as number]
    case 2:
      return [list[0] as number, list[1] as number]
    case 3:
      return [list[0] as number, list[1] as number, list[2] as number]
    case 4:
      return [list[0] as number, list[1] as number, list[2] as number, list[3] as number]
    default:
      return [...list]
  }
}

export function countOf(shape: Shape): number {
  let count = 1
  for (let i = 0; i < shape.length; i++) count *= shape[i] as number
  return count
}

const oneStride: Shape = [1]

/** Strides of dense row-major memory, in elements. */
export function denseStrides(shape: Shape): Shape {
  if (shape.length === 1) return oneStride
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step
    step *= shape[i] as number
  }
  return strides
}

/** Whether elements lie in row-major order without gaps; dimensions of size 1 may have any stride. */
export function isDense(shape: Shape, strides: Shape): boolean {
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number
    if (size === 0) return true
    if (size !== 1 && strides[i] !== step) return false
    step *= size
  }
  return true
}

/** Whether several elements share one place in memory, as after `expand`. */
export function isOverlapping({ sizes, steps }: { readonly sizes: Shape; readonly steps: Shape }): boolean {
  let overlapping = false
  for (let d = 0; d < sizes.length; d++) {
    if (sizes[d] === 0) return false
    if ((sizes[d] as number) > 1 && steps[d] === 0) overlapping = true
  }
  return overlapping
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** The shape that both broadcast to, by NumPy's rule. */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a
  const rank = Math.max(a.length, b.length)
  const out = new Array<number>(rank)
  for (let i = 1; i <= rank; i++) {
    const x = i <= a.length ? (a[a.length - i] as number) : 1
    const y = i <= b.length ? (b[b.length - i] as number) : 1
    if (x !== y && x !== 1 && y !== 1)
      throw new ShapeError(
        op,
        `shapes do not broadcast: a is ${formatShape(a)}, b is ${formatShape(b)}; sizes counted from the last must be ` +
          `equal or 1 (${x} and ${y} at dimension ${-i})`,
        [a, b],
      )
    out[rank - i] = x === 1 ? y : x
  }
  return sameShape(out, a) ? a : sameShape(out, b) ? b : out
}

/** Brings `dim` into [0, rank); a negative one counts from the end. */
export function normalizeDim(op: string, dim: number, rank: number): number {
  const limit = Math.max(rank, 1)
  if (!Number.isInteger(dim) || dim < -limit || dim >= limit)
    throw new ValueError(
      op,
      `dim is ${typeof dim === 'number' ? dim : kindOf(dim)}, but must be an integer from ${-limit} to ${limit - 1} for ${rank} dimensions`,
    )
  return dim < 0 ? dim + limit : dim
}

/** Sorted, distinct dimensions; `null` means all. */
export function normalizeDims(op: string, dim: number | readonly number[] | null | undefined, rank: number): number[] {
  if (dim === null || dim === undefined) return Array.from({ length: rank }, (_, i) => i)
  if (typeof dim !== 'number' && !Array.isArray(dim))
    throw new ValueError(
      op,
      `dim is ${kindOf(dim)}, but must be an integer or an array of them, as in ${op}(1) or ${op}([0, 1])`,
    )
  const dims = (typeof dim === 'number' ? [dim] : [...(dim as readonly number[])])
    .map((d) => normalizeDim(op, d, rank))
    .sort((x, y) => x - y)
  for (let i = 1; i < dims.length; i++)
    if (dims[i] === dims[i - 1])
      throw new ValueError(op, `dim ${dims[i]} occurs twice in ${formatShape(dim as number[])}`)
  return rank === 0 ? [] : dims
}

/** The shape after reducing `dims`: 1 in each of them if `keepdim`, else without them. */
export function reducedShape(shape: Shape, dims: readonly number[], keepdim: boolean): Shape {
  if (keepdim) return shape.map((size, i) => (dims.includes(i) ? 1 : size))
  return shape.filter((_, i) => !dims.includes(i))
}

/** A copy of sizes given by a user, read once, so that later changes of the program's array do not reach a tensor. */
export function copySizes(op: string, shape: Shape): number[] {
  if (!Array.isArray(shape))
    throw new ValueError(op, `a shape must be an array of sizes such as [2, 3], but is ${kindOf(shape)}`)
  const { length } = shape as Shape
  if (length > maxDims)
    throw new ShapeError(op, `the shape has ${length} dimensions, but a tensor may have at most ${maxDims}`)
  return copyOf(shape)
}

/** A copy of sizes given by a user, after checks that name the operator and the offending size. */
export function checkShape<const S extends Shape>(op: string, shape: S): Mutable<S> {
  const sizes = copySizes(op, shape)
  checkSizes(op, sizes)
  return sizes as Shape as Mutable<S>
}

/** `checkShape` for a list of the library's own. Returns the number of elements. */
export function checkSizes(op: string, sizes: Shape): number {
  let count = 1
  // The product leaves sizes of 0 out, because strides are products too, and a 0 elsewhere does not make them smaller.
  let largest = 1
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i] as number
    if (!Number.isSafeInteger(size) || size < 0)
      throw new ValueError(op, `a shape must hold non-negative integers below 2^53, but is ${formatShape(sizes)}`)
    count *= size
    if (size !== 0) largest *= size
  }
  if (!Number.isSafeInteger(largest))
    throw new ValueError(
      op,
      `${formatShape(sizes)} has more elements than can be counted (2^53)${count === 0 ? ', if no size were 0' : ''}; use smaller sizes`,
    )
  return count
}

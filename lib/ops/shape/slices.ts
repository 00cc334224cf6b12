/** Views of parts of a tensor. */

import { apply, checkTensor } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { allowed, formatShape, kindOf, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { viewFor } from '../views.js'
import { oneDim, sliceRecord } from './cut.js'
import { reshape, squeeze } from './reshape.js'

/** A view of `length` elements of `dim` from `start`. Throws ValueError if they do not lie inside. */
export function narrow<D extends DType>(
  x: Tensor<Shape, D>,
  dim: number,
  start: number,
  length: number,
): Tensor<Shape, D>
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  checkTensor('narrow', 'x', x)
  const d = normalizeDim('narrow', dim, x.ndim)
  const size = x.sizes[d] ?? 0
  const first = Number.isInteger(start) && start < 0 ? start + size : start
  if (
    x.ndim === 0 ||
    !Number.isInteger(first) ||
    !Number.isInteger(length) ||
    first < 0 ||
    length < 0 ||
    first + length > size
  )
    throw new ValueError(
      'narrow',
      `${shown(length)} elements from ${shown(start)} do not lie inside dimension ${d} of ${formatShape(x.sizes)}`,
    )
  return viewFor('narrow', x, () => oneDim(x, d, first, 1, length))
}

/** Throws unless an index is within a dimension. It may count from the end. */
function checkPlace(op: string, index: number, dim: number, sizes: Shape): void {
  const size = sizes[dim] as number
  if (!Number.isInteger(index)) throw new ValueError(op, `index ${shown(index)} of dimension ${dim} must be an integer`)
  if (index < -size || index >= size)
    throw new ValueError(
      op,
      `index ${index} lies outside dimension ${dim} of ${formatShape(sizes)}${size === 0 ? '' : `; allowed are ${allowed(size)}`}`,
    )
}

/**
 * A view of the slice at `index` of `dim`, without that dimension. A negative index counts from the end. Throws
 * ValueError for an index or dimension that x lacks.
 */
export function select<D extends DType>(x: Tensor<Shape, D>, dim: number, index: number): Tensor<Shape, D>
export function select(x: Tensor, dim: number, index: number): Tensor {
  checkTensor('select', 'x', x)
  const d = normalizeDim('select', dim, x.ndim)
  const size = x.sizes[d] ?? 0
  if (x.ndim === 0) throw new ValueError('select', 'x is one number and has no dimension')
  checkPlace('select', index, d, x.sizes)
  return viewFor('select', x, () => squeeze(oneDim(x, d, index < 0 ? index + size : index, 1, 1), d))
}

/**
 * The part of one dimension that a slice takes: one index (dropping the dimension), [start, end) or [start, end, step],
 * or all (':' or null).
 */
export type SliceIndex = number | readonly [start: number | null, end: number | null, step?: number] | ':' | null

/**
 * A view as by Python's `x[a, b:c, ::2]`: one entry per dimension, further dimensions whole. Negative positions count
 * from the end, positions beyond the end are cut off, and steps are positive. `slice(x, 0, [1, 3])` is `x[0, 1:3]`.
 */
export function slice<D extends DType>(x: Tensor<Shape, D>, ...indices: readonly SliceIndex[]): Tensor<Shape, D>
export function slice(x: Tensor, ...indices: readonly SliceIndex[]): Tensor {
  checkTensor('slice', 'x', x)
  if (indices.length > x.ndim)
    throw new ValueError('slice', `${indices.length} indices for ${x.ndim} dimensions of ${formatShape(x.sizes)}`)
  const starts: number[] = []
  const steps: number[] = []
  const sizes: number[] = []
  const dropped = new Set<number>()
  x.sizes.forEach((size, i) => {
    const given = indices[i] ?? null
    const index = given === ':' ? null : given
    if (typeof index === 'number') {
      checkPlace('slice', index, i, x.sizes)
      dropped.add(i)
      starts.push(index < 0 ? index + size : index)
      steps.push(1)
      sizes.push(1)
      return
    }
    if (index !== null && !Array.isArray(index))
      throw new ValueError(
        'slice',
        `the index of dimension ${i} is ${kindOf(index)}, but must be a number, [start, end], [start, end, step], ':' or null`,
      )
    // A list of places would otherwise be taken for a range, without a word.
    if (index !== null && (index.length < 2 || index.length > 3))
      throw new ValueError(
        'slice',
        `the range of dimension ${i} is ${shown(index)}, but must be [start, end] or [start, end, step], where null is an open end; index(...) takes lists of places`,
      )
    const [from, to, step = 1] = index ?? [null, null]
    for (const value of [from ?? 0, to ?? 0, step])
      if (!Number.isInteger(value))
        throw new ValueError('slice', `position ${shown(value)} of dimension ${i} must be an integer`)
    if (step < 1) throw new ValueError('slice', `step ${step} of dimension ${i} must be at least 1`)
    const place = (value: number) => Math.min(Math.max(value < 0 ? value + size : value, 0), size)
    const first = place(from ?? 0)
    starts.push(first)
    steps.push(step)
    sizes.push(Math.max(0, Math.ceil((place(to ?? size) - first) / step)))
  })
  return viewFor('slice', x, () => {
    const taken = apply(sliceRecord, [x], { starts, steps, sizes })
    return dropped.size === 0
      ? taken
      : reshape(
          taken,
          sizes.filter((_, i) => !dropped.has(i)),
        )
  })
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    narrow(dim: number, start: number, length: number): Tensor<Shape, D>
    select(dim: number, index: number): Tensor<Shape, D>
    slice(...indices: readonly SliceIndex[]): Tensor<Shape, D>
  }
}

defineMethods({
  narrow(dim: number, start: number, length: number) {
    return narrow(this, dim, start, length)
  },
  select(dim: number, index: number) {
    return select(this, dim, index)
  },
  slice(...indices: readonly SliceIndex[]) {
    return slice(this, ...indices)
  },
})

/** Other shapes for the same elements in the same order. */

import { apply, checkTensor } from '../../autograd/operator.js'
import { contiguous as denseCopy } from '../../backend/dispatch.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, ShapeError, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import {
  checkSizes,
  copySizes,
  countOf,
  denseStrides,
  normalizeDim,
  normalizeDims,
  type Shape,
  sameShape,
} from '../../core/shape.js'
import type { Mutable } from '../../core/shape-types.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { operator } from '../operator.js'
import { viewFor, viewOf } from '../views.js'
import { checkList, integersOf } from './lists.js'

/** The strides with which `shape` has the same elements in the same order; null if a copy is needed. */
function reshapedStrides(x: Tensor, shape: Shape): Shape | null {
  if (x.isContiguous || countOf(shape) === 0) return denseStrides(shape)
  const kept = x.sizes.map((_, i) => i).filter((i) => x.sizes[i] !== 1)
  const sizes = kept.map((i) => x.sizes[i] as number)
  const steps = kept.map((i) => x.steps[i] as number)
  const strides = new Array<number>(shape.length).fill(1)
  let from = 0
  let to = 0
  // Both shapes are cut into the smallest groups of equal product; each group of x must be dense within itself.
  while (from < sizes.length) {
    let fromEnd = from + 1
    let toEnd = to + 1
    let mine = sizes[from] as number
    let wanted = shape[to] as number
    while (mine !== wanted) {
      if (mine < wanted) mine *= sizes[fromEnd++] as number
      else wanted *= shape[toEnd++] as number
    }
    for (let i = from; i < fromEnd - 1; i++)
      if (steps[i] !== (sizes[i + 1] as number) * (steps[i + 1] as number)) return null
    let step = steps[fromEnd - 1] as number
    for (let i = toEnd - 1; i >= to; i--) {
      strides[i] = step
      step *= shape[i] as number
    }
    from = fromEnd
    to = toEnd
  }
  return strides
}

const reshapeRecord = operator<[x: Tensor], Shape>({
  name: 'reshape',
  infer: (inputs, shape) => like(inputs[0], shape),
  forward(inputs, shape) {
    const x = inputs[0]
    const strides = reshapedStrides(x, shape)
    return strides === null ? viewOf(denseCopy(x), shape, denseStrides(shape), 0) : viewOf(x, shape, strides)
  },
  gradient: { saves: () => ({}), backward: (ctx, [g]) => [reshape(g, ctx.spec(0).shape)] },
})

/** Fills in the -1 of a shape, and checks the number of elements. */
function resolveShape(op: string, x: Tensor, shape: Shape): Shape {
  checkList(op, shape)
  const sizes = copySizes(op, shape)
  // A loop is used, because `indexOf` would be a call.
  let free = sizes.length - 1
  while (free >= 0 && sizes[free] !== -1) free--
  if (free >= 0) sizes[free] = 1
  const count = checkSizes(op, sizes)
  const size = count === 0 ? 0 : x.numel / count
  if (free < 0 ? count !== x.numel : !Number.isInteger(size) || (count === 0 && x.numel !== 0)) {
    if (free >= 0) sizes[free] = -1
    throw new ShapeError(
      op,
      `${formatShape(x.sizes)} has ${x.numel} elements, which do not fill ${formatShape(sizes)}`,
      [x.sizes, sizes],
    )
  }
  if (free >= 0) sizes[free] = size
  return sizes
}

/**
 * The same elements in row-major order under another shape, of which one size may be -1. A view if possible, else a
 * copy.
 */
export function reshape<const S extends Shape, D extends DType>(x: Tensor<Shape, D>, shape: S): Tensor<Mutable<S>, D>
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkTensor('reshape', 'x', x)
  const resolved = resolveShape('reshape', x, shape)
  return sameShape(resolved, x.sizes) ? x : viewFor('reshape', x, () => apply(reshapeRecord, [x], resolved))
}

/** Like reshape, but never copies. Throws ShapeError if the strides do not allow a view. */
export function view<const S extends Shape, D extends DType>(x: Tensor<Shape, D>, shape: S): Tensor<Mutable<S>, D>
export function view(x: Tensor, shape: Shape): Tensor {
  checkTensor('view', 'x', x)
  const resolved = resolveShape('view', x, shape)
  if (reshapedStrides(x, resolved) === null)
    throw new ShapeError(
      'view',
      `${formatShape(x.sizes)} with strides ${formatShape(x.steps)} cannot be seen as ${formatShape(resolved)}; use reshape`,
      [x.sizes],
    )
  return apply(reshapeRecord, [x], resolved)
}

/**
 * Joins the dimensions `start` to `end` (inclusive; by default all) into one: 1 to 2 turn [A, B, C] into [A, B C]. A
 * view if possible, else a copy. Throws ValueError if `start` comes after `end`, or if x lacks one of them.
 */
export function flatten<D extends DType>(x: Tensor<Shape, D>, start = 0, end = -1): Tensor<Shape, D> {
  checkTensor('flatten', 'x', x)
  if (x.ndim === 0) return reshape(x, [1])
  const a = normalizeDim('flatten', start, x.ndim)
  const b = normalizeDim('flatten', end, x.ndim)
  if (a > b) throw new ValueError('flatten', `start ${start} comes after end ${end}`)
  return reshape(x, [...x.sizes.slice(0, a), countOf(x.sizes.slice(a, b + 1)), ...x.sizes.slice(b + 1)])
}

/**
 * A view with a new dimension of size 1 before `dim`: 1 turns [A, B] into [A, 1, B]. Throws ValueError for a dimension
 * beyond x's.
 */
export function unsqueeze<D extends DType>(x: Tensor<Shape, D>, dim: number): Tensor<Shape, D> {
  checkTensor('unsqueeze', 'x', x)
  const d = normalizeDim('unsqueeze', dim, x.ndim + 1)
  return reshape(x, [...x.sizes.slice(0, d), 1, ...x.sizes.slice(d)])
}

/**
 * A view without those of the dimensions `dim` whose size is 1, or by default without all of size 1: [A, 1, B] becomes
 * [A, B]. Throws ValueError for a dimension that x lacks.
 */
export function squeeze<D extends DType>(x: Tensor<Shape, D>, dim?: number | readonly number[]): Tensor<Shape, D> {
  checkTensor('squeeze', 'x', x)
  const dims = typeof dim === 'number' ? [normalizeDim('squeeze', dim, x.ndim)] : normalizeDims('squeeze', dim, x.ndim)
  return reshape(
    x,
    x.sizes.filter((size, i) => size !== 1 || !dims.includes(i)),
  )
}

/**
 * Splits the dimension `dim` into several of the given sizes, one of which may be -1: the reverse of `flatten`. Sizes
 * [2, 3] turn [A, 6] at 1 into [A, 2, 3]. Throws ShapeError if the sizes do not multiply to that of the dimension.
 */
export function unflatten<D extends DType>(x: Tensor<Shape, D>, dim: number, sizes: Shape): Tensor<Shape, D>
export function unflatten(x: Tensor, dim: number, sizes: Shape): Tensor {
  checkTensor('unflatten', 'x', x)
  const d = normalizeDim('unflatten', dim, x.ndim)
  if (x.ndim === 0) throw new ShapeError('unflatten', 'x is one number and has no dimension to split', [[]])
  const size = x.sizes[d] as number
  checkList('unflatten', sizes)
  const parts = integersOf('unflatten', 'sizes', sizes, -1)
  const free = parts.indexOf(-1)
  const known = countOf(parts.filter((_, i) => i !== free))
  if (free >= 0 && known > 0) parts[free] = size / known
  if (parts.length === 0 || countOf(parts) !== size || !parts.every((part) => Number.isInteger(part) && part >= 0))
    throw new ShapeError(
      'unflatten',
      `sizes ${formatShape(sizes)} do not multiply to ${size}, the size of dimension ${d} of ${formatShape(x.sizes)}`,
      [x.sizes],
    )
  return viewFor('unflatten', x, () => reshape(x, [...x.sizes.slice(0, d), ...parts, ...x.sizes.slice(d + 1)]))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    reshape<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
    view<const T extends Shape>(shape: T): Tensor<Mutable<T>, D>
    flatten(start?: number, end?: number): Tensor<Shape, D>
    squeeze(dim?: number | readonly number[]): Tensor<Shape, D>
    unflatten(dim: number, sizes: Shape): Tensor<Shape, D>
    unsqueeze(dim: number): Tensor<Shape, D>
  }
}

defineMethods({
  reshape(shape: Shape) {
    return reshape(this, shape)
  },
  view(shape: Shape) {
    return view(this, shape)
  },
  flatten(start?: number, end?: number) {
    return flatten(this, start, end)
  },
  squeeze(dim?: number | readonly number[]) {
    return squeeze(this, dim)
  },
  unflatten(dim: number, sizes: Shape) {
    return unflatten(this, dim, sizes)
  },
  unsqueeze(dim: number) {
    return unsqueeze(this, dim)
  },
})

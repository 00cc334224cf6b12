/** Functions that cut tensors into pieces. */

import { apply, checkTensor, type TensorSpec } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, kindOf, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { askHeap, checkEntries } from '../../core/room.js'
import { countOf, normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { full } from '../creation.js'
import { joined } from '../layout.js'
import { operator } from '../operator.js'
import { viewFor, viewOf } from '../views.js'
import { cat } from './join.js'
import { checkInteger, integersOf } from './lists.js'
import { squeeze } from './reshape.js'
import { narrow } from './slices.js'

interface Split {
  readonly dim: number
  readonly sizes: readonly number[]
}

function pieceShape(x: TensorSpec, dim: number, length: number): Shape {
  return x.shape.map((size, i) => (i === dim ? length : size))
}

/**
 * One call makes all pieces, so that their gradients are joined, with at most one copy each, instead of added into
 * zeros.
 */
const splitRecord = operator<[x: Tensor], Split, readonly Tensor[]>({
  name: 'split',
  outputs: Number.POSITIVE_INFINITY,
  infer: ([x], { dim, sizes }) => sizes.map((length) => like(x, pieceShape(x, dim, length))),
  forward([x], { dim, sizes }, specs) {
    let start = 0
    return specs.map(({ shape }, i) => {
      // An empty view must not point beyond the memory.
      const skipped = countOf(shape) === 0 ? 0 : start * (x.steps[dim] ?? 0)
      start += sizes[i] ?? 0
      return viewOf(x, shape, x.steps, x.offset + skipped)
    })
  },
  gradient: {
    saves: () => ({}),
    backward(ctx, gradients) {
      const { dim, sizes } = ctx.attrs
      const found = gradients.filter((g) => g !== null)
      const whole = ctx.createGraph || found.length < sizes.length ? null : joined(found, dim)
      if (whole !== null) return [whole]
      const [given] = found
      if (given === undefined) return [null]
      const { dtype, device } = given
      const parts = sizes.map(
        (length, i) => gradients[i] ?? full(pieceShape(ctx.spec(0), dim, length), 0, { dtype, device }),
      )
      return [cat(parts, dim)]
    },
  },
})

const mostPieces = 2 ** 24
/**
 * The bytes of the JavaScript heap for each piece: the tensor, its sizes, and the entries of the list and of autograd.
 */
const pieceBytes = 512

/** Throws if `count` tensors are too many for a list, or for the JavaScript heap. */
function checkPieces(op: string, count: number): void {
  const advice = 'take fewer, larger pieces, or take the needed ones with select() or narrow()'
  checkEntries(op, count, mostPieces, 'pieces', advice)
  askHeap(count * pieceBytes, op, `${count} pieces`, advice)
}

/** The pieces: as many as sizes, if these are given one by one. */
export type Pieces<N, D extends DType> = N extends readonly number[]
  ? { -readonly [I in keyof N]: Tensor<Shape, D> }
  : Tensor<Shape, D>[]

/**
 * Views of pieces of `size` along `dim` (the last may be smaller), or of the given sizes. Throws ValueError for a size
 * that is not positive, and for sizes that do not add up to that of the dimension.
 */
export function split<D extends DType, const N extends number | readonly number[]>(
  x: Tensor<Shape, D>,
  size: N,
  dim?: number,
): Pieces<N, D>
export function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  checkTensor('split', 'x', x)
  const d = normalizeDim('split', dim, x.ndim)
  const total = x.sizes[d] ?? 0
  if (typeof size === 'number' && !(Number.isInteger(size) && size > 0))
    throw new ValueError('split', `size is ${size}, but must be a positive integer`)
  if (typeof size === 'number') checkPieces('split', Math.ceil(total / size))
  const sizes =
    typeof size === 'number'
      ? Array.from({ length: Math.max(1, Math.ceil(total / size)) }, (_, i) => Math.min(size, total - i * size))
      : size
  if (!Array.isArray(sizes))
    throw new ValueError('split', `size is ${kindOf(size)}, but must be an integer or an array of them`)
  if (x.ndim === 0) throw new ValueError('split', 'x is one number and has no dimension to split')
  if (sizes.some((each) => !Number.isInteger(each) || each < 0))
    throw new ValueError('split', `sizes ${formatShape(sizes)} must be non-negative integers`)
  if (sizes.reduce((a, b) => a + b, 0) !== total)
    throw new ValueError(
      'split',
      `sizes ${formatShape(sizes)} do not add up to ${total}, the size of dimension ${d} of ${formatShape(x.sizes)}`,
    )
  return sizes.length === 0 ? [] : viewFor('split', x, () => [...apply(splitRecord, [x], { dim: d, sizes })])
}

/**
 * Views of at most `chunks` pieces of equal size along `dim` (the last may be smaller). Throws ValueError unless
 * `chunks` is a positive integer.
 */
export function chunk<D extends DType>(x: Tensor<Shape, D>, chunks: number, dim = 0): Tensor<Shape, D>[] {
  checkTensor('chunk', 'x', x)
  if (!(Number.isInteger(chunks) && chunks > 0))
    throw new ValueError('chunk', `chunks is ${shown(chunks)}, but must be a positive integer`)
  const size = x.sizes[normalizeDim('chunk', dim, x.ndim)] ?? 0
  checkPieces('chunk', Math.min(chunks, size))
  return viewFor('chunk', x, () => split(x, Math.max(1, Math.ceil(size / chunks)), dim))
}

/**
 * Views of pieces along a dimension. A number gives that many pieces whose sizes differ by at most 1, the larger ones
 * first. A list gives pieces that begin at 0 and at the given positions. Negative positions count from the end, and
 * positions beyond the end are cut to it.
 */
export function tensorSplit<D extends DType>(
  x: Tensor<Shape, D>,
  sections: number | readonly number[],
  dim?: number,
): Tensor<Shape, D>[]
export function tensorSplit(x: Tensor, sections: number | readonly number[], dim = 0): Tensor[] {
  checkTensor('tensorSplit', 'x', x)
  const d = normalizeDim('tensorSplit', dim, x.ndim)
  if (x.ndim === 0) throw new ValueError('tensorSplit', 'x is one number and has no dimension to split')
  const size = x.sizes[d] as number
  if (typeof sections === 'number') {
    checkPieces('tensorSplit', checkInteger('tensorSplit', 'sections', sections, 1))
    const [least, more] = [Math.floor(size / sections), size % sections]
    const sizes = Array.from({ length: sections }, (_, i) => least + (i < more ? 1 : 0))
    return viewFor('tensorSplit', x, () => split(x, sizes, d))
  }
  const starts = integersOf('tensorSplit', 'sections', sections).map((i) =>
    Math.min(i < 0 ? Math.max(0, i + size) : i, size),
  )
  // A piece that would end before it begins is empty, and the next begins at its own position, as in PyTorch.
  return viewFor('tensorSplit', x, () =>
    [0, ...starts].map((start, i) => narrow(x, d, start, Math.max(0, (starts[i] ?? size) - start))),
  )
}

/**
 * Views of the slices along `dim`, each without that dimension: [A, B] gives A views [B] along 0. Throws ValueError for
 * a dimension that x lacks.
 */
export function unbind<D extends DType>(x: Tensor<Shape, D>, dim?: number): Tensor<Shape, D>[]
export function unbind(x: Tensor, dim = 0): Tensor[] {
  checkTensor('unbind', 'x', x)
  const d = normalizeDim('unbind', dim, x.ndim)
  if (x.ndim === 0) throw new ValueError('unbind', 'x is one number and has no dimension to split')
  const size = x.sizes[d] as number
  checkPieces('unbind', size)
  return size === 0 ? [] : viewFor('unbind', x, () => split(x, 1, d).map((each) => squeeze(each, d)))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    split<const N extends number | readonly number[]>(size: N, dim?: number): Pieces<N, D>
    tensorSplit(sections: number | readonly number[], dim?: number): Tensor<Shape, D>[]
    unbind(dim?: number): Tensor<Shape, D>[]
    chunk(chunks: number, dim?: number): Tensor<Shape, D>[]
  }
}

defineMethods({
  tensorSplit(sections: number | readonly number[], dim?: number) {
    return tensorSplit(this, sections, dim)
  },
  unbind(dim?: number) {
    return unbind(this, dim)
  },
  split(size: number | readonly number[], dim?: number) {
    return split(this, size, dim)
  },
  chunk(chunks: number, dim?: number) {
    return chunk(this, chunks, dim)
  },
})

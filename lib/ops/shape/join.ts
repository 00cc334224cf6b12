/** Functions that join tensors. */

import { apply } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { formatShape, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { checkSizes, normalizeDim, type Shape, sameShape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { checkTensors } from './lists.js'
import { pad } from './pad.js'
import { reshape, unsqueeze } from './reshape.js'
import { narrow } from './slices.js'

const catRecord = operator<readonly Tensor[], number>({
  name: 'cat',
  inputs: ['each of the list'],
  infer(inputs, dim) {
    const [first, ...rest] = inputs
    if (first === undefined) throw new ValueError('cat', 'there is nothing to join: the list of tensors is empty')
    for (const x of rest)
      if (x.ndim !== first.ndim || x.sizes.some((size, i) => i !== dim && size !== first.sizes[i]))
        throw new ShapeError(
          'cat',
          `${formatShape(first.sizes)} and ${formatShape(x.sizes)} must agree in all dimensions except ${dim}`,
          [first.sizes, x.sizes],
        )
    const total = inputs.reduce((sum, x) => sum + (x.sizes[dim] ?? 0), 0)
    const sizes = first.sizes.map((size, i) => (i === dim ? total : size))
    checkSizes('cat', sizes)
    return like(first, sizes)
  },
  forward: kernel('cat', (inputs, dim, { out }) => ({ out, inputs, dim })),
  gradient: {
    saves: () => ({}),
    backward(ctx, [g]) {
      let start = 0
      return ctx.needs.map((need, i) => {
        const length = ctx.spec(i).shape[ctx.attrs] ?? 0
        const part = need ? narrow(g, ctx.attrs, start, length) : null
        start += length
        return part
      })
    },
  },
})

/**
 * Joins tensors one after another along `dim` (default 0): [A, N] and [B, N] give [A + B, N]. Throws ValueError for an
 * empty list or a dimension that does not exist, and ShapeError if the other sizes differ.
 */
export function cat<D extends DType>(tensors: readonly Tensor<Shape, D>[], dim?: number): Tensor<Shape, D>
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  checkTensors('cat', tensors)
  const rank = tensors[0]?.ndim ?? 1
  if (rank === 0) throw new ShapeError('cat', 'tensors without dimensions cannot be joined; use stack', [[]])
  return apply(catRecord, tensors, normalizeDim('cat', dim, rank))
}

/**
 * Joins tensors of the same shape along a new dimension `dim` (default 0): K tensors [M, N] give [K, M, N]. Throws
 * ValueError for an empty list, and ShapeError if shapes differ.
 */
export function stack<D extends DType>(tensors: readonly Tensor<Shape, D>[], dim = 0): Tensor<Shape, D> {
  checkTensors('stack', tensors)
  const first = tensors[0]
  if (first === undefined) throw new ValueError('stack', 'there is nothing to join: the list of tensors is empty')
  for (const x of tensors)
    if (!sameShape(x.sizes, first.sizes))
      throw new ShapeError(
        'stack',
        `all tensors must have the same shape, but there are ${formatShape(first.sizes)} and ${formatShape(x.sizes)}`,
        [first.sizes, x.sizes],
      )
  const d = normalizeDim('stack', dim, first.ndim + 1)
  return namedAs('stack', () =>
    cat(
      tensors.map((x) => unsqueeze(x, d)),
      d,
    ),
  )
}

/**
 * Joins tensors after adding missing dimensions. `dimOf` gives the dimension to join along from their number of
 * dimensions.
 */
function joinedFrom<D extends DType>(
  op: string,
  tensors: readonly Tensor<Shape, D>[],
  shaped: (x: Tensor<Shape, D>) => Tensor<Shape, D>,
  dimOf: (rank: number) => number,
): Tensor<Shape, D> {
  checkTensors(op, tensors)
  const list = tensors.map(shaped)
  return namedAs(op, () => cat(list, dimOf(list[0]?.ndim ?? 1)))
}

/**
 * Joins tensors side by side: along the second dimension, or along the only one of vectors and numbers. [M, A] and [M,
 * B] give [M, A + B]. Throws ShapeError if the other sizes differ.
 */
export function hstack<D extends DType>(tensors: readonly Tensor<Shape, D>[]): Tensor<Shape, D> {
  return joinedFrom(
    'hstack',
    tensors,
    (x) => (x.ndim === 0 ? reshape(x, [1]) : x),
    (rank) => (rank === 1 ? 0 : 1),
  )
}

/**
 * Joins tensors below each other, along the first dimension. Vectors are rows: [N] and [M, N] give [M + 1, N]. Throws
 * ShapeError if the other sizes differ.
 */
export function vstack<D extends DType>(tensors: readonly Tensor<Shape, D>[]): Tensor<Shape, D> {
  return joinedFrom(
    'vstack',
    tensors,
    (x) => (x.ndim < 2 ? reshape(x, [1, x.numel]) : x),
    () => 0,
  )
}

/**
 * Joins tensors along the third dimension, which is added to those that lack it: two [M, N] give [M, N, 2]. Throws
 * ShapeError if the other sizes differ.
 */
export function dstack<D extends DType>(tensors: readonly Tensor<Shape, D>[]): Tensor<Shape, D> {
  const deep = (x: Tensor<Shape, D>) =>
    x.ndim < 2 ? reshape(x, [1, x.numel, 1]) : x.ndim === 2 ? reshape(x, [...x.sizes, 1]) : x
  return joinedFrom('dstack', tensors, deep, () => 2)
}

/**
 * A matrix with the given ones along its diagonal, and zeros elsewhere: [A, B] and [C, D] give [A + C, B + D]. Vectors
 * are rows, and numbers matrices of one element. Throws ShapeError for more than two dimensions, and ValueError for an
 * empty list.
 */
export function blockDiag<D extends DType>(tensors: readonly Tensor<Shape, D>[]): Tensor<[number, number], D>
export function blockDiag(tensors: readonly Tensor[]): Tensor {
  checkTensors('blockDiag', tensors)
  for (const { ndim, sizes } of tensors)
    if (ndim > 2)
      throw new ShapeError('blockDiag', `one tensor is ${formatShape(sizes)}, but each has at most two dimensions`, [
        sizes,
      ])
  const blocks = tensors.map((x) => (x.ndim < 2 ? reshape(x, [1, x.numel]) : x))
  const width = blocks.reduce((sum, { sizes }) => sum + (sizes[1] as number), 0)
  let left = 0
  return namedAs('blockDiag', () =>
    cat(
      blocks.map((x) => {
        const columns = x.sizes[1] as number
        const row = pad(x, [left, width - left - columns])
        left += columns
        return row
      }),
    ),
  )
}

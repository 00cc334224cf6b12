/** Copies with elements in another order, or repeated, and views with dimensions moved. */

import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import { type DType, isBlocks } from '../../core/dtype.js'
import { DTypeError, formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkOptions, type OptionNames } from '../../core/options.js'
import { checkSizes, countOf, normalizeDim, normalizeDims, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { arange, fromTypedArray } from '../creation.js'
import { indexSelect } from '../indexing/index.js'
import { kernel, operator } from '../operator.js'
import { dataSync } from '../read.js'
import { clone } from './copies.js'
import { expand } from './expand.js'
import { cat } from './join.js'
import { checkInteger, integersOf } from './lists.js'
import { permute, transpose } from './permute.js'
import { reshape } from './reshape.js'
import { split } from './split.js'

/** The order is its own inverse, so the gradient needs no sums. */
const flipRecord: Operator<[x: Tensor, order: Tensor], number> = operator<[x: Tensor, order: Tensor], number>({
  name: 'flip',
  op: 'flip',
  infer([x], dim) {
    if (isBlocks(x.dtype) && dim === x.ndim - 1)
      throw new DTypeError(
        'flip',
        `the blocks of ${x.dtype} lie along dimension ${dim}; flip another, or convert with .to('float32')`,
      )
    return like(x)
  },
  forward: kernel('index_select', ([x, index], dim, { out }) => ({ out, x, index, dim })),
  gradient: {
    saves: () => ({ inputs: [1] }),
    backward: (ctx, [g]) => [apply(flipRecord, [g, ctx.input(1)], ctx.attrs), null],
  },
})

/**
 * A copy of x's shape with the order of the elements reversed along each of `dims`. Throws ValueError for a dimension
 * that x lacks.
 */
export function flip<S extends Shape, D extends DType>(x: Tensor<S, D>, dims: number | readonly number[]): Tensor<S, D>
export function flip(x: Tensor, dims: number | readonly number[]): Tensor {
  checkTensor('flip', 'x', x)
  if (dims === undefined || dims === null)
    throw new ValueError('flip', `dims are ${kindOf(dims)}, but must be an integer or an array of them`)
  const wanted = normalizeDims('flip', dims, x.ndim)
  if (wanted.length === 0) return clone(x)
  return wanted.reduce((y, dim) => {
    const size = y.sizes[dim] as number
    return apply(flipRecord, [y, arange(size - 1, -1, -1, { device: y.device })], dim)
  }, x)
}

/**
 * A copy of x's shape with elements moved by `shifts` along `dims`, one shift for each. Elements that leave at the end
 * come back at the start. Without `dims` x is treated as one row in row-major order. Throws ValueError unless there are
 * as many shifts as dimensions.
 */
export function roll<S extends Shape, D extends DType>(
  x: Tensor<S, D>,
  shifts: number | readonly number[],
  dims?: number | readonly number[],
): Tensor<S, D>
export function roll(x: Tensor, shifts: number | readonly number[], dims?: number | readonly number[]): Tensor {
  checkTensor('roll', 'x', x)
  const by = integersOf('roll', 'shifts', shifts)
  if (dims === undefined) {
    if (by.length !== 1)
      throw new ValueError('roll', `${by.length} shifts need as many dims; without dims there is one shift`)
    return reshape(roll(reshape(x, [x.numel]), by, 0), x.sizes)
  }
  const along = integersOf('roll', 'dims', dims).map((dim) => normalizeDim('roll', dim, x.ndim))
  if (by.length !== along.length)
    throw new ValueError(
      'roll',
      `there are ${by.length} shifts, but ${along.length} dims; give one dimension for each shift`,
    )
  let y = x
  along.forEach((dim, i) => {
    const size = y.sizes[dim] ?? 0
    const shift = size === 0 ? 0 : (((by[i] as number) % size) + size) % size
    if (shift !== 0) y = cat(split(y, [size - shift, shift], dim).reverse(), dim)
  })
  return y === x ? clone(x) : y
}

/**
 * Rotates by `k` quarter turns from the first of two dimensions towards the second: one turn makes [M, N] to [N, M].
 * Even k gives a copy, odd k a view of one. Throws ValueError unless `dims` names two dimensions of x.
 */
export function rot90<D extends DType>(x: Tensor<Shape, D>, k?: number, dims?: readonly number[]): Tensor<Shape, D>
export function rot90(x: Tensor, k = 1, dims: readonly number[] = [0, 1]): Tensor {
  checkTensor('rot90', 'x', x)
  const turns = ((checkInteger('rot90', 'k', k) % 4) + 4) % 4
  const [a, b, ...more] = integersOf('rot90', 'dims', dims).map((dim) => normalizeDim('rot90', dim, x.ndim))
  if (a === undefined || b === undefined || a === b || more.length > 0 || x.ndim < 2)
    throw new ValueError('rot90', `dims are ${shown(dims)}, but must be two of ${formatShape(x.sizes)}`)
  if (turns === 0) return clone(x)
  if (turns === 2) return flip(x, [a, b])
  return turns === 1 ? transpose(flip(x, b), a, b) : flip(transpose(x, a, b), b)
}

/** Repeats the whole tensor `count` times along a dimension, or each of its elements (`each`). */
function repeated(op: string, x: Tensor, dim: number, count: number, each: boolean): Tensor {
  if (count === 1) return x
  const size = x.sizes[dim] as number
  const shape = x.sizes.map((s, i) => (i === dim ? size * count : s))
  checkSizes(op, shape)
  const outer = countOf(x.sizes.slice(0, dim))
  const inner = countOf(x.sizes.slice(dim + 1))
  const apart = reshape(x, each ? [outer * size, 1, inner] : [outer, 1, size * inner])
  return namedAs(op, () => reshape(expand(apart, [-1, count, -1]), shape))
}

function repeats(op: string, x: Tensor, counts: readonly number[]): Tensor {
  const lead = Math.max(0, counts.length - x.ndim)
  const skipped = Math.max(0, x.ndim - counts.length)
  let y: Tensor = reshape(x, [...new Array<number>(lead).fill(1), ...x.sizes])
  // The last dimension is repeated first, so that most of the copying is done in long rows.
  for (let i = counts.length - 1; i >= 0; i--) y = repeated(op, y, i + skipped, counts[i] as number, false)
  return y === x ? clone(x) : y
}

/**
 * A copy of the tensor repeated along each dimension as often as `counts` says. Counts align with the last dimensions,
 * and surplus counts add new dimensions in front.
 */
export function tile<D extends DType>(x: Tensor<Shape, D>, counts: number | readonly number[]): Tensor<Shape, D>
export function tile(x: Tensor, counts: number | readonly number[]): Tensor {
  checkTensor('tile', 'x', x)
  return repeats('tile', x, integersOf('tile', 'counts', counts, 0))
}

/**
 * Like `tile`, but with at least one count for every dimension: [2, 3] repeats [A, B] to [2 A, 3 B]. Throws ValueError
 * if there are fewer counts.
 */
export function repeat<D extends DType>(x: Tensor<Shape, D>, counts: number | readonly number[]): Tensor<Shape, D>
export function repeat(x: Tensor, counts: number | readonly number[]): Tensor {
  checkTensor('repeat', 'x', x)
  const list = integersOf('repeat', 'counts', counts, 0)
  if (list.length < x.ndim)
    throw new ValueError(
      'repeat',
      `${list.length} counts are too few for ${formatShape(x.sizes)}; each dimension needs one, or use tile()`,
    )
  return repeats('repeat', x, list)
}

export interface RepeatInterleaveOptions {
  /** The sum of the counts, if the program knows it. Another sum is an error. */
  readonly outputSize?: number
}

const interleaveNames: OptionNames<RepeatInterleaveOptions> = { outputSize: true }

/**
 * A copy in which each slice along `dim` is repeated several times in a row; without `dim` each element in row-major
 * order. `counts` is a number, or an int32 tensor with one for each slice. The tensor is read at once (and waited for),
 * because the result's size depends on it.
 */
export function repeatInterleave<D extends DType>(
  x: Tensor<Shape, D>,
  counts: number | Tensor,
  dim?: number,
  options?: RepeatInterleaveOptions,
): Tensor<Shape, D>
export function repeatInterleave(
  x: Tensor,
  counts: number | Tensor,
  dim?: number,
  options: RepeatInterleaveOptions = {},
): Tensor {
  checkTensor('repeatInterleave', 'x', x)
  const { outputSize } = checkOptions('repeatInterleave', options, interleaveNames)
  if (dim === undefined || x.ndim === 0) {
    if (dim !== undefined) normalizeDim('repeatInterleave', dim, 0)
    return repeatInterleave(reshape(x, [x.numel]), counts, 0, options)
  }
  const d = normalizeDim('repeatInterleave', dim, x.ndim)
  const size = x.sizes[d] as number
  const given = typeof counts === 'number' ? null : countsOf(counts, size)
  const single = typeof counts === 'number' ? checkInteger('repeatInterleave', 'counts', counts, 0) : 0
  const total = given === null ? size * single : given.reduce((a, b) => a + b, 0)
  if (outputSize !== undefined && outputSize !== total)
    throw new ValueError('repeatInterleave', `outputSize is ${kindOf(outputSize)}, but the counts add up to ${total}`)
  if (given === null) {
    const y = repeated('repeatInterleave', x, d, single, true)
    return y === x ? clone(x) : y
  }
  checkSizes(
    'repeatInterleave',
    x.sizes.map((s, i) => (i === d ? total : s)),
  )
  const index = new Int32Array(total)
  let at = 0
  given.forEach((count, i) => {
    index.fill(i, at, at + count)
    at += count
  })
  return indexSelect(x, d, fromTypedArray(index, [total], { device: x.device }))
}

function countsOf(counts: Tensor, size: number): readonly number[] {
  checkTensor('repeatInterleave', 'counts', counts)
  if (counts.dtype !== 'int32')
    throw new DTypeError('repeatInterleave', `counts are ${counts.dtype}, but must be int32; convert with .to('int32')`)
  if (counts.ndim > 1 || (counts.numel !== size && counts.numel !== 1))
    throw new ShapeError(
      'repeatInterleave',
      `counts are ${formatShape(counts.sizes)}, but must be one, or one for each of ${size} slices`,
      [counts.sizes],
    )
  const list: readonly number[] = Array.from(dataSync(counts) as ArrayLike<number>)
  const wrong = list.find((count) => count < 0)
  if (wrong !== undefined) throw new ValueError('repeatInterleave', `a count is ${wrong}, but must be at least 0`)
  return list.length === size ? list : new Array<number>(size).fill(list[0] as number)
}

/**
 * A view with the dimensions `source` moved to `destination`; the others keep their order. 0 to 2 turns [A, B, C] into
 * [B, C, A]. Throws ValueError if the two lists differ in length, or if one names a dimension twice.
 */
export function movedim<D extends DType>(
  x: Tensor<Shape, D>,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor<Shape, D>
export function movedim(
  x: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor {
  checkTensor('movedim', 'x', x)
  const normal = (name: string, dims: number | readonly number[]) => {
    const list = integersOf('movedim', name, dims).map((dim) => normalizeDim('movedim', dim, x.ndim))
    if (new Set(list).size !== list.length)
      throw new ValueError('movedim', `${name} ${formatShape(list)} names a dimension twice`)
    return list
  }
  const from = normal('source', source)
  const to = normal('destination', destination)
  if (from.length !== to.length)
    throw new ValueError(
      'movedim',
      `source has ${from.length} dimensions, but destination has ${to.length}; give the same number`,
    )
  if (x.ndim === 0) return x
  const rest = x.sizes.map((_, i) => i).filter((i) => !from.includes(i))
  const order = x.sizes.map((_, i) => {
    const place = to.indexOf(i)
    return place < 0 ? (rest.shift() as number) : (from[place] as number)
  })
  return permute(x, order)
}

/** NumPy's name for `transpose`: a view with two dimensions swapped. */
export function swapaxes<D extends DType>(x: Tensor<Shape, D>, axis0: number, axis1: number): Tensor<Shape, D> {
  checkTensor('swapaxes', 'x', x)
  return transpose(x, normalizeDim('swapaxes', axis0, x.ndim), normalizeDim('swapaxes', axis1, x.ndim))
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    flip(dims: number | readonly number[]): Tensor<S, D>
    roll(shifts: number | readonly number[], dims?: number | readonly number[]): Tensor<S, D>
    rot90(k?: number, dims?: readonly number[]): Tensor<Shape, D>
    tile(counts: number | readonly number[]): Tensor<Shape, D>
    repeat(counts: number | readonly number[]): Tensor<Shape, D>
    repeatInterleave(counts: number | Tensor, dim?: number, options?: RepeatInterleaveOptions): Tensor<Shape, D>
    movedim(source: number | readonly number[], destination: number | readonly number[]): Tensor<Shape, D>
    swapaxes(axis0: number, axis1: number): Tensor<Shape, D>
  }
}

defineMethods({
  flip(dims: number | readonly number[]) {
    return flip(this, dims)
  },
  roll(shifts: number | readonly number[], dims?: number | readonly number[]) {
    return roll(this, shifts, dims)
  },
  rot90(k?: number, dims?: readonly number[]) {
    return rot90(this, k, dims)
  },
  tile(counts: number | readonly number[]) {
    return tile(this, counts)
  },
  repeat(counts: number | readonly number[]) {
    return repeat(this, counts)
  },
  repeatInterleave(counts: number | Tensor, dim?: number, options?: RepeatInterleaveOptions) {
    return repeatInterleave(this, counts, dim, options)
  },
  movedim(source: number | readonly number[], destination: number | readonly number[]) {
    return movedim(this, source, destination)
  },
  swapaxes(axis0: number, axis1: number) {
    return swapaxes(this, axis0, axis1)
  },
})

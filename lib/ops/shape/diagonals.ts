/** Diagonals and triangles of matrices. */

import { apply, checkTensor, type Operator } from '../../autograd/operator.js'
import { empty, run } from '../../backend/dispatch.js'
import type { DType, Known } from '../../core/dtype.js'
import { formatShape, namedAs, ShapeError, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import { checkEntries } from '../../core/room.js'
import { checkSizes, countOf, normalizeDim, type Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { arange, type CreationOptions, fromTypedArray } from '../creation.js'
import { ge, le, sub, where } from '../elementwise/index.js'
import { operator } from '../operator.js'
import { sum } from '../reduce/index.js'
import { viewFor, viewOf } from '../views.js'
import { checkInteger } from './lists.js'
import { reshape } from './reshape.js'

interface Diagonal {
  readonly offset: number
  readonly rows: number
  readonly columns: number
}

function lengthOf(shape: Shape, { offset, rows, columns }: Diagonal): number {
  const [r, c] = [shape[rows] as number, shape[columns] as number]
  return Math.max(0, offset >= 0 ? Math.min(r, c - offset) : Math.min(r + offset, c))
}

function without<T>(list: readonly T[], { rows, columns }: Diagonal): T[] {
  return list.filter((_, i) => i !== rows && i !== columns)
}

function diagonalView(x: Tensor, at: Diagonal): Tensor {
  const length = lengthOf(x.sizes, at)
  const [down, right] = [x.steps[at.rows] as number, x.steps[at.columns] as number]
  const sizes = [...without(x.sizes, at), length]
  // An empty view must not point beyond the memory.
  const start = countOf(sizes) === 0 ? 0 : at.offset >= 0 ? at.offset * right : -at.offset * down
  return viewOf(x, sizes, [...without(x.steps, at), down + right], x.offset + start)
}

const diagonalRecord: Operator<[x: Tensor], Diagonal> = operator<[x: Tensor], Diagonal>({
  name: 'diagonal',
  infer: ([x], at) => like(x, [...without(x.sizes, at), lengthOf(x.sizes, at)]),
  forward: ([x], at) => diagonalView(x, at),
  gradient: {
    saves: () => ({}),
    backward: (ctx, [g]) => [apply(spreadRecord, [g], { ...ctx.attrs, shape: ctx.spec(0).shape })],
  },
})

/** The reverse of a diagonal: zeros of `shape` with x on their diagonal. */
const spreadRecord = operator<[x: Tensor], Diagonal & { readonly shape: Shape }>({
  name: 'diagEmbed',
  infer: ([x], { shape }) => like(x, shape),
  forward([x], attrs, { shape, dtype }) {
    const out = empty(x.device, shape, dtype, 'diagEmbed')
    run('fill', { out, value: 0 })
    run('copy_into', { dst: diagonalView(out, attrs), src: x })
    return out
  },
  gradient: {
    saves: () => ({}),
    backward({ attrs: { offset, rows, columns } }, [g]) {
      return [apply(diagonalRecord, [g], { offset, rows, columns })]
    },
  },
})

function planeOf(op: string, rank: number, offset: number, dim1: number, dim2: number): Diagonal {
  checkInteger(op, 'offset', offset)
  const rows = normalizeDim(op, dim1, rank)
  const columns = normalizeDim(op, dim2, rank)
  if (rows === columns)
    throw new ValueError(op, `dim1 ${dim1} and dim2 ${dim2} are the same dimension, but a diagonal needs two`)
  return { offset, rows, columns }
}

/**
 * A view of the elements whose index in `dim2` is their index in `dim1` plus `offset`. The diagonal becomes the last
 * dimension and replaces both. Throws ShapeError for fewer than two dimensions, and ValueError if both are the same.
 */
export function diagonal<D extends DType>(
  x: Tensor<Shape, D>,
  offset?: number,
  dim1?: number,
  dim2?: number,
): Tensor<Shape, D>
export function diagonal(x: Tensor, offset = 0, dim1 = 0, dim2 = 1): Tensor {
  checkTensor('diagonal', 'x', x)
  if (x.ndim < 2)
    throw new ShapeError('diagonal', `x is ${formatShape(x.sizes)}, but must have at least two dimensions`, [x.sizes])
  const plane = planeOf('diagonal', x.ndim, offset, dim1, dim2)
  return viewFor('diagonal', x, () => apply(diagonalRecord, [x], plane))
}

/**
 * New matrices of zeros, along `dim1` and `dim2` of the result, with x's last dimension on the diagonal `offset`: [...,
 * N] gives [..., N + |offset|, N + |offset|]. Throws ShapeError for a tensor without dimensions.
 */
export function diagEmbed<D extends DType>(
  x: Tensor<Shape, D>,
  offset?: number,
  dim1?: number,
  dim2?: number,
): Tensor<Shape, D>
export function diagEmbed(x: Tensor, offset = 0, dim1 = -2, dim2 = -1): Tensor {
  checkTensor('diagEmbed', 'x', x)
  if (x.ndim === 0) throw new ShapeError('diagEmbed', 'x is one number and has no dimension for the diagonal', [[]])
  const at = planeOf('diagEmbed', x.ndim + 1, offset, dim1, dim2)
  const size = (x.sizes[x.ndim - 1] as number) + Math.abs(offset)
  const rest = x.sizes.slice(0, -1)
  const shape = Array.from({ length: x.ndim + 1 }, (_, i) =>
    i === at.rows || i === at.columns ? size : (rest.shift() as number),
  )
  checkSizes('diagEmbed', shape)
  return apply(spreadRecord, [x], { ...at, shape })
}

/**
 * The matrix with a vector on its diagonal, or the diagonal of a matrix (a view). Throws ShapeError for any other
 * number of dimensions.
 */
export function diag<D extends DType>(x: Tensor<Shape, D>, diagonal?: number): Tensor<Shape, D>
export function diag(x: Tensor, offset = 0): Tensor {
  checkTensor('diag', 'x', x)
  if (x.ndim === 1) return diagEmbed(x, offset)
  if (x.ndim === 2) return diagonal(x, offset)
  throw new ShapeError('diag', `x is ${formatShape(x.sizes)}, but must be a vector or a matrix; use diagonal()`, [
    x.sizes,
  ])
}

/** trace is a method only, because the library's `trace` lists the kernels that run. */
function trace(x: Tensor): Tensor {
  checkTensor('trace', 'x', x)
  if (x.ndim !== 2) throw new ShapeError('trace', `x is ${formatShape(x.sizes)}, but must be a matrix`, [x.sizes])
  return sum(diagonal(x))
}

function triangle(op: 'tril' | 'triu', x: Tensor, offset: number): Tensor {
  checkTensor(op, 'x', x)
  checkInteger(op, 'diagonal', offset)
  if (x.ndim < 2)
    throw new ShapeError(op, `x is ${formatShape(x.sizes)}, but must have at least two dimensions`, [x.sizes])
  const { device } = x
  const rows = arange(x.sizes[x.ndim - 2] as number, undefined, 1, { device })
  const columns = arange(x.sizes[x.ndim - 1] as number, undefined, 1, { device })
  const right = sub(columns, reshape(rows, [-1, 1]))
  return where(op === 'tril' ? le(right, offset) : ge(right, offset), x, 0)
}

/**
 * Keeps the elements on and below a diagonal of each matrix in the last two dimensions (0 is the main one, 1 the next
 * above), and sets all others to 0.
 */
export function tril<S extends Shape, D extends DType>(x: Tensor<S, D>, diagonal?: number): Tensor<S, D>
export function tril(x: Tensor, offset = 0): Tensor {
  return triangle('tril', x, offset)
}

/**
 * Keeps the elements on and above a diagonal of each matrix in the last two dimensions (0 is the main one, 1 the next
 * above), and sets all others to 0.
 */
export function triu<S extends Shape, D extends DType>(x: Tensor<S, D>, diagonal?: number): Tensor<S, D>
export function triu(x: Tensor, offset = 0): Tensor {
  return triangle('triu', x, offset)
}

/** The [row, column] of each element of a rows x columns matrix for which `belongs` holds, in row-major order. */
function triangleIndices<D extends DType>(
  op: 'trilIndices' | 'triuIndices',
  rows: number,
  columns: number,
  offset: number,
  options: CreationOptions<D>,
): Tensor<[number, number], Known<NoInfer<D>>> {
  checkInteger(op, 'rows', rows, 0)
  checkInteger(op, 'columns', columns, 0)
  checkInteger(op, 'offset', offset)
  checkEntries(op, rows, 2 ** 28, 'rows', 'take a smaller matrix')
  const within = (at: number) => Math.min(Math.max(at, 0), columns)
  const from = (row: number) => (op === 'trilIndices' ? 0 : within(row + offset))
  const to = (row: number) => (op === 'trilIndices' ? within(row + offset + 1) : columns)
  let count = 0
  for (let row = 0; row < rows; row++) count += to(row) - from(row)
  checkEntries(op, 2 * count, 2 ** 28, 'indices', 'take a smaller matrix')
  const places = new Int32Array(2 * count)
  let at = 0
  for (let row = 0; row < rows; row++)
    for (let column = from(row); column < to(row); column++) {
      places[at] = row
      places[count + at++] = column
    }
  return namedAs(op, () => fromTypedArray(places, [2, count], options)) as never
}

/**
 * The indices [2, K] of the elements on and below a diagonal of a matrix with `rows` rows and `columns` columns: first
 * those of rows, then those of columns. The diagonal 0 is the main one, and 1 the next above. The dtype is int32 unless
 * named. Throws ValueError for sizes that are not whole numbers.
 */
export function trilIndices<D extends DType = 'int32'>(
  rows: number,
  columns: number,
  offset = 0,
  options: CreationOptions<D> = {},
): Tensor<[number, number], Known<NoInfer<D>>> {
  return triangleIndices('trilIndices', rows, columns, offset, options)
}

/**
 * The indices [2, K] of the elements on and above a diagonal of a matrix with `rows` rows and `columns` columns: first
 * those of rows, then those of columns. The diagonal 0 is the main one, and 1 the next above. The dtype is int32 unless
 * named. Throws ValueError for sizes that are not whole numbers.
 */
export function triuIndices<D extends DType = 'int32'>(
  rows: number,
  columns: number,
  offset = 0,
  options: CreationOptions<D> = {},
): Tensor<[number, number], Known<NoInfer<D>>> {
  return triangleIndices('triuIndices', rows, columns, offset, options)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    diagonal(offset?: number, dim1?: number, dim2?: number): Tensor<Shape, D>
    diagEmbed(offset?: number, dim1?: number, dim2?: number): Tensor<Shape, D>
    diag(diagonal?: number): Tensor<Shape, D>
    /** The sum of a matrix's diagonal. */
    trace(): Tensor<[], D>
    tril(diagonal?: number): Tensor<S, D>
    triu(diagonal?: number): Tensor<S, D>
  }
}

defineMethods({
  diagonal(offset?: number, dim1?: number, dim2?: number) {
    return diagonal(this, offset, dim1, dim2)
  },
  diagEmbed(offset?: number, dim1?: number, dim2?: number) {
    return diagEmbed(this, offset, dim1, dim2)
  },
  diag(offset?: number) {
    return diag(this, offset)
  },
  trace() {
    return trace(this)
  },
  tril(offset?: number) {
    return tril(this, offset)
  },
  triu(offset?: number) {
    return triu(this, offset)
  },
})

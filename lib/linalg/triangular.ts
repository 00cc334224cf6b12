/** Cholesky's factor, and systems with triangular matrices. */
import { apply, type Operator } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, namedAs, ShapeError } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from '../ops/common.js'
import { add, mul, neg } from '../ops/elementwise/index.js'
import { kernel, operator } from '../ops/operator.js'
import { tril, triu } from '../ops/shape/index.js'
import { checkAlike, checkMatrices, checkSquare, columnsOf, matmul, rowsOf, together, turned } from './shared.js'

interface Triangle {
  readonly upper: boolean
  /** Whether the diagonal counts as 1, whatever it holds. */
  readonly unit: boolean
}

type TriangularOperator = Operator<[a: Tensor, b: Tensor], Triangle>

/** a^-1 b for a [.., n, n] and b [.., n, k] of one batch. */
const solveTriangularRecord: TriangularOperator = operator<[a: Tensor, b: Tensor], Triangle>({
  name: 'solveTriangular',
  infer([a, b]) {
    const n = rowsOf(b)
    if (!sameShape(a.sizes, [...b.sizes.slice(0, -2), n, n]))
      throw new ShapeError(
        'solveTriangular',
        `a is ${formatShape(a.sizes)}, but must be square with as many rows as b ${formatShape(b.sizes)}`,
        [a.sizes, b.sizes],
      )
    return like(b)
  },
  forward: kernel('solve_triangular', ([a, b], { upper, unit }, { out }) => ({ out, a, b, upper, unit })),
  gradient: {
    saves: (needs) => ({ inputs: [0], outputs: needs[0] ? [0] : [] }),
    backward(ctx, [g]) {
      const { upper, unit } = ctx.attrs
      const db = apply(solveTriangularRecord, [turned(ctx.input(0)), g], { upper: !upper, unit })
      if (!ctx.needs[0]) return [null, db]
      const da = neg(matmul(db, turned(ctx.output(0))))
      return [upper ? triu(da, unit ? 1 : 0) : tril(da, unit ? -1 : 0), ctx.needs[1] ? db : null]
    },
  },
})

/** a^-1 b for a triangular a, both [.., n, ..] of one batch. */
export function solveTriangle(a: Tensor, b: Tensor, upper: boolean, unit = false): Tensor {
  return apply(solveTriangularRecord, [a, b], { upper, unit })
}

export interface SolveTriangularOptions {
  /** Whether the upper triangle of `a` is read, or the lower one. */
  readonly upper: boolean
  /** Whether a X = b is solved; otherwise X a = b. Default true. */
  readonly left?: boolean
  /** Whether the diagonal of `a` counts as 1, whatever it holds. Default false. */
  readonly unitriangular?: boolean
}

const triangularNames: OptionNames<SolveTriangularOptions> = { upper: true, left: true, unitriangular: true }

/**
 * PyTorch's linalg.solve_triangular: the X with a X = b, or X a = b, for triangular matrices a [.., n, n] and b
 * [.., n, k], or [.., k, n]. The other triangle of `a` is not read. Batch dimensions broadcast. A 0 on the diagonal
 * gives infinity or NaN. Throws ShapeError if sizes do not fit, and DTypeError for other dtypes than float32 and
 * float64.
 */
export function solveTriangular<D extends DType>(
  a: Tensor<Shape, D>,
  b: Tensor,
  options: SolveTriangularOptions,
): Tensor<Shape, D>
export function solveTriangular(a: Tensor, b: Tensor, options: SolveTriangularOptions): Tensor {
  const op = 'solveTriangular'
  const { upper, left = true, unitriangular = false } = checkOptions(op, options, triangularNames)
  for (const [name, value] of Object.entries({ upper, left, unitriangular })) checkFlag(op, name, value)
  checkSquare(op, 'a', a)
  checkMatrices(op, 'b', b)
  checkAlike(op, ['a', 'b'], a, b)
  checkSides(op, a, b, left)
  return namedAs(op, () => {
    const [square, right] = together(op, a, b)
    if (left) return solveTriangle(square, right, upper, unitriangular)
    return turned(solveTriangle(turned(square), turned(right), !upper, unitriangular))
  })
}

/** Throws unless b has the rows of the square a, or without `left` its columns. */
export function checkSides(op: string, a: Tensor, b: Tensor, left: boolean): void {
  const [n, wanted] = [left ? rowsOf(b) : columnsOf(b), columnsOf(a)]
  if (n !== wanted)
    throw new ShapeError(
      op,
      `b is ${formatShape(b.sizes)}, but must have ${wanted} ${left ? 'rows' : 'columns'}, because a is ${formatShape(a.sizes)}`,
      [a.sizes, b.sizes],
    )
}

/** x [.., n, n] -> the lower L with x = L L^T. The gradient is symmetric (Murray, 2016). */
const choleskyRecord = operator<[x: Tensor]>({
  name: 'cholesky',
  infer: ([x]) => like(x),
  forward: kernel('cholesky', ([x], _attrs, { out }) => ({ out, x })),
  gradient: {
    saves: () => ({ outputs: [0] }),
    backward(ctx, [g]) {
      const l = ctx.output(0)
      const product = matmul(turned(l), tril(g))
      const inner = mul(add(tril(product), tril(product, -1)), 0.5)
      const transposed = turned(l)
      // L^-T inner L^-1
      const outer = turned(solveTriangle(transposed, turned(solveTriangle(transposed, inner, true)), true))
      return [mul(add(outer, turned(outer)), 0.5)]
    },
  },
})

export interface CholeskyOptions {
  /** Whether the result is the upper triangular L^T. Default false. */
  readonly upper?: boolean
}

/**
 * PyTorch's linalg.cholesky: the lower triangular L with x = L L^T, for symmetric positive definite matrices x
 * [.., n, n]. Only the lower triangle of x is read. The gradient is that of symmetric matrices. Throws ValueError, which
 * names the matrix of the batch, if one is not positive definite; with the next read, as all errors of elements.
 * Throws ShapeError unless the matrices are square, and DTypeError for other dtypes than float32 and float64.
 */
export function cholesky<S extends Shape, D extends DType>(x: Tensor<S, D>, options?: CholeskyOptions): Tensor<S, D>
export function cholesky(x: Tensor, options: CholeskyOptions = {}): Tensor {
  const { upper = false } = checkOptions('cholesky', options, { upper: true })
  checkFlag('cholesky', 'upper', upper)
  checkSquare('cholesky', 'x', x)
  const l = apply(choleskyRecord, [x], null)
  return upper ? turned(l) : l
}

/**
 * PyTorch's cholesky_solve: the X with A X = b, for A = L L^T by its factor from `cholesky`, which is upper triangular
 * with `upper`. b is [.., n, k] and the factor [.., n, n]; batch dimensions broadcast. Throws ShapeError if sizes do not
 * fit, and DTypeError for other dtypes than float32 and float64.
 */
export function choleskySolve<D extends DType>(
  b: Tensor<Shape, D>,
  factor: Tensor,
  options?: CholeskyOptions,
): Tensor<Shape, D>
export function choleskySolve(b: Tensor, factor: Tensor, options: CholeskyOptions = {}): Tensor {
  const op = 'choleskySolve'
  const { upper = false } = checkOptions(op, options, { upper: true })
  checkFlag(op, 'upper', upper)
  checkMatrices(op, 'b', b)
  checkSquare(op, 'factor', factor)
  checkAlike(op, ['b', 'factor'], b, factor)
  checkSides(op, factor, b, true)
  return namedAs(op, () => {
    const [square, right] = together(op, factor, b)
    const l = upper ? turned(square) : square
    return solveTriangle(turned(l), solveTriangle(l, right, false), true)
  })
}

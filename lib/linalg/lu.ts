/** LU with exchanges of rows, and what follows from it: systems, inverses and determinants. */
import { noGrad } from '../autograd/mode.js'
import { apply, checkDType, type Operator } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { namedAs } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import { type Shape, sameShape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { floating, like } from '../ops/common.js'
import { castTo } from '../ops/convert.js'
import { arange } from '../ops/creation.js'
import { abs, add, eq, log, mul, neg, sign, sub, where } from '../ops/elementwise/index.js'
import { gather } from '../ops/indexing/index.js'
import { kernel, operator } from '../ops/operator.js'
import { prod, sum } from '../ops/reduce/index.js'
import { cat, detach, diagonal, expand, narrow, squeeze, tril, triu, unsqueeze } from '../ops/shape/index.js'
import { argsort } from '../ops/sort/index.js'
import {
  batchOf,
  checkAlike,
  checkMatrices,
  checkSquare,
  columnsOf,
  identity,
  matmul,
  over,
  precisely,
  rowsOf,
  together,
  turned,
} from './shared.js'
import { checkSides, solveTriangle } from './triangular.js'

/** Row i is row permutation[i] of x [.., m, n], for a permutation [.., m]. */
function rowsBy(x: Tensor, permutation: Tensor): Tensor {
  return gather(x, -2, expand(unsqueeze(permutation, -1), x.sizes))
}

/** x U^-T, where U is the upper triangle of u. */
const afterUpper = (x: Tensor, u: Tensor): Tensor => turned(solveTriangle(u, turned(x), true))
/** L^-T x, where L is the unit lower triangle of l. */
const beforeLower = (l: Tensor, x: Tensor): Tensor => solveTriangle(turned(l), x, true, true)

interface Checked {
  /** Whether a singular matrix is an error. */
  readonly checks: boolean
}

/** x [.., m, n] -> L and U in one matrix, the pivots and the permutation of rows. */
const luRecord = operator<[x: Tensor], Checked, [lu: Tensor, pivots: Tensor, permutation: Tensor]>({
  name: 'luFactor',
  outputs: 3,
  infer([x]) {
    const shape = [...batchOf(x), Math.min(rowsOf(x), columnsOf(x))]
    return [like(x), { shape, dtype: 'int32' }, { shape: [...batchOf(x), rowsOf(x)], dtype: 'int32' }]
  },
  forward: kernel('lu_factor', ([x], { checks }, { lu, pivots, permutation }) => ({
    lu,
    pivots,
    permutation,
    x,
    checks,
  })),
  gradient: {
    saves: () => ({ outputs: [0, 2] }),
    backward(ctx, [g]) {
      if (g === null) return [null]
      return [rowsBy(gradientOfRows(ctx.output(0), g), argsort(ctx.output(2)))]
    },
  },
})

/** The gradient of the exchanged rows A = L U from that of L and U in one matrix. */
function gradientOfRows(lu: Tensor, g: Tensor): Tensor {
  const [m, n] = [rowsOf(lu), columnsOf(lu)]
  const k = Math.min(m, n)
  const square = (x: Tensor) => narrow(narrow(x, -2, 0, k), -1, 0, k)
  const [factors, inner] = [square(lu), square(g)]
  const [lower, upper] = [add(tril(factors, -1), identity(lu, k)), triu(factors)]
  let [gl, gu] = [tril(inner, -1), triu(inner)]
  // The rest of a tall or a wide matrix is a product with U^-1 or L^-1, which hands on gradients to U or L.
  const isTall = m > n
  let rest: Tensor | null = null
  if (isTall) {
    rest = afterUpper(narrow(g, -2, k, m - k), factors)
    gu = sub(gu, triu(matmul(turned(narrow(lu, -2, k, m - k)), rest)))
  } else if (n > m) {
    rest = beforeLower(factors, narrow(g, -1, k, n - k))
    gl = sub(gl, tril(matmul(rest, turned(narrow(lu, -1, k, n - k))), -1))
  }
  const middle = add(tril(matmul(turned(lower), gl), -1), triu(matmul(gu, turned(upper))))
  const own = afterUpper(beforeLower(factors, middle), factors)
  return rest === null ? own : cat([own, rest], isTall ? -2 : -1)
}

/**
 * PyTorch's linalg.lu_factor: L without its diagonal of ones, and U, in one matrix, for matrices x [.., m, n]. `pivots`
 * (int32) counts from 1 the row with which each row was exchanged in turn, as LAPACK does. Throws ValueError, which
 * names the matrix of the batch, if the diagonal of a U holds 0; with the next read, as all errors of elements.
 */
export function luFactor<D extends DType>(x: Tensor<Shape, D>): [lu: Tensor<Shape, D>, pivots: Tensor<Shape, 'int32'>]
export function luFactor(x: Tensor): Tensor[] {
  checkMatrices('luFactor', 'x', x)
  return apply(luRecord, [x], { checks: true }).slice(0, 2)
}

/**
 * PyTorch's linalg.lu: P [.., m, m], L [.., m, k] and U [.., k, n] with x = P L U, for matrices x [.., m, n] and
 * k = min(m, n). P is a permutation, L has ones on its diagonal. Singular matrices have factors too.
 */
export function lu<D extends DType>(
  x: Tensor<Shape, D>,
): [p: Tensor<Shape, D>, l: Tensor<Shape, D>, u: Tensor<Shape, D>]
export function lu(given: Tensor): Tensor[] {
  checkMatrices('lu', 'x', given)
  return precisely([given], (x) =>
    namedAs('lu', () => {
      const [factors, , permutation] = apply(luRecord, [x], { checks: false })
      const [m, k] = [rowsOf(x), Math.min(rowsOf(x), columnsOf(x))]
      const ones = narrow(identity(x, m), -1, 0, k)
      const l = add(tril(narrow(factors, -1, 0, k), -1), ones)
      const places = arange(0, m, 1, { dtype: 'int32', device: x.device })
      const p = castTo(eq(unsqueeze(places, -1), unsqueeze(permutation, -2)), x.dtype)
      return [p, l, triu(narrow(factors, -2, 0, k))]
    }),
  )
}

/** a^-1 b, or with `transposed` a^-T b, by the factors of a, without a graph. */
function solveByFactors(lu: Tensor, permutation: Tensor, b: Tensor, transposed: boolean): Tensor {
  if (!transposed) return solveTriangle(lu, solveTriangle(lu, rowsBy(b, permutation), false, true), true)
  const other = turned(lu)
  return rowsBy(solveTriangle(other, solveTriangle(other, b, false), true, true), argsort(permutation))
}

interface Side {
  readonly transposed: boolean
}

type SolveOperator = Operator<[a: Tensor, b: Tensor, lu: Tensor, permutation: Tensor], Side>

/** a^-1 b, or a^-T b, where the factors of a are constants, and a itself gets the gradient. */
const solveRecord: SolveOperator = operator<[a: Tensor, b: Tensor, lu: Tensor, permutation: Tensor], Side>({
  name: 'solve',
  precision: 'float32',
  inputs: ['a', 'b', 'lu', 'permutation'],
  infer: ([, b]) => like(b),
  forward: ([, b, lu, permutation], { transposed }) => noGrad(() => solveByFactors(lu, permutation, b, transposed)),
  gradient: {
    saves: (needs) => ({ inputs: [0, 2, 3], outputs: needs[0] ? [0] : [] }),
    backward(ctx, [g]) {
      const { transposed } = ctx.attrs
      const [a, lu, permutation] = [ctx.input(0), ctx.input(2), ctx.input(3)]
      const db = apply(solveRecord, [a, g, lu, permutation], { transposed: !transposed })
      if (!ctx.needs[0]) return [null, db, null, null]
      const x = ctx.output(0)
      const da = neg(transposed ? matmul(x, turned(db)) : matmul(db, turned(x)))
      return [da, ctx.needs[1] ? db : null, null, null]
    },
  },
})

/** a^-1 b for a [.., n, n] and b [.., n, k], whose batch dimensions broadcast. */
function solved(op: string, left: Tensor, b: Tensor): Tensor {
  return precisely([left, b], (a, other) => namedAs(op, () => solvedBy(op, a, other)))
}

function solvedBy(op: string, a: Tensor, b: Tensor): Tensor {
  const [square, right] = together(op, a, b)
  const batch = batchOf(right)
  const [factors, , permutation] = apply(luRecord, [detach(a)], { checks: true })
  const order = sameShape(batchOf(a), batch) ? permutation : expand(permutation, [...batch, rowsOf(a)])
  return apply(solveRecord, [square, right, over(factors, batch), order], { transposed: false })
}

export interface SolveOptions {
  /** Whether a X = b is solved; otherwise X a = b. Default true. */
  readonly left?: boolean
}

const solveNames: OptionNames<SolveOptions> = { left: true }

/**
 * PyTorch's linalg.solve: the X with a X = b, or X a = b, for square matrices a [.., n, n]. b is [.., n, k], or
 * [.., k, n], or vectors [.., n] if it is [n] or has the shape of a without its last dimension. Batch dimensions
 * broadcast. Throws ValueError, which names the matrix of the batch, if one is singular; with the next read, as all
 * errors of elements. Throws ShapeError if sizes do not fit, and DTypeError for other dtypes than float32 and float64.
 */
export function solve<D extends DType>(a: Tensor<Shape, D>, b: Tensor, options?: SolveOptions): Tensor<Shape, D>
export function solve(a: Tensor, b: Tensor, options: SolveOptions = {}): Tensor {
  const op = 'solve'
  const { left = true } = checkOptions(op, options, solveNames)
  checkFlag(op, 'left', left)
  checkSquare(op, 'a', a)
  checkDType(op, 'b', b, floating)
  if (b.ndim === 1 || (b.ndim > 0 && sameShape(b.sizes, a.sizes.slice(0, -1)))) {
    checkAlike(op, ['a', 'b'], a, b)
    return namedAs(op, () => {
      const column = unsqueeze(b, -1)
      checkSides(op, a, column, true)
      return squeeze(solved(op, left ? a : turned(a), column), -1)
    })
  }
  checkMatrices(op, 'b', b)
  checkAlike(op, ['a', 'b'], a, b)
  checkSides(op, a, b, left)
  return left ? solved(op, a, b) : namedAs(op, () => turned(solved(op, turned(a), turned(b))))
}

/**
 * PyTorch's linalg.inv: the inverses of square matrices x [.., n, n]. `solve` is faster and more accurate for a product
 * with an inverse. Throws ValueError, which names the matrix of the batch, if one is singular; with the next read, as
 * all errors of elements. Throws DTypeError for other dtypes than float32 and float64.
 */
export function inv<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function inv(x: Tensor): Tensor {
  checkSquare('inv', 'x', x)
  return solved('inv', x, identity(x, rowsOf(x)))
}

/** The diagonal of U [.., n], and -1 for an odd number of exchanges, otherwise 1. */
function diagonalOf(x: Tensor): readonly [diagonal: Tensor, parity: Tensor] {
  const [factors, pivots] = apply(luRecord, [x], { checks: false })
  const kept = eq(pivots, arange(1, rowsOf(x) + 1, 1, { dtype: 'int32', device: x.device }))
  const one = identity(x, 1)
  const parity = where(kept, narrow(one, -1, 0, 1).reshape([1]), neg(one).reshape([1]))
  return [diagonal(factors, 0, -2, -1), prod(parity, -1)]
}

/**
 * PyTorch's linalg.det: the determinants [..] of square matrices x [.., n, n], 1 for those of no rows. The gradient of a
 * matrix that is exactly singular is not finite; PyTorch's is. Throws DTypeError for other dtypes than float32 and
 * float64.
 */
export function det<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function det(given: Tensor): Tensor {
  checkSquare('det', 'x', given)
  return precisely([given], (x) =>
    namedAs('det', () => {
      const [diagonal, parity] = diagonalOf(x)
      return mul(prod(diagonal, -1), parity)
    }),
  )
}

/**
 * PyTorch's linalg.slogdet: sign [..] and logarithm of the absolute value [..] of the determinants of square matrices x
 * [.., n, n], where the determinant itself would leave the range of its dtype. A singular matrix has the sign 0 and the
 * logarithm -Infinity. Throws DTypeError for other dtypes than float32 and float64.
 */
export function slogdet<D extends DType>(x: Tensor<Shape, D>): [sign: Tensor<Shape, D>, logabsdet: Tensor<Shape, D>]
export function slogdet(given: Tensor): Tensor[] {
  checkSquare('slogdet', 'x', given)
  return precisely([given], (x) =>
    namedAs('slogdet', () => {
      const [diagonal, parity] = diagonalOf(x)
      return [mul(prod(sign(detach(diagonal)), -1), parity), sum(log(abs(diagonal)), -1)]
    }),
  )
}

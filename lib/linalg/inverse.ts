/** Pseudo-inverses, ranks and least squares, by singular values. */
import { noGrad } from '../autograd/mode.js'
import { apply } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from '../ops/common.js'
import { add, div, gt, maximum, mul, square, sub, where } from '../ops/elementwise/index.js'
import { operator } from '../ops/operator.js'
import { amax, sum } from '../ops/reduce/index.js'
import { detach, unsqueeze } from '../ops/shape/index.js'
import { batchOf, checkAlike, checkMatrices, columnsOf, matmul, precisely, rowsOf, together, turned } from './shared.js'
import { decomposed } from './svd.js'

export interface ToleranceOptions {
  /** Singular values up to this count as 0. Default 0. */
  readonly atol?: number
  /**
   * Singular values up to this share of the largest count as 0. By default 0 if `atol` is more than 0, and otherwise
   * max(m, n) times the step from 1 to the next number of the dtype.
   */
  readonly rtol?: number
}

const names: OptionNames<ToleranceOptions> = { atol: true, rtol: true }

type Tolerance = Required<ToleranceOptions>

function toleranceOf(op: string, x: Tensor, options: ToleranceOptions): Tolerance {
  const { atol = 0, rtol } = checkOptions(op, options, names)
  const step = x.dtype === 'float64' ? 2 ** -52 : 2 ** -23
  const share = rtol ?? (atol > 0 ? 0 : Math.max(rowsOf(x), columnsOf(x)) * step)
  for (const [name, value] of [
    ['atol', atol],
    ['rtol', share],
  ] as const)
    if (typeof value !== 'number' || !(value >= 0))
      throw new ValueError(op, `${name} is ${shown(value)}, but must be 0 or more`)
  return { atol, rtol: share }
}

/** Whether each singular value counts as more than 0. */
function counting(s: Tensor, { atol, rtol }: Tolerance): Tensor {
  if (columnsOf(s) === 0) return gt(s, atol)
  return gt(s, maximum(mul(amax(s, -1, { keepdim: true }), rtol), atol))
}

/** The pseudo-inverse of x, without a graph. */
function inverted(x: Tensor, tolerance: Tolerance): Tensor {
  const [u, s, vh] = decomposed('pinv', x, false)
  const counts = counting(s, tolerance)
  const inverse = where(counts, div(1, where(counts, s, 1)), 0)
  return matmul(mul(turned(vh), unsqueeze(inverse, -2)), turned(u))
}

/** x [.., m, n] -> [.., n, m]. The gradient needs no vectors, so equal values do it no harm (Golub and Pereyra, 1973). */
const pinvRecord = operator<[x: Tensor], Tolerance>({
  name: 'pinv',
  precision: 'float32',
  infer: ([x]) => like(x, [...batchOf(x), columnsOf(x), rowsOf(x)]),
  forward: ([x], tolerance) => noGrad(() => inverted(x, tolerance)),
  gradient: {
    saves: () => ({ inputs: [0], outputs: [0] }),
    backward(ctx, [g]) {
      const [x, p] = [ctx.input(0), ctx.output(0)]
      const [pt, gt] = [turned(p), turned(g)]
      if (rowsOf(x) <= columnsOf(x)) {
        const k = matmul(gt, p)
        const kp = matmul(k, pt)
        const first = sub(kp, turned(matmul(p, k)))
        const second = sub(matmul(matmul(pt, p), sub(gt, matmul(k, x))), matmul(matmul(x, p), kp))
        return [add(first, second)]
      }
      const k = matmul(p, gt)
      const pk = matmul(pt, k)
      const first = sub(pk, turned(matmul(k, p)))
      const second = sub(matmul(matmul(sub(gt, matmul(x, k)), p), pt), matmul(matmul(pk, p), x))
      return [add(first, second)]
    },
  },
})

/**
 * PyTorch's linalg.pinv: the pseudo-inverses [.., n, m] of matrices x [.., m, n] (Moore, 1920; Penrose, 1955). Singular
 * values within the tolerances count as 0; the gradient takes the rank as constant. Throws ValueError for negative
 * tolerances, and DTypeError for other dtypes than float32 and float64.
 */
export function pinv<D extends DType>(x: Tensor<Shape, D>, options?: ToleranceOptions): Tensor<Shape, D>
export function pinv(given: Tensor, options: ToleranceOptions = {}): Tensor {
  checkMatrices('pinv', 'x', given)
  const tolerance = toleranceOf('pinv', given, options)
  return precisely([given], (x) => apply(pinvRecord, [x], tolerance))
}

/**
 * PyTorch's linalg.matrix_rank: the number (int32) [..] of singular values that the tolerances leave, of matrices x
 * [.., m, n]. It has no gradient. Throws ValueError for negative tolerances, and DTypeError for other dtypes than float32
 * and float64.
 */
export function matrixRank(x: Tensor, options?: ToleranceOptions): Tensor<Shape, 'int32'>
export function matrixRank(x: Tensor, options: ToleranceOptions = {}): Tensor {
  const op = 'matrixRank'
  checkMatrices(op, 'x', x)
  const tolerance = toleranceOf(op, x, options)
  return namedAs(op, () => sum(counting(decomposed(op, detach(x), false)[1], tolerance), -1))
}

export interface LeastSquares<D extends DType = DType> {
  /** X [.., n, k], the shortest of all that are best. */
  readonly solution: Tensor<Shape, D>
  /** The sums of squares [.., k] of each column of a X - b. */
  readonly residuals: Tensor<Shape, D>
  /** The rank [..] of each matrix, int32. */
  readonly rank: Tensor<Shape, 'int32'>
  /** The singular values [.., min(m, n)] of each matrix, without a gradient. */
  readonly singularValues: Tensor<Shape, D>
}

/**
 * PyTorch's linalg.lstsq with the driver 'gelsd': the X for which the sum of squares of a X - b is least, for matrices a
 * [.., m, n] of any rank and b [.., m, k]. Batch dimensions broadcast. Unlike PyTorch's, residuals are always given.
 * Throws ShapeError if sizes do not fit, ValueError for a negative tolerance, and DTypeError for other dtypes than
 * float32 and float64.
 */
export function lstsq<D extends DType>(a: Tensor<Shape, D>, b: Tensor, options?: ToleranceOptions): LeastSquares<D>
export function lstsq(left: Tensor, right: Tensor, options: ToleranceOptions = {}): LeastSquares {
  const op = 'lstsq'
  checkMatrices(op, 'a', left)
  checkMatrices(op, 'b', right)
  checkAlike(op, ['a', 'b'], left, right)
  if (rowsOf(left) !== rowsOf(right))
    throw new ShapeError(
      op,
      `b is ${formatShape(right.sizes)}, but must have as many rows as a ${formatShape(left.sizes)}`,
      [left.sizes, right.sizes],
    )
  const tolerance = toleranceOf(op, left, options)
  return precisely([left, right], (given, other) =>
    namedAs(op, () => {
      const [a, b] = together(op, given, other)
      const solution = matmul(apply(pinvRecord, [a], tolerance), b)
      const singularValues = decomposed(op, detach(given), false)[1]
      return {
        solution,
        residuals: sum(square(sub(matmul(a, solution), b)), -2),
        rank: matrixRank(given, options),
        singularValues,
      }
    }),
  )
}

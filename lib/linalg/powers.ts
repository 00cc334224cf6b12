/** Powers and exponentials of matrices, products of many, and Vandermonde's matrices. */
import { noGrad } from '../autograd/mode.js'
import { checkDType } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { formatShape, kindOf, namedAs, ShapeError, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { floating } from '../ops/common.js'
import { fromTypedArray } from '../ops/creation.js'
import { add, div, gt, mul, pow, sub, where } from '../ops/elementwise/index.js'
import { onesLike } from '../ops/like.js'
import { dataSync } from '../ops/read.js'
import { cumprod, matrixNorm } from '../ops/reduce/index.js'
import { cat, expand, squeeze, unsqueeze } from '../ops/shape/index.js'
import { inv, solve } from './lu.js'
import { batchOf, checkSquare, identity, matmul, precisely, rowsOf } from './shared.js'

/**
 * PyTorch's linalg.matrix_power: x^n of square matrices x [.., n, n] for a whole number n; a negative one is the power
 * of the inverse. Throws ValueError for other numbers, and for singular matrices if n is negative, and DTypeError for
 * other dtypes than float32 and float64.
 */
export function matrixPower<S extends Shape, D extends DType>(x: Tensor<S, D>, n: number): Tensor<S, D>
export function matrixPower(given: Tensor, n: number): Tensor {
  const op = 'matrixPower'
  if (!Number.isSafeInteger(n)) throw new ValueError(op, `n is ${shown(n)}, but must be a whole number`)
  checkSquare(op, 'x', given)
  return precisely([given], (x) =>
    namedAs(op, () => {
      if (n === 0) return expand(identity(x, rowsOf(x)), x.sizes)
      let square = n < 0 ? inv(x) : x
      let out: Tensor | null = null
      for (let left = Math.abs(n); left > 0; left = Math.floor(left / 2)) {
        if (left % 2 === 1) out = out === null ? square : matmul(out, square)
        if (left > 1) square = matmul(square, square)
      }
      return out as unknown as Tensor
    }),
  )
}

/** The coefficients of the approximation of degree 13 (Higham, 2005). */
const pade = [
  64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
  670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
] as const
/** The largest norm at which the approximation has all digits of float64. */
const largestNorm = 5.37

/** a0 x0 + a1 x1 + ... */
function combined(terms: readonly (readonly [number, Tensor])[]): Tensor {
  return terms.map(([factor, x]) => mul(x, factor)).reduce((a, b) => add(a, b))
}

/**
 * PyTorch's linalg.matrix_exp: the exponentials of square matrices x [.., n, n], by scaling, Pade's approximation and
 * squaring (Higham, 2005). Waits for the norm of x, which says how often to square. Throws ValueError for NaN and
 * infinity, and DTypeError for other dtypes than float32 and float64.
 */
export function matrixExp<S extends Shape, D extends DType>(x: Tensor<S, D>): Tensor<S, D>
export function matrixExp(given: Tensor): Tensor {
  const op = 'matrixExp'
  checkSquare(op, 'x', given)
  if (given.numel === 0) return mul(given, 1)
  return precisely([given], (x) => namedAs(op, () => exponential(op, x)))
}

function exponential(op: string, x: Tensor): Tensor {
  const squarings = squaringsOf(op, x)
  const scales = fromTypedArray(Float32Array.from(squarings), [...batchOf(x), 1, 1], { device: x.device }).to(x.dtype)
  const a = div(x, pow(2, scales))
  const one = identity(x, rowsOf(x))
  const a2 = matmul(a, a)
  const a4 = matmul(a2, a2)
  const a6 = matmul(a2, a4)
  const [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13] = pade.map(
    (each) => each / pade[0],
  ) as number[] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const high = (b: number, c: number, d: number) =>
    matmul(
      a6,
      combined([
        [b, a6],
        [c, a4],
        [d, a2],
      ]),
    )
  const low = (b: number, c: number, d: number, e: number) =>
    combined([
      [b, a6],
      [c, a4],
      [d, a2],
      [e, one],
    ])
  const odd = matmul(a, add(high(b13, b11, b9), low(b7, b5, b3, b1)))
  const even = add(high(b12, b10, b8), low(b6, b4, b2, b0))
  let out = solve(sub(even, odd), add(even, odd))
  for (let k = 0; k < Math.max(...squarings); k++) out = where(gt(scales, k), matmul(out, out), out)
  return out
}

/** The number of squarings of each matrix, from its norm. */
function squaringsOf(op: string, x: Tensor): readonly number[] {
  if (x.device.kind === 'meta') return batchOf(x).length === 0 ? [0] : new Array(x.numel / rowsOf(x) ** 2).fill(0)
  const norms = [...dataSync(noGrad(() => matrixNorm(x.detach(), 1)))].map(Number)
  const wrong = norms.findIndex((each) => !Number.isFinite(each))
  if (wrong >= 0) throw new ValueError(op, `matrix ${wrong} of the batch holds NaN or infinity; it has no exponential`)
  return norms.map((each) => Math.max(0, Math.ceil(Math.log2(each / largestNorm))))
}

/**
 * PyTorch's linalg.multi_dot: the product of two or more matrices, in the order of the fewest multiply-adds. The first
 * may be a row [n] and the last a column [n]. Throws ValueError for fewer tensors, ShapeError if sizes do not fit, and
 * DTypeError for other dtypes than float32 and float64.
 */
export function multiDot<D extends DType>(tensors: readonly Tensor<Shape, D>[]): Tensor<Shape, D>
export function multiDot(tensors: readonly Tensor[]): Tensor {
  const op = 'multiDot'
  if (!Array.isArray(tensors) || tensors.length < 2)
    throw new ValueError(
      op,
      `got ${Array.isArray(tensors) ? `${tensors.length} tensors` : kindOf(tensors)}, but needs a list of two or more`,
    )
  const last = tensors.length - 1
  for (const [i, x] of tensors.entries()) {
    checkDType(op, `tensor ${i}`, x, floating)
    if (x.ndim !== 2 && !(x.ndim === 1 && (i === 0 || i === last)))
      throw new ShapeError(op, `tensor ${i} is ${formatShape(x.sizes)}, but must be a matrix`, [x.sizes])
  }
  return precisely(tensors, (...given) =>
    namedAs(op, () => {
      const [first, final] = [given[0] as Tensor, given[last] as Tensor]
      const matrices = given.map((x, i) => (x.ndim === 2 ? x : unsqueeze(x, i === 0 ? 0 : 1)))
      const out = inOrder(matrices)
      const row = first.ndim === 1 ? squeeze(out, 0) : out
      return final.ndim === 1 ? squeeze(row, -1) : row
    }),
  )
}

/** The product with the fewest multiply-adds, by the costs of all parts of the list. */
function inOrder(matrices: readonly Tensor[]): Tensor {
  const sizes = [...matrices.map(rowsOf), matrices.at(-1)?.sizes[1] ?? 0]
  const cost = new Map<string, readonly [cost: number, cut: number]>()
  const best = (from: number, to: number): readonly [number, number] => {
    const known = cost.get(`${from} ${to}`)
    if (known) return known
    let found: readonly [number, number] = [from === to ? 0 : Number.POSITIVE_INFINITY, from]
    for (let cut = from; cut < to; cut++) {
      const own = (sizes[from] as number) * (sizes[cut + 1] as number) * (sizes[to + 1] as number)
      const total = best(from, cut)[0] + best(cut + 1, to)[0] + own
      if (total < found[0]) found = [total, cut]
    }
    cost.set(`${from} ${to}`, found)
    return found
  }
  const multiply = (from: number, to: number): Tensor => {
    if (from === to) return matrices[from] as Tensor
    const cut = best(from, to)[1]
    return matmul(multiply(from, cut), multiply(cut + 1, to))
  }
  return multiply(0, matrices.length - 1)
}

export interface VanderOptions {
  /** The number of powers. By default as many as x has elements in its last dimension. */
  readonly n?: number
}

const vanderNames: OptionNames<VanderOptions> = { n: true }

/**
 * PyTorch's linalg.vander: the powers 0 to n - 1 of each element, [.., m, n] for x [.., m]. Throws ValueError for an n
 * below 1, ShapeError for a number, and DTypeError for other dtypes than float32 and float64.
 */
export function vander<D extends DType>(x: Tensor<Shape, D>, options?: VanderOptions): Tensor<Shape, D>
export function vander(x: Tensor, options: VanderOptions = {}): Tensor {
  const op = 'vander'
  checkDType(op, 'x', x, floating)
  if (x.ndim === 0) throw new ShapeError(op, 'x is a number, but must have a dimension', [x.sizes])
  const { n = x.sizes.at(-1) as number } = checkOptions(op, options, vanderNames)
  if (!Number.isSafeInteger(n) || n < 1) throw new ValueError(op, `n is ${shown(n)}, but must be 1 or more`)
  return namedAs(op, () => {
    const columns = unsqueeze(x, -1)
    return cumprod(cat([onesLike(columns), expand(columns, [...x.sizes, n - 1])], -1), -1)
  })
}

/** Singular values and vectors. */
import { apply } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { AutogradError, namedAs } from '../core/errors.js'
import { checkFlag, checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from '../ops/common.js'
import { add, div, mul, ne, square, sub, where } from '../ops/elementwise/index.js'
import { kernel, operator } from '../ops/operator.js'
import { unsqueeze } from '../ops/shape/index.js'
import { batchOf, checkMatrices, columnsOf, identity, matmul, rowsOf, turned } from './shared.js'

interface Svd {
  /** Whether U and Vh are square. */
  readonly full: boolean
}

/** x [.., m, n] -> U, S [.., k], falling, and Vh. */
const svdRecord = operator<[x: Tensor], Svd, [u: Tensor, s: Tensor, vh: Tensor]>({
  name: 'svd',
  outputs: 3,
  infer([x], { full }) {
    const [m, n, batch] = [rowsOf(x), columnsOf(x), batchOf(x)]
    const k = Math.min(m, n)
    return [like(x, [...batch, m, full ? m : k]), like(x, [...batch, k]), like(x, [...batch, full ? n : k, n])]
  },
  forward: kernel('svd', ([x], _attrs, { u, s, vh }) => ({ u, s, vh, x })),
  gradient: {
    saves: () => ({ outputs: [0, 1, 2] }),
    backward(ctx, [gu, gs, gvh]) {
      const [u, s, vh] = [ctx.output(0), ctx.output(1), ctx.output(2)]
      const [m, n] = [rowsOf(u), columnsOf(vh)]
      const k = Math.min(m, n)
      if (ctx.attrs.full && m !== n) {
        if (gu !== null || gvh !== null)
          throw new AutogradError(
            'svd',
            'full matrices have no gradient, because their last vectors are not determined; use fullMatrices: false',
          )
        const [left, right] = [u.narrow(-1, 0, k), vh.narrow(-2, 0, k)]
        return [gs && matmul(mul(left, unsqueeze(gs, -2)), right)]
      }
      let inner: Tensor | null = gs === null ? null : mul(identity(s, k), unsqueeze(gs, -2))
      const joined = (a: Tensor | null, b: Tensor) => (a === null ? b : add(a, b))
      const gv = gvh && turned(gvh)
      const v = turned(vh)
      if (gu !== null) inner = joined(inner, mul(turning(s, u, gu), unsqueeze(s, -2)))
      if (gv !== null) inner = joined(inner, mul(unsqueeze(s, -1), turning(s, v, gv)))
      let out = inner && matmul(matmul(u, inner), vh)
      // The parts of the vectors' gradients that point out of their spaces.
      if (gu !== null && m > k) out = joined(out, matmul(div(outside(u, gu), unsqueeze(s, -2)), vh))
      if (gv !== null && n > k) out = joined(out, matmul(div(u, unsqueeze(s, -2)), turned(outside(v, gv))))
      return [out]
    },
  },
})

/** (u^T g - g^T u)[i][j] / (s[j]^2 - s[i]^2), and 0 on the diagonal. */
function turning(s: Tensor, u: Tensor, g: Tensor): Tensor {
  const product = matmul(turned(u), g)
  const squares = square(s)
  const distance = sub(unsqueeze(squares, -2), unsqueeze(squares, -1))
  const off = ne(identity(s, columnsOf(u)), 1)
  return where(off, div(sub(product, turned(product)), where(off, distance, 1)), 0)
}

/** The part of g outside the space that the columns of u span. */
const outside = (u: Tensor, g: Tensor): Tensor => sub(g, matmul(u, matmul(turned(u), g)))

export interface SvdOptions {
  /** Whether U is [.., m, m] and Vh [.., n, n]; otherwise they are [.., m, k] and [.., k, n]. Default true. */
  readonly fullMatrices?: boolean
}

const names: OptionNames<SvdOptions> = { fullMatrices: true }

/** U, S and Vh, under the name of what the program called. */
export function decomposed(op: string, x: Tensor, full: boolean): readonly [Tensor, Tensor, Tensor] {
  checkMatrices(op, 'x', x)
  return namedAs(op, () => apply(svdRecord, [x], { full }))
}

/**
 * PyTorch's linalg.svd: U with orthonormal columns, S [.., k], falling, and Vh with orthonormal rows, where
 * x = U diag(S) Vh, for matrices x [.., m, n] and k = min(m, n). The signs of pairs of vectors are free; here the largest
 * element of each of the first k rows of Vh is positive. Gradients through U and Vh are not finite where two values are
 * equal, or where one is 0 and m and n differ, and have a meaning only for functions that do not depend on signs. Throws
 * ValueError, which names the matrix of the batch, if one holds NaN or infinity; with the next read, as all errors of
 * elements. Throws AutogradError in the backward pass through full U or Vh with m not n, and DTypeError for other dtypes
 * than float32 and float64.
 */
export function svd<D extends DType>(
  x: Tensor<Shape, D>,
  options?: SvdOptions,
): [u: Tensor<Shape, D>, s: Tensor<Shape, D>, vh: Tensor<Shape, D>]
export function svd(x: Tensor, options: SvdOptions = {}): Tensor[] {
  const { fullMatrices = true } = checkOptions('svd', options, names)
  checkFlag('svd', 'fullMatrices', fullMatrices)
  return [...decomposed('svd', x, fullMatrices)]
}

/** PyTorch's linalg.svdvals: the singular values [.., k] alone, as by `svd`. Their gradient is finite for equal ones. */
export function svdvals<D extends DType>(x: Tensor<Shape, D>): Tensor<Shape, D>
export function svdvals(x: Tensor): Tensor {
  return decomposed('svdvals', x, false)[1]
}

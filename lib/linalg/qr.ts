/** QR: orthonormal columns times an upper triangular matrix. */
import { apply } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { AutogradError, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from '../ops/common.js'
import { add, sub } from '../ops/elementwise/index.js'
import { kernel, operator } from '../ops/operator.js'
import { cat, narrow, tril, triu } from '../ops/shape/index.js'
import { zerosLike } from '../ops/views.js'
import { batchOf, checkMatrices, columnsOf, matmul, rowsOf, turned } from './shared.js'
import { solveTriangle } from './triangular.js'

interface Qr {
  /** Whether Q is square. */
  readonly complete: boolean
}

/** x [.., m, n] -> Q [.., m, k] and R [.., k, n]. */
const qrRecord = operator<[x: Tensor], Qr, [q: Tensor, r: Tensor]>({
  name: 'qr',
  outputs: 2,
  infer([x], { complete }) {
    const [m, n] = [rowsOf(x), columnsOf(x)]
    const k = complete ? m : Math.min(m, n)
    return [like(x, [...batchOf(x), m, k]), like(x, [...batchOf(x), k, n])]
  },
  forward: kernel('qr', ([x], _attrs, { q, r }) => ({ q, r, x })),
  gradient: {
    saves: () => ({ outputs: [0, 1] }),
    backward(ctx, [gq, gr]) {
      const [q, r] = [ctx.output(0), ctx.output(1)]
      const [m, n] = [rowsOf(q), columnsOf(r)]
      if (ctx.attrs.complete && m > n)
        throw new AutogradError(
          'qr',
          `a complete Q of ${m} rows has no gradient, because its last ${m - n} columns are not determined; use mode 'reduced'`,
        )
      const [dq, dr] = [gq ?? zerosLike(q), gr ?? zerosLike(r)]
      if (m >= n) return [gradientOf(q, r, dq, dr)]
      // A wide matrix is [X, Y] with X = Q U and Y = Q V, so Q gets a part of its gradient from V = Q^T Y.
      const [u, v] = [narrow(r, -1, 0, m), narrow(r, -1, m, n - m)]
      const [du, dv] = [narrow(dr, -1, 0, m), narrow(dr, -1, m, n - m)]
      const whole = add(dq, matmul(matmul(q, v), turned(dv)))
      return [cat([gradientOf(q, u, whole, du), matmul(q, dv)], -1)]
    },
  },
})

/** The gradient of x = Q R with a square R (Liao, Liu, Wang and Xiang, 2019). */
function gradientOf(q: Tensor, r: Tensor, dq: Tensor, dr: Tensor): Tensor {
  const m = sub(matmul(r, turned(triu(dr))), matmul(turned(dq), q))
  const symmetric = add(tril(m), turned(tril(m, -1)))
  return turned(solveTriangle(r, turned(add(dq, matmul(q, symmetric))), true))
}

export interface QrOptions {
  /** 'reduced' gives Q [.., m, k] and R [.., k, n] for k = min(m, n), 'complete' Q [.., m, m] and R [.., m, n]. */
  readonly mode?: 'reduced' | 'complete'
}

/**
 * PyTorch's linalg.qr: Q with orthonormal columns and an upper triangular R with x = Q R, for matrices x [.., m, n]. The
 * signs are LAPACK's: R's diagonal is negative where the column to reduce begins with a positive number, and the other
 * way round. The gradient needs a square R of full rank, or its first m columns if m < n. Throws ValueError for another
 * mode, AutogradError in the backward pass of a complete Q with m > n, and DTypeError for other dtypes than float32 and
 * float64.
 */
export function qr<D extends DType>(
  x: Tensor<Shape, D>,
  options?: QrOptions,
): [q: Tensor<Shape, D>, r: Tensor<Shape, D>]
export function qr(x: Tensor, options: QrOptions = {}): Tensor[] {
  const { mode = 'reduced' } = checkOptions('qr', options, { mode: true })
  if (mode !== 'reduced' && mode !== 'complete')
    throw new ValueError('qr', `mode is ${shown(mode)}, but must be 'reduced' or 'complete'`)
  checkMatrices('qr', 'x', x)
  return [...apply(qrRecord, [x], { complete: mode === 'complete' })]
}

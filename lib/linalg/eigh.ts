/** Eigenvalues and eigenvectors of symmetric matrices. */
import { apply } from '../autograd/operator.js'
import type { DType } from '../core/dtype.js'
import { namedAs, shown, ValueError } from '../core/errors.js'
import { checkOptions, type OptionNames } from '../core/options.js'
import type { Shape } from '../core/shape.js'
import type { Tensor } from '../core/tensor.js'
import { like } from '../ops/common.js'
import { add, div, mul, ne, sub, where } from '../ops/elementwise/index.js'
import { kernel, operator } from '../ops/operator.js'
import { unsqueeze } from '../ops/shape/index.js'
import { checkSquare, columnsOf, identity, matmul, turned } from './shared.js'

interface Eigh {
  /** Whether the upper triangle is read, and not the lower one. */
  readonly upper: boolean
}

/** x [.., n, n] -> values [.., n], rising, and vectors [.., n, n] in columns. */
const eighRecord = operator<[x: Tensor], Eigh, [values: Tensor, vectors: Tensor]>({
  name: 'eigh',
  outputs: 2,
  infer: ([x]) => [like(x, x.sizes.slice(0, -1)), like(x)],
  forward: kernel('eigh', ([x], { upper }, { values, vectors }) => ({ values, vectors, x, upper })),
  gradient: {
    saves: () => ({ outputs: [0, 1] }),
    backward(ctx, [gl, gv]) {
      const v = ctx.output(1)
      const own = gl === null ? null : mul(v, unsqueeze(gl, -2))
      if (gv === null) return [own && matmul(own, turned(v))]
      const inner = shares(ctx.output(0), matmul(turned(v), gv))
      const turning = matmul(v, mul(add(inner, turned(inner)), 0.5))
      return [matmul(own === null ? turning : add(own, turning), turned(v))]
    },
  },
})

/** x[i][j] / (values[j] - values[i]), and 0 on the diagonal. */
function shares(values: Tensor, x: Tensor): Tensor {
  const distance = sub(unsqueeze(values, -2), unsqueeze(values, -1))
  const off = ne(identity(x, columnsOf(x)), 1)
  return where(off, div(x, where(off, distance, 1)), 0)
}

export interface EighOptions {
  /** The triangle of x that is read: 'L', the lower one, or 'U'. Default 'L'. */
  readonly uplo?: 'L' | 'U'
}

const names: OptionNames<EighOptions> = { uplo: true }

function decomposed(op: string, x: Tensor, options: EighOptions): readonly [Tensor, Tensor] {
  const { uplo = 'L' } = checkOptions(op, options, names)
  if (uplo !== 'L' && uplo !== 'U') throw new ValueError(op, `uplo is ${shown(uplo)}, but must be 'L' or 'U'`)
  checkSquare(op, 'x', x)
  return namedAs(op, () => apply(eighRecord, [x], { upper: uplo === 'U' }))
}

/**
 * PyTorch's linalg.eigh: eigenvalues [.., n], rising, and orthonormal eigenvectors [.., n, n] in columns, of symmetric
 * matrices x [.., n, n], of which only one triangle is read. The sign of a vector is free; here its largest element is
 * positive. The gradient is symmetric. Through vectors it is not finite where two values are equal, and has a meaning only for functions
 * that do not depend on signs. Throws ValueError, which names the matrix of the batch, if one holds NaN or infinity; with
 * the next read, as all errors of elements. Throws DTypeError for other dtypes than float32 and float64.
 */
export function eigh<D extends DType>(
  x: Tensor<Shape, D>,
  options?: EighOptions,
): [values: Tensor<Shape, D>, vectors: Tensor<Shape, D>]
export function eigh(x: Tensor, options: EighOptions = {}): Tensor[] {
  return [...decomposed('eigh', x, options)]
}

/** PyTorch's linalg.eigvalsh: the eigenvalues [.., n] alone, as by `eigh`. Their gradient is finite for equal ones too. */
export function eigvalsh<D extends DType>(x: Tensor<Shape, D>, options?: EighOptions): Tensor<Shape, D>
export function eigvalsh(x: Tensor, options: EighOptions = {}): Tensor {
  return decomposed('eigvalsh', x, options)[0]
}

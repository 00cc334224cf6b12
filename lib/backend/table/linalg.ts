/**
 * The rows of factorisations. Matrices are the last two dimensions, and all dimensions before them count matrices. The
 * multiply-adds are those of the leading terms.
 */
import type { StridedView } from '../../core/device.js'
import { countOf } from '../../core/shape.js'
import { float, row, size } from './grammar.js'

/** rows * columns * the smaller of both, for all matrices. */
function cubic({ sizes }: StridedView): number {
  return countOf(sizes) * Math.min(size(sizes, -2), size(sizes, -1))
}

export const linalg = {
  /** out = the lower triangular L with x = L L^T, of which only the lower triangle is read; 0 above the diagonal */
  cholesky: row(
    { out: 'out T', x: 'in T' },
    {
      T: float,
      precision: 'float32',
      multiplyAdds: ({ x }) => cubic(x) / 6,
    },
  ),
  /** out = a^-1 b for a triangular a, of which only that triangle is read; with `unit` its diagonal counts as 1 */
  solve_triangular: row(
    { out: 'out T', a: 'strided T', b: 'in T', upper: 'flag', unit: 'flag' },
    {
      calledAs: 'solveTriangular',
      T: float,
      precision: 'float32',
      multiplyAdds: ({ b }) => (countOf(b.sizes) * size(b.sizes, -2)) / 2,
    },
  ),
  /**
   * lu = L below the diagonal and U from it on, where row permutation[i] of x is row i of L U; pivots counts from 1 the
   * row with which row i was exchanged. With `checks` a 0 on U's diagonal is an error.
   */
  lu_factor: row(
    { lu: 'out T', pivots: 'out int32', permutation: 'out int32', x: 'in T', checks: 'flag' },
    {
      calledAs: 'luFactor',
      T: float,
      precision: 'float32',
      multiplyAdds: ({ x }) => cubic(x) / 2,
    },
  ),
  /** x = q r with orthonormal columns of q, by Householder's reflections; q has min(m, n) columns, or m */
  qr: row(
    { q: 'out T', r: 'out T', x: 'in T' },
    {
      T: float,
      precision: 'float32',
      multiplyAdds: ({ x }) => 2 * cubic(x),
    },
  ),
  /**
   * x vectors = vectors diag(values), values rising, for a symmetric x, of which only one triangle is read. The largest
   * element of each vector is positive.
   */
  eigh: row(
    { values: 'out T', vectors: 'out T', x: 'in T', upper: 'flag' },
    {
      T: float,
      precision: 'float32',
      multiplyAdds: ({ x }) => 8 * cubic(x),
    },
  ),
  /**
   * x = u diag(s) vh, s falling; u has min(m, n) columns or m, and vh min(m, n) rows or n. The largest element of each
   * of the first min(m, n) rows of vh is positive.
   */
  svd: row(
    { u: 'out T', s: 'out T', vh: 'out T', x: 'in T' },
    {
      T: float,
      precision: 'float32',
      multiplyAdds: ({ x }) => 12 * cubic(x),
    },
  ),
} as const

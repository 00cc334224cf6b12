/** Factorisations of matrices, in doubles. Each matrix is copied, factorised in place, and rounded once. */
import { ValueError } from '../../core/errors.js'
import { countOf } from '../../core/shape.js'
import type { Kernels } from '../table/index.js'
import { eigenOf, singularOf } from './linalg-vectors.js'
import type { HostView } from './view.js'

/** A matrix in row-major order. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly data: Float64Array
}

const zeros = (rows: number, columns: number): Matrix => ({ rows, columns, data: new Float64Array(rows * columns) })

function sizesOf({ shape }: HostView): { rows: number; columns: number; count: number } {
  return { rows: shape.at(-2) ?? 1, columns: shape.at(-1) ?? 1, count: countOf(shape.slice(0, -2)) }
}

/** Copies matrix number `which` of a view with any strides. */
function read(view: HostView, which: number): Matrix {
  const { rows, columns } = sizesOf(view)
  const out = zeros(rows, columns)
  const last = view.shape.length - 1
  let at = view.offset
  let left = which
  for (let d = last - 2; d >= 0; d--) {
    const n = view.shape[d] as number
    at += (left % n) * (view.strides[d] as number)
    left = Math.floor(left / n)
  }
  const [down, across] = [view.strides[last - 1] as number, view.strides[last] as number]
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out.data[i * columns + j] = view.data[at + i * down + j * across] as number
  return out
}

/** Writes row `which` of a dense result, which has as many elements as `from`. */
function write(view: HostView, which: number, from: ArrayLike<number>): void {
  const at = view.offset + which * from.length
  for (let i = 0; i < from.length; i++) view.data[at + i] = from[i] as number
}

/** L in place of the lower triangle, and 0 above. Returns the row whose diagonal is not positive, or -1. */
function cholesky({ rows: n, data: a }: Matrix): number {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j] as number
      for (let k = 0; k < j; k++) sum -= (a[i * n + k] as number) * (a[j * n + k] as number)
      if (i === j && !(sum > 0)) return i
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / (a[j * n + j] as number)
    }
    a.fill(0, i * n + i + 1, (i + 1) * n)
  }
  return -1
}

/** b becomes a^-1 b. */
function solveTriangular({ rows: n, data: a }: Matrix, { columns, data: b }: Matrix, upper: boolean, unit: boolean) {
  for (let step = 0; step < n; step++) {
    const i = upper ? n - 1 - step : step
    const [from, to] = upper ? [i + 1, n] : [0, i]
    for (let c = 0; c < columns; c++) {
      let sum = b[i * columns + c] as number
      for (let k = from; k < to; k++) sum -= (a[i * n + k] as number) * (b[k * columns + c] as number)
      b[i * columns + c] = unit ? sum : sum / (a[i * n + i] as number)
    }
  }
}

/** Exchanges rows i and j. */
function exchange({ columns, data }: Matrix, i: number, j: number): void {
  for (let c = 0; c < columns; c++) {
    const kept = data[i * columns + c] as number
    data[i * columns + c] = data[j * columns + c] as number
    data[j * columns + c] = kept
  }
}

/** The row from k on whose element in column k is largest. */
function pivotOf({ rows, columns, data }: Matrix, k: number): number {
  let best = k
  for (let i = k + 1; i < rows; i++)
    if (Math.abs(data[i * columns + k] as number) > Math.abs(data[best * columns + k] as number)) best = i
  return best
}

/** L and U in place, with the pivots. Returns the first row with 0 on U's diagonal, or -1. */
function factorise(a: Matrix, pivots: number[], permutation: number[]): number {
  const { rows, columns, data } = a
  let singular = -1
  for (let i = 0; i < rows; i++) permutation.push(i)
  for (let k = 0; k < Math.min(rows, columns); k++) {
    const best = pivotOf(a, k)
    pivots.push(best + 1)
    exchange(a, k, best)
    const kept = permutation[k] as number
    permutation[k] = permutation[best] as number
    permutation[best] = kept
    const pivot = data[k * columns + k] as number
    if (pivot === 0) {
      if (singular < 0) singular = k
      continue
    }
    for (let i = k + 1; i < rows; i++) {
      const share = (data[i * columns + k] as number) / pivot
      data[i * columns + k] = share
      for (let j = k + 1; j < columns; j++)
        data[i * columns + j] = (data[i * columns + j] as number) - share * (data[k * columns + j] as number)
    }
  }
  return singular
}

/** Applies I - tau v v^T from the left to the columns from `from` on, where v begins in row k. */
function reflect({ rows, columns, data }: Matrix, v: Float64Array, tau: number, k: number, from: number): void {
  for (let j = from; j < columns; j++) {
    let sum = 0
    for (let i = k; i < rows; i++) sum += (v[i] as number) * (data[i * columns + j] as number)
    for (let i = k; i < rows; i++)
      data[i * columns + j] = (data[i * columns + j] as number) - tau * sum * (v[i] as number)
  }
}

/** R in place of `a`, and Q with `width` columns. */
function qr(a: Matrix, width: number): Matrix {
  const { rows, columns, data } = a
  const reflections: { v: Float64Array; tau: number }[] = []
  for (let k = 0; k < Math.min(rows, columns); k++) {
    const v = new Float64Array(rows)
    const alpha = data[k * columns + k] as number
    let below = 0
    for (let i = k + 1; i < rows; i++) below = Math.hypot(below, data[i * columns + k] as number)
    // A column that is 0 below the diagonal stays as it is, with its sign, as in LAPACK.
    const beta = below === 0 ? alpha : -Math.hypot(alpha, below) * (alpha < 0 ? -1 : 1)
    const tau = below === 0 ? 0 : (beta - alpha) / beta
    v[k] = 1
    for (let i = k + 1; i < rows; i++) v[i] = tau === 0 ? 0 : (data[i * columns + k] as number) / (alpha - beta)
    reflect(a, v, tau, k, k)
    data[k * columns + k] = beta
    for (let i = k + 1; i < rows; i++) data[i * columns + k] = 0
    reflections.push({ v, tau })
  }
  const q = zeros(rows, width)
  for (let i = 0; i < width; i++) q.data[i * width + i] = 1
  for (const [k, { v, tau }] of [...reflections.entries()].reverse()) reflect(q, v, tau, k, k)
  return q
}

export const linalg = {
  cholesky({ out, x }) {
    const { count } = sizesOf(x)
    for (let which = 0; which < count; which++) {
      const a = read(x, which)
      const row = cholesky(a)
      if (row >= 0)
        throw new ValueError(
          'cholesky',
          `matrix ${which} of the batch is not positive definite: its leading minor of order ${row + 1} is not positive`,
        )
      write(out, which, a.data)
    }
  },

  solve_triangular({ out, a, b, upper, unit }) {
    const { count } = sizesOf(b)
    for (let which = 0; which < count; which++) {
      const x = read(b, which)
      solveTriangular(read(a, which), x, upper, unit)
      write(out, which, x.data)
    }
  },

  lu_factor({ lu, pivots, permutation, x, checks }) {
    const { count } = sizesOf(x)
    for (let which = 0; which < count; which++) {
      const a = read(x, which)
      const exchanged: number[] = []
      const order: number[] = []
      const row = factorise(a, exchanged, order)
      if (checks && row >= 0)
        throw new ValueError(
          'luFactor',
          `matrix ${which} of the batch is singular: element ${row + 1} of U's diagonal is 0`,
        )
      write(lu, which, a.data)
      write(pivots, which, exchanged)
      write(permutation, which, order)
    }
  },

  qr({ q, r, x }) {
    const { count, rows } = sizesOf(x)
    const width = q.shape.at(-1) ?? 1
    for (let which = 0; which < count; which++) {
      const a = read(x, which)
      write(q, which, qr(a, width).data)
      write(r, which, a.data.subarray(0, Math.min(width, rows) * a.columns))
    }
  },

  eigh({ values, vectors, x, upper }) {
    const { count } = sizesOf(x)
    for (let which = 0; which < count; which++) {
      const found = eigenOf(read(x, which), upper)
      if (found === null)
        throw new ValueError(
          'eigh',
          `matrix ${which} of the batch has no eigenvalues that the algorithm finds: it holds NaN or infinity`,
        )
      write(values, which, found.values)
      write(vectors, which, found.vectors.data)
    }
  },

  svd({ u, s, vh, x }) {
    const { count } = sizesOf(x)
    const [width, height] = [u.shape.at(-1) ?? 1, vh.shape.at(-2) ?? 1]
    for (let which = 0; which < count; which++) {
      const found = singularOf(read(x, which), width, height)
      if (found === null)
        throw new ValueError(
          'svd',
          `matrix ${which} of the batch has no singular values that the algorithm finds: it holds NaN or infinity`,
        )
      write(u, which, found.u.data)
      write(s, which, found.s)
      write(vh, which, found.vh.data)
    }
  },
} satisfies Pick<Kernels<HostView>, 'cholesky' | 'solve_triangular' | 'lu_factor' | 'qr' | 'eigh' | 'svd'>

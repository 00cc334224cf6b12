/**
 * The largest singular values of a matrix with their vectors: bidiagonalisation by Lanczos' method with full
 * reorthogonalisation (Golub and Kahan, 1965), in doubles. Only few of a model's matrix are needed, and no further
 * matrix of its size is ever made.
 */

/**
 * u[i] and v[i] belong to the value s[i], and values fall. If the matrix has fewer that are not 0, s and the vectors
 * end with zeros.
 */
export interface Singular {
  readonly u: readonly Float64Array[]
  readonly s: readonly number[]
  readonly v: readonly Float64Array[]
}

type Rows = readonly Float64Array[]

/** Singular values below this, relative to the largest one, count as 0. */
const tolerance = 1e-10
/**
 * The largest distance of A v from s u, relative to the largest value, far below the rounding of weights in float32.
 */
const residual = 1e-8

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

/** a += factor * b */
export function addTo(a: Float64Array, b: ArrayLike<number>, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] = (a[i] as number) + factor * (b[i] as number)
}

function scaled(a: Float64Array, factor: number): Float64Array {
  return a.map((value) => value * factor)
}

/** Subtracts from a vector its parts along others, twice, because after one pass rounding errors would grow. */
export function orthogonalise(a: Float64Array, others: Rows): Float64Array {
  for (let times = 0; times < 2; times++) for (const other of others) addTo(a, other, -dot(a, other))
  return a
}

type Operator = Pick<Matrix, 'm' | 'n' | 'times' | 'transposedTimes'>

/** A matrix [m, n] in row-major order. */
class Matrix {
  constructor(
    readonly values: ArrayLike<number>,
    readonly m: number,
    readonly n: number,
  ) {}

  /** A x */
  times(x: Float64Array): Float64Array {
    const { values, m, n } = this
    const y = new Float64Array(m)
    for (let i = 0, at = 0; i < m; i++) {
      let sum = 0
      for (let j = 0; j < n; j++) sum += (values[at++] as number) * (x[j] as number)
      y[i] = sum
    }
    return y
  }

  /** A^T y */
  transposedTimes(y: Float64Array): Float64Array {
    const { values, m, n } = this
    const x = new Float64Array(n)
    for (let i = 0, at = 0; i < m; i++) {
      const factor = y[i] as number
      for (let j = 0; j < n; j++) x[j] = (x[j] as number) + factor * (values[at++] as number)
    }
    return x
  }
}

/** A vector with a part along every direction, the same in every run. */
function anyVector(size: number, seed: number): Float64Array {
  return Float64Array.from({ length: size }, (_, i) => {
    const noise = Math.sin((i + 1) * 12.9898 + (seed + 1) * 78.233) * 43_758.5453
    return noise - Math.floor(noise) - 0.5
  })
}

/**
 * Singular values of a small matrix, given by columns. Its columns are rotated in pairs until all are orthogonal
 * (Jacobi).
 */
function small(columns: Float64Array[]): {
  readonly order: number[]
  readonly s: number[]
  readonly p: Rows
  readonly q: Rows
} {
  const k = columns.length
  const q = Array.from({ length: k }, (_, i) => Float64Array.from({ length: k }, (__, j) => (i === j ? 1 : 0)))
  const rotate = (of: Float64Array[], i: number, j: number, c: number, s: number) => {
    const [a, b] = [of[i] as Float64Array, of[j] as Float64Array]
    for (let row = 0; row < k; row++) {
      const [x, y] = [a[row] as number, b[row] as number]
      a[row] = c * x - s * y
      b[row] = s * x + c * y
    }
  }
  // Convergence is quadratic, and more sweeps than these were never seen.
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false
    for (let i = 0; i < k; i++)
      for (let j = i + 1; j < k; j++) {
        const [a, b] = [columns[i] as Float64Array, columns[j] as Float64Array]
        const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)]
        if (Math.abs(ab) <= 1e-15 * Math.sqrt(aa * bb)) continue
        turned = true
        const zeta = (bb - aa) / (2 * ab)
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.hypot(1, zeta))
        const c = 1 / Math.hypot(1, t)
        rotate(columns, i, j, c, c * t)
        rotate(q, i, j, c, c * t)
      }
  }
  const s = columns.map((column) => Math.sqrt(dot(column, column)))
  const order = s.map((_, i) => i).sort((i, j) => (s[j] as number) - (s[i] as number))
  return { order, s, p: columns.map((column, i) => scaled(column, s[i] ? 1 / (s[i] as number) : 0)), q }
}

/** Sums of vectors with these weights. */
function combined(vectors: Rows, weights: Float64Array, size: number): Float64Array {
  const sum = new Float64Array(size)
  vectors.forEach((vector, i) => void addTo(sum, vector, weights[i] as number))
  return sum
}

/**
 * The `count` largest singular values of a matrix [m, n], with their vectors. The matrix is in row-major order, and
 * `count` is at most m and n.
 */
export function largestSingular(values: ArrayLike<number>, m: number, n: number, count: number): Singular {
  const matrix = new Matrix(values, m, n)
  if (m >= n) return bidiagonalised(matrix, count)
  // As many steps as there are columns span all of these, so the method is for matrices that are not wide.
  const turned: Operator = {
    m: n,
    n: m,
    times: (x) => matrix.transposedTimes(x),
    transposedTimes: (y) => matrix.times(y),
  }
  const { u, s, v } = bidiagonalised(turned, count)
  return { u: v, s, v: u }
}

/** Like largestSingular, for m >= n. */
function bidiagonalised(a: Operator, count: number): Singular {
  const { m, n } = a
  const [us, vs]: [Float64Array[], Float64Array[]] = [[], []]
  const [alphas, betas]: [number[], number[]] = [[], []]
  let scale = 0
  /** A new direction of length 1, or null if there is none. */
  const fresh = (vector: Float64Array): { readonly vector: Float64Array; readonly length: number } | null => {
    const left = orthogonalise(vector, vs)
    const length = Math.sqrt(dot(left, left))
    if (length > tolerance * Math.max(scale, Number.MIN_VALUE)) return { vector: scaled(left, 1 / length), length }
    const other = orthogonalise(anyVector(n, vs.length), vs)
    const size = Math.sqrt(dot(other, other))
    return size < 1e-8 ? null : { vector: scaled(other, 1 / size), length: 0 }
  }
  let next = fresh(anyVector(n, 0))
  for (let steps = Math.min(n, 2 * count + 16); ; steps = Math.min(n, Math.ceil(steps * 1.5))) {
    while (vs.length < steps && next !== null) {
      const { vector } = next
      vs.push(vector)
      const u = orthogonalise(a.times(vector), us)
      const alpha = Math.sqrt(dot(u, u))
      scale = Math.max(scale, alpha)
      const isZero = alpha <= tolerance * scale
      alphas.push(isZero ? 0 : alpha)
      us.push(isZero ? new Float64Array(m) : scaled(u, 1 / alpha))
      next = fresh(isZero ? new Float64Array(n) : a.transposedTimes(us.at(-1) as Float64Array))
      betas.push(next?.length ?? 0)
      scale = Math.max(scale, next?.length ?? 0)
    }
    const k = vs.length
    // A V = U B, where B has alphas on its diagonal and betas to their right.
    const columns = alphas.map((alpha, i) => {
      const column = new Float64Array(k)
      column[i] = alpha
      if (i > 0) column[i - 1] = betas[i - 1] as number
      return column
    })
    const { order, s, p, q } = small(columns)
    const chosen = order.slice(0, count)
    const last = betas[k - 1] ?? 0
    const isDone = chosen.every((i) => last * Math.abs((p[i] as Float64Array)[k - 1] as number) <= residual * scale)
    if (!isDone && k < n && next !== null) continue
    const padded = [...chosen, ...new Array<number>(count - chosen.length).fill(-1)]
    const isValue = (i: number) => i >= 0 && (s[i] as number) > tolerance * scale
    return {
      u: padded.map((i) => (isValue(i) ? combined(us, p[i] as Float64Array, m) : new Float64Array(m))),
      s: padded.map((i) => (isValue(i) ? (s[i] as number) : 0)),
      v: padded.map((i) => (isValue(i) ? combined(vs, q[i] as Float64Array, n) : new Float64Array(n))),
    }
  }
}

/**
 * Eigenvalues of symmetric matrices, and singular values, with their vectors, by Jacobi's rotations (Jacobi, 1846;
 * Hestenes, 1958), which find small values as accurately as large ones.
 */
import type { Matrix } from './linalg.js'

type Row = Float64Array

const matrix = (rows: number, columns: number): Matrix => ({ rows, columns, data: new Float64Array(rows * columns) })

/** More sweeps than any matrix of numbers needs. */
const sweeps = 60
/** Rotations by angles below this change nothing that doubles can tell. */
const negligible = 1e-16

function dot(a: Row, b: Row): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

/** a = c a - s b, b = s a + c b */
function rotate(a: Row, b: Row, c: number, s: number): void {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number]
    a[i] = c * x - s * y
    b[i] = s * x + c * y
  }
}

/** Cosine and sine of the rotation that makes [[p, r], [r, q]] diagonal. */
function angleOf(p: number, q: number, r: number): readonly [c: number, s: number] {
  const theta = (q - p) / (2 * r)
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1))
  const c = 1 / Math.hypot(t, 1)
  return [c, t * c]
}

const unit = (n: number): Row[] => Array.from({ length: n }, (_, i) => new Float64Array(n).map((_, j) => +(i === j)))

/** Makes the element that is largest without its sign, the first of equals, positive. Returns 1 or -1. */
function turned(v: Row): number {
  let best = 0
  for (let i = 1; i < v.length; i++) if (Math.abs(v[i] as number) > Math.abs(v[best] as number)) best = i
  if (!((v[best] as number) < 0)) return 1
  for (let i = 0; i < v.length; i++) v[i] = -(v[i] as number)
  return -1
}

/**
 * Eigenvalues, rising, and the matrix whose columns are the vectors; null if an element that is read is not finite.
 */
export function eigenOf(x: Matrix, upper: boolean): { values: Row; vectors: Matrix } | null {
  const n = x.rows
  const at = (i: number, j: number) => x.data[upper === i <= j ? i * n + j : j * n + i] as number
  const a = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => at(i, j)))
  if (!a.every((row) => row.every(Number.isFinite))) return null
  const v = unit(n)
  for (let sweep = 0, moved = true; moved && sweep < sweeps; sweep++) {
    moved = false
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const [ap, aq] = [a[p] as Row, a[q] as Row]
        const [app, aqq, apq] = [ap[p] as number, aq[q] as number, ap[q] as number]
        if (Math.abs(apq) <= negligible * Math.sqrt(Math.abs(app * aqq)) || Math.abs(apq) < Number.MIN_VALUE * 2 ** 52)
          continue
        moved = true
        const [c, s] = angleOf(app, aqq, apq)
        rotate(ap, aq, c, s)
        for (const row of a) {
          const [x, y] = [row[p] as number, row[q] as number]
          row[p] = c * x - s * y
          row[q] = s * x + c * y
        }
        rotate(v[p] as Row, v[q] as Row, c, s)
      }
  }
  const order = v.map((_, i) => i).sort((i, j) => ((a[i] as Row)[i] as number) - ((a[j] as Row)[j] as number))
  const vectors = matrix(n, n)
  for (const [k, from] of order.entries()) {
    const vector = v[from] as Row
    turned(vector)
    for (let i = 0; i < n; i++) vectors.data[i * n + k] = vector[i] as number
  }
  return { values: Float64Array.from(order, (i) => (a[i] as Row)[i] as number), vectors }
}

/** Takes from `v` its parts along the others, which are orthonormal. */
function reduce(v: Row, others: readonly Row[]): void {
  for (const other of others) {
    const share = dot(v, other)
    for (let i = 0; i < v.length; i++) v[i] = (v[i] as number) - share * (other[i] as number)
  }
}

/** Adds orthonormal vectors of `size` elements until there are `count`. */
function complete(vectors: Row[], size: number, count: number): void {
  while (vectors.length < count) {
    // The axis of which the vectors hold least leaves a long rest.
    const held = Array.from({ length: size }, (_, i) => vectors.reduce((sum, v) => sum + (v[i] as number) ** 2, 0))
    const v = new Float64Array(size)
    v[held.indexOf(Math.min(...held))] = 1
    reduce(v, vectors)
    reduce(v, vectors)
    const length = Math.sqrt(dot(v, v))
    vectors.push(v.map((each) => each / length))
  }
}

/** The rows as columns of a matrix. */
function columnsOf(rows: readonly Row[], size: number): Matrix {
  const out = matrix(size, rows.length)
  for (const [j, row] of rows.entries()) for (let i = 0; i < size; i++) out.data[i * rows.length + j] = row[i] as number
  return out
}

const rowsOf = (rows: readonly Row[], size: number): Matrix => ({
  rows: rows.length,
  columns: size,
  data: Float64Array.from(rows.flatMap((row) => [...row])),
})

/** Rotates the rows of `a`, and with them those of `v`, until all are orthogonal. */
function orthogonalise(a: readonly Row[], v: readonly Row[]): void {
  const largest = Math.max(...a.map((row) => dot(row, row)))
  // Rows as short as the roundings of the longest have no direction.
  const least = largest * 2 ** -108
  for (let sweep = 0, moved = true; moved && sweep < sweeps; sweep++) {
    moved = false
    for (let i = 0; i < a.length; i++)
      for (let j = i + 1; j < a.length; j++) {
        const [ai, aj] = [a[i] as Row, a[j] as Row]
        const [p, q, r] = [dot(ai, ai), dot(aj, aj), dot(ai, aj)]
        if (Math.abs(r) <= 4 * negligible * Math.sqrt(p * q) || p <= least || q <= least) continue
        moved = true
        const [c, s] = angleOf(p, q, r)
        rotate(ai, aj, c, s)
        rotate(v[i] as Row, v[j] as Row, c, s)
      }
  }
}

/**
 * Singular values, falling, with `width` left and `height` right vectors; null if an element is not finite.
 */
export function singularOf(x: Matrix, width: number, height: number): { u: Matrix; s: Row; vh: Matrix } | null {
  if (!x.data.every(Number.isFinite)) return null
  const isTall = x.rows >= x.columns
  const [long, short] = isTall ? [x.rows, x.columns] : [x.columns, x.rows]
  const at = (i: number, j: number) => x.data[isTall ? j * x.columns + i : i * x.columns + j] as number
  const a = Array.from({ length: short }, (_, i) => Float64Array.from({ length: long }, (_, j) => at(i, j)))
  const v = unit(short)
  orthogonalise(a, v)
  const lengths = a.map((row) => Math.sqrt(dot(row, row)))
  const order = lengths.map((_, i) => i).sort((i, j) => (lengths[j] as number) - (lengths[i] as number))
  const least = (lengths[order[0] ?? 0] ?? 0) * 2 ** -50
  const far: Row[] = []
  const near = order.map((i) => v[i] as Row)
  for (const i of order) {
    const length = lengths[i] as number
    if (length <= least) break
    far.push((a[i] as Row).map((each) => each / length))
  }
  complete(far, long, isTall ? width : height)
  for (const [i, row] of (isTall ? near : far).slice(0, short).entries()) {
    const other = (isTall ? far : near)[i] as Row
    if (turned(row) < 0) for (let k = 0; k < other.length; k++) other[k] = -(other[k] as number)
  }
  const s = Float64Array.from(order, (i) => lengths[i] as number)
  const [left, right] = isTall ? [far, near] : [near, far]
  return { u: columnsOf(left, x.rows), s, vh: rowsOf(right, x.columns) }
}

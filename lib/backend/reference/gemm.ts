/**
 * The one product of matrices of the reference device, for matmul and for the three convolutions.
 *
 *   c[i][j] = initial[i][j] + sum over k of a[i][k] * b[k][j]        M rows, N columns, K terms
 *
 * After K. Goto and R. van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): blocks of a and of b are
 * packed into panels of four rows and four columns, in the order in which they are read, so that one small function does
 * all arithmetic. Panels are float64 and a tile of c sums all K terms in registers: c is rounded once.
 */
import type { TypedArray } from '../../core/dtype.js'

/**
 * Element (i, j) is data[rows[i] + cols[j]]. Two tables describe a dense, a transposed and a broadcast matrix, and as well
 * the matrix of patches under a convolution's windows, which is then never laid out in memory.
 */
export interface Matrix {
  readonly data: TypedArray
  readonly rows: readonly number[]
  readonly cols: readonly number[]
}

/** start, start + step, ...: the table of an evenly spaced dimension. */
export function spaced(count: number, step: number, start = 0): number[] {
  return Array.from({ length: count }, (_, i) => start + i * step)
}

/** Rows and columns of a tile: its sixteen sums and the factors at hand fill the registers. */
const tileSize = 4
/** Elements of a packed block of a (256 KiB, second level cache) and of b (4 MiB, third level). */
const blockOfA = 2 ** 15
const blockOfB = 2 ** 19

let panelsOfA = new Float64Array(0)
let panelsOfB = new Float64Array(0)
const tile = new Float64Array(tileSize * tileSize)

/** How many rows or columns of K terms make a block of about `elements`: a multiple of the tile's size. */
function blockLength(elements: number, K: number, available: number): number {
  const whole = Math.ceil(available / tileSize) * tileSize
  const fitting = Math.floor(elements / Math.max(K, 1) / tileSize) * tileSize
  return Math.min(whole, Math.max(fitting, tileSize))
}

function grown(panels: Float64Array<ArrayBuffer>, length: number): Float64Array<ArrayBuffer> {
  return panels.length < length ? new Float64Array(length) : panels
}

/** Panels of lines [from, to): term by term, the elements of four lines side by side; lines beyond `to` are zeros. */
function pack(
  panels: Float64Array,
  data: TypedArray,
  lines: readonly number[],
  from: number,
  to: number,
  terms: readonly number[],
): void {
  let p = 0
  for (let line = from; line < to; line += tileSize) {
    const count = Math.min(to - line, tileSize)
    if (count === tileSize) {
      const [l0, l1, l2, l3] = lines.slice(line, line + tileSize) as [number, number, number, number]
      for (let k = 0; k < terms.length; k++, p += tileSize) {
        const term = terms[k] as number
        panels[p] = data[l0 + term] as number
        panels[p + 1] = data[l1 + term] as number
        panels[p + 2] = data[l2 + term] as number
        panels[p + 3] = data[l3 + term] as number
      }
    } else {
      for (let k = 0; k < terms.length; k++, p += tileSize) {
        const term = terms[k] as number
        for (let l = 0; l < tileSize; l++)
          panels[p + l] = l < count ? (data[(lines[line + l] as number) + term] as number) : 0
      }
    }
  }
}

/** tile = the product of a panel of a and a panel of b */
function multiply(a: Float64Array, ai: number, b: Float64Array, bi: number, K: number): void {
  let c00 = 0,
    c01 = 0,
    c02 = 0,
    c03 = 0
  let c10 = 0,
    c11 = 0,
    c12 = 0,
    c13 = 0
  let c20 = 0,
    c21 = 0,
    c22 = 0,
    c23 = 0
  let c30 = 0,
    c31 = 0,
    c32 = 0,
    c33 = 0
  for (const end = ai + 4 * K; ai < end; ai += 4, bi += 4) {
    const b0 = b[bi] as number
    const b1 = b[bi + 1] as number
    const b2 = b[bi + 2] as number
    const b3 = b[bi + 3] as number
    let row = a[ai] as number
    c00 += row * b0
    c01 += row * b1
    c02 += row * b2
    c03 += row * b3
    row = a[ai + 1] as number
    c10 += row * b0
    c11 += row * b1
    c12 += row * b2
    c13 += row * b3
    row = a[ai + 2] as number
    c20 += row * b0
    c21 += row * b1
    c22 += row * b2
    c23 += row * b3
    row = a[ai + 3] as number
    c30 += row * b0
    c31 += row * b1
    c32 += row * b2
    c33 += row * b3
  }
  tile[0] = c00
  tile[1] = c01
  tile[2] = c02
  tile[3] = c03
  tile[4] = c10
  tile[5] = c11
  tile[6] = c12
  tile[7] = c13
  tile[8] = c20
  tile[9] = c21
  tile[10] = c22
  tile[11] = c23
  tile[12] = c30
  tile[13] = c31
  tile[14] = c32
  tile[15] = c33
}

/** `height` rows of the tile into c, from row i and column j on, as far as c goes. */
function store(c: Matrix, i: number, height: number, j: number, initial: Matrix | null): void {
  const { data, rows, cols } = c
  const width = Math.min(cols.length - j, tileSize)
  for (let y = 0; y < height; y++) {
    const row = rows[i + y] as number
    if (initial === null) {
      for (let x = 0; x < width; x++) data[row + (cols[j + x] as number)] = tile[y * tileSize + x] as number
    } else {
      const from = initial.rows[i + y] as number
      for (let x = 0; x < width; x++) {
        const before = initial.data[from + (initial.cols[j + x] as number)] as number
        data[row + (cols[j + x] as number)] = before + (tile[y * tileSize + x] as number)
      }
    }
  }
}

/** The tile's first row = a row of a times four columns of b from j on, which lie as they do; past the last, it repeats. */
function multiplyInPlace(a: Float64Array, K: number, { data, rows, cols }: Matrix, j: number): void {
  const last = cols.length - 1
  const j0 = cols[j] as number
  const j1 = cols[Math.min(j + 1, last)] as number
  const j2 = cols[Math.min(j + 2, last)] as number
  const j3 = cols[Math.min(j + 3, last)] as number
  let c0 = 0
  let c1 = 0
  let c2 = 0
  let c3 = 0
  for (let k = 0; k < K; k++) {
    const factor = a[k] as number
    const row = rows[k] as number
    c0 += factor * (data[row + j0] as number)
    c1 += factor * (data[row + j1] as number)
    c2 += factor * (data[row + j2] as number)
    c3 += factor * (data[row + j3] as number)
  }
  tile[0] = c0
  tile[1] = c1
  tile[2] = c2
  tile[3] = c3
}

/** The product for few rows, where packing b would take as long as multiplying by it: b is read in place. */
function gemmOfFewRows(c: Matrix, a: Matrix, b: Matrix, initial: Matrix | null): void {
  const K = a.cols.length
  const N = c.cols.length
  panelsOfA = grown(panelsOfA, K)
  for (let i = 0; i < c.rows.length; i++) {
    for (let k = 0; k < K; k++) panelsOfA[k] = a.data[(a.rows[i] as number) + (a.cols[k] as number)] as number
    for (let j = 0; j < N; j += tileSize) {
      multiplyInPlace(panelsOfA, K, b, j)
      store(c, i, 1, j, initial)
    }
  }
}

function transposed({ data, rows, cols }: Matrix): Matrix {
  return { data, rows: cols, cols: rows }
}

/** c = initial + a b; `initial` may be c itself. */
export function gemm(c: Matrix, a: Matrix, b: Matrix, initial: Matrix | null = null): void {
  const M = c.rows.length
  const N = c.cols.length
  const K = a.cols.length
  if (M < tileSize) {
    gemmOfFewRows(c, a, b, initial)
    return
  }
  if (N < tileSize) {
    gemmOfFewRows(transposed(c), transposed(b), transposed(a), initial && transposed(initial))
    return
  }
  const mc = blockLength(blockOfA, K, M)
  const nc = blockLength(blockOfB, K, N)
  panelsOfA = grown(panelsOfA, mc * K)
  panelsOfB = grown(panelsOfB, nc * K)
  for (let n0 = 0; n0 < N; n0 += nc) {
    const n1 = Math.min(n0 + nc, N)
    pack(panelsOfB, b.data, b.cols, n0, n1, b.rows)
    for (let m0 = 0; m0 < M; m0 += mc) {
      const m1 = Math.min(m0 + mc, M)
      pack(panelsOfA, a.data, a.rows, m0, m1, a.cols)
      for (let j = n0; j < n1; j += tileSize) {
        for (let i = m0; i < m1; i += tileSize) {
          multiply(panelsOfA, (i - m0) * K, panelsOfB, (j - n0) * K, K)
          store(c, i, Math.min(m1 - i, tileSize), j, initial)
        }
      }
    }
  }
}

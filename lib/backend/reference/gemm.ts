/**
 * The matrix product of the reference device, which matmul and the three convolutions share.
 *
 *   c[i][j] = initial[i][j] + sum over k of a[i][k] * b[k][j]        M rows, N columns, K terms
 *
 * The method is that of K. Goto and R. van de Geijn, "Anatomy of high-performance matrix multiplication" (2008). Blocks
 * of a and of b are packed into panels of four rows and three columns, in the order in which they are read. So one
 * small function does all arithmetic. Panels are float64 and a tile of c sums all K terms in registers: c is rounded
 * once.
 */
import type { TypedArray } from '../../core/dtype.js'
import { mostEntries } from '../../core/room.js'

/**
 * A matrix whose element (i, j) is data[rows[i] + cols[j]]. Two tables can describe a dense, a transposed and a
 * broadcast matrix, and also the matrix of patches under a convolution's windows, which is never laid out in memory.
 */
export interface Matrix {
  readonly data: TypedArray
  readonly rows: readonly number[]
  readonly cols: readonly number[]
}

/** start, start + step, ...: the table of an evenly spaced dimension. */
export function spaced(count: number, step: number, start = 0): number[] {
  // Beyond this length V8 ends the process instead of throwing.
  if (count > mostEntries) throw new RangeError(`Invalid array length: ${count}`)
  const table: number[] = []
  for (let i = 0; i < count; i++) table.push(start + i * step)
  return table
}

/**
 * The size of a tile. V8 can keep its twelve sums and the current factors in sixteen registers; larger tiles are
 * slower.
 */
const tileRows = 4
const tileColumns = 3
/**
 * Packed blocks of a (256 KiB, second level cache) and of b (4 MiB, third level). Constants of the module, whose
 * addresses and lengths V8 compiles in: `multiply` runs a third faster than on panels handed to it.
 */
const panelsOfA = new Float64Array(2 ** 15)
const panelsOfB = new Float64Array(2 ** 19)
const tile = new Float64Array(tileRows * tileColumns)
/** More terms than this are summed in parts. */
const mostTerms = panelsOfA.length / tileRows

/** The number of lines of K terms that fit in a block, a multiple of the tile's size. */
function linesIn(block: Float64Array, K: number, tileLines: number): number {
  return Math.floor(block.length / Math.max(K, 1) / tileLines) * tileLines
}

/**
 * Packs the lines [from, to) into panels of `width` lines side by side, term by term. Lines beyond `to` repeat the
 * last.
 */
function pack(
  panels: Float64Array,
  width: 3 | 4,
  data: TypedArray,
  lines: readonly number[],
  from: number,
  to: number,
  terms: readonly number[],
): void {
  let p = 0
  for (let line = from; line < to; line += width) {
    const l0 = lines[line] as number
    const l1 = lines[Math.min(line + 1, to - 1)] as number
    const l2 = lines[Math.min(line + 2, to - 1)] as number
    const l3 = lines[Math.min(line + 3, to - 1)] as number
    for (let k = 0; k < terms.length; k++, p += width) {
      const term = terms[k] as number
      panels[p] = data[l0 + term] as number
      panels[p + 1] = data[l1 + term] as number
      panels[p + 2] = data[l2 + term] as number
      if (width === 4) panels[p + 3] = data[l3 + term] as number
    }
  }
}

/** tile = the product of the panel of a at ai and the panel of b at bi */
function multiply(ai: number, bi: number, K: number): void {
  const a = panelsOfA
  const b = panelsOfB
  let c00 = 0
  let c01 = 0
  let c02 = 0
  let c10 = 0
  let c11 = 0
  let c12 = 0
  let c20 = 0
  let c21 = 0
  let c22 = 0
  let c30 = 0
  let c31 = 0
  let c32 = 0
  for (const end = ai + tileRows * K; ai < end; ai += tileRows, bi += tileColumns) {
    const b0 = b[bi] as number
    const b1 = b[bi + 1] as number
    const b2 = b[bi + 2] as number
    const a0 = a[ai] as number
    c00 += a0 * b0
    c01 += a0 * b1
    c02 += a0 * b2
    const a1 = a[ai + 1] as number
    c10 += a1 * b0
    c11 += a1 * b1
    c12 += a1 * b2
    const a2 = a[ai + 2] as number
    c20 += a2 * b0
    c21 += a2 * b1
    c22 += a2 * b2
    const a3 = a[ai + 3] as number
    c30 += a3 * b0
    c31 += a3 * b1
    c32 += a3 * b2
  }
  tile[0] = c00
  tile[1] = c01
  tile[2] = c02
  tile[3] = c10
  tile[4] = c11
  tile[5] = c12
  tile[6] = c20
  tile[7] = c21
  tile[8] = c22
  tile[9] = c30
  tile[10] = c31
  tile[11] = c32
}

/** Stores `height` rows of the tile in c, from row i and column j on, up to the edge of c. */
function store(c: Matrix, i: number, height: number, j: number, initial: Matrix | null): void {
  const { data, rows, cols } = c
  const width = Math.min(cols.length - j, tileColumns)
  for (let y = 0; y < height; y++) {
    const row = rows[i + y] as number
    if (initial === null) {
      for (let x = 0; x < width; x++) data[row + (cols[j + x] as number)] = tile[y * tileColumns + x] as number
    } else {
      const from = initial.rows[i + y] as number
      for (let x = 0; x < width; x++) {
        const before = initial.data[from + (initial.cols[j + x] as number)] as number
        data[row + (cols[j + x] as number)] = before + (tile[y * tileColumns + x] as number)
      }
    }
  }
}

/**
 * The tile's first row = the packed row of a times columns of b from j on, read in place. Past the last column, that
 * column repeats.
 */
function multiplyInPlace({ data, rows, cols }: Matrix, j: number): void {
  const last = cols.length - 1
  const j0 = cols[j] as number
  const j1 = cols[Math.min(j + 1, last)] as number
  const j2 = cols[Math.min(j + 2, last)] as number
  let c0 = 0
  let c1 = 0
  let c2 = 0
  for (let k = 0; k < rows.length; k++) {
    const factor = panelsOfA[k] as number
    const row = rows[k] as number
    c0 += factor * (data[row + j0] as number)
    c1 += factor * (data[row + j1] as number)
    c2 += factor * (data[row + j2] as number)
  }
  tile[0] = c0
  tile[1] = c1
  tile[2] = c2
}

/** The product for few rows. It reads b in place, because packing b would take as long as multiplying by it. */
function gemmOfFewRows(c: Matrix, a: Matrix, b: Matrix, initial: Matrix | null): void {
  const K = a.cols.length
  const N = c.cols.length
  for (let i = 0; i < c.rows.length; i++) {
    for (let k = 0; k < K; k++) panelsOfA[k] = a.data[(a.rows[i] as number) + (a.cols[k] as number)] as number
    for (let j = 0; j < N; j += tileColumns) {
      multiplyInPlace(b, j)
      store(c, i, 1, j, initial)
    }
  }
}

function gemmOfBlocks(c: Matrix, a: Matrix, b: Matrix, initial: Matrix | null): void {
  const M = c.rows.length
  const N = c.cols.length
  const K = a.cols.length
  const mc = linesIn(panelsOfA, K, tileRows)
  const nc = linesIn(panelsOfB, K, tileColumns)
  for (let n0 = 0; n0 < N; n0 += nc) {
    const n1 = Math.min(n0 + nc, N)
    pack(panelsOfB, tileColumns, b.data, b.cols, n0, n1, b.rows)
    for (let m0 = 0; m0 < M; m0 += mc) {
      const m1 = Math.min(m0 + mc, M)
      pack(panelsOfA, tileRows, a.data, a.rows, m0, m1, a.cols)
      for (let j = n0; j < n1; j += tileColumns) {
        for (let i = m0; i < m1; i += tileRows) {
          multiply((i - m0) * K, (j - n0) * K, K)
          store(c, i, Math.min(m1 - i, tileRows), j, initial)
        }
      }
    }
  }
}

/** The product for many terms: parts are summed in float64 before c is written. */
function gemmInParts(c: Matrix, a: Matrix, b: Matrix, initial: Matrix | null): void {
  const M = c.rows.length
  const N = c.cols.length
  const total = { data: new Float64Array(M * N), rows: spaced(M, N), cols: spaced(N, 1) }
  for (let k = 0; k < a.cols.length; k += mostTerms) {
    const left = { data: a.data, rows: a.rows, cols: a.cols.slice(k, k + mostTerms) }
    const right = { data: b.data, rows: b.rows.slice(k, k + mostTerms), cols: b.cols }
    gemm(total, left, right, total)
  }
  for (const [i, row] of c.rows.entries()) {
    for (const [j, column] of c.cols.entries()) {
      const before = initial ? (initial.data[(initial.rows[i] as number) + (initial.cols[j] as number)] as number) : 0
      c.data[row + column] = before + (total.data[i * N + j] as number)
    }
  }
}

function transposed({ data, rows, cols }: Matrix): Matrix {
  return { data, rows: cols, cols: rows }
}

/** c = initial + a b; `initial` may be c itself. */
export function gemm(c: Matrix, a: Matrix, b: Matrix, initial: Matrix | null = null): void {
  if (a.cols.length > mostTerms) gemmInParts(c, a, b, initial)
  else if (c.rows.length < tileRows) gemmOfFewRows(c, a, b, initial)
  else if (c.cols.length < tileColumns)
    gemmOfFewRows(transposed(c), transposed(b), transposed(a), initial && transposed(initial))
  else gemmOfBlocks(c, a, b, initial)
}

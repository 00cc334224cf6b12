import { describe, expect, it } from 'vitest'
import { largestSingular } from '../../lib/finetune/svd.js'

/** U diag(s) V^T with sines, whose rows are orthogonal, so that the singular values of the matrix are known. */
function matrix(m: number, n: number, s: readonly number[]): Float64Array {
  const basis = (size: number, k: number) =>
    Float64Array.from(
      { length: size },
      (_, i) => Math.sqrt(2 / (size + 1)) * Math.sin((Math.PI * (i + 1) * (k + 1)) / (size + 1)),
    )
  const a = new Float64Array(m * n)
  s.forEach((value, k) => {
    const [u, v] = [basis(m, k), basis(n, k)]
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) a[i * n + j] = (a[i * n + j] as number) + value * (u[i] as number) * (v[j] as number)
  })
  return a
}

function check(m: number, n: number, s: readonly number[], count: number): void {
  const found = largestSingular(matrix(m, n, s), m, n, count)
  const wanted = Array.from({ length: count }, (_, i) => [...s].sort((a, b) => b - a)[i] ?? 0)
  found.s.forEach((value, i) => void expect(Math.abs(value - (wanted[i] as number))).toBeLessThan(1e-8))
  // If the next value is smaller, the vectors of these values make the matrix of these values alone.
  const product = new Float64Array(m * n)
  found.s.forEach((value, k) => {
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++)
        product[i * n + j] =
          (product[i * n + j] as number) +
          value * ((found.u[k] as Float64Array)[i] as number) * ((found.v[k] as Float64Array)[j] as number)
  })
  const cut = s.map((value) => (value >= (wanted.at(-1) as number) ? value : 0))
  matrix(m, n, cut).forEach((value, i) => void expect(Math.abs(value - (product[i] as number))).toBeLessThan(1e-7))
}

describe('singular values', () => {
  it('are those that the matrix was made of, in every order', () => {
    check(6, 4, [3, 2, 1, 0.5], 2)
    check(4, 6, [0.5, 3, 1, 2], 3)
    check(5, 5, [5, 4, 3, 2, 1], 5)
    check(
      60,
      90,
      Array.from({ length: 60 }, (_, i) => 1 + 0.9 ** ((i * 7) % 60)),
      7,
    )
    check(
      90,
      60,
      Array.from({ length: 60 }, (_, i) => 0.9 ** i),
      1,
    )
  })

  it('may be equal, or fewer than asked for', () => {
    check(8, 8, new Array<number>(8).fill(2), 8)
    check(30, 20, [3, 2], 4)
    check(3, 3, [], 2)
    expect(largestSingular([0, 0], 1, 2, 1)).toEqual({
      u: [new Float64Array(1)],
      s: [0],
      v: [new Float64Array(2)],
    })
    check(1, 1, [7], 1)
  })
})

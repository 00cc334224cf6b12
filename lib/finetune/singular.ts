/** Two factors of a matrix from its largest singular values: the best product of that rank. */
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray } from '../ops/creation.js'
import { largestSingular } from './svd.js'

/**
 * a [rank, n] and b [m, rank], whose product b a is the best approximation of a matrix [m, n]. `share` is the power of
 * each singular value that goes into a; the rest goes into b. They are on the matrix's device, in float32, or in
 * float64 if the matrix is.
 */
export function bestFactors(matrix: Tensor, rank: number, share: number): readonly [a: Tensor, b: Tensor] {
  const [m, n] = matrix.sizes as readonly [number, number]
  const dtype = matrix.dtype === 'float64' ? 'float64' : 'float32'
  const values = castTo(matrix.detach(), dtype).dataSync() as Float32Array | Float64Array
  const { u, s, v } = largestSingular(values, m, n, Math.min(rank, m, n))
  const make = (size: number) => (dtype === 'float64' ? new Float64Array(size) : new Float32Array(size))
  const [a, b] = [make(rank * n), make(m * rank)]
  s.forEach((value, k) => {
    const [inA, inB] = [value ** share, value ** (1 - share)]
    ;(v[k] as Float64Array).forEach((each, j) => void (a[k * n + j] = inA * each))
    ;(u[k] as Float64Array).forEach((each, i) => void (b[i * rank + k] = inB * each))
  })
  const { device } = matrix
  return [fromTypedArray(a, [rank, n], { device }), fromTypedArray(b, [m, rank], { device })]
}

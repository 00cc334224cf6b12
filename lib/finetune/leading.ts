/**
 * Two factors of a matrix by QR decomposition: orthonormal directions of its first columns, and the coordinates of all
 * columns in them.
 */
import type { Tensor } from '../core/tensor.js'
import { castTo } from '../ops/convert.js'
import { fromTypedArray } from '../ops/creation.js'
import { addTo, dot, orthogonalise } from './svd.js'

/**
 * a [rank, n], the first rows of R, and b [m, rank], the first columns of Q, of a matrix [m, n]. A column that depends
 * on the ones before it gives zeros. They are on the matrix's device, in float32, or in float64 if the matrix is.
 */
export function leadingFactors(matrix: Tensor, rank: number): readonly [a: Tensor, b: Tensor] {
  const [m, n] = matrix.sizes as readonly [number, number]
  const dtype = matrix.dtype === 'float64' ? 'float64' : 'float32'
  const values = castTo(matrix.detach(), dtype).dataSync() as Float32Array | Float64Array
  const directions: Float64Array[] = []
  for (let k = 0; k < rank; k++) {
    const column = Float64Array.from({ length: m }, (_, i) => values[i * n + k] as number)
    const before = Math.sqrt(dot(column, column))
    const left = orthogonalise(column, directions)
    const length = Math.sqrt(dot(left, left))
    directions.push(left.map((value) => (length > 1e-10 * before ? value / length : 0)))
  }
  const make = (size: number) => (dtype === 'float64' ? new Float64Array(size) : new Float32Array(size))
  const [a, b] = [make(rank * n), make(m * rank)]
  directions.forEach((direction, k) => {
    const row = new Float64Array(n)
    direction.forEach((share, i) => {
      addTo(row, values.subarray(i * n, i * n + n), share)
      b[i * rank + k] = share
    })
    a.set(row, k * n)
  })
  const { device } = matrix
  return [fromTypedArray(a, [rank, n], { device }), fromTypedArray(b, [m, rank], { device })]
}

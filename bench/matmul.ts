import { matmul } from 'firesteel'
import { type Builder, operator, size } from './work.js'

/** a [m, k] times b [k, n] */
export const matmulWork: Builder = (w, make) => {
  const [m, n, k] = [size(w, 'm'), size(w, 'n'), size(w, 'k')]
  const a = make.floats([m, k])
  const b = make.floats([k, n])
  return operator(() => matmul(a, b), [], { reduces: k, operations: 2 * m * n * k })
}

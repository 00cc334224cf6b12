import { einsum, matmul } from 'firesteel'
import { type Builder, operator, size } from './work.js'

/** a [m, k] times b [k, n], in float32 or bfloat16. Sums are float32 in both. */
export const matmulWork: Builder = (w, make) => {
  const [m, n, k] = [size(w, 'm'), size(w, 'n'), size(w, 'k')]
  const input = (shape: readonly number[]) => make.floats(shape).to(w.dtype === 'bf16' ? 'bfloat16' : 'float32')
  const [a, b] = [input([m, k]), input([k, n])]
  return operator(() => matmul(a, b), [], { reduces: k, operations: 2 * m * n * k })
}

/**
 * The scores of attention as an equation: queries and keys [b, t, h, d], as projections leave them, -> [b, h, t, t].
 */
export const einsumWork: Builder = (w, make) => {
  const [b, t, h, d] = [size(w, 'b'), size(w, 't'), size(w, 'h'), size(w, 'd')]
  const [q, k] = [make.floats([b, t, h, d]), make.floats([b, t, h, d])]
  return operator(() => einsum('bqhd,bkhd->bhqk', q, k), [], { reduces: d, operations: 2 * b * h * t * t * d })
}

/** The rows of matrix products. */
import { countOf } from '../../core/shape.js'
import { row, size } from './grammar.js'

export const matmul = {
  /**
   * out[.., M, N] = a[.., M, K] b[.., K, N] (+ bias[N]); a and b have out's rank, batch dimensions broadcast by stride
   * 0. Sums are float32 or wider, whatever the dtypes. b may be blocks, which are read without a decoded copy.
   */
  matmul: row(
    { out: 'out float', a: 'strided float', b: 'strided weight', bias: 'in? float' },
    {
      precision: 'low',
      multiplyAdds: ({ out, a }) => countOf(out.sizes) * size(a.sizes, -1),
    },
  ),

  /**
   * out is flat. It holds the products a b (+ bias) for each b, one after the other, with the bits of matmul: a [M, K],
   * each b [K, N], and either no bias or one [N] for each b
   */
  matmul_each: row(
    { out: 'out float', a: 'strided float', b: 'strided[] weight', biases: 'in[] float' },
    {
      calledAs: 'linear',
      precision: 'low',
      optional: true,
      multiplyAdds: ({ out, a }) => countOf(out.sizes) * size(a.sizes, -1),
    },
  ),

  /** sum += a b, for gradients; shapes as in matmul */
  matmul_accumulate: row(
    { sum: 'inout float32', a: 'strided float', b: 'strided weight' },
    {
      multiplyAdds: ({ sum, a }) => countOf(sum.sizes) * size(a.sizes, -1),
    },
  ),
} as const

/**
 * The rows of convolution: NCHW images, OIHW weights. They allow only float32, because the kernels take nothing else.
 */
import type { StridedView } from '../../core/device.js'
import { countOf } from '../../core/shape.js'
import { float, row, size } from './grammar.js'

/** Options of the two spatial dimensions, height first; padding is the zeros on each side. */
const options = { stride: 'integers', padding: 'integers', dilation: 'integers', groups: 'integer' } as const

/** The products of an output element: weight is OIHW. */
const products = ({ sizes }: StridedView): number => size(sizes, 1) * size(sizes, 2) * size(sizes, 3)

export const conv = {
  /** relu: negative sums become 0, as the kernel relu has it */
  conv2d_forward: row(
    { out: 'out T', x: 'in T', weight: 'in T', bias: 'in? T', ...options, relu: 'flag' },
    {
      calledAs: 'conv2d',
      T: float,
      precision: 'float32',
      multiplyAdds: ({ out, weight }) => countOf(out.sizes) * products(weight),
    },
  ),
  conv2d_input_gradient: row(
    { dx: 'out T', dy: 'in T', weight: 'in T', ...options },
    {
      calledAs: 'conv2d backward',
      T: float,
      precision: 'float32',
      multiplyAdds: ({ dy, weight }) => countOf(dy.sizes) * products(weight),
    },
  ),
  conv2d_weight_gradient: row(
    { dweight: 'out T', dy: 'in T', x: 'in T', ...options },
    {
      calledAs: 'conv2d backward',
      T: float,
      precision: 'float32',
      multiplyAdds: ({ dy, dweight }) => countOf(dy.sizes) * products(dweight),
    },
  ),
} as const

/** The gamma function's logarithm, and its derivatives. */

import { apply, type Operator } from '../../autograd/operator.js'
import type { DType } from '../../core/dtype.js'
import { shown, ValueError } from '../../core/errors.js'
import { defineMethods } from '../../core/methods.js'
import type { Shape } from '../../core/shape.js'
import type { Tensor } from '../../core/tensor.js'
import { like } from '../common.js'
import { kernel, operator } from '../operator.js'
import { mul } from './arithmetic.js'
import { simple } from './unary.js'

/** log |gamma(x)|; infinite at 0, at negative integers and at infinities. */
export const lgamma = simple('lgamma', 'x', (g, x) => mul(g, digamma(x)))
/** The derivative of lgamma. Infinite at 0, with the sign opposite to the zero's; NaN at negative integers. */
export const digamma = simple('digamma', 'x', (g, x) => mul(g, polygamma(1, x)))

/** The largest number up to which float32, in which kernels take numbers, has all integers. */
const mostOrder = 2 ** 24

const record: Operator<[x: Tensor], number> = operator<[x: Tensor], number>({
  name: 'polygamma',
  infer: (inputs) => like(inputs[0]),
  forward: kernel('polygamma', (inputs, order, { out }) => ({ out, x: inputs[0], order })),
  gradient: {
    saves: () => ({ inputs: [0] }),
    backward: (ctx, [g]) => [mul(g, apply(record, [ctx.input(0)], ctx.attrs + 1))],
  },
})

/**
 * The nth derivative of digamma, with n = 0 for digamma itself. The others are infinite at 0 and at negative integers.
 * Throws ValueError unless n is an integer from 0 to 2^24.
 */
export function polygamma<S extends Shape, D extends DType>(n: number, x: Tensor<S, D>): Tensor<S, D>
export function polygamma(n: number, x: Tensor): Tensor {
  if (!Number.isSafeInteger(n) || n < 0 || n > mostOrder)
    throw new ValueError('polygamma', `n is ${shown(n)}, but must be an integer from 0 to ${mostOrder}`)
  return n === 0 ? digamma(x) : apply(record, [x], n)
}

declare module '../../core/tensor.js' {
  interface Tensor<S extends Shape = Shape, D extends DType = DType> {
    lgamma(): Tensor<S, D>
    digamma(): Tensor<S, D>
    polygamma(n: number): Tensor<S, D>
  }
}

defineMethods({
  lgamma() {
    return lgamma(this)
  },
  digamma() {
    return digamma(this)
  },
  polygamma(n: number) {
    return polygamma(n, this)
  },
})

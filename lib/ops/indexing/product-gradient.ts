/** The gradient of products of scattered factors, some of which may be 0. */
import { isGradEnabled } from '../../autograd/mode.js'
import type { Tensor } from '../../core/tensor.js'
import { arange, full } from '../creation.js'
import { div, eq, logicalAnd, mul, where } from '../elementwise/index.js'
import { expand, reshape } from '../shape/index.js'
import { gather } from './gather.js'

/** A reduction of factors into the products, or of int32 into their extremes, by the index of the call. */
export interface Scattered {
  product(self: Tensor, factors: Tensor): Tensor
  least(self: Tensor, places: Tensor): Tensor
  largest(self: Tensor, places: Tensor): Tensor
}

/**
 * The gradients of x and src. That of each factor is the product of the others: the quotient of the result by the
 * factor, or for a zero the product of the rest. A NaN among the others stays one, even beside a zero.
 */
export function productGradient(
  g: Tensor,
  [x, index, src]: readonly [Tensor, Tensor, Tensor],
  out: Tensor,
  dim: number,
  scattered: Scattered,
): [Tensor, null, Tensor] {
  const isZero = eq(src, 0)
  const [first, last] = endsOf(isZero, [x, index], dim, scattered)
  const mine = div(mul(g, scattered.product(where(eq(x, 0), 1, x), src)), where(eq(x, 0), 1, x))
  const withoutOne = (one: Tensor) => gather(mul(g, scattered.product(x, where(one, 1, src))), dim, index)
  const quotients = div(gather(mul(g, out), dim, index), where(isZero, 1, src))
  const theirs = where(first, withoutOne(first), quotients)
  // Two zeros of one product have gradients of 0, whose own derivatives are not 0. Only a recorded pass needs them. Of
  // three zeros, each second derivative is 0.
  return [mine, null, isGradEnabled() ? where(last, withoutOne(last), theirs) : theirs]
}

/** Whether each element is the first zero of its product, and whether it is the last. */
function endsOf(
  isZero: Tensor,
  [x, index]: readonly [Tensor, Tensor],
  dim: number,
  scattered: Scattered,
): readonly [first: Tensor, last: Tensor] {
  const { device, sizes } = isZero
  const line = sizes.map((size, d) => (d === dim ? size : 1))
  const place = expand(reshape(arange(sizes[dim] ?? 1, undefined, 1, { device }), line), sizes)
  const end = (outside: number, extreme: Scattered['least']) => {
    const self = expand(full([], outside, { dtype: 'int32', device }), x.sizes)
    const found = extreme(self, where(isZero, place, outside))
    return logicalAnd(isZero, eq(place, gather(found, dim, index)))
  }
  return [end(2 ** 31 - 1, scattered.least), end(-1, scattered.largest)]
}

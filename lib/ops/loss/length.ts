/** Lengths of vectors along the last dimension. */
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { abs, clamp, div, eq, ne, pow, sqrt, square, where } from '../elementwise/index.js'
import { amax, sum } from '../reduce/index.js'

/** The p-norm along the last dimension; its gradient at 0 is 0. */
export function normOf(x: Tensor, p: number, keepdim: boolean): Tensor {
  const options = { keepdim }
  const size = abs(x)
  if (p === 0) return sum(castTo(ne(x, 0), x.dtype), -1, options)
  if (p === 1) return sum(size, -1, options)
  if (p === Number.POSITIVE_INFINITY) return amax(size, -1, options)
  const total = sum(p === 2 ? square(x) : pow(size, p), -1, options)
  const none = eq(total, 0)
  const safe = where(none, 1, total)
  return where(none, 0, p === 2 ? sqrt(safe) : pow(safe, 1 / p))
}

/** Vectors divided by their length, or by 1e-12 if they are shorter, as in PyTorch. */
export function unit(x: Tensor): Tensor {
  return div(x, clamp(normOf(x, 2, true), 1e-12))
}

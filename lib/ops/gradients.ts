/**
 * Hands autograd, which knows no operators, the few that a backward pass itself needs. Every module that can start a
 * backward pass imports this.
 */
import { setGradientArithmetic } from '../autograd/arithmetic.js'
import { noGrad } from '../autograd/mode.js'
import type { Tensor } from '../core/tensor.js'
import { castTo, convert } from './convert.js'
import { full } from './creation.js'
import { add } from './elementwise/index.js'
import { accumulate, copyInto } from './inplace.js'
import { clone } from './shape/index.js'
import { alias } from './views.js'

/** Sums of float16 are computed in float32, because no kernel computes with float16. */
function sumOf(a: Tensor, b: Tensor): Tensor {
  return a.dtype === 'float16' ? castTo(add(castTo(a, 'float32'), castTo(b, 'float32')), 'float16') : add(a, b)
}

function accumulateInto(into: Tensor, gradient: Tensor): void {
  if (into.dtype !== 'float16') accumulate(into, gradient)
  else noGrad(() => copyInto(into, sumOf(into, gradient), 'gradient accumulation'))
}

setGradientArithmetic({
  add: sumOf,
  accumulate: accumulateInto,
  clone,
  alias,
  ones: ({ sizes, dtype, device }) => full(sizes, 1, { dtype, device }),
  convert,
})

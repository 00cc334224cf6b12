/** Hands the few operators that a backward pass needs itself to autograd, which knows none. Imported by whatever can start one. */
import { setGradientArithmetic } from '../autograd/arithmetic.js'
import { noGrad } from '../autograd/mode.js'
import type { Tensor } from '../core/tensor.js'
import { castTo, convert } from './convert.js'
import { full } from './creation.js'
import { add } from './elementwise/index.js'
import { accumulate, copyInto } from './inplace.js'
import { clone } from './shape/index.js'
import { alias } from './views.js'

/** float16 is stored, but no kernel computes with it: its sums are made in float32. */
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

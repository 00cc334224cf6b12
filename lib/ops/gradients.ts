/** Hands the few operators that a backward pass needs itself to autograd, which knows none. Imported by whatever can start one. */
import { setGradientArithmetic } from '../autograd/arithmetic.js'
import { convert } from './convert.js'
import { full } from './creation.js'
import { add } from './elementwise/index.js'
import { accumulate } from './inplace.js'
import { clone } from './shape/index.js'
import { alias } from './views.js'

setGradientArithmetic({
  add: (a, b) => add(a, b),
  accumulate,
  clone,
  alias,
  ones: ({ sizes, dtype, device }) => full(sizes, 1, { dtype, device }),
  convert,
})

import { nn, type Tensor } from 'firesteel'
import { type Builder, flag, operator, size } from './work.js'

/** GELU (tanh form) of x [rows, cols]. */
export const geluWork: Builder = (w, make) => {
  const [rows, cols] = [size(w, 'rows'), size(w, 'cols')]
  const x = make.floats([rows, cols], 1, flag(w, 'backward', true))
  return operator(() => nn.functional.gelu(x, { approximate: 'tanh' }), [x], {
    reduces: 1,
    operations: 40 * rows * cols,
  })
}

/**
 * Many sums of two small tensors, one after another, which measure the cost of a call. There is no scope, because the
 * garbage collector is to free them.
 */
export const addTinyWork: Builder = (w, make) => {
  const [count, calls] = [size(w, 'size'), size(w, 'calls')]
  const a: Tensor = make.floats([count])
  const b: Tensor = make.floats([count])
  const run = (): Tensor => {
    let out = a
    for (let i = 0; i < calls; i++) out = a.add(b)
    return out
  }
  return { ...operator(run, [], { reduces: 1, operations: 1000 * calls }), run }
}

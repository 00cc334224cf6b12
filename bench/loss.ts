import { nn } from 'firesteel'
import { type Builder, flag, operator, size } from './work.js'

/** The mean cross entropy of logits [rows, cols]. */
export const crossEntropyWork: Builder = (w, make) => {
  const [rows, cols] = [size(w, 'rows'), size(w, 'cols')]
  const x = make.floats([rows, cols], 1, flag(w, 'backward', true))
  const y = make.ints(cols, [rows])
  return operator(() => nn.functional.crossEntropy(x, y), [x], {
    reduces: cols + rows,
    operations: 40 * rows * cols,
  })
}

import { lt, nn, where } from 'firesteel'
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

/**
 * The mean cross entropy of the logits of a linear layer, x [rows, d] and weight [cols, d], for `share` percent of the
 * rows. Masked language models learn 15 percent.
 */
export const linearCrossEntropyWork: Builder = (w, make) => {
  const [rows, cols, d, share] = [size(w, 'rows'), size(w, 'cols'), size(w, 'd'), size(w, 'share', 100)]
  const backward = flag(w, 'backward', true)
  const [x, weight] = [make.floats([rows, d], 1, backward), make.floats([cols, d], 0.02, backward)]
  const counted = lt(make.ints(100, [rows]), share)
  const y = where(counted, make.ints(cols, [rows]), -100)
  return operator(() => nn.functional.linearCrossEntropy(x, weight, y), [x, weight], {
    reduces: Math.max(cols, rows, d),
    operations: (backward ? 6 : 2) * rows * cols * d,
  })
}

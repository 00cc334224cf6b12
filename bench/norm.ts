import { nn } from 'firesteel'
import { type Builder, flag, operator, size } from './work.js'

/** A LayerNorm over the last dimension of x [rows, cols]. */
export const layerNormWork: Builder = (w, make) => {
  const [rows, cols] = [size(w, 'rows'), size(w, 'cols')]
  const x = make.floats([rows, cols], 1, flag(w, 'backward', true))
  const layer = make.parameters(new nn.LayerNorm(cols, { device: make.device }))
  return operator(() => layer.forward(x), [x, ...layer.parameters()], {
    reduces: Math.max(rows, cols),
    operations: 20 * rows * cols,
  })
}

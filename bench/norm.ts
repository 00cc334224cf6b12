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

/** An RMSNorm over the last dimension of x [rows, cols]. */
export const rmsNormWork: Builder = (w, make) => {
  const [rows, cols] = [size(w, 'rows'), size(w, 'cols')]
  const x = make.floats([rows, cols], 1, flag(w, 'backward', true))
  const layer = make.parameters(new nn.RMSNorm(cols, { device: make.device }))
  return operator(() => layer.forward(x), [x, ...layer.parameters()], {
    reduces: Math.max(rows, cols),
    operations: 14 * rows * cols,
  })
}

/** A GroupNorm over x [n, c, h, w]. */
export const groupNormWork: Builder = (w, make) => {
  const [n, c, height, width, groups] = [size(w, 'n'), size(w, 'c'), size(w, 'h'), size(w, 'w'), size(w, 'groups')]
  const x = make.floats([n, c, height, width], 1, flag(w, 'backward', true))
  const layer = make.parameters(new nn.GroupNorm(groups, c, { device: make.device }))
  return operator(() => layer.forward(x), [x, ...layer.parameters()], {
    reduces: Math.max(n, c / groups) * height * width,
    operations: 20 * n * c * height * width,
  })
}

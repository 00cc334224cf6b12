import { nn } from 'firesteel'
import { type Builder, flag, operator, size } from './work.js'

/** A Conv2d over x [n, c, h, w]. */
export const convWork: Builder = (w, make) => {
  const [n, c, height, width, out] = [size(w, 'n'), size(w, 'c'), size(w, 'h'), size(w, 'w'), size(w, 'out')]
  const [kernel, stride, pad] = [size(w, 'kernel'), size(w, 'stride', 1), size(w, 'pad', 0)]
  const groups = size(w, 'groups', 1)
  const backward = flag(w, 'backward', true)
  const dtype = w.dtype === 'bf16' ? 'bfloat16' : 'float32'
  const x = make.floats([n, c, height, width]).to(dtype)
  x.requiresGrad = backward
  const layer = make.parameters(new nn.Conv2d(c, out, kernel, { stride, padding: pad, groups, device: make.device }))
  layer.to(dtype).requiresGrad_(backward)
  const pixels =
    Math.floor((height + 2 * pad - kernel) / stride + 1) * Math.floor((width + 2 * pad - kernel) / stride + 1)
  const depth = (c / groups) * kernel * kernel
  return operator(() => layer.forward(x), [x, ...layer.parameters()], {
    // The gradient of the bias sums over all pixels of the batch.
    reduces: backward ? Math.max(depth, n * pixels) : depth,
    operations: (backward ? 6 : 2) * n * out * pixels * depth,
  })
}

/** A Conv1d over x [n, c, l]. */
export const conv1dWork: Builder = (w, make) => {
  const [n, c, length, out] = [size(w, 'n'), size(w, 'c'), size(w, 'l'), size(w, 'out')]
  const [kernel, stride, pad] = [size(w, 'kernel'), size(w, 'stride', 1), size(w, 'pad', 0)]
  const backward = flag(w, 'backward', true)
  const x = make.floats([n, c, length], 1, backward)
  const layer = make.parameters(new nn.Conv1d(c, out, kernel, { stride, padding: pad, device: make.device }))
  layer.requiresGrad_(backward)
  const places = Math.floor((length + 2 * pad - kernel) / stride + 1)
  const depth = c * kernel
  return operator(() => layer.forward(x), [x, ...layer.parameters()], {
    reduces: backward ? Math.max(depth, n * places) : depth,
    operations: (backward ? 6 : 2) * n * out * places * depth,
  })
}

/** A ConvTranspose2d over x [n, c, h, w]. */
export const convTranspose2dWork: Builder = (w, make) => {
  const [n, c, height, width, out] = [size(w, 'n'), size(w, 'c'), size(w, 'h'), size(w, 'w'), size(w, 'out')]
  const [kernel, stride, pad] = [size(w, 'kernel'), size(w, 'stride', 1), size(w, 'pad', 0)]
  const backward = flag(w, 'backward', true)
  const x = make.floats([n, c, height, width], 1, backward)
  const layer = make.parameters(new nn.ConvTranspose2d(c, out, kernel, { stride, padding: pad, device: make.device }))
  layer.requiresGrad_(backward)
  const pixels = ((height - 1) * stride + kernel - 2 * pad) * ((width - 1) * stride + kernel - 2 * pad)
  const products = n * height * width * c * out * kernel * kernel
  return operator(() => layer.forward(x), [x, ...layer.parameters()], {
    reduces: Math.max(c * kernel * kernel, backward ? Math.max(out * kernel * kernel, n * pixels) : 0),
    operations: (backward ? 6 : 2) * products,
  })
}

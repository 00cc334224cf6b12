import { nn } from 'firesteel'
import { type Builder, flag, operator, size, slowRecurrence } from './work.js'

/** An LSTM of one layer over x [t, b, i]. */
export const lstmWork: Builder = (w, make) => {
  const [t, b, i, hidden] = [size(w, 't'), size(w, 'b'), size(w, 'i'), size(w, 'hidden')]
  const backward = flag(w, 'backward', true)
  const x = make.floats([t, b, i], 1, backward)
  const layer = make.parameters(new nn.LSTM(i, hidden, { device: make.device }))
  layer.requiresGrad_(backward)
  return operator(() => layer.forward(x).output, [x, ...layer.parameters()], {
    reduces: backward ? t * b : i + hidden,
    operations: slowRecurrence * (backward ? 6 : 2) * t * b * 4 * hidden * (i + hidden),
  })
}

import { nn } from 'firesteel'
import { type Builder, flag, operator, size, slowRecurrence } from './work.js'

const layers = { lstm: [nn.LSTM, 4], gru: [nn.GRU, 3], rnn: [nn.RNN, 1] } as const

/** A recurrent layer over x [t, b, i]. */
export const recurrentWork =
  (kind: keyof typeof layers): Builder =>
  (w, make) => {
    const [Layer, gates] = layers[kind]
    const [t, b, i, hidden] = [size(w, 't'), size(w, 'b'), size(w, 'i'), size(w, 'hidden')]
    const backward = flag(w, 'backward', true)
    const x = make.floats([t, b, i], 1, backward)
    const Made: new (i: number, hidden: number, options: nn.RecurrentLayerOptions) => nn.LSTM | nn.GRU | nn.RNN = Layer
    const layer = make.parameters(new Made(i, hidden, { device: make.device }))
    layer.requiresGrad_(backward)
    return operator(() => layer.forward(x).output, [x, ...layer.parameters()], {
      reduces: backward ? t * b : i + hidden,
      operations: slowRecurrence * (backward ? 6 : 2) * t * b * gates * hidden * (i + hidden),
    })
  }

import * as nn from '../../../lib/nn/index.js'
import { type Kinds, module } from './kind.js'

export const kinds: Kinds = {
  lstm: module(
    (given) =>
      new nn.LSTM(given.arg('inputSize'), given.arg('hiddenSize'), {
        numLayers: given.arg('numLayers'),
        bidirectional: given.arg('bidirectional'),
        batchFirst: given.arg('batchFirst'),
      }),
    (m: nn.LSTM, given) => {
      const { output, state } = m.forward(
        given.in('x'),
        given.has('in.h0') ? [given.in('h0'), given.in('c0')] : undefined,
      )
      return [output, ...state]
    },
  ),
}

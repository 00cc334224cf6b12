import type { Tensor } from '../../../lib/core/tensor.js'
import * as nn from '../../../lib/nn/index.js'
import * as f from '../../../lib/ops/index.js'
import type { Given } from '../cases.js'
import { type Kind, type Kinds, largest, module } from './kind.js'

const sizes = (given: Given): [number, number] => [given.arg('inputSize'), given.arg('hiddenSize')]
const cellOptions = (given: Given) => ({ bias: given.option('bias', true) })
const options = (given: Given) => ({
  ...cellOptions(given),
  numLayers: given.option('numLayers', 1),
  bidirectional: given.option('bidirectional', false),
  batchFirst: given.option('batchFirst', false),
})
const nonlinearity = (given: Given) => given.option<'tanh' | 'relu'>('nonlinearity', 'tanh')

/** A layer whose state is a single tensor. */
const layer = (make: (given: Given) => nn.GRU | nn.RNN): Kind =>
  module(make, (m: nn.GRU | nn.RNN, given) => {
    const { output, state } = m.forward(given.in('x'), given.has('in.h0') ? given.in('h0') : undefined, {
      lengths: given.option('lengths', undefined),
    })
    return [output, state]
  })

const functions = f as unknown as { readonly [name: string]: (x: Tensor) => Tensor }

/** h = f(x Whx^T + h Whh^T + bh), y = g(h Wyh^T + by), with f and g given by name. */
const elman: Kind = {
  run(given) {
    const names = ['whx', 'whh', 'bh', 'wyh', 'by'] as const
    const parameters = new Map(names.map((name) => [name, given.tensor(`param.${name}`)]))
    const [whx, whh, bh, wyh, by] = names.map((name) => parameters.get(name) as Tensor) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ]
    const [ofState, ofOutput] = [functions[given.arg<string>('f')], functions[given.arg<string>('g')]]
    if (ofState === undefined || ofOutput === undefined) throw new Error('f or g is not a function of one tensor')
    const x = given.in('x')
    const { output, state } = f.recurrent(
      (part, h) => {
        const next = ofState(f.add(f.linear(part, whx, bh), f.linear(h, whh)))
        return { output: ofOutput(f.linear(next, wyh, by)), state: next }
      },
      x,
      {
        batchFirst: true,
        initial: f.zeros([x.shape[0] ?? 0, whh.shape[0] ?? 0], { dtype: x.dtype, device: x.device }),
      },
    )
    return { outputs: [output, state], parameters }
  },
  reduces: largest,
}

export const kinds: Kinds = {
  lstm: module(
    (given) => new nn.LSTM(...sizes(given), { ...options(given), projSize: given.option('projSize', 0) }),
    (m: nn.LSTM, given) => {
      const initial = given.has('in.h0') ? ([given.in('h0'), given.in('c0')] as const) : undefined
      const { output, state } = m.forward(given.in('x'), initial, { lengths: given.option('lengths', undefined) })
      return [output, ...state]
    },
  ),
  gru: layer((given) => new nn.GRU(...sizes(given), options(given))),
  rnn: layer((given) => new nn.RNN(...sizes(given), { ...options(given), nonlinearity: nonlinearity(given) })),
  lstmCell: module(
    (given) => new nn.LSTMCell(...sizes(given), cellOptions(given)),
    (m: nn.LSTMCell, given) => m.forward(given.in('x'), [given.in('h'), given.in('c')]),
  ),
  gruCell: module(
    (given) => new nn.GRUCell(...sizes(given), cellOptions(given)),
    (m: nn.GRUCell, given) => m.forward(given.in('x'), given.in('h')),
  ),
  rnnCell: module(
    (given) => new nn.RNNCell(...sizes(given), { ...cellOptions(given), nonlinearity: nonlinearity(given) }),
    (m: nn.RNNCell, given) => m.forward(given.in('x'), given.in('h')),
  ),
  recurrent: elman,
}

/** Sound calls of recurrent layers, of cells, and of the layer that runs a cell over a sequence. */
import * as f from '../../lib/index.js'
import { layer, type PublicCall, t } from './sound.js'

const layerOptions = { numLayers: 2, bias: true, batchFirst: false, dropout: 0, bidirectional: false }

export const layers: readonly PublicCall[] = [
  ...layer<ConstructorParameters<typeof f.nn.LSTM>>(
    'LSTM',
    f.nn.LSTM,
    () => [4, 3, { ...layerOptions, projSize: 2 }],
    () => [t(3, 2, 4), [t(2, 2, 2), t(2, 2, 3)], { lengths: [3, 1] }],
    'lstm',
  ),
  ...layer<ConstructorParameters<typeof f.nn.GRU>>(
    'GRU',
    f.nn.GRU,
    () => [4, 3, layerOptions],
    () => [t(3, 2, 4), t(2, 2, 3), { lengths: [3, 1] }],
    'gru',
  ),
  ...layer<ConstructorParameters<typeof f.nn.RNN>>(
    'RNN',
    f.nn.RNN,
    () => [4, 3, { ...layerOptions, nonlinearity: 'relu' as const }],
    () => [t(3, 2, 4), t(2, 2, 3), { lengths: [3, 1] }],
    'rnn',
  ),
  ...layer<ConstructorParameters<typeof f.nn.LSTMCell>>(
    'LSTMCell',
    f.nn.LSTMCell,
    () => [4, 3, { bias: true }],
    () => [t(2, 4), [t(2, 3), t(2, 3)]],
    'lstmCell',
  ),
  ...layer<ConstructorParameters<typeof f.nn.GRUCell>>(
    'GRUCell',
    f.nn.GRUCell,
    () => [4, 3, { bias: true }],
    () => [t(2, 4), t(2, 3)],
    'gruCell',
  ),
  ...layer<ConstructorParameters<typeof f.nn.RNNCell>>(
    'RNNCell',
    f.nn.RNNCell,
    () => [4, 3, { bias: true, nonlinearity: 'relu' as const }],
    () => [t(2, 4), t(2, 3)],
    'rnnCell',
  ),
  ...layer<ConstructorParameters<typeof f.nn.Recurrent<f.Tensor>>>(
    'Recurrent',
    f.nn.Recurrent<f.Tensor>,
    () => [new f.nn.GRUCell(4, 3), { batchFirst: false, reverse: true, truncate: 2 }],
    () => [t(3, 2, 4), t(2, 3), { lengths: [3, 1] }],
    'recurrent',
    'gruCell',
    'GRUCell',
  ),
]

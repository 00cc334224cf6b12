/** Sound calls of layers and initialisers. */
import * as f from '../../lib/index.js'
import { families } from '../cases/index.js'
import { type PublicCall, t } from '../cases/sound.js'
import { collector } from './collect.js'

const { nn } = f
const { init } = nn
const { entries, add, make } = collector()

// Layers: their constructors, and their forward passes.
for (const name of ['ReLU', 'Sigmoid', 'Tanh', 'SiLU', 'Mish', 'Hardswish', 'Identity'] as const)
  make(name, nn[name], () => [])
make('GELU', nn.GELU, () => [{ approximate: 'tanh' }])
make('Softplus', nn.Softplus, () => [{ beta: 2, threshold: 20 }])
make('ELU', nn.ELU, () => [{ alpha: 1 }])
make('LeakyReLU', nn.LeakyReLU, () => [{ negativeSlope: 0.1 }])
make('Softmax', nn.Softmax, () => [1])
make('LogSoftmax', nn.LogSoftmax, () => [1])
make('Flatten', nn.Flatten, () => [1, -1])
make('AvgPool2d', nn.AvgPool2d, () => [2, { stride: 1, padding: 1 }])
make('BatchNorm1d', nn.BatchNorm1d, () => [3, { momentum: 0.1, eps: 1e-3, affine: false, trackRunningStats: true }])
make('TransformerEncoderLayer', nn.TransformerEncoderLayer, () => [
  4,
  2,
  {
    dimFeedforward: 8,
    dropout: 0,
    bias: false,
    activation: 'gelu',
    normFirst: true,
    layerNormEps: 1e-3,
    batchFirst: false,
  },
])
make('ModuleList', nn.ModuleList, () => [[new nn.Linear(2, 2)]])
make('ModuleDict', nn.ModuleDict, () => [{ a: new nn.Linear(2, 2) }])
make('ParameterList', nn.ParameterList, () => [[new nn.Parameter(t(2))]])
make('ParameterDict', nn.ParameterDict, () => [{ a: new nn.Parameter(t(2)) }])
make('Lambda', nn.Lambda, () => [(x: f.Tensor) => x.mul(2)])
make('Parameter', nn.Parameter, () => [t(2, 3)])
make('Buffer', nn.Buffer, () => [t(2, 3)])

const layers: readonly (readonly [string, () => { forward(...x: never[]): unknown }, () => unknown[], ...string[]])[] =
  [
    ['Linear.forward', () => new nn.Linear(3, 2), () => [t(4, 3)], 'linear'],
    ['Conv2d.forward', () => new nn.Conv2d(2, 3, 2), () => [t(1, 2, 4, 4)], 'conv2d'],
    ['Embedding.forward', () => new nn.Embedding(5, 3), () => [f.randint(0, 5, [4])], 'embedding'],
    ['LayerNorm.forward', () => new nn.LayerNorm(3), () => [t(2, 3)], 'layerNorm'],
    ['BatchNorm1d.forward', () => new nn.BatchNorm1d(3), () => [t(2, 3)], 'batchNorm'],
    ['BatchNorm2d.forward', () => new nn.BatchNorm2d(3), () => [t(2, 3, 2, 2)], 'batchNorm'],
    ['LSTM.forward', () => new nn.LSTM(3, 2), () => [t(4, 1, 3), [t(1, 1, 2), t(1, 1, 2)]], 'lstm'],
    ['MaxPool2d.forward', () => new nn.MaxPool2d(2), () => [t(1, 1, 4, 4)], 'maxPool2d'],
    ['AvgPool2d.forward', () => new nn.AvgPool2d(2), () => [t(1, 1, 4, 4)], 'avgPool2d'],
    [
      'MultiheadAttention.forward',
      () => new nn.MultiheadAttention(4, 2),
      () => [t(1, 3, 4), t(1, 3, 4), t(1, 3, 4), { isCausal: true }],
    ],
    [
      'TransformerEncoderLayer.forward',
      () => new nn.TransformerEncoderLayer(4, 2, { dropout: 0 }),
      () => [t(1, 3, 4), { isCausal: true }],
    ],
    [
      'Sequential.forward',
      () => new nn.Sequential(new nn.Linear(3, 2), new nn.ReLU()),
      () => [t(4, 3)],
      'linear',
      'Linear',
    ],
    ['Dropout.forward', () => new nn.Dropout(0.5), () => [t(4, 3)], 'dropout'],
    ['Flatten.forward', () => new nn.Flatten(), () => [t(4, 3, 2)], 'flatten'],
    ['ReLU.forward', () => new nn.ReLU(), () => [t(4)], 'relu'],
    ['GELU.forward', () => new nn.GELU(), () => [t(4)], 'gelu'],
    ['Softmax.forward', () => new nn.Softmax(1), () => [t(4, 3)], 'softmax'],
  ]
for (const [name, layer, args, ...others] of layers) add(name, (...x) => layer().forward(...x), args, ...others)

for (const { layers = [] } of Object.values(families)) entries.push(...layers)

// Initialisers.
const weight = () => f.zeros([3, 4])
add('uniform_', init.uniform_, () => [weight(), 0, 1, {}])
add('normal_', init.normal_, () => [weight(), 0, 1, {}])
add('constant_', init.constant_, () => [weight(), 2])
add('ones_', init.ones_, () => [weight()])
add('zeros_', init.zeros_, () => [weight()])
add('kaimingUniform_', init.kaimingUniform_, () => [weight(), { a: 1, mode: 'fanOut', nonlinearity: 'relu' }])
add('kaimingNormal_', init.kaimingNormal_, () => [weight(), { a: 1 }])
add('xavierUniform_', init.xavierUniform_, () => [weight(), { gain: 2 }])
add('xavierNormal_', init.xavierNormal_, () => [weight(), { gain: 2 }])
add('truncNormal_', init.truncNormal_, () => [weight(), 1, 0.5, 0, 2, { generator: new f.Generator(3) }])
add('eye_', init.eye_, () => [weight()])
add('dirac_', init.dirac_, () => [t(4, 2, 3), { groups: 2 }])
add('orthogonal_', init.orthogonal_, () => [weight(), 2, { generator: new f.Generator(3) }])
add('sparse_', init.sparse_, () => [weight(), 0.5, 0.1, { generator: new f.Generator(3) }])
add('calculateGain', init.calculateGain, () => ['leakyRelu', 0.1])
add(
  'fans',
  (x) => init.fans('fans', x),
  () => [weight()],
)

export const layerCalls: readonly PublicCall[] = entries

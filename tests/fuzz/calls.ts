/**
 * Sound calls that api.ts makes wrong: those of the families of operators, and calls that no case of an operator can
 * have: new tensors, gradients, methods, layers, optimisers and data.
 */
import * as f from '../../lib/index.js'
import { families } from '../cases/index.js'
import { type PublicCall, sound, t } from '../cases/sound.js'

const entries: PublicCall[] = Object.values(families).flatMap(({ calls }) => calls ?? [])

function add(...given: Parameters<typeof sound>): void {
  entries.push(sound(...given))
}

/** A method of the first argument. */
function addMethod(name: string, call: (...args: never[]) => unknown, args: () => unknown[]): void {
  entries.push({ names: [name], args, call, self: 0 })
}

add('tensor', f.tensor, () => [[1, 2], { requiresGrad: true, device: 'cpu' }])
add('tensor', f.tensor, () => [
  [
    [1, 2],
    [3, 4],
  ],
  { dtype: 'float32' },
])
add('zeros', f.zeros, () => [[2, 3], { dtype: 'int32', device: 'cpu', requiresGrad: false }])
add('ones', f.ones, () => [[2, 3], { device: 'cpu' }])
add('full', f.full, () => [[2, 3], 7, { requiresGrad: true }])
add('arange', f.arange, () => [0, 5, 1, { dtype: 'float32' }])
add('eye', f.eye, () => [3, 3, { dtype: 'int32' }])
add('fromTypedArray', f.fromTypedArray, () => [new Float32Array(6), [2, 3], { device: 'cpu' }])
add('grad', f.grad, () => {
  const x = t(3)
  x.requiresGrad = true
  return [x.square().sum(), [x], { retainGraph: false }]
})
add('backward', f.backward, () => {
  const x = t(3)
  x.requiresGrad = true
  return [x.square(), { gradient: t(3) }]
})
addMethod(
  'to',
  (x: f.Tensor, target: string) => x.to(target),
  () => [t(3), 'int32'],
)
addMethod(
  'copy_',
  (x: f.Tensor, source: f.Tensor) => x.copy_(source),
  () => [t(2, 3), t(3)],
)
addMethod(
  'fill_',
  (x: f.Tensor, value: number) => x.fill_(value),
  () => [t(2, 3), 1],
)
addMethod(
  'item',
  (x: f.Tensor) => x.item(),
  () => [t(1)],
)

const { nn, optim } = f
add(
  'Linear',
  (i, o, options) => new nn.Linear(i, o, options),
  () => [3, 4, { bias: true, device: 'cpu', dtype: 'float32', generator: new f.Generator(3) }],
)
add(
  'Conv2d',
  (i, o, k, options) => new nn.Conv2d(i, o, k, options),
  () => [2, 4, 3, { stride: 1, padding: 1, groups: 2 }],
)
add(
  'LSTM',
  (i, o, options) => new nn.LSTM(i, o, options),
  () => [3, 4, { numLayers: 2, bidirectional: true, bias: false, batchFirst: true, dropout: 0.1 }],
)
add(
  'Embedding',
  (n, d, options) => new nn.Embedding(n, d, options),
  () => [3, 4, { paddingIdx: 0 }],
)
add(
  'LayerNorm',
  (shape, options) => new nn.LayerNorm(shape, options),
  () => [3, { eps: 1e-5 }],
)
add(
  'BatchNorm2d',
  (n, options) => new nn.BatchNorm2d(n, options),
  () => [3, { eps: 1e-5, momentum: 0.1 }],
)
add(
  'Dropout',
  (p, options) => new nn.Dropout(p, options),
  () => [0.5, {}],
)
add(
  'MaxPool2d',
  (k, options) => new nn.MaxPool2d(k, options),
  () => [2, { stride: 2 }],
)
add(
  'MultiheadAttention',
  (e, h, options) => new nn.MultiheadAttention(e, h, options),
  () => [4, 2, { dropout: 0.1, bias: false, batchFirst: false }],
)
add(
  'Sequential',
  (...layers) => new nn.Sequential(...layers),
  () => [new nn.Linear(2, 2), new nn.ReLU()],
)
const parameters = () => new nn.Linear(2, 2).parameters()
add(
  'SGD',
  (p, options) => new optim.SGD(p, options),
  () => [parameters(), { lr: 0.1, momentum: 0.9, weightDecay: 0.1 }],
)
add(
  'Adam',
  (p, options) => new optim.Adam(p, options),
  () => [parameters(), { lr: 0.1, betas: [0.9, 0.99], eps: 1e-8 }],
)
add(
  'AdamW',
  (p, options) => new optim.AdamW(p, options),
  () => [parameters(), { lr: 0.1, weightDecay: 0.1 }],
)
add(
  'clipGradNorm',
  (p, max, options) => optim.clipGradNorm(p, max, options),
  () => [parameters(), 1, { normType: 2 }],
)
add(
  'DataLoader',
  (set, options) => new f.DataLoader(set, options),
  () => [new f.TensorDataset(t(4, 2), t(4)), { batchSize: 2, prefetch: 1 }],
)

export const publicCalls: readonly PublicCall[] = entries

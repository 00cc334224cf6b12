/** A sound call of every public operator, layer and optimiser: what api.ts makes wrong. */
import * as f from '../../lib/index.js'

export interface PublicCall {
  /** What the message of an error must hold. */
  readonly names: readonly string[]
  readonly args: () => unknown[]
  readonly call: (...args: never[]) => unknown
  /** The argument that is a method's tensor, and that no caller could mistake. */
  readonly self?: number
}

/** Tensors on the default device. */
const t = (...shape: number[]) => f.rand(shape)
const ints = (shape: number[], below = 2) => f.randint(0, below, shape)
const bools = (...shape: number[]) =>
  f.fromTypedArray(new Uint8Array(shape.reduce((a, b) => a * b, 1)), shape, { dtype: 'bool' })

const entries: PublicCall[] = []

/** `fn` under its own name and those that it may report besides (the operator that it is made of). */
function add(name: string, call: (...args: never[]) => unknown, args: () => unknown[], ...others: string[]): void {
  entries.push({ names: [name, ...others], args, call })
}

/** A method of the first argument. */
function addMethod(name: string, call: (...args: never[]) => unknown, args: () => unknown[]): void {
  entries.push({ names: [name], args, call, self: 0 })
}

const unary = [
  ...([
    'relu',
    'sigmoid',
    'tanh',
    'silu',
    'mish',
    'hardswish',
    'neg',
    'abs',
    'sign',
    'floor',
    'square',
    'exp',
  ] as const),
  ...(['log', 'log1p', 'sqrt', 'rsqrt', 'reciprocal', 'sin', 'cos', 'erf', 'clone', 'contiguous', 'detach'] as const),
] as const
for (const name of unary) add(name, f[name], () => [t(2, 3)])
const binary = [
  ...(['add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'eq', 'ne', 'lt', 'le', 'gt', 'ge'] as const),
] as const
for (const name of binary) {
  add(name, f[name], () => [t(2, 3), t(3)])
  add(name, f[name], () => [t(2, 3), 2])
}
add('where', f.where, () => [bools(2, 3), t(2, 3), t(2, 3)])
add('clamp', f.clamp, () => [t(2, 3), 0, 1])
add('gelu', f.gelu, () => [t(3), { approximate: 'tanh' }])
add('softplus', f.softplus, () => [t(3), { beta: 1, threshold: 20 }])
add('elu', f.elu, () => [t(3), { alpha: 1 }])
add('leakyRelu', f.leakyRelu, () => [t(3), { negativeSlope: 0.1 }])
for (const name of ['sum', 'mean', 'amax', 'amin', 'logsumexp', 'std'] as const)
  add(name, f[name], () => [t(2, 3), [0, -1], { keepdim: true }], 'variance', 'var', 'sum')
add('var', f.variance, () => [t(2, 3), 1, { correction: 1 }], 'variance')
add('argmax', f.argmax, () => [t(2, 3), 1, { keepdim: true }])
add('argmin', f.argmin, () => [t(2, 3), null])
add('cumsum', f.cumsum, () => [t(2, 3), 1])
add('softmax', f.softmax, () => [t(2, 3), 1])
add('logSoftmax', f.logSoftmax, () => [t(2, 3), 1])
add('matmul', f.matmul, () => [t(2, 3), t(3, 4)])
add('linear', f.linear, () => [t(2, 3), t(4, 3), t(4)])
add('conv2d', f.conv2d, () => [t(1, 2, 5, 5), t(2, 2, 3, 3), t(2), { stride: 1, padding: 1, dilation: 1, groups: 1 }])
add('maxPool2d', f.maxPool2d, () => [t(1, 2, 5, 5), 2, { stride: 2, padding: 1, dilation: 1 }])
add('avgPool2d', f.avgPool2d, () => [t(1, 2, 5, 5), 2, { stride: 2, padding: 1, countIncludePad: false }])
add('layerNorm', f.layerNorm, () => [t(2, 3), [3], t(3), t(3), { eps: 1e-5 }])
add('batchNorm', f.batchNorm, () => [
  t(2, 3),
  t(3),
  t(3),
  { weight: t(3), bias: t(3), training: true, momentum: 0.1, eps: 1e-5 },
])
add(
  'crossEntropy',
  f.crossEntropy,
  () => [t(3, 2), ints([3]), { ignoreIndex: -100, labelSmoothing: 0.1, reduction: 'sum' }],
  'cross_entropy_forward',
)
add('mseLoss', f.mseLoss, () => [t(3), t(3), { reduction: 'mean' }])
add('dropout', f.dropout, () => [t(3), 0.5, { training: true }])
add('embedding', f.embedding, () => [ints([3]), t(2, 4), { paddingIdx: 0 }])
add('gather', f.gather, () => [t(2, 3), 1, ints([2, 2])])
add('indexSelect', f.indexSelect, () => [t(2, 3), 1, ints([2])], 'index_select')
add('lstm', f.lstm, () => [
  t(3, 2, 4),
  [{ wIh: t(12, 4), wHh: t(12, 3), bIh: t(12), bHh: t(12) }],
  { batchFirst: false, bidirectional: false, training: true, dropout: 0, initial: [t(1, 2, 3), t(1, 2, 3)] },
])
add('scaledDotProductAttention', f.scaledDotProductAttention, () => [
  ...[t(1, 2, 3, 4), t(1, 2, 3, 4), t(1, 2, 3, 4)],
  { isCausal: true, scale: 1 },
])
add('scaledDotProductAttention', f.scaledDotProductAttention, () => [
  ...[t(2, 3, 4), t(2, 3, 4), t(2, 3, 4)],
  { attnMask: t(3, 3), dropoutP: 0.5, generator: new f.Generator(3) },
])
add('tensor', f.tensor, () => [[1, 2], { requiresGrad: true, device: 'cpu' }])
add('tensor', f.tensor, () => [
  [
    [1, 2],
    [3, 4],
  ],
  { dtype: 'float32' },
])
add('zeros', f.zeros, () => [[2, 3], { dtype: 'int32', device: 'cpu', requiresGrad: false }])
add('ones', f.ones, () => [[2, 3]])
add('full', f.full, () => [[2, 3], 7])
add('arange', f.arange, () => [0, 5, 1])
add('eye', f.eye, () => [3, 3])
add('rand', f.rand, () => [[2, 3], { low: -1, high: 2, generator: new f.Generator(3), requiresGrad: true }])
add('randn', f.randn, () => [[2, 3], { mean: 1, std: 2 }])
add('randint', f.randint, () => [0, 5, [2, 3], { dtype: 'float32' }])
add('fromTypedArray', f.fromTypedArray, () => [new Float32Array(6), [2, 3]])
add('reshape', f.reshape, () => [t(2, 3), [3, 2]])
add('view', f.view, () => [t(2, 3), [3, -1]])
add('flatten', f.flatten, () => [t(2, 3), 0, 1])
add('unsqueeze', f.unsqueeze, () => [t(2, 3), 0])
add('squeeze', f.squeeze, () => [t(2, 1), 1])
add('permute', f.permute, () => [t(2, 3), [1, 0]])
add('transpose', f.transpose, () => [t(2, 3), 0, 1])
add('expand', f.expand, () => [t(1, 3), [2, 3]])
add('narrow', f.narrow, () => [t(2, 3), 1, 0, 2])
add('select', f.select, () => [t(2, 3), 1, 0])
add('slice', f.slice, () => [t(2, 3), 0, [0, 2]])
add('split', f.split, () => [t(4, 3), [1, 3], 0])
add('chunk', f.chunk, () => [t(4, 3), 2, 0])
add('pad', f.pad, () => [t(2, 3), [1, 1], 0])
add('cat', f.cat, () => [[t(2, 3), t(1, 3)], 0])
add('stack', f.stack, () => [[t(2, 3), t(2, 3)], 0], 'cat')
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
  (p) => new nn.Dropout(p),
  () => [0.5],
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
  (p, max) => optim.clipGradNorm(p, max),
  () => [parameters(), 1],
)
add(
  'DataLoader',
  (set, options) => new f.DataLoader(set, options),
  () => [new f.TensorDataset(t(4, 2), t(4)), { batchSize: 2, prefetch: 1 }],
)

export const publicCalls: readonly PublicCall[] = entries

/**
 * A sound call of every public function, constructor and method that tests/fuzz/calls.ts does not have: what takes modules,
 * optimisers, data, files or time. Guards call them with hostile arguments; `promise` marks calls to be awaited.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as datasets from '../../lib/data/datasets/index.js'
import * as text from '../../lib/data/text/index.js'
import * as finetune from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import { gpt2 } from '../../lib/models/index.js'
import * as pretrain from '../../lib/pretrain/index.js'
import { families } from '../cases/index.js'
import type { PublicCall } from '../cases/sound.js'
import { publicCalls } from '../fuzz/calls.js'
import { parquetTable } from '../unit/written.js'
import { dataCalls } from './data.js'
import { metricCalls } from './metrics.js'
import { others as optimizerCalls, withOptions as optimizerOptions } from './optimizers.js'
import { pretrainCalls } from './pretrain.js'
import { taskCalls } from './tasks.js'

const { nn, optim } = f
const { init } = nn
const t = (...shape: number[]) => f.rand(shape)
const folder = mkdtempSync(join(tmpdir(), 'firesteel-guards-'))
// A text that stands where a path should is a path there.
process.chdir(folder)

const entries: PublicCall[] = []

function add(name: string, call: (...args: never[]) => unknown, args: () => unknown[], ...others: string[]): void {
  entries.push({ names: [name, ...others], args, call })
}

const make = (name: string, Class: new (...args: never[]) => unknown, args: () => unknown[], ...others: string[]) =>
  add(name, (...given) => new Class(...given), args, ...others)

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

// Modules and their states.
const model = () => new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.Linear(4, 2))
add(
  'loadStateDict',
  (state, options) => model().loadStateDict(state, options),
  () => [model().stateDict(), { strict: true }],
)
add('loadStateDict', nn.loadStateDict, () => [model(), model().stateDict(), {}])
add('stateDict', nn.stateDict, () => [model()])
add(
  'to',
  (target) => model().to(target),
  () => ['float32'],
)
add(
  'train',
  (mode) => model().train(mode),
  () => [true],
)
add(
  'requiresGrad_',
  (value) => model().requiresGrad_(value),
  () => [false],
)
add(
  'apply',
  (fn) => model().apply(fn),
  () => [() => {}],
)
add(
  'summary',
  (shape, options) => model().summary(shape, options),
  () => [[2, 3], { dtype: 'float32' }],
  'linear',
)
add(
  'Sequential.for',
  (example, layer) => nn.Sequential.for(example, layer),
  () => [[4], new nn.Linear(4, 2)],
  'Sequential',
  'linear',
)
add(
  'append',
  (layer) => model().append(layer),
  () => [new nn.ReLU()],
  'Sequential',
)
add(
  'append',
  (layer) => new nn.ModuleList().append(layer),
  () => [new nn.ReLU()],
  'ModuleList',
)
add(
  'at',
  (index) => model().at(index),
  () => [0],
  'Sequential',
)
for (const method of ['set', 'insert'] as const)
  add(
    method,
    (index, layer) => model()[method](index, layer),
    () => [0, new nn.ReLU()],
    'Sequential',
    'Sequential.set',
    'Sequential.insert',
  )
add(
  'extend',
  (layers) => model().extend(layers),
  () => [[new nn.ReLU()]],
  'Sequential',
)
add(
  'pop',
  (index) => model().pop(index),
  () => [1],
  'Sequential.pop',
)
add(
  'slice',
  (start, end) => model().slice(start, end),
  () => [0, 2],
  'Sequential.slice',
)
const dictionary = () => new nn.ModuleDict<{ [name: string]: f.nn.Module }>({ a: new nn.Linear(2, 2) })
add(
  'get',
  (key) => dictionary().get(key),
  () => ['a'],
  'ModuleDict.get',
)
add(
  'set',
  (key, module) => dictionary().set(key, module),
  () => ['b', new nn.ReLU()],
  'ModuleDict',
)

// Optimisers and schedules.
const stepped = (m = model()) => {
  m.forward(t(2, 3)).sum().backward()
  return m
}
const sgd = () => new optim.SGD(stepped().parameters(), { lr: 0.1, momentum: 0.9 })
add(
  'addParamGroup',
  (group) => sgd().addParamGroup(group),
  () => [{ params: model().parameters(), lr: 0.2 }],
  'SGD',
)
add(
  'loadStateDict',
  (state) => sgd().loadStateDict(state),
  () => {
    const other = sgd()
    other.step()
    return [other.stateDict()]
  },
  'SGD',
)
add(
  'step',
  (x) => {
    const p = new nn.Parameter(t(2, 3))
    p.grad = x
    new optim.Adam([p]).step()
  },
  () => [t(2, 3)],
  'Adam',
  'grad',
)
add(
  'loadStateDict',
  (state) => new optim.LinearLR(sgd()).loadStateDict(state),
  () => [new optim.LinearLR(sgd()).stateDict()],
  'LinearLR',
)
entries.push(...optimizerOptions, ...optimizerCalls)
add('zeroGrad', f.zeroGrad, () => [[new nn.Parameter(t(2))]])

add('blocksOf', nn.blocksOf, () => [model()])

// Randomness, modes, memory.
make('Generator', f.Generator, () => [1])
add(
  'loadStateDict',
  (state) => new f.Generator(1).loadStateDict(state),
  () => [new f.Generator(2).stateDict()],
  'Generator',
)
add('randomState', nn.randomState, () => [model()])
add('loadRandomState', nn.loadRandomState, () => [model(), nn.randomState(model())], 'Generator')
add('manualSeed', f.manualSeed, () => [1])
add('autocast', f.autocast, () => ['bfloat16', () => 1])
add('noGrad', f.noGrad, () => [() => 1])
add('enableGrad', f.enableGrad, () => [() => 1])
add('scope', f.scope, () => [() => 1])
add('checkpoint', f.checkpoint, () => [(x: f.Tensor) => f.exp(x), t(2)], 'exp')
add('keep', f.keep, () => [t(2)])
add('customOperator', f.customOperator as never, () => [
  {
    name: 'twice',
    forward: (_: unknown, x: f.Tensor) => ({ output: x.mul(2), saved: null }),
    backward: (_: unknown, g: f.Tensor) => [g.mul(2)],
    precision: 'widest',
  },
])
add('trace', f.trace, () => [() => f.rand([2]).exp()])
add('savedForBackward', f.savedForBackward, () => [f.rand([2], { requiresGrad: true }).exp()])
add('device', f.device, () => ['cpu'])
add(
  'threads',
  (count) => {
    const cpu = f.device('cpu') as unknown as { threads: unknown }
    const before = cpu.threads
    try {
      cpu.threads = count
    } finally {
      cpu.threads = before
    }
  },
  () => [2],
)
add(
  'setDefaultDevice',
  (device) => {
    const before = f.defaultDevice()
    try {
      f.setDefaultDevice(device)
    } finally {
      f.setDefaultDevice(before)
    }
  },
  () => ['cpu'],
  'device',
)

// Training.
const regression = (m = new nn.Linear(3, 2)) => ({
  m,
  options: {
    optimizer: new optim.SGD(m.parameters(), { lr: 0.1 }),
    loss: f.mseLoss,
    metrics: {},
    callbacks: [],
    clipGradNorm: 1,
    precision: 'float32',
  },
})
make('Trainer', f.Trainer, () => {
  const { m, options } = regression()
  return [m, options]
})
/** Stops after its first epoch, because a training of 2^31 epochs is what it was asked for. */
const trainer = () => {
  const { m, options } = regression()
  const once: f.Callback = { onEpochEnd: (_, { stop }) => stop('once is enough') }
  return new f.Trainer(m, { ...options, callbacks: [once] } as never)
}
const batches = () => [[t(2, 3), t(2, 2)]]
add(
  'fit',
  (data, options) => trainer().fit(data, options),
  () => [batches(), { epochs: 1, validation: batches(), progress: false }],
  'Trainer',
)
add(
  'evaluate',
  (data, options) => trainer().evaluate(data, options),
  () => [batches(), { model: new nn.Linear(3, 2) }],
  'Trainer',
  'linear',
)
add(
  'report',
  (data, options) => trainer().report(data, options),
  () => [
    batches(),
    {
      ...{ against: new nn.Linear(3, 2), forgetting: batches(), resamples: 2, confidence: 0.9, seed: 1, worst: 3 },
      classes: ['a', 'b'],
    },
  ],
  'Trainer.report',
  'Trainer',
  'linear',
)
add('modelCard', f.modelCard as never, () => [
  {
    name: 'x',
    base: 'y',
    data: ['z'],
    history: { epochs: [], stopped: null },
    report: { rows: 1, loss: 1, baseLoss: null, metrics: {} },
  },
])
make('Ensemble', f.Ensemble as never, () => [[model(), model()], { combine: 'votes', dim: -1 }])
add(
  'Ensemble.forward',
  (x) => new f.Ensemble([model(), model()]).forward(x),
  () => [t(2, 3)],
  'linear',
)
add('averageWeights', f.averageWeights as never, () => [[model(), model()], { into: model(), greedy: () => 1 }])
add('snapshots', f.snapshots as never, () => [{ every: 2 }])
make(
  'earlyStopping',
  class {
    constructor(o: never) {
      f.earlyStopping(o)
    }
  },
  () => [{ monitor: 'loss', patience: 2, minDelta: 0.1, mode: 'min', restoreBest: true }],
)
add('bestWeights', f.bestWeights as never, () => [{ monitor: 'validation.loss', minDelta: 0.1, mode: 'min' }])
add(
  'findLearningRate',
  f.findLearningRate as never,
  () => [
    new f.Trainer(...(Object.values(regression()) as [f.nn.Linear, never])),
    batches(),
    { from: 1e-5, to: 1, steps: 10, diverged: 4 },
  ],
  'Trainer.steps',
)
add(
  'check',
  (data, options) => trainer().check(data, options),
  () => [batches(), { validation: batches(), steps: 2, rows: 10, memory: '1 GB' }],
  'Trainer.check',
)
add(
  'predictMemory',
  (data, options) => trainer().predictMemory(data, options),
  () => [batches(), { parts: 2, checkpointing: false }],
  'Trainer.predictMemory',
)
add('consoleLogger', f.consoleLogger as never, () => [{ steps: true }])
add('csvLogger', f.csvLogger as never, () => [join(folder, 'table.csv'), { rows: 'step' }])
add('jsonLines', f.jsonLines as never, () => [join(folder, 'events.jsonl')])
add('tensorBoard', f.tensorBoard as never, () => [join(folder, 'board')])
add('choice', f.choice, () => [64, 'x', null])
add('uniform', f.uniform, () => [0, 0.5])
add('logUniform', f.logUniform, () => [1e-5, 1e-2])
add('integer', f.integer, () => [1, 3])
let searches = 0
add('search', f.search as never, () => [
  join(folder, `search-${searches++}`),
  {
    ...{ space: { x: f.uniform(0, 1) }, trials: 2, minimise: 'loss', method: 'random', seed: 1 },
    ...{ halving: { epochs: [1, 2] }, prune: 'median' },
  },
  () => 1,
])
add('progressBar', f.progressBar, () => [process.stderr])

// Fine-tuning.
const lora = () => finetune.applyLora(model(), { rank: 1, targetModules: ['0'] })
add('applyLora', finetune.applyLora, () => [
  model(),
  { name: 'a', rank: 2, alpha: 4, dropout: 0.1, targetModules: ['0'], rankPattern: { 0: 1 }, modulesToSave: ['2'] },
])
add('applyIa3', finetune.applyIa3, () => [
  model(),
  { targetModules: ['0'], excludeModules: ['2'], feedforwardModules: ['0'] },
])
add('addWeightedAdapter', finetune.addWeightedAdapter, () => [
  lora(),
  { adapters: ['default'], weights: [2], name: 'twice', combinationType: 'svd', svdRank: 1 },
])
add('applyPrompt', finetune.applyPrompt, () => [
  gpt2({ vocabSize: 5, layers: 1, width: 4, heads: 2, context: 8 }),
  { kind: 'prompt', tokens: 2, name: 'default' },
])
add('mergeLora', finetune.mergeLora, () => [lora(), { name: 'default' }])
add(
  'unmergeLora',
  (m, options) => {
    finetune.mergeLora(m)
    finetune.unmergeLora(m, options)
  },
  () => [lora(), { name: 'default' }],
  'mergeLora',
)
add('removeLora', finetune.removeLora, () => [lora(), { name: 'default' }])
add('quantize', finetune.quantize, () => [new nn.Linear(32, 2), 'q8_0', { modules: /$/ }])
add('setAdapter', finetune.setAdapter, () => [lora(), ['default']])
add('withAdapter', finetune.withAdapter, () => [lora(), ['default'], () => 1])
add('withoutAdapters', finetune.withoutAdapters, () => [lora(), () => 1])
add('freeze', finetune.freeze, () => [model(), '0'])
add('unfreeze', finetune.unfreeze, () => [model(), '0'])
add('countParameters', finetune.countParameters, () => [model()])
add('unfreezeGradually', finetune.unfreezeGradually, () => [model(), { everyEpochs: 2 }])
add('freezeNorms', finetune.freezeNorms, () => [model()])
add('bitfit', finetune.bitfit, () => [model(), { head: '2', norms: true }])
add('parameterGroups', finetune.parameterGroups, () => [model(), { weightDecay: 0.1 }])
add('layerwiseGroups', finetune.layerwiseGroups, () => [
  model(),
  { lr: 1e-3, decay: 0.9, head: { lr: 1e-2, modules: '2' }, weightDecay: 0.1 },
])
add('probe', finetune.probe as never, () => [model(), batches(), { head: '2' }])
add('replay', finetune.replay as never, () => [batches(), batches(), { share: 0.5 }])
make('LoraLinear', finetune.LoraLinear as never, () => [
  new nn.Linear(3, 4),
  { rank: 1, scale: 1, dropout: 0, generator: new f.Generator(1) },
])
make('Ia3Adapter', finetune.Ia3Adapter as never, () => [new nn.Linear(2, 3), { feedforward: true }])
make('LoraConv2d', finetune.LoraConv2d as never, () => [new nn.Conv2d(2, 3, 2), { rank: 1, scale: 2 }])
make('LoraEmbedding', finetune.LoraEmbedding as never, () => [new nn.Embedding(5, 3), { rank: 1, scale: 2 }])
add('isAdaptable', nn.isAdaptable as never, () => [new nn.Linear(3, 4)])

// Files.
const path = (name: string) => join(folder, name)
const ready = (async () => {
  const { writeFile } = await import('node:fs/promises')
  await model().save(path('model.safetensors'))
  await finetune.saveAdapter(lora(), path('adapter'))
  await f.saveCheckpoint(path('run.ckpt'), { model: new f.nn.Linear(2, 1) })
  const images = Buffer.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8])
  const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 0, 1])
  for (const split of ['train', 't10k']) {
    await writeFile(path(`${split}-images-idx3-ubyte.gz`), gzipSync(images))
    await writeFile(path(`${split}-labels-idx1-ubyte.gz`), gzipSync(labels))
  }
})()
add(
  'save',
  (to) => model().save(to),
  () => [path('saved.safetensors')],
  'safetensors',
)
add(
  'load',
  async (from, options) => {
    await ready
    return model().load(from, options)
  },
  () => [path('model.safetensors'), { strict: true }],
  'safetensors',
  'loadStateDict',
)
add(
  'openTensors',
  async (from) => {
    await ready
    const source = await f.openTensors(from)
    await source.close()
  },
  () => [path('model.safetensors')],
  'safetensors',
)
add(
  'loadTensors',
  async (from, options) => {
    await ready
    return f.loadTensors(from, options)
  },
  () => [path('model.safetensors'), { names: ['0.weight'], device: 'cpu' }],
  'safetensors',
)
add('saveTensors', f.saveTensors, () => [path('saved.safetensors'), { x: t(2) }, { metadata: { format: 'pt' } }])
add('saveCheckpoint', f.saveCheckpoint, () => [path('saved.ckpt'), { model: new f.nn.Linear(2, 1), epoch: 1 }])
add(
  'loadCheckpoint',
  async (from, parts) => {
    await ready
    return f.loadCheckpoint(from, parts)
  },
  () => [path('run.ckpt'), { model: new f.nn.Linear(2, 1) }],
)
add('saveAdapter', finetune.saveAdapter as never, () => [
  lora(),
  path('saved-adapter'),
  { name: 'default', log: () => undefined },
])
add(
  'loadAdapter',
  async (m, from, options) => {
    await ready
    return finetune.loadAdapter(m, from, options)
  },
  () => [model(), path('adapter'), { name: 'default' }],
  'applyLora',
  'loadStateDict',
  'safetensors',
)
add(
  'readIdx',
  async (from) => {
    await ready
    return datasets.readIdx(from)
  },
  () => [path('train-images-idx3-ubyte.gz')],
  'idx',
)
add(
  'idx',
  async (from, options) => {
    await ready
    return datasets.idx(from, options)
  },
  () => [folder, { mean: 0.1, std: 2 }],
  'readIdx',
  'ImageDataset',
)

const table = join(folder, 'table.csv')
const lines = join(folder, 'lines.jsonl')
const numbers = join(folder, 'numbers.npy')
const packed = join(folder, 'table.parquet')
{
  writeFileSync(table, 'a,b\n1,x\n')
  writeFileSync(lines, '{"a": 1}\n')
  writeFileSync(packed, parquetTable)
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n"
  writeFileSync(
    numbers,
    Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
      Buffer.of(header.length, 0),
      Buffer.from(header),
      Buffer.alloc(16),
    ]),
  )
}
const rowsOf = (read: (from: never, options: never) => f.IterableDataset<unknown>) => (from: never, options: never) =>
  read(from, options).toArray()
add('csv', rowsOf(text.csv), () => [table, { types: { a: 'number' }, delimiter: ',', longest: 99 }])
add('textFiles', rowsOf(text.textFiles), () => [[table], { by: 'paragraph', longest: 99 }])
add('jsonl', rowsOf(text.jsonl), () => [lines, { longest: 99 }])
add('parquet', rowsOf(text.parquet), () => [packed, { columns: ['x'] }])
add(
  'npy',
  async (from) => (await text.npy(from)).batch([0, 1]),
  () => [numbers],
)
add(
  'npy',
  async (indices) => (await text.npy(numbers as never)).batch(indices),
  () => [[0, 1]],
)

/** Methods of tensors that are functions too take the tensor first: called as methods they must say the same. (As in PyTorch, `x.unfold` is another function.) */
const methods = publicCalls.filter(
  ({ names: [name = ''] }) => name in f.Tensor.prototype && name !== 'to' && name !== 'unfold',
)
for (const { names, args } of methods)
  entries.push({
    names,
    self: args().length - 1,
    args: () => {
      const [self, ...rest] = args()
      return [...rest, self]
    },
    call: (...given: never[]) => {
      const self = (given as unknown[]).at(-1) as { readonly [method: string]: (...rest: unknown[]) => unknown }
      return self[names[0] as string]?.(...given.slice(0, -1))
    },
  })

export const allCalls: readonly PublicCall[] = [
  ...publicCalls,
  ...dataCalls,
  ...metricCalls,
  ...taskCalls,
  ...pretrainCalls,
  ...entries,
]

/** Everything exported that is a function or a class, by its name in its module. */
export function exported(): readonly string[] {
  const faces = [f, nn, nn.functional, init, optim, f.metrics, finetune, pretrain, datasets, text]
  const names = new Set<string>()
  for (const face of faces)
    for (const [name, value] of Object.entries(face)) if (typeof value === 'function') names.add(name)
  return [...names]
}

import vm from 'node:vm'
import { describe, expect, it } from 'vitest'
import { applyLora, unfreezeGradually } from '../../lib/finetune/index.js'
import {
  arange,
  DataLoader,
  earlyStopping,
  eye,
  fromTypedArray,
  full,
  Generator,
  grad,
  nn,
  optim,
  rand,
  randint,
  randn,
  type Tensor,
  TensorDataset,
  Trainer,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

const { functional: F, init } = nn

// As JavaScript calls them, where no compiler complains.
const call = (fn: (options: never) => unknown, options: unknown) => () => fn(options as never)

describe('an option that there is not', () => {
  const layer = new nn.Linear(4, 3)
  const heads = new nn.MultiheadAttention(4, 2)
  const sgd = () => new optim.SGD(layer.parameters(), { lr: 1 })
  const doubled = (fn: (x: Tensor<[]>) => unknown) => fn(randn([], { requiresGrad: true }))
  const cases: readonly (readonly [string, (options: never) => unknown, object])[] = [
    ['Linear', (o) => new nn.Linear(4, 3, o), {}],
    ['Conv2d', (o) => new nn.Conv2d(4, 3, 1, o), { stride: 2 }],
    ['Embedding', (o) => new nn.Embedding(4, 3, o), {}],
    ['LayerNorm', (o) => new nn.LayerNorm(4, o), { eps: 1 }],
    ['BatchNorm2d', (o) => new nn.BatchNorm2d(4, o), { momentum: null }],
    ['LSTM', (o) => new nn.LSTM(4, 3, o), { numLayers: 2 }],
    ['MultiheadAttention', (o) => new nn.MultiheadAttention(4, 2, o), { dropout: 0.1, bias: false }],
    ['MultiheadAttention.forward', (o) => heads.forward(randn([1, 2, 4]), undefined, undefined, o), { isCausal: true }],
    ['TransformerEncoderLayer', (o) => new nn.TransformerEncoderLayer(4, 2, o), { normFirst: true, bias: false }],
    ['MaxPool2d', (o) => new nn.MaxPool2d(2, o), { stride: 1 }],
    ['GELU', (o) => new nn.GELU(o), { approximate: 'tanh' }],
    ['SGD', (o) => new optim.SGD(layer.parameters(), o), { lr: 1 }],
    ['AdamW', (o) => new optim.AdamW([{ params: layer.parameters(), ...(o as object) }]), { lr: 1 }],
    ['DataLoader', (o) => new DataLoader(new TensorDataset(randn([2, 4]), randn([2, 3])), o), { shuffle: true }],
    [
      'Trainer',
      (o) => new Trainer(layer as never, o),
      { optimizer: new optim.SGD(layer.parameters(), { lr: 1 }), loss: nn.functional.mseLoss },
    ],
    ['earlyStopping', (o) => earlyStopping(o), { patience: 2 }],
    ['applyLora', (o) => applyLora(new nn.Sequential(new nn.Linear(4, 3)), o), { targetModules: 'all-linear' }],
    ['zeros', (o) => zeros([2], o), { dtype: 'int32' }],
    ['full', (o) => full([2], 1, o), { requiresGrad: true }],
    ['arange', (o) => arange(0, 3, 1, o), { dtype: 'float32' }],
    ['eye', (o) => eye(2, 2, o), {}],
    ['tensor', (o) => tensor([1, 2], o), { device: undefined }],
    ['fromTypedArray', (o) => fromTypedArray(Int32Array.of(1, 2), [2], o), { device: undefined }],
    ['rand', (o) => rand([2], o), { low: 1, high: 2 }],
    ['randn', (o) => randn([2], o), { mean: 1, std: 2 }],
    ['randint', (o) => randint(0, 2, [2], o), { dtype: 'float32' }],
    ['kaimingUniform_', (o) => init.kaimingUniform_(zeros([2, 2]), o), { a: 1, mode: 'fanOut' }],
    ['xavierNormal_', (o) => init.xavierNormal_(zeros([2, 2]), o), { gain: 2 }],
    ['normal_', (o) => init.normal_(zeros([2]), 0, 1, o), { generator: undefined }],
    ['conv2d', (o) => F.conv2d(randn([1, 1, 3, 3]), randn([1, 1, 2, 2]), null, o), { stride: 2, padding: 1 }],
    ['maxPool2d', (o) => F.maxPool2d(randn([1, 2, 2]), 2, o), { stride: 1 }],
    ['avgPool2d', (o) => F.avgPool2d(randn([1, 2, 2]), 2, o), { countIncludePad: false }],
    ['layerNorm', (o) => F.layerNorm(randn([2]), [2], null, null, o), { eps: 1 }],
    ['batchNorm', (o) => F.batchNorm(randn([2, 2]), null, null, o), { training: true }],
    ['dropout', (o) => F.dropout(randn([2]), 0.5, o), { training: false }],
    ['gelu', (o) => F.gelu(randn([2]), o), { approximate: 'tanh' }],
    ['leakyRelu', (o) => F.leakyRelu(randn([2]), o), { negativeSlope: 0.2 }],
    ['softplus', (o) => F.softplus(randn([2]), o), { beta: 2 }],
    ['embedding', (o) => F.embedding(randint(0, 2, [2]), randn([2, 2]), o), { paddingIdx: 0 }],
    ['crossEntropy', (o) => F.crossEntropy(randn([2, 2]), randint(0, 2, [2]), o), { ignoreIndex: -1 }],
    [
      'scaledDotProductAttention',
      (o) => F.scaledDotProductAttention(randn([1, 2, 2]), randn([1, 2, 2]), randn([1, 2, 2]), o),
      { isCausal: true },
    ],
    ['backward', (o) => randn([], { requiresGrad: true }).mul(2).backward(o), { retainGraph: true }],
    ['grad', (o) => doubled((x) => grad(x.mul(2), [x], o)), { allowUnused: true }],
    ['clipGradNorm', (o) => optim.clipGradNorm(layer.parameters(), 1, o), { normType: 1 }],
    ['CosineAnnealingLR', (o) => new optim.CosineAnnealingLR(sgd(), o), { tMax: 3 }],
    ['LinearLR', (o) => new optim.LinearLR(sgd(), o), { totalIters: 3 }],
    ['WarmupCosineLR', (o) => new optim.WarmupCosineLR(sgd(), o), { warmupSteps: 1, totalSteps: 3 }],
    ['loadStateDict', (o) => layer.loadStateDict(layer.stateDict(), o), { strict: false }],
    ['summary', (o) => layer.summary([1, 4], o), { dtype: 'float32' }],
    ['unfreezeGradually', (o) => unfreezeGradually(new nn.Sequential(layer), o), { everyEpochs: 2 }],
    ['Dropout', (o) => new nn.Dropout(0.5, o), {}],
    ['sum', (o) => randn([2, 3]).sum(0, o), { keepdim: true }],
    ['var', (o) => randn([2, 3]).var(0, o), { correction: 0 }],
  ]
  it.each(cases)('%s refuses one and takes its own', (op, fn, right) => {
    expect(call(fn, right)).not.toThrow()
    expect(call(fn, { ...right, keepDim: true })).toThrow(ValueError)
    expect(call(fn, { ...right, keepDim: true })).toThrow(`[${op}] there is no option keepDim; there are `)
  })
  it('is refused by fit', async () => {
    const trainer = new Trainer(layer as never, {
      optimizer: new optim.SGD(layer.parameters(), { lr: 1 }),
      loss: nn.functional.mseLoss,
    })
    await expect(trainer.fit([], { epoch: 1 } as never)).rejects.toThrow('[Trainer.fit] there is no option epoch')
    await expect(trainer.fit(null as never)).rejects.toThrow('[Trainer.fit] the batches are null')
  })
  it.each(cases)('%s refuses what is no object of options', (op, fn) => {
    // The optimisers' cases are about groups, whose options come with the parameters.
    if (op === 'SGD' || op === 'AdamW') return
    for (const [given, named] of [
      [null, 'null'],
      [0.5, 'the number 0.5'],
      ['cpu', "'cpu'"],
      [true, 'true'],
      [[], 'an array'],
      [new Map([['lr', 1]]), 'a Map'],
      [zeros([1]), 'a Tensor'],
      [() => ({}), 'a function'],
      [new Generator(1), 'a Generator'],
      [Promise.resolve({}), 'a Promise'],
    ] as const)
      expect(call(fn, given)).toThrow(`[${op}] options are ${named}, but must be an object`)
  })
  it('takes options from classes, other realms, and objects without a prototype', () => {
    class WithGetter {
      get dtype() {
        return 'int32' as const
      }
    }
    class Inherits extends WithGetter {
      override get dtype() {
        return 'int32' as const
      }
    }
    const bare = Object.assign(Object.create(null), { dtype: 'int32' })
    const elsewhere = vm.runInNewContext("({ dtype: 'int32' })")
    const inherited = Object.create({ dtype: 'int32' })
    for (const options of [
      new WithGetter(),
      new Inherits(),
      bare,
      elsewhere,
      inherited,
      Object.freeze({ dtype: 'int32' }),
    ])
      expect(zeros([1], options).dtype).toBe('int32')
    expect(call((o) => zeros([1], o), Object.assign(new WithGetter(), { keepDim: 1 }))).toThrow('no option keepDim')
  })
  it('looks at own names only, whatever a library puts on Object.prototype', () => {
    const prototype = Object.prototype as { polluted?: number }
    prototype.polluted = 1
    try {
      expect(zeros([2], { dtype: 'int32' }).dtype).toBe('int32')
      expect(zeros([2]).dtype).toBe('float32')
      expect(() => zeros([2], { polluted: 1 } as never)).toThrow('[zeros] there is no option polluted; there are dtype')
    } finally {
      delete prototype.polluted
    }
  })
  it('and null is no options', () => {
    expect(call((o) => new nn.Linear(4, 3, o), null)).toThrow('[Linear] options are null')
    expect(() => new optim.SGD(undefined as never, { lr: 1 })).toThrow('[SGD] the parameters are undefined')
    expect(() => new optim.SGD([null as never], { lr: 1 })).toThrow('[SGD] a parameter is null')
    expect(call((o) => new nn.Linear(4, 3, o), { toString: true })).toThrow('there is no option toString')
  })

  it('nor are other wrong values the language’s own errors', () => {
    const wrong = (fn: () => unknown, message: string) => {
      expect(fn).toThrow(message)
    }
    const state = (value: unknown) => () => layer.loadStateDict(value as never)
    wrong(state(null), '[loadStateDict] the state is null')
    wrong(state({ weight: 3, bias: 4 }), '  weight is the number 3, but must be a tensor\n  bias is the number 4')
    wrong(() => init.xavierNormal_(zeros([2, 2]), { gain: Number.NaN }), '[xavierNormal_] gain is NaN')
    wrong(() => optim.clipGradNorm(null as never, 1), '[clipGradNorm] the parameters are null')
    wrong(() => optim.clipGradNorm([3 as never], 1), '[clipGradNorm] each parameter must be a tensor')
    wrong(() => new optim.CosineAnnealingLR(sgd(), { tMax: 3, etaMin: Number.NaN }), 'etaMin is NaN')
    wrong(() => new optim.LinearLR(sgd(), { startFactor: -1 }), 'startFactor is -1')
  })
  it('and a state with a freed tensor changes nothing', () => {
    const before = [...layer.weight.dataSync()]
    const freed = zeros([3])
    freed.dispose()
    expect(() => layer.loadStateDict({ weight: zeros([3, 4]), bias: freed })).toThrow(
      '[loadStateDict] a tensor was used',
    )
    expect([...layer.weight.dataSync()]).toEqual(before)
  })
})

import { describe, expect, it } from 'vitest'
import {
  DTypeError,
  type FiresteelError,
  linspace,
  nn,
  noGrad,
  ShapeError,
  sum,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

/** Constructors as JavaScript sees them, without types. */
const untyped = nn as unknown as { readonly [name: string]: new (...args: readonly unknown[]) => unknown }
const make =
  (name: string, ...args: readonly unknown[]) =>
  () =>
    new (untyped[name] as (typeof untyped)[string])(...args)

describe('what a layer is made of', () => {
  const sizes = [undefined, 0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3', null, [3], {}]
  it.each([
    ['Linear', [3, 2], ['inFeatures', 'outFeatures']],
    ['Embedding', [3, 2], ['numEmbeddings', 'embeddingDim']],
    ['Conv2d', [3, 2, 1], ['inChannels', 'outChannels']],
    ['Conv1d', [3, 2, 1], ['inChannels', 'outChannels']],
    ['ConvTranspose1d', [3, 2, 1], ['inChannels', 'outChannels']],
    ['ConvTranspose2d', [3, 2, 1], ['inChannels', 'outChannels']],
    ['BatchNorm1d', [3], ['numFeatures']],
    ['BatchNorm2d', [3], ['numFeatures']],
    ['BatchNorm3d', [3], ['numFeatures']],
    ['GroupNorm', [2, 4], ['numGroups', 'numChannels']],
    ['InstanceNorm2d', [3], ['numFeatures']],
    ['LSTM', [3, 2], ['inputSize', 'hiddenSize']],
    ['MultiheadAttention', [4, 2], ['embedDim', 'numHeads']],
    ['TransformerEncoderLayer', [4, 2], ['dModel', 'nhead']],
  ] as const)('%s: sizes', (name, right, names) => {
    expect(make(name, ...right)).not.toThrow()
    names.forEach((size, i) => {
      for (const wrong of sizes) {
        const call = make(name, ...right.map((value, j) => (j === i ? wrong : value)))
        expect(call, `${size} ${String(wrong)}`).toThrow(ValueError)
        expect(call).toThrow(`[${name}] `)
        expect(call).toThrow(`${size} is `)
      }
    })
  })

  it.each([
    ['Linear', [2, 2, { bias: 0 }], 'bias is 0, but must be true or false'],
    ['Linear', [2, 2, { dtype: 'int32' }], "dtype is 'int32', but must be floating"],
    ['Linear', [2, 2, { dtype: 'float' }], "dtype is 'float', but must be"],
    ['Linear', [2, 2, { generator: 7 }], 'generator is 7, but must be a Generator'],
    ['Linear', [2, 2, 5], 'options are the number 5, but must be an object'],
    ['Conv2d', [1, 2], 'kernelSize is undefined, but must be a number or [height, width]'],
    ['Conv2d', [1, 2, { kernelSize: 3 }], 'kernelSize is an object, but must be a number or [height, width]'],
    ['Conv2d', [1, 2, [3]], 'kernelSize is [3], but must be'],
    ['Conv2d', [1, 2, 0], 'kernelSize is 0, but must be integers'],
    [
      'Conv2d',
      [1, 2, 3, { padding: 'full' }],
      "padding is 'full', but must be a number or [height, width], 'same' or 'valid'",
    ],
    ['Conv2d', [1, 2, 3, { padding: 'same', stride: [1, 2] }], "padding is 'same', but stride is 1 x 2"],
    ['Conv2d', [1, 2, 3, { stride: 0 }], 'stride is 0, but must be integers'],
    ['Conv2d', [1, 2, 3, { dilation: 1.5 }], 'dilation is 1.5, but must be integers'],
    ['Conv2d', [1, 2, 3, { groups: 2 }], '1 input and 2 output channels do not both divide into 2 groups'],
    ['Conv2d', [1, 2, 3, { bias: null }], 'bias is null, but must be true or false'],
    ['Conv2d', [1, 2, 3, { paddingMode: 'mirror' }], "paddingMode is 'mirror', but must be one of 'zeros', 'reflect'"],
    ['Conv1d', [1, 2, [3, 3]], 'kernelSize is [3, 3], but must be a number or [width]'],
    ['Conv1d', [1, 2, 3, { groups: 2 }], '1 input and 2 output channels do not both divide into 2 groups'],
    [
      'ConvTranspose1d',
      [1, 2, 3, { outputPadding: 1 }],
      'outputPadding is 1, but must be less than stride 1 or dilation 1',
    ],
    ['ConvTranspose2d', [1, 2, 3, { padding: 'same' }], "padding is 'same', but must be a number or [height, width]"],
    ['ConvTranspose2d', [1, 2, 3, { groups: 2 }], '1 input and 2 output channels do not both divide into 2 groups'],
    ['MaxPool2d', [], 'kernelSize is undefined, but must be'],
    ['MaxPool2d', [2, { padding: 2 }], 'padding 2 x 2 is more than half of the kernel 2 x 2'],
    ['MaxPool2d', [2, { stride: 0 }], 'stride is 0'],
    ['AvgPool2d', [[2]], 'kernelSize is [2]'],
    ['AvgPool2d', [2, { countIncludePad: 1 }], 'countIncludePad is 1, but must be true or false'],
    ['Embedding', [3, 2, { paddingIdx: 3 }], 'paddingIdx is 3, but must be an integer from -3 to 2, or null'],
    ['Embedding', [3, 2, { paddingIdx: -4 }], 'paddingIdx is -4'],
    ['Embedding', [3, 2, { paddingIdx: 0.5 }], 'paddingIdx is 0.5'],
    ['LayerNorm', [], 'normalizedShape is undefined'],
    ['LayerNorm', [[]], 'normalizedShape is [], but must be a size or several'],
    ['LayerNorm', [[2, 0]], 'normalizedShape[1] is 0'],
    ['LayerNorm', [2, { eps: -1 }], 'eps is -1, but must be a number of at least 0'],
    ['LayerNorm', [2, { elementwiseAffine: 'no' }], "elementwiseAffine is 'no'"],
    ['BatchNorm1d', [2, { eps: '1e-5' }], "eps is '1e-5', but must be"],
    ['BatchNorm1d', [2, { momentum: 2 }], 'momentum is 2, but must lie in [0, 1]'],
    ['BatchNorm2d', [2, { affine: 1 }], 'affine is 1, but must be true or false'],
    ['GroupNorm', [3, 4], '4 channels do not divide into 3 groups'],
    ['RMSNorm', [[]], 'normalizedShape is [], but must be a size or several'],
    ['RMSNorm', [2, { eps: -1 }], 'eps is -1, but must be a number of at least 0'],
    ['InstanceNorm2d', [2, { momentum: null }], 'momentum is null, but must be a number'],
    ['LSTM', [2, 2, { numLayers: 0 }], 'numLayers is 0'],
    ['LSTM', [2, 2, { bidirectional: 1 }], 'bidirectional is 1'],
    ['LSTM', [2, 2, { dropout: '0.5', numLayers: 2 }], "dropout is '0.5', but must be a probability"],
    ['LSTM', [2, 2, { dropout: 0.5 }], 'dropout is 0.5, but there is one layer'],
    ['MultiheadAttention', [4, 3], 'embedDim 4 does not divide into 3 heads'],
    ['MultiheadAttention', [4, 2, { dropout: 2 }], 'dropout is 2'],
    ['TransformerEncoderLayer', [4, 2, { dimFeedforward: 0 }], 'dimFeedforward is 0'],
    ['TransformerEncoderLayer', [4, 2, { activation: 'silu' }], "activation is 'silu'"],
    ['TransformerEncoderLayer', [4, 2, { layerNormEps: 'x' }], "layerNormEps is 'x'"],
    ['TransformerEncoderLayer', [4, 2, { dropout: -0.1 }], 'dropout is -0.1'],
    ['Dropout', ['0.5'], "p is '0.5', but must be a probability"],
    ['Dropout', [Number.NaN], 'p is NaN'],
    ['GELU', [{ approximate: true }], "approximate is true, but must be 'none' or 'tanh'"],
    ['Softplus', [{ beta: 0 }], 'beta is 0'],
    ['Softplus', [{ threshold: Number.NaN }], 'threshold is NaN'],
    ['ELU', [{ alpha: '1' }], "alpha is '1', but must be a finite number"],
    ['LeakyReLU', [{ negativeSlope: Number.NaN }], 'negativeSlope is NaN'],
    ['ELU', [Number.NaN], 'alpha is NaN, but must be a finite number'],
    ['LeakyReLU', ['0.2'], "options are '0.2', but must be an object"],
    ['Hardtanh', [1, -1], 'minVal is 1, but must be below maxVal, -1'],
    ['Hardtanh', [{ minVal: -2 }, 2], '2 follows options; give minVal, maxVal as numbers or as one object'],
    ['RReLU', [0.5, 0.2], 'lower is 0.5, but must be at most upper, 0.2'],
    ['Softmax', [], 'dim is undefined, but must be an integer'],
    ['LogSoftmax', [1.5], 'dim is 1.5'],
    ['Flatten', ['1'], "startDim is '1', but must be an integer"],
  ] as const)('%s refuses %j', (name, args, message) => {
    const call = make(name, ...args)
    expect(call).toThrow(`[${name}] ${message}`)
    try {
      call()
    } catch (error) {
      expect((error as FiresteelError).op).toBe(name)
    }
  })

  it.each([
    [new nn.LeakyReLU(0.2), new nn.LeakyReLU({ negativeSlope: 0.2 })],
    [new nn.ELU(0.5), new nn.ELU({ alpha: 0.5 })],
    [new nn.CELU(0.5), new nn.CELU({ alpha: 0.5 })],
    [new nn.Softplus(2), new nn.Softplus({ beta: 2 })],
    [new nn.Softplus(2, 1), new nn.Softplus({ beta: 2, threshold: 1 })],
    [new nn.Hardtanh(-2), new nn.Hardtanh({ minVal: -2 })],
    [new nn.Hardtanh(-2, 0.5), new nn.Hardtanh({ minVal: -2, maxVal: 0.5 })],
    [new nn.RReLU(0.1, 0.2).eval(), new nn.RReLU({ lower: 0.1, upper: 0.2 }).eval()],
    [new nn.PReLU(3, 0.1), new nn.PReLU({ numParameters: 3, init: 0.1 })],
  ])('%s takes its numbers in PyTorch’s order', (byNumbers, byNames) => {
    expect(`${byNumbers}`).toBe(`${byNames}`)
    const x = linspace(-3, 3, 12).reshape([4, 3])
    expect(byNumbers.forward(x).toArray()).toEqual(byNames.forward(x).toArray())
    expect(byNumbers.forward(x).toArray()).not.toEqual(
      new (byNumbers.constructor as typeof nn.ELU)().forward(x).toArray(),
    )
  })

  it('counts a padding row from the end, and keeps it at zero', () => {
    for (const device of ['cpu', 'reference']) {
      const layer = new nn.Embedding(3, 2, { paddingIdx: -1, device })
      expect(layer.paddingIdx).toBe(2)
      expect(layer.weight.toArray()).toMatchObject({ 2: [0, 0] })
      sum(layer.forward(tensor([2, 0], { dtype: 'int32', device }))).backward()
      expect(layer.weight.grad?.toArray()).toEqual([
        [1, 1],
        [0, 0],
        [0, 0],
      ])
      expect(new nn.Embedding(3, 2, { paddingIdx: 0, device }).paddingIdx).toBe(0)
    }
  })
})

describe('an error within a forward', () => {
  const fails = (call: () => unknown, ...texts: string[]) => {
    let message = ''
    try {
      call()
    } catch (error) {
      message = (error as Error).message
      expect((error as Error).stack).toContain(message)
      expect(error).toHaveProperty('op')
    }
    for (const text of texts) expect(message).toContain(text)
    return message
  }

  it('names the layer, with its options, and the way to it', () => {
    class Net extends nn.Module {
      body = [new nn.Sequential(new nn.ReLU(), new nn.Linear(3, 2))]
      forward(x: Tensor): Tensor {
        return (this.body[0] as nn.Sequential).forward(x)
      }
    }
    const message = fails(
      () => new Net().forward(zeros([2, 4])),
      '[linear] ',
      '(in Net.body.0.1, Linear(inFeatures=3, outFeatures=2, bias=true))',
    )
    expect(message.match(/\(in /g)).toHaveLength(1)
    fails(() => new nn.Embedding(3, 2).forward(zeros([2])), 'int32', '(in Embedding, Embedding(numEmbeddings=3')
    fails(
      () => new nn.Conv2d(1, 2, 3).forward(zeros([1, 2, 5, 5])),
      'Conv2d(inChannels=1, outChannels=2, kernelSize=[3, 3]',
    )
    fails(() => new nn.LayerNorm(3).forward(zeros([2])), 'LayerNorm(normalizedShape=[3], eps=0.00001')
    fails(() => new nn.Linear(3, 2).forward(3 as never), 'tensor', 'Linear(inFeatures=3')
  })

  it('of a batch norm in training says what to do with a last batch of one row', () => {
    const norm = new nn.BatchNorm1d(2)
    const remedy = /more than one value per channel, but x is \[1, 2\]; .*dropLast: true.*another batchSize.*eval\(\)/
    expect(() => norm.forward(zeros([1, 2]))).toThrow(remedy)
    expect(norm.forward(zeros([2, 2])).shape).toEqual([2, 2])
    expect(norm.eval().forward(zeros([1, 2])).shape).toEqual([1, 2])
  })

  it('of an LSTM is about its input, not its weights', () => {
    const lstm = new nn.LSTM(3, 2)
    const wrong = (call: () => unknown, type: new (...a: never[]) => Error, message: string) => {
      expect(call).toThrow(type)
      expect(call).toThrow(`[LSTM] ${message}`)
    }
    wrong(
      () => lstm.forward(zeros([5, 1, 4])),
      ShapeError,
      'gets 4 features, but takes 3: x is [5, 1, 4], of [T, B, I] or [T, I]',
    )
    wrong(
      () => new nn.LSTM(3, 2, { batchFirst: true }).forward(zeros([3])),
      ShapeError,
      'x is [3], but must be [B, T, I]',
    )
    wrong(
      () => lstm.forward(zeros([5, 1, 3]), zeros([1, 1, 2]) as never),
      ValueError,
      'the initial state must be [h0, c0]',
    )
    expect(() => lstm.forward(zeros([5, 1, 3]), [null, null] as never)).toThrow('[LSTM] h0 must be a tensor')
  })

  it('leaves errors of others alone', () => {
    class Own extends nn.Module {
      forward(): never {
        throw new Error('mine')
      }
    }
    expect(() => new Own().forward()).toThrow(/^mine$/)
  })
})

describe.each(['cpu', 'reference'])('initialisers on %s', (device) => {
  const { init } = nn
  type Fill = (tensor: Tensor) => unknown
  const random: readonly (readonly [string, Fill])[] = [
    ['uniform_', (t) => init.uniform_(t)],
    ['normal_', (t) => init.normal_(t)],
    ['kaimingUniform_', (t) => init.kaimingUniform_(t)],
    ['kaimingNormal_', (t) => init.kaimingNormal_(t)],
    ['xavierUniform_', (t) => init.xavierUniform_(t)],
    ['xavierNormal_', (t) => init.xavierNormal_(t)],
  ]
  const all: typeof random = [
    ...random,
    ['constant_', (t) => init.constant_(t, 2)],
    ['zeros_', (t) => init.zeros_(t)],
    ['ones_', (t) => init.ones_(t)],
  ]

  it.each(all)('%s refuses what cannot be filled, by its own name', (name, fill) => {
    const fails = (t: unknown, type: new (...a: never[]) => Error, message: string) => {
      expect(() => fill(t as Tensor)).toThrow(type)
      expect(() => fill(t as Tensor)).toThrow(`[${name}] ${message}`)
    }
    fails(zeros([2, 1], { device }).expand([2, 3]), ValueError, 'several elements of the tensor share memory')
    fails([1], DTypeError, 'the tensor must be a tensor')
    const freed = zeros([2, 2], { device })
    freed.dispose()
    expect(() => fill(freed)).toThrow(`[${name}] a tensor was used after`)
  })

  it.each(random)('%s refuses integers, and takes what has no elements', (name, fill) => {
    expect(() => fill(zeros([2, 2], { device, dtype: 'int32' }))).toThrow(`[${name}] the tensor is int32`)
    expect(() => fill(zeros([0, 2], { device }))).not.toThrow()
  })

  it('fill views without gaps or order', () => {
    const whole = zeros([2, 3], { device })
    init.ones_(whole.transpose(0, 1).slice([1, 3]))
    expect(whole.toArray()).toEqual([
      [0, 1, 1],
      [0, 1, 1],
    ])
    init.uniform_(whole.transpose(0, 1), 5, 6)
    expect(Math.min(...whole.dataSync())).toBeGreaterThanOrEqual(5)
    const ints = zeros([2], { device, dtype: 'int32' })
    expect(init.constant_(ints, 3).toArray()).toEqual([3, 3])
  })

  it('refuse numbers that are none', () => {
    const t = zeros([2, 2], { device })
    for (const [call, message] of [
      [() => init.uniform_(t, 1, 0), '[uniform_] low is 1, which is more than high, 0'],
      [() => init.uniform_(t, Number.NaN), '[uniform_] low is NaN'],
      [() => init.uniform_(t, 0, Number.POSITIVE_INFINITY), '[uniform_] high is Infinity'],
      [() => init.normal_(t, 0, -1), '[normal_] std is -1'],
      [() => init.normal_(t, '0' as never), "[normal_] mean is '0'"],
      [() => init.constant_(t, undefined as never), '[constant_] the value is undefined'],
      [
        () => init.kaimingUniform_(t, { mode: 'fan_in' as never }),
        "[kaimingUniform_] mode is 'fan_in', but must be 'fanIn'",
      ],
      [() => init.kaimingNormal_(t, { a: Number.NaN }), '[kaimingNormal_] a is NaN'],
      [() => init.kaimingNormal_(t, { nonlinearity: 'constructor' as never }), "unknown nonlinearity 'constructor'"],
      [() => init.calculateGain('leaky_relu' as never), "[calculateGain] unknown nonlinearity 'leaky_relu'"],
      [() => init.xavierUniform_(t, { gain: -1 }), '[xavierUniform_] gain is -1'],
      [() => init.kaimingNormal_(zeros([2])), '[kaimingNormal_] needs a weight of at least two dimensions'],
    ] as const) {
      expect(call).toThrow(message)
      expect([...t.dataSync()]).toEqual([0, 0, 0, 0])
    }
  })

  it('have PyTorch’s bounds', () => {
    const t = zeros([40, 30], { device })
    const bound = (fill: Fill) => {
      noGrad(() => fill(t))
      return Math.max(...[...t.dataSync()].map(Math.abs))
    }
    const spread = (fill: Fill) => {
      noGrad(() => fill(t))
      return Math.sqrt([...t.dataSync()].reduce((s, v) => s + v * v, 0) / t.numel)
    }
    expect(bound((w) => init.kaimingUniform_(w))).toBeCloseTo(Math.sqrt(6 / 30), 1)
    expect(bound((w) => init.kaimingUniform_(w, { mode: 'fanOut', nonlinearity: 'linear' }))).toBeCloseTo(
      Math.sqrt(3 / 40),
      1,
    )
    expect(bound((w) => init.xavierUniform_(w, { gain: 2 }))).toBeCloseTo(2 * Math.sqrt(6 / 70), 1)
    expect(spread((w) => init.kaimingNormal_(w, { nonlinearity: 'tanh' }))).toBeCloseTo(5 / 3 / Math.sqrt(30), 1)
    expect(spread((w) => init.xavierNormal_(w))).toBeCloseTo(Math.sqrt(2 / 70), 1)
  })
})

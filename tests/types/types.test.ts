/**
 * The compiler's messages about misfits, word for word, and the cost of the types. tsc itself checks that sound
 * programs compile, and that each marked line of shapes.ts does not.
 */
import type ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { compile, folder, textOf } from './compile.js'

const prelude = `import { metrics, mul, nn, optim, zeros, type Tensor, Trainer } from '../../lib/index.js'\nconst { Sequential, Linear, Conv2d, BatchNorm2d, ReLU, MaxPool2d, Flatten } = nn\n`

/** Each misfit, and what one of the error's lines must say: who complains, and both sizes. */
const misfits: readonly (readonly [code: string, text: string])[] = [
  ['new Linear(784, 10).forward(zeros([32, 100]))', '[linear] gets 100 features, but takes 784'],
  ['zeros([32, 784]).matmul(zeros([100, 10]))', 'matmul: inner sizes differ: [32, 784] and [100, 10]'],
  [
    'new Sequential(new Linear(784, 128), new ReLU(), new Linear(64, 10))',
    '[linear] gets 128 features, but takes 64 (in Sequential.2)',
  ],
  [
    'new Sequential(new Conv2d(3, 32, 3), new ReLU(), new MaxPool2d(2), new Conv2d(16, 64, 3))',
    '[conv2d] gets 32 channels, but takes 16 (in Sequential.3)',
  ],
  [
    'new Sequential(new Conv2d(3, 32, 3), new BatchNorm2d(64))',
    '[BatchNorm2d] gets 32 channels, but takes 64 (in Sequential.1)',
  ],
  [
    'Sequential.for([1, 28, 28], new Conv2d(1, 32, 3, { padding: 1 }), new ReLU(), new MaxPool2d(2), new Conv2d(32, 64, 3, { padding: 1 }), new ReLU(), new MaxPool2d(2), new Flatten(), new Linear(3137, 128), new ReLU(), new Linear(128, 10))',
    '[linear] gets 3136 features, but takes 3137 (in Sequential.7)',
  ],
  [
    'const model = new Sequential(new Conv2d(1, 8, 3), new Flatten(), new Linear(5408, 10))\nmodel.forward(zeros([2, 1, 32, 32]))',
    '[linear] gets 7200 features, but takes 5408 (in Sequential.2)',
  ],
  [
    'Sequential.for([3, 8, 8], new Conv2d(3, 4, 5), new MaxPool2d(5))',
    '[maxPool2d] a window that reaches over 5 x 5 does not fit into [number, 4, 4, 4] with padding 0 x 0 (in Sequential.1)',
  ],
  [
    'Sequential.for([3, 4, 8, 8], new nn.Conv3d(3, 4, 3), new nn.Conv3d(4, 2, [3, 1, 1]))',
    '[conv3d] a kernel that reaches over 3 x 1 x 1 does not fit into the padded volume 2 x 6 x 6 (in Sequential.1)',
  ],
  [
    'Sequential.for([1, 4, 4], new Sequential(new ReLU(), new Conv2d(1, 4, 5)), new ReLU())',
    '[conv2d] a kernel that reaches over 5 x 5 does not fit into the padded image 4 x 4 (in Sequential.0.1)',
  ],
  [
    'new Sequential(new Flatten(), new BatchNorm2d(4)).forward(zeros([2, 4, 1, 1]))',
    '[BatchNorm2d] x must be [N, C, H, W], but is [2, 4] (in Sequential.1)',
  ],
  [
    'new Sequential(new Linear(8, 16), new nn.LayerNorm(8))',
    '[LayerNorm] gets 16 features, but takes 8 (in Sequential.1)',
  ],
  [
    'new Sequential(new Linear(8, 16), new nn.RMSNorm([4, 8]))',
    '[RMSNorm] gets 16 features, but takes 8 (in Sequential.1)',
  ],
  ['new Sequential(new Linear(8, 16), new nn.GRU(8, 4))', '[GRU] gets 16 features, but takes 8 (in Sequential.1)'],
  [
    'new Sequential(new nn.LSTM(8, 16, { bidirectional: true }), new Linear(16, 4))',
    '[linear] gets 32 features, but takes 16 (in Sequential.1)',
  ],
  [
    'new Sequential(new nn.LSTM(8, 16, { projSize: 5 }), new nn.RNN(16, 4))',
    '[RNN] gets 5 features, but takes 16 (in Sequential.1)',
  ],
  [
    'const y: Tensor<[32, 20]> = new Linear(784, 10).forward(zeros([32, 784]))',
    "Tensor<[32, 10], SingleFloat>' is not assignable",
  ],
  ['zeros([2, 3]).add(zeros([4]))', 'add: shapes do not broadcast: [2, 3] and [4]'],
  ['mul(zeros([2, 3]), zeros([2, 2, 4]))', 'mul: shapes do not broadcast: [2, 3] and [2, 2, 4]'],
  ['zeros([2, 3]).lt(zeros([3, 3]))', 'lt: shapes do not broadcast: [2, 3] and [3, 3]'],
  ['new Linear(64, 10).weight = new nn.Embedding(1000, 64).weight', "'Parameter<[1000, 64]>' is not assignable"],
  [
    'const serve = (model: nn.Model) => model\nserve(new nn.LSTM(3, 4))',
    "'LSTM<3, 4, false, 0>' is not assignable to parameter of type 'Model",
  ],
  [
    "const read: Float32Array = zeros([2], { dtype: 'int32' }).dataSync()",
    "'Int32Array<ArrayBufferLike>' is not assignable",
  ],
]

/** The cost of lines by themselves, and its limit, a third above the measured cost. */
const prices: readonly (readonly [code: string, most: number])[] = [
  ['const x: Tensor = zeros([2, 3])', 150],
  ['const x: Tensor = new nn.Parameter(zeros([2, 3]))', 4800],
  ['new Linear(3, 4).forward(zeros([2, 3]))', 500],
  ['zeros([2, 3]).add(zeros([3])).mul(2)', 950],
  ['zeros([2, 3]).add(zeros([3])).toArray()', 950],
  ["zeros([2, 3]).to('int32').dataSync()", 170],
  ['zeros([2, 3]).size(-1)', 250],
  ['new Linear(64, 1000).weight = new nn.Embedding(1000, 64).weight', 30],
  ['const model: nn.Model = new Linear(3, 4)', 520],
  ['new Sequential(new Linear(3, 4), new ReLU(), new Linear(4, 2)).at(-1).weight', 4200],
  ['new Conv2d(3, 4, 3, { padding: 1 })', 65],
  ['const layer: nn.Conv2d = new Conv2d(3, 4, 3, { padding: 1 })', 1100],
  ['new Sequential(new Linear(3, 4), new ReLU()).forward(zeros([2, 3]))', 3000],
  ['const model: nn.Sequential = new Sequential(new Linear(3, 4), new ReLU())', 3700],
  ['const optimizer: optim.Optimizer = new optim.Adam(new Linear(3, 4).parameters())', 700],
  [
    'const model = new Linear(3, 4)\nnew Trainer(model, { optimizer: new optim.Adam(model.parameters()), loss: nn.functional.crossEntropy, metrics: { accuracy: metrics.accuracy } }).history.epochs[0]?.accuracy',
    1250,
  ],
]

describe('types', () => {
  it('say in their first line who does not fit, and both sizes', () => {
    const files = Object.fromEntries(misfits.map(([code], i) => [`misfit${i}.ts`, `${prelude}${code}\n`]))
    const program = compile(files)
    misfits.forEach(([code, text], i) => {
      const source = program.getSourceFile(`${folder}misfit${i}.ts`) as ts.SourceFile
      const errors = program.getSemanticDiagnostics(source).map(textOf)
      expect(errors.length, code).toBe(1)
      expect(errors[0]?.split('\n')[0], `${code}\n${errors[0]}`).toContain(text)
    })
  })

  const instantiations = (code: string) => {
    const program = compile({ 'price.ts': `${prelude}${code}\n` })
    const source = program.getSourceFile(`${folder}price.ts`) as ts.SourceFile
    expect(program.getSemanticDiagnostics(source).map(textOf)).toEqual([])
    return program.getInstantiationCount()
  }

  it.each(prices)(
    'cost little: %s',
    (code, most) => {
      expect(instantiations(code)).toBeLessThan(most)
    },
    120_000,
  )

  it('cost little for many layers', () => {
    const layers = (count: number) =>
      Array.from({ length: count }, (_, i) => (i % 3 === 2 ? 'new ReLU()' : 'new Linear(64, 64)')).join(', ')
    const base = instantiations('')
    const ten = instantiations(`new Sequential(${layers(10)})`) - base
    const thirty = instantiations(`new Sequential(${layers(30)})`) - base
    // A fixed part is made once for all layers, and then 134 for each layer (measured, with a third to spare).
    expect(thirty).toBeLessThan(10_000)
    expect((thirty - ten) / 20).toBeLessThan(180)
  }, 120_000)

  it('cost little for many layers of images', () => {
    const layers = (count: number) =>
      Array.from({ length: count }, (_, i) =>
        i % 3 === 2 ? 'new MaxPool2d(3, { stride: 1 })' : 'new Conv2d(8, 8, 3)',
      ).join(', ')
    const net = (count: number) => `Sequential.for([8, 200, 160], ${layers(count)}, new Flatten())`
    const base = instantiations('')
    const ten = instantiations(net(10)) - base
    const thirty = instantiations(net(30)) - base
    // Each layer differs in size from the one before, in both dimensions: 1,170 for each (measured, with a third to
    // spare).
    expect(thirty).toBeLessThan(55_000)
    expect((thirty - ten) / 20).toBeLessThan(1_550)
  }, 120_000)
})

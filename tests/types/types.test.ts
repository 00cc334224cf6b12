/**
 * What the compiler says of misfits, word for word, and what the types cost it. What fits, and that each line marked in
 * shapes.ts does not, is checked by `tsc` itself.
 */
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { compile, config, folder, root, textOf } from './compile.js'

const prelude = `import { metrics, mul, nn, optim, zeros, type Tensor, Trainer } from '../../lib/index.js'\nconst { Sequential, Linear, Conv2d, BatchNorm2d, ReLU, MaxPool2d, Flatten } = nn\n`

/** Each misfit, and what the error must say on one of its lines: by whom, and both sizes. */
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
    'const y: Tensor<[32, 20]> = new Linear(784, 10).forward(zeros([32, 784]))',
    "Tensor<[32, 10], SingleFloat>' is not assignable",
  ],
  ['zeros([2, 3]).add(zeros([4]))', 'add: shapes do not broadcast: [2, 3] and [4]'],
  ['mul(zeros([2, 3]), zeros([2, 2, 4]))', 'mul: shapes do not broadcast: [2, 3] and [2, 2, 4]'],
  ['zeros([2, 3]).lt(zeros([3, 3]))', 'lt: shapes do not broadcast: [2, 3] and [3, 3]'],
  ['new Linear(64, 10).weight = new nn.Embedding(1000, 64).weight', "'Parameter<[1000, 64]>' is not assignable"],
  [
    'const serve = (model: nn.Model) => model\nserve(new nn.LSTM(3, 4))',
    "'LSTM' is not assignable to parameter of type 'Model",
  ],
  [
    "const read: Float32Array = zeros([2], { dtype: 'int32' }).dataSync()",
    "'Int32Array<ArrayBufferLike>' is not assignable",
  ],
]

/** What lines cost by themselves, and the most that they may: a third above what was measured. */
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
    // What is made once for all layers, and then 134 for each (measured; a third to spare).
    expect(thirty).toBeLessThan(10_000)
    expect((thirty - ten) / 20).toBeLessThan(180)
  }, 120_000)

  it('cost little in the whole library', () => {
    const paths = ts.parseJsonConfigFileContent({ ...config.config, include: ['lib'] }, ts.sys, root).fileNames
    const program = compile({}, paths)
    expect(program.getSemanticDiagnostics().map(textOf)).toEqual([])
    // 260,000 as this was written: records held to their inputs, results and kernels, two operands' dtypes to promotion, literal
    // sizes followed through layers, and 6,000 for metrics.
    expect(program.getInstantiationCount()).toBeLessThan(285_000)
  }, 120_000)
})

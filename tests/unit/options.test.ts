import { describe, expect, it } from 'vitest'
import { applyLora } from '../../lib/finetune/index.js'
import { DataLoader, earlyStopping, nn, optim, randn, TensorDataset, Trainer, ValueError } from '../../lib/index.js'

// As JavaScript calls them, where no compiler complains.
const call = (fn: (options: never) => unknown, options: unknown) => () => fn(options as never)

describe('an option that there is not', () => {
  const layer = new nn.Linear(4, 3)
  const cases: readonly (readonly [string, (options: never) => unknown, object])[] = [
    ['Linear', (o) => new nn.Linear(4, 3, o), {}],
    ['Conv2d', (o) => new nn.Conv2d(4, 3, 1, o), { stride: 2 }],
    ['Embedding', (o) => new nn.Embedding(4, 3, o), {}],
    ['LayerNorm', (o) => new nn.LayerNorm(4, o), { eps: 1 }],
    ['BatchNorm2d', (o) => new nn.BatchNorm2d(4, o), { momentum: null }],
    ['LSTM', (o) => new nn.LSTM(4, 3, o), { numLayers: 2 }],
    ['MultiheadAttention', (o) => new nn.MultiheadAttention(4, 2, o), { dropout: 0.1, bias: false }],
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
  it('and null is no options', () => {
    expect(call((o) => new nn.Linear(4, 3, o), null)).toThrow('[Linear] options are null')
    expect(() => new optim.SGD(undefined as never, { lr: 1 })).toThrow('[SGD] the parameters are undefined')
    expect(() => new optim.SGD([null as never], { lr: 1 })).toThrow('[SGD] a parameter is null')
    expect(call((o) => new nn.Linear(4, 3, o), { toString: true })).toThrow('there is no option toString')
  })
})

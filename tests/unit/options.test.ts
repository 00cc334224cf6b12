import vm from 'node:vm'
import { describe, expect, it } from 'vitest'
import { applyLora, unfreezeGradually } from '../../lib/finetune/index.js'
import { earlyStopping, Generator, nn, optim, randn, Trainer, ValueError, zeros } from '../../lib/index.js'
import * as ops from '../../lib/ops/index.js'
import { publicCalls } from '../fuzz/calls.js'
import { withOptions } from '../guards/optimizers.js'

const { init } = nn

const isPlain = (value: unknown) =>
  value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype

/** `[op] `, where op is one of the names. */
const fromOp = (names: string, message: string) => new RegExp(`^\\[(${names.replaceAll('.', '\\.')})\\] ${message}`)

// JavaScript calls them like this, without a compiler to complain.
const call = (fn: (options: never) => unknown, options: unknown) => () => fn(options as never)

describe('an option that there is not', () => {
  const layer = new nn.Linear(4, 3)
  const heads = new nn.MultiheadAttention(4, 2)
  const sgd = () => new optim.SGD(layer.parameters(), { lr: 1 })
  /**
   * Calls that the fuzzers lack, or have in another form: groups of parameters, forward passes, adapters, schedules.
   */
  const others: readonly (readonly [string, (options: never) => unknown, object])[] = [
    ['MultiheadAttention.forward', (o) => heads.forward(randn([1, 2, 4]), undefined, undefined, o), { isCausal: true }],
    ['TransformerEncoderLayer', (o) => new nn.TransformerEncoderLayer(4, 2, o), { normFirst: true, bias: false }],
    ['GELU', (o) => new nn.GELU(o), { approximate: 'tanh' }],
    ['SGD', (o) => new optim.SGD(layer.parameters(), o), { lr: 1 }],
    ['AdamW', (o) => new optim.AdamW([{ params: layer.parameters(), ...(o as object) }]), { lr: 1 }],
    [
      'Trainer',
      (o) => new Trainer(layer as never, o),
      { optimizer: new optim.SGD(layer.parameters(), { lr: 1 }), loss: nn.functional.mseLoss },
    ],
    ['earlyStopping', (o) => earlyStopping(o), { patience: 2 }],
    ['applyLora', (o) => applyLora(new nn.Sequential(new nn.Linear(4, 3)), o), { targetModules: 'all-linear' }],
    ['kaimingUniform_', (o) => init.kaimingUniform_(zeros([2, 2]), o), { a: 1, mode: 'fanOut' }],
    ['xavierNormal_', (o) => init.xavierNormal_(zeros([2, 2]), o), { gain: 2 }],
    ['normal_', (o) => init.normal_(zeros([2]), 0, 1, o), { generator: undefined }],
    ['loadStateDict', (o) => layer.loadStateDict(layer.stateDict(), o), { strict: false }],
    ['summary', (o) => layer.summary([1, 4], o), { dtype: 'float32' }],
    ['unfreezeGradually', (o) => unfreezeGradually(new nn.Sequential(layer), o), { everyEpochs: 2 }],
  ]
  // Sound calls whose last argument is an object of options.
  const sound = [...publicCalls, ...withOptions]
    .filter(({ args }) => isPlain(args().at(-1)))
    .map(({ names, args, call }): (typeof others)[number] => {
      const given = args()
      return [names.join('|'), (o) => call(...([...given.slice(0, -1), o] as never[])), given.at(-1) as object]
    })
  it('finds a sound call of every function of operators that takes options', () => {
    const takes = (fn: unknown) => typeof fn === 'function' && /^[^{]*\boptions\b/.test(String(fn))
    const called = new Set(sound.flatMap(([names]) => names.split('|')))
    const taking = Object.entries(ops).flatMap(([name, fn]) => (takes(fn) ? [name] : []))
    expect(taking).toContain('crossEntropy')
    expect(taking.filter((name) => !called.has(name))).toEqual([])
  })
  const cases = [...sound, ...others]
  it.each(cases)('%s refuses one and takes its own', (op, fn, right) => {
    expect(call(fn, right)).not.toThrow()
    expect(call(fn, { ...right, keepDim: true })).toThrow(ValueError)
    expect(call(fn, { ...right, keepDim: true })).toThrow(fromOp(op, 'there is no option keepDim; there are '))
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
    // The optimisers' cases are about groups, whose options are given with the parameters.
    if (others.some((each) => each[1] === fn) && (op === 'SGD' || op === 'AdamW')) return
    // The number is the padding value.
    // The number is a padding value, and the list a shape of normal numbers.
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
      if (!(op === 'pad' && given === 0.5) && !(op.startsWith('normal') && Array.isArray(given)))
        expect(call(fn, given)).toThrow(fromOp(op, `options are ${named}, but must be an object`))
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
    expect(() => layer.loadStateDict({ weight: zeros([3, 4]), bias: freed })).toThrow('[loadStateDict] bias was used')
    expect([...layer.weight.dataSync()]).toEqual(before)
  })
})

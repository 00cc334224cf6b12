import { describe, expect, it } from 'vitest'
import { device as deviceOf, nn, noGrad, StateDictError, type Tensor, tensor, ValueError } from '../../lib/index.js'

const devices = ['cpu', 'reference'] as const
const values = (of: Tensor) => [...of.dataSync()]

/** A language model whose head is its embedding. */
class Tied extends nn.Module {
  embed: nn.Embedding
  lmHead: nn.Linear
  constructor(device: string) {
    super()
    this.embed = new nn.Embedding(3, 2, { device })
    this.lmHead = new nn.Linear(2, 3, { bias: false, device })
    this.lmHead.weight = this.embed.weight as never
  }
  forward(ids: Tensor): Tensor {
    return this.lmHead.forward(this.embed.forward(ids) as never)
  }
}

describe.each(devices)('states of tied weights on %s', (device) => {
  const table = (first: number) => tensor([first, 2, 3, 4, 5, 6], { device }).reshape([3, 2])

  it('load from one of the names', () => {
    for (const name of ['embed.weight', 'lm_head.weight']) {
      const model = new Tied(device)
      expect(model.loadStateDict({ [name]: table(1) })).toEqual({ missing: [], unexpected: [], excluded: [] })
      expect(values(model.embed.weight)).toEqual([1, 2, 3, 4, 5, 6])
      expect(model.lmHead.weight).toBe(model.embed.weight)
    }
    expect(() => new Tied(device).loadStateDict({})).toThrow('missing: embed.weight\n  missing: lm_head.weight')
  })

  it('load from several that agree, and refuse those that do not', () => {
    const model = new Tied(device)
    model.loadStateDict({ 'embed.weight': table(Number.NaN), 'lm_head.weight': table(Number.NaN) })
    expect(values(model.embed.weight)).toEqual([Number.NaN, 2, 3, 4, 5, 6])
    for (const strict of [true, false]) {
      const load = () => model.loadStateDict({ 'embed.weight': table(1), 'lm_head.weight': table(7) }, { strict })
      expect(load).toThrow(StateDictError)
      expect(load).toThrow('embed.weight and lm_head.weight share memory in this model, but have different values')
    }
    expect(values(model.embed.weight)).toEqual([Number.NaN, 2, 3, 4, 5, 6])
  })

  it('are told apart from parts of one memory', () => {
    class Parts extends nn.Module {
      all = new nn.Parameter(tensor([1, 2, 3, 4], { device }))
      first = new nn.Parameter(this.all.detach().slice([0, 2]))
      last = new nn.Parameter(this.all.detach().slice([2, 4]))
      forward() {}
    }
    const model = new Parts()
    const state = (a: readonly number[], b: readonly number[], c: readonly number[]) => ({
      all: tensor(a, { device }),
      first: tensor(b, { device }),
      last: tensor(c, { device }),
    })
    model.loadStateDict(state([5, 6, 7, 8], [5, 6], [7, 8]))
    expect(values(model.all)).toEqual([5, 6, 7, 8])
    expect(() => model.loadStateDict(state([5, 6, 7, 8], [5, 6], [7, 9]))).toThrow('all and last share memory')
    // A part does not replace the whole.
    const { first, last } = state([], [1, 2], [3, 4])
    expect(() => model.loadStateDict({ first, last })).toThrow('missing: all')
  })

  it('may be tied by a transposed view', () => {
    class Autoencoder extends nn.Module {
      encoder = new nn.Parameter(tensor([1, 2, 3, 4, 5, 6], { device }).reshape([3, 2]))
      decoder = new nn.Parameter(this.encoder.detach().transpose(0, 1))
      forward() {}
    }
    const model = new Autoencoder()
    model.loadStateDict({ encoder: table(9) })
    expect(model.decoder.toArray()).toEqual([
      [9, 3, 5],
      [2, 4, 6],
    ])
    model.loadStateDict({ encoder: table(8), decoder: table(8).transpose(0, 1) })
    expect(model.encoder.toArray()).toEqual(table(8).toArray())
    const twisted = () => model.loadStateDict({ encoder: table(8), decoder: table(8).reshape([2, 3]) })
    expect(twisted).toThrow('encoder and decoder share memory')
  })

  it('keep their tie on another dtype', () => {
    const model = new Tied(device)
    model.to('bfloat16')
    expect(model.lmHead.weight).toBe(model.embed.weight)
    expect(model.embed.weight.dtype).toBe('bfloat16')
    expect(model.embed.weight.device).toBe(deviceOf(device))
  })
})

describe('states that are none', () => {
  const model = () => new nn.Linear(2, 1)
  const load = (state: unknown, strict = true) => model().loadStateDict(state as never, { strict })

  it('list everything that is wrong at once', () => {
    const weight = tensor([1])
    expect(() => load({ weight, bias: 3, extra: weight, __proto__: { x: weight } })).toThrow(
      '3 mismatches:\n  unexpected: extra\n  weight is [1], but must be [1, 2]\n  bias is the number 3, but must be a tensor',
    )
    expect(() => load({ weight: undefined, bias: null })).toThrow(
      '2 mismatches:\n  missing: weight\n  bias is null, but must be a tensor',
    )
    expect(() => load({ weight: tensor([[1, 2]]) })).toThrow('[loadStateDict] 1 mismatch:\n  missing: bias')
    expect(load({ weight: undefined, constructor: weight }, false)).toEqual({
      missing: ['weight', 'bias'],
      unexpected: ['constructor'],
      excluded: [],
    })
    expect(() => load({ bias: [1] }, false)).toThrow('bias is an array, but must be a tensor')
    expect(() => load({ weight: {}, bias: {} })).toThrow(
      'weight is an object, but must be a tensor; JSON holds no tensors, use save and load',
    )
  })

  it('are refused by what they are', () => {
    for (const [state, what] of [
      [undefined, 'undefined'],
      ['weight', "'weight'"],
      [[tensor([1])], 'an array'],
      [tensor([1]), 'a tensor'],
      [model(), 'a module; pass its stateDict()'],
    ]) {
      expect(() => load(state)).toThrow(ValueError)
      expect(() => load(state)).toThrow(`[loadStateDict] the state is ${what}`)
    }
  })

  it('cannot be of what is no module', () => {
    expect(() => nn.stateDict({} as never)).toThrow('[stateDict] the module is an object, but must be a Module')
    expect(() => nn.loadStateDict(null as never, {})).toThrow('[loadStateDict] the module is null')
  })

  it('cannot be held by a tensor whose elements are one', () => {
    class Wide extends nn.Module {
      weight = new nn.Parameter(tensor([1]).expand([2]))
      forward() {}
    }
    expect(() => new Wide().loadStateDict({ weight: tensor([1, 2]) })).toThrow(
      'several elements of weight share memory',
    )
  })

  it('of a module in two places have both names, and load from either', () => {
    class Siamese extends nn.Module {
      left = new nn.Linear(1, 1)
      right = this.left
      forward() {}
    }
    const siamese = new Siamese()
    expect([...siamese.stateDict().keys()]).toEqual(['left.weight', 'left.bias', 'right.weight', 'right.bias'])
    expect(siamese.namedParameters().map(([name]) => name)).toEqual(['left.weight', 'left.bias'])
    const [weight, bias] = [tensor([[4]]), tensor([5])]
    siamese.loadStateDict({ 'right.weight': weight, 'left.bias': bias })
    expect([siamese.left.weight.item(), siamese.left.bias?.item()]).toEqual([4, 5])
    const both = { 'left.weight': weight, 'right.weight': tensor([[6]]), 'left.bias': bias, 'right.bias': bias }
    expect(() => siamese.loadStateDict(both)).toThrow('left.weight and right.weight share memory')
    noGrad(() => siamese.left.weight.fill_(1))
    siamese.loadStateDict({ ...both, 'right.weight': weight.clone() })
    expect(siamese.left.weight.item()).toBe(4)
  })
})

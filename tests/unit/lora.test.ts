import { describe, expect, it, vi } from 'vitest'
import {
  applyLora,
  countParameters,
  freeze,
  LoraAdapter,
  LoraLinear,
  type LoraOptions,
  mergeLora,
  removeLora,
  unfreeze,
  unmergeLora,
} from '../../lib/finetune/index.js'
import { manualSeed, nn, noGrad, optim, sum, type Tensor, tensor, ValueError } from '../../lib/index.js'
import { llama } from '../../lib/models/index.js'

/** A block with paths like those in a transformer. */
class Net extends nn.Module {
  embed: nn.Embedding
  layers: { qProj: nn.Linear; v: nn.Linear }[]
  norm: nn.LayerNorm
  head: nn.Linear
  constructor(device = 'cpu') {
    super()
    this.embed = new nn.Embedding(3, 2, { device })
    const linear = () => new nn.Linear(2, 2, { device })
    this.layers = [0, 1].map(() => ({ qProj: linear(), v: linear() }))
    this.norm = new nn.LayerNorm(2, { device })
    this.head = new nn.Linear(2, 3, { bias: false, device })
  }
  forward(ids: Tensor): Tensor {
    let x = this.embed.forward(ids)
    for (const { qProj, v } of this.layers) x = v.forward(qProj.forward(x) as Tensor) as Tensor
    return this.head.forward(this.norm.forward(x)) as Tensor
  }
}
const ids = (device = 'cpu') => tensor([0, 1, 2], { dtype: 'int32', device })
const adapted = (model: nn.Module) =>
  model
    .namedModules()
    .flatMap(([path, m]) => (m instanceof nn.Linear && m.adapters.get('default') instanceof LoraAdapter ? [path] : []))
const adapterOf = (layer: nn.Linear<never, never> | nn.Linear) => layer.adapters.get('default') as LoraLinear
const learning = (model: nn.Module) =>
  model.namedParameters().flatMap(([name, { requiresGrad }]) => (requiresGrad ? [name] : []))
const apply = (options: Partial<LoraOptions>, model = new Net()) =>
  applyLora(model, { rank: 1, targetModules: 'all-linear', ...options })
const set = (adapter: LoraLinear, a: number, b: number) =>
  noGrad(() => void [adapter.loraA.weight.fill_(a), adapter.loraB.weight.fill_(b)])

const linears = ['layers.0.qProj', 'layers.0.v', 'layers.1.qProj', 'layers.1.v', 'head']

describe('LoRA’s layers', () => {
  it.each([
    ['all-linear', linears],
    [['head'], ['head']],
    [
      ['v', 'layers.1.qProj'],
      ['layers.0.v', 'layers.1.qProj', 'layers.1.v'],
    ],
    [/Proj|\.v/g, linears.slice(0, 4)],
    [/^head/y, ['head']],
    ['.*\\.(qProj|v)', linears.slice(0, 4)],
    ['layers\\.0\\..*', linears.slice(0, 2)],
    ['head', ['head']],
  ] as const)('are those that %s selects', (targetModules, expected) => {
    const model = apply({ targetModules: targetModules as LoraOptions['targetModules'] })
    expect(adapted(model)).toEqual(expected)
    expect(learning(model).every((name) => name.includes('lora_'))).toBe(true)
  })

  it.each([
    [
      { targetModules: ['v', 'k_proj', 'o'] },
      "targetModules names ['k_proj', 'o'], but the names to choose from are ['embed', 'layers.0.qProj', 'layers.0.v'",
    ],
    [
      { targetModules: ['norm'] },
      "targetModules names ['norm'], but 'norm' is a LayerNorm; LoRA adapts Linear, Embedding, Conv1d to Conv3d and MultiheadAttention; the names to choose from are ['embed",
    ],
    [
      { targetModules: 'qProj' },
      "no layer matches targetModules 'qProj'; layers that can be adapted are ['embed', 'layers.0.qProj', 'layers.0.v', 'layers.1.qProj', 'layers.1.v', 'head']; a string",
    ],
    [
      { targetModules: /norm/ },
      "no layer matches targetModules /norm/; 'norm' is a LayerNorm; LoRA adapts Linear, Embedding, Conv1d to Conv3d and MultiheadAttention; layers",
    ],
    [{ targetModules: /nothing/ }, 'no layer matches targetModules /nothing/'],
    [{ targetModules: [] }, 'no layer matches targetModules []'],
    [{ targetModules: '' }, "targetModules is '', but must be a list of names"],
    [{ targetModules: 2 }, 'targetModules is 2, but must be a list of names'],
    [{ targetModules: undefined }, 'targetModules is undefined, but must be'],
    [{ targetModules: ['v', 3] }, "targetModules is ['v', 3], but must be a list of names"],
    [{ targetModules: '(' }, 'targetModules "(" is not a supported regular expression'],
    [
      { modulesToSave: ['head', 'classifier'] },
      "modulesToSave names ['classifier'], but the names to choose from are ['embed'",
    ],
    [{ modulesToSave: 'head' }, "modulesToSave is 'head', but must be a list of names"],
    [
      { targetModules: ['head'], modulesToSave: ['head'] },
      "targetModules names ['head'], but 'head' is in modulesToSave, which learns whole; the names",
    ],
    [{ rankPattern: { '(': 2 } }, 'a key of rankPattern "(" is not a supported regular expression'],
    [{ rankPattern: { 'v)|(x': 2 } }, 'a key of rankPattern "v)|(x" is not a supported regular expression'],
    [{ rankPattern: { v: 1.5 } }, 'rank is 1.5 for layers.0.v'],
    [{ rankPattern: 3 }, 'rankPattern is 3, but must be an object'],
    [{ alphaPattern: { v: 'x' } }, "alpha is 'x' for layers.0.v"],
    [{ rank: 0 }, 'rank is 0 for layers.0.qProj'],
    [{ alpha: Number.NaN }, 'alpha is NaN for layers.0.qProj'],
    [{ dropout: '0' }, "dropout is '0', but must be a probability"],
    [{ dropout: 2 }, 'dropout is 2, but must be a probability'],
    [{ rankStabilized: 1 }, 'rankStabilized is 1, but must be true or false'],
    [{ generator: {} }, 'generator is an object, but must be a Generator'],
  ])('are not those of %j', (options, message) => {
    const model = new Net()
    expect(() => apply(options as never, model)).toThrow(ValueError)
    expect(() => apply(options as never, model)).toThrow(`[applyLora] ${message}`)
    // Nothing has changed.
    expect(adapted(model)).toEqual([])
    expect(countParameters(model).trainable).toBe(countParameters(model).total)
  })

  it.each([
    [{ rankPattern: { k: 2 } }, "rankPattern has ['k'], which matches no adapted layer; these are ['layers.0.qProj'"],
    [{ targetModules: ['v'], rankPattern: { head: 2 } }, "rankPattern has ['head'], which matches no adapted layer"],
    [{ alphaPattern: { v: 2, qPro: 1, o: 3 } }, "alphaPattern has ['qPro', 'o'], which match no adapted layer"],
  ])('are warned of where a pattern of %j matches nothing', (options, message) => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const model = new Net()
    apply(options as never, model)
    expect(warned.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining(`[applyLora] ${message}`)])
    expect(adapted(model).length).toBeGreaterThan(0)
    warned.mockRestore()
  })

  it('are named by their ends in a large model, with those that resemble the wrong name', () => {
    const model = llama({ vocabSize: 8, width: 4, layers: 12, heads: 2, inner: 4, context: 4 })
    const ends =
      "['embed_tokens', 'q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj', 'lm_head']"
    const such = `${ends}, the ends of 86 names such as 'model.layers.6.self_attn.q_proj'`
    for (const [targetModules, message] of [
      [
        ['q_prj', 'v_proj'],
        `targetModules names ['q_prj'], but the names to choose from are ${such}; did you mean 'q_proj'?`,
      ],
      [['query'], `targetModules names ['query'], but the names to choose from are ${such}`],
      [['proj', 'lmhead'], `did you mean 'q_proj' or 'k_proj' or 'v_proj' or 'lm_head'?`],
      [['self_atn.q_proj'], `did you mean 'self_attn.q_proj' or 'self_attn.k_proj' or 'self_attn.v_proj'?`],
      [
        'q_proj',
        `layers that can be adapted are ${such}; a string must match whole paths, so give the list ['q_proj']`,
      ],
      [/[xyz]_proj$/, `no layer matches targetModules /[xyz]_proj$/; layers that can be adapted are ${such}`],
    ] as const) {
      const error = (() => {
        try {
          return applyLora(model, { targetModules })
        } catch (thrown) {
          return thrown
        }
      })() as Error
      expect(error.message).toContain(message)
      expect(error.message.length).toBeLessThan(420)
    }
  })

  it('may not be of another kind', () => {
    const model = new nn.Sequential(new nn.BatchNorm1d(4) as nn.Layer, new nn.Linear(4, 2))
    expect(() => applyLora(model, { targetModules: ['0'] })).toThrow(
      "[applyLora] targetModules names ['0'], but '0' is a BatchNorm1d; LoRA adapts Linear, Embedding, Conv1d to Conv3d and MultiheadAttention; the names to choose from are ['1']",
    )
  })

  it('have ranks and alphas by patterns, the first that matches', () => {
    const model = apply({
      rank: 2,
      alpha: 6,
      rankPattern: { 'layers\\.\\d\\.v': 4, 'v|head': 8 },
      alphaPattern: { '0\\..*': 1 },
    })
    const sizes = model.namedModules().flatMap(([, m]) => (m instanceof LoraAdapter ? [[m.rank, m.scale]] : []))
    expect(sizes).toEqual([
      [2, 0.5],
      [4, 0.25],
      [2, 3],
      [4, 1.5],
      [8, 0.75],
    ])
    expect(adapterOf(apply({ rank: 4, alpha: 8, rankStabilized: true }).head).scale).toBe(4)
    // The default alpha is the rank of all.
    expect(adapterOf(apply({ rank: 2, rankPattern: { head: 8 } }).head).scale).toBe(0.25)
  })

  it('leave modules that learn whole alone', () => {
    const model = apply({ modulesToSave: ['head', 'norm'] })
    expect(adapted(model)).toEqual(linears.slice(0, 4))
    expect(learning(model).filter((name) => !name.includes('lora_'))).toEqual([
      'norm.modules_to_save.default.weight',
      'norm.modules_to_save.default.bias',
      'head.modules_to_save.default.weight',
    ])
  })

  it('are adapted once', () => {
    const model = apply({ targetModules: ['head'] })
    expect(() => apply({}, model)).toThrow(
      "[applyLora] the model already has an adapter 'default', in head; use another name, or remove it first with removeLora",
    )
    const outer = new nn.Sequential(model as unknown as nn.Layer)
    expect(() => applyLora(outer, { targetModules: ['v'] })).toThrow("an adapter 'default', in 0.head")
    removeLora(model)
    expect(adapted(apply({}, model))).toEqual(linears)
    expect(() => removeLora(new Net())).toThrow('[removeLora] the model has no adapter')
  })
})

describe.each(['cpu', 'reference'])('merging on %s', (device) => {
  const make = () => {
    const model = apply({ targetModules: ['v', 'head'], alpha: 2, dropout: 0.5 }, new Net(device)).eval()
    for (const [, m] of model.namedModules()) if (m instanceof LoraLinear) set(m, 0.5, 0.25)
    return model
  }
  const close = (a: Tensor, b: Tensor) => expect(Math.max(...a.sub(b).abs().dataSync(), 0)).toBeLessThan(1e-5)

  it('changes no result, there and back', () => {
    const model = make()
    const before = model.forward(ids(device)).detach()
    const base = model.head.weight.clone()
    mergeLora(model)
    mergeLora(model)
    close(model.forward(ids(device)), before)
    expect(model.head.weight.sub(base).dataSync()[0]).toBeCloseTo(0.25, 6)
    unmergeLora(model)
    unmergeLora(model)
    close(model.head.weight, base)
    close(model.forward(ids(device)), before)
    mergeLora(model)
    removeLora(model)
    close(model.forward(ids(device)), before)
  })

  it('takes out what it put in, though the adapter has changed', () => {
    const model = make()
    const base = model.head.weight.clone()
    mergeLora(model)
    set(adapterOf(model.head), 7, 7)
    unmergeLora(model)
    close(model.head.weight, base)
    expect(adapterOf(model.head).loraA.weight.dataSync()[0]).toBe(7)
  })

  it('can be undone elsewhere', () => {
    const model = make()
    const base = [...model.head.weight.dataSync()]
    mergeLora(model)
    model.to(device === 'cpu' ? 'reference' : 'cpu')
    unmergeLora(model)
    for (const [i, value] of model.head.weight.dataSync().entries()) expect(value).toBeCloseTo(base[i] as number, 6)
    expect(model.head.weight.device.name).not.toBe(device)
  })

  it('ends learning until it is undone', () => {
    const model = make()
    const names = learning(model)
    expect(names).toHaveLength(6)
    mergeLora(model)
    expect(learning(model)).toEqual([])
    expect(() => sum(model.forward(ids(device))).backward()).toThrow('[backward]')
    unmergeLora(model)
    expect(learning(model)).toEqual(names)
  })

  it('forbids states that would hold the product twice', async () => {
    const model = make()
    const state = new Map([...model.stateDict()].map(([name, t]) => [name, t.clone()]))
    mergeLora(model)
    for (const use of [() => model.stateDict(), () => model.loadStateDict(state), () => nn.stateDict(model.head)]) {
      expect(use).toThrow(ValueError)
      expect(use).toThrow('a LoRA adapter is merged into its weight; call unmergeLora first, or removeLora')
    }
    await expect(model.save('merged.safetensors')).rejects.toThrow('[save] a LoRA adapter is merged')
    unmergeLora(model)
    model.loadStateDict(state)
    close(model.head.weight, state.get('head.weight') as Tensor)
    mergeLora(model)
    removeLora(model)
    expect([...model.stateDict().keys()].filter((name) => name.includes('lora'))).toEqual([])
  })

  it('is refused for a weight that something else uses', () => {
    // The bound is for these weights: adapters of ones make large numbers in between, of which little is left.
    manualSeed(0)
    const model = new Net(device)
    model.head.weight = model.embed.weight as never
    applyLora(model, { rank: 1, targetModules: ['v', 'head'] })
    for (const [, m] of model.namedModules()) if (m instanceof LoraLinear) set(m, 1, 1)
    const before = [...model.forward(ids(device)).dataSync()]
    expect(() => mergeLora(model)).toThrow(ValueError)
    expect(() => mergeLora(model)).toThrow(
      '[mergeLora] the weight of head is also embed.weight, which merging would change too',
    )
    // Nothing was merged, not even into the other layers.
    expect([...model.forward(ids(device)).dataSync()]).toEqual(before)
    expect(adapterOf((model.layers[0] as (typeof model.layers)[0]).v).merged).toBe(false)
    // A view of it also uses it.
    model.head.weight = new nn.Parameter(model.embed.weight.detach().slice([0, 3])) as never
    expect(() => mergeLora(model)).toThrow('the weight of head is also embed.weight')
    model.head.weight = new nn.Parameter(model.embed.weight.detach().clone()) as never
    mergeLora(model)
    const after = [...model.forward(ids(device)).dataSync()]
    after.forEach((value, i) => void expect(value).toBeCloseTo(before[i] as number, 4))
  })

  it('is right for one layer in two places', () => {
    class Twice extends nn.Module {
      a = new nn.Linear(2, 2, { device })
      b = this.a
      forward(x: Tensor): Tensor {
        return this.b.forward(this.a.forward(x as never) as never) as Tensor
      }
    }
    const model = applyLora(new Twice(), { rank: 1, targetModules: ['a'] })
    set(adapterOf(model.a), 1, 0.5)
    const x = tensor([[1, 2]], { device })
    const before = model.forward(x).detach()
    mergeLora(model)
    close(model.forward(x).mul(0.1), before.mul(0.1))
  })
})

describe('freezing', () => {
  it('selects by every name of a tensor, and by expressions without a memory', () => {
    const model = new Net()
    model.head.weight = model.embed.weight as never
    expect(freeze(model, 'head')).toBe(1)
    expect(model.embed.weight.requiresGrad).toBe(false)
    expect(unfreeze(model, 'embed')).toBe(1)
    expect(freeze(model, /weight/g)).toBe(6)
    expect(freeze(model, 'layers.0.*')).toBe(4)
    expect(() => freeze(model, 'nothing')).toThrow(
      "[freeze] nothing matches 'nothing'; the parameters are embed.weight",
    )
    expect(() => freeze(model, null as never)).toThrow('[freeze] the selection is null, but must be a path')
    expect(() => unfreeze(model, 9)).toThrow('[unfreeze] depth is 9')
  })

  it('refuses a model whose weights are freed, and has changed nothing then', () => {
    const model = new Net()
    model.layers[1]?.v.weight.dispose()
    expect(() => apply({ targetModules: ['head'] }, model)).toThrow('[applyLora] layers.1.v.weight was used after')
    expect(adapted(model)).toEqual([])
    expect(model.head.weight.requiresGrad).toBe(true)
  })

  it('keeps optimisers over the model: they train just the adapters', () => {
    const model = new Net()
    const sgd = new optim.SGD(model.parameters(), { lr: 1 })
    apply({ targetModules: ['head'] }, model)
    const before = model.head.weight.clone()
    sum(model.forward(ids()).square()).backward()
    sgd.step()
    expect([...model.head.weight.dataSync()]).toEqual([...before.dataSync()])
    expect(
      adapterOf(model.head)
        .loraB.weight.dataSync()
        .some((v) => v !== 0),
    ).toBe(true)
  })
})

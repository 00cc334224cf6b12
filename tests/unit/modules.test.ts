import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { mul, nn, noGrad, sum, type Tensor, tensor, ValueError, zeros } from '../../lib/index.js'
import { captureModes, trainModes } from '../../lib/nn/module.js'
import { takeOutput } from '../setup.js'

describe('modes', () => {
  const make = () => {
    const inner = new nn.Sequential(new nn.BatchNorm1d(2), new nn.Dropout(0.5))
    const model = new nn.Sequential(inner, new nn.Linear(2, 2))
    return { model, inner, norm: inner.at(0) as nn.BatchNorm1d, modes: () => model.modules().map((m) => m.training) }
  }

  it('are put back one by one, as they were', () => {
    const { model, norm, modes } = make()
    norm.eval()
    const restore = captureModes(model)
    model.eval()
    expect(modes()).toEqual([false, false, false, false, false])
    restore()
    expect(modes()).toEqual([true, true, false, true, true])
  })

  it('of inner modules last through a training, and through an evaluation before it', () => {
    for (const first of ['inner', 'model']) {
      const { model, norm, modes } = make()
      if (first === 'inner') norm.eval()
      trainModes(model)
      expect(modes()).toEqual([true, true, first === 'model', true, true])
      model.eval()
      if (first === 'model') norm.eval()
      trainModes(model)
      expect(modes()).toEqual([true, true, false, true, true])
      // train() means all modules.
      model.train()
      model.eval()
      trainModes(model)
      expect(modes()).toEqual([true, true, true, true, true])
    }
  })

  it('of a module inside an evaluated one are held with it', () => {
    const { model, inner, modes } = make()
    model.eval()
    inner.eval()
    trainModes(model)
    expect(modes()).toEqual([true, false, false, false, true])
    inner.train()
    expect(modes()).toEqual([true, true, true, true, true])
  })

  it('an evaluation by somebody else holds nothing', () => {
    const { model, inner, modes } = make()
    const restore = captureModes(inner)
    inner.eval()
    restore()
    model.eval()
    trainModes(model)
    expect(modes()).toEqual([true, true, true, true, true])
  })

  it('are booleans', () => {
    expect(() => new nn.Linear(1, 1).train('eval' as never)).toThrow(ValueError)
    expect(() => new nn.Linear(1, 1).train('eval' as never)).toThrow("[Linear.train] the mode is 'eval'")
  })
})

describe('what a module holds', () => {
  const linear = () => new nn.Linear(1, 1, { bias: false })
  const parameter = () => new nn.Parameter(zeros([1]))
  class Holding extends nn.Module {
    held: unknown
    constructor(held: unknown) {
      super()
      this.held = held
    }
    forward() {}
  }
  const names = (held: unknown) => new Holding(held).namedParameters().map(([name]) => name)

  it('is found in arrays, Sets, Maps and plain objects, nested or not', () => {
    expect(names(linear())).toEqual(['held.weight'])
    expect(names({ a: linear(), fooBar: parameter() })).toEqual(['held.fooBar', 'held.a.weight'])
    expect(names(Object.assign(Object.create(null), { a: linear() }))).toEqual(['held.a.weight'])
    expect(names([parameter(), null, linear()])).toEqual(['held.0', 'held.2.weight'])
    expect(
      names(
        new Map<unknown, unknown>([
          ['a', linear()],
          [3, parameter()],
        ]),
      ),
    ).toEqual(['held.3', 'held.a.weight'])
    expect(names(new Set([linear()]))).toEqual(['held.0.weight'])
    expect(names([{ q: [linear(), new Map([['k', parameter()]])] }, 'text', () => 1])).toEqual([
      'held.0.q.1.k',
      'held.0.q.0.weight',
    ])
    expect(names([[['conv', linear()]]])).toEqual(['held.0.0.1.weight'])
    expect(names(new Holding([linear()]))).toEqual(['held.held.0.weight'])
  })

  it('is found by everything that walks', () => {
    const inner = new nn.BatchNorm1d(1)
    const model = new Holding({ a: [inner] })
    expect(model.namedModules().map(([name]) => name)).toEqual(['', 'held.a.0'])
    expect(model.namedChildren().map(([name]) => name)).toEqual(['held.a.0'])
    expect(model.namedBuffers().map(([name]) => name)).toEqual([
      'held.a.0.running_mean',
      'held.a.0.running_var',
      'held.a.0.num_batches_tracked',
    ])
    expect([...model.stateDict().keys()]).toHaveLength(5)
    model.eval()
    expect(inner.training).toBe(false)
    model.requiresGrad_(false).to('bfloat16')
    expect([inner.weight?.requiresGrad, inner.weight?.dtype]).toEqual([false, 'bfloat16'])
    expect(new Holding([parameter()]).ownParameters()).toHaveLength(1)
    expect(new Holding([parameter()]).summary().parameters).toBe(1)
    const seen: unknown[] = []
    model.apply((module) => seen.push(module))
    expect(seen).toEqual([inner, model])
  })

  it('is found in arrays with holes, however many: by what is there', () => {
    const sparse = (at: number, length = at + 1) =>
      Object.assign(Array.from<unknown>({ length: 0 }), { [at]: linear(), 3: parameter(), length, other: linear() })
    // A few holes are accepted, but some arrays have too many. Small arrays take another path.
    for (const at of [63, 64, 1027, 1028, 1029, 5000, 2 ** 32 - 2])
      expect(names(sparse(at))).toEqual(['held.3', `held.${at}.weight`])
    expect(names(sparse(9, 2 ** 32 - 1))).toEqual(['held.3', 'held.9.weight'])
    expect(names(new Array(2 ** 32 - 1))).toEqual([])
  })

  it.each([
    ['Sequentials', (inner: nn.Module) => new nn.Sequential(inner as nn.ReLU)],
    [
      'modules',
      (inner: nn.Module) =>
        new (class Outer extends Holding {
          override forward(...x: never[]) {
            return (this.held as nn.ReLU).forward(...(x as [never]))
          }
        })(inner),
    ],
  ] as const)('is within at most 1000 %s, whoever asks', (_, wrap) => {
    const nested = (depth: number) => {
      let model: nn.Module = new nn.Linear(1, 1)
      for (let i = 1; i < depth; i++) model = wrap(model)
      return model as nn.Sequential
    }
    const x = zeros([1, 1])
    const fits = nested(1000)
    expect(fits.namedParameters()).toHaveLength(2)
    fits.forward(x).sum().backward()
    expect(fits.modules().at(-1)?.ownParameters()[0]?.grad?.item()).toBe(0)
    expect(String(fits).includes('Linear(in')).toBe(true)
    fits.apply(() => {})
    for (const depth of [1001, 20_000]) {
      const deep = nested(depth)
      for (const use of [
        () => deep.namedParameters(),
        () => deep.stateDict(),
        () => deep.eval(),
        () => deep.to('bfloat16'),
        () => deep.summary(),
        () => deep.apply(() => {}),
        () => deep.forward(x),
      ]) {
        expect(use).toThrow(ValueError)
        expect(use).toThrow('is nested 1001 modules deep, but at most 1000 are possible')
      }
      expect(String(deep).includes('(...)')).toBe(true)
    }
  })

  it('ends cycles', () => {
    const list: unknown[] = [linear()]
    list.push({ list }, list)
    const model = new Holding(list)
    const child = new Holding(model)
    list.push(child)
    expect(model.namedParameters().map(([name]) => name)).toEqual(['held.0.weight'])
    expect([...model.stateDict().keys()]).toEqual(['held.0.weight'])
    expect(model.modules()).toHaveLength(3)
    let calls = 0
    model.apply(() => calls++)
    expect(calls).toBe(3)
  })

  it('is not looked for in instances of other classes, in Tensors that are no parameters, nor in functions', () => {
    class Config {
      layer = linear()
    }
    expect(names([new Config(), zeros([1]), Object.assign(() => 1, { layer: linear() })])).toEqual([])
  })

  it.each([64, 65, 200])('is found in a list of %i that held nothing before', (length) => {
    const list: unknown[] = new Array(length).fill(null)
    const model = new Holding(list)
    expect(model.namedParameters()).toEqual([])
    list.push(linear())
    expect(model.namedParameters().map(([name]) => name)).toEqual([`held.${length}.weight`])
  })

  it('is found beside and below what is large and holds nothing', () => {
    const [numbers, empty] = [Array.from({ length: 300 }, (_, i) => i), {} as Record<string, unknown>]
    const table = { layer: linear(), numbers, empty }
    const model = new Holding(table)
    const found = () => model.namedParameters().map(([name]) => name)
    expect(found()).toEqual(['held.layer.weight'])
    Object.assign(empty, { other: linear() })
    numbers.push(parameter() as never)
    expect(found()).toEqual(['held.numbers.300', 'held.layer.weight', 'held.empty.other.weight'])
    // A module that a cycle hides on one side is found from the other.
    const [one, two] = [[linear()] as unknown[], new Array(100).fill(0) as unknown[]]
    one.push(two)
    two.push(one)
    expect(names(one)).toEqual(['held.0.weight'])
    expect(names(two)).toEqual(['held.100.0.weight'])
  })

  it('is not what a module keeps for itself: tensors under any name', () => {
    const cache = new Map<unknown, unknown>([
      [{}, zeros([1])],
      ['a.b', zeros([1])],
      [1, zeros([1])],
      ['1', zeros([1])],
    ])
    expect(names({ 'a.b': zeros([1]), cache, layer: linear() })).toEqual(['held.layer.weight'])
  })

  it('is found in a list of unchanged length once it runs', () => {
    const list: unknown[] = new Array(100).fill(null)
    class Model extends Holding {
      override forward() {
        return (list[50] as nn.Linear).forward(zeros([1, 1]))
      }
    }
    const model = new Model(list)
    expect(model.namedParameters()).toEqual([])
    list[50] = linear()
    model.forward()
    expect(model.namedParameters()).toHaveLength(1)
  })

  it('has one name each: two properties of one name are refused, whoever asks', () => {
    class Clash extends nn.Module {
      fooBar: unknown = parameter()
      foo_bar: unknown = parameter()
      forward() {}
    }
    const clash = new Clash()
    const message = '[Clash] the properties fooBar and foo_bar have the same name in a state, foo_bar'
    for (const use of [
      () => clash.namedParameters(),
      () => clash.stateDict(),
      () => clash.loadStateDict({}),
      () => new nn.Sequential(clash as never).namedState(),
      () => clash.modules(),
    ]) {
      expect(use).toThrow(ValueError)
      expect(use).toThrow(message)
    }
    clash.foo_bar = [linear()]
    expect(() => clash.namedParameters()).toThrow(message)
    clash.foo_bar = 3
    expect(clash.namedParameters().map(([name]) => name)).toEqual(['foo_bar'])
    clash.foo_bar = clash.fooBar
    expect([...clash.stateDict().keys()]).toEqual(['foo_bar'])
  })

  it('needs keys that can be names', () => {
    expect(() => names({ 'a.b': linear() })).toThrow("[Holding] 'a.b' in held cannot be a module's name in a state")
    expect(() => names({ '': linear() })).toThrow("'' in held cannot be")
    expect(() => names(new Map([[{}, linear()]]))).toThrow('a Map of modules needs strings or numbers as keys')
    expect(() =>
      names(
        new Map<unknown, unknown>([
          [1, linear()],
          ['1', linear()],
        ]),
      ),
    ).toThrow('two keys of held have the same')
  })

  it('may have names that every object has', () => {
    expect(names({ constructor: parameter(), toString: linear() })).toEqual([
      'held.constructor',
      'held.toString.weight',
    ])
    class Odd extends nn.Module {
      override valueOf = parameter() as never
      forward() {}
    }
    expect(new Odd().namedParameters().map(([name]) => name)).toEqual(['value_of'])
  })

  it('is told of where it runs and cannot be found', async () => {
    const told = async (model: nn.Model, calls = 2) => {
      for (let i = 0; i < calls; i++) model.forward(zeros([2, 2]))
      await new Promise((resolve) => setImmediate(resolve))
      return takeOutput()
    }
    class Hiding extends nn.Module {
      readonly #body: nn.Model
      constructor(body: nn.Model) {
        super()
        this.#body = body
      }
      forward(x: Tensor): Tensor {
        return this.#body.forward(x)
      }
    }
    class Outer extends nn.Sequential {}
    const first = await told(new Outer(new Hiding(new nn.Sequential(new nn.Linear(2, 2)))))
    expect(first).toHaveLength(1)
    expect(first[0]).toContain('FiresteelWarning: Outer runs a Sequential that is not found in its properties')
    expect(await told(new Hiding(new nn.Dropout(0.5)))).toHaveLength(1)
    expect(await told(new Hiding(new nn.BatchNorm1d(2, { affine: false })))).toHaveLength(1)
    // Modules without a state, modules that are meant to stay outside, and modules that can be found.
    expect(await told(new Hiding(new nn.ReLU()))).toEqual([])
    const teacher = new nn.Sequential(new nn.Linear(2, 2), new nn.BatchNorm1d(2), new nn.Dropout())
    teacher.requiresGrad_(false).eval()
    expect(await told(new Hiding(teacher))).toEqual([])
    expect(await told(new nn.Sequential(new nn.Linear(2, 2)))).toEqual([])
  })

  it('is told of where a tensor wants a gradient and is no parameter, once a place', async () => {
    const told = async (model: nn.Module) => {
      for (let i = 0; i < 2; i++) expect([...model.parameters()]).toHaveLength(1)
      model.stateDict()
      await new Promise((resolve) => setImmediate(resolve))
      return takeOutput()
    }
    const leaf = () => zeros([3], { requiresGrad: true })
    class Plain extends nn.Module {
      readonly ownWeight: unknown
      readonly real = new nn.Parameter(zeros([1]))
      constructor(held: unknown) {
        super()
        this.ownWeight = held
      }
      forward() {}
    }
    const [first, ...rest] = await told(new Plain(leaf()))
    expect(rest).toEqual([])
    expect(first).toContain(
      'FiresteelWarning: Plain.ownWeight is a tensor that wants a gradient, but is not a Parameter',
    )
    expect(first).toContain('new nn.Parameter(')
    expect(await told(new Plain(leaf()))).toEqual([])
    class Deep extends Plain {}
    const inner = await told(new Deep({ deep: [1, new Map([['k', leaf()]])] }))
    expect(inner).toHaveLength(1)
    expect(inner[0]).toContain('Deep.ownWeight.deep.1.k is a tensor')
    class Many extends Plain {}
    expect(await told(new Many(Array.from({ length: 100 }, leaf)))).toHaveLength(1)
    // Constants, results of operators, and tensors that have a place.
    class Fine extends Plain {}
    for (const held of [zeros([3]), mul(leaf(), 2), new nn.Buffer(zeros([3]))])
      for (const value of [held, [held]]) expect(await told(new Fine(value))).toEqual([])
  })
})

describe('what a module says of itself', () => {
  it('is the tree of its layers', () => {
    class Block extends nn.Module {
      heads = { a: new nn.Linear(3, 2, { bias: false }), b: [new nn.Dropout(0.25)] }
      self: nn.Module = this
      forward() {}
    }
    const text = ['Sequential(', '  (0): Block(', '    (heads.a): Linear(inFeatures=3, outFeatures=2, bias=false)']
    text.push('    (heads.b.0): Dropout(p=0.25)', '    (self): Block(...)', '  )', '  (1): ReLU()', ')')
    const model = new nn.Sequential(new Block() as unknown as nn.Layer, new nn.ReLU())
    expect(String(model)).toBe(text.join('\n'))
    expect(inspect(model)).toBe(text.join('\n'))
    expect(String(new Block())).toMatch(/^Block\(\n {2}\(heads/)
  })

  it('is no JSON and no clone', () => {
    const model = new nn.Sequential(new nn.ReLU())
    expect(() => JSON.stringify({ model })).toThrow('[Sequential] a module cannot be written as JSON; save()')
    expect(() => structuredClone({ model })).toThrow(
      /\[structuredClone\] a module is not copied, .*; save\(\) it to a file, and load it there/,
    )
    expect(Object.keys(model.stateDict())).toEqual([])
  })

  it('has a state that is no JSON', () => {
    for (const state of [new nn.Linear(2, 2).stateDict(), nn.stateDict(new nn.ReLU())]) {
      expect(() => JSON.stringify({ state })).toThrow(ValueError)
      expect(() => JSON.stringify(state)).toThrow('[stateDict] JSON keeps no tensors; save() of the module')
      expect(Object.keys(state)).toEqual([])
    }
    const [from, into] = [new nn.Linear(2, 2), new nn.Linear(2, 2)]
    into.loadStateDict(from.stateDict())
    expect(into.weight.toArray()).toEqual(from.weight.toArray())
  })
})

describe('what is put into a module', () => {
  it('is checked at once', () => {
    expect(() => new nn.Sequential(nn.ReLU as never)).toThrow(
      '[Sequential] entry 0 is the class ReLU; make it with new, but must be a module',
    )
    expect(() => new nn.ModuleList([new nn.ReLU(), zeros([1]) as never])).toThrow(
      '[ModuleList] entry 1 is a Tensor, but',
    )
    expect(() => new nn.ModuleList(3 as never)).toThrow('[ModuleList] the entries are the number 3')
    expect(() => new nn.Parameter([1] as never)).toThrow('[Parameter] the value must be a tensor')
    expect(() => new nn.Parameter(zeros([1], { dtype: 'int32' }))).toThrow(
      '[Parameter] the value is int32, which has no',
    )
    expect(new nn.Parameter(zeros([1], { dtype: 'int32' }), false).requiresGrad).toBe(false)
    expect(() => new nn.Buffer(null as never)).toThrow('[Buffer] the value must be a tensor')
    expect(() => new (class NoForward extends nn.Module {} as never as new () => unknown)()).toThrow('[NoForward]')
  })

  it('can be counted from the end', () => {
    const [a, b] = [new nn.ReLU(), new nn.Tanh()]
    const [layers, list] = [new nn.Sequential(a, b), new nn.ModuleList<nn.Module>([a, b])]
    for (const held of [layers, list])
      expect([held.at(-1), held.at(0), held.at(2), held.at(-3), held.length]).toEqual([b, a, undefined, undefined, 2])
  })
})

describe('Module.to', () => {
  it('takes gradients along, and keeps parameters and ties', () => {
    class Model extends nn.Module {
      weight = new nn.Parameter(tensor([1, 2, 3, 4]))
      part = new nn.Parameter(this.weight.detach().slice([1, 3]))
      steps = new nn.Buffer(zeros([], { dtype: 'int32' }))
      forward() {}
    }
    const model = new Model()
    const { weight } = model
    sum(mul(weight, weight)).backward()
    model.to('reference').to('float64')
    expect(model.weight).toBe(weight)
    expect([weight.dtype, weight.device.name, model.steps.dtype]).toEqual(['float64', 'reference', 'int32'])
    expect([weight.grad?.dtype, weight.grad?.toArray()]).toEqual(['float64', [2, 4, 6, 8]])
    noGrad(() => weight.fill_(5))
    expect(model.part.toArray()).toEqual([5, 5])
  })

  it('changes nothing if it fails', () => {
    const model = new nn.Sequential(new nn.Linear(1, 1))
    expect(() => model.to('float65')).toThrow()
    expect(() => model.to('float64')).toThrow('[to] device cpu has no float64')
    expect(() => model.to('int32')).toThrow('[Module.to] the dtype is int32')
    expect(model.namedParameters().map(([, { dtype }]) => dtype)).toEqual(['float32', 'float32'])
  })
})

/** Containers: what layers hand to one another, and that walks through a model see its present content. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { applyLora } from '../../lib/finetune/index.js'
import { nn, noGrad, optim, randn, relu, type Tensor, ValueError, zeros } from '../../lib/index.js'

const names = (module: nn.Module) => [...module.stateDict().keys()]
const twice = (x: Tensor) => x.mul(2)

describe('Sequential', () => {
  it('passes on the output of a layer that gives a record, the last one too', () => {
    const [lstm, gru, head] = [new nn.LSTM(3, 4), new nn.GRU(4, 5, { bidirectional: true }), new nn.Linear(10, 2)]
    const x = randn([6, 2, 3])
    const output = gru.forward(lstm.forward(x).output).output
    expect(new nn.Sequential(lstm, gru, head).forward(x).toArray()).toEqual(head.forward(output).toArray())
    expect(new nn.Sequential(lstm, gru).forward(x).toArray()).toEqual(output.toArray())
    const walked = new nn.Recurrent(new nn.GRUCell(3, 4))
    expect(new nn.Sequential(walked).forward(x).toArray()).toEqual(walked.forward(x).output.toArray())
  })

  it('passes on the first entry of a list', () => {
    const cell = new nn.LSTMCell(3, 4)
    const x = randn([2, 3])
    expect(new nn.Sequential(cell).forward(x).toArray()).toEqual(cell.forward(x)[0].toArray())
    class Weighing extends nn.MultiheadAttention {
      override forward(query: Tensor): never {
        return super.forward(query, query, query, { needWeights: true }) as never
      }
    }
    const attention = new Weighing(4, 2)
    const y = randn([2, 3, 4])
    const [plain] = attention.forward(y) as unknown as [Tensor, Tensor]
    expect(new nn.Sequential(attention as unknown as nn.Layer).forward(y).toArray()).toEqual(plain.toArray())
  })

  it('names the layer that gives nothing to pass on', () => {
    class Odd extends nn.Module {
      constructor(readonly gives: unknown) {
        super()
      }
      forward(_: Tensor) {
        return this.gives
      }
    }
    for (const [gives, text] of [
      [3, 'the number 3'],
      [null, 'null'],
      [{ logits: zeros([1]) }, 'an object'],
      [[], 'an array'],
      [Promise.resolve(zeros([1])), 'a Promise'],
    ])
      expect(() => new nn.Sequential(new nn.ReLU(), new Odd(gives) as unknown as nn.Layer).forward(zeros([1]))).toThrow(
        `[Sequential] layer 1, Odd, gave ${text}, but must give a tensor, a record`,
      )
  })

  it('takes functions among its layers', () => {
    const linear = new nn.Linear(3, 4)
    const model = new nn.Sequential(linear, relu, (x) => x.mul(2), twice)
    const x = randn([2, 3])
    expect(model.forward(x).toArray()).toEqual(relu(linear.forward(x)).mul(4).toArray())
    expect(model.at(2)).toBeInstanceOf(nn.Lambda)
    expect(names(model)).toEqual(['0.weight', '0.bias'])
    expect(String(model)).toContain('(1): Lambda(relu)')
    expect(String(model)).toContain('(2): Lambda((x) => x.mul(2))')
    expect(String(model)).toContain('(3): Lambda(twice)')
    expect(model.summary([2, 3]).layers.map(({ type, outputShapes }) => [type, outputShapes[0]])).toContainEqual([
      'Lambda',
      [2, 4],
    ])
    expect(() => new nn.Lambda(nn.ReLU as never)).toThrow('[Lambda] needs a function of a tensor')
    expect(() => new nn.Lambda(3 as never)).toThrow('[Lambda] needs a function of a tensor, but got the number 3')
  })

  it('is changed in place, by places from either end', () => {
    const [a, b, c, d] = [new nn.Linear(2, 2), new nn.Linear(2, 2), new nn.Linear(2, 2), new nn.Linear(2, 2)]
    const model = new nn.Sequential(a, b)
    expect([...model.set(-1, c)]).toEqual([a, c])
    expect([...model.insert(0, b).insert(3, d)]).toEqual([b, a, c, d])
    expect([...model.insert(-1, d)]).toEqual([b, a, c, d, d])
    expect(model.pop(3)).toBe(d)
    expect(model.pop()).toBe(d)
    expect([...model.extend([d, a]), model.length]).toEqual([b, a, c, d, a, 5])
    expect([...model.slice(1, -1)]).toEqual([a, c, d])
    expect([...model.slice(-2)]).toEqual([d, a])
    expect(model.slice()).not.toBe(model)
    expect(model.at(-5)).toBe(b)
    const x = randn([1, 2])
    expect(model.slice(1, 3).forward(x).toArray()).toEqual(c.forward(a.forward(x)).toArray())
  })

  it('refuses places that there are not, and changes nothing then', () => {
    const model = new nn.Sequential(new nn.ReLU())
    const layer = new nn.Tanh()
    const calls: readonly (readonly [() => unknown, string])[] = [
      [() => model.set(1, layer), '[Sequential.set] index 1 lies outside the 1 entries; allowed are -1 to 0'],
      [() => model.set(-2, layer), '[Sequential.set] index -2 lies outside'],
      [() => model.insert(2, layer), '[Sequential.insert] index 2 lies outside the 1 entries; allowed are -1 to 1'],
      [() => model.pop(1), '[Sequential.pop] index 1 lies outside'],
      [() => model.set(0.5, layer), '[Sequential.set] the index is 0.5, but must be an integer'],
      [() => model.slice('0' as never), "[Sequential.slice] the index is '0', but must be an integer"],
      [() => model.set(0, zeros([1]) as never), '[Sequential] entry 0 is a Tensor, but must be a module'],
      [() => model.extend([layer, nn.ReLU as never]), '[Sequential] entry 2 is the class ReLU; make it with new'],
      [() => model.extend(3 as never), '[Sequential] the entries are the number 3'],
      [() => new nn.Sequential().pop(), '[Sequential.pop] index -1 lies outside the 0 entries'],
    ]
    for (const [call, text] of calls) {
      expect(call, text).toThrow(ValueError)
      expect(call).toThrow(text)
    }
    expect([...model].map((held) => held.constructor.name)).toEqual(['ReLU'])
  })
})

describe('a layer that is replaced', () => {
  it('is gone from walks, states and an optimiser over parameters()', () => {
    const [old, fresh] = [new nn.Linear(2, 2), new nn.Linear(2, 3)]
    const model = new nn.Sequential(new nn.Linear(2, 2), old)
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
    const step = () => {
      model
        .forward(randn([4, 2]))
        .sum()
        .backward()
      optimizer.step()
      optimizer.zeroGrad()
    }
    step()
    const before = old.weight.toArray()
    model.set(1, fresh)
    expect(model.modules()).not.toContain(old)
    expect([...model.parameters()]).toEqual([...(model.at(0) as nn.Linear).parameters(), ...fresh.parameters()])
    expect(model.stateDict().get('1.weight')?.shape).toEqual([3, 2])
    expect(optimizer.parameters()).not.toContain(old.weight)
    const start = fresh.weight.toArray()
    step()
    expect(fresh.weight.toArray()).not.toEqual(start)
    expect(old.weight.toArray()).toEqual(before)
    expect([...optimizer.stateDict().state.keys()]).toEqual(['0.weight', '0.bias', '1.weight', '1.bias'])
    expect(optimizer.stateDict().state.get('1.weight')?.tensors['momentum']?.shape ?? [3, 2]).toEqual([3, 2])
    model.eval()
    expect([fresh.training, old.training]).toEqual([false, true])
    model.to('float32').requiresGrad_(false)
    expect([fresh.weight.requiresGrad, old.weight.requiresGrad]).toEqual([false, true])
  })

  it('is not taken for one that hides, once it has run', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Linear(2, 2))
    model.forward(zeros([1, 2]))
    const warned: string[] = []
    const listen = (warning: Error) => warned.push(warning.message)
    process.on('warning', listen)
    model
      .set(0, new nn.Linear(2, 2))
      .append(new nn.Linear(2, 2))
      .forward(zeros([1, 2]))
    return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      process.off('warning', listen)
      expect(warned).toEqual([])
    })
  })
})

describe('a container inside itself', () => {
  const layer = () => new nn.Linear(2, 2)
  it.each([
    ['append', (c: nn.Sequential) => c.append(c as never)],
    ['insert', (c: nn.Sequential) => c.insert(0, new nn.Sequential(c as never) as never)],
    ['set', (c: nn.Sequential) => c.set(0, c as never)],
    ['extend', (c: nn.Sequential) => c.extend([layer() as never, c as never])],
  ] as const)('is refused at once, by %s', (_, put) => {
    const sequential = new nn.Sequential(layer()) as nn.Sequential
    expect(() => put(sequential)).toThrow(ValueError)
    expect(() => put(sequential)).toThrow(
      /^\[Sequential\] entry \d is (this Sequential itself|a Sequential that holds this)/,
    )
    expect(sequential.length).toBe(1)
    const list = new nn.ModuleList<nn.Module>([layer()])
    expect(() => put(list as never)).toThrow(
      /^\[(ModuleList|Sequential)\] entry \d is (this ModuleList itself|a \w+ that holds this ModuleList)/,
    )
  })

  it('is refused by a table too, and a module may stand twice', () => {
    const table = new nn.ModuleDict<{ [key: string]: nn.Module }>({ a: layer() })
    expect(() => table.set('b', table)).toThrow("[ModuleDict] entry 'b' is this ModuleDict itself")
    expect(() => table.set('a', new nn.ModuleList([table]))).toThrow(
      "entry 'a' is a ModuleList that holds this ModuleDict",
    )
    const list = new nn.ModuleList<nn.Module>([table])
    expect(list.append(table).length).toBe(2)
  })
})

describe('ModuleList', () => {
  it('is on the path of its modules in an error', () => {
    class Net extends nn.Module {
      layers = new nn.ModuleList([new nn.Linear(2, 2), new nn.Linear(3, 2)])
      forward(x: Tensor): Tensor {
        let y = x
        for (const layer of this.layers) y = layer.forward(y as never) as Tensor
        return y
      }
    }
    expect(() => new Net().forward(zeros([1, 2]))).toThrow('(in Net.layers.1, Linear(')
  })

  it('has the methods of a list', () => {
    const layers = Array.from({ length: 4 }, () => new nn.Linear(2, 2))
    const [a, b, c, d] = layers as [nn.Linear, nn.Linear, nn.Linear, nn.Linear]
    const list = new nn.ModuleList([a, b])
    expect([...list.append(c).insert(1, d).set(0, b)]).toEqual([b, d, b, c])
    expect(list.pop(0)).toBe(b)
    expect([...list.slice(1).extend([a])]).toEqual([b, c, a])
    expect(list.length).toBe(3)
    expect(names(list)).toEqual(['0.weight', '0.bias', '1.weight', '1.bias', '2.weight', '2.bias'])
    expect(() => list.append(((x: Tensor) => x) as never)).toThrow('[ModuleList] entry 3 is the function, but must be')
    expect(() => list.forward()).toThrow('[ModuleList] has no forward')
  })
})

describe('ModuleDict', () => {
  const make = () => new nn.ModuleDict({ linear: new nn.Linear(2, 3), act: new nn.ReLU() })

  it('holds modules by key, in their order', () => {
    const dict = make()
    expect(dict.get('linear').outFeatures).toBe(3)
    expect([dict.size, dict.has('act'), dict.has('none')]).toEqual([2, true, false])
    expect([...dict.keys()]).toEqual(['linear', 'act'])
    expect([...dict.values()]).toEqual([dict.get('linear'), dict.get('act')])
    expect([...dict]).toEqual([...dict.entries()])
    const other = new nn.Linear(2, 3, { bias: false })
    expect([...dict.set('linear', other).keys()]).toEqual(['linear', 'act'])
    expect(names(dict)).toEqual(['linear.weight'])
    expect([dict.delete('linear'), dict.delete('linear'), names(dict)]).toEqual([true, false, []])
    expect(() => dict.get('linear')).toThrow("[ModuleDict.get] there is no key 'linear'; the keys are ['act']")
    expect(() => dict.forward()).toThrow('[ModuleDict] has no forward')
  })

  it('takes keys that are properties of modules, and refuses those that no state can hold', () => {
    const dict = new nn.ModuleDict<{ [key: string]: nn.Linear }>([['training', new nn.Linear(1, 1)]])
    dict.set('__proto__', new nn.Linear(1, 1, { bias: false })).set('forward', new nn.Linear(1, 1, { bias: false }))
    expect(names(dict)).toEqual(['training.weight', 'training.bias', '__proto__.weight', 'forward.weight'])
    expect(dict.training).toBe(true)
    for (const key of ['', 'a.b', 3 as never])
      expect(() => dict.set(key, new nn.Linear(1, 1))).toThrow('but must be a text, not empty and without dots')
    expect(() => dict.set('x', nn.Linear as never)).toThrow("[ModuleDict] entry 'x' is the class Linear; make it with")
    expect(names(new nn.ModuleDict({ constructor: new nn.Linear(1, 1, { bias: false }) }))).toEqual([
      'constructor.weight',
    ])
    expect(() => new nn.ModuleDict(new Date() as never)).toThrow('[ModuleDict] the entries are a Date, but must be')
    expect(() => new nn.ModuleDict([3] as never)).toThrow('[ModuleDict] entry 0 is the number 3, but must be')
    expect(() => new nn.ModuleDict(new nn.ReLU() as never)).toThrow('[ModuleDict] the entries are a ReLU, but must be')
    expect(names(new nn.ModuleDict(new Map([['a', new nn.Linear(1, 1)]])))).toEqual(['a.weight', 'a.bias'])
  })
})

describe('ParameterList and ParameterDict', () => {
  it('hold parameters, named as in PyTorch', () => {
    class Model extends nn.Module {
      scales = new nn.ParameterList([new nn.Parameter(zeros([2])), new nn.Parameter(zeros([3]))])
      table = new nn.ParameterDict({ left: new nn.Parameter(zeros([4])) })
      forward(x: Tensor) {
        return x
      }
    }
    const model = new Model()
    expect(names(model)).toEqual(['scales.0', 'scales.1', 'table.left'])
    expect(model.table.get('left').shape).toEqual([4])
    const gone = model.scales.pop(0)
    expect([...model.scales.extend([new nn.Parameter(zeros([5]))])].map(({ shape }) => shape)).toEqual([[3], [5]])
    expect([...model.parameters()]).not.toContain(gone)
    expect([...model.scales.slice(-1)]).toEqual([model.scales.at(1)])
    expect(String(model)).toContain('(scales): ParameterList(0=[3], 1=[5])')
    expect(String(model)).toContain('(table): ParameterDict(left=[4])')
    model.to('bfloat16')
    expect([...model.scales].map(({ dtype }) => dtype)).toEqual(['bfloat16', 'bfloat16'])
    expect(() => model.scales.append(zeros([1]) as never)).toThrow(
      '[ParameterList] entry 2 is a Tensor, but must be a parameter; wrap it: new nn.Parameter(...)',
    )
    expect(() => model.table.set('left', 3 as never)).toThrow(
      "[ParameterDict] entry 'left' is the number 3, but must be",
    )
    expect(() => model.scales.forward()).toThrow('[ParameterList] has no forward')
    expect(() => model.table.forward()).toThrow('[ParameterDict] has no forward')
  })
})

describe('all that a model holds in containers', () => {
  class Model extends nn.Module {
    body = new nn.Sequential(new nn.Linear(2, 4), new nn.Sequential(new nn.Dropout(0.5), relu))
    heads = new nn.ModuleDict({ a: new nn.Linear(4, 1), b: new nn.Linear(4, 2) })
    blocks = new nn.ModuleList([new nn.Linear(4, 4)])
    scale = new nn.ParameterDict({ all: new nn.Parameter(zeros([4])) })
    forward(x: Tensor): Tensor {
      let h: Tensor = this.body.forward(x).mul(this.scale.get('all'))
      for (const block of this.blocks) h = block.forward(h)
      return this.heads.get('b').forward(h)
    }
  }

  it('is saved and loaded, seen by hooks, summaries and adapters', async () => {
    const model = new Model()
    const folder = mkdtempSync(join(tmpdir(), 'firesteel-containers-'))
    const path = join(folder, 'model.safetensors')
    try {
      noGrad(() => model.scale.get('all').fill_(3))
      await model.save(path)
      const other = new Model()
      await other.load(path)
      expect(names(other)).toEqual([
        ...['body.0.weight', 'body.0.bias', 'heads.a.weight', 'heads.a.bias', 'heads.b.weight', 'heads.b.bias'],
        ...['blocks.0.weight', 'blocks.0.bias', 'scale.all'],
      ])
      expect(other.scale.get('all').toArray()).toEqual([3, 3, 3, 3])
      const x = randn([3, 2])
      expect(other.eval().forward(x).toArray()).toEqual(model.eval().forward(x).toArray())
    } finally {
      rmSync(folder, { recursive: true })
    }
    const seen: string[] = []
    for (const [path, module] of model.namedModules()) module.registerForwardHook(() => void seen.push(path))
    model.forward(randn([3, 2]))
    expect(seen).toEqual(['body.0', 'body.1.0', 'body.1.1', 'body.1', 'body', 'blocks.0', 'heads.b', ''])
    expect(model.summary([3, 2]).parameters).toBe(12 + 5 + 10 + 20 + 4)
    applyLora(model, { targetModules: ['a', '0'], rank: 2 })
    expect(names(model).filter((name) => name.includes('lora_A'))).toEqual([
      'body.0.lora_A.default.weight',
      'heads.a.lora_A.default.weight',
      'blocks.0.lora_A.default.weight',
    ])
  })
})

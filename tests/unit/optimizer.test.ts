/** Optimisers: the owners of states, the refusals of a step, and states that are saved and loaded. */
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type Device,
  DTypeError,
  defaultDevice,
  expand,
  full,
  mul,
  nn,
  noGrad,
  OutOfMemoryError,
  ones,
  optim,
  ShapeError,
  StateDictError,
  setDefaultDevice,
  sum,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { takeOutput } from '../setup.js'
import { devices, reference } from '../suites/support.js'

const values = (x: Tensor) => [...x.dataSync()].map((value) => Math.round(value * 1e6) / 1e6)
const parameter = (...numbers: number[]) => new nn.Parameter(tensor(numbers))

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const before = defaultDevice()
  beforeAll(() => setDefaultDevice(device))
  afterAll(() => setDefaultDevice(before))

  describe('the state of a parameter', () => {
    it('is its own, where two groups have the same paths', () => {
      const make = () => {
        const [body, head] = [new nn.Linear(2, 2), new nn.Linear(2, 2)]
        noGrad(() => {
          for (const p of [...body.parameters(), ...head.parameters()]) p.fill_(0.5)
        })
        return { body, head }
      }
      const train = (groups: (m: ReturnType<typeof make>) => readonly optim.ParameterGroup<optim.AdamOptions>[]) => {
        const model = make()
        const adam = new optim.Adam(groups(model))
        for (let step = 0; step < 3; step++) {
          sum(model.head.forward(model.body.forward(full([1, 2], step + 1)))).backward()
          adam.step()
          adam.zeroGrad()
        }
        return { adam, weights: [...model.body.parameters(), ...model.head.parameters()].map(values) }
      }
      const views = train(({ body, head }) => [
        { params: body.parameters(), lr: 1e-2 },
        { params: head.parameters(), lr: 1e-1 },
      ])
      const lists = train(({ body, head }) => [
        { params: [...body.parameters()], lr: 1e-2 },
        { params: [...head.parameters()], lr: 1e-1 },
      ])
      expect(views.weights).toEqual(lists.weights)
      const state = [...views.adam.stateDict().state]
      expect(state.map(([name, { step }]) => [name, step])).toEqual([
        ['0.weight', 3],
        ['0.bias', 3],
        ['1.weight', 3],
        ['1.bias', 3],
      ])
      const other = train(({ body, head }) => [{ params: body.parameters() }, { params: head.parameters() }]).adam
      other.loadStateDict(views.adam.stateDict())
      expect(other.paramGroups.map(({ lr }) => lr)).toEqual([1e-2, 1e-1])
      expect([...other.stateDict().state].map(([name, s]) => [name, values(s.tensors['mean'] as Tensor)])).toEqual(
        state.map(([name, s]) => [name, values(s.tensors['mean'] as Tensor)]),
      )
    })

    it('is named by the path where paths tell parameters apart, and by group and place in lists', () => {
      const model = new nn.Sequential(new nn.Linear(1, 1, { bias: false }), new nn.Linear(1, 1, { bias: false }))
      const names = (params: ConstructorParameters<typeof optim.Adam>[0]) => {
        const adam = new optim.Adam(params)
        sum(model.forward(ones([1, 1]))).backward()
        adam.step()
        return [...adam.stateDict().state.keys()]
      }
      const [a, b] = [model.at(0) as nn.Linear, model.at(1) as nn.Linear]
      expect(names(model.parameters())).toEqual(['0.weight', '1.weight'])
      expect(names([...model.parameters()])).toEqual(['0.0', '0.1'])
      expect(names([{ params: a.parameters() }, { params: [b.weight] }])).toEqual(['weight', '1.0'])
      expect(names([{ params: a.parameters() }, { params: b.parameters() }])).toEqual(['0.weight', '1.weight'])
    })

    it('goes with the tensor, not with its place: one that takes the place begins anew', () => {
      const layer = new nn.Linear(1, 1, { bias: false })
      const sgd = new optim.SGD(layer.parameters(), { lr: 1, momentum: 0.5 })
      const step = () => {
        layer.weight.grad = ones([1, 1])
        sgd.step()
      }
      step()
      const first = layer.weight
      ;(layer as { weight: Tensor }).weight = new nn.Parameter(zeros([1, 1]))
      step()
      expect(values(layer.weight)).toEqual([-1])
      ;(layer as { weight: Tensor }).weight = first
      noGrad(() => first.fill_(0))
      step()
      expect(values(first)).toEqual([-1.5])
      expect(sgd.stateDict().state.get('weight')?.step).toBe(2)
    })

    it('follows the model to another device', () => {
      const run = (moves: boolean) => {
        const layer = new nn.Linear(2, 1, { bias: false })
        noGrad(() => layer.weight.fill_(1))
        const adam = new optim.Adam(layer.parameters(), { lr: 0.1, amsgrad: true })
        for (let step = 0; step < 3; step++) {
          if (moves && step === 1) layer.to(reference)
          if (moves && step === 2) layer.to(device)
          layer.weight.grad = full([1, 2], step + 1, { device: layer.weight.device })
          adam.step()
        }
        return values(layer.weight)
      }
      expect(run(true)).toEqual(run(false))
    })

    it('makes a momentum that is set later begin with the gradient, as PyTorch does', () => {
      const w = parameter(0)
      const sgd = new optim.SGD([w], { lr: 1, dampening: 0.5 })
      const steps = (momentum: number) => {
        ;(sgd.paramGroups[0] as optim.SgdOptions).momentum = momentum
        w.grad = ones([1])
        sgd.step()
      }
      steps(0)
      steps(0.5)
      expect(values(w)).toEqual([-2])
      steps(0.5)
      expect(values(w)).toEqual([-3])
    })

    it('makes momentum begin for each parameter when it has its first, though others have theirs', () => {
      const [a, b] = [parameter(0), parameter(0)]
      const sgd = new optim.SGD([a, b], { lr: 1, dampening: 0.5 })
      const steps = (momentum: number, ...params: Tensor[]) => {
        ;(sgd.paramGroups[0] as optim.SgdOptions).momentum = momentum
        for (const p of params) p.grad = ones([1])
        sgd.step()
        sgd.zeroGrad()
      }
      steps(0.5, a)
      steps(0, b)
      steps(0.5, a, b)
      expect([values(a), values(b)]).toEqual([[-2], [-2]])
    })
  })

  describe('one parameter twice', () => {
    it('in a list is refused', () => {
      const w = parameter(1)
      expect(() => new optim.SGD([w, parameter(2), w], { lr: 1 })).toThrow(
        '[SGD] parameters 0 and 2 are the same tensor ([1])',
      )
      expect(() => new optim.Adam([{ params: [w] }, { params: [w] }])).toThrow('[Adam] a parameter is in two groups')
    })

    it('in two groups, because it was tied since, is stepped once with the options of the first', () => {
      const [a, b] = [new nn.Linear(1, 1, { bias: false }), new nn.Linear(1, 1, { bias: false })]
      const sgd = new optim.SGD(
        [
          { params: a.parameters(), lr: 0.1 },
          { params: b.parameters(), lr: 0.7 },
        ],
        { lr: 1 },
      )
      b.weight = a.weight
      noGrad(() => a.weight.fill_(1))
      sum(a.forward(ones([1, 1]))).backward()
      sgd.step()
      expect(values(a.weight)).toEqual([0.9])
      expect([...sgd.stateDict().state.keys()]).toEqual(['weight'])
    })

    it('under two tensors that share memory is stepped in turn', () => {
      const w = parameter(1, 2)
      const same = new nn.Parameter(w)
      const sgd = new optim.SGD([w, same], { lr: 0.1 })
      w.grad = ones([2])
      same.grad = ones([2])
      sgd.step()
      expect(values(w)).toEqual([0.8, 1.8])
    })

    it('counts once for clipGradNorm', () => {
      const w = parameter(0, 0)
      w.grad = tensor([3, 4])
      expect(values(optim.clipGradNorm([w, w], 1))).toEqual([5])
      expect(values(w.grad as Tensor)).toEqual([0.6, 0.8])
    })

    it('nor is a gradient that two parameters share scaled twice', () => {
      const [v, w] = [parameter(0, 0), parameter(0, 0)]
      v.grad = w.grad = tensor([3, 4])
      expect(optim.clipGradNorm([v, w], 1).item()).toBeCloseTo(Math.sqrt(50), 5)
      for (const { grad } of [v, w]) expect((grad as Tensor).dataSync()[1]).toBeCloseTo(4 / Math.sqrt(50), 5)
    })
  })

  it('a gradient that is the parameter itself is read before it is written', () => {
    const w = parameter(1, 2)
    w.grad = w.detach()
    new optim.SGD([w], { lr: 0.5, momentum: 0.9 }).step()
    expect(values(w)).toEqual([0.5, 1])
  })

  it('clipGradValue clamps every element, where memory is shared too, and leaves NaN', () => {
    const [v, w, without] = [parameter(0, 0, 0), parameter(0, 0), parameter(1)]
    v.grad = tensor([3, -4, Number.NaN])
    w.grad = expand(tensor([-2]), [2])
    optim.clipGradValue([v, w, v, without], 1.5)
    expect([...(v.grad as Tensor).dataSync()]).toEqual([1.5, -1.5, Number.NaN])
    expect([...(w.grad as Tensor).dataSync()]).toEqual([-1.5, -1.5])
    expect(without.grad).toBeNull()
  })

  it('a NaN or infinite norm shows in the gradients, as in PyTorch', () => {
    const w = parameter(0, 0)
    w.grad = tensor([Number.NaN, 1])
    expect(optim.clipGradNorm([w], 1).item()).toBeNaN()
    expect([...(w.grad as Tensor).dataSync()]).toEqual([Number.NaN, Number.NaN])
    w.grad = tensor([Number.POSITIVE_INFINITY, 1])
    expect(optim.clipGradNorm([w], 1).item()).toBe(Number.POSITIVE_INFINITY)
    expect([...(w.grad as Tensor).dataSync()]).toEqual([Number.NaN, 0])
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'errorIfNonfinite refuses the norm %f, and changes no gradient',
    (wrong) => {
      const w = parameter(0, 0)
      w.grad = tensor([wrong, 1])
      const clip = () => optim.clipGradNorm([w], 0.5, { errorIfNonfinite: true })
      expect(clip).toThrow(ValueError)
      expect(clip).toThrow(`the norm (2) of the gradients is ${wrong}`)
      expect([...(w.grad as Tensor).dataSync()]).toEqual([wrong, 1])
      w.grad = tensor([0, 1])
      expect(clip().item()).toBe(1)
      expect((w.grad as Tensor).dataSync()[1]).toBeCloseTo(0.5, 5)
      const flag = { errorIfNonfinite: 1 as never }
      expect(() => optim.clipGradNorm([w], 1, flag)).toThrow('errorIfNonfinite is 1')
    },
  )

  describe('a step refuses, and then changes nothing,', () => {
    const stepped = (spoil: (layer: nn.Linear, adam: optim.Adam) => void) => {
      const layer = new nn.Linear(3, 2)
      const adam = new optim.Adam(layer.parameters())
      for (const p of layer.parameters()) p.grad = ones(p.shape)
      const weights = values(layer.weight)
      spoil(layer, adam)
      let error: unknown
      try {
        adam.step()
      } catch (caught) {
        error = caught
      }
      expect(values(layer.weight)).toEqual(weights)
      expect(adam.stateDict().state.size).toBe(0)
      return error as Error
    }
    // A program without a compiler may set this, on a tensor that does not check.
    const set = (p: Tensor, gradient: Tensor) => p.ownGrad(gradient)

    it('a gradient of another shape', () => {
      const error = stepped(({ bias }) => set(bias as Tensor, ones([3])))
      expect(error).toBeInstanceOf(ShapeError)
      expect(error.message).toContain('[Adam.step] the gradient of bias is [3], but the parameter is [2]')
    })
    it('a gradient of another dtype', () => {
      const error = stepped(({ bias }) => set(bias as Tensor, ones([2], { dtype: 'int32' })))
      expect(error).toBeInstanceOf(DTypeError)
      expect(error.message).toContain('[Adam.step] the gradient of bias is int32, but must be float32')
    })
    it('a gradient that was freed', () => {
      const error = stepped(({ bias }) => (bias as Tensor).grad?.dispose())
      expect(error.message).toContain('[Adam.step] the gradient of bias was freed')
    })
    it.each([Number.NaN, -1, true, undefined, Number.POSITIVE_INFINITY])('a rate that was set to %s', (lr) => {
      const error = stepped((_layer, adam) => {
        ;(adam.paramGroups[0] as { lr: unknown }).lr = lr
      })
      expect(error).toBeInstanceOf(ValueError)
      expect(error.message).toContain(`[Adam] lr is ${String(lr)}`)
    })
  })
})

it('a step whose parameters never had a gradient says so, once', async () => {
  const sgd = new optim.SGD(new nn.Linear(2, 1).parameters(), { lr: 1 })
  sgd.step()
  sgd.step()
  await new Promise((resolve) => setImmediate(resolve))
  const output = takeOutput()
  expect(output).toHaveLength(1)
  expect(output[0]).toContain('[SGD.step] none of the 2 parameters has a gradient')
})

describe('what is given', () => {
  const layer = new nn.Linear(2, 1)
  const params = layer.parameters()
  const wrong = (make: () => unknown, message: string) => {
    expect(make).toThrow(ValueError)
    expect(make).toThrow(message)
  }
  it.each([0.5, null, 'lr', true, () => 1])('options that are %s are refused', (options) => {
    wrong(() => new optim.Adam(params, options as never), '[Adam] options are ')
    wrong(() => new optim.AdamW(params, options as never), '[AdamW] options are ')
    wrong(() => new optim.SGD(params, options as never), '[SGD] options are ')
  })
  it('values of another type or range are refused, all at once', () => {
    wrong(() => new optim.SGD(params, {} as never), '[SGD] lr is undefined')
    wrong(() => new optim.Adam(params, { lr: '0.1' as never, eps: Number.NaN }), "lr is '0.1', but must be at least 0")
    wrong(() => new optim.Adam(params, { lr: '0.1' as never, eps: Number.NaN }), 'eps is NaN')
    wrong(() => new optim.Adam(params, { betas: [0.9, '0.9' as never] }), "betas are [0.9, '0.9']")
    wrong(() => new optim.Adam(params, { betas: 0.9 as never }), 'betas are 0.9')
    wrong(() => new optim.Adam(params, { betas: [0.9, 1] }), 'betas are [0.9, 1]')
    wrong(() => new optim.Adam(params, { amsgrad: 'no' as never }), "amsgrad is 'no'")
    wrong(() => new optim.SGD(params, { lr: 1, nesterov: 1 as never, momentum: 0.9 }), 'nesterov is 1')
    wrong(() => new optim.SGD(params, { lr: Number.POSITIVE_INFINITY }), 'lr is Infinity')
    wrong(() => new optim.SGD([{ params, lr: -1 }], { lr: 1 }), 'lr is -1')
    wrong(() => new optim.SGD([{ params, learningRate: 1 } as never], { lr: 1 }), 'no option learningRate')
    expect(new optim.Adam(params, { lr: undefined } as never).paramGroups[0]?.lr).toBe(1e-3)
  })
  it('options of a class are read, getters too', () => {
    class Settings {
      get lr() {
        return 0.25
      }
    }
    expect(new optim.Adam(params, new Settings() as never).paramGroups[0]?.lr).toBe(0.25)
    const group = Object.assign(new Settings(), { params })
    expect(new optim.AdamW([group] as never).paramGroups[0]?.lr).toBe(0.25)
  })
  it('parameters that no step can change are refused', () => {
    wrong(() => new optim.SGD(layer.weight as never, { lr: 1 }), 'the parameters are one tensor; put it in a list')
    wrong(() => new optim.SGD([mul(layer.weight, 2)] as never, { lr: 1 }), 'parameter 0 is the result of an operator')
    wrong(() => new optim.SGD([zeros([1], { dtype: 'int32' })] as never, { lr: 1 }), 'parameter 0 is int32')
    wrong(() => new optim.SGD([layer.weight, { params }] as never, { lr: 1 }), 'both groups')
    wrong(() => new optim.SGD([{ params: null }] as never, { lr: 1 }), 'the parameters are null')
    wrong(() => new optim.SGD([], { lr: 1 }), 'there are no parameters')
    const sgd = new optim.SGD(params, { lr: 1 })
    wrong(() => sgd.addParamGroup(null as never), 'a group is null')
    wrong(() => optim.clipGradNorm(params, '1' as never), "maxNorm is '1'")
  })
})

describe('stateDict', () => {
  it('is no JSON, which would drop all tensors in silence', () => {
    const layer = new nn.Linear(2, 1)
    const adam = new optim.Adam(layer.parameters())
    for (const refused of [adam.stateDict(), adam.stateDict().state]) {
      expect(() => JSON.stringify(refused)).toThrow(ValueError)
      expect(() => JSON.stringify({ refused })).toThrow(/^\[Adam\.stateDict\] JSON keeps no tensors; .*loadStateDict/)
    }
    expect(() => JSON.stringify(adam.stateDict().groups)).not.toThrow()
    expect(Object.keys(adam.stateDict().state)).toEqual([])
  })
})

describe('loadStateDict', () => {
  const make = (amsgrad = false) => {
    const layer = new nn.Linear(2, 1)
    const adam = new optim.Adam(layer.parameters(), { lr: 0.1, amsgrad })
    const step = () => {
      for (const p of layer.parameters()) p.grad = ones(p.shape)
      adam.step()
    }
    return { layer, adam, step }
  }
  type Entry = { step: unknown; tensors: { [name: string]: unknown } }
  const saved = () => {
    const { adam, step } = make()
    step()
    const { groups, state } = adam.stateDict()
    return {
      groups: groups.map((group) => ({ ...group })) as unknown[],
      state: new Map<string, Entry>([...state].map(([name, s]) => [name, { step: s.step, tensors: { ...s.tensors } }])),
    }
  }
  const weight = (state: ReturnType<typeof saved>) => state.state.get('weight') as Entry
  const garbage: readonly (readonly [string, () => unknown, string])[] = [
    ['nothing', () => null, 'the state is null'],
    ['something else', () => ({ weight: 1 }), 'an object without groups and state'],
    ['what went through JSON', () => JSON.parse(JSON.stringify(saved())), 'state is not a Map'],
  ]
  const spoilt: readonly (readonly [string, (state: ReturnType<typeof saved>) => void, string])[] = [
    ['another number of groups', (s) => s.groups.push({}), '2 parameter groups, but this optimiser has 1'],
    ['a group that is no object', (s) => s.groups.splice(0, 1, 3), 'group 0 is 3'],
    ['a rate that is NaN', (s) => Object.assign(s.groups[0] as object, { lr: Number.NaN }), 'lr is NaN'],
    ['an option of another optimiser', (s) => Object.assign(s.groups[0] as object, { momentum: 1 }), 'momentum'],
    ['a parameter that there is not', (s) => s.state.set('head.weight', weight(s)), 'unexpected: head.weight'],
    ['a step that is NaN', (s) => Object.assign(weight(s), { step: Number.NaN }), 'weight was stepped NaN times'],
    ['a step that is negative', (s) => Object.assign(weight(s), { step: -1 }), 'weight was stepped -1 times'],
    ['a step and a half', (s) => Object.assign(weight(s), { step: 1.5 }), 'weight was stepped 1.5 times'],
    ['an entry that is nothing', (s) => s.state.set('weight', null as never), 'weight has no step and tensors'],
    ['a shape of as many elements', (s) => Object.assign(weight(s).tensors, { mean: zeros([2, 1]) }), 'is [2, 1], but'],
    ['integers', (s) => Object.assign(weight(s).tensors, { mean: zeros([1, 2], { dtype: 'int32' }) }), 'is int32'],
    ['no tensor', (s) => Object.assign(weight(s).tensors, { mean: { shape: [1, 2] } }), 'weight.mean is not a tensor'],
    ['a tensor of another optimiser', (s) => Object.assign(weight(s).tensors, { buffer: zeros([1, 2]) }), 'buffer'],
    ['a tensor too few', (s) => delete weight(s).tensors['square'], 'missing: weight.square'],
  ]
  const wrong = [
    ...garbage,
    ...spoilt.map(([title, spoil, message]) => {
      const state = () => {
        const whole = saved()
        spoil(whole)
        return whole
      }
      return [title, state, message] as const
    }),
  ]
  it.each(wrong)('refuses %s, and changes nothing', (_title, state, message) => {
    const given = state()
    const { adam, step } = make()
    step()
    const before = [...adam.stateDict().state].map(([, s]) => values(s.tensors['mean'] as Tensor))
    expect(() => adam.loadStateDict(given as never)).toThrow(StateDictError)
    expect(() => adam.loadStateDict(given as never)).toThrow(message)
    expect(adam.paramGroups[0]?.lr).toBe(0.1)
    expect([...adam.stateDict().state].map(([, s]) => values(s.tensors['mean'] as Tensor))).toEqual(before)
  })

  it('refuses the state of another class that keeps the same, unless it comes without the class', () => {
    const { layer, adam, step } = make()
    step()
    const { kind, groups, state } = adam.stateDict()
    expect(kind).toBe('Adam')
    const other = new optim.AdamW(layer.parameters(), { lr: 0.2 })
    const taken = () => other.loadStateDict({ kind: 'Adam', groups, state })
    expect(taken).toThrow(StateDictError)
    expect(taken).toThrow(/the state is that of 'Adam', but must be that of 'AdamW'; make that optimiser, or/)
    expect([other.paramGroups[0]?.lr, other.stateDict().state.size]).toEqual([0.2, 0])
    other.loadStateDict({ groups, state })
    expect(other.paramGroups[0]).toMatchObject({ lr: 0.1, weightDecay: 0 })
    expect(other.stateDict()).toMatchObject({ kind: 'AdamW', state: { size: 2 } })
  })

  it('goes on as if there had been no stop, and copies', () => {
    const [one, other] = [make(true), make(true)]
    noGrad(() => other.layer.loadStateDict(one.layer.stateDict()))
    one.step()
    other.layer.loadStateDict(one.layer.stateDict())
    other.adam.loadStateDict(one.adam.stateDict())
    const [kept] = [...one.adam.stateDict().state.values()]
    one.step()
    expect(kept?.step).toBe(2)
    expect(other.adam.stateDict().state.get('weight')?.step).toBe(1)
    other.step()
    expect(values(other.layer.weight)).toEqual(values(one.layer.weight))
  })
})

it('prints its class, its groups and their options', () => {
  const layer = new nn.Linear(2, 3)
  const text = inspect(new optim.AdamW([{ params: [layer.weight], lr: 0.5 }, { params: [layer.bias as nn.Parameter] }]))
  expect(text).toContain('AdamW {')
  expect(text).toContain('group 0: 1 tensors, 6 parameters, { lr: 0.5, betas: [ 0.9, 0.999 ]')
  expect(text).toContain('group 1: 1 tensors, 3 parameters, { lr: 0.001')
})

describe.each(devices.map((device) => [device.name, device] as const))(
  'a step without memory on %s',
  (_name, device) => {
    it.each(['Adam', 'SGD'] as const)('of %s changes nothing, and the next one is the first', (name) => {
      const parameter = (size: number) => new nn.Parameter(ones([size], { device }))
      const params = [parameter(4), parameter(6)]
      const optimizer =
        name === 'Adam' ? new optim.Adam(params, { lr: 0.1 }) : new optim.SGD(params, { lr: 0.1, momentum: 0.9 })
      for (const p of params) p.grad = ones(p.shape, { device })
      const allocate = vi.spyOn(device, 'allocate')
      let left = 1
      const { allocate: real } = Object.getPrototypeOf(device) as typeof device
      allocate.mockImplementation((...args) => {
        if (left-- === 0) throw new OutOfMemoryError('zeros', 'nothing is left')
        return real.apply(device, args)
      })
      expect(() => optimizer.step()).toThrow(OutOfMemoryError)
      allocate.mockRestore()
      for (const p of params) expect([...p.dataSync()]).toEqual(Array(p.numel).fill(1))
      expect(optimizer.stateDict().state.size).toBe(0)
      optimizer.step()
      for (const p of params) for (const value of p.dataSync()) expect(value).toBeCloseTo(0.9, 6)
      expect([...optimizer.stateDict().state.values()].map(({ step }) => step)).toEqual([1, 1])
    })
  },
)

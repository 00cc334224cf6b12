/** Optimisers that a program writes with only the public names: Lion, Adafactor, and 8-bit moments. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  abs,
  add,
  amax,
  autocast,
  type Device,
  DTypeError,
  defaultDevice,
  div,
  floor,
  Generator,
  matmul,
  maximum,
  mean,
  memory,
  mul,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  rsqrt,
  ShapeError,
  StateDictError,
  setDefaultDevice,
  sign,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'
import { devices, reference } from '../suites/support.js'

const values = (x: Tensor): number[] => [...x.detach().dataSync()]

const lionDefaults = { lr: 1e-4, betas: [0.9, 0.99] as readonly [number, number], weightDecay: 0 }

/** Chen et al., 2023, arXiv 2302.06675. */
class Lion extends optim.Optimizer<typeof lionDefaults, { mean: Tensor }> {
  protected defaults() {
    return lionDefaults
  }
  protected override slots() {
    return { mean: {} }
  }
  protected update(p: Tensor, g: Tensor, state: { mean: Tensor }, options: typeof lionDefaults): void {
    const { lr, betas, weightDecay } = options
    const direction = sign(add(mul(state.mean, betas[0]), mul(g, 1 - betas[0])))
    p.copy_(sub(mul(p, 1 - lr * weightDecay), mul(direction, lr)))
    state.mean = add(mul(state.mean, betas[1]), mul(g, 1 - betas[1]))
  }
}

const adafactorDefaults = {
  lr: 0.01,
  beta2Decay: -0.8,
  eps: [2 ** -23, 1e-3] as readonly [number, number],
  weightDecay: 0,
}
type Factors = { rowVar?: Tensor; colVar?: Tensor; variance?: Tensor }

/** Shazeer and Stern, 2018, arXiv 1804.04235, in PyTorch's form: for a matrix, the means of rows and columns. */
class Adafactor extends optim.Optimizer<typeof adafactorDefaults, Factors> {
  protected defaults() {
    return adafactorDefaults
  }
  protected override slots({ shape }: Tensor): optim.Slots<Factors> {
    if (shape.length < 2) return { variance: {} }
    const [rows, columns] = shape.slice(-2) as [number, number]
    const batch = shape.slice(0, -2)
    return { rowVar: { shape: [...batch, rows, 1] }, colVar: { shape: [...batch, 1, columns] } }
  }
  protected update(
    p: Tensor,
    g: Tensor,
    { rowVar, colVar, variance }: Factors,
    { lr, beta2Decay, eps: [eps1, eps2], weightDecay }: typeof adafactorDefaults,
    { step }: optim.At,
  ): void {
    const rootMeanSquare = (x: Tensor) => sqrt(mean(square(x))) as Tensor
    const towards = (x: Tensor, y: Tensor) => x.copy_(add(x, mul(sub(y, x), step ** beta2Decay)))
    const alpha = mul(maximum(rootMeanSquare(p), eps2), Math.min(lr, step ** -0.5)) as Tensor
    const squares = square(g)
    let estimate: Tensor
    if (rowVar && colVar) {
      towards(rowVar, mean(squares, -1, { keepdim: true }) as Tensor)
      towards(colVar, mean(squares, -2, { keepdim: true }) as Tensor)
      const whole = maximum(mean(rowVar, -2, { keepdim: true }) as Tensor, eps1) as Tensor
      estimate = div(matmul(rowVar, colVar), whole) as Tensor
    } else estimate = towards(variance as Tensor, squares)
    const update = mul(rsqrt(maximum(estimate, eps1 * eps1) as Tensor), g) as Tensor
    const size = div(alpha, maximum(rootMeanSquare(update), 1)) as Tensor
    p.copy_(sub(mul(p, 1 - lr * weightDecay), mul(update, size)))
  }
}

const byteDefaults = { lr: 0.1, momentum: 0.9 }
type Bytes = { codes: Tensor; scale: Tensor }

/**
 * Momentum in one byte for each element, with 128 for 0 and one scale for each tensor: a sketch of Dettmers et al.,
 * 2022, arXiv 2110.02861.
 */
class ByteMomentum extends optim.Optimizer<typeof byteDefaults, Bytes> {
  protected defaults() {
    return byteDefaults
  }
  protected override slots(): optim.Slots<Bytes> {
    return { codes: { dtype: 'uint8', value: 128 }, scale: { shape: [], dtype: 'float32', value: 1 } }
  }
  protected update(p: Tensor, g: Tensor, { codes, scale }: Bytes, { lr, momentum }: typeof byteDefaults): void {
    const before = mul(sub(codes.to('float32'), 128), scale) as Tensor
    const moving = add(mul(before, momentum), g) as Tensor
    scale.copy_(div(amax(abs(moving)) as Tensor, 127))
    codes.copy_(floor(add(div(moving, scale), 128.5) as Tensor).to('uint8'))
    p.copy_(sub(p, mul(moving, lr)))
  }
}

type Own = optim.Optimizer & { loadStateDict(state: optim.OptimizerState): void }
/** The optimisers of this file, and those of the library that have no kernel. */
const own: readonly (readonly [string, (params: optim.Parameters) => Own])[] = [
  ['Lion', (params) => new Lion(params, { lr: 0.01, weightDecay: 0.1 })],
  ['Adafactor', (params) => new Adafactor(params, { lr: 0.05, weightDecay: 0.1 })],
  ['ByteMomentum', (params) => new ByteMomentum(params, { lr: 0.01 })],
  ['optim.RMSprop', (params) => new optim.RMSprop(params, { centered: true, momentum: 0.5 })],
  ['optim.Adagrad', (params) => new optim.Adagrad(params, { lr: 0.1, initialAccumulatorValue: 0.1 })],
  ['optim.Adadelta', (params) => new optim.Adadelta(params, { lr: 10 })],
  ['optim.Adamax', (params) => new optim.Adamax(params, { lr: 0.05 })],
  ['optim.NAdam', (params) => new optim.NAdam(params, { lr: 0.05, decoupledWeightDecay: true })],
  ['optim.RAdam', (params) => new optim.RAdam(params, { lr: 0.05, weightDecay: 0.1 })],
  ['optim.Adafactor', (params) => new optim.Adafactor(params, { lr: 0.1 })],
  ['optim.Rprop', (params) => new optim.Rprop(params)],
  ['optim.ASGD', (params) => new optim.ASGD(params, { lr: 0.1, lambd: 0.01, t0: 1 })],
  ['optim.Lion', (params) => new optim.Lion(params, { lr: 0.01, weightDecay: 0.1 })],
  [
    'optim.Muon',
    (params) =>
      new optim.Muon(
        ([...params] as Tensor[]).filter(({ ndim }) => ndim === 2),
        { lr: 0.05 },
      ),
  ],
]

/** A small model whose loss is computed in mixed precision, and its step. */
function training(make: (params: optim.Parameters) => Own, device: Device) {
  const model = new nn.Sequential(new nn.Linear(9, 17), new nn.Tanh(), new nn.Linear(17, 5))
  noGrad(() => {
    const generator = new Generator(3)
    for (const p of model.parameters()) p.copy_(mul(randn(p.shape, { generator, device }), 0.3))
  })
  const optimizer = make(model.parameters())
  const x = randn([6, 9], { generator: new Generator(4), device })
  const loss = () => autocast('bfloat16', () => mean(square(model.forward(x)))) as Tensor
  const step = () => {
    const before = loss()
    before.backward()
    optimizer.step()
    optimizer.zeroGrad()
    return before.item()
  }
  return { model, optimizer, loss, step, weights: () => [...model.parameters()].map(values) }
}

describe.each(devices.map((device) => [device.name, device] as const))('on %s', (_name, device: Device) => {
  const before = defaultDevice()
  beforeAll(() => setDefaultDevice(device))
  afterAll(() => setDefaultDevice(before))

  it('Lion takes the steps of its paper', () => {
    const [w, m] = [
      [1, -2, 0.5, 3],
      [0, 0, 0, 0],
    ]
    const p = new nn.Parameter(tensor(w))
    const lion = new Lion([p], { lr: 0.125, weightDecay: 0.5 })
    for (const gradient of [
      [1, -1, 0.25, 0],
      [-8, -1, 0.5, 2],
      [0.5, 4, -64, -1],
    ]) {
      p.grad = tensor(gradient)
      lion.step()
      gradient.forEach((g, i) => {
        const [wi, mi] = [w[i] as number, m[i] as number]
        w[i] = wi * (1 - 0.125 * 0.5) - 0.125 * Math.sign(0.9 * mi + 0.1 * g)
        m[i] = 0.99 * mi + 0.01 * g
      })
      for (const [i, value] of values(p).entries()) expect(value).toBeCloseTo(w[i] as number, 5)
    }
    const { step, tensors } = lion.stateDict().state.get('0.0') as optim.ParameterState
    expect(step).toBe(3)
    for (const [i, value] of values(tensors['mean'] as Tensor).entries()) expect(value).toBeCloseTo(m[i] as number, 6)
  })

  it.each([
    ['of a program', Adafactor],
    ['of the library', optim.Adafactor],
  ] as const)('Adafactor %s takes the steps of PyTorch, and keeps rows and columns', (_title, Class) => {
    const w = new nn.Parameter(
      tensor([
        [0.25, 0.5, 0.75],
        [1, 1.25, 1.5],
      ]),
    )
    const b = new nn.Parameter(tensor([0.5, -0.25, 1]))
    const adafactor = new Class([w, b], { lr: 0.05, weightDecay: 0.1 })
    for (let step = 1; step <= 3; step++) {
      w.grad = mul(
        tensor([
          [1, -2, 3],
          [0.5, 0.25, -1],
        ]),
        step,
      ) as Tensor<[2, 3]>
      b.grad = div(tensor([0.3, -0.6, 0.9]), step) as Tensor<[3]>
      adafactor.step()
    }
    const close = (x: Tensor | undefined, expected: readonly number[]) => {
      expect(x?.numel).toBe(expected.length)
      for (const [i, value] of values(x as Tensor).entries())
        expect(Math.abs(value / (expected[i] as number) - 1)).toBeLessThan(2e-6)
    }
    // From torch.optim.Adafactor of PyTorch 2.13, in float64.
    close(
      w,
      [
        0.1181466035254609, 0.6346761624116865, 0.6029121315071463, 0.7758523369558713, 1.1733157022960905,
        1.6255549879280637,
      ],
    )
    close(b, [0.4225932699547001, -0.17632455120470014, 0.9151307074547003])
    const { state } = adafactor.stateDict()
    const [ofW, ofB] = [state.get('0.0')?.tensors ?? {}, state.get('0.1')?.tensors ?? {}]
    expect(Object.keys(ofW)).toEqual(['rowVar', 'colVar'])
    expect(ofW['rowVar']?.shape).toEqual([2, 1])
    close(ofW['rowVar'], [24.87105676650453, 2.3316615718597995])
    close(ofW['colVar'], [3.330945102656857, 10.825571583634783, 26.647560821254856])
    expect(Object.keys(ofB)).toEqual(['variance'])
    close(ofB['variance'], [0.034110340958203735, 0.13644136383281494, 0.30699306862383363])
  })

  it('moments of 8 bits stay bytes and follow the momentum to a 127th', () => {
    const w = new nn.Parameter(zeros([3]))
    const bytes = new ByteMomentum([w], { lr: 1 })
    const [p, m] = [
      [0, 0, 0],
      [0, 0, 0],
    ]
    for (const gradient of [
      [1, -1, 0.25],
      [0.5, 2, -0.75],
      [-3, 1, 0],
    ]) {
      w.grad = tensor(gradient) as Tensor<[3]>
      bytes.step()
      const moving = gradient.map((g, i) => 0.9 * (m[i] as number) + g)
      const scale = Math.max(...moving.map(Math.abs)) / 127
      moving.forEach((value, i) => {
        p[i] = (p[i] as number) - value
        m[i] = Math.floor(value / scale + 0.5) * scale
      })
    }
    const { tensors } = bytes.stateDict().state.get('0.0') as optim.ParameterState
    expect([tensors['codes']?.dtype, tensors['scale']?.dtype, tensors['scale']?.shape]).toEqual([
      'uint8',
      'float32',
      [],
    ])
    for (const [i, value] of values(w).entries()) expect(value).toBeCloseTo(p[i] as number, 5)
    const scale = (tensors['scale'] as Tensor).item()
    for (const [i, code] of values(tensors['codes'] as Tensor).entries())
      expect((code - 128) * scale).toBeCloseTo(m[i] as number, 5)
  })

  describe.each(own)('%s', (_title, make) => {
    it('learns under autocast, and no product reads weights from before the step', () => {
      const { model, loss, step } = training(make, device)
      const first = step()
      for (let i = 0; i < 20; i++) {
        step()
        // The weights that products read under autocast, and those they would read if they had never been converted
        // before.
        const read = loss().item()
        const anew = new nn.Sequential(new nn.Linear(9, 17), new nn.Tanh(), new nn.Linear(17, 5))
        anew.loadStateDict(model.stateDict())
        const x = randn([6, 9], { generator: new Generator(4), device })
        expect((autocast('bfloat16', () => mean(square(anew.forward(x)))) as Tensor).item()).toBe(read)
      }
      expect(loss().item()).toBeLessThan(first * 0.9)
    })

    it('goes on after a stop as if there had been none, to the bit', () => {
      const whole = training(make, device)
      for (let i = 0; i < 3; i++) whole.step()
      const resumed = training(make, device)
      resumed.model.loadStateDict(whole.model.stateDict())
      resumed.optimizer.loadStateDict(whole.optimizer.stateDict())
      const dtypes = ({ optimizer }: typeof whole) =>
        [...optimizer.stateDict().state.values()].map((s) => Object.values(s.tensors).map(({ dtype }) => dtype))
      expect(dtypes(resumed)).toEqual(dtypes(whole))
      for (let i = 0; i < 3; i++) {
        whole.step()
        resumed.step()
      }
      expect(resumed.weights()).toEqual(whole.weights())
      const tensors = ({ optimizer }: typeof whole) =>
        [...optimizer.stateDict().state].map(([name, s]) => [name, s.step, Object.values(s.tensors).map(values)])
      expect(tensors(resumed)).toEqual(tensors(whole))
    })

    it('takes its state along when the model moves, and leaves nothing behind', () => {
      const run = (moves: boolean) => {
        const { model, optimizer } = training(make, device)
        for (let step = 0; step < 4; step++) {
          if (moves && step === 1) model.to(reference)
          if (moves && step === 2) model.to(device)
          for (const [i, p] of [...model.parameters()].entries())
            p.grad = randn(p.shape, { generator: new Generator(10 * step + i), device: p.device })
          optimizer.step()
          for (const { tensors } of optimizer.stateDict().state.values())
            for (const t of Object.values(tensors)) expect(t.device).toBe([...model.parameters()][0]?.device)
        }
        return [...model.parameters()].flatMap(values)
      }
      const [moved, stayed] = [run(true), run(false)]
      for (const [i, value] of moved.entries()) expect(Math.abs(value - (stayed[i] as number))).toBeLessThan(1e-3)
    })

    it('leaves nothing of a step in memory', () => {
      const { model, optimizer } = training(make, device)
      for (const p of model.parameters()) p.grad = ones(p.shape)
      optimizer.step()
      const { tensors, bytes } = memory(device)
      optimizer.step()
      expect([memory(device).tensors, memory(device).bytes]).toEqual([tensors, bytes])
    })
  })

  it('slots of a dtype of their own keep it when the parameter is converted, and others follow it', () => {
    const layer = new nn.Linear(3, 2, { bias: false }).to(reference)
    const step = (optimizer: Own) => {
      layer.weight.grad = ones([2, 3], { device: reference, dtype: layer.weight.dtype as 'float32' })
      optimizer.step()
    }
    const [bytes, lion] = [new ByteMomentum(layer.parameters()), new Lion(layer.parameters())]
    const dtypes = () =>
      [bytes, lion].flatMap((each) =>
        Object.values(each.stateDict().state.get('weight')?.tensors ?? {}).map((t) => t.dtype),
      )
    for (const each of [bytes, lion]) step(each)
    expect(dtypes()).toEqual(['uint8', 'float32', 'float32'])
    layer.to('float64')
    for (const each of [bytes, lion]) if (each === lion) step(each)
    expect(dtypes()).toEqual(['uint8', 'float32', 'float64'])
    layer.to('float32')
    for (const each of [bytes, lion]) step(each)
    expect(dtypes()).toEqual(['uint8', 'float32', 'float32'])
  })

  it('assigned slots are written, each with what the other one was', () => {
    type Pair = { a: Tensor; b: Tensor; seen: Tensor }
    class Swap extends optim.Optimizer<{ lr: number }, Pair> {
      protected defaults() {
        return { lr: 1 }
      }
      protected override slots(): optim.Slots<Pair> {
        return { a: { value: 1 }, b: { value: 2 }, seen: {} }
      }
      protected update(_p: Tensor, g: Tensor, state: Pair): void {
        ;[state.a, state.b] = [state.b, state.a]
        state.seen = g
      }
    }
    const w = new nn.Parameter(zeros([2]))
    const swap = new Swap([w])
    const gradient = tensor([5, 6])
    w.grad = gradient as Tensor<[2]>
    swap.step()
    gradient.fill_(0)
    const { tensors } = swap.stateDict().state.get('0.0') as optim.ParameterState
    expect(Object.values(tensors).map(values)).toEqual([
      [2, 2],
      [1, 1],
      [5, 6],
    ])
    swap.step()
    expect(Object.values(tensors).map(values)).toEqual([
      [1, 1],
      [2, 2],
      [0, 0],
    ])
  })
})

describe('what cannot work is refused:', () => {
  class Broken extends optim.Optimizer<{ lr: number; weight: number; name: string }, { extra: Tensor }> {
    protected defaults() {
      return { lr: 1, weight: 2, name: 'text' }
    }
    protected override slots(): optim.Slots<{ extra: Tensor }> {
      return (Broken.slot === 'none' ? null : { extra: Broken.slot }) as never
    }
    protected update(_p: Tensor, _g: Tensor, state: { extra: Tensor }): void {
      Broken.body(state)
    }
    static slot: unknown = {}
    static body: (state: { extra: Tensor }) => void = () => undefined
  }
  const step = (slot: unknown, body: typeof Broken.body = () => undefined) => {
    Broken.slot = slot
    Broken.body = body
    const w = new nn.Parameter(zeros([2]))
    w.grad = ones([2])
    const broken = new Broken([w])
    let error: unknown
    try {
      broken.step()
    } catch (caught) {
      error = caught
    }
    return { error: error as Error, broken }
  }
  it.each([
    ['none', ValueError, '[Broken] slots() gave null'],
    [3, ValueError, '[Broken] the slot extra is the number 3'],
    [{ size: [2] }, ValueError, '[Broken] the slot extra has no option size; there are shape, dtype, value, used'],
    [{ dtype: 'uint9' }, ValueError, "[Broken] the slot extra has the unknown dtype 'uint9'"],
    [{ used: 1 }, ValueError, '[Broken] used of the slot extra is the number 1'],
    [{ dtype: 'uint8', value: 300 }, ValueError, '[Broken.step] '],
    [{ shape: [-1] }, ValueError, '[Broken.step] '],
  ])('a slot that is %j', (slot, type, message) => {
    const { error, broken } = step(slot)
    expect(error).toBeInstanceOf(type)
    expect(error.message).toContain(message)
    Broken.slot = {}
    expect(broken.stateDict().state.size).toBe(0)
  })

  it('a slot that is assigned what does not fit', () => {
    const shape = step({}, (state) => {
      state.extra = zeros([3])
    })
    expect(shape.error).toBeInstanceOf(ShapeError)
    const dtype = step({ dtype: 'uint8' }, (state) => {
      state.extra = zeros([2])
    })
    expect(dtype.error).toBeInstanceOf(DTypeError)
    expect(dtype.error.message).toContain('[Broken.step] the slot extra is uint8, but was assigned float32')
    const none = step({}, (state) => {
      state.extra = undefined as never
    })
    expect(none.error.message).toBe('[Broken.step] the slot extra was assigned undefined, which is not a tensor')
  })

  it('an update that ends later', () => {
    class Late extends optim.Optimizer {
      protected defaults() {
        return { lr: 1 }
      }
      protected override async update(): Promise<void> {}
    }
    const w = new nn.Parameter(zeros([2]))
    w.grad = ones([2])
    expect(() => new Late([w]).step()).toThrow('[Late.step]')
  })

  it('options of another kind than their usual values, and names that there are not', () => {
    const w = new nn.Parameter(zeros([2]))
    const make = (options: object) => () => new Broken([w], options)
    expect(make({ weight: Number.NaN })).toThrow('[Broken] weight is NaN, but must be a finite number')
    expect(make({ name: 3 })).toThrow('[Broken] name is 3, but must be a text')
    expect(make({ lr: -1, weight: '2' })).toThrow("[Broken] lr is -1, but must be at least 0 and finite; weight is '2'")
    expect(make({ learningRate: 1 })).toThrow('[Broken] there is no option learningRate; there are lr, weight, name')
    expect(() => new Lion([w], { betas: [0.9] as never })).toThrow(
      '[Lion] betas is [0.9], but must be 2 finite numbers',
    )
  })

  it('a class without an update, or without defaults', () => {
    class Empty extends (optim.Optimizer as unknown as new (params: optim.Parameters) => object) {}
    expect(() => new Empty([new nn.Parameter(zeros([1]))])).toThrow('[Empty] an optimiser needs a method defaults')
  })

  it('a state whose slots have another shape or dtype', () => {
    const layer = new nn.Linear(3, 2, { bias: false })
    layer.weight.grad = ones([2, 3])
    const bytes = new ByteMomentum(layer.parameters())
    bytes.step()
    const { groups, state } = bytes.stateDict()
    const load = (codes: Tensor) => () => {
      const tensors = { ...state.get('weight')?.tensors, codes }
      bytes.loadStateDict({ groups, state: new Map([['weight', { step: 1, tensors }]]) })
    }
    expect(load(zeros([2, 3]))).toThrow(StateDictError)
    expect(load(zeros([2, 3]))).toThrow('weight.codes is float32, but must be uint8')
    expect(load(zeros([6], { dtype: 'uint8' }))).toThrow('weight.codes is [6], but the parameter is [2, 3]')
    expect(load(zeros([2, 3], { dtype: 'uint8' }))).not.toThrow()
    const adafactor = new Adafactor(layer.parameters())
    adafactor.step()
    const of = adafactor.stateDict()
    const swapped = { rowVar: zeros([1, 3]), colVar: zeros([1, 3]), variance: zeros([2, 3]) }
    const wrong = { groups: of.groups, state: new Map([['weight', { step: 1, tensors: swapped }]]) }
    expect(() => adafactor.loadStateDict(wrong)).toThrow('weight.rowVar is [1, 3], but must be [2, 1]')
    expect(() => adafactor.loadStateDict(wrong)).toThrow(
      'unexpected: weight.variance; this optimiser keeps rowVar, colVar',
    )
  })

  it('a tensor of a state that was freed', () => {
    const w = new nn.Parameter(zeros([2]))
    for (const optimizer of [new Lion([w]), new optim.Adam([w])]) {
      w.grad = ones([2])
      optimizer.step()
      optimizer.stateDict().state.get('0.0')?.tensors['mean']?.dispose()
      expect(() => optimizer.step()).toThrow(
        `[${optimizer.constructor.name}.step] the tensor mean of a state was freed`,
      )
    }
  })
})

it('a slot that is assigned without being declared, or while it is not used', () => {
  class Forgetful extends optim.Optimizer<{ lr: number }, { m?: Tensor }> {
    declared: { m?: { used: boolean } } = {}
    protected defaults() {
      return { lr: 1 }
    }
    protected override slots() {
      return this.declared as { m: object }
    }
    protected update(p: Tensor, g: Tensor, s: { m?: Tensor }): void {
      s.m = s.m ? add(s.m, g) : g
      p.copy_(sub(p, s.m))
    }
  }
  const w = new nn.Parameter(zeros([2]))
  w.grad = ones([2])
  const optimizer = new Forgetful([w])
  expect(() => optimizer.step()).toThrow(ValueError)
  expect(() => optimizer.step()).toThrow(
    '[Forgetful.step] the update assigned the slot m, which slots() does not declare, so it would be lost after the step; ' +
      'declare it there: m: {}',
  )
  optimizer.declared = { m: { used: false } }
  expect(() => optimizer.step()).toThrow('the slot m, which slots() says is not used')
  optimizer.declared = { m: { used: true } }
  noGrad(() => w.fill_(0))
  optimizer.step()
  optimizer.step()
  expect(values(w)).toEqual([-3, -3])
})

it('the update runs outside of autocast, in the dtype of the parameter', () => {
  const dtypes: string[] = []
  class Seen extends optim.Optimizer {
    protected defaults() {
      return { lr: 1 }
    }
    protected update(p: Tensor, g: Tensor): void {
      dtypes.push(matmul(p, g).dtype, (sum(p) as Tensor).dtype)
    }
  }
  const w = new nn.Parameter(ones([2, 2]))
  w.grad = ones([2, 2])
  autocast('bfloat16', () => new Seen([w]).step())
  expect(dtypes).toEqual(['float32', 'float32'])
})

/**
 * Mixed precision: the dtype in which each operator runs, that nothing else changes, the kept bfloat16 copies of
 * parameters, and the mode itself. precision.test.ts compares the losses of whole trainings.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { autocastDType } from '../../lib/autograd/autocast.js'
import { NativeDevice } from '../../lib/backend/native/device.js'
import { applyLora } from '../../lib/finetune/index.js'
import * as f from '../../lib/index.js'
import type { Case } from '../cases/case.js'
import { matrixProducts } from '../cases/products.js'
import {
  asList,
  casesFor,
  compareBits,
  devices,
  nameOf,
  type Outcome,
  reference,
  runCase,
  type Values,
  valuesOf,
} from './support.js'

const epsilon = 2 ** -8

const cast = (c: Case): Case => ({
  ...c,
  call: (...inputs) => f.autocast('bfloat16', () => c.call(...inputs)),
})

const lowered = (values: ArrayLike<number>): Float64Array =>
  Float64Array.from(
    f.fromTypedArray(Float32Array.from(values), [values.length], { device: reference }).to('bfloat16').dataSync(),
  )

/** Within roundings of bfloat16, of each factor and the result, or of a sum's terms. */
function compareLoosely(actual: Outcome, exact: Outcome, roundings: number): void {
  const all = ({ outputs, gradients }: Outcome) => [...outputs, ...gradients]
  const others = all(actual)
  all(exact).forEach((values, k) => {
    const other = others[k] ?? null
    expect(other === null, `value ${k} is there`).toBe(values === null)
    if (values === null || other === null) return
    let largest = 1
    for (const x of values.data as Iterable<number>) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x))
    for (let i = 0; i < values.data.length; i++) {
      const [a, b] = [other.data[i] as number, values.data[i] as number]
      if (Object.is(a, b) || Math.abs(a - b) <= roundings * epsilon * largest) continue
      throw new Error(`value ${k}, element ${i} is ${a}, but should be ${b}`)
    }
  })
}

const sizeOf = (c: Case) => Math.max(...c.inputs.map(({ shape }) => shape.reduce((a, b) => a * b, 1)))
const hasFloats = (c: Case) => c.inputs.some(({ kind }) => kind === 'float')
/** Losses of a product, which are float32 like all losses. */
const isLossOfProduct = ({ op }: Case) => op === 'linearCrossEntropy' || op === 'tokenLogProbs'
/** Products: the operators of policy `low`. */
const isProduct = (c: Case) =>
  c.op === 'linear' || /[aA]ttention$|Scores$/.test(c.op) || matrixProducts.includes(c.op) || isLossOfProduct(c)
// Cases of factorisations prepare their matrices by operators of other policies; tests/unit/linalg.test.ts has them under
// autocast.
const small = casesFor('devices', (c) => hasFloats(c) && sizeOf(c) < 10_000).filter(({ family }) => family !== 'linalg')

describe.each(devices.map((device) => [device.name, device] as const))('autocast on %s', (_name, device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))
  afterEach(() => expect(autocastDType()).toBe(null))

  const others = small.filter((each) => !isProduct(each.case))
  it.each(others.map((each) => [nameOf(each), each.case] as const))('leaves float32 alone: %s', (_title, c) => {
    compareBits(runCase(cast(c), device, 'float32'), runCase(c, device, 'float32'))
  })

  const products = small.filter((each) => isProduct(each.case))
  it.each(products.map((each) => [nameOf(each), each.case] as const))('runs products in bfloat16: %s', (_title, c) => {
    const low = runCase(cast(c), device, 'float32')
    for (const { dtype } of low.outputs) expect(dtype).toBe(isLossOfProduct(c) ? 'float32' : 'bfloat16')
    for (const gradient of low.gradients) if (gradient) expect(gradient.dtype).toBe('float32')
    compareLoosely(low, runCase(c, device, 'float32'), 4 + (c.length ?? 1))
    if (device !== reference) compareLoosely(low, runCase(cast(c), reference, 'float32'), 2)
  })

  // Losses of products have them too, but the effect of bfloat16 logits has no bound of this form.
  const linearly = products.filter((each) => !isLossOfProduct(each.case))
  it.each(linearly.map((each) => [nameOf(each), each.case] as const))('has second derivatives: %s', (_title, c) => {
    const second = (call: Case['call']) => {
      const values = valuesOf(c)
      const all = c.inputs.map((input, i) =>
        f.fromTypedArray(Float32Array.from(values[i] as Float64Array), input.shape, {
          device,
          requiresGrad: input.differentiable,
        }),
      )
      const inputs = all.filter(({ requiresGrad }) => requiresGrad)
      const sums = asList(call(...all)).map((output) => f.sum(f.square(output.to('float32'))))
      const gradients = f.grad(sums, inputs, { createGraph: true }) as f.Tensor[]
      const total = gradients.map((g) => f.sum(f.square(g))).reduce((a, b) => f.add(a, b))
      return f.grad(total, inputs).map((g) => [...(g as f.Tensor).dataSync()])
    }
    const low = second(cast(c).call)
    const exact = second(c.call)
    exact.forEach((values, k) => {
      const largest = Math.max(1, ...values.map(Math.abs))
      const off = values.map((value, i) => Math.abs((low[k]?.[i] as number) - value))
      expect(Math.max(0, ...off)).toBeLessThanOrEqual(8 * (4 + (c.length ?? 1)) * epsilon * largest)
    })
  })

  // bfloat16 inputs to every operator: widened if the policy is float32, otherwise unchanged.
  const whole = others.filter(({ case: { op } }) => op !== 'cast')
  it.each(whole.map((each) => [nameOf(each), each.case] as const))('takes bfloat16: %s', (_title, c) => {
    const values = valuesOf(c).map((x, i) => (c.inputs[i]?.kind === 'float' && !c.inputs[i]?.written ? lowered(x) : x))
    const narrow = (x: f.Tensor, i: number) =>
      c.inputs[i]?.kind === 'float' && !c.inputs[i]?.written ? x.to('bfloat16') : x
    const exact = runCase(c, device, 'float32', undefined, values)
    const low = runCase(cast(c), device, 'float32', narrow, values)
    low.outputs.forEach((output, i) => {
      if (output.dtype === 'bfloat16') return
      compareBits({ outputs: [output], gradients: [] }, { outputs: [exact.outputs[i] as Values], gradients: [] })
    })
    low.gradients.forEach((gradient) => {
      if (gradient) expect(gradient.dtype).toBe('bfloat16')
    })
    compareLoosely(low, exact, 6 + (c.length ?? 1))
    if (device !== reference) compareLoosely(low, runCase(cast(c), reference, 'float32', narrow, values), 2)
  })

  it('takes the widest of what meets', () => {
    const x = f.randn([3, 4])
    const half = x.to('bfloat16')
    f.autocast('bfloat16', () => {
      expect(f.add(x, half).dtype).toBe('float32')
      expect(f.add(half, half).dtype).toBe('bfloat16')
      expect(f.mul(half, 2).dtype).toBe('bfloat16')
      expect(f.cat([x, half], 0).dtype).toBe('float32')
      expect(f.where(f.gt(half, x), half, x).dtype).toBe('float32')
      expect(f.relu(half).dtype).toBe('bfloat16')
      expect(f.exp(half).dtype).toBe('float32')
      expect(f.sum(half).dtype).toBe('float32')
      expect(f.softmax(half, 1).dtype).toBe('float32')
      expect(f.layerNorm(half, [4], f.ones([4])).dtype).toBe('float32')
      expect(f.matmul(x, half.transpose(0, 1)).dtype).toBe('bfloat16')
      expect(f.mul(f.arange(3), 2).dtype).toBe('int32')
    })
    const logits = f.randn([3, 4]).to('float16')
    const labels = f.randint(0, 4, [3])
    f.autocast('bfloat16', () => {
      expect(f.crossEntropy(logits, labels).item()).toBe(f.crossEntropy(logits.to('float32'), labels).item())
      expect(f.linear(logits, x, f.ones([3], { dtype: 'float16' })).dtype).toBe('bfloat16')
    })
    // Outside autocast the kernels' own dtypes hold, and results computed in float32 are rounded to the dtype of the
    // inputs.
    expect(f.add(x, half).dtype).toBe('float32')
    expect(f.softmax(half, 1).dtype).toBe('bfloat16')
  })

  it('refuses to train a batch norm whose running statistics have 16 bits, because a copy would get the update', () => {
    const x = f.randn([4, 3])
    for (const dtype of ['bfloat16', 'float16'] as const) {
      const layer = new f.nn.BatchNorm1d(3).to(dtype)
      const run = () => f.autocast('bfloat16', () => layer.forward(x))
      expect(run).toThrow(f.DTypeError)
      expect(run).toThrow(`[batchNorm] runningMean is ${dtype}, but autocast computes in float32`)
      // These are only read in evaluation.
      layer.eval()
      expect(run().dtype).toBe('float32')
    }
    const layer = new f.nn.BatchNorm1d(3)
    f.autocast('bfloat16', () => layer.forward(x))
    expect(layer.runningMean?.toArray()).not.toEqual([0, 0, 0])
  })

  it('runs layers, which keep to float32 where they make tensors of their own', () => {
    const { nn } = f
    const x = f.randn([3, 5, 8])
    const mask = f.randn([5, 5])
    const layers: readonly [f.nn.Module, () => f.Tensor][] = []
    const add = <M extends f.nn.Module>(layer: M, run: (layer: M) => f.Tensor) =>
      (layers as [f.nn.Module, () => f.Tensor][]).push([layer, () => run(layer)])
    add(new nn.TransformerEncoderLayer(8, 2, { dimFeedforward: 16 }), (l) => l.forward(x))
    add(new nn.MultiheadAttention(8, 2), (l) => l.forward(x, x, x, { attnMask: mask }))
    add(new nn.LSTM(8, 6, { numLayers: 2, bidirectional: true, batchFirst: true }), (l) => l.forward(x).output)
    add(new nn.Sequential(new nn.Linear(8, 5), new nn.BatchNorm1d(5)), (l) => l.forward(x.reshape([15, 8])) as f.Tensor)
    add(
      new nn.Sequential(new nn.Embedding(9, 8), new nn.Linear(8, 4)),
      (l) => l.forward(f.randint(0, 9, [7])) as f.Tensor,
    )
    for (const [layer, run] of layers) {
      f.sum(f.autocast('bfloat16', () => f.square(run()))).backward()
      for (const [name, p] of layer.namedParameters()) {
        expect(p.grad?.dtype, `${layer.constructor.name} ${name}`).toBe('float32')
        expect((p.grad as f.Tensor).dataSync().some((g) => g !== 0)).toBe(true)
      }
      for (const [, buffer] of layer.namedBuffers()) expect(buffer.dtype.includes('16')).toBe(false)
    }
  })

  it('nests, ends with an error, and is synchronous', () => {
    const [a, b] = [f.randn([3, 4]), f.randn([4, 5])]
    f.autocast('bfloat16', () => {
      const low = f.matmul(a, b)
      expect(low.dtype).toBe('bfloat16')
      f.autocast('float32', () => {
        expect(f.matmul(a, b).dtype).toBe('float32')
        expect(f.matmul(low, b.transpose(0, 1)).dtype).toBe('float32')
        expect([...f.matmul(a, b).dataSync()]).toEqual([
          ...f.noGrad(() => f.autocast('float32', () => f.matmul(a, b))).dataSync(),
        ])
      })
      expect(f.matmul(a, b).dtype).toBe('bfloat16')
      expect(() =>
        f.autocast('float32', () => {
          throw new Error('mine')
        }),
      ).toThrow('mine')
      expect(f.matmul(a, b).dtype).toBe('bfloat16')
    })
    expect(f.matmul(a, b).dtype).toBe('float32')
    expect(() => f.autocast('bfloat16', () => Promise.resolve(1))).toThrow(f.ValueError)
    expect(() => f.autocast('float16' as 'bfloat16', () => 1)).toThrow(/\[autocast\] dtype is 'float16'/)
    expect(f.autocast('bfloat16', () => f.noGrad(() => f.scope(() => f.matmul(a, b)))).dtype).toBe('bfloat16')
  })

  it('gives the same gradients whether backward runs inside or outside', () => {
    const gradients = (inside: boolean) => {
      f.manualSeed(3)
      const model = new f.nn.Sequential(new f.nn.Linear(9, 17), new f.nn.GELU(), new f.nn.Linear(17, 5))
      const x = f.randn([11, 9], { requiresGrad: true })
      f.autocast('bfloat16', () => {
        const loss = f.sum(f.square(model.forward(x)))
        if (inside) loss.backward()
        return inside ? null : loss
      })?.backward()
      const all = [x, ...model.parameters()].map((t) => t.grad as f.Tensor)
      for (const gradient of all) expect(gradient.dtype).toBe('float32')
      return all.map((gradient) => [...gradient.dataSync()])
    }
    expect(gradients(true)).toEqual(gradients(false))
  })

  it('converts once what several products read', () => {
    const x = f.randn([8, 16], { requiresGrad: true })
    const weights = [1, 2, 3].map(() => f.keep(f.randn([4, 16], { requiresGrad: true })))
    const read = () => weights.map((w) => f.linear(x.mul(1), w)).length
    const together = () => {
      const y = x.mul(1)
      return weights.map((w) => f.linear(y, w))
    }
    const copies = (run: () => unknown) =>
      f.trace(() => f.autocast('bfloat16', () => void run()), device).kernels.filter(({ kernel }) => kernel === 'copy')
        .length
    f.autocast('bfloat16', together)
    expect(copies(read)).toBe(3)
    expect(copies(together)).toBe(1)
    // The copy is not kept after a write, after it is freed, or if its graph is unwanted or used up. Each reading makes
    // a copy.
    const kept = f.keep(f.randn([8, 16])).mul(1)
    const first = weights[0] as f.Tensor
    expect(
      copies(() => {
        f.linear(kept, first)
        kept.fill_(2)
        const low = f.linear(kept, first)
        expect([...low.dataSync()]).toEqual([...f.linear(f.full([8, 16], 2), first).dataSync()])
      }),
    ).toBe(3 + 2)
    f.autocast('bfloat16', () => {
      f.scope(() => void f.linear(kept, first))
      expect(f.linear(kept, first).shape).toEqual([8, 4])
      const leaf = f.randn([8, 16], { requiresGrad: true }).mul(1)
      expect(f.noGrad(() => f.linear(leaf, first)).requiresGrad).toBe(false)
      for (let i = 0; i < 2; i++) f.sum(f.linear(leaf, first)).backward({ retainGraph: true })
    })
  })

  it('takes float16, which is stored alone: its products give it a gradient, summed in float32', () => {
    const values = f.randn([5, 7], { generator: new f.Generator(2) }).to('float16')
    const factors = [3, 4].map((n) => f.randn([7, n], { generator: new f.Generator(n) }))
    const gradientOf = (leaf: f.Tensor): Float32Array => {
      leaf.requiresGrad = true
      for (let pass = 0; pass < 2; pass++) {
        const [a, b] = f.autocast('bfloat16', () => factors.map((w) => f.sum(f.matmul(leaf, w))))
        f.add(a as f.Tensor, b as f.Tensor).backward()
      }
      expect(leaf.grad?.dtype).toBe(leaf.dtype)
      return (leaf.grad as f.Tensor).to('float32').dataSync() as Float32Array
    }
    const wide = gradientOf(values.to('float32'))
    gradientOf(values).forEach((x, i) => void expect(x).toBeCloseTo(wide[i] as number, 1))
  })

  it('sums gradients of a tensor that was used in several dtypes', () => {
    const x = f.randn([6, 6], { requiresGrad: true })
    const half = x.to('bfloat16')
    const loss = f.autocast('bfloat16', () =>
      f.add(f.sum(f.matmul(half, half)), f.add(f.sum(f.gelu(half)), f.sum(f.exp(half)))),
    )
    loss.backward()
    const y = x.detach().to('bfloat16').to('float32')
    y.requiresGrad = true
    f.add(f.sum(f.matmul(y, y)), f.add(f.sum(f.gelu(y)), f.sum(f.exp(y)))).backward()
    const [a, b] = [x.grad as f.Tensor, y.grad as f.Tensor].map((g) => g.dataSync())
    expect(x.grad?.dtype).toBe('float32')
    b?.forEach((value, i) => void expect(Math.abs((a?.[i] as number) - value)).toBeLessThan(0.1))
    // An intermediate tensor's gradient has the tensor's dtype, even if it arrived in float32.
    const [middle] = f.grad(f.sum(f.autocast('bfloat16', () => f.matmul(half, half)).to('float32')), [half])
    expect(middle?.dtype).toBe('bfloat16')
  })
})

describe.each(devices.map((device) => [device.name, device] as const))(
  'copies of parameters on %s',
  (_name, device) => {
    const before = f.defaultDevice()
    beforeAll(() => f.setDefaultDevice(device))
    afterAll(() => f.setDefaultDevice(before))

    const make = () => {
      f.manualSeed(5)
      return new f.nn.Sequential(
        new f.nn.Linear(33, 65),
        new f.nn.LayerNorm(65),
        new f.nn.ReLU(),
        new f.nn.Linear(65, 31),
      )
    }
    const input = () => f.randn([7, 33], { generator: new f.Generator(9) })
    const lossOf = (model: ReturnType<typeof make>, x: f.Tensor) =>
      f.autocast('bfloat16', () => f.mean(f.square(model.forward(x) as f.Tensor)))
    const rounded = (x: f.Tensor) => [...x.detach().to('bfloat16').dataSync()]
    const copyOf = (parameter: f.Tensor) => {
      const shadow = parameter.storage.shadow
      expect(shadow).not.toBe(null)
      expect(shadow?.version).toBe(parameter.storage.version)
      return [...new f.Tensor(shadow?.storage as f.Tensor['storage'], parameter.shape, parameter.strides, 0).dataSync()]
    }

    const optimizers: readonly [string, (p: f.nn.ParameterView) => f.optim.SGD | f.optim.Adam][] = [
      ['SGD', (p) => new f.optim.SGD(p, { lr: 0.1 })],
      ['SGD with momentum', (p) => new f.optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true })],
      ['AdamW', (p) => new f.optim.AdamW(p, { lr: 0.01 })],
      ['AMSGrad', (p) => new f.optim.Adam(p, { lr: 0.01, amsgrad: true })],
    ]
    it.each(optimizers)('are written by %s, which steps as without them', (_title, optimizerOf) => {
      const [model, plain] = [make(), make()]
      const [optimizer, other] = [optimizerOf(model.parameters()), optimizerOf(plain.parameters())]
      const x = input()
      for (let step = 0; step < 3; step++) {
        lossOf(model, x).backward()
        const gradients = [...model.parameters()].map((p) => p.grad as f.Tensor)
        for (const [i, p] of [...plain.parameters()].entries()) p.grad = (gradients[i] as f.Tensor).clone()
        optimizer.step()
        other.step()
        const weights = [...model.parameters()]
        for (const [i, p] of [...plain.parameters()].entries())
          expect([...p.detach().dataSync()]).toEqual([...(weights[i] as f.Tensor).detach().dataSync()])
        for (const p of weights)
          if (p.ndim === 2) expect(copyOf(p)).toEqual(rounded(p))
          else expect(p.storage.shadow).toBe(null)
        const kernels = f.trace(() => f.noGrad(() => void lossOf(model, x)), device).kernels.map(({ kernel }) => kernel)
        // The inputs of the two products, the norm and the square are converted, but no weight is.
        expect(kernels.filter((kernel) => kernel === 'copy').length).toBe(4)
        optimizer.zeroGrad()
      }
    })

    it('follow every other write, and are neither state nor seen', () => {
      const model = make()
      const x = input()
      const first = [...model.parameters()][0] as f.Tensor
      const low = () => [...f.noGrad(() => f.autocast('bfloat16', () => model.forward(x) as f.Tensor)).dataSync()]
      const then = low()
      const keys = [...model.stateDict().keys()]
      expect(keys).toEqual([...make().stateDict().keys()])
      f.noGrad(() => first.fill_(0.5))
      expect(low()).not.toEqual(then)
      expect(copyOf(first)).toEqual(rounded(first))
      model.loadStateDict(make().stateDict())
      expect(low()).toEqual(then)
      for (const [, tensor] of model.stateDict()) expect(tensor.dtype).toBe('float32')
    })

    it('are let go when training goes on in float32, and with the parameter', () => {
      const model = make()
      const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
      const x = input()
      lossOf(model, x).backward()
      optimizer.step()
      const weight = [...model.parameters()][0] as f.Tensor
      const copy = weight.storage.shadow?.storage
      expect(copy?.freed).toBe(false)
      for (let i = 0; i < 2; i++) {
        optimizer.zeroGrad()
        f.sum(model.forward(x) as f.Tensor).backward()
        optimizer.step()
      }
      expect(weight.storage.shadow).toBe(null)
      expect(copy?.freed).toBe(true)
      void lossOf(model, x)
      const again = weight.storage.shadow?.storage
      weight.dispose()
      expect(again?.freed).toBe(true)
    })

    it('tell a backward that comes after the step', () => {
      const model = make()
      const optimizer = new f.optim.SGD(model.parameters(), { lr: 0.1 })
      const x = f.randn([7, 33], { requiresGrad: true })
      const [early, late] = [lossOf(model, x), lossOf(model, x)]
      early.backward()
      optimizer.step()
      expect(() => late.backward()).toThrow(/SGD\.step has overwritten/)
    })

    it('serve a frozen weight without being made again', () => {
      const model = make()
      for (const p of model.parameters()) p.requiresGrad = false
      const x = input()
      void lossOf(model, x)
      const copies = [...model.parameters()].map((p) => p.storage.shadow?.storage)
      f.scope(() => void lossOf(model, x))
      expect([...model.parameters()].map((p) => p.storage.shadow?.storage)).toEqual(copies)
    })

    it('serve LoRA, whose base is frozen', () => {
      const model = make()
      applyLora(model, { rank: 2, alpha: 4, targetModules: ['0', '3'] })
      f.noGrad(() => {
        for (const [name, p] of model.namedParameters())
          if (name.includes('lora_B')) p.copy_(f.mul(f.randn(p.shape), 0.1))
      })
      const optimizer = new f.optim.AdamW(model.parameters(), { lr: 1e-2 })
      const x = input()
      const losses: number[] = []
      let kernels: readonly string[] = []
      for (let i = 0; i < 4; i++)
        kernels = f
          .trace(
            () =>
              f.scope(() => {
                const loss = lossOf(model, x)
                loss.backward()
                optimizer.step()
                optimizer.zeroGrad()
                losses.push(loss.item())
              }),
            device,
          )
          .kernels.map(({ kernel }) => kernel)
      expect(losses[3]).toBeLessThan(losses[0] as number)
      expect(kernels.filter((kernel) => kernel === 'matmul').length).toBeGreaterThan(6)
      for (const [name, p] of model.namedParameters()) if (p.ndim === 2) expect(copyOf(p), name).toEqual(rounded(p))
    })

    it('a parameter in bfloat16 is refused by name', () => {
      const layer = new f.nn.Linear(3, 2).to('bfloat16')
      const optimizer = new f.optim.SGD(layer.parameters(), { lr: 0.1 })
      f.sum(layer.forward(f.randn([4, 3]).to('bfloat16')).to('float32')).backward()
      expect([...layer.parameters()].map((p) => p.grad?.dtype)).toEqual(['bfloat16', 'bfloat16'])
      expect(() => optimizer.step()).toThrow(/weight is bfloat16/)
    })
  },
)

describe.each(devices.filter((d) => d instanceof NativeDevice).map((d) => [d.name, d] as const))(
  'threads on %s',
  (_name, device) => {
    it('do not change the bits', () => {
      const native = device as NativeDevice
      const run = () => {
        f.manualSeed(1)
        const model = new f.nn.Sequential(
          new f.nn.Linear(257, 511),
          new f.nn.GELU(),
          new f.nn.Dropout(0.2),
          new f.nn.Linear(511, 129),
        )
        model.to(device)
        const optimizer = new f.optim.AdamW(model.parameters(), { lr: 1e-2 })
        const x = f.randn([133, 257], { device })
        for (let i = 0; i < 3; i++)
          f.scope(() => {
            f.autocast('bfloat16', () => f.mean(f.square(model.forward(x) as f.Tensor))).backward()
            optimizer.step()
            optimizer.zeroGrad()
          })
        return [...model.parameters()].map((p) => Buffer.from(p.detach().dataSync().buffer).toString('base64'))
      }
      const threads = native.threads
      try {
        native.threads = 1
        const one = run()
        for (const count of [2, 3]) {
          native.threads = count
          expect(run()).toEqual(one)
        }
      } finally {
        native.threads = threads
      }
    })
  },
)

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  applyLora,
  freeze,
  LoraAdapter,
  LoraConv2d,
  type LoraEmbedding,
  LoraLinear,
  loadAdapter,
  mergeLora,
  removeLora,
  saveAdapter,
  setAdapter,
  unmergeLora,
  withAdapter,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import {
  add,
  autocast,
  Generator,
  linear,
  matmul,
  mul,
  nn,
  noGrad,
  ones,
  optim,
  reshape,
  sum,
  type Tensor,
  tensor,
  transpose,
  ValueError,
} from '../../lib/index.js'
import { loadTensors } from '../../lib/io/tensors.js'

/** The numbers that PyTorch was given for the values below, in float64. */
const values = (count: number, k = 0) => Array.from({ length: count }, (_, i) => (((i * 7 + k * 3) % 11) - 5) / 4)
const numbers = (shape: readonly number[], k: number, device: string) =>
  reshape(
    tensor(
      values(
        shape.reduce((a, b) => a * b, 1),
        k,
      ),
      { device },
    ),
    [...shape],
  )
const put = (parameter: Tensor, k: number) =>
  noGrad(() => void parameter.copy_(numbers(parameter.shape, k, parameter.device.name)))
const close = (found: Tensor | null, expected: readonly number[] | Tensor, digits = 5) => {
  const wanted = 'dataSync' in expected ? [...expected.dataSync()] : expected
  const got = [...(found as Tensor).dataSync()]
  expect(got.length).toBe(wanted.length)
  for (const [i, value] of got.entries()) expect(value, `element ${i}`).toBeCloseTo(wanted[i] as number, digits)
}

/** DoRA (Liu et al., 2024) as a user would write it, with the formulas of PEFT. */
class Dora extends nn.Adapter {
  static override readonly stateNames = {
    loraA: 'lora_A',
    loraB: 'lora_B',
    magnitude: 'lora_magnitude_vector',
  }
  readonly loraA: nn.Parameter
  readonly loraB: nn.Parameter
  readonly magnitude: nn.Parameter
  readonly scale: number

  constructor(layer: nn.Adaptable, rank: number, scale: number) {
    super()
    const weight = layer.dense().detach()
    const [out = 0, inputs = 0] = weight.shape
    const { device } = weight
    this.scale = scale
    this.loraA = new nn.Parameter(ones([rank, inputs], { device }))
    this.loraB = new nn.Parameter(ones([out, rank], { device }))
    this.magnitude = new nn.Parameter(norms(weight))
  }

  override linear(layer: nn.BaseLayer, x: Tensor): Tensor {
    const delta = mul(matmul(this.loraB, this.loraA), this.scale)
    const norm = noGrad(() => norms(add(layer.dense(), delta)))
    const product = add(layer.product(x), linear(x, delta))
    const scaled = mul(product, this.magnitude.div(norm))
    return layer.bias ? add(scaled, layer.bias) : scaled
  }
}
const norms = (weight: Tensor): Tensor => sum(weight.square(), [1]).sqrt()

/** IA3 (Liu et al., 2022): learned factors of the result, or of the input. */
class Ia3 extends nn.Adapter {
  static override readonly stateNames = { factors: 'ia3_l' }
  readonly factors: nn.Parameter
  readonly isFeedforward: boolean

  constructor(layer: nn.Adaptable, isFeedforward: boolean) {
    super()
    const [out = 0, inputs = 0] = layer.dense().shape
    this.isFeedforward = isFeedforward
    this.factors = new nn.Parameter(ones([isFeedforward ? inputs : out], { device: layer.dense().device }))
  }

  override linear(layer: nn.BaseLayer, x: Tensor): Tensor {
    return this.isFeedforward ? layer.forward(mul(x, this.factors)) : mul(layer.forward(x), this.factors)
  }
}

/** A linear layer whose weight is stored [in, out], as those of GPT-2. */
class Conv1D extends nn.Adaptable {
  readonly weight: nn.Parameter
  readonly bias: nn.Parameter
  constructor(inputs: number, out: number, device: string) {
    super()
    this.weight = new nn.Parameter(ones([inputs, out], { device }))
    this.bias = new nn.Parameter(ones([out], { device }))
  }
  override get adaptation(): nn.Adaptation {
    const [inFeatures = 0, outFeatures = 0] = this.weight.shape
    return { by: 'linear', weight: this.weight, inFeatures, outFeatures }
  }
  override product(x: Tensor): Tensor {
    return matmul(x, this.weight)
  }
  override dense(): Tensor {
    return transpose(this.weight, 0, 1)
  }
  forward(x: Tensor): Tensor {
    return this.adapt(x)
  }
}

describe.each(['cpu', 'reference'])('the slot on %s', (device) => {
  const layer = () => {
    const made = new nn.Linear(3, 4, { device })
    put(made.weight, 0)
    put(made.bias as Tensor, 1)
    return made
  }
  const x = () => numbers([2, 3], 2, device)
  const withDora = (to: nn.Adaptable) => {
    const dora = new Dora(to, 2, 1.5)
    put(dora.loraA, 3)
    put(dora.loraB, 4)
    noGrad(() => void dora.magnitude.copy_(tensor([1, 0.5, 2, 1.5], { device })))
    to.adapters.set('default', dora)
    return dora
  }
  const doraResult = [-1.033767, 1.549907, -0.654534, -1.594531, -0.766884, 1.425247, -0.848363, -1.51109]

  it('takes DoRA: values and gradients of PEFT’s formulas', () => {
    const to = layer()
    const dora = withDora(to)
    const input = x()
    input.requiresGrad = true
    to.weight.requiresGrad = false
    const result: Tensor = to.forward(input as never)
    close(result, doraResult)
    sum(result.square()).backward()
    close(dora.loraA.grad, [-0.494024, 4.144243, -3.972724, -0.390955, 1.901416, -2.110234], 4)
    close(dora.loraB.grad, [2.065708, 2.190051, -1.548033, -1.620642, 4.660873, 4.779937, 2.261571, 2.363399], 4)
    close(dora.magnitude.grad, [1.512919, 2.85839, 1.523858, 3.328942], 4)
    close(input.grad, [-3.513649, 0.301119, 7.014849, -4.479341, 0.20046, 7.030808], 4)
    expect(to.weight.grad).toBe(null)
  })

  it('takes IA3, of results and of inputs', () => {
    const [out, input] = [layer(), layer()]
    const [ofOut, ofInput] = [new Ia3(out, false), new Ia3(input, true)]
    noGrad(() => {
      ofOut.factors.copy_(tensor([0.5, 2, -1, 1.25], { device }))
      ofInput.factors.copy_(tensor([0.5, 2, -1], { device }))
    })
    out.adapters.set('scales', ofOut)
    input.adapters.set('scales', ofInput)
    close(out.forward(x() as never), [-0.84375, 1.25, 0.5, -2.03125, -0.6875, 0.875, 0.5, -1.796875])
    close(input.forward(x() as never), [-0.90625, 1.78125, 1.375, 0.96875, -1.125, 1.3125, 1, 0.6875])
  })

  it('takes layers whose weight is stored [in, out]', () => {
    const [to, like] = [new Conv1D(3, 4, device), layer()]
    noGrad(() => {
      to.weight.copy_(transpose(like.weight, 0, 1))
      to.bias.copy_(like.bias as Tensor)
    })
    withDora(to)
    close(to.forward(x()), doraResult)
    const [model, twin] = [new nn.Sequential(new Conv1D(3, 4, device)), new nn.Sequential(like)]
    noGrad(() => void (model.at(0) as Conv1D).weight.copy_(transpose(like.weight, 0, 1)))
    noGrad(() => void (model.at(0) as Conv1D).bias.copy_(like.bias as Tensor))
    for (const each of [model, twin]) {
      applyLora(each, { rank: 2, targetModules: 'all-linear' })
      for (const module of each.modules())
        if (module instanceof LoraLinear) for (const [i, factor] of module.factors.entries()) put(factor, i + 3)
    }
    const before = twin.forward(x()).detach()
    close(model.forward(x()), before)
    mergeLora(model)
    close(model.forward(x()), before)
    expect((model.at(0) as Conv1D).weight.shape).toEqual([3, 4])
  })

  it('composes several in order', () => {
    const to = layer()
    const plain: Tensor = to.forward(x() as never)
    const scale = new Ia3(to, false)
    noGrad(() => void scale.factors.fill_(2))
    const lora = new LoraLinear(to, { rank: 2 })
    for (const [i, factor] of lora.factors.entries()) put(factor, i + 3)
    const delta = linear(x(), lora.delta())
    to.adapters.set('scale', scale)
    to.adapters.set('lora', lora)
    close(to.forward(x() as never), add(mul(plain, 2), delta))
    to.adapters.activate(['lora', 'scale'])
    close(to.forward(x() as never), mul(add(plain, delta), 2))
    expect([to.adapters.names, to.adapters.active]).toEqual([
      ['scale', 'lora'],
      ['lora', 'scale'],
    ])
    // Without the bias, adapters before are still there.
    const seen: Tensor[] = []
    class Looks extends nn.Adapter {
      override linear(inner: nn.BaseLayer, input: Tensor): Tensor {
        seen.push(inner.product(input), inner.dense(), inner.bias as Tensor)
        return inner.forward(input)
      }
    }
    to.adapters.set('looks', new Looks())
    to.forward(x() as never)
    close(seen[0] as Tensor, mul(add(linear(x(), to.weight), delta), 2))
    expect(seen.slice(1)).toEqual([to.weight, to.bias])
    for (const name of to.adapters.names) expect(to.adapters.delete(name)).toBe(true)
    expect(to.adapters.delete('looks')).toBe(false)
    expect([...to.adapters]).toEqual([])
    close(to.forward(x() as never), plain)
  })

  it('names what adapters hold as PEFT does, and walks it', () => {
    const model = new nn.Sequential(layer())
    const dora = new Dora(model.at(0), 2, 1)
    model.at(0).adapters.set('polite', dora)
    expect(model.namedParameters().map(([name]) => name)).toEqual([
      '0.weight',
      '0.bias',
      '0.lora_A.polite',
      '0.lora_B.polite',
      '0.lora_magnitude_vector.polite',
    ])
    expect(dora.adapterName).toBe('polite')
    expect(model.namedModules().map(([path]) => path)).toEqual(['', '0', '0.adapters.polite'])
    model.eval()
    expect(dora.training).toBe(false)
    const state = new Map([...model.stateDict()].map(([name, value]) => [name, value.clone()]))
    put(dora.loraA, 5)
    model.loadStateDict(state)
    close(dora.loraA, [1, 1, 1, 1, 1, 1])
    model.at(0).adapters.delete('polite')
    expect([dora.adapterName, [...model.stateDict().keys()]]).toEqual([null, ['0.weight', '0.bias']])
  })

  it('refuses what is no adapter of its layer', () => {
    const to = layer()
    const { adapters } = to
    expect(() => adapters.set('a', new nn.Linear(3, 4) as never)).toThrow(
      '[Linear.adapters.set] the adapter is a Linear, but must extend nn.Adapter',
    )
    for (const name of ['', 'a.b', 3, null])
      expect(() => adapters.set(name as never, new Dora(to, 1, 1))).toThrow(
        "[Linear.adapters.set] the adapter's name is ",
      )
    const conv = new nn.Conv2d(1, 1, 1, { device })
    expect(() => adapters.set('a', new LoraConv2d(conv, { rank: 1 }))).toThrow(
      '[Linear.adapters.set] a LoraConv2d cannot adapt this layer; give it a method linear(layer, x)',
    )
    const dora = new Dora(to, 1, 1)
    adapters.set('a', dora)
    expect(() => layer().adapters.set('b', dora)).toThrow("the adapter is named 'a' in a layer already")
    expect(() => adapters.set('b', dora)).toThrow("the adapter is named 'a' in a layer already")
    expect(() => adapters.activate(['a', 'b'])).toThrow(
      "[Linear.adapters.activate] there is no adapter 'b'; there are ['a']",
    )
    expect(() => adapters.activate(['a', 'a'])).toThrow('an adapter is named twice')
    expect(() => adapters.activate('a' as never)).toThrow("names is 'a', but must be a list of names")
    expect(adapters.active).toEqual(['a'])
    expect(() => dora.forward()).toThrow('[Dora] an adapter has no forward')
    expect(() => new LoraLinear(conv, { rank: 1 })).toThrow(
      '[LoraLinear] the layer is a Conv2d, which is adapted by conv2d',
    )
    expect(() => new LoraLinear(new nn.LayerNorm(2) as never, { rank: 1 })).toThrow(ValueError)
  })
})

const fill = (model: nn.Module, name: string, ks: readonly [number, number]) => {
  for (const [, module] of model.namedModules())
    if (module instanceof LoraAdapter && module.adapterName === name)
      for (const [i, factor] of module.factors.entries()) put(factor, ks[i] as number)
}

describe.each(['cpu', 'reference'])('LoRA on %s', (device) => {
  it('of an embedding: PEFT’s values, gradients and merging', () => {
    const model = new nn.Sequential(new nn.Embedding(5, 3, { device, paddingIdx: 0 }) as nn.Layer)
    const embed = model.at(0) as unknown as nn.Embedding
    put(embed.weight, 1)
    const ids = tensor([4, 0, 2, 2], { dtype: 'int32', device }).reshape([2, 2])
    const base = model.forward(ids).detach()
    applyLora(model, { rank: 2, alpha: 3, targetModules: ['0'] })
    const lora = embed.adapters.get('default') as LoraEmbedding
    close(model.forward(ids), base)
    expect(model.namedParameters().flatMap(([name, p]) => (p.requiresGrad ? [[name, p.shape]] : []))).toEqual([
      ['0.lora_embedding_A.default', [2, 5]],
      ['0.lora_embedding_B.default', [3, 2]],
    ])
    expect([...lora.loraEmbeddingA.dataSync()].every((value) => value === 0)).toBe(true)
    expect([...lora.loraEmbeddingB.dataSync()].every((value) => value !== 0)).toBe(true)
    put(lora.loraEmbeddingA, 2)
    put(lora.loraEmbeddingB, 5)
    const result = model.forward(ids)
    const expected = [2.5625, -0.125, -2.8125, -2, 0.875, 1, 0.96875, 2.4375, 1.15625, 0.96875, 2.4375, 1.15625]
    close(result, expected)
    sum(result.square()).backward()
    close(lora.loraEmbeddingA.grad, [0, 0, 14.53125, 0, -12.65625, 0, 0, -12.84375, 0, -11.53125], 4)
    close(lora.loraEmbeddingB.grad, [-3.375, -15.609375, 15.65625, -16.125, 16.125, -2.203125], 4)
    mergeLora(model)
    close(model.forward(ids), expected)
    unmergeLora(model)
    close(
      withoutAdapters(model, () => model.forward(ids)),
      base,
    )
  })

  it.each([
    [
      1,
      23.0625,
      485.0416259765625,
      [3.15625, -2.953125, -0.726562, -0.90625],
      [11.8125, -8.15625, 11.8125, -8.15625],
      1.96875,
    ],
    [
      2,
      -24.46875,
      660.93798828125,
      [-1.117188, -1.84375, 2.414062, -1.40625],
      [11.8125, 11.8125, -8.15625, -8.15625],
      -3.9375,
    ],
  ] as const)('of a convolution of %i groups: PEFT’s values and gradients', (groups, total, squares, first, gB, gA) => {
    const model = new nn.Sequential(
      new nn.Conv2d(4, 4, [2, 3], { device, stride: [2, 1], padding: [1, 0], groups }) as nn.Layer,
      new nn.ReLU() as nn.Layer,
    )
    const conv = model.at(0) as unknown as nn.Conv2d
    put(conv.weight, 1)
    put(conv.bias as Tensor, 2)
    const x = numbers([1, 4, 5, 6], 3, device)
    applyLora(model, { rank: 2, alpha: 3, targetModules: ['0'] })
    const lora = conv.adapters.get('default') as LoraConv2d
    expect([lora.loraA.weight.shape, lora.loraB.weight.shape]).toEqual([
      [2, 4, 2, 3],
      [4, 2 / groups, 1, 1],
    ])
    put(lora.loraA.weight, 4)
    put(lora.loraB.weight, 5)
    const result = conv.forward(x)
    close(result.reshape([-1]).slice([0, 4]), first)
    expect(sum(result).item()).toBeCloseTo(total, 3)
    expect(sum(result.square()).item()).toBeCloseTo(squares, 2)
    sum(result).backward()
    close((lora.loraB.weight.grad as Tensor).reshape([-1]).slice([0, 4]), gB, 4)
    expect((lora.loraA.weight.grad as Tensor).dataSync()[0]).toBeCloseTo(gA, 4)
    // The ReLU after it does not run within its kernel, which would leave the adapter out.
    const after = model.forward(x)
    close(after, result.relu())
    if (groups === 1) {
      mergeLora(model)
      close(model.forward(x), after)
      close(conv.forward(x), result.detach())
    } else
      expect(() => mergeLora(model)).toThrow(
        '[mergeLora] 0 cannot hold the product: it is a convolution of 2 groups, and the product sees all channels',
      )
  })

  it('of a convolution needs a rank that its groups divide', () => {
    const model = new nn.Sequential(new nn.Conv2d(4, 4, 1, { device, groups: 4 }) as nn.Layer)
    expect(() => applyLora(model, { rank: 6, targetModules: ['0'] })).toThrow(
      '[applyLora] rank 6 does not divide into the 4 groups of 0; choose another by rankPattern',
    )
    expect(() => new LoraConv2d(model.at(0) as unknown as nn.Conv2d, { rank: 6 })).toThrow(
      '[LoraConv2d] rank 6 does not',
    )
  })

  describe('of attention', () => {
    const make = (batchFirst = true) => {
      const model = new nn.TransformerEncoderLayer(4, 2, { device, dropout: 0, dimFeedforward: 4, batchFirst })
      const { selfAttn } = model
      for (const [i, each] of [
        selfAttn.inProjWeight,
        selfAttn.inProjBias as Tensor,
        selfAttn.outProj.weight,
        selfAttn.outProj.bias as Tensor,
      ].entries())
        put(each, i + 1)
      return model
    }
    const adapt = (model: nn.TransformerEncoderLayer) => {
      applyLora(model, { rank: 2, alpha: 1, targetModules: ['self_attn'] })
      const { selfAttn } = model
      const loras = [selfAttn, selfAttn.outProj].map((layer) => layer.adapters.get('default') as LoraLinear)
      for (const [i, factor] of loras.flatMap((lora) => lora.factors).entries()) put(factor, i + 5)
      return selfAttn
    }
    const input = (k: number, t: number) => mul(numbers([1, t, 4], k, device), 0.25)

    it('adapts queries, keys and values, and the output along, as PEFT does', () => {
      const model = make()
      const attention = adapt(model)
      const [q, k, u] = [input(1, 3), input(2, 2), input(3, 2)]
      const self = [
        -0.540066, 1.231556, -0.509613, 0.892057, -0.867153, 1.053899, -0.79656, 0.623508, -0.734509, 1.167744,
        -0.779393, 0.846597,
      ]
      const cross = [
        -0.457887, 1.022582, 0.165325, 0.256894, -0.693878, 0.910243, -0.080195, 0.115417, -0.584199, 0.988533,
        -0.025129, 0.223917,
      ]
      const apart = [
        -0.868135, 1.334719, -1.459171, 1.331768, -0.696869, 1.376089, -1.1875, 1.342886, -0.800983, 1.373937,
        -1.407669, 1.403357,
      ]
      const check = () => {
        close(attention.forward(q), self)
        close(attention.forward(q, k), cross)
        close(attention.forward(q, k, u), apart)
      }
      check()
      expect(model.namedParameters().flatMap(([name, p]) => (p.requiresGrad ? [name] : []))).toEqual([
        'self_attn.out_proj.lora_A.default.weight',
        'self_attn.out_proj.lora_B.default.weight',
        'self_attn.lora_A.default.weight',
        'self_attn.lora_B.default.weight',
      ])
      mergeLora(model)
      check()
      const turned = adapt(make(false))
      close(turned.forward(transpose(q, 0, 1), transpose(k, 0, 1)), cross)
    })

    it('is in files under PEFT’s names', async () => {
      const model = make()
      adapt(model)
      const path = join(folder, 'attention')
      await saveAdapter(model, path)
      const tensors = await loadTensors(join(path, 'adapter_model.safetensors'))
      expect([...tensors.keys()].sort()).toEqual([
        'base_model.model.self_attn.base_layer.out_proj.lora_A.weight',
        'base_model.model.self_attn.base_layer.out_proj.lora_B.weight',
        'base_model.model.self_attn.lora_A.weight',
        'base_model.model.self_attn.lora_B.weight',
      ])
      const other = make()
      await loadAdapter(other, path)
      close(other.selfAttn.forward(input(1, 3)), model.selfAttn.forward(input(1, 3)))
    })

    it('of the output alone, and none of it by all-linear', () => {
      const model = applyLora(make(), { targetModules: ['out_proj'] })
      expect([model.selfAttn.adapters.names, model.selfAttn.outProj.adapters.names]).toEqual([[], ['default']])
      const all = applyLora(make(), { targetModules: 'all-linear' })
      expect(all.selfAttn.adapters.names).toEqual([])
      expect([all.selfAttn.outProj, all.linear1, all.linear2].map(({ adapters }) => adapters.names)).toEqual([
        ['default'],
        ['default'],
        ['default'],
      ])
    })
  })

  describe('beside bfloat16 weights', () => {
    const make = () => {
      const generator = new Generator(3)
      const model = new nn.Sequential(
        new nn.Linear(8, 8, { device, generator }),
        new nn.Tanh(),
        new nn.Linear(8, 4, { device, generator }),
      )
      return model
    }
    const rounded = (model: nn.Module) => {
      noGrad(() => {
        for (const p of model.parameters()) p.copy_(p.to('bfloat16').to('float32'))
      })
      return model
    }
    const apply = <M extends nn.Module>(model: M) =>
      applyLora(model, { rank: 4, alpha: 8, targetModules: 'all-linear', generator: new Generator(5) })
    const x = numbers([6, 8], 1, device)
    const y = numbers([6, 4], 4, device)
    const losses = (model: nn.Sequential, dtype: 'bfloat16' | 'float32') => {
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.02 })
      return Array.from({ length: 30 }, () => {
        const loss = sum(
          model
            .forward(x.to(dtype) as never)
            .to('float32')
            .sub(y)
            .square(),
        )
        loss.backward()
        optimizer.step()
        optimizer.zeroGrad()
        return loss.item()
      })
    }

    it('learns in float32, as beside the same weights in float32', () => {
      const low = apply(make().to('bfloat16'))
      const full = apply(rounded(make()) as ReturnType<typeof make>)
      expect(low.namedParameters().map(([name, p]) => [name.includes('lora_'), p.dtype])).toEqual(
        full
          .namedParameters()
          .map(([name]) => [name.includes('lora_'), name.includes('lora_') ? 'float32' : 'bfloat16']),
      )
      expect(low.forward(x.to('bfloat16') as never).dtype).toBe('bfloat16')
      const [found, expected] = [losses(low, 'bfloat16'), losses(full, 'float32')]
      expect(found[29] as number).toBeLessThan((found[0] as number) / 2)
      for (const [i, loss] of found.entries()) expect(loss / (expected[i] as number), `step ${i}`).toBeCloseTo(1, 1)
    })

    it('learns small steps, which bfloat16 factors would lose', () => {
      const model = apply(make().to('bfloat16'))
      const { loraA } = (model.at(0) as unknown as nn.Linear).adapters.get('default') as LoraLinear
      noGrad(() => void loraA.weight.fill_(1))
      const sgd = new optim.SGD(model.parameters(), { lr: 1 })
      loraA.weight.grad = mul(ones(loraA.weight.shape, { device }), 1e-4)
      sgd.step()
      expect(loraA.weight.dataSync()[0]).toBeCloseTo(0.9999, 6)
    })

    it('of embeddings and convolutions too, and merges', () => {
      const embed = new nn.Sequential(new nn.Embedding(5, 4, { device }) as nn.Layer).to('bfloat16')
      const conv = new nn.Sequential(new nn.Conv2d(2, 2, 1, { device }) as nn.Layer)
      const ids = tensor([1, 4], { dtype: 'int32', device })
      applyLora(embed, { rank: 2, targetModules: ['0'] })
      applyLora(conv, { rank: 2, targetModules: ['0'] })
      fill(embed, 'default', [1, 2])
      const result = embed.forward(ids)
      expect(result.dtype).toBe('bfloat16')
      const { weight } = embed.at(0) as unknown as nn.Embedding
      const lora = (embed.at(0) as unknown as nn.Embedding).adapters.get('default') as LoraEmbedding
      const exact = add(weight.to('float32'), lora.delta())
      close(
        result,
        [...exact.dataSync()].filter((_, i) => [1, 4].includes(Math.floor(i / 4))),
        1,
      )
      mergeLora(embed)
      close(embed.forward(ids), result, 1)
    })

    it('under autocast runs in its dtype', () => {
      const model = apply(make())
      fill(model, 'default', [1, 2])
      const low = autocast('bfloat16', () => model.forward(x as never))
      expect(low.dtype).toBe('bfloat16')
      const exact = model.forward(x as never).dataSync()
      for (const [i, value] of low.dataSync().entries())
        expect(Math.abs(value - (exact[i] as number))).toBeLessThan(0.05 * (1 + Math.abs(exact[i] as number)))
    })
  })
})

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe.each(['cpu', 'reference'])('adapters by name on %s', (device) => {
  const make = () => {
    const model = new nn.Sequential(new nn.Linear(2, 2, { device }), new nn.Linear(2, 2, { device }))
    for (const [i, parameter] of [...model.parameters()].entries()) put(parameter, i)
    return model
  }
  const x = tensor([[1, 2]], { device })
  const run = (model: nn.Sequential): Tensor => model.forward(x as never) as Tensor
  const lora = (model: nn.Sequential, name: string, ks: readonly [number, number], targets = ['0', '1']) => {
    applyLora(model, { name, rank: 1, alpha: 2, targetModules: targets })
    fill(model, name, ks)
    return model
  }
  const learning = (model: nn.Module) => model.namedParameters().flatMap(([name, p]) => (p.requiresGrad ? [name] : []))
  const first = (model: nn.Sequential) => model.at(0) as unknown as nn.Linear

  it('switch for a call, for good, and off; several add up', () => {
    const [both, a, b] = [make(), lora(make(), 'a', [1, 2]), lora(make(), 'b', [3, 4], ['0'])]
    const base = run(both).detach()
    lora(lora(both, 'a', [1, 2]), 'b', [3, 4], ['0'])
    expect(first(both).adapters.active).toEqual(['b'])
    close(run(both), run(b))
    close(
      withAdapter(both, 'a', () => run(both)),
      run(a),
    )
    close(
      withoutAdapters(both, () => run(both)),
      base,
    )
    close(
      withAdapter(both, [], () => run(both)),
      base,
    )
    // A nested choice holds within, and the one around it after.
    withAdapter(both, 'a', () => {
      close(
        withoutAdapters(both, () => run(both)),
        base,
      )
      close(run(both), run(a))
    })
    expect(() =>
      withoutAdapters(both, () => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
    close(run(both), run(b))
    const deltas = ['a', 'b'].map((name) => (first(both).adapters.get(name) as LoraLinear).delta())
    const sumOf = deltas.reduce((left, right) => left.add(right), first(both).weight)
    const hidden = linear(x, sumOf, first(both).bias)
    close(
      withAdapter(both, ['a', 'b'], () => first(both).forward(x as never)),
      hidden,
    )
    setAdapter(both, 'a')
    close(run(both), run(a))
    expect(learning(both)).toEqual(learning(a))
    setAdapter(both, ['b', 'a'])
    expect([first(both).adapters.active, (both.at(1) as unknown as nn.Linear).adapters.active]).toEqual([
      ['b', 'a'],
      ['a'],
    ])
    expect(learning(both)).toHaveLength(6)
    close(first(both).forward(x as never), hidden)
    setAdapter(both, [])
    expect(learning(both)).toEqual([])
    close(run(both), base)
  })

  it('of one model do not switch another, and a part can be switched alone', () => {
    const [one, two] = [lora(make(), 'a', [1, 2]), lora(make(), 'a', [1, 2])]
    const adapted = run(two).detach()
    withoutAdapters(one, () => close(run(two), adapted))
    const half = linear(
      linear(x, first(one).weight, first(one).bias),
      add(
        (one.at(1) as unknown as nn.Linear).weight,
        ((one.at(1) as unknown as nn.Linear).adapters.get('a') as LoraLinear).delta(),
      ),
      (one.at(1) as unknown as nn.Linear).bias,
    )
    close(
      withoutAdapters(first(one), () => run(one)),
      half,
    )
  })

  it('give gradients to the one that learned in the pass, whatever is chosen after', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    setAdapter(model, ['a', 'b'])
    const loss = withAdapter(model, 'a', () => sum(run(model).square()))
    withoutAdapters(model, () => loss.backward())
    const named = model.namedParameters().flatMap(([name, p]) => (p.grad ? [name] : []))
    expect(named).toEqual(['0.lora_A.a.weight', '0.lora_B.a.weight', '1.lora_A.a.weight', '1.lora_B.a.weight'])
    const other = lora(make(), 'a', [1, 2])
    sum(run(other).square()).backward()
    for (const [name, p] of other.namedParameters())
      if (p.grad) close(new Map(model.namedParameters()).get(name)?.grad as Tensor, p.grad)
  })

  it('are refused what cannot be', async () => {
    const model = lora(make(), 'a', [1, 2])
    for (const [use, message] of [
      [
        () => withAdapter(model, 'b', () => 1),
        "[withAdapter] there is no adapter named ['b'] in the model; there are ['a']",
      ],
      [() => setAdapter(model, ['a', 'b']), "[setAdapter] there is no adapter named ['b']"],
      [() => withAdapter(model, ['a', 'a'], () => 1), '[withAdapter] an adapter is named twice'],
      [() => withAdapter(model, 3 as never, () => 1), '[withAdapter] names is 3, but must be a list of names'],
      [() => withAdapter({} as never, 'a', () => 1), '[withAdapter] the model is an object, but must be a module'],
      [() => withoutAdapters(null as never, () => 1), '[withoutAdapters] the model is null'],
      [() => withoutAdapters(model, 1 as never), '[withoutAdapters] needs a function to run, but got the number 1'],
      [() => withoutAdapters(model, async () => run(model)), '[withoutAdapters] the function returned a promise'],
      [() => withAdapter(model, 'a', async () => run(model)), '[withAdapter] the function returned a promise'],
      [() => lora(model, 'a', [1, 2]), "[applyLora] the model has an adapter 'a' already, in 0, 1; take another name"],
      [() => lora(model, 'a.b', [1, 2]), "[applyLora] the adapter's name is 'a.b', but must be a text without dots"],
      [() => removeLora(model, { name: 'b' }), "[removeLora] the model has no LoRA adapter 'b'; there are ['a']"],
      [() => mergeLora(model, { name: 'b' }), "[mergeLora] the model has no LoRA adapter 'b'"],
      [() => unmergeLora(model, { name: 'b' }), "[unmergeLora] the model has no LoRA adapter 'b'"],
    ] as const) {
      expect(use).toThrow(ValueError)
      expect(use).toThrow(message)
    }
    const before = run(model)
    await expect(saveAdapter(model, folder, { name: 'b' })).rejects.toThrow(
      "[saveAdapter] the model has no LoRA adapter 'b'",
    )
    close(run(model), before)
  })

  it('cannot be switched off where they are merged, nor where modules learned in place', () => {
    const model = lora(make(), 'a', [1, 2])
    mergeLora(model)
    for (const [op, use] of [
      ['withoutAdapters', () => withoutAdapters(model, () => run(model))],
      ['setAdapter', () => setAdapter(model, [])],
      ['applyLora', () => lora(model, 'b', [3, 4])],
    ] as const)
      expect(use).toThrow(`[${op}] the adapter 'a' is merged into the weight of 0; unmergeLora it first`)
    expect(first(model).adapters.names).toEqual(['a'])
    close(
      withAdapter(model, 'a', () => run(model)),
      run(model),
    )
    const whole = applyLora(make(), { name: 'a', rank: 1, targetModules: ['0'], modulesToSave: ['1'] })
    for (const use of [() => withoutAdapters(whole, () => 1), () => lora(whole, 'b', [3, 4], ['0'])])
      expect(use).toThrow("the adapter 'a' cannot be switched off, because ['1'] of its modulesToSave learned in place")
    expect(() => withoutAdapters(new nn.Sequential(whole as nn.Layer), () => 1)).toThrow(
      'modulesToSave learned in place',
    )
  })

  it('merge and unmerge by name', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    const base = first(model).weight.clone()
    expect(() => mergeLora(model, { name: 'a' })).toThrow(
      "[mergeLora] ['a'] is not active, and merging would change results; call setAdapter first",
    )
    setAdapter(model, [])
    expect(() => mergeLora(model)).toThrow("[mergeLora] ['a', 'b'] are not active")
    setAdapter(model, ['a', 'b'])
    const both = run(model).detach()
    mergeLora(model, { name: 'a' })
    const merged = (name: string) => (first(model).adapters.get(name) as LoraLinear).merged
    expect([merged('a'), merged('b')]).toEqual([true, false])
    close(run(model), both)
    mergeLora(model)
    expect([merged('a'), merged('b')]).toEqual([true, true])
    close(run(model), both, 4)
    unmergeLora(model, { name: 'a' })
    expect([merged('a'), merged('b')]).toEqual([false, true])
    close(run(model), both, 4)
    unmergeLora(model)
    close(first(model).weight, base)
    // Only what is active.
    setAdapter(model, 'b')
    mergeLora(model)
    expect([merged('a'), merged('b')]).toEqual([false, true])
  })

  it('are not merged beside what may be no sum', () => {
    const model = lora(make(), 'a', [1, 2])
    first(model).adapters.set('scale', new Ia3(first(model), false))
    expect(() => mergeLora(model)).toThrow("[mergeLora] 0 has the adapter ['scale'] too, which may be no sum")
    setAdapter(model, 'a')
    mergeLora(model)
  })

  it('are removed by name, the others stay', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    setAdapter(model, ['a', 'b'])
    removeLora(model, { name: 'b' })
    expect([first(model).adapters.names, first(model).adapters.active]).toEqual([['a'], ['a']])
    close(run(model), run(lora(make(), 'a', [1, 2])))
    lora(model, 'b', [3, 4])
    removeLora(model)
    expect(first(model).adapters.names).toEqual([])
    expect(() => removeLora(model)).toThrow('[removeLora] the model has no LoRA adapter')
  })

  it('are saved and loaded by name', async () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4], ['0'])
    await expect(saveAdapter(model, folder)).rejects.toThrow(
      "[saveAdapter] the model has several LoRA adapters, ['a', 'b']; say which by { name }",
    )
    const paths = ['a', 'b'].map((name) => join(folder, `${device}-${name}`)) as [string, string]
    await saveAdapter(model, paths[0], { name: 'a' })
    await saveAdapter(model, paths[1], { name: 'b' })
    expect([...(await loadTensors(join(paths[1], 'adapter_model.safetensors'))).keys()].sort()).toEqual([
      'base_model.model.0.lora_A.weight',
      'base_model.model.0.lora_B.weight',
    ])
    const served = make()
    await loadAdapter(served, paths[0], { name: 'polite' })
    await loadAdapter(served, paths[1])
    expect([first(served).adapters.names, first(served).adapters.active]).toEqual([['polite', 'default'], ['default']])
    for (const [name, other] of [
      ['polite', 'a'],
      ['default', 'b'],
    ] as const)
      close(
        withAdapter(served, name, () => run(served)),
        withAdapter(model, other, () => run(model)),
      )
    // Two requests at once, each with its own.
    const request = async (name: string) => {
      const results: Tensor[] = []
      for (let i = 0; i < 3; i++) {
        results.push(withAdapter(served, name, () => run(served)))
        await new Promise((resolve) => setImmediate(resolve))
      }
      return results
    }
    const [polite, plain] = await Promise.all([request('polite'), request('default')])
    for (const result of polite)
      close(
        result,
        withAdapter(model, 'a', () => run(model)),
      )
    for (const result of plain)
      close(
        result,
        withAdapter(model, 'b', () => run(model)),
      )
    // The file takes the place of the one of that name alone.
    await loadAdapter(served, paths[1], { name: 'polite' })
    close(
      withAdapter(served, 'polite', () => run(served)),
      withAdapter(model, 'b', () => run(model)),
    )
    expect((served.at(1) as unknown as nn.Linear).adapters.names).toEqual([])
    first(served).adapters.set('mine', new Ia3(first(served), false))
    await expect(loadAdapter(served, paths[0], { name: 'mine' })).rejects.toThrow(
      "[loadAdapter] the model has an adapter 'mine' already, in 0; take another name",
    )
    await expect(loadAdapter(served, paths[0], { nam: 'x' } as never)).rejects.toThrow(ValueError)
  })

  it('are no loss to those who load another', async () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4])
    setAdapter(model, ['a', 'b'])
    // No warning that the files leave out what learns: the other adapter is no part of the base.
    await saveAdapter(model, join(folder, `${device}-quiet`), { name: 'a' })
  })

  it('freeze by name', () => {
    const model = lora(lora(make(), 'a', [1, 2]), 'b', [3, 4], ['0'])
    setAdapter(model, ['a', 'b'])
    expect(freeze(model, { adapter: 'a' })).toBe(4)
    expect(learning(model)).toEqual(['0.lora_A.b.weight', '0.lora_B.b.weight'])
    expect(freeze(model, '*.lora_A.b.weight')).toBe(1)
    expect(() => freeze(model, { adapter: 'c' })).toThrow(
      "[freeze] there is no adapter named 'c' in the model; there are ['a', 'b']",
    )
  })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  applyLora,
  LoraConv2d,
  type LoraEmbedding,
  type LoraLinear,
  loadAdapter,
  mergeLora,
  saveAdapter,
  unmergeLora,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import {
  add,
  autocast,
  Generator,
  mul,
  nn,
  noGrad,
  ones,
  optim,
  sum,
  type Tensor,
  tensor,
  transpose,
} from '../../lib/index.js'
import { loadTensors } from '../../lib/io/tensors.js'
import { close, fill, numbers, put } from './adapters.js'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

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
    embed.asLinear(numbers([1, 3], 1, device))
    expect(() => mergeLora(model)).toThrow('[mergeLora] the weight of 0 is also used by its asLinear')
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
    // The ReLU after it does not run within its kernel, because that would leave the adapter out.
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
      '[applyLora] rank 6 does not divide into the 4 groups of 0; choose another rank with rankPattern',
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
        selfAttn.inProjWeight as Tensor,
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

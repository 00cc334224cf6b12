/** Adapters of convolutions over sequences and volumes, beside what PEFT 0.21 computed in float64. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  addWeightedAdapter,
  applyIa3,
  applyLora,
  type Ia3Adapter,
  LoraConv1d,
  LoraConv3d,
  loadAdapter,
  mergeLora,
  saveAdapter,
  setAdapter,
  unmergeLora,
  withoutAdapters,
} from '../../lib/finetune/index.js'
import { nn, sum, type Tensor } from '../../lib/index.js'
import { loadTensors } from '../../lib/io/tensors.js'
import { close, numbers, put } from './adapters.js'

type Conv = nn.Conv1d | nn.Conv3d
/** The first elements of a result or gradient. */
type First = readonly [number, number, number, number]
type Kind = 'plain' | 'groups' | 'bias' | 'dora'

interface Case {
  readonly total: number
  readonly squares: number
  readonly first: First
  readonly gA: First
  readonly gB: First
  /** The gradient of B's bias or of the norms. */
  readonly gOther?: First
}

const sequences: { readonly [K in Kind]: Case } = {
  plain: {
    total: 0.03906,
    squares: 260.5452,
    first: [-3.1875, -1.75, -2.46875, -3.335938],
    gA: [-7.117676, -42.51416, 32.109375, -47.849121],
    gB: [-0.75, -120.688477, 11.302734, -57.433594],
  },
  groups: {
    total: 5.01562,
    squares: 99.2618,
    first: [1.28125, -1.125, 0.953125, -0.4375],
    gA: [-13.456055, -14.124023, 19.353516, -15.958008],
    gB: [-4.246582, -59.600098, 53.698242, -32.44043],
  },
  bias: {
    total: 18.03906,
    squares: 337.0276,
    first: [-2.4375, -1, -1.71875, -2.585938],
    gA: [-5.992676, -36.88916, 33.234375, -50.099121],
    gB: [4.171875, -113.235352, 6.380859, -64.886719],
    gOther: [-4.59375, -32.34375, 78.09375, 12.960938],
  },
  dora: {
    total: 1.97695,
    squares: 18.9745,
    first: [-0.406304, -0.13185, -0.269077, -0.434644],
    gA: [-0.309799, -2.731645, 0.720453, -1.313365],
    gB: [0.226092, -4.015603, -0.235146, -0.619213],
    gOther: [4.91771, 0.353322, -4.196923, 4.668888],
  },
}

const volumes: { readonly [K in Kind]: Case } = {
  plain: {
    total: 24.57812,
    squares: 935.6241,
    first: [-1.453125, 4.390625, 4.851562, 0.523438],
    gA: [-51.791016, 34.190918, 16.088379, -18.902344],
    gB: [41.755371, -440.567871, 113.651367, -328.625977],
  },
  groups: {
    total: 1.71875,
    squares: 487.676,
    first: [1.335938, 0.851562, -1.109375, 1.554688],
    gA: [-42.884766, -5.200195, -5.786133, 2.173828],
    gB: [-28.368164, -317.329102, 191.144531, -284.355469],
  },
  bias: {
    total: 65.07812,
    squares: 1146.1749,
    first: [-0.703125, 5.140625, 5.601562, 1.273438],
    gA: [-57.416016, 29.690918, 11.588379, -15.527344],
    gB: [52.724121, -458.849121, 102.682617, -310.344727],
    gOther: [104.15625, -64.3125, 173.53125, -18.140625],
  },
  dora: {
    total: 9.64213,
    squares: 47.8927,
    first: [-0.069371, 1.026453, 1.112889, 0.301275],
    gA: [0.179434, 0.872176, 0.663247, -0.7028],
    gB: [2.025343, -16.42058, -0.226072, -0.045612],
    gOther: [16.932121, 2.999733, -4.524677, 12.209339],
  },
}

const firstOf = (x: Tensor) => x.reshape([-1]).slice([0, 4])

/** A model of one convolution over this many dimensions, and an input. */
function made(device: string, dims: 1 | 3, groups = 1) {
  const conv: Conv =
    dims === 1
      ? new nn.Conv1d(4, 4, 3, { device, groups, stride: 2, padding: 1 })
      : new nn.Conv3d(4, 4, [1, 2, 3], { device, groups, stride: [1, 2, 1], padding: [0, 1, 1] })
  put(conv.weight, 1)
  put(conv.bias as Tensor, 2)
  const x = numbers(dims === 1 ? [2, 4, 7] : [1, 4, 2, 4, 3], 3, device)
  return { model: new nn.Sequential(conv as nn.Layer), conv, x }
}

describe.each(['cpu', 'reference'])('LoRA on %s', (device) => {
  it.each(
    ([1, 3] as const).flatMap((dims) =>
      (Object.keys(sequences) as Kind[]).map((kind) => [dims, kind, (dims === 1 ? sequences : volumes)[kind]] as const),
    ),
  )(
    'of a convolution over %i dimensions, %s: PEFT’s values, gradients, names and merging',
    async (dims, kind, wanted) => {
      const { model, conv, x } = made(device, dims, kind === 'groups' ? 2 : 1)
      const plain = conv.forward(x)
      applyLora(model, { rank: 2, alpha: 3, targetModules: ['0'], dora: kind === 'dora', loraBias: kind === 'bias' })
      const lora = conv.adapters.get('default') as LoraConv1d | LoraConv3d
      expect(lora).toBeInstanceOf(dims === 1 ? LoraConv1d : LoraConv3d)
      put(lora.loraA.weight, 4)
      put(lora.loraB.weight, 5)
      if (lora.loraB.bias !== null) put(lora.loraB.bias, 6)
      if (lora.loraMagnitudeVector !== null) put(lora.loraMagnitudeVector.weight, 7)
      const result = model.forward(x)
      close(firstOf(result), wanted.first)
      expect(sum(result).item()).toBeCloseTo(wanted.total, 3)
      expect(sum(result.square()).item()).toBeCloseTo(wanted.squares, 2)
      sum(result.square()).backward()
      close(firstOf(lora.loraA.weight.grad as Tensor), wanted.gA, 2)
      close(firstOf(lora.loraB.weight.grad as Tensor), wanted.gB, 2)
      const other = lora.loraB.bias ?? lora.loraMagnitudeVector?.weight
      if (wanted.gOther !== undefined) close(other?.grad as Tensor, wanted.gOther, 2)
      expect(conv.weight.grad).toBeNull()
      close(
        withoutAdapters(model, () => model.forward(x)),
        plain,
      )

      const folder = await mkdtemp(join(tmpdir(), 'firesteel-'))
      try {
        await saveAdapter(model, folder)
        const ones = dims === 1 ? [1] : [1, 1, 1]
        const kernel = dims === 1 ? [3] : [1, 2, 3]
        const names = new Map<string, readonly number[]>([
          ['base_model.model.0.lora_A.weight', [2, 4, ...kernel]],
          ['base_model.model.0.lora_B.weight', [4, kind === 'groups' ? 1 : 2, ...ones]],
        ])
        if (kind === 'bias') names.set('base_model.model.0.lora_B.bias', [4])
        if (kind === 'dora') names.set('base_model.model.0.lora_magnitude_vector', [1, 4, ...ones])
        const written = await loadTensors(join(folder, 'adapter_model.safetensors'))
        expect(new Map([...written].map(([name, tensor]) => [name, tensor.shape]))).toEqual(names)
        const again = made(device, dims, kind === 'groups' ? 2 : 1)
        await loadAdapter(again.model, folder)
        expect([...again.model.forward(x).dataSync()]).toEqual([...result.dataSync()])
      } finally {
        await rm(folder, { recursive: true })
      }

      if (kind === 'groups')
        return expect(() => mergeLora(model)).toThrow('0 cannot hold the product: it is a convolution of 2 groups')
      mergeLora(model)
      close(model.forward(x), result.detach(), 4)
      unmergeLora(model)
      close(model.forward(x), result.detach(), 4)
    },
  )

  it.each([1, 3] as const)('of several adapters of a convolution over %i dimensions adds up', (dims) => {
    const { model, conv, x } = made(device, dims)
    const plain = model.forward(x)
    const results = (['a', 'b'] as const).map((name, i) => {
      applyLora(model, { rank: 1, alpha: 1, targetModules: ['0'], name })
      const lora = conv.adapters.get(name) as LoraConv1d | LoraConv3d
      put(lora.loraA.weight, 4 + i)
      put(lora.loraB.weight, 6 + i)
      return model.forward(x)
    }) as [Tensor, Tensor]
    const together = results[0].add(results[1]).sub(plain)
    for (const [combinationType, rest] of [
      ['cat', {}],
      ['svd', { svdRank: 2 }],
    ] as const) {
      const weights = [1, 1]
      addWeightedAdapter(model, { adapters: ['a', 'b'], weights, name: combinationType, combinationType, ...rest })
      setAdapter(model, combinationType)
      close(model.forward(x), together.detach(), 4)
    }
  })

  it('of a sequence is not left out by the ReLU that would run within its kernel', () => {
    const { conv, x } = made(device, 1)
    const model = new nn.Sequential(conv as nn.Layer, new nn.ReLU() as nn.Layer)
    applyLora(model, { rank: 2, targetModules: ['0'] })
    const lora = conv.adapters.get('default') as LoraConv1d
    put(lora.loraB.weight, 5)
    close(model.forward(x), conv.forward(x).relu())
  })

  it('of another convolution than its own is refused', () => {
    const { conv } = made(device, 1)
    expect(() => new LoraConv3d(conv, { rank: 1 })).toThrow(
      '[LoraConv3d] the layer is a Conv1d, which is adapted by conv1d, but must be adapted by conv3d',
    )
  })

  it.each([
    [false, -31.67188, 220.533, [-0.75, -2.5625, 3.9375, 1.375], [-176.867188, 104.455078, -87.082031, -131.269531]],
    [true, 6.15625, 196.0967, [-0.625, -0.078125, 1.859375, -0.5625], [-118.748047, 89.201172, -119.25, -100.623047]],
  ] as const)(
    'IA3 of a volume, of inputs %s: PEFT’s values, gradients and merging',
    (feedforward, total, squares, first, grad) => {
      const { model, conv, x } = made(device, 3)
      applyIa3(model, { targetModules: ['0'], feedforwardModules: feedforward ? ['0'] : [] })
      const { ia3L } = conv.adapters.get('default') as Ia3Adapter
      expect(ia3L.shape).toEqual([1, 4, 1, 1, 1])
      put(ia3L, 4)
      const result = model.forward(x)
      close(firstOf(result), first)
      expect(sum(result).item()).toBeCloseTo(total, 3)
      expect(sum(result.square()).item()).toBeCloseTo(squares, 2)
      sum(result.square()).backward()
      close(ia3L.grad, grad, 2)
      mergeLora(model)
      close(model.forward(x), result.detach(), 4)
    },
  )
})

/**
 * Stacks of blocks, and attention with separate keys. PyTorch 2.13 computed the expected numbers in float64. Parameter
 * k of a module, in the order of names, holds sin(0.7 i + k) / 2; x holds sin(1.3 i), and the memory cos(0.9 i).
 */
import { describe, expect, it } from 'vitest'
import { fromTypedArray, nn, noGrad, type Tensor, tensor } from '../../lib/index.js'

const torch = {
  postRelu: [
    -0.6805972, -0.2537237, 0.08490967, -0.5175456, -0.6954416, -0.2464826, 0.01371991, -0.4947824, -0.6897707,
    -0.2477364, 0.03635654, -0.5034005, -0.7047254, -0.2377299, -0.05484155, -0.4668394, -0.7027136, -0.2450378,
    -0.01621844, -0.4820671, -0.6759709, -0.2539309, 0.09849263, -0.5216408,
  ],
  postGelu: [
    -0.7060794, -0.2945369, 0.1408436, -0.5022581, -0.7238121, -0.2873233, 0.06699988, -0.4833335, -0.7159882,
    -0.2879158, 0.09295384, -0.4929595, -0.7338437, -0.2765985, -0.003061831, -0.462431, -0.732285, -0.2863904,
    0.03633081, -0.4708848, -0.7005204, -0.2943967, 0.1556482, -0.5067485,
  ],
  preRelu: [
    -0.1654526, -0.4197865, -0.3496297, 0.2236613, -0.04449369, -0.4198998, -0.2470721, 0.3779597, -0.04994794,
    -0.4200006, -0.3075762, 0.5738899, -0.1822216, -0.4199542, -0.4691284, 0.5667898, -0.3210603, -0.4198264,
    -0.5273506, 0.301266, -0.2737297, -0.4197842, -0.4623225, 0.2275542,
  ],
  preGelu: [
    -0.175198, -0.4197941, -0.3747833, 0.2556194, -0.05196752, -0.4199105, -0.274032, 0.4195499, -0.06322452,
    -0.4200248, -0.3326144, 0.6187248, -0.2039935, -0.4199901, -0.4951294, 0.6129606, -0.348632, -0.4198606, -0.5614781,
    0.3491685, -0.2900228, -0.4198003, -0.489026, 0.2613096,
  ],
  masked: [
    -0.110581, -0.4203495, 0.3215977, -0.0933549, -0.1061888, -0.4203403, 0.3172304, -0.09011431, -0.1062631,
    -0.4203384, 0.3166062, -0.09141938, -0.104086, -0.4203353, 0.3148633, -0.08889074, -0.1056613, -0.4203413, 0.317401,
    -0.08844411, -0.1081198, -0.4203469, 0.3200048, -0.0900144,
  ],
  causal: [
    -0.1098936, -0.4203486, 0.321109, -0.09251302, -0.1068768, -0.4203412, 0.3177453, -0.09095695, -0.105546,
    -0.4203374, 0.3160577, -0.09055019, -0.1036118, -0.420335, 0.3146231, -0.08808603, -0.1050722, -0.42034, 0.3167822,
    -0.08803589, -0.1075851, -0.4203463, 0.319632, -0.08932655,
  ],
  extra: [
    -0.570255, -0.2300239, -0.7032112, 0.2360276, -0.6610657, -0.1575321, -0.7490072, 0.249836, -0.7000104, -0.1400495,
    -0.7430076, 0.2210474, -0.5356748, -0.2582428, -0.6846144, 0.229202, -0.5761137, -0.2159165, -0.7239371, 0.2609771,
    -0.5923916, -0.2363246, -0.6692013, 0.1782385,
  ],
  extraWeights: [
    0.2440687, 0, 0, 0.3735915, 0.3823398, 0.2919165, 0.2165628, 0, 0.2323605, 0.2591602, 0, 0.2700249, 0, 0.3400514,
    0.3899238, 0.2612245, 0, 0.2153346, 0.2513168, 0.2721241, 0.3158566, 0, 0, 0.3411259, 0.3430175, 0, 0, 0.342195,
    0.3372989, 0.3205061,
  ],
}

describe.each(['cpu', 'reference'])('on %s', (device) => {
  const make = (shape: readonly number[], at: (i: number) => number): Tensor => {
    const count = shape.reduce((a, b) => a * b, 1)
    return fromTypedArray(
      Float32Array.from({ length: count }, (_, i) => at(i)),
      shape,
      { device },
    )
  }
  const fill = <M extends nn.Module>(module: M): M => {
    const named = new Map(module.namedParameters())
    noGrad(() =>
      [...named.keys()].sort().forEach((name, k) => {
        const p = named.get(name) as nn.Parameter
        p.copy_(make(p.shape, (i) => Math.sin(i * 0.7 + k) * 0.5))
      }),
    )
    return module
  }
  const close = (actual: Tensor, expected: readonly number[], most = 5e-6) => {
    const values = [...actual.dataSync()]
    expect(values).toHaveLength(expected.length)
    values.forEach((value, i) => void expect(Math.abs(value - (expected[i] as number)), `${i}`).toBeLessThan(most))
  }
  const truths = (rows: readonly (readonly number[])[]): Tensor =>
    tensor(
      rows.map((row) => row.map((value) => value === 1)),
      { device },
    )
  const x = make([2, 3, 4], (i) => Math.sin(i * 1.3))
  const memory = make([2, 4, 4], (i) => Math.cos(i * 0.9))
  const mask = truths([
    [0, 1, 0],
    [0, 0, 1],
    [1, 0, 0],
  ])
  const padding = truths([
    [0, 0, 1],
    [0, 1, 0],
  ])
  const memoryPadding = truths([
    [0, 0, 1, 0],
    [1, 0, 0, 0],
  ])
  const memoryMask = truths([
    [0, 1, 0, 0],
    [0, 0, 0, 1],
    [0, 0, 1, 0],
  ])
  const masks = {
    tgtMask: mask,
    memoryMask,
    tgtKeyPaddingMask: padding,
    memoryKeyPaddingMask: memoryPadding,
  }

  it.each([
    [false, 'relu', torch.postRelu],
    [false, 'gelu', torch.postGelu],
    [true, 'relu', torch.preRelu],
    [true, 'gelu', torch.preGelu],
  ] as const)('a decoder with every mask, norm first %s, %s', (normFirst, activation, expected) => {
    const options = { device, dimFeedforward: 6, dropout: 0, activation, normFirst } as const
    const norm = normFirst ? (new nn.LayerNorm(4, { device }) as nn.Model) : null
    const stack = new nn.TransformerDecoder(() => new nn.TransformerDecoderLayer(4, 2, options), 2, { norm })
    close(fill(stack).forward(x, memory, masks), expected)
  })

  it('encoder and decoder together, with every mask and causal', () => {
    const model = fill(
      new nn.Transformer({
        ...{ dModel: 4, nhead: 2, numEncoderLayers: 1, numDecoderLayers: 2, dimFeedforward: 6, dropout: 0, device },
      }),
    )
    close(model.forward(memory, x, { ...masks, srcKeyPaddingMask: memoryPadding }), torch.masked)
    close(model.forward(memory, x, { tgtIsCausal: true }), torch.causal)
    const later = nn.Transformer.generateSquareSubsequentMask(3, { device })
    close(model.forward(memory, x, { tgtMask: later }), torch.causal)
  })

  it('attention with other sizes of keys and values, learned ones and zeros after them', () => {
    const layer = fill(
      new nn.MultiheadAttention(4, 2, { kdim: 3, vdim: 5, addBiasKv: true, addZeroAttn: true, device }),
    )
    const key = make([2, 3, 3], (i) => Math.cos(i * 0.5))
    const value = make([2, 3, 5], (i) => Math.sin(i * 0.4))
    const inputs = { keyPaddingMask: padding, attnMask: mask }
    const [result, weights] = layer.forward(x, key, value, { ...inputs, needWeights: true })
    close(result, torch.extra)
    close(weights, torch.extraWeights)
    close(layer.forward(x, key, value, inputs), torch.extra)
  })
})

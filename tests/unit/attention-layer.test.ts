/** Masks of attention layers as PyTorch means them; the numbers are those of PyTorch 2.13 in float64. */
import { describe, expect, it } from 'vitest'
import {
  DTypeError,
  eq,
  fromTypedArray,
  nn,
  noGrad,
  ShapeError,
  scaledDotProductAttention,
  type Tensor,
  tensor,
  ValueError,
  where,
} from '../../lib/index.js'

const torch = {
  bool: [
    -0.0853796, -0.3156231, -0.2243106, -0.8861221, -0.1913895, -0.215476, -0.3070224, -0.8304035, -0.2115478,
    -0.215787, -0.2862781, -0.869184, 0.1080788, -0.4772197, -0.1132492, -0.9338146, 0.2571088, -0.6141397, -0.004261,
    -1.0022768, 0.2576663, -0.600461, -0.0305953, -0.9663301,
  ],
  padding: [
    -0.1586285, -0.2406203, -0.2924003, -0.8328136, -0.1913895, -0.215476, -0.3070224, -0.8304035, -0.2033157,
    -0.2003423, -0.3236148, -0.8142697, 0.1080788, -0.4772197, -0.1132492, -0.9338146, 0.1622567, -0.5173467, -0.09181,
    -0.9340886, 0.1938423, -0.5488846, -0.0639641, -0.9550247,
  ],
  both: [
    -0.0568677, -0.3175921, -0.249112, -0.8374163, -0.1913895, -0.215476, -0.3070224, -0.8304035, -0.2691891,
    -0.1493432, -0.3538463, -0.8082991, 0.1080788, -0.4772197, -0.1132492, -0.9338146, 0.1549258, -0.5431821,
    -0.0357937, -1.0138129, 0.1996949, -0.5436726, -0.0796385, -0.9306992,
  ],
  float: [
    -0.1007578, -0.3018024, -0.2349768, -0.879843, -0.1897524, -0.2211945, -0.2978832, -0.8419072, -0.2103423,
    -0.2153925, -0.288227, -0.8659059, 0.1264942, -0.493693, -0.1006216, -0.9411374, 0.2428485, -0.5985704, -0.0193403,
    -0.9894301, 0.25415, -0.5985739, -0.030635, -0.9681422,
  ],
  floatBoolPad: [
    -0.0859252, -0.2965634, -0.259682, -0.8385264, -0.1913895, -0.215476, -0.3070224, -0.8304035, -0.2538076,
    -0.1611414, -0.3469949, -0.8094122, 0.1080788, -0.4772197, -0.1132492, -0.9338146, 0.1342789, -0.5071604,
    -0.0830276, -0.9608248, 0.1987345, -0.5451362, -0.07592, -0.9362429,
  ],
  floatPad: [
    -0.1568745, -0.2432901, -0.2891233, -0.8363192, -0.1907722, -0.2182657, -0.3023826, -0.8363572, -0.2079808,
    -0.1990652, -0.3213563, -0.8198027, 0.1171573, -0.4853382, -0.1070288, -0.9374181, 0.1686934, -0.5233515,
    -0.0869309, -0.9372782, 0.1992267, -0.5537148, -0.0602463, -0.9572006,
  ],
  three: [
    -0.068553, -0.3163778, -0.239715, -0.8563387, -0.3209107, -0.106838, -0.3822236, -0.797329, -0.1757483, -0.2566903,
    -0.2449976, -0.9060715, 0.2310623, -0.5674828, -0.0661368, -0.9323322, 0.1399547, -0.5012692, -0.0998051,
    -0.9350997, 0.3856912, -0.7559388, 0.1343691, -1.1217184,
  ],
  cross: [
    -0.1503021, -0.2529852, -0.2774258, -0.8486674, -0.1991133, -0.2222638, -0.2865073, -0.8622751, -0.2220852,
    -0.1951476, -0.3146345, -0.8363872, -0.0675199, -0.3190264, -0.2357571, -0.8611486, 0.0018541, -0.3609212,
    -0.2261825, -0.8372965, 0.0218424, -0.3801614, -0.2099137, -0.8487139,
  ],
  timeFirst: [
    -0.0568677, -0.3175921, -0.249112, -0.8374163, 0.0206511, -0.438499, -0.0987884, -0.9997858, 0.1996949, -0.5436726,
    -0.0796385, -0.9306992, -0.0568677, -0.3175921, -0.249112, -0.8374163, 0.0366452, -0.3881494, -0.2096637,
    -0.8411971, 0.1996949, -0.5436726, -0.0796385, -0.9306992,
  ],
  encoderFalse: [
    -0.710624, -0.802143, 0.6617659, 0.2622035, -0.5334773, -1.0585708, 0.5604242, 0.2858826, -0.871757, -0.619706,
    0.4685121, 0.4041544, -0.9521499, -0.2274094, 0.382782, 0.3281408, -0.9138416, -0.3862591, 0.5017162, 0.312971,
    -0.8550879, -0.5349237, 0.5940481, 0.2891264,
  ],
  encoderTrue: [
    0.5910927, 1.2689546, 0.3836369, -1.3120111, -0.1634848, 0.3602177, 0.9491668, -0.2745769, -0.0544873, -0.6234529,
    0.3877074, 0.3290666, 0.857844, -0.6645378, -0.7527049, -0.0367952, 1.8020531, 0.0896096, -1.0729608, -1.1554985,
    1.3695393, 1.2169874, -0.535528, -1.6289925,
  ],
  encoderTimeFirst: [
    0.5910927, 1.2689546, 0.3836369, -1.3120111, -0.1096914, 0.3209685, 0.9735398, -0.2829894, -0.1557837, -0.5146877,
    0.2791078, 0.4255611, 0.728115, -0.5506194, -0.8376501, 0.0071732, 1.6568467, 0.2291694, -1.1854944, -1.0885519,
    1.3695393, 1.2169874, -0.535528, -1.6289925,
  ],
}

const [B, T, E, H] = [2, 3, 4, 2]
const series = (count: number, at: (i: number) => number) => Float64Array.from({ length: count }, (_, i) => at(i))

describe.each(['cpu', 'reference'])('attention layers on %s', (device) => {
  const make = (shape: number[], at: (i: number) => number) =>
    fromTypedArray(
      series(
        shape.reduce((a, b) => a * b, 1),
        at,
      ),
      shape,
      { device, dtype: 'float32' },
    ) as Tensor
  const fill = <M extends nn.Module>(layer: M): M => {
    noGrad(() =>
      layer
        .namedParameters()
        .forEach(([, p], k) => void p.copy_(make([...p.shape], (i) => Math.sin(i * 0.7 + k) * 0.5))),
    )
    return layer
  }
  const close = (actual: Tensor, expected: readonly number[]) => {
    const values = [...actual.dataSync()]
    expect(values).toHaveLength(expected.length)
    values.forEach((value, i) => void expect(Math.abs(value - (expected[i] as number))).toBeLessThan(2e-6))
  }
  const on = (values: never) => tensor(values, { device }) as Tensor
  const x = make([B, T, E], (i) => Math.sin(i * 1.3))
  const mask = on([
    [false, true, false],
    [false, false, true],
    [true, false, false],
  ] as never)
  const padding = on([
    [false, false, true],
    [false, true, false],
  ] as never)
  const added = where(mask, -1.5, on(0.25 as never)) as Tensor
  const attention = () => fill(new nn.MultiheadAttention(E, H, { device }))
  const attend = (inputs: nn.AttentionInputs) => attention().forward(x, x, x, inputs)

  it('take masks of all kinds', () => {
    close(attend({ attnMask: mask }), torch.bool)
    close(attend({ keyPaddingMask: padding }), torch.padding)
    close(attend({ attnMask: mask, keyPaddingMask: padding }), torch.both)
    close(attend({ attnMask: added }), torch.float)
    close(attend({ attnMask: added, keyPaddingMask: padding }), torch.floatBoolPad)
    close(attend({ keyPaddingMask: where(padding, -2, on(0.5 as never)) as Tensor }), torch.floatPad)
  })

  it('take a mask for each batch and head', () => {
    const no = on(false as never)
    const each = [mask, mask.transpose(0, 1), eq(mask, no), eq(mask, eq(mask, no))] as Tensor[]
    const three = on(each.map((m) => m.toArray()) as never)
    close(attend({ attnMask: three }), torch.three)
    close(attend({ attnMask: three.reshape([B, H, T, T]) }), torch.three)
    close(attend({ attnMask: mask.reshape([1, 1, T, T]) }), torch.bool)
  })

  it('cross over to other keys', () => {
    const memory = make([B, 4, E], (i) => Math.cos(i * 0.9))
    const keyPaddingMask = on([
      [false, false, true, false],
      [true, false, false, false],
    ] as never)
    close(attention().forward(x, memory, memory, { keyPaddingMask }), torch.cross)
  })

  it('take time first where they are told to', () => {
    const keyPaddingMask = on([
      [false, true],
      [false, false],
      [true, false],
    ] as never)
    const layer = fill(new nn.MultiheadAttention(E, H, { device, batchFirst: false }))
    close(layer.forward(x, x, x, { keyPaddingMask }), torch.timeFirst)
    const options = { device, dimFeedforward: 6, dropout: 0, activation: 'gelu', normFirst: true } as const
    const encoder = fill(new nn.TransformerEncoderLayer(E, H, { ...options, batchFirst: false }))
    close(encoder.forward(x, { srcKeyPaddingMask: keyPaddingMask }), torch.encoderTimeFirst)
  })

  it.each([false, true])('pass them on in an encoder layer, norm first: %s', (normFirst) => {
    const options = { device, dimFeedforward: 6, dropout: 0, activation: 'gelu', normFirst } as const
    const encoder = fill(new nn.TransformerEncoderLayer(E, H, options))
    const y = encoder.forward(x, { srcMask: mask, srcKeyPaddingMask: padding })
    close(y, normFirst ? torch.encoderTrue : torch.encoderFalse)
  })

  it('have a causal mask that equals its bool one, which is the inverse of the function’s', () => {
    const later = on([
      [false, true, true],
      [false, false, true],
      [false, false, false],
    ] as never)
    const causal = [...attend({ isCausal: true }).dataSync()]
    close(attend({ attnMask: later }), causal)
    const q = x.reshape([B, 1, T, E])
    const earlier = eq(later, on(false as never)) as Tensor
    close(scaledDotProductAttention(q, q, q, { attnMask: earlier }), [
      ...scaledDotProductAttention(q, q, q, { isCausal: true }).dataSync(),
    ])
  })

  it('refuse what does not fit, by name', () => {
    const fails = (inputs: object, message: string, type: new (...a: never[]) => Error = ShapeError) => {
      expect(() => attend(inputs)).toThrow(type)
      expect(() => attend(inputs)).toThrow(`[MultiheadAttention] ${message}`)
    }
    fails({ attnMask: mask.to('int32') }, 'attnMask is int32, but must be bool (true: must not attend)', DTypeError)
    fails({ keyPaddingMask: padding.transpose(0, 1) }, 'keyPaddingMask is [3, 2], but must be [B, Tk] = [2, 3]')
    fails({ attnMask: mask.reshape([1, T, T]) }, 'attnMask is [1, 3, 3], but must be [3, 3], [B * heads = 4, 3, 3]')
    expect(() => attend({ keyPadding: padding } as never)).toThrow(
      'there is no option keyPadding; there are attnMask, ',
    )
    expect(() => attention().forward(x.reshape([1, B, T, E]) as Tensor)).toThrow(
      'query is [1, 2, 3, 4], but must be [B, T, E] with E = 4',
    )
    expect(() => attention().forward(x, x.reshape([3, 2, E]) as Tensor)).toThrow(
      'batch sizes differ: query has 2, key 3',
    )
    const encoder = new nn.TransformerEncoderLayer(E, H, { device })
    expect(() => encoder.forward(x, { attnMask: mask } as never)).toThrow(
      'there is no option attnMask; there are srcMask',
    )
    expect(() => new nn.TransformerEncoderLayer(5, 2)).toThrow(ValueError)
    expect(() => new nn.TransformerEncoderLayer(5, 2)).toThrow('[TransformerEncoderLayer] dModel 5 does not divide')
  })
})

/** Limits and scaling of an embedding's table and gradient; the numbers are those of PyTorch 2.13 in float64. */
import { describe, expect, it } from 'vitest'
import {
  DTypeError,
  embedding,
  fromTypedArray,
  mul,
  nn,
  noGrad,
  type Tensor,
  tensor,
  ValueError,
  zeros,
} from '../../lib/index.js'

const torch = {
  scaled: [0.3946021, 0.5214177, 0.6016567, 0, 0, 0, -0.1674502, -0.2894736, -0.3856391, 0, 0, 0, 0, 0, 0],
  2: [
    0, 1.0580914, 0.5660764, -1.0316492, -1.325182, 0.32268, 0.8970678, 0.2866704, -0.7436998, -1.1429754, 0.6302506,
    1.4801579, 0.1160858, -1.000969, -0.6516018,
  ],
  1: [
    0, 0.7817601, 0.4182398, -1.0316492, -1.325182, 0.32268, 0.5585037, 0.1784776, -0.4630186, -1.1429754, 0.6302506,
    1.4801579, 0.078762, -0.6791385, -0.4420995,
  ],
  Infinity: [
    0, 1.1999999, 0.6419971, -1.0316492, -1.325182, 0.32268, 1.1999999, 0.3834766, -0.9948408, -1.1429754, 0.6302506,
    1.4801579, 0.139168, -1.1999999, -0.7811652,
  ],
}

const close = (x: Tensor, expected: readonly number[]) => {
  const values = [...x.detach().dataSync()]
  expect(values).toHaveLength(expected.length)
  values.forEach((value, i) => void expect(Math.abs(value - (expected[i] as number)), `${i}`).toBeLessThan(1e-6))
}

describe.each(['cpu', 'reference'])('an embedding on %s', (device) => {
  const make = (shape: readonly number[], at: (i: number) => number): Tensor => {
    const count = shape.reduce((a, b) => a * b, 1)
    return fromTypedArray(
      Float32Array.from({ length: count }, (_, i) => at(i)),
      shape,
      { device },
    )
  }
  const table = () => make([5, 3], (i) => Math.sin(1.3 * i) * 1.5)
  const ids = tensor(
    [
      [0, 2, 2],
      [4, 2, 0],
    ],
    { dtype: 'int32', device },
  )

  it('divides gradients by how often a row was asked for', () => {
    const weight = table()
    weight.requiresGrad = true
    const y = embedding(ids, weight, { paddingIdx: 4, scaleGradByFreq: true })
    expect(y.toArray()).toEqual(embedding(ids, weight).toArray())
    mul(
      y,
      make([2, 3, 3], (i) => Math.cos(0.3 * i)),
    )
      .sum()
      .backward()
    close(weight.grad as Tensor, torch.scaled)
    // This is another gradient of the table, to which the next one is added.
    const both = table()
    both.requiresGrad = true
    const more = embedding(ids, both, { scaleGradByFreq: true }).sum().add(embedding(ids, both).sum())
    more.backward()
    close(both.grad as Tensor, [3, 3, 3, 0, 0, 0, 4, 4, 4, 0, 0, 0, 2, 2, 2])
  })

  it.each([2, 1, Number.POSITIVE_INFINITY] as const)('shortens rows that it looks up to a norm of order %s', (p) => {
    const expected = torch[String(p) as keyof typeof torch]
    const weight = table()
    const y = embedding(ids, weight, { maxNorm: 1.2, normType: p })
    close(weight, expected)
    expect(y.toArray()).toEqual(embedding(ids, weight).toArray())
    // A view whose elements lie apart, and a layer whose table wants a gradient.
    const turned = table().transpose(0, 1).clone().transpose(0, 1)
    embedding(ids, turned, { maxNorm: 1.2, normType: p })
    close(turned, expected)
    const layer = new nn.Embedding(5, 3, { maxNorm: 1.2, normType: p, device })
    noGrad(() => layer.weight.copy_(table()))
    layer.forward(ids).sum().backward()
    close(layer.weight, expected)
    close(layer.weight.grad as Tensor, [2, 2, 2, 0, 0, 0, 3, 3, 3, 0, 0, 0, 1, 1, 1])
  })

  it.each([
    [2, [1.2, 1.6, 0.3, 0.4], [0.9, 1.2, 0.3, 0.4, 6, 8]],
    [1, [0.9428571, 1.2571429, 0.3, 0.4], [0.6428571, 0.8571429, 0.3, 0.4, 6, 8]],
  ] as const)('shortens the rows of bags too, by their norm of order %s', (normType, bags, table) => {
    const layer = new nn.EmbeddingBag(3, 2, { mode: 'sum', maxNorm: 1.5, normType, device })
    noGrad(() => layer.weight.copy_(tensor([3, 4, 0.3, 0.4, 6, 8], { device }).reshape([3, 2])))
    close(layer.forward(tensor([0, 1, 1], { dtype: 'int32', device }), [0, 2]), bags)
    close(layer.weight, table)
    expect(() => new nn.EmbeddingBag(3, 2, { maxNorm: 0 })).toThrow('[EmbeddingBag] maxNorm is 0, but must be')
  })

  it('refuses limits that are none, and tables that cannot be shortened', () => {
    const weight = table()
    for (const [options, text] of [
      [{ maxNorm: 0 }, 'maxNorm is 0, but must be a positive number, or null'],
      [{ maxNorm: '1' }, "maxNorm is '1', but must be"],
      [{ normType: -1 }, 'normType is -1, but must be a positive number, or Infinity'],
      [{ scaleGradByFreq: 1 }, 'scaleGradByFreq is 1, but must be true or false'],
    ] as const) {
      expect(() => embedding(ids, weight, options as never)).toThrow(`[embedding] ${text}`)
      expect(() => new nn.Embedding(5, 3, options as never)).toThrow(ValueError)
      expect(() => new nn.Embedding(5, 3, options as never)).toThrow(`[Embedding] ${text}`)
    }
    const blocks = zeros([5, 64], { device }).to('q8_0')
    expect(() => embedding(ids, blocks, { maxNorm: 1 })).toThrow(DTypeError)
    expect(() => embedding(ids, blocks, { maxNorm: 1 })).toThrow(
      '[embedding] maxNorm writes into weight, which is of q8_0',
    )
    expect(() => embedding([0] as never, weight, { maxNorm: 1 })).toThrow('[embedding] ids must be a tensor')
    close(weight, [...table().dataSync()])
    expect(String(new nn.Embedding(5, 3, { maxNorm: 2, scaleGradByFreq: true }))).toBe(
      'Embedding(numEmbeddings=5, embeddingDim=3, maxNorm=2, scaleGradByFreq=true)',
    )
  })
})

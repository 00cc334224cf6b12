import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const { nn } = f
const seeded = (seed = 5) => new f.Generator(seed)
const numbers = (x: f.Tensor): number[] => [...x.dataSync()].map(Number)
/** The rows of x whose elements are all equal, as that element; it fails if a row has several. */
function perRow(x: f.Tensor, length: number): number[] {
  const all = numbers(x)
  const rows = all.filter((_, i) => i % length === 0)
  expect(all.filter((value, i) => value !== rows[Math.floor(i / length)])).toEqual([])
  return rows
}

describe('dropout of channels', () => {
  it.each([
    ['dropout1d', [40, 50, 3], 3],
    ['dropout1d', [2000, 3], 3],
    ['dropout2d', [40, 50, 3, 2], 6],
    ['dropout2d', [40, 50, 3], 3],
    ['dropout3d', [40, 50, 2, 1, 2], 4],
    ['dropout3d', [2000, 2, 1, 2], 4],
  ] as const)('%s of %j drops whole channels and scales the rest', (name, shape, length) => {
    const rows = perRow(f.nn.functional[name](f.ones(shape), 0.25, { generator: seeded() }), length)
    expect(new Set(rows)).toEqual(new Set([0, Math.fround(1 / 0.75)]))
    const dropped = rows.filter((value) => value === 0).length
    // Five standard deviations of a binomial number.
    expect(Math.abs(dropped - 500)).toBeLessThan(5 * Math.sqrt(2000 * 0.25 * 0.75))
  })

  it('drops in training only', () => {
    const layer = new nn.Dropout2d(0.5, { generator: seeded() })
    const x = f.ones([8, 8, 2, 2])
    expect(new Set(perRow(layer.forward(x), 4))).toEqual(new Set([0, 2]))
    expect(layer.eval().forward(x)).toBe(x)
  })

  it('has the gradient of its factors', () => {
    const x = f.ones([8, 8, 2], { requiresGrad: true })
    const y = f.dropout1d(x, 0.5, { generator: seeded() })
    f.backward(f.sum(y))
    expect(numbers(x.grad as f.Tensor)).toEqual(numbers(y))
  })
})

describe('alpha dropout', () => {
  // The numbers are PyTorch 2.13's for an input of twos.
  const kept = 2.175997300629775
  const dropped = -1.0595481589864801

  it.each([
    ['alphaDropout', [2000], 1],
    ['featureAlphaDropout', [40, 50, 3], 3],
  ] as const)('%s gives the numbers of PyTorch', (name, shape, length) => {
    const x = f.full(shape, 2, { dtype: 'float64', device: 'reference' })
    const rows = perRow(f.nn.functional[name](x, 0.3, { training: true, generator: seeded() }), length)
    const share = rows.filter((value) => value < 0).length / rows.length
    expect(share).toBeGreaterThan(0.25)
    expect(share).toBeLessThan(0.35)
    const errors = rows.map((value) => Math.abs(value - (value < 0 ? dropped : kept)))
    expect(Math.max(...errors)).toBeLessThan(1e-14)
  })

  it('keeps mean 0 and variance 1', () => {
    const y = f.alphaDropout(f.randn([200_000], { generator: seeded(7) }), 0.4, { training: true, generator: seeded() })
    const [variance, mean] = f.varMean(y)
    expect(Math.abs(mean.item() as number)).toBeLessThan(0.02)
    expect(Math.abs((variance.item() as number) - 1)).toBeLessThan(0.02)
  })

  it('is off by default as a function, and on in a layer that trains', () => {
    const x = f.ones([4, 4])
    expect(f.alphaDropout(x)).toBe(x)
    expect(f.featureAlphaDropout(x)).toBe(x)
    expect(numbers(new nn.AlphaDropout(1).forward(x))).toEqual(new Array(16).fill(0))
    expect(new nn.FeatureAlphaDropout(1).eval().forward(x)).toBe(x)
  })

  it.each(['Dropout1d', 'Dropout2d', 'Dropout3d', 'AlphaDropout', 'FeatureAlphaDropout'] as const)(
    '%s refuses what is no probability, by its own name',
    (name) => {
      expect(() => new nn[name](1.5)).toThrow(`[${name}] p is 1.5, but must be a probability`)
      expect(`${new nn[name](0.2)}`).toContain('p=0.2')
    },
  )
})

describe('gumbelSoftmax', () => {
  it('chooses as often as softmax says', () => {
    const logits = f.broadcastTo(f.tensor([0, 1, 2]), [30_000, 3])
    const shares = numbers(f.mean(f.gumbelSoftmax(logits, { hard: true, generator: seeded() }), 0))
    for (const [i, expected] of numbers(f.softmax(f.tensor([0, 1, 2]), 0)).entries())
      expect(Math.abs((shares[i] as number) - expected)).toBeLessThan(0.015)
  })

  it('is exactly one-hot if it is hard, with the gradient of the soft result', () => {
    const x = f.randn([50, 7], { generator: seeded(1), requiresGrad: true })
    const weight = f.randn([50, 7], { generator: seeded(2) })
    const [soft, hard] = [false, true].map((hard) => {
      const y = f.gumbelSoftmax(x, { hard, tau: 0.7, generator: seeded() })
      return [y, f.grad([f.sum(f.mul(y, weight))], [x])[0] as f.Tensor] as const
    })
    const [one, soften] = [hard?.[0] as f.Tensor, soft?.[0] as f.Tensor]
    expect(new Set(numbers(one))).toEqual(new Set([0, 1]))
    expect(numbers(f.argmax(one, 1))).toEqual(numbers(f.argmax(soften, 1)))
    expect(numbers(hard?.[1] as f.Tensor)).toEqual(numbers(soft?.[1] as f.Tensor))
  })
})

/** The initialisers that do more than draw once, and numbers from a generator. */
import { describe, expect, it } from 'vitest'
import { Generator, nn, type Tensor, ValueError, zeros } from '../../lib/index.js'

const { init } = nn
const generator = () => new Generator(7)

describe.each(['cpu', 'reference'])('initialisers on %s', (device) => {
  it('truncNormal_ draws the normal distribution within its limits', () => {
    const x = [...init.truncNormal_(zeros([20000], { device }), 1, 2, 0, 4, { generator: generator() }).dataSync()]
    expect(Math.min(...x)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...x)).toBeLessThanOrEqual(4)
    const mean = x.reduce((a, b) => a + b) / x.length
    const spread = Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length)
    // scipy.stats.truncnorm(-0.5, 1.5, 1, 2)
    expect(mean).toBeCloseTo(1.7115, 1)
    expect(spread).toBeCloseTo(1.0701, 1)
  })

  it('truncNormal_ keeps its digits near the middle and in the tails', () => {
    for (const [a, b] of [
      [-1e-3, 1e-3],
      [3, 3.5],
    ] as const) {
      const x = [...init.truncNormal_(zeros([1000], { device }), 0, 1, a, b, { generator: generator() }).dataSync()]
      expect(new Set(x).size).toBeGreaterThan(900)
      expect(Math.min(...x)).toBeGreaterThanOrEqual(a - 1e-6)
      expect(Math.max(...x)).toBeLessThanOrEqual(b + 1e-6)
    }
  })

  it('eye_ and dirac_ pass on what comes', () => {
    expect(init.eye_(zeros([2, 3], { device })).toArray()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ])
    expect(init.dirac_(zeros([4, 2, 3], { device }), { groups: 2 }).toArray()).toEqual(
      [0, 1, 0, 1].map((channel) => [0, 1].map((into) => [0, into === channel ? 1 : 0, 0])),
    )
    const deep = init.dirac_(zeros([3, 2, 1, 2, 3], { device }))
    expect(deep.sum().item()).toBe(2)
    // The middle of [1, 2, 3] is [0, 1, 1].
    expect(deep.slice(1, 1, 0, 1, 1).item()).toBe(1)
  })

  it.each([
    [3, 5],
    [5, 3],
    [63, 64],
    [64, 64],
    [65, 130],
    [130, 129],
  ])('orthogonal_ of %i by %i', (rows, columns) => {
    const w = init.orthogonal_(zeros([rows, columns], { device }), 2, { generator: generator() })
    const short = rows < columns ? w : w.transpose(0, 1)
    const products = short.matmul(short.transpose(0, 1)).toArray() as number[][]
    for (const [i, row] of products.entries())
      for (const [j, value] of row.entries()) expect(Math.abs(value - (i === j ? 4 : 0))).toBeLessThan(1e-5)
  })

  it('orthogonal_ takes more dimensions', () => {
    const w = init.orthogonal_(zeros([4, 3, 2], { device })).reshape([4, 6])
    expect(
      w
        .matmul(w.transpose(0, 1))
        .sub(init.eye_(zeros([4, 4], { device })))
        .abs()
        .max()
        .item(),
    ).toBeLessThan(1e-5)
  })

  it('sparse_ has its share of zeros in each column', () => {
    const w = init.sparse_(zeros([10, 4], { device }), 0.25, 1, { generator: generator() })
    expect(w.eq(0).sum(0).toArray()).toEqual([3, 3, 3, 3])
  })

  it('refuse what does not fit, and change nothing', () => {
    const t = zeros([2, 2], { device })
    for (const [call, message] of [
      [() => init.truncNormal_(t, 0, 1, 2, 1), '[truncNormal_] a is 2, but must be less than b, 1'],
      [() => init.truncNormal_(t, 0, 0), '[truncNormal_] std is 0'],
      [() => init.eye_(zeros([2])), '[eye_] needs a matrix, but got [2]'],
      [() => init.dirac_(t), '[dirac_] needs a weight of three to five dimensions, but got [2, 2]'],
      [() => init.dirac_(zeros([3, 2, 2]), { groups: 2 }), '[dirac_] groups is 2, but must divide the 3'],
      [() => init.orthogonal_(zeros([2])), '[orthogonal_] needs a tensor of at least two dimensions, but got [2]'],
      [() => init.orthogonal_(t, Number.NaN), '[orthogonal_] gain is NaN'],
      [() => init.sparse_(t, 2), '[sparse_] sparsity is 2'],
    ] as const)
      expect(call).toThrow(message)
    expect(t.toArray()).toEqual([
      [0, 0],
      [0, 0],
    ])
  })

  it('gains are PyTorch’s', () => {
    expect([init.calculateGain('conv2d'), init.calculateGain('selu')]).toEqual([1, 0.75])
  })

  it('the same seed gives the same weights', () => {
    const fills: readonly ((t: Tensor) => Tensor)[] = [
      (t) => init.truncNormal_(t, 0, 1, -2, 2, { generator: generator() }),
      (t) => init.orthogonal_(t, 1, { generator: generator() }),
      (t) => init.sparse_(t, 0.5, 1, { generator: generator() }),
    ]
    for (const fill of fills)
      expect(fill(zeros([5, 4], { device })).toArray()).toEqual(fill(zeros([5, 4], { device })).toArray())
  })
})

describe('numbers from a generator', () => {
  it('repeat with the seed, and do not repeat themselves', () => {
    const draw = (g: Generator) => [
      g.random(),
      g.random(),
      g.randint(-5, 1000),
      g.normal(3, 2),
      g.bernoulli(0.3),
      g.randperm(9),
      g.multinomial([1, 2, 3], 2),
      g.multinomial([1, 0, 3], 5, true),
    ]
    expect(draw(new Generator(1))).toEqual(draw(new Generator(1)))
    const g = new Generator(1)
    expect(draw(g)).not.toEqual(draw(g))
  })

  it('have their distributions', () => {
    const g = new Generator(3)
    const mean = (draw: () => number) => Array.from({ length: 20000 }, draw).reduce((a, b) => a + b) / 20000
    expect(mean(() => g.random())).toBeCloseTo(0.5, 1)
    expect(mean(() => g.normal(2, 0.5))).toBeCloseTo(2, 1)
    expect(mean(() => Number(g.bernoulli(0.25)))).toBeCloseTo(0.25, 1)
    expect(mean(() => g.randint(10, 12))).toBeCloseTo(10.5, 1)
    expect(mean(() => g.multinomial([0, 1, 3], 1)[0] as number)).toBeCloseTo(1.75, 1)
    const order = g.randperm(100)
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    expect(new Set(g.multinomial([0, 1, 2, 3, 0], 3))).toEqual(new Set([1, 2, 3]))
  })

  it('refuse what they cannot draw', () => {
    const g = new Generator(3)
    for (const call of [
      () => g.randint(2, 2),
      () => g.normal(0, -1),
      () => g.bernoulli(2),
      () => g.randperm(-1),
      () => g.multinomial([1, 0], 2),
      () => g.multinomial([0], 1),
      () => g.multinomial([-1], 1),
      () => g.multinomial(3 as never, 1),
    ])
      expect(call).toThrow(ValueError)
  })
})

/** Values and derivatives where a formula has a kink or an infinity. The numbers are PyTorch 2.13's. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const { NaN: nan, POSITIVE_INFINITY: inf } = Number
const numbers = (x: f.Tensor | null | undefined) => [...(x as f.Tensor).dataSync()].map((value) => Number(value) + 0)

describe.each(['cpu', 'reference'] as const)('on %s', (device) => {
  const leaf = (values: readonly number[]) => f.tensor(values, { device, requiresGrad: true })

  it.each([
    ['huberLoss', f.huberLoss],
    ['smoothL1Loss', f.smoothL1Loss as typeof f.huberLoss],
  ])('%s is a straight line from its limit on', (_, lossOf) => {
    const x = leaf([-1, 1, 0, 0.5, 2, -1.5, inf, -inf, nan])
    const loss = lossOf(x, f.zerosLike(f.detach(x)), { reduction: 'none' })
    const [slope] = f.grad([f.sum(loss)], [x], { createGraph: true })
    expect(numbers(slope)).toEqual([-1, 1, 0, 0.5, 1, -1, 1, -1, nan])
    const [bend] = f.grad([f.sum(slope as f.Tensor)], [x])
    expect(numbers(bend).slice(0, 6)).toEqual([0, 0, 1, 1, 0, 0])
  })

  it.each([
    [-inf, 0, nan, 0],
    [-inf, 1, inf, -1],
    [-inf, 0.5, inf, -0.5],
    [inf, 0, inf, 1],
    [inf, 1, nan, 0],
    [inf, 0.5, inf, 0.5],
  ])('multilabelSoftMarginLoss of the logit %d for the target %d', (logit, target, loss, slope) => {
    const x = leaf([logit])
    const y = f.multilabelSoftMarginLoss(x, f.tensor([target], { device }), { reduction: 'none' })
    expect(numbers(y)).toEqual([loss])
    expect(numbers(f.grad([f.sum(y)], [x])[0])).toEqual([slope])
  })

  it('scatterReduce keeps a NaN in the gradient of a product, even beside a zero', () => {
    const [x, src] = [leaf([1, 2, 0, nan, 0]), leaf([0, nan, nan, 0, 3, 0, 4])]
    const index = f.tensor([0, 0, 2, 3, 1, 1, 0], { dtype: 'int32', device })
    const y = f.scatterReduce(x, 0, index, src, 'prod')
    expect(numbers(y)).toEqual([nan, 0, nan, nan, 0])
    const [self, terms] = f.grad([f.sum(y)], [x, src])
    expect(numbers(self)).toEqual([nan, 0, nan, nan, 1])
    expect(numbers(terms)).toEqual([nan, nan, nan, nan, 0, 6, nan])
  })

  it('scatterReduce has second derivatives beside a single zero', () => {
    const src = leaf([0, 2, 4])
    const y = f.scatterReduce(
      f.tensor([2], { device }),
      0,
      f.tensor([0, 0, 0], { dtype: 'int32', device }),
      src,
      'prod',
    )
    const [slope] = f.grad([f.sum(y)], [src], { createGraph: true })
    expect(numbers(slope)).toEqual([16, 0, 0])
    expect(numbers(f.grad([f.sum(slope as f.Tensor)], [src])[0])).toEqual([12, 8, 4])
  })

  // PyTorch refuses these second derivatives; those of three factors are its products of two.
  it.each([
    { factors: [0, 3, 0], second: [0, 0, 6, 0, 0, 0, 6, 0, 0] },
    { factors: [0, 0, 0], second: [0, 0, 0, 0, 0, 0, 0, 0, 0] },
    { factors: [0, 0, 5], second: [0, 10, 0, 10, 0, 0, 0, 0, 0] },
  ])('scatterReduce has second derivatives where factors are $factors', ({ factors, second }) => {
    const src = leaf(factors)
    const index = f.tensor([0, 0, 0], { dtype: 'int32', device })
    const y = f.scatterReduce(f.tensor([2], { device }), 0, index, src, 'prod')
    const [slope] = f.grad([f.sum(y)], [src], { createGraph: true })
    expect(numbers(slope)).toEqual([0, 0, 0])
    const rows = factors.map((_, i) => f.grad([f.select(slope as f.Tensor, 0, i)], [src], { retainGraph: true })[0])
    expect(rows.flatMap(numbers)).toEqual(second)
  })

  it('gridSample of the nearest elements gives the grid a gradient of 0', () => {
    const [x, grid] = [leaf([1, 2, 3, nan]), leaf([0.1, 0.2, nan, 5])]
    const y = f.gridSample(f.reshape(x, [1, 1, 2, 2]), f.reshape(grid, [1, 1, 2, 2]), { mode: 'nearest' })
    expect(numbers(y)).toEqual([nan, 0])
    const [dx, dgrid] = f.grad([f.sum(y)], [x, grid])
    expect(numbers(dx)).toEqual([0, 0, 0, 1])
    expect(numbers(dgrid)).toEqual([0, 0, 0, 0])
  })
})

import { expect, it } from 'vitest'
import * as f from '../../lib/index.js'

const x = f.reshape(f.arange(24), [2, 3, 4])

it('T, mT and t() swap dimensions without a copy', () => {
  const matrix = f.select(x, 0, 1)
  for (const turned of [matrix.T, matrix.mT, matrix.t()]) {
    expect(turned.shape).toEqual([4, 3])
    expect(turned.storage).toBe(x.storage)
    expect(turned.toArray()).toEqual(f.transpose(matrix, 0, 1).toArray())
  }
  expect(x.mT.toArray()).toEqual(f.permute(x, [0, 2, 1]).toArray())
})

it('t() of a vector or a number is that', () => {
  const vector = f.tensor([1, 2])
  expect(vector.t()).toBe(vector)
  expect(f.t(f.tensor(3)).item()).toBe(3)
})

it('T refuses what is no matrix, and says what does it', () => {
  expect(() => x.T).toThrow('[T] transposes a matrix, but this tensor is [2, 3, 4]; use mT')
  expect(() => f.tensor([1]).mT).toThrow('[mT] transposes matrices, but this tensor is [1]; unsqueeze()')
})

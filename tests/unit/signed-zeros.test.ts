import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

// PyTorch's answers, of which tests/fuzz/special.ts compares all.
describe.each(deviceNames)('special values on %s', (device) => {
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number
  const column = (values: readonly number[]) => f.tensor(values, { device })
  const numbers = (x: f.Tensor) => [...(x.dataSync() as Float32Array)]
  const slopes = (values: readonly number[], call: (x: f.Tensor) => f.Tensor) => {
    const x = column(values)
    x.requiresGrad = true
    return numbers(f.grad(f.sum(call(x)), [x])[0] as f.Tensor)
  }

  it('keep or drop the sign of zero', () => {
    // Vectors and what is left behind them.
    const zeros = Array.from({ length: 40 }, () => -0)
    const x = column(zeros)
    const plain = zeros.map(() => 0)
    for (const y of [
      f.mul(x, 2),
      f.sub(x, 0),
      f.relu(x),
      f.clamp(x, 0, 1),
      f.relu6(x),
      f.clampMin(x, 0),
      f.pow(x, 0.5),
    ])
      expect(numbers(y)).toEqual(zeros)
    for (const y of [f.add(x, 0), f.sub(0, x), f.neg(x), f.xlogy(x, 2), f.maximum(x, f.zerosLike(x))])
      expect(numbers(y)).toEqual(plain)
    expect(numbers(f.maximum(f.zerosLike(x), x))).toEqual(zeros)
    expect(numbers(f.logSigmoid(column([inf, 1e6])))).toEqual([0, 0])
  })

  it('are roots and poles', () => {
    const x = [-inf, -1, -0, 0, inf, nan]
    expect(numbers(f.pow(column(x), 0.5))).toEqual([nan, nan, -0, 0, inf, nan])
    expect(numbers(f.pow(column(x), -0.5))).toEqual([nan, nan, -inf, inf, 0, nan])
    expect(numbers(f.polygamma(1, column([-inf])))).toEqual([nan])
    expect(numbers(f.polygamma(2, column([-inf])))).toEqual([-inf])
    expect(numbers(f.polygamma(3, column([-inf])))).toEqual([inf])
    expect(slopes([-1, 0.5, 1], f.acosh)).toEqual([inf, nan, inf])
  })

  it('have no gradient of a running product behind a zero', () => {
    expect(slopes([0, nan], (x) => f.cumprod(x, 0))).toEqual([nan, 0])
    expect(slopes([2, 0, 3, 0], (x) => f.cumprod(x, 0))).toEqual([1, 8, 0, 0])
  })
})

it('erfinv is exact to the ends in float64', () => {
  const values = Float64Array.of(0.5, 0.999, 1 - 2 ** -30, 1 - 2 ** -40, 1 - 2 ** -53, -(1 - 2 ** -53))
  const x = f.fromTypedArray(values, [6], { dtype: 'float64', device: 'reference' })
  const exact = [
    0.4769362762044699, 2.3267537655135246, 4.328028275800946, 5.05125408524939, 5.8635847487551676,
    -5.8635847487551676,
  ]
  for (const [i, own] of [...(f.erfinv(x).dataSync() as Float64Array)].entries())
    expect(Math.abs(own / (exact[i] as number) - 1)).toBeLessThan(4e-15)
})

/**
 * Softmax in attention and cross entropy, and logsumexp, are as exact for large logits as for small ones. Scores are
 * integers that float32 and bfloat16 hold, a few apart, on top of an offset. The right values come from the reference
 * in float64. PyTorch's float32 is off by one to three units of the largest term here, at every offset. A maximum and a
 * sum kept as one float32, or scores scaled before their maximum is subtracted, would be off by 2e-4 and more from 1e4
 * on. tests/fuzz/logits.ts compares more operators with PyTorch itself.
 */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { devices, reference } from '../suites/support.js'

type Dtype = 'float32' | 'bfloat16' | 'float64'

const units = { float32: 2 ** -24, bfloat16: 2 ** -8 } as const

function whole(shape: f.Shape, seed: number, reach: number): number[] {
  const random = randomOf(seed)
  return Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.round((random() * 2 - 1) * reach))
}

function tensor(values: readonly number[], shape: f.Shape, device: f.Device, dtype: Dtype, requiresGrad = true) {
  const y =
    dtype === 'float64'
      ? f.fromTypedArray(Float64Array.from(values), shape, { device, dtype })
      : f.fromTypedArray(Float32Array.from(values), shape, { device }).to(dtype)
  y.requiresGrad = requiresGrad
  return y
}

const numbers = (x: f.Tensor) => [...(x.detach().dataSync() as Iterable<number>)]

interface Result {
  readonly [name: string]: readonly number[]
}

/** `sizes`: the numbers by which the error of each element is measured. */
function expectNear(actual: Result, exact: Result, allowed: number, sizes: { readonly [name: string]: number }) {
  for (const [name, values] of Object.entries(exact)) {
    let worst = 0
    values.forEach((value, i) => {
      worst = Math.max(worst, Math.abs((actual[name]?.[i] as number) - value))
    })
    expect(worst / (sizes[name] as number), name).toBeLessThanOrEqual(allowed)
  }
}

const cases = devices.flatMap((device) =>
  (['float32', 'bfloat16'] as const).map((dtype) => [device.name, dtype, device] as const),
)

describe.each(cases)('on %s in %s', (_name, dtype, device) => {
  // Squares of these are offsets of the scores: 1, 1e2, 1e4, 1e6.
  it.each([1, 10, 100, 1000])('attention with queries and keys about %d', (offset) => {
    // There are more queries and keys than a tile has of either.
    for (const [queries, keys, causal] of [
      [5, 7, false],
      [150, 140, true],
    ] as const) {
      const far = (count: number, seed: number) =>
        Array.from({ length: count }, (_, i) => [offset, ...whole([3], seed + i, 2)]).flat()
      const [q, k] = [far(queries, 1), far(keys, 1000)]
      const [v, dy] = [whole([keys, 4], 3, 8), whole([queries, 4], 4, 8)]
      const run = (on: f.Device, as: Dtype): Result => {
        const [a, b, c] = [
          tensor(q, [1, queries, 4], on, as),
          tensor(k, [1, keys, 4], on, as),
          tensor(v, [1, keys, 4], on, as),
        ]
        const y = f.scaledDotProductAttention(a, b, c, { scale: 0.5, isCausal: causal })
        const [dq, dk, dv] = f.grad([y], [a, b, c], { gradOutputs: [tensor(dy, [1, queries, 4], on, as, false)] })
        // These are the gradients for the far feature, whose unit is as large as its factor.
        const split = (x: f.Tensor | null | undefined) => {
          const all = numbers(x as f.Tensor)
          return [all.filter((_, i) => i % 4 === 0), all.filter((_, i) => i % 4 !== 0)] as const
        }
        const [[dqFar, dqNear], [dkFar, dkNear]] = [split(dq), split(dk)]
        return { y: numbers(y), dv: numbers(dv as f.Tensor), dqFar, dqNear, dkFar, dkNear }
      }
      // Terms of dP are up to 8 * 8 * 4. Up to `queries` of them are summed in dk and dv.
      const many = Math.sqrt(queries)
      expectNear(run(device, dtype), run(reference, 'float64'), 8 * units[dtype], {
        y: 8,
        dv: 8 * many,
        dqFar: 64 * offset,
        dqNear: 64,
        dkFar: 64 * offset * many,
        dkNear: 64 * many,
      })
    }
  })

  it.each([0, 1e2, 1e4, 1e6, 1e7])('cross entropy with logits about %d', (offset) => {
    for (const classes of [5, 1025])
      for (const reduction of ['none', 'mean', 'sum'] as const)
        for (const labelSmoothing of [0, 0.2])
          for (const weighted of [false, true]) {
            const rows = 6
            // bfloat16 has steps of 1/128 of the offset.
            const values = whole([rows, classes], 5, 4).map((x) => offset + x)
            const logits = tensor(values, [rows, classes], device, dtype)
            const exact = tensor(numbers(logits), [rows, classes], reference, 'float64')
            const run = (x: f.Tensor, as: 'float32' | 'float64'): Result => {
              const target = f.tensor([0, 1, -100, 3, 4, 0], { dtype: 'int32', device: x.device })
              const weight = f.fromTypedArray(
                Float64Array.from({ length: classes }, (_, i) => 0.5 + (i % 4) / 4),
                [classes],
                { device: x.device, dtype: as },
              )
              const loss = f.crossEntropy(x, target, { reduction, labelSmoothing, weight: weighted ? weight : null })
              const [dx] = f.grad([f.sum(loss)], [x])
              return { loss: numbers(loss), dx: numbers(dx as f.Tensor) }
            }
            const truth = run(exact, 'float64')
            const largest = (list: readonly number[] = []) => Math.max(...list.map(Math.abs))
            const sizes = { loss: largest(truth['loss']), dx: largest(truth['dx']) }
            expectNear(run(logits, 'float32'), truth, 8 * units[dtype], sizes)
            // The result does not depend on the offset if that is exact.
            if (dtype === 'float32') {
              const near = tensor(
                values.map((x) => x - offset),
                [rows, classes],
                device,
                dtype,
              )
              expectNear(run(logits, 'float32'), run(near, 'float32'), 1e-30, sizes)
            }
          }
  })

  it.each([1, 10, 100, 1000])('logsumexp of numbers about %d', (reach) => {
    const shape = [6, 40]
    const values = whole(shape, 7, reach)
    const run = (on: f.Device, as: Dtype): Result => {
      const x = tensor(values, shape, on, as)
      const y = f.logsumexp(x, 1)
      expect(y.dtype).toBe(as)
      const [dx] = f.grad([f.sum(y)], [x])
      return { y: numbers(y), dx: numbers(dx as f.Tensor) }
    }
    const rounded = numbers(tensor(values, shape, reference, dtype))
    expect(rounded.some((x, i) => x !== values[i])).toBe(dtype === 'bfloat16' && reach === 1000)
    const exact = tensor(rounded, shape, reference, 'float64')
    const truth = f.logsumexp(exact, 1)
    const [dx] = f.grad([f.sum(truth)], [exact])
    // A result is rounded once, and the difference from it is exact to a few units.
    expectNear(run(device, dtype), { y: numbers(truth), dx: numbers(dx as f.Tensor) }, 2 * units[dtype], {
      y: Math.max(reach, 4),
      dx: 1,
    })
  })

  it('gives what PyTorch gives for three scores in a row', () => {
    for (const c of [0, 100, 1e4, 1e6]) {
      if (dtype === 'bfloat16' && c > 0) continue
      const x = tensor([c, c + 1, c + 2], [1, 3], device, dtype)
      const [dx] = f.grad([f.crossEntropy(x, f.tensor([0], { dtype: 'int32', device }))], [x])
      expectNear({ dx: numbers(dx as f.Tensor) }, { dx: [-0.909969, 0.244728, 0.665241] }, 4 * units[dtype] + 1e-6, {
        dx: 1,
      })
    }
    for (const c of [1, 100, 1000]) {
      const [q, k] = [tensor([c, 1], [1, 1, 2], device, dtype), tensor([c, 0, c, 1, c, 2], [1, 3, 2], device, dtype)]
      const y = f.scaledDotProductAttention(q, k, tensor([1, 2, 4], [1, 3, 1], device, dtype), { scale: 1 })
      expectNear({ y: numbers(y) }, { y: [3.240451] }, units[dtype] + 1e-6, { y: 4 })
    }
  })
})

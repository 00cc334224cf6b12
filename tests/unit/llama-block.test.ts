/** The block of tests/types/llama.ts, which compiles, also computes the right result. */
import { expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { LlamaBlock } from '../types/llama.js'

it('a block of Llama, written as a user would, sees the past only, and how far away it is', () => {
  f.manualSeed(0)
  const block = new LlamaBlock(16, 2, 24)
  const x = f.randn([2, 5, 16])
  const y = block.forward(x)
  expect(y.shape).toEqual([2, 5, 16])
  y.square().mean().backward()
  for (const parameter of block.parameters())
    expect(parameter.grad?.abs().sum().item(), 'a gradient of every parameter').toBeGreaterThan(0)
  // A position sees only those before it.
  const changed = f.cat([x.narrow(1, 0, 3), f.randn([2, 2, 16])], 1)
  const z = block.forward(changed)
  expect(z.narrow(1, 0, 3).toArray()).toEqual(y.narrow(1, 0, 3).toArray())
  expect(z.narrow(1, 3, 2).toArray()).not.toEqual(y.narrow(1, 3, 2).toArray())
  // The order of the past matters, because queries and keys are rotated.
  const swapped = f.cat([x.narrow(1, 1, 1), x.narrow(1, 0, 1), x.narrow(1, 2, 3)], 1)
  const last = (result: f.Tensor) =>
    result
      .narrow(1, 4, 1)
      .sub(y.narrow(1, 4, 1))
      .abs()
      .sum()
      .item()
  expect(last(block.forward(swapped))).toBeGreaterThan(1e-4)
})

/** Entries into the library that import only a part of it. */
import { expect, it } from 'vitest'
import { backward } from '../../lib/autograd/backward.js'
import { Linear } from '../../lib/nn/linear.js'
import { full } from '../../lib/ops/creation.js'
import { dataSync } from '../../lib/ops/read.js'

it('a layer alone has a backward pass', () => {
  const layer = new Linear(3, 1)
  backward(layer.forward(full([1, 3], 2)))
  const gradient = layer.weight.grad
  expect(gradient && [...dataSync(gradient)]).toEqual([2, 2, 2])
})

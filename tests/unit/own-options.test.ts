/** A layer keeps its own copy of its options. A program may change its object later, or pass one of a class. */
import { expect, it } from 'vitest'
import { nn, tensor } from '../../lib/index.js'

it('a layer does not change with the object and the lists that it was made of', () => {
  const options = { stride: [2, 2] as [number, number], padding: 0 }
  const kernelSize: [number, number] = [2, 2]
  const pool = new nn.MaxPool2d(kernelSize, options)
  const before = [
    String(pool),
    pool
      .forward(
        tensor([
          [
            [
              [1, 2],
              [3, 4],
            ],
          ],
        ]),
      )
      .toArray(),
  ]
  options.stride[0] = 1
  options.padding = 1
  kernelSize[1] = 1
  expect([
    String(pool),
    pool
      .forward(
        tensor([
          [
            [
              [1, 2],
              [3, 4],
            ],
          ],
        ]),
      )
      .toArray(),
  ]).toEqual(before)
  expect(before[1]).toEqual([[[[4]]]])
})

class Settings {
  get device() {
    return 'reference'
  }
  get bias() {
    return false
  }
}

it('getters reach the layers inside of a layer', () => {
  for (const layer of [
    new nn.MultiheadAttention(4, 2, new Settings()),
    new nn.TransformerEncoderLayer(4, 2, new Settings()),
  ]) {
    const state = [...layer.stateDict()]
    expect(state.filter(([, { device }]) => device.name !== 'reference')).toEqual([])
    expect(state.filter(([name]) => name.endsWith('bias'))).toEqual([])
  }
  expect(new nn.BatchNorm1d(2, new Settings() as never).numBatchesTracked?.device.name).toBe('reference')
})

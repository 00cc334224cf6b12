/** Elements by any indices as programs see them: shared memory, errors, and new tensors in the form of others. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

describe.each(deviceNames)('indices on %s', (device) => {
  const matrix = () => f.arange(0, 12, 1, { device, dtype: 'float32' }).reshape([3, 4])

  it('of integers and slices see the memory, others copy it', () => {
    const x = matrix()
    x.index(1, '1:3').fill_(-1)
    expect(x.toArray()[1]).toEqual([4, -1, -1, 7])
    x.index([1], '1:3').fill_(9)
    expect(x.toArray()[1]).toEqual([4, -1, -1, 7])
    expect(x.index(f.tensor(2, { dtype: 'int32', device })).storage).toBe(x.storage)
  })

  it('write what PyTorch writes for x[...] = value', () => {
    const x = matrix()
    x.indexPut_([x.gt(9)], 0)
    x.indexPut_([0, ':2'], f.tensor([[7, 8]], { device }))
    x.indexPut_([[1, 1, 2], -1], 1, { accumulate: true })
    expect(x.toArray()).toEqual([
      [7, 8, 2, 3],
      [4, 5, 6, 9],
      [8, 9, 0, 1],
    ])
  })

  it('tell a backward pass whose saved tensor is overwritten', () => {
    const x = matrix()
    x.requiresGrad = true
    const squares = x.square().sum()
    f.noGrad(() => x.indexPut_([[0]], 1))
    expect(() => squares.backward()).toThrow(/square.*indexPut_/s)
  })

  it('late, an error bears the name of its own call, whoever reads', () => {
    const far = f.tensor([9], { dtype: 'int32', device })
    expect(() => matrix().index(far).toArray()).toThrow('[index] index 9')
    expect(() => matrix().indexPut([far], 1).toArray()).toThrow('[indexPut] index 9')
    expect(() => f.oneHot(far, 3).toArray()).toThrow('[oneHot] index 9')
    expect(() => f.unique(f.take(matrix().narrow(0, 0, 1), far))).toThrow('[take] index 9')
    class Picker extends f.nn.Module {
      forward(x: f.Tensor): f.Tensor {
        return f.takeAlongDim(x, far.reshape([1, 1]), 1)
      }
    }
    expect(() => new Picker().forward(matrix()).toArray()).toThrow(/^\[takeAlongDim\] index 9 .*\(in Picker/)
    // Later errors have their own names again.
    expect(() => f.gather(matrix(), 1, far.reshape([1, 1])).toArray()).toThrow('[gather] index 9')
  })

  it('and new tensors take form from others', () => {
    const x = f.ones([2], { device, dtype: 'int32' })
    const made = [x.newZeros([2, 1]), x.newOnes([1]), x.newFull([2], 7), x.newEmpty([3]), x.newTensor([[4], [5]])]
    expect(made.map((each) => each.toArray())).toEqual([[[0], [0]], [1], [7, 7], [0, 0, 0], [[4], [5]]])
    expect(made.every((each) => each.dtype === 'int32' && each.device === x.device)).toBe(true)
    expect(x.newFull([1], 0.5, { dtype: 'float32' }).toArray()).toEqual([0.5])
    expect(() => x.newFull([1], 0.5)).toThrow('[newFull] ')
    expect(() => x.newTensor([0.5])).toThrow('[newTensor] ')
    expect(f.empty([2, 0]).shape).toEqual([2, 0])
  })

  it('say what they allow where they refuse an index, places from the end too', () => {
    const at = (...indices: number[]) => f.tensor(indices, { dtype: 'int32', device })
    for (const [use, message] of [
      [() => matrix().index(3), 'index 3 lies outside dimension 0 of [3, 4]; allowed are -3 to 2'],
      [() => matrix().index(-4), 'index -4 lies outside dimension 0 of [3, 4]; allowed are -3 to 2'],
      [() => matrix().index([-4]), 'index -4 lies outside dimension 0 of [3, 4]; allowed are -3 to 2'],
      [() => matrix().index(at(-4)).toArray(), 'for dimension 0 of size 3; allowed are -3 to 2'],
      [
        () =>
          matrix()
            .indexPut_([':', at(4)], 1)
            .toArray(),
        'for dimension 1 of size 4; allowed are -4 to 3',
      ],
      [() => f.take(matrix(), at(12)).toArray(), 'of size 12; allowed are -12 to 11'],
      [() => matrix().indexSelect(0, at(-1)).toArray(), 'of size 3; allowed are 0 to 2'],
      [() => matrix().index(1.5), 'index 1.5 of dimension 0 must be an integer'],
      [() => matrix().select(1, 0.5), 'index 0.5 of dimension 1 must be an integer'],
      [() => matrix().select(1, 4), 'index 4 lies outside dimension 1 of [3, 4]; allowed are -4 to 3'],
      [() => f.zeros([0], { device }).index(0), 'index 0 lies outside dimension 0 of [0]'],
    ] as const)
      expect(use).toThrow(message)
    expect([matrix().index(-3, 0).item(), matrix().index(at(-3, 2), 0).toArray()]).toEqual([0, [0, 8]])
  })

  it('name value and what the indices pick where those do not fit, and take a truth as value', () => {
    const value = f.ones([3], { device })
    for (const put of [
      () => matrix().indexPut_([0], value),
      () => matrix().indexPut([[0, 1]], value),
      () => matrix().indexPut_([':', [0, 1, 1, 0]], f.ones([2, 3, 4], { device })),
    ])
      expect(put).toThrow(/value is \[(3|2, 3, 4)\], but the indices pick \[(4|2, 4|3, 4)\] of x; sizes of value/)
    expect(
      matrix()
        .indexPut([0], f.ones([1, 1, 4], { device }))
        .index(0)
        .toArray(),
    ).toEqual([1, 1, 1, 1])
    const truths = matrix().gt(20)
    truths.indexPut_([truths.logicalNot()], true)
    expect(truths.toArray().flat()).toEqual(new Array(12).fill(true))
    expect(truths.indexPut([0, 0], false).index(0, ':2').toArray()).toEqual([false, true])
    expect(matrix().indexPut([0, 0], true).index(0, 0).item()).toBe(1)
    expect(() => truths.indexPut_([0], 'x' as never)).toThrow(f.DTypeError)
  })

  it('and equal compares shapes and elements', () => {
    const x = matrix()
    expect([x.equal(matrix()), x.equal(x.add(1)), x.equal(x.reshape([4, 3]))]).toEqual([true, false, false])
    const none = f.full([1], Number.NaN, { device })
    expect([none.equal(none), f.zeros([0], { device }).equal(f.zeros([0], { device }))]).toEqual([false, true])
    expect(() => x.equal(3 as never)).toThrow('[equal] ')
  })
})

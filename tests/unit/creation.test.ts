import { describe, expect, it } from 'vitest'
import {
  arange,
  eye,
  fromTypedArray,
  full,
  ones,
  tensor,
  trilIndices,
  triuIndices,
  where,
  zeros,
} from '../../lib/index.js'

const devices = (process.env['FIRESTEEL_TEST_DEVICES'] ?? 'reference,cpu').split(',')

describe.each(devices)('creation on %s', (device) => {
  it('counts up and down, in integers and fractions, and not at all', () => {
    expect(arange(4, undefined, 1, { device }).toArray()).toEqual([0, 1, 2, 3])
    expect(arange(5, -4, -3, { device }).toArray()).toEqual([5, 2, -1])
    expect(arange(0, 1, 0.25, { device }).toArray()).toEqual([0, 0.25, 0.5, 0.75])
    expect(arange(3, 3, 1, { device }).toArray()).toEqual([])
    expect(arange(4, undefined, 1, { device }).dtype).toBe('int32')
    expect(arange(0, 1, 0.5, { device }).dtype).toBe('float32')
    expect(arange(3, undefined, 1, { device, dtype: 'bfloat16' }).toArray()).toEqual([0, 1, 2])
    const long = arange(1, 20_002, 1, { device, dtype: 'float32' }).dataSync()
    expect(long.every((value, i) => value === i + 1)).toBe(true)
  })

  it('lists the indices of triangles', () => {
    const lists = (rows: number, columns: number, offset: number) =>
      [trilIndices, triuIndices].map((of) => of(rows, columns, offset, { device }).toArray())
    expect(lists(3, 2, -1)).toEqual([
      [
        [1, 2, 2],
        [0, 0, 1],
      ],
      [
        [0, 0, 1, 1, 2],
        [0, 1, 0, 1, 1],
      ],
    ])
    expect(lists(2, 3, 9).map((list) => (list as number[][])[0]?.length)).toEqual([6, 0])
    expect(lists(2, 3, -9).map((list) => (list as number[][])[0]?.length)).toEqual([0, 6])
    expect(trilIndices(2, 2, 0, { device }).dtype).toBe('int32')
    expect(triuIndices(2, 2, 0, { device, dtype: 'float32' }).dtype).toBe('float32')
  })

  it('where of two numbers has the dtype of a tensor beside them', () => {
    const condition = tensor([true, false], { device })
    expect(where(condition, 1, -2).toArray()).toEqual([1, -2])
    expect(where(condition, 1, -2).dtype).toBe('int32')
    expect(where(condition, 1, 0.5).dtype).toBe('float32')
    expect(where(condition, Number.NaN, 0).dtype).toBe('float32')
    expect(() => where(condition, 1, 2 ** 31)).toThrow(/2147483648/)
  })

  it('makes diagonals, constants and tensors of arrays', () => {
    expect(eye(2, 3, { device }).toArray()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ])
    expect(full([2, 2], -1.5, { device }).toArray()).toEqual([
      [-1.5, -1.5],
      [-1.5, -1.5],
    ])
    expect([zeros([2], { device }).toArray(), ones([2], { device }).toArray()]).toEqual([
      [0, 0],
      [1, 1],
    ])
    expect(() => zeros([-1], { device })).toThrow(/^\[zeros\] .*\[-1\]/)
    expect(tensor([[true], [false]], { device }).dtype).toBe('bool')
    const source = Float32Array.of(1, 2, 3, 4)
    const copied = fromTypedArray(source, [2, 2], { device })
    source.fill(0)
    expect(copied.toArray()).toEqual([
      [1, 2],
      [3, 4],
    ])
  })
})

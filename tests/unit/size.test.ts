/** `x.size(dim)`: a size by its place, counted from either end, and no size if there is none. */
import { describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

describe.each(deviceNames)('size on %s', (device) => {
  const x: f.Tensor = f.zeros([2, 0, 4], { device })

  it('counts dimensions from both ends', () => {
    expect([0, 1, 2, -1, -2, -3].map((dim) => x.size(dim))).toEqual([2, 0, 4, 4, 0, 2])
  })

  it('is that of views and of results', () => {
    const y = f.ones([6, 2], { device })
    expect(y.transpose(0, 1).size(0)).toBe(2)
    expect(y.narrow(0, 1, 3).size(-2)).toBe(3)
    expect(y.expand([5, 6, 2]).size(0)).toBe(5)
    expect(y.sum(0, { keepdim: true }).size(0)).toBe(1)
  })

  it.each([3, -4, 0.5, Number.NaN, '0', null, undefined, [0]])('throws ValueError for %s', (dim) => {
    expect(() => x.size(dim as number)).toThrow(f.ValueError)
    expect(() => x.size(dim as number)).toThrow(
      /^\[size\] dim is .*, but must be an integer from -3 to 2 for 3 dimensions/,
    )
  })

  it('throws ValueError where there is no dimension', () => {
    for (const dim of [0, -1])
      expect(() => f.ones([], { device }).size(dim)).toThrow(
        '[size] the tensor has no dimensions; its one element is item()',
      )
  })

  it('gives a tensor of known sizes its own', () => {
    const known: 2 = f.zeros([2, 3], { device }).size(0)
    expect(known).toBe(2)
  })
})

describe.each(deviceNames)('pieces on %s', (device) => {
  it('are as many as sizes', () => {
    const [left, right] = f.arange(0, 3, 1, { dtype: 'float32', device }).split([1, 2])
    expect([left.toArray(), right.toArray()]).toEqual([[0], [1, 2]])
  })
})

describe.each(deviceNames)('what is read on %s', (device) => {
  it('is of the array that the type says, for every dtype', () => {
    for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
      const read: Float32Array = f.ones([2], { dtype, device }).dataSync()
      expect(read).toBeInstanceOf(Float32Array)
    }
    const whole: Int32Array = f.ones([2], { dtype: 'int32', device }).dataSync()
    expect(whole).toBeInstanceOf(Int32Array)
    for (const dtype of ['uint8', 'bool'] as const) {
      const read: Uint8Array = f.ones([2], { dtype, device }).dataSync()
      expect(read).toBeInstanceOf(Uint8Array)
    }
    const drawn: Int32Array = f.randint(0, 3, [2], { device }).dataSync()
    expect(drawn).toBeInstanceOf(Int32Array)
    const counted: Int32Array = f.ones([2, 2], { device }).gt(0).sum(0).dataSync()
    expect(counted).toBeInstanceOf(Int32Array)
    const places: Int32Array = f.ones([2, 2], { device }).argmax(0).dataSync()
    expect(places).toBeInstanceOf(Int32Array)
    const converted: Int32Array = f.ones([2], { device }).to('int32').dataSync()
    expect(converted).toBeInstanceOf(Int32Array)
    const summed: Int32Array = f.ones([2], { dtype: 'uint8', device }).cumsum(0).dataSync()
    expect(summed).toBeInstanceOf(Int32Array)
    const truths: boolean[][] = f.ones([1, 2], { device }).gt(0).toArray()
    expect(truths).toEqual([[true, true]])
  })

  it('stays float32 under autocast, whatever the tensors are', () => {
    const x = f.ones([2, 2], { device })
    const read: Float32Array = f.autocast('bfloat16', () => x.matmul(x).exp().sum(0)).dataSync()
    expect(read).toBeInstanceOf(Float32Array)
    const rows: number[][] = f.autocast('bfloat16', () => x.matmul(x)).toArray()
    expect(rows).toEqual([
      [2, 2],
      [2, 2],
    ])
  })
})

it('is float64 on the device that has it', () => {
  const wide: Float64Array = f.ones([2], { dtype: 'float64', device: 'reference' }).dataSync()
  expect(wide).toBeInstanceOf(Float64Array)
})

import { describe, expect, it } from 'vitest'
import { random } from '../../lib/backend/reference/random.js'
import type { HostView } from '../../lib/backend/reference/view.js'
import { normalQuantile } from '../../lib/core/distributions.js'
import type { TypedArray } from '../../lib/core/dtype.js'

function vector(data: TypedArray, dtype: HostView['dtype']): HostView {
  return { data, dtype, offset: 0, shape: [data.length], strides: [1] }
}

/** FNV-1a over 32-bit words. */
function digest(data: TypedArray): string {
  let hash = 0x811c9dc5
  for (const word of new Uint32Array(data.buffer, data.byteOffset, data.length))
    hash = Math.imul(hash ^ word, 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}

const position = { seed: 1234567890123456, stream: 0xdeadbeef, offset: 4294967290 }
const count = 10007

/** native/tests/random.cpp has the same digests, because bits are equal in C++ and TypeScript. */
describe('random numbers have the bits of the native kernels', () => {
  const normal = vector(new Float32Array(count), 'float32')
  random.random_normal({ out: normal, random: position, mean: 0.5, std: 2 })

  it('uniform', () => {
    const out = vector(new Float32Array(count), 'float32')
    random.random_uniform({ out, random: position, low: -1, high: 3 })
    expect(digest(out.data)).toBe('4238f53b')
  })
  it('normal', () => {
    expect(digest(normal.data)).toBe('759711f7')
  })
  it('integers', () => {
    const out = vector(new Int32Array(count), 'int32')
    random.random_integers({ out, random: position, low: -1000, high: 2000000000 })
    expect(digest(out.data)).toBe('1fc1f545')
  })
  it('dropout', () => {
    const out = vector(new Float32Array(count), 'float32')
    random.dropout({ out, x: normal, random: position, p: 0.3 })
    expect(digest(out.data)).toBe('74b427ef')
  })
})

describe('the normal quantile', () => {
  it('is odd about the middle', () => {
    for (const word of [0, 1, 12345, 0x12345678, 0x7fffffff])
      expect(normalQuantile(0xffffffff - word)).toBe(-normalQuantile(word))
  })
  it.each([
    [0, -6.337957754553789],
    [0x7fffffff, -2.918099372916623e-10],
    [0x40000000, -0.6744897498297384],
    [0x10000000, -1.5341205434059566],
  ])('of word %i is %d', (word, expected) => {
    expect(Math.abs(normalQuantile(word) - expected)).toBeLessThanOrEqual(1e-14 * Math.abs(expected) + 1e-24)
  })
})

describe('dropout', () => {
  it('reads a transposed input', () => {
    const data = Float32Array.from({ length: 12 }, (_, i) => i + 1)
    const x: HostView = { data, dtype: 'float32', offset: 0, shape: [4, 3], strides: [1, 4] }
    const out: HostView = { data: new Float32Array(14), dtype: 'float32', offset: 2, shape: [4, 3], strides: [3, 1] }
    random.dropout({ out, x, random: position, p: 0 })
    expect([...out.data]).toEqual([0, 0, 1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12])
  })
  it('drops everything at p = 1 and a share of p between', () => {
    const x = vector(new Float32Array(20000).fill(2), 'float32')
    const out = vector(new Float32Array(20000), 'float32')
    random.dropout({ out, x, random: position, p: 1 })
    expect(out.data.every((value) => value === 0)).toBe(true)
    random.dropout({ out, x, random: position, p: 0.25 })
    const kept = [...out.data].filter((value) => value !== 0)
    expect(new Set(kept)).toEqual(new Set([Math.fround(2 / 0.75)]))
    expect(Math.abs(kept.length / 20000 - 0.75)).toBeLessThan(0.02)
  })
})

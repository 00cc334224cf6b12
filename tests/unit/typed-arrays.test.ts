/**
 * Tensors from JavaScript's containers of numbers: arrays of every kind, realm and buffer, and numbers that a dtype may
 * not hold.
 */
import vm from 'node:vm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as f from '../../lib/index.js'
import { deviceNames } from '../suites/support.js'

const kinds = {
  Float32Array: 'float32',
  Float64Array: 'float32',
  Int32Array: 'int32',
  Uint8Array: 'uint8',
  Uint8ClampedArray: 'uint8',
  Int8Array: 'int32',
  Int16Array: 'int32',
  Uint32Array: 'int32',
  BigInt64Array: 'int32',
  BigUint64Array: 'int32',
} as const
type Kind = keyof typeof kinds
const names = Object.keys(kinds) as Kind[]

const big = (kind: string) => kind.startsWith('Big')
const literal = (kind: string, values: readonly number[]) => values.map((v) => (big(kind) ? `${v}n` : `${v}`)).join()

/** An array of the kind, made by the expression of its constructor's argument, in this realm or another. */
function made(kind: string, argument: string, realm: 'here' | 'elsewhere' = 'here'): f.NumericArray {
  const text = `new ${kind}(${argument})`
  return (realm === 'here' ? vm.runInThisContext(text) : vm.runInNewContext(text)) as f.NumericArray
}

describe.each(deviceNames)('typed arrays on %s', (device) => {
  const before = f.defaultDevice()
  beforeAll(() => f.setDefaultDevice(device))
  afterAll(() => f.setDefaultDevice(before))

  const numbers = (x: f.Tensor) => [x.dtype, x.shape, [...x.dataSync()]]

  it.each(names)('%s of any realm gives its dtype, or the one that is named', (kind) => {
    for (const realm of ['here', 'elsewhere'] as const) {
      const array = made(kind, `[${literal(kind, [0, 1, 7])}]`, realm)
      expect(numbers(f.tensor(array))).toEqual([kinds[kind], [3], [0, 1, 7]])
      expect(numbers(f.fromTypedArray(array, [3, 1]))).toEqual([kinds[kind], [3, 1], [0, 1, 7]])
      for (const dtype of ['float32', 'bfloat16', 'float16', 'int32', 'uint8'] as const)
        expect(numbers(f.fromTypedArray(array, [3], { dtype }))).toEqual([dtype, [3], [0, 1, 7]])
      expect(numbers(f.tensor(array.subarray(0, 2), { dtype: 'bool' }))).toEqual(['bool', [2], [0, 1]])
      expect(() => f.tensor(array, { dtype: 'bool' })).toThrow(/^\[tensor\] 7 does not fit bool/)
      expect(numbers(f.tensor(array, { dtype: 'float64', device: 'reference' }))).toEqual(['float64', [3], [0, 1, 7]])
    }
  })

  it.each(names)('%s is copied out of shared and resizable memory, from where it begins', (kind) => {
    const bytes = made(kind, '1').byteLength * 4
    for (const buffer of [
      `new SharedArrayBuffer(${bytes})`,
      `new ArrayBuffer(${bytes}, { maxByteLength: ${2 * bytes} })`,
    ])
      for (const realm of ['here', 'elsewhere'] as const) {
        const array = made(kind, buffer, realm)
        ;(array as Int32Array).set([3, 5, 7].map((v) => (big(kind) ? BigInt(v) : v)) as number[], 1)
        const x = f.tensor(array.subarray(1, 3))
        ;(array as Int32Array).fill((big(kind) ? 9n : 9) as number)
        expect(numbers(x)).toEqual([kinds[kind], [2], [3, 5]])
      }
  })

  it.each([...names, 'Uint16Array'])('%s whose buffer is gone is refused, an empty one is not', (kind) => {
    const dtype = kind === 'Uint16Array' ? ({ dtype: 'float16' } as const) : {}
    const array = made(kind, '4')
    structuredClone(array, { transfer: [array.buffer as ArrayBuffer] })
    expect(() => f.fromTypedArray(array, [4], dtype)).toThrow(/^\[fromTypedArray\] .*detached/)
    expect(() => f.tensor(array, dtype)).toThrow(f.ValueError)
    const buffer = vm.runInThisContext('new ArrayBuffer(64, { maxByteLength: 64 })') as ArrayBuffer
    const cut = vm.runInThisContext(`(buffer) => new ${kind}(buffer, 32, 2)`)(buffer) as f.NumericArray
    ;(buffer as { resize?(size: number): void }).resize?.(16)
    expect(() => f.tensor(cut, dtype)).toThrow(f.ValueError)
    expect(f.tensor(made(kind, '0'), dtype).shape).toEqual([0])
  })

  it('take bytes of a Buffer, and refuse what is no array of numbers', () => {
    expect(numbers(f.tensor(Buffer.from([1, 255])))).toEqual(['uint8', [2], [1, 255]])
    const wrong = (value: unknown, message: RegExp) => {
      expect(() => f.fromTypedArray(value as Float32Array, [1])).toThrow(message)
      expect(() => f.tensor(value as Float32Array)).toThrow(/^\[tensor\] /)
    }
    wrong(new DataView(new ArrayBuffer(4)), /^\[fromTypedArray\] data must be a typed array, but is a DataView/)
    wrong(new ArrayBuffer(4), /is an ArrayBuffer/)
    wrong({ length: 1, 0: 1 }, /is an object/)
    wrong(new Set([1]), /is a Set/)
    wrong('1', /is '1'/)
    wrong(null, /is null/)
  })

  it('take the bits of 16-bit floats where their dtype is named', () => {
    const bits = made('Uint16Array', '[0x3c00, 0xc000]', 'elsewhere')
    expect(f.fromTypedArray(bits, [2], { dtype: 'float16' }).toArray()).toEqual([1, -2])
    expect(f.fromTypedArray(Uint16Array.of(0x3f80, 0xc000), [2], { dtype: 'bfloat16' }).toArray()).toEqual([1, -2])
    for (const options of [{}, { dtype: 'float32' }, { dtype: 'int32' }] as const)
      expect(() => f.fromTypedArray(bits, [2], options)).toThrow(/^\[fromTypedArray\] .*'bfloat16'.*Int32Array\.from/)
    expect(() => f.tensor([bits])).toThrow(/^\[tensor\] a Uint16Array in a list/)
  })

  it.skipIf(!('Float16Array' in globalThis))('take Float16Array as what it is', () => {
    const halves = made('Float16Array', '[1, -2.5]')
    expect(numbers(f.tensor(halves))).toEqual(['float16', [2], [1, -2.5]])
    expect(numbers(f.tensor(halves, { dtype: 'bfloat16' }))).toEqual(['bfloat16', [2], [1, -2.5]])
  })

  it('refuse numbers that an integer dtype does not hold, at both of its ends', () => {
    const ends = { int32: [-(2 ** 31), 2 ** 31 - 1], uint8: [0, 255], bool: [0, 1] } as const
    for (const [dtype, [low, high]] of Object.entries(ends) as [keyof typeof ends, readonly [number, number]][]) {
      const big = (value: number) => f.tensor(BigInt64Array.of(BigInt(value)), { dtype })
      const creations: readonly ((value: number) => f.Tensor)[] = [
        (value) => f.tensor([value], { dtype }),
        (value) => f.tensor(Float64Array.of(value), { dtype }),
        (value) => f.full([1], value, { dtype }),
        (value) => f.arange(value, value + 1, 1, { dtype }),
      ]
      // If there is a tensor already, its dtype is at fault as much as the number.
      const writes: readonly ((value: number) => f.Tensor)[] = [
        (value) => f.zeros([1], { dtype }).fill_(value),
        (value) => f.pad(f.zeros([0], { dtype }), [1, 0], value),
      ]
      for (const way of [...creations, ...writes, big])
        for (const value of [low, high]) expect(Number(way(value).item()), `${way}`).toBe(value)
      for (const value of [low - 1, high + 1, 0.5, Number.NaN]) {
        for (const way of value % 1 === 0 ? [...creations, big] : creations) {
          expect(() => way(value), `${way}`).toThrow(f.ValueError)
          // NaN makes no sequence at all.
          if (!Number.isNaN(value))
            expect(() => way(value)).toThrow(
              new RegExp(`^\\[\\w+\\] ${value} does not fit ${dtype}, .* ${low} to ${high}`),
            )
        }
        for (const way of writes) {
          expect(() => way(value), `${way}`).toThrow(f.DTypeError)
          expect(() => way(value)).toThrow(
            new RegExp(`^\\[(fill_|pad)\\] .* and ${value} do not mix: .* ${low} to ${high}`),
          )
        }
      }
    }
    expect(() => f.tensor(Uint32Array.of(2 ** 31))).toThrow(/2147483648 does not fit int32/)
    expect(() => f.tensor(BigUint64Array.of(2n ** 63n))).toThrow(/9223372036854775808 does not fit int32/)
    expect(() => f.fromTypedArray(Int32Array.of(256), [1], { dtype: 'uint8' })).toThrow(/256 does not fit uint8/)
    expect(f.fromTypedArray(BigInt64Array.of(2n ** 40n), [1], { dtype: 'float32' }).item()).toBe(2 ** 40)
  })

  it('round to floats, and beyond their range to infinity', () => {
    for (const make of [
      (v: number, dtype: f.DType) => f.full([1], v, { dtype }),
      (v: number, dtype: f.DType) => f.tensor([v], { dtype }),
      (v: number, dtype: f.DType) => f.fromTypedArray(Float64Array.of(v), [1], { dtype }),
    ]) {
      expect(make(1e39, 'float32').item()).toBe(Number.POSITIVE_INFINITY)
      expect(make(-1e5, 'float16').item()).toBe(Number.NEGATIVE_INFINITY)
      expect(make(0.1, 'float32').item()).toBe(Math.fround(0.1))
      expect(make(Number.NaN, 'bfloat16').item()).toBeNaN()
    }
  })

  it('convert by .to() with truncation and wrapping, NaN and infinities to 0', () => {
    const values = [
      Number.NaN,
      Infinity,
      -Infinity,
      3e9,
      -3e9,
      2 ** 31,
      -(2 ** 31),
      300.7,
      -1.5,
      256,
      0.5,
      -0.5,
      2 ** 40 + 2 ** 18,
    ]
    const wrapped = values.map((v) => v | 0)
    const x = f.tensor(values)
    expect([...x.to('int32').dataSync()]).toEqual(wrapped)
    expect([...x.to('uint8').dataSync()]).toEqual(wrapped.map((v) => v & 255))
    expect(x.to('bool').toArray()).toEqual(values.map((v) => v !== 0))
    expect(f.tensor([-1, 256, 300], { dtype: 'int32' }).to('uint8').toArray()).toEqual([255, 0, 44])
    // The array is longer than a vector, so that the kernel's fast path is compared with its rest.
    const many = Array.from({ length: 1003 }, (_, i) => (values[i % values.length] as number) * (1 + (i >> 6)))
    const rounded = many.map(Math.fround)
    expect([...f.tensor(many).to('int32').dataSync()]).toEqual(rounded.map((v) => v | 0))
    expect([...f.tensor(many).to('uint8').dataSync()]).toEqual(rounded.map((v) => v & 255))
  })
})

describe.each(deviceNames)('nested arrays on %s', (device) => {
  const make = (value: unknown, options: object = {}) => f.tensor(value as f.NestedArray, { device, ...options })

  it('may have typed arrays for rows, and lists of another realm', () => {
    const rows = make([Float32Array.of(1, 2), Float32Array.of(3, 4)])
    expect([rows.dtype, rows.toArray()]).toEqual([
      'float32',
      [
        [1, 2],
        [3, 4],
      ],
    ])
    expect(make([[Uint8Array.of(1)], [Uint8Array.of(2)]]).dtype).toBe('uint8')
    expect(make([Uint8Array.of(1), Int32Array.of(2)]).dtype).toBe('int32')
    expect(make([Uint8Array.of(1), [2]]).dtype).toBe('float32')
    expect(make([Float64Array.of(0.1)]).toArray()).toEqual([[Math.fround(0.1)]])
    expect(make([BigInt64Array.of(5n)], { dtype: 'uint8' }).toArray()).toEqual([[5]])
    expect(make([Uint8Array.of(0, 1)], { dtype: 'bool' }).toArray()).toEqual([[false, true]])
    expect(make(vm.runInNewContext('[[1, 2], new Float32Array([3, 4])]')).toArray()).toEqual([
      [1, 2],
      [3, 4],
    ])
    expect(() => make([Float32Array.of(1, 2), Float32Array.of(3)])).toThrow(/^\[tensor\] ragged .*depth 1 has 1 .* 2$/)
    expect(() =>
      make([
        [1, 2],
        [Float32Array.of(1), 2],
      ]),
    ).toThrow(/^\[tensor\] /)
    expect(() => make([[[1]], [Float32Array.of(1)], Float32Array.of(1)])).toThrow(f.ShapeError)
  })

  it('may hold nothing but numbers and booleans', () => {
    // biome-ignore lint/suspicious/noSparseArray: holes are what is tried
    for (const bad of [[1, , 3], ['1'], [[1], [null]], [1n], [undefined], [{}], [f.ones([1])], [Symbol('x')]])
      expect(() => make(bad)).toThrow(/^\[tensor\] .* is neither a number nor a boolean/)
    for (const bad of [undefined, null, 'text', new Map(), { length: 1, 0: 1 }, f.ones([1])])
      expect(() => make(bad)).toThrow(f.ValueError)
    expect(() => make([f.ones([1])])).toThrow(/a Tensor is neither .*stack\(\)/)
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(() => make(cycle)).toThrow(/^\[tensor\] .* deeper than 8/)
    let deep: unknown = 1
    for (let i = 0; i < 20_000; i++) deep = [deep]
    expect(() => make(deep)).toThrow(f.ShapeError)
    expect(() => make([1, [2]])).toThrow(/^\[tensor\] /)
    expect(() => make([[1], 2])).toThrow(/^\[tensor\] ragged/)
    expect(make([]).shape).toEqual([0])
    expect(make([[], []]).shape).toEqual([2, 0])
    expect(make(3).toArray()).toBe(3)
    expect(make([true, 2]).toArray()).toEqual([1, 2])
  })

  it('have a dtype and a device that there are', () => {
    expect(() => make([1], { dtype: 'int64' })).toThrow(/^\[tensor\] there is no dtype 'int64'; .*tensors have int32/)
    for (const dtype of ['nope', 5, null]) expect(() => make([1], { dtype })).toThrow(/^\[tensor\] there is no dtype/)
    for (const [given, named] of [
      [5, 'the number 5'],
      [null, 'null'],
      [{}, 'an object'],
    ])
      expect(() => make([1], { device: given })).toThrow(`[tensor] there is no device ${named}`)
    expect(() => make([1]).to('int64')).toThrow(/^\[to\] there is no dtype or device 'int64'/)
    expect(() => make([1], { requiresGrad: 'yes' })).toThrow(/^\[tensor\] requiresGrad is 'yes'/)
    expect(make([1], { requiresGrad: false }).requiresGrad).toBe(false)
  })
})

describe.each(deviceNames)('arange on %s', (device) => {
  it('counts no further than the dtype holds, by steps that it holds', () => {
    const counted = (start: number, end: number, step: number, dtype?: f.DType) => [
      ...f.arange(start, end, step, dtype === undefined ? { device } : { device, dtype }).dataSync(),
    ]
    expect(counted(2 ** 31 - 2, 2 ** 31, 1)).toEqual([2147483646, 2147483647])
    expect(() => counted(2 ** 31 - 2, 2 ** 31 + 1, 1)).toThrow(/^\[arange\] 2147483648 does not fit int32/)
    expect(() => counted(-(2 ** 31), -(2 ** 31) - 2, -1)).toThrow(/^\[arange\] -2147483649 does not fit int32/)
    expect(counted(2 ** 31, 2 ** 31 + 1024, 512, 'float32')).toEqual([2 ** 31, 2 ** 31 + 512])
    expect(() => counted(0, 1, 0.3, 'int32')).toThrow(/^\[arange\] 0\.3 does not fit int32/)
    expect(() => counted(0.5, 2, 1, 'int32')).toThrow(/^\[arange\] 0\.5 does not fit int32/)
    expect(counted(0, 2.5, 1, 'int32')).toEqual([0, 1, 2])
    expect(counted(253, 256, 1, 'uint8')).toEqual([253, 254, 255])
    expect(() => counted(253, 257, 1, 'uint8')).toThrow(/^\[arange\] 256 does not fit uint8/)
    expect(() => counted(0, 3, 1, 'bool')).toThrow(/^\[arange\] 2 does not fit bool/)
    expect(counted(3, 0, 1)).toEqual([])
    for (const [start, end, step] of [
      [0, Number.POSITIVE_INFINITY, 1],
      [0, 1, 0],
      [Number.NaN, 1, 1],
      [0, 1, Number.NaN],
    ] as const)
      expect(() => counted(start, end, step)).toThrow(f.ValueError)
    expect(() => f.arange('5' as never)).toThrow(/^\[arange\] end is '5'/)
  })
})

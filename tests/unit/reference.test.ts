/** The reference kernels against values computed by hand. The goldens compare whole operators with PyTorch's. */
import { describe, expect, it } from 'vitest'
import { erf } from '../../lib/backend/reference/erf.js'
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from '../../lib/backend/reference/half.js'
import { referenceKernels } from '../../lib/backend/reference/kernels.js'
import type { HostView } from '../../lib/backend/reference/view.js'
import { type KernelName, kernelNames, kernels, parseArguments } from '../../lib/backend/table/index.js'
import { type DType, dtypes } from '../../lib/core/dtype.js'
import { IndexOutOfRangeError } from '../../lib/core/errors.js'
import { countOf, denseStrides } from '../../lib/core/shape.js'

type Layout = Partial<Pick<HostView, 'offset' | 'strides'>>

function view(dtype: DType, shape: number[], values: readonly number[], layout: Layout = {}): HostView {
  const { offset = 0, strides = denseStrides(shape) } = layout
  const data = new dtypes[dtype].Array(values.length)
  data.set(values)
  return { data, dtype, offset, shape, strides }
}
const k = referenceKernels()
const f32 = (shape: number[], values: readonly number[], layout?: Layout) => view('float32', shape, values, layout)
const i32 = (shape: number[], values: readonly number[], layout?: Layout) => view('int32', shape, values, layout)
/** An output with a guard element before and after, which no kernel may touch. */
function output(dtype: DType, shape: number[]): HostView {
  return view(dtype, shape, new Array<number>(countOf(shape) + 2).fill(77), { offset: 1 })
}
function values(out: HostView): number[] {
  const n = countOf(out.shape)
  if (out.data.length === n + 2) expect([out.data[0], out.data[n + 1]]).toEqual([77, 77])
  return Array.from(out.data.subarray(out.offset, out.offset + n))
}
function run(shape: number[], kernel: (out: HostView) => void, dtype: DType = 'float32'): number[] {
  const out = output(dtype, shape)
  kernel(out)
  return values(out)
}
function close(actual: number[], expected: number[], digits = 6): void {
  expect(actual).toHaveLength(expected.length)
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i] as number, digits)
}
const { NaN: nan, POSITIVE_INFINITY: inf } = Number
/** [[1, 2, 3], [4, 5, 6]] as a transposed view of memory, after one unrelated element. */
const transposed = () => f32([2, 3], [99, 1, 4, 2, 5, 3, 6], { offset: 1, strides: [1, 2] })
const range = (n: number, f = (i: number) => i) => Array.from({ length: n }, (_, i) => f(i))

describe('elementwise', () => {
  const on = (
    name: 'relu' | 'sign' | 'square' | 'abs' | 'neg' | 'floor' | 'sigmoid' | 'silu' | 'hardswish',
    x: number[],
  ) => run([x.length], (out) => k[name]({ out, x: f32([x.length], x) }))

  it('reads strided and broadcast arguments', () => {
    const row = f32([2, 3], [10, 20, 30], { strides: [0, 1] })
    expect(run([2, 3], (out) => k.add({ out, a: transposed(), b: row }))).toEqual([11, 22, 33, 14, 25, 36])
    expect(run([2, 3], (out) => k.sub({ out, a: row, b: transposed() }))).toEqual([9, 18, 27, 6, 15, 24])
    expect(run([2, 3], (out) => k.exp({ out, x: f32([2, 3], [0], { strides: [0, 0] }) }))).toEqual([1, 1, 1, 1, 1, 1])
    const every2nd = f32([2, 2], range(8), { strides: [4, 2] })
    expect(run([2, 2], (out) => k.square({ out, x: every2nd }))).toEqual([0, 4, 16, 36])
  })

  it('takes empty tensors and scalars', () => {
    expect(run([0, 3], (out) => k.add({ out, a: f32([0, 3], []), b: f32([0, 3], []) }))).toEqual([])
    expect(run([], (out) => k.mul({ out, a: f32([], [3]), b: f32([], [4]) }))).toEqual([12])
    expect(run([1, 1], (out) => k.neg({ out, x: f32([1, 1], [2]) }))).toEqual([-2])
  })

  it('wraps integers as the machine does', () => {
    const [a, b] = [i32([2], [2147483647, 1000003]), i32([2], [1, 1000033])]
    expect(run([2], (out) => k.add({ out, a, b }), 'int32')).toEqual([-2147483648, 2000036])
    expect(run([2], (out) => k.mul({ out, a, b }), 'int32')).toEqual([2147483647, Math.imul(1000003, 1000033)])
    expect(run([1], (out) => k.square({ out, x: i32([1], [65537]) }), 'int32')).toEqual([131073])
    expect(run([1], (out) => k.abs({ out, x: i32([1], [-2147483648]) }), 'int32')).toEqual([-2147483648])
    expect(run([1], (out) => k.affine({ out, x: i32([1], [7]), scale: -3, shift: 5 }), 'int32')).toEqual([-16])
  })

  it('propagates NaN, divides by zero, and keeps the signs of PyTorch', () => {
    expect(run([3], (out) => k.maximum({ out, a: f32([3], [nan, 1, 2]), b: f32([3], [1, nan, 3]) }))).toEqual([
      nan,
      nan,
      3,
    ])
    expect(run([3], (out) => k.div({ out, a: f32([3], [1, -1, 0]), b: f32([3], [0, 0, 0]) }))).toEqual([inf, -inf, nan])
    expect(on('relu', [nan, -1, 0, 2])).toEqual([nan, 0, 0, 2])
    expect(on('sign', [nan, -0, -3, inf])).toEqual([0, 0, -1, 1])
    expect(on('floor', [-0.5, 1.5, -inf])).toEqual([-1, 1, -inf])
    const clamped = run([4], (out) => k.clamp({ out, x: f32([4], [nan, -5, 0.5, 5]), min: -1, max: 1 }))
    expect(clamped).toEqual([nan, -1, 0.5, 1])
  })

  it('knows the special powers', () => {
    const a = f32([6], [1, -1, 0, 0, -8, nan])
    const b = f32([6], [nan, inf, -1, 0, 1 / 3, 0])
    expect(run([6], (out) => k.pow({ out, a, b }))).toEqual([1, 1, inf, 1, nan, 1])
    expect(run([3], (out) => k.pow_scalar({ out, x: f32([3], [4, 9, 0]), exponent: -0.5 }))).toEqual([
      0.5,
      Math.fround(1 / 3),
      inf,
    ])
  })

  it('compares every dtype and selects by the result', () => {
    const bf16 = view('bfloat16', [3], [1, -2, 0].map(toBfloat16))
    const zero = view('bfloat16', [3], [0], { strides: [0] })
    expect(run([3], (out) => k.gt({ out, a: bf16, b: zero }), 'bool')).toEqual([1, 0, 0])
    expect(run([3], (out) => k.le({ out, a: bf16, b: zero }), 'bool')).toEqual([0, 1, 1])
    expect(run([2], (out) => k.eq({ out, a: f32([2], [nan, 1]), b: f32([2], [nan, 1]) }), 'bool')).toEqual([0, 1])
    expect(run([2], (out) => k.ne({ out, a: f32([2], [nan, 1]), b: f32([2], [nan, 1]) }), 'bool')).toEqual([1, 0])
    const condition = view('bool', [2, 3], [1, 0], { strides: [1, 0] })
    const chosen = run([2, 3], (out) =>
      k.where({ out, condition, a: transposed(), b: f32([2, 3], [0], { strides: [0, 0] }) }),
    )
    expect(chosen).toEqual([1, 2, 3, 0, 0, 0])
  })

  it('has the activations and their derivatives', () => {
    close(on('sigmoid', [0, 2, -1000]), [0.5, 0.8807971, 0])
    close(on('silu', [1, -2]), [0.7310586, -0.2384058])
    close(on('hardswish', [-4, -1, 1, 4]), [0, -1 / 3, 2 / 3, 4])
    const x = f32([2], [1, -2])
    const dy = f32([2], [2, 2])
    close(
      run([2], (out) => k.gelu({ out, x, tanhApproximation: false })),
      [0.8413447, -0.0455003],
    )
    close(
      run([2], (out) => k.gelu({ out, x, tanhApproximation: true })),
      [0.841192, -0.0454023],
    )
    close(
      run([2], (out) => k.mish({ out, x })),
      [0.8650984, -0.2525015],
    )
    close(
      run([2], (out) => k.elu({ out, x, alpha: 2 })),
      [1, 2 * Math.expm1(-2)],
    )
    close(
      run([2], (out) => k.leaky_relu({ out, x, slope: 0.1 })),
      [1, -0.2],
    )
    expect(run([2], (out) => k.softplus({ out, x: f32([2], [3, 0]), beta: 10, threshold: 20 }))).toEqual([
      3,
      Math.fround(Math.LN2 / 10),
    ])
    expect(run([4], (dx) => k.relu_backward({ dx, dy: f32([4], [1, 2, 3, 4]), y: f32([4], [nan, -1, 0, 2]) }))).toEqual(
      [1, 0, 0, 4],
    )
    close(
      run([2], (dx) => k.sigmoid_backward({ dx, dy, y: f32([2], [0.5, 0.9]) })),
      [0.5, 0.18],
    )
    close(
      run([2], (dx) => k.tanh_backward({ dx, dy, y: f32([2], [0.5, 1]) })),
      [1.5, 0],
    )
    close(
      run([2], (dx) => k.clamp_backward({ dx, dy, x, min: -2, max: 0 })),
      [0, 2],
    )
  })

  /** Kernels of one tensor with a gradient kernel that reads x or y, from the table. */
  const differentiable = kernelNames.flatMap((name) => {
    const tensors = (kernel: string) =>
      parseArguments(kernels[kernel as KernelName])
        .flatMap((argument) => (argument.dtype === null ? [] : [argument.name]))
        .join()
    const backward = `${name}_backward`
    if (tensors(name) !== 'out,x' || !Object.hasOwn(kernels, backward)) return []
    const reads = /^dx,dy,([xy])$/.exec(tensors(backward))?.[1]
    return reads === undefined ? [] : [[name, reads] as const]
  })

  it.each(differentiable)('%s agrees with finite differences in float64', (name, reads) => {
    const options = { beta: 2, threshold: 20, alpha: 0.7, slope: 0.1, min: -1, max: 2, dim: 0 }
    const points = [-3.5, -2, -0.4, 0.3, 1.1, 4]
    const at = (h: number) =>
      view(
        'float64',
        [6],
        points.map((p) => p + h),
      )
    const one = view('float64', [6], [1], { strides: [0] })
    const call = (kernel: string, args: object) =>
      (k as unknown as { [name: string]: (args: object) => void })[kernel]?.(args)
    for (const tanhApproximation of [true, false]) {
      const more = { ...options, tanhApproximation }
      for (const { name: option } of parseArguments(kernels[name]))
        if (option !== 'out' && option !== 'x') expect(Object.keys(more), `${name} has an option`).toContain(option)
      const f = (h: number) => run([6], (out) => call(name, { out, x: at(h), ...more }), 'float64')
      const [above, below] = [f(1e-5), f(-1e-5)]
      const given = reads === 'x' ? at(0) : view('float64', [6], f(0))
      const derivative = run([6], (dx) => call(`${name}_backward`, { dx, dy: one, [reads]: given, ...more }), 'float64')
      close(
        derivative,
        above.map((y, i) => (y - (below[i] as number)) / 2e-5),
        8,
      )
    }
  })

  it('finds the kernels whose gradients are kernels', () => {
    expect(differentiable.map(([name]) => name)).toEqual(expect.arrayContaining(['silu', 'gelu', 'clamp', 'tanh']))
  })

  it('has erf to double precision', () => {
    const known: [number, number][] = [
      [0.1, 0.1124629160182849],
      [0.5, 0.5204998778130465],
      [1, 0.8427007929497149],
      [2, 0.9953222650189527],
      [5, 0.9999999999984626],
    ]
    for (const [x, y] of known) {
      expect(Math.abs(erf(x) - y)).toBeLessThan(2.3e-16)
      expect(erf(-x)).toBe(-erf(x))
    }
    expect([erf(inf), erf(-inf), erf(nan), erf(0)]).toEqual([1, -1, nan, 0])
  })
})

describe('shape', () => {
  it('rounds 16-bit floats to nearest, ties to even', () => {
    expect([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -inf].map((x) => fromBfloat16(toBfloat16(x)))).toEqual([
      1,
      1,
      1 + 2 ** -6,
      -inf,
    ])
    const halves = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -24, 2 ** -25, 3 * 2 ** -25, -0, nan]
    expect(halves.map((x) => fromFloat16(toFloat16(x)))).toEqual([
      1,
      1 + 2 ** -9,
      65504,
      inf,
      2 ** -24,
      0,
      2 ** -23,
      -0,
      nan,
    ])
    for (let bits = 0; bits < 0x7c00; bits++) if (toFloat16(fromFloat16(bits)) !== bits) expect.fail(`float16 ${bits}`)
  })

  it('copies and converts', () => {
    expect(run([2, 3], (out) => k.copy({ out, x: transposed() }))).toEqual([1, 2, 3, 4, 5, 6])
    const x = f32([4], [1.9, -1.9, 0, nan])
    expect(run([4], (out) => k.copy({ out, x }), 'int32')).toEqual([1, -1, 0, 0])
    expect(run([4], (out) => k.copy({ out, x }), 'bool')).toEqual([1, 1, 0, 1])
    expect(run([2], (out) => k.copy({ out, x: f32([2], [1.5, -2]) }), 'float16')).toEqual([0x3e00, 0xc000])
    expect(run([2], (out) => k.copy({ out, x: view('float16', [2], [0x3e00, 0xc000]) }), 'float64')).toEqual([1.5, -2])
    expect(run([1], (out) => k.copy({ out, x: view('float16', [1], [0x3e00]) }), 'bfloat16')).toEqual([0x3fc0])
    expect(run([0], (out) => k.copy({ out, x: f32([0], []) }))).toEqual([])
  })

  it('writes and accumulates through strides', () => {
    const dst = f32([2, 2], range(8), { offset: 1, strides: [1, 4] })
    k.copy_into({ dst, src: f32([2, 2], [10, 20], { strides: [0, 1] }) })
    expect(Array.from(dst.data)).toEqual([0, 10, 10, 3, 4, 20, 20, 7])
    k.accumulate({ dst, src: f32([2, 2], [1, 2, 3, 4]) })
    expect(Array.from(dst.data)).toEqual([0, 11, 13, 3, 4, 22, 24, 7])
  })

  it('fills, counts and joins', () => {
    expect(run([2, 2], (out) => k.fill({ out, value: 1.5 }))).toEqual([1.5, 1.5, 1.5, 1.5])
    expect(run([2], (out) => k.fill({ out, value: 2 }), 'bool')).toEqual([1, 1])
    expect(run([2], (out) => k.fill({ out, value: -2 }), 'bfloat16')).toEqual([0xc000, 0xc000])
    expect(run([3], (out) => k.arange({ out, start: 5, step: -2 }), 'int32')).toEqual([5, 3, 1])
    const column = f32([2, 1], [7, 8])
    const inputs = [transposed(), f32([2, 0], []), column]
    expect(run([2, 4], (out) => k.cat({ out, inputs, dim: 1 }))).toEqual([1, 2, 3, 7, 4, 5, 6, 8])
    expect(run([3, 3], (out) => k.cat({ out, inputs: [transposed(), f32([1, 3], [7, 8, 9])], dim: 0 }))).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9,
    ])
  })
})

describe('reduce', () => {
  it('sums over any dimensions', () => {
    const x = transposed()
    expect(run([1, 3], (out) => k.sum({ out, x, scale: 0.5 }))).toEqual([2.5, 3.5, 4.5])
    expect(run([2, 1], (out) => k.sum({ out, x, scale: 1 }))).toEqual([6, 15])
    expect(run([1, 1], (out) => k.sum({ out, x, scale: 1 }))).toEqual([21])
    expect(run([1, 2, 1], (out) => k.sum({ out, x: f32([2, 2, 2], range(8)), scale: 1 }))).toEqual([10, 18])
    expect(run([1, 2], (out) => k.sum({ out, x: f32([0, 2], []), scale: 1 }))).toEqual([0, 0])
    expect(run([1], (out) => k.sum({ out, x: i32([2], [2147483646, 1]), scale: 1 }), 'int32')).toEqual([2147483647])
    expect(() => run([1], (out) => k.sum({ out, x: i32([2], [2147483647, 1]), scale: 1 }), 'int32')).toThrow(
      '[sum] a sum is beyond what int32 holds',
    )
    expect(run([1], (out) => k.sum({ out, x: f32([1001], [2 ** 24, ...range(1000, () => 1)]), scale: 1 }))).toEqual([
      16778216,
    ])
  })

  it('finds extremes and their places', () => {
    const x = f32([2, 3], [1, 5, 5, nan, 9, nan])
    expect(run([2, 1], (out) => k.amax({ out, x }))).toEqual([5, nan])
    expect(run([1, 3], (out) => k.amin({ out, x }))).toEqual([nan, 5, nan])
    expect(run([2, 1], (out) => k.argmax({ out, x, dim: 1 }), 'int32')).toEqual([1, 0])
    expect(run([1, 3], (out) => k.argmin({ out, x, dim: 0 }), 'int32')).toEqual([1, 0, 1])
    expect(run([1, 3], (out) => k.argmax({ out, x: transposed(), dim: 0 }), 'int32')).toEqual([1, 1, 1])
    expect(run([1], (out) => k.amax({ out, x: i32([2], [-7, -9]) }), 'int32')).toEqual([-7])
  })

  it('sums up from either end', () => {
    const x = f32(
      [2, 3],
      range(6, (i) => i + 1),
    )
    expect(run([2, 3], (out) => k.cumsum({ out, x, dim: 1, reverse: false }))).toEqual([1, 3, 6, 4, 9, 15])
    expect(run([2, 3], (out) => k.cumsum({ out, x, dim: 1, reverse: true }))).toEqual([6, 5, 3, 15, 11, 6])
    expect(run([2, 3], (out) => k.cumsum({ out, x, dim: 0, reverse: true }))).toEqual([5, 7, 9, 4, 5, 6])
  })
})

describe('indexing', () => {
  const x = f32(
    [2, 3],
    range(6, (i) => i + 1),
  )

  it('selects and adds back', () => {
    const index = i32([4], [2, 0, 2, 1])
    expect(run([2, 4], (out) => k.index_select({ out, x, index, dim: 1 }))).toEqual([3, 1, 3, 2, 6, 4, 6, 5])
    const dy = f32(
      [4, 2],
      range(8, (i) => i + 1),
    )
    expect(run([3, 2], (dx) => k.index_add({ dx, dy, index, dim: 0, skip: -1 }))).toEqual([3, 4, 7, 8, 6, 8])
    expect(run([3, 2], (dx) => k.index_add({ dx, dy, index, dim: 0, skip: 2 }))).toEqual([3, 4, 7, 8, 0, 0])
    expect(run([2, 0], (out) => k.index_select({ out, x, index: i32([0], []), dim: 1 }))).toEqual([])
  })

  it('gathers and scatters, where index may be smaller', () => {
    const index = i32([1, 2], [2, 0])
    expect(run([1, 2], (out) => k.gather({ out, x, index, dim: 1 }))).toEqual([3, 1])
    const rows = i32([2, 2], [1, 0, 1, 1])
    expect(run([2, 2], (out) => k.gather({ out, x, index: rows, dim: 0 }))).toEqual([4, 2, 4, 5])
    const dy = f32([2, 2], [1, 2, 3, 4])
    expect(run([2, 3], (dx) => k.scatter_add({ dx, dy, index: rows, dim: 0 }))).toEqual([0, 2, 0, 4, 4, 0])
  })

  it('throws when an index is out of range', () => {
    const index = i32([2], [0, 3])
    expect(() => run([2, 2], (out) => k.index_select({ out, x, index, dim: 1 }))).toThrow(IndexOutOfRangeError)
    expect(() => run([2, 2], (out) => k.index_select({ out, x, index, dim: 1 }))).toThrow(
      /index 3 .* dimension 1 of size 3/,
    )
    expect(() => run([1, 1], (out) => k.gather({ out, x, index: i32([1, 1], [-1]), dim: 0 }))).toThrow(
      IndexOutOfRangeError,
    )
  })
})

describe('matmul', () => {
  it('multiplies dense, transposed and broadcast matrices', () => {
    const b = f32([3, 2], [1, 0, 0, 1, 1, 1])
    expect(run([2, 2], (out) => k.matmul({ out, a: transposed(), b, bias: null }))).toEqual([4, 5, 10, 11])
    expect(run([2, 2], (out) => k.matmul({ out, a: transposed(), b, bias: f32([2], [10, 20]) }))).toEqual([
      14, 25, 20, 31,
    ])
    const batch = f32([2, 1, 3], [1, 2, 3, 4, 5, 6])
    const shared = { ...b, shape: [2, 3, 2], strides: [0, 2, 1] }
    expect(run([2, 1, 2], (out) => k.matmul({ out, a: batch, b: shared, bias: null }))).toEqual([4, 5, 10, 11])
    const one = { ...transposed(), shape: [2, 2, 3], strides: [0, 1, 2] }
    expect(run([2, 2, 2], (out) => k.matmul({ out, a: one, b: shared, bias: null }))).toEqual([
      4, 5, 10, 11, 4, 5, 10, 11,
    ])
  })

  it('takes bfloat16 on either side and gives it, summing in float32', () => {
    const half = (shape: number[], numbers: readonly number[]) => view('bfloat16', shape, numbers.map(toBfloat16))
    const [a, b] = [f32([1, 3], [256, 1, 0.5]), f32([3, 2], [1, 0, 1, 1, 0, 2])]
    const [halfA, halfB] = [half([1, 3], [256, 1, 0.5]), half([3, 2], [1, 0, 1, 1, 0, 2])]
    for (const [left, right] of [
      [halfA, b],
      [a, halfB],
      [halfA, halfB],
    ] as const) {
      const bias = half([2], [0.5, 0])
      expect(run([1, 2], (out) => k.matmul({ out, a: left, b: right, bias }))).toEqual([257.5, 2])
      // 257.5 lies between the bfloat16 numbers 256 and 258.
      const out = run([1, 2], (out) => k.matmul({ out, a: left, b: right, bias }), 'bfloat16')
      expect(out.map(fromBfloat16)).toEqual([258, 2])
    }
  })

  it('takes empty sizes', () => {
    const bias = f32([2], [3, 4])
    expect(run([2, 2], (out) => k.matmul({ out, a: f32([2, 0], []), b: f32([0, 2], []), bias }))).toEqual([3, 4, 3, 4])
    expect(run([0, 2], (out) => k.matmul({ out, a: f32([0, 3], []), b: f32([3, 2], range(6)), bias }))).toEqual([])
  })

  it('is exact on integers at ragged sizes and beyond a block', () => {
    for (const [M, K, N] of [
      [1, 1, 1],
      [5, 3, 2],
      [1, 7, 33],
      [31, 32, 33],
      [9, 70000, 9],
      [3, 5000, 150],
    ] as const) {
      const a = range(M * K, (i) => ((i * 7) % 11) - 5)
      const b = range(K * N, (i) => ((i * 5) % 13) - 6)
      const expected = range(M * N, (e) => {
        let sum = 0
        for (let i = 0; i < K; i++) sum += (a[Math.floor(e / N) * K + i] as number) * (b[i * N + (e % N)] as number)
        return sum
      })
      expect(run([M, N], (out) => k.matmul({ out, a: f32([M, K], a), b: f32([K, N], b), bias: null }))).toEqual(
        expected,
      )
    }
  })
})

describe('conv', () => {
  const plain = { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }

  it('convolves by hand', () => {
    const x = f32(
      [1, 1, 3, 3],
      range(9, (i) => i + 1),
    )
    const weight = f32([1, 1, 2, 2], [1, 0, 0, -1])
    const forward = (options: Partial<typeof plain>, shape: number[]) =>
      run(shape, (out) => k.conv2d_forward({ out, x, weight, bias: f32([1], [10]), relu: false, ...plain, ...options }))
    expect(forward({}, [1, 1, 2, 2])).toEqual([6, 6, 6, 6])
    expect(forward({ padding: [1, 1], stride: [2, 2] }, [1, 1, 2, 2])).toEqual([9, 7, 3, 6])
    expect(forward({ dilation: [2, 2] }, [1, 1, 1, 1])).toEqual([2])
  })

  it('is its own definition, and its gradients are its transposes', () => {
    const cases: { x: number[]; w: number[]; options: Partial<typeof plain> }[] = [
      { x: [2, 3, 5, 4], w: [5, 3, 3, 2], options: {} },
      { x: [2, 4, 7, 6], w: [6, 2, 3, 3], options: { stride: [2, 3], padding: [1, 2], groups: 2 } },
      { x: [1, 4, 8, 9], w: [4, 1, 2, 3], options: { dilation: [2, 3], padding: [2, 1], groups: 4 } },
      { x: [1, 2, 9, 8], w: [3, 2, 3, 2], options: { stride: [3, 2], dilation: [2, 3], padding: [0, 3] } },
      { x: [3, 2, 5, 5], w: [2, 2, 1, 1], options: { stride: [2, 2] } },
      { x: [0, 2, 5, 5], w: [2, 2, 3, 3], options: {} },
    ]
    for (const { x: xs, w: ws, options } of cases) {
      const o = { ...plain, ...options }
      const [N, C, H, W] = xs as [number, number, number, number]
      const [O, I, R, S] = ws as [number, number, number, number]
      const [strideH, strideW] = o.stride as [number, number]
      const [padH, padW] = o.padding as [number, number]
      const [dilationH, dilationW] = o.dilation as [number, number]
      const P = Math.floor((H + 2 * padH - (R - 1) * dilationH - 1) / strideH) + 1
      const Q = Math.floor((W + 2 * padW - (S - 1) * dilationW - 1) / strideW) + 1
      const x = f32(
        xs,
        range(countOf(xs), (i) => ((i * 7) % 11) - 5),
      )
      const weight = f32(
        ws,
        range(countOf(ws), (i) => ((i * 5) % 7) - 3),
      )
      const dy = f32(
        [N, O, P, Q],
        range(N * O * P * Q, (i) => ((i * 3) % 5) - 2),
      )
      const y = range(N * O * P * Q, () => 0)
      const dx = range(countOf(xs), () => 0)
      const dweight = range(countOf(ws), () => 0)
      const add = (to: number[], i: number, value: number) => {
        to[i] = (to[i] as number) + value
      }
      for (let e = 0; e < y.length; e++) {
        const [q, p, out, n] = [e % Q, Math.floor(e / Q) % P, Math.floor(e / Q / P) % O, Math.floor(e / Q / P / O)]
        const group = Math.floor(out / (O / o.groups))
        for (let t = 0; t < I * R * S; t++) {
          const h = p * strideH - padH + (Math.floor(t / S) % R) * dilationH
          const w = q * strideW - padW + (t % S) * dilationW
          if (h < 0 || h >= H || w < 0 || w >= W) continue
          const at = ((n * C + group * I + Math.floor(t / S / R)) * H + h) * W + w
          const tap = out * I * R * S + t
          add(y, e, (x.data[at] as number) * (weight.data[tap] as number))
          add(dx, at, (dy.data[e] as number) * (weight.data[tap] as number))
          add(dweight, tap, (dy.data[e] as number) * (x.data[at] as number))
        }
      }
      const plus0 = (list: number[]) => list.map((value) => value + 0)
      expect(
        plus0(run([N, O, P, Q], (out) => k.conv2d_forward({ out, x, weight, bias: null, relu: false, ...o }))),
      ).toEqual(plus0(y))
      expect(plus0(run(xs, (out) => k.conv2d_input_gradient({ dx: out, dy, weight, ...o })))).toEqual(plus0(dx))
      expect(plus0(run(ws, (out) => k.conv2d_weight_gradient({ dweight: out, dy, x, ...o })))).toEqual(plus0(dweight))
    }
  })
})

describe('pool', () => {
  const x = f32([1, 1, 3, 3], [1, 2, nan, 4, 4, 6, 7, 8, 9])
  const two = { kernel: [2, 2], stride: [1, 1], padding: [0, 0], dilation: [1, 1] }

  it('takes the first largest, and NaN before all', () => {
    const indices = output('int32', [1, 1, 2, 2])
    expect(run([1, 1, 2, 2], (out) => k.max_pool2d_forward({ out, indices, x, ...two }))).toEqual([4, nan, 8, 9])
    expect(values(indices)).toEqual([3, 2, 7, 8])
    const dy = f32([1, 1, 2, 2], [1, 2, 3, 4])
    expect(run([1, 1, 3, 3], (dx) => k.max_pool2d_backward({ dx, dy, indices }))).toEqual([0, 0, 2, 1, 0, 0, 0, 3, 4])
  })

  it('never lets padding win', () => {
    const indices = output('int32', [1, 1, 2, 2])
    const negative = f32([1, 1, 2, 2], [-1, -2, -3, -4])
    const options = { ...two, stride: [2, 2], padding: [1, 1] }
    expect(run([1, 1, 2, 2], (out) => k.max_pool2d_forward({ out, indices, x: negative, ...options }))).toEqual([
      -1, -2, -3, -4,
    ])
    expect(values(indices)).toEqual([0, 1, 2, 3])
  })

  it('averages with and without padding', () => {
    const image = f32([1, 1, 2, 2], [4, 8, 12, 16])
    const options = { kernel: [2, 2], stride: [2, 2], padding: [1, 1], divisor: 0 }
    const forward = (countIncludePad: boolean) =>
      run([1, 1, 2, 2], (out) => k.avg_pool2d_forward({ out, x: image, ...options, countIncludePad }))
    expect(forward(true)).toEqual([1, 2, 3, 4])
    expect(forward(false)).toEqual([4, 8, 12, 16])
    const halved = run([1, 1, 2, 2], (out) =>
      k.avg_pool2d_forward({ out, x: image, ...options, countIncludePad: true, divisor: 2 }),
    )
    expect(halved).toEqual([2, 4, 6, 8])
    const dy = f32([1, 1, 2, 2], [4, 4, 4, 8])
    const dx = run([1, 1, 2, 2], (dx) => k.avg_pool2d_backward({ dx, dy, ...options, countIncludePad: true }))
    expect(dx).toEqual([1, 1, 1, 2])
  })
})

describe('softmax', () => {
  const x = f32([2, 2], [1000, 1000, 0, Math.log(3)])

  it('does not overflow, along any dimension', () => {
    close(
      run([2, 2], (out) => k.softmax_forward({ out, x, dim: 1 })),
      [0.5, 0.5, 0.25, 0.75],
    )
    close(
      run([2, 2], (out) => k.softmax_forward({ out, x, dim: 0 })),
      [1, 1, 0, 0],
    )
    close(
      run([2, 2], (out) => k.log_softmax_forward({ out, x, dim: 1 })),
      [0.5, 0.5, 0.25, 0.75].map(Math.log),
    )
    expect(run([1, 2], (out) => k.softmax_forward({ out, x: f32([1, 2], [-inf, 0]), dim: 1 }))).toEqual([0, 1])
    expect(run([1, 2], (out) => k.softmax_forward({ out, x: f32([1, 2], [nan, 0]), dim: 1 }))).toEqual([nan, nan])
    expect(run([2, 0], (out) => k.softmax_forward({ out, x: f32([2, 0], []), dim: 1 }))).toEqual([])
  })

  it('goes backward', () => {
    const dy = f32([1, 2], [1, 3])
    close(
      run([1, 2], (dx) => k.softmax_backward({ dx, dy, y: f32([1, 2], [0.25, 0.75]), dim: 1 })),
      [-0.375, 0.375],
    )
    const y = f32([1, 2], [0.25, 0.75].map(Math.log))
    close(
      run([1, 2], (dx) => k.log_softmax_backward({ dx, dy, y, dim: 1 })),
      [0, 0],
    )
  })
})

describe('optimizer', () => {
  it('measures and clips', () => {
    const tensors = [f32([2], [3, 0]), f32([1], [4])]
    const norm = (p: number) => run([], (out) => k.total_norm({ out, tensors, p }))
    expect([norm(2), norm(1), norm(inf)]).toEqual([[5], [7], [4]])
    k.clip_scale({ tensors, norm: f32([], [5]), maxNorm: 10 })
    expect([...(tensors[0] as HostView).data]).toEqual([3, 0])
    k.clip_scale({ tensors, norm: f32([], [5]), maxNorm: 1 })
    close([...(tensors[0] as HostView).data], [0.6, 0])
    expect(run([], (out) => k.total_norm({ out, tensors: [], p: 2 }))).toEqual([0])
  })
})

/**
 * Compares the kernels of single elements, and copies, of the CUDA device with the reference device, which uses float64
 * where the kernel's dtype is float32. Prints how many agree. Any difference ends the process with an error. cases.ts
 * has the other kernels.
 */
import { kernelOf } from '../../lib/backend/call.js'
import { device } from '../../lib/backend/devices.js'
import { isHalf, narrow, widen } from '../../lib/backend/reference/half.js'
import { every } from '../../lib/backend/table/grammar.js'
import { familyOf, type KernelSpec, kernelNames, kernels, parseArguments } from '../../lib/backend/table/index.js'
import type { Device, KernelCall, StridedView } from '../../lib/core/device.js'
import { type DType, dtypes } from '../../lib/core/dtype.js'

const gpu = device('cuda')
const reference = device('reference')

/** The layout of an operand's elements if the result has the shape `shape`. */
interface Layout {
  readonly shape: readonly number[]
  readonly strides: readonly (readonly number[])[]
  /** The number of elements before the first one, which changes the alignment. */
  readonly offset: number
}

function denseStrides(shape: readonly number[]): number[] {
  return shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, 1))
}

function dense(shape: readonly number[], offset = 0): Layout {
  const strides = denseStrides(shape)
  return { shape, strides: [strides, strides, strides], offset }
}

// Lengths around groups of 4, warps and blocks; rows that are whole groups, and others; every kind of broadcast and
// transpose.
const layouts: readonly Layout[] = [
  ...[0, 1, 3, 4, 5, 31, 255, 1025, 4099].map((n) => dense([n])),
  dense([]),
  dense([37], 1),
  dense([8, 12], 4),
  {
    shape: [5, 8],
    strides: [
      [8, 1],
      [0, 1],
      [1, 0],
    ],
    offset: 0,
  },
  {
    shape: [5, 7],
    strides: [
      [7, 1],
      [0, 1],
      [1, 0],
    ],
    offset: 0,
  },
  {
    shape: [6, 33],
    strides: [
      [1, 6],
      [33, 1],
      [0, 0],
    ],
    offset: 0,
  },
  {
    shape: [3, 4, 5, 2],
    strides: [
      [2, 6, 24, 1],
      [0, 10, 2, 1],
      [40, 0, 0, 1],
    ],
    offset: 3,
  },
  {
    shape: [2, 3, 16],
    strides: [
      [96, 32, 2],
      [0, 16, 1],
      [48, 16, 1],
    ],
    offset: 0,
  },
  { shape: [7], strides: [[-1], [2], [0]], offset: 20 },
  {
    shape: [2, 1, 3, 1, 2, 2],
    strides: [
      [12, 0, 4, 0, 2, 1],
      [1, 0, 2, 0, 6, 0],
      [0, 0, 0, 0, 0, 0],
    ],
    offset: 2,
  },
]

/** A small, repeatable stream of numbers. */
let state = 1
function next(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 32
}

const finite = [0, -0, 1, -1, 0.5, 3, -3, 6, 20.5, -20.5, 90, -90]
const special = [...finite, Number.NaN, Infinity, -Infinity]

function values(dtype: DType, count: number, corners: readonly number[]): number[] {
  return Array.from({ length: count }, (_, i) => {
    if (dtype === 'bool') return next() < 0.5 ? 0 : 1
    if (dtype === 'uint8') return Math.floor(next() * 256)
    if (dtype === 'int32') return Math.floor(next() * 12 - 6) + (next() < 0.1 ? 2 ** 30 : 0)
    return i % 5 === 4 ? (corners[Math.floor(next() * corners.length)] as number) : Math.fround((next() - 0.5) * 12)
  })
}

function extent(shape: readonly number[], strides: readonly number[]): readonly [number, number] {
  let [low, high] = [0, 0]
  for (let d = 0; d < shape.length; d++) {
    const span = ((shape[d] as number) - 1) * (strides[d] as number)
    if (span < 0) low += span
    else high += span
  }
  return [low, high]
}

interface Operand {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly strides: readonly number[]
  readonly offset: number
  readonly numbers: readonly number[]
}

function makeOperand(dtype: DType, layout: Layout, place: number, corners: readonly number[]): Operand {
  const { shape } = layout
  const strides = layout.strides[place % layout.strides.length] as readonly number[]
  const [low, high] = extent(shape, strides)
  const offset = layout.offset - Math.min(low, 0)
  return { dtype, shape, strides, offset, numbers: values(dtype, offset + Math.max(high, 0) + 1, corners) }
}

const isFloat = (dtype: DType) => dtype === 'float32' || isHalf(dtype)

/** Copies the operand to a device. On the reference device, floats are widened to float64. */
function place(on: Device, operand: Operand): StridedView {
  const dtype = on === reference && isFloat(operand.dtype) ? 'float64' : operand.dtype
  const { numbers } = operand
  const half = isHalf(operand.dtype) ? operand.dtype : null
  const data = new dtypes[dtype].Array(numbers.length)
  const stored = half === null ? numbers : numbers.map(narrow(half))
  data.set(half !== null && on === reference ? stored.map(widen(half)) : stored)
  const storage = on.allocate(dtype, data.length, false, 'test')
  on.upload(storage, data)
  return { storage, dtype, offset: operand.offset, sizes: operand.shape, steps: operand.strides }
}

function fresh(on: Device, declared: DType, shape: readonly number[]): StridedView {
  const dtype = on === reference && isFloat(declared) ? 'float64' : declared
  const count = shape.reduce((a, b) => a * b, 1)
  return {
    storage: on.allocate(dtype, count, false, 'test'),
    dtype,
    offset: 0,
    sizes: shape,
    steps: denseStrides(shape),
  }
}

interface Case {
  readonly kernel: string
  readonly T: DType
  readonly layout: Layout
  readonly options: { readonly [name: string]: number | boolean }
  /** The dtype that kernels of any dtype read. */
  readonly from?: DType
}

function compare(test: Case, dtype: DType, expected: ArrayLike<number>, actual: ArrayLike<number>): void {
  const name = `${test.kernel} ${test.from ?? ''}>${test.T} [${test.layout.shape}] ${JSON.stringify(test.options)}`
  if (expected.length !== actual.length) throw new Error(`${name}: ${actual.length} elements`)
  for (let i = 0; i < expected.length; i++) {
    // The expected value goes through the dtype, in which too large a number is infinite.
    const exact = expected[i] as number
    const half = isHalf(dtype) ? dtype : null
    const want = half !== null ? widen(half)(narrow(half)(exact)) : dtype === 'float32' ? Math.fround(exact) : exact
    const got = half !== null ? widen(half)(actual[i] as number) : (actual[i] as number)
    if (Object.is(want, got) || want === got) continue
    // The bound allows a few units in the last place, and cancellation in the derivatives' sums, whose terms may have
    // the inputs' size.
    if (Math.abs(want - got) <= (half !== null ? 2 ** -7 : 4e-6) * Math.abs(want) + 1e-6) continue
    throw new Error(`${name}: element ${i} is ${got}, the reference has ${expected[i]}`)
  }
}

function runCase(test: Case): void {
  const spec: KernelSpec = kernels[test.kernel as (typeof kernelNames)[number]]
  const calls = { gpu: {} as { [name: string]: unknown }, reference: {} as { [name: string]: unknown } }
  let result: { readonly gpu: StridedView; readonly reference: StridedView } | null = null
  let inputs = 0
  for (const { name, role, dtype: declared } of parseArguments(spec)) {
    let pair: { gpu: unknown; reference: unknown }
    if (role === 'number' || role === 'flag' || role === 'integer') {
      const option = test.options[name]
      pair = { gpu: option, reference: option }
    } else {
      const isResult = role === 'out' || role === 'update'
      const dtype =
        declared === 'T'
          ? test.T
          : declared === 'any' || declared === 'stored'
            ? isResult
              ? test.T
              : (test.from as DType)
            : (declared as DType)
      if (role === 'out') {
        pair = { gpu: fresh(gpu, dtype, test.layout.shape), reference: fresh(reference, dtype, test.layout.shape) }
      } else {
        // Slopes at infinity depend on the formula: 0 times infinity in one, the limit in the other.
        const corners = test.kernel.endsWith('_backward') ? finite : special
        const made = makeOperand(dtype, test.layout, inputs++, corners)
        const operand = dividesWhole(test) ? { ...made, numbers: made.numbers.map((x) => x || 7) } : made
        pair = { gpu: place(gpu, operand), reference: place(reference, operand) }
      }
      if (isResult) result = pair as { gpu: StridedView; reference: StridedView }
    }
    calls.gpu[name] = pair.gpu
    calls.reference[name] = pair.reference
  }
  gpu.run(kernelOf(test.kernel as (typeof kernelNames)[number]), calls.gpu as KernelCall)
  reference.run(kernelOf(test.kernel as (typeof kernelNames)[number]), calls.reference as KernelCall)
  if (result === null) throw new Error(`${test.kernel} has no result`)
  // All of the memory is compared, because elements between strided results must be unchanged.
  const whole = (view: StridedView): StridedView => ({ ...view, offset: 0, sizes: [view.storage.count], steps: [1] })
  compare(test, result.gpu.dtype, reference.readSync(whole(result.reference)), gpu.readSync(whole(result.gpu)))
  for (const [on, call] of [
    [gpu, calls.gpu],
    [reference, calls.reference],
  ] as const)
    for (const value of Object.values(call))
      if (value !== null && typeof value === 'object') on.free((value as StridedView).storage)
}

const optionSets: { readonly [kernel: string]: readonly { readonly [name: string]: number | boolean }[] } = {
  affine: [
    { scale: 3, shift: -2 },
    { scale: -1, shift: 0 },
  ],
  pow_scalar: [{ exponent: 2 }, { exponent: 0.5 }, { exponent: -3 }],
  clamp: [
    { min: -2, max: 3 },
    { min: -Infinity, max: 1 },
  ],
  clamp_backward: [{ min: -2, max: 3 }],
  gelu: [{ tanhApproximation: false }, { tanhApproximation: true }],
  gelu_backward: [{ tanhApproximation: false }, { tanhApproximation: true }],
  softplus: [
    { beta: 1, threshold: 20 },
    { beta: 2, threshold: 1 },
  ],
  softplus_backward: [
    { beta: 1, threshold: 20 },
    { beta: 2, threshold: 1 },
  ],
  polygamma: [{ order: 1 }, { order: 2 }],
  elu: [{ alpha: 1.5 }],
  elu_backward: [{ alpha: 1.5 }],
  leaky_relu: [{ slope: 0.01 }],
  leaky_relu_backward: [{ slope: 0.01 }],
  fill: [{ value: 1 }, { value: -2.5 }],
  quotient: [{ floors: false }, { floors: true }],
}

/** A divisor of 0 is an error in these if the dtype is int32. */
const dividing = new Set<string>(['fmod', 'remainder', 'quotient'])
function dividesWhole({ kernel, T }: Case): boolean {
  return T === 'int32' && dividing.has(kernel)
}

/**
 * Compares sums over some dimensions and over all: of transposes, of broadcasts, of nothing, and for as many outputs as
 * threads serve.
 */
function checkSums(): void {
  const sums: readonly (readonly [shape: readonly number[], out: readonly number[], strides?: readonly number[]])[] = [
    [[1000], [1]],
    [
      [3, 700],
      [3, 1],
    ],
    [
      [700, 3],
      [1, 3],
    ],
    [
      [5, 1100],
      [1, 1100],
    ],
    [
      [4, 6, 5],
      [4, 1, 5],
      [1, 20, 4],
    ],
    [
      [4, 6, 5],
      [1, 6, 1],
      [0, 1, 6],
    ],
    [
      [0, 3],
      [1, 3],
    ],
    [[], []],
  ]
  for (const [shape, outShape, strides = denseStrides(shape)] of sums)
    for (const T of ['float32', 'int32'] as const) {
      const made = makeOperand(T, { shape, strides: [strides], offset: 0 }, 0, finite)
      // Numbers are small, because a sum beyond int32 is an error.
      const operand = T === 'int32' ? { ...made, numbers: made.numbers.map((x) => x % 100) } : made
      const run = (on: Device) => {
        const x = place(on, operand)
        const out = fresh(on, T, outShape)
        on.run(kernelOf('sum'), { out, x, scale: 2 })
        return on.readSync(out)
      }
      const layout = { shape, strides: [strides], offset: 0 }
      compare({ kernel: 'sum', T, layout, options: {} }, T, run(reference), run(gpu))
    }
}

/** Whether a kernel can update results of this layout. Their strides must not overlap. */
function updatable(layout: Layout): boolean {
  return layout.shape.every((size, d) => size <= 1 || layout.strides[0]?.[d] !== 0)
}

checkSums()
let agreed = 0
for (const kernel of kernelNames) {
  const spec: KernelSpec = kernels[kernel]
  if (familyOf(kernel) === 'elementwise' && !gpu.hasKernel(kernel)) throw new Error(`there is no ${kernel}`)
  if (familyOf(kernel) !== 'elementwise' && familyOf(kernel) !== 'shape') continue
  if (kernel === 'cat' || kernel === 'arange') continue
  const here = (spec.T ?? every).filter((dtype) => gpu.supports(dtype))
  const anyInput = parseArguments(spec).some(
    ({ role, dtype }) => role === 'strided' && (dtype === 'any' || dtype === 'stored'),
  )
  const updates = parseArguments(spec).some(({ role }) => role === 'update')
  for (const layout of layouts) {
    if (updates && !updatable(layout)) continue
    for (const T of here) {
      for (const from of anyInput ? here : [undefined])
        for (const options of optionSets[kernel] ?? [{}])
          runCase({ kernel, T, layout, options, ...(from === undefined ? {} : { from }) })
    }
  }
  agreed++
}
console.log(`${agreed} kernels agree`)

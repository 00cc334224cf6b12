/**
 * Compares matrix products with sums in float64. Sizes and strides choose each of the kernels: every order of the
 * factors' neighbours, sizes around tiles and pieces, batches, cut depths. Any difference, also between two runs, is an
 * error.
 */
import { kernelOf } from '../../lib/backend/call.js'
import { device } from '../../lib/backend/devices.js'
import { fromBfloat16, toBfloat16 } from '../../lib/backend/reference/half.js'
import type { StridedView } from '../../lib/core/device.js'
import { setFloat32MatmulPrecision } from '../../lib/index.js'

type Float = 'float32' | 'bfloat16'

interface Product {
  readonly sizes: readonly [batch: number, rows: number, columns: number, depth: number]
  readonly dtypes: readonly [out: Float, a: Float, b: Float]
  /** Whether neighbours in memory are neighbours along the depth. */
  readonly alongDepth: readonly [a: boolean, b: boolean]
  readonly bias?: Float
  readonly accumulates?: boolean
  /** The number of elements before each factor. */
  readonly offset?: number
  /** Whether the factors are rounded to tf32 while tf32 is allowed. Undefined: it is not allowed. */
  readonly tf32?: boolean
}

const gpu = device('cuda')
const checks = process.env['FIRESTEEL_EMULATOR_CHECK'] === '1'

let state = 1
function next(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 31 - 1
}

/** Rounds to 10 bits of fraction, ties away from 0. */
function toTf32(x: number): number {
  const word = new Uint32Array(Float32Array.of(x).buffer)
  word[0] = ((word[0] as number) + 0x1000) & ~0x1fff
  return new Float32Array(word.buffer)[0] as number
}

function numbers(count: number, dtype: Float): Float64Array {
  return Float64Array.from({ length: count }, () => {
    const x = Math.fround(next())
    return dtype === 'bfloat16' ? fromBfloat16(toBfloat16(x)) : x
  })
}

function place(
  values: Float64Array,
  dtype: Float,
  sizes: readonly number[],
  steps: readonly number[],
  offset = 0,
): StridedView {
  const storage = gpu.allocate(dtype, values.length + offset, false, 'test')
  const padded = [...Array.from({ length: offset }, () => Number.NaN), ...values]
  gpu.upload(storage, dtype === 'bfloat16' ? Uint16Array.from(padded, toBfloat16) : Float32Array.from(padded))
  return { storage, dtype, offset, sizes, steps }
}

function read(view: StridedView): number[] {
  const data = gpu.readSync({ ...view, offset: 0, sizes: [view.storage.count], steps: [1] })
  return data instanceof Uint16Array ? Array.from(data, fromBfloat16) : Array.from(data)
}

function check(product: Product): void {
  const { sizes, dtypes, alongDepth, bias, accumulates = false, offset = 0, tf32 } = product
  const [batch, rows, columns, depth] = sizes
  const [out, a, b] = dtypes
  const x = numbers(batch * rows * depth, a)
  const y = numbers(batch * columns * depth, b)
  const shift = bias === undefined ? null : numbers(columns, bias)
  const before = numbers(batch * rows * columns, out)
  const [xLine, xDepth] = alongDepth[0] ? [depth, 1] : [1, rows]
  const [yLine, yDepth] = alongDepth[1] ? [depth, 1] : [1, columns]
  const factors = {
    a: place(x, a, [batch, rows, depth], [rows * depth, xLine, xDepth], offset),
    b: place(y, b, [batch, depth, columns], [columns * depth, yDepth, yLine], offset),
  }
  const run = (): number[] => {
    const result = place(before, out, [batch, rows, columns], [rows * columns, columns, 1])
    if (accumulates) gpu.run(kernelOf('matmul_accumulate'), { sum: result, ...factors })
    else {
      const biasView = shift === null ? null : place(shift, bias as Float, [columns], [1])
      gpu.run(kernelOf('matmul'), { out: result, ...factors, bias: biasView })
    }
    return read(result)
  }
  setFloat32MatmulPrecision(tf32 === undefined ? 'highest' : 'high')
  const found = run()
  const title = JSON.stringify(product)
  for (const [i, value] of run().entries())
    if (!Object.is(value, found[i])) throw new Error(`${title}: element ${i} is ${found[i]}, then ${value}`)
  const [left, right] = tf32 ? [x.map(toTf32), y.map(toTf32)] : [x, y]
  const roundings = out === 'bfloat16' ? 2 ** -8 : 0
  for (let i = 0; i < found.length; i++) {
    const column = i % columns
    const row = Math.floor(i / columns) % rows
    const matrix = Math.floor(i / (rows * columns))
    let sum = (accumulates ? (before[i] as number) : 0) + (shift?.[column] ?? 0)
    let size = Math.abs(sum)
    for (let k = 0; k < depth; k++) {
      const term =
        (left[matrix * rows * depth + row * xLine + k * xDepth] as number) *
        (right[matrix * columns * depth + column * yLine + k * yDepth] as number)
      sum += term
      size += Math.abs(term)
    }
    if (Math.abs((found[i] as number) - sum) <= roundings * Math.abs(sum) + 2 ** -21 * size) continue
    throw new Error(`${title}: element ${i} (${matrix}, ${row}, ${column}) is ${found[i]}, and should be ${sum}`)
  }
}

const orders = [true, false].flatMap((a) => [true, false].map((b) => [a, b] as const))
const halves = ['float32', 'bfloat16', 'bfloat16'] as const
const floats = ['float32', 'float32', 'float32'] as const
const small: Product[] = []
for (const alongDepth of orders)
  small.push(
    // Tensor cores: ragged tiles and more pieces than stages; one piece; lines that no copy of 8 fits; a cut depth.
    { sizes: [1, 136, 72, 200], dtypes: halves, alongDepth },
    { sizes: [3, 24, 16, 8], dtypes: ['bfloat16', 'bfloat16', 'bfloat16'], alongDepth, bias: 'bfloat16' },
    { sizes: [2, 17, 9, 40], dtypes: halves, alongDepth },
    { sizes: [1, 24, 16, 648], dtypes: halves, alongDepth, accumulates: true },
    // The same with tf32, where copies have 4 elements; the most rows that stay in float32; another dtype for one
    // factor.
    { sizes: [1, 132, 68, 84], dtypes: floats, alongDepth, tf32: true },
    { sizes: [3, 24, 12, 4], dtypes: ['bfloat16', 'float32', 'float32'], alongDepth, bias: 'bfloat16', tf32: true },
    { sizes: [1, 20, 16, 548], dtypes: floats, alongDepth, accumulates: true, tf32: true },
    { sizes: [1, 16, 12, 20], dtypes: floats, alongDepth, tf32: false },
    { sizes: [1, 21, 13, 18], dtypes: floats, alongDepth, tf32: false },
    { sizes: [1, 20, 12, 16], dtypes: ['float32', 'float32', 'bfloat16'], alongDepth, tf32: false },
    // Few rows: a warp's 128 numbers and a rest; a cut depth; columns around a block's 8 warps; one row more.
    { sizes: [2, 1, 7, 132], dtypes: floats, alongDepth, bias: 'float32' },
    { sizes: [1, 8, 9, 520], dtypes: halves, alongDepth, accumulates: true },
    { sizes: [1, 8, 8, 516], dtypes: ['bfloat16', 'float32', 'bfloat16'], alongDepth, bias: 'bfloat16' },
    { sizes: [1, 9, 8, 516], dtypes: ['float32', 'bfloat16', 'float32'], alongDepth },
    // Multiply-adds: ragged, misaligned, with a cut depth.
    { sizes: [2, 67, 70, 37], dtypes: floats, alongDepth, bias: 'float32' },
    { sizes: [1, 8, 64, 32], dtypes: floats, alongDepth, offset: 1 },
    { sizes: [1, 5, 7, 600], dtypes: floats, alongDepth, accumulates: true },
    { sizes: [1, 20, 12, 16], dtypes: ['bfloat16', 'float32', 'bfloat16'], alongDepth, bias: 'float32' },
    { sizes: [1, 20, 12, 16], dtypes: ['float32', 'bfloat16', 'float32'], alongDepth },
  )
for (const depth of [0, 1, 15, 16, 17])
  small.push({ sizes: [1, 3, 4, depth], dtypes: floats, alongDepth: [true, false] })
// These have so many tiles of 128 that such tiles are chosen.
const large = orders.map((alongDepth): Product => ({ sizes: [17, 250, 193, 11], dtypes: floats, alongDepth }))

// Warpgroups multiply on Hopper, if both factors' neighbours lie along the depth.
const along = [true, true] as const
const wide: Product[] = [
  // One piece; then as many as stages, one more, and so many that every stage is filled three times.
  ...[64, 256, 264, 504].map((depth): Product => ({ sizes: [1, 17, 24, depth], dtypes: halves, alongDepth: along })),
  // Ragged tiles with a bias; a single matrix of a batch; a cut depth, whose parts are whole pieces.
  { sizes: [1, 130, 132, 72], dtypes: ['bfloat16', 'bfloat16', 'bfloat16'], alongDepth: along, bias: 'bfloat16' },
  { sizes: [1, 193, 131, 80], dtypes: halves, alongDepth: along, bias: 'float32', offset: 8 },
  { sizes: [1, 24, 19, 648], dtypes: halves, alongDepth: along, accumulates: true },
  { sizes: [1, 20, 40, 1032], dtypes: ['bfloat16', 'bfloat16', 'bfloat16'], alongDepth: along, bias: 'float32' },
  // Depths, lines and addresses that they leave to the other kernels.
  { sizes: [1, 17, 24, 56], dtypes: halves, alongDepth: along },
  { sizes: [1, 17, 16, 64], dtypes: halves, alongDepth: along },
  { sizes: [1, 17, 24, 64], dtypes: halves, alongDepth: along, offset: 4 },
]
// These have so many tiles of 128x256 that such tiles are chosen.
const widest: Product[] = [
  { sizes: [1, 17, 127 * 256 + 8, 64], dtypes: halves, alongDepth: along },
  { sizes: [1, 127 * 128 + 66, 17, 72], dtypes: halves, alongDepth: along },
]
const onHopper = process.env['FIRESTEEL_EMULATOR_CAPABILITY'] === '90'

const chosen = onHopper ? wide : [...small, ...wide]
for (const product of chosen) check(product)
if (!checks) for (const product of onHopper ? widest : large) check(product)

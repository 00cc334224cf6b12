/**
 * Block dtypes. Numbers to blocks and back must have the reference device's bits. Compares products with sums in
 * float64, and two runs of each to the bit. Blocks lie along the depth and along the columns. The numbers of rows are
 * around the few that have their own kernel, and sizes are around tiles. Any difference is an error.
 */
import assert from 'node:assert/strict'
import { device } from '../../lib/backend/devices.js'
import { fromBfloat16, toBfloat16 } from '../../lib/backend/reference/half.js'
import * as f from '../../lib/index.js'

const gpu = device('cuda')
const reference = device('reference')
const checks = process.env['FIRESTEEL_EMULATOR_CHECK'] === '1'
const formats = { q8_0: 32, q4_0: 32, nf4: 64 } as const
type Format = keyof typeof formats

let state = 13
const numbers = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return fromBfloat16(toBfloat16(state / 2 ** 31 - 1))
  })

const read = (x: f.Tensor): number[] => Array.from(x.dataSync())

/** Converts magnitudes of all kinds: zeros, subnormal and infinite scales, infinities and NaN. */
function convert(dtype: Format): void {
  const block = formats[dtype]
  const scales = [1, 0, 2 ** -20, 2 ** -26, 1e-40, 3e4, 1e6, 1e38, Number.POSITIVE_INFINITY, Number.NaN, 0.1, 7]
  const values = numbers(scales.length * block).map((x, i) => {
    const scale = scales[Math.floor(i / block)] as number
    // One number of the block is not finite.
    return Number.isFinite(scale) ? x * scale : i % block === 5 ? scale : x
  })
  const results = [gpu, reference].map((on) =>
    f.scope(() => {
      const x = f.fromTypedArray(values, [scales.length / 2, 2 * block], { device: on })
      const stored = x.to(dtype)
      const rows = f.indexSelect(stored, 0, f.tensor([3, 0, 3], { dtype: 'int32', device: on }))
      const part = stored.narrow(1, block, block)
      return [stored, rows, part].flatMap((each) => [
        ...read(each.to('float32')),
        ...read(each.to('bfloat16').to('float32')),
      ])
    }),
  )
  assert.deepEqual(results[0], results[1], dtype)
}

/** A tensor, which on the reference device is float64. */
const place = (values: Float32Array, shape: readonly number[], on: f.Device): f.Tensor =>
  on === reference
    ? f.fromTypedArray(Float64Array.from(values), [...shape], { dtype: 'float64', device: on })
    : f.fromTypedArray(values, [...shape], { device: on })

interface Product {
  readonly format: Format
  readonly dtype: 'float32' | 'bfloat16'
  /** The columns if blocks lie along them, or else the depth, must be whole blocks. */
  readonly sizes: readonly [batch: number, rows: number, columns: number, depth: number]
  readonly along: 'depth' | 'columns'
}

function multiply({ format, dtype, sizes, along }: Product): void {
  const [batch, rows, columns, depth] = sizes
  const left = numbers(batch * rows * depth)
  const right = numbers(batch * columns * depth)
  const bias = numbers(columns)
  const shape = along === 'depth' ? [batch, columns, depth] : [batch, depth, columns]
  const run = (on: f.Device) =>
    f.scope(() => {
      const x = place(left, [batch, rows, depth], on)
      const weight = f.fromTypedArray(right, shape, { device: on }).to(format)
      const b = on === reference ? weight.to('float32').to('float64') : weight
      const product = f.matmul(on === reference ? x : x.to(dtype), along === 'depth' ? b.transpose(1, 2) : b)
      const row = place(bias, [columns], on)
      const linear = batch === 1 && along === 'depth' ? [f.linear(x.select(0, 0), b.select(0, 0), row)] : []
      return [product.to(on === reference ? 'float64' : 'float32'), ...linear].flatMap(read)
    })
  const [found, again] = [run(gpu), run(gpu)]
  for (const [i, value] of run(reference).entries()) {
    const where = `${JSON.stringify({ format, dtype, sizes, along })}: element ${i}`
    const one = found[i] as number
    if (!Object.is(one, again[i])) throw new Error(`${where} is ${one}, then ${again[i]}`)
    // Tensor cores multiply two parts of a weight, which together lack at most 2^-17 of it. A term is 1/4 on average.
    const roundings = dtype === 'bfloat16' ? 2 ** -8 * Math.abs(value) + 2 ** -19 * depth : 0
    const allowed = roundings + 2 ** -22 * (depth + 8)
    if (!(Math.abs(one - value) <= allowed)) throw new Error(`${where} is ${one}, and should be ${value}`)
  }
}

for (const format of ['q8_0', 'q4_0', 'nf4'] as const) {
  convert(format)
  const block = formats[format]
  const plain = { format, dtype: 'float32', along: 'depth' } as const
  multiply({ ...plain, sizes: [1, 3, 9, 192] })
  multiply({ ...plain, dtype: 'bfloat16', sizes: [2, 9, 5, block] })
  multiply({ ...plain, along: 'columns', sizes: [2, 3, block, 7] })
  // Tensor cores: more rows than they refuse, and more pieces than stages.
  const cores = { format, dtype: 'bfloat16' } as const
  multiply({ ...cores, along: 'depth', sizes: [2, 17, 9, block + 64] })
  multiply({ ...cores, along: 'columns', sizes: [1, 20, block, 72] })
  if (checks) continue
  // Ragged tiles of 128, with a depth that is cut into parts.
  multiply({ ...cores, along: 'depth', sizes: [1, 16, 7, 64] })
  multiply({ ...cores, along: 'depth', sizes: [1, 135, 131, 64] })
  multiply({ ...cores, along: 'depth', sizes: [1, 17, 7, 512 + block] })
  multiply({ ...cores, along: 'columns', sizes: [1, 130, 192, 24] })
  multiply({ ...cores, along: 'columns', sizes: [1, 17, block, 520] })
  // A warp's 128 numbers, and 8 columns of a block.
  for (const rows of [1, 8]) multiply({ ...plain, dtype: 'bfloat16', sizes: [1, rows, 17, 128 + block] })
  // Tiles of 64, with a depth that is cut into parts.
  for (const rows of [9, 65]) multiply({ ...plain, sizes: [1, rows, 65, 512 + block] })
  // A depth that no copy of 8 fits.
  multiply({ ...plain, dtype: 'bfloat16', along: 'columns', sizes: [1, 20, 192, 33] })
}

/**
 * Block dtypes: conversion of numbers to blocks and back, in float32, as in the quantisers that defined the formats:
 * GGML's reference for q8_0 and q4_0 (https://github.com/ggml-org/llama.cpp, ggml-quants.c), and bitsandbytes' for nf4
 * (QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314). A block with NaN or an infinity becomes NaN as a
 * whole, because no scale holds it. If the inverse of a scale is beyond float32, the block becomes zeros.
 */
import { type BlockDType, dtypes, type TypedArray } from '../../core/dtype.js'
import { countOf, denseStrides } from '../../core/shape.js'
import { fromFloat16, toFloat16 } from './half.js'
import type { HostView } from './view.js'
import { type Layout, walk } from './walk.js'

/** The means of equal shares of a normal distribution, scaled to [-1, 1], with a zero: Appendix E of the paper. */
const levels = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
)
/**
 * The borders, halfway between levels: a number above a border belongs to the higher level. Four borders are also
 * halfway between two floats, and are then the one that a C++ compiler makes of bitsandbytes' literals.
 */
const borders = Float32Array.of(
  ...[-0.84809643, -0.610632896, -0.45999527, -0.33967942, -0.234607399, -0.137911737, -0.0455250181, 0.0397901498],
  ...[0.120255254, 0.203521252, 0.292013764, 0.389312536, 0.501663387, 0.64278692, 0.861478388],
)

const zeroLevel = 7

interface Format {
  /** Writes the blocks' bytes `to` for the numbers of one block. */
  encode(numbers: Float32Array, to: DataView): void
  decode(from: DataView, numbers: Float32Array): void
}

/** 1 / scale; 0 if there is no inverse, or none that float32 holds. */
function inverse(scale: number): number {
  const result = Math.fround(1 / scale)
  return Number.isFinite(result) ? result : 0
}

/** The number of largest magnitude, the first of several; NaN if any is not finite. */
function extreme(numbers: Float32Array): number {
  let largest = 0
  for (const x of numbers) {
    if (!Number.isFinite(x)) return Number.NaN
    if (Math.abs(x) > Math.abs(largest)) largest = x
  }
  return largest
}

const q8_0: Format = {
  encode(numbers, to) {
    const scale = Math.fround(Math.abs(extreme(numbers)) / 127)
    const factor = inverse(scale)
    to.setUint16(0, toFloat16(scale), true)
    numbers.forEach((x, i) => {
      const scaled = factor === 0 ? 0 : Math.fround(x * factor)
      // Halves are rounded away from 0.
      to.setInt8(2 + i, Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5))
    })
  },
  decode(from, numbers) {
    const scale = fromFloat16(from.getUint16(0, true))
    for (let i = 0; i < numbers.length; i++) numbers[i] = scale * from.getInt8(2 + i)
  },
}

const q4_0: Format = {
  encode(numbers, to) {
    const scale = Math.fround(extreme(numbers) / -8)
    const factor = inverse(scale)
    to.setUint16(0, toFloat16(scale), true)
    const half = numbers.length / 2
    const bits = (x: number) =>
      factor === 0 ? 8 : Math.min(15, Math.trunc(Math.fround(Math.fround(x * factor) + 8.5)))
    for (let i = 0; i < half; i++)
      to.setUint8(2 + i, bits(numbers[i] as number) | (bits(numbers[half + i] as number) << 4))
  },
  decode(from, numbers) {
    const scale = fromFloat16(from.getUint16(0, true))
    const half = numbers.length / 2
    for (let i = 0; i < half; i++) {
      const byte = from.getUint8(2 + i)
      numbers[i] = scale * ((byte & 15) - 8)
      numbers[half + i] = scale * ((byte >> 4) - 8)
    }
  },
}

const nf4: Format = {
  encode(numbers, to) {
    const magnitude = Math.abs(extreme(numbers))
    const factor = inverse(magnitude)
    to.setFloat32(0, factor === 0 && magnitude > 0 ? 0 : magnitude, true)
    const bits = (x: number) => {
      if (factor === 0) return zeroLevel
      const scaled = Math.fround(x * factor)
      let level = 0
      while (level < borders.length && scaled > (borders[level] as number)) level++
      return level
    }
    for (let i = 0; i < numbers.length / 2; i++)
      to.setUint8(4 + i, (bits(numbers[2 * i] as number) << 4) | bits(numbers[2 * i + 1] as number))
  },
  decode(from, numbers) {
    const magnitude = from.getFloat32(0, true)
    for (let i = 0; i < numbers.length / 2; i++) {
      const byte = from.getUint8(4 + i)
      numbers[2 * i] = magnitude * (levels[byte >> 4] as number)
      numbers[2 * i + 1] = magnitude * (levels[byte & 15] as number)
    }
  },
}

const formats: { readonly [D in BlockDType]: Format } = { q8_0, q4_0, nf4 }

/** The bytes of the block that begins with an element. */
function bytesAt(data: TypedArray, dtype: BlockDType, element: number): DataView {
  const { bytes, block } = dtypes[dtype]
  return new DataView(data.buffer, data.byteOffset + element * bytes, block * bytes)
}

/** A walk from block to block instead of from element to element. */
function walkBlocks(
  dtype: BlockDType,
  shape: readonly number[],
  views: readonly Layout[],
  visit: (at: readonly number[]) => void,
): void {
  const { block } = dtypes[dtype]
  const last = shape.length - 1
  const sizes = shape.map((size, d) => (d === last ? size / block : size))
  const apart = views.map(({ offset, strides }) => ({
    offset,
    strides: strides.map((step, d) => (d === last ? step * block : step)),
  }))
  const at = new Array<number>(views.length)
  walk(sizes, apart, (n, start, step) => {
    for (let k = 0; k < n; k++) {
      for (let i = 0; i < at.length; i++) at[i] = (start[i] as number) + k * (step[i] as number)
      visit(at)
    }
  })
}

/** to = from, if both have the same dtype. */
export function copyBlocks(dtype: BlockDType, to: TypedArray, layout: Layout, from: HostView): void {
  const { bytes, block } = dtypes[dtype]
  walkBlocks(dtype, from.shape, [layout, from], ([o = 0, i = 0]) => {
    to.set(from.data.subarray(i * bytes, (i + block) * bytes), o * bytes)
  })
}

/** Converts dense float32 numbers to blocks. */
export function encodeBlocks(dtype: BlockDType, to: HostView, from: HostView): void {
  const { block } = dtypes[dtype]
  walkBlocks(dtype, to.shape, [to, from], ([o = 0, i = 0]) => {
    formats[dtype].encode(Float32Array.from(from.data.subarray(i, i + block)), bytesAt(to.data, dtype, o))
  })
}

/** A dense float32 copy of blocks along the last dimension. */
export function decoded(dtype: BlockDType, view: HostView): HostView {
  const { block } = dtypes[dtype]
  const data = new Float32Array(countOf(view.shape))
  const strides = denseStrides(view.shape)
  walkBlocks(dtype, view.shape, [{ offset: 0, strides }, view], ([o = 0, i = 0]) => {
    formats[dtype].decode(bytesAt(view.data, dtype, i), data.subarray(o, o + block))
  })
  return { data, dtype: 'float32', offset: 0, shape: view.shape, strides }
}

/**
 * The 16-bit floats, which JavaScript holds as bits. They are widened to float32 exactly, and narrowed by rounding to
 * nearest, ties to even. The reference device copies, compares and converts them, and computes in float32: see
 * `throughFloat32`.
 */
import type { DType } from '../../core/dtype.js'
import { countOf, denseStrides } from '../../core/shape.js'
import type { HostView } from './view.js'
import { walk } from './walk.js'

export type HalfDType = 'bfloat16' | 'float16'

export function isHalf(dtype: DType): dtype is HalfDType {
  return dtype === 'bfloat16' || dtype === 'float16'
}

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

export function fromBfloat16(half: number): number {
  bits[0] = half << 16
  return float[0] as number
}

export function toBfloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0
  float[0] = value
  const word = bits[0] as number
  // Half of the last kept bit is added, minus one if that bit is even, so that a carry rounds up.
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}

export function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >>> 10) & 31
  const fraction = half & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}

export function toFloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const rounded = Math.fround(value)
  const sign = rounded < 0 || Object.is(rounded, -0) ? 0x8000 : 0
  const magnitude = Math.abs(rounded)
  if (magnitude >= 65520) return sign | 0x7c00
  float[0] = magnitude
  // Below 2^-14 the spacing stays 2^-24. A fraction that rounds up to 2048 carries into the exponent by itself.
  const power = Math.max(((bits[0] as number) >>> 23) - 127, -14)
  const fraction = roundEven(magnitude * 2 ** (10 - power))
  return sign | (fraction + (power + 14) * 1024)
}

function roundEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
}

export function widen(dtype: HalfDType): (half: number) => number {
  return dtype === 'bfloat16' ? fromBfloat16 : fromFloat16
}

export function narrow(dtype: HalfDType): (value: number) => number {
  return dtype === 'bfloat16' ? toBfloat16 : toFloat16
}

/** The view itself, or a dense float32 copy if it holds 16-bit floats. */
export function widened(view: HostView): HostView {
  if (!isHalf(view.dtype)) return view
  const convert = widen(view.dtype)
  const data = new Float32Array(countOf(view.shape))
  const strides = denseStrides(view.shape)
  walk(view.shape, [{ offset: 0, strides }, view], (n, [o = 0, i = 0], [, di = 0]) => {
    for (let k = 0; k < n; k++) data[o + k] = convert(view.data[i + k * di] as number)
  })
  return { data, dtype: 'float32', offset: 0, shape: view.shape, strides }
}

/** `to` = from, rounded, for equal shapes. */
function rounded(to: HostView, from: HostView): void {
  walk(to.shape, [to, from], (n, [o = 0, i = 0], [step = 0, di = 0]) => {
    for (let k = 0; k < n; k++) to.data[o + k * step] = toBfloat16(from.data[i + k * di] as number)
  })
}

/**
 * Runs a float32 kernel on arguments of which some are bfloat16. It runs on float32 copies, and its results are rounded
 * back.
 */
export function throughFloat32<A extends { readonly [name: string]: unknown }>(
  kernel: (args: A) => void,
  args: A,
  written: readonly string[],
): void {
  const copies: { [name: string]: unknown } = {}
  for (const [name, value] of Object.entries(args))
    if (isHostView(value) && value.dtype === 'bfloat16') copies[name] = widened(value)
  kernel({ ...args, ...copies })
  for (const name of written) if (name in copies) rounded(args[name] as HostView, copies[name] as HostView)
}

function isHostView(value: unknown): value is HostView {
  return typeof value === 'object' && value !== null && 'dtype' in value
}

/** Angles of positions, computed precisely at any position. */
import type { Device } from '../../core/device.js'
import { shown, ValueError } from '../../core/errors.js'
import type { Tensor } from '../../core/tensor.js'
import { arange, fromTypedArray } from '../creation.js'
import { add, floor, mul, sub } from '../elementwise/index.js'
import { unsqueeze } from '../shape/index.js'

type Wide = 'float32' | 'float64'

/** Throws unless the base of the wave lengths is a positive number. */
export function checkBase(op: string, base: number): void {
  if (typeof base !== 'number' || !(base > 0) || !Number.isFinite(base))
    throw new ValueError(op, `base is ${shown(base)}, but must be a positive number`)
}

/** Throws unless the offset is a position: an integer of at least 0. */
export function checkOffset(op: string, offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw new ValueError(op, `offset is ${shown(offset)}, but must be an integer of at least 0`)
}

/** The numbers from, from + 1, ..., as a tensor [count]. */
export function countFrom(from: number, count: number, dtype: Wide, device: Device): Tensor {
  return arange(from, from + count, 1, { dtype, device })
}

/**
 * Positions [..] times frequencies (radians per step), up to whole turns: [.., frequencies].
 *
 * A product in float32 would be off by its rounding, 0.004 at position 100,000, and so would the sines. So turns are
 * counted instead of radians, and a frequency is split into three parts. Two of them have 9 and 16 binary places: their
 * products with positions below 2^17 are exact, and their whole turns are dropped exactly. The third is a small rest.
 */
export function anglesOf(positions: Tensor, frequencies: readonly number[]): Tensor {
  const { device } = positions
  const dtype = positions.dtype as Wide
  const turns = frequencies.map((frequency) => frequency / (2 * Math.PI))
  const coarse = turns.map((turn) => Math.floor(turn * 2 ** 9) / 2 ** 9)
  const fine = turns.map((turn, i) => Math.floor((turn - (coarse[i] as number)) * 2 ** 16) / 2 ** 16)
  const rest = turns.map((turn, i) => turn - (coarse[i] as number) - (fine[i] as number))
  const at = unsqueeze(positions, -1)
  const part = (of: readonly number[]): Tensor => {
    const product: Tensor = mul(at, fromTypedArray(Float64Array.from(of), [of.length], { device, dtype }))
    return sub(product, floor(add(product, 0.5)))
  }
  return mul(add(add(part(coarse), part(fine)), part(rest)), 2 * Math.PI)
}

/**
 * The options of one- and two-dimensional convolutions, as the pairs that kernels take. In one dimension the height is
 * 1.
 */
import { shown, ValueError } from '../core/errors.js'
import { type Both, type Pair, pair } from './pair.js'
import type { Triple } from './triple.js'

/** The number of dimensions that a convolution slides over. */
export type Dims = 1 | 2

/** A number, or [width]. */
export type Single = number | readonly [number]

/** A number for each dimension; 'same' for as many zeros as keep the input's size; 'valid' for none. */
export type Padding<P extends Single | Pair | Triple> = P | 'same' | 'valid'

/** [height, width] of an option. In one dimension the height is the least value, for which the option has no effect. */
export function spatial(op: string, dims: Dims, name: string, value: Single | Pair, least: number): Both {
  if (dims === 2) return pair(op, name, value as Pair, least)
  const width = Array.isArray(value) && value.length === 1 ? (value[0] as number) : value
  if (typeof width !== 'number') throw new ValueError(op, `${name} is ${shown(value)}, but must be a number or [width]`)
  if (!Number.isInteger(width) || width < least || width >= 2 ** 31)
    throw new ValueError(op, `${name} is ${shown(value)}, but must be an integer of 32 bits, at least ${least}`)
  return [least, width]
}

/** The option as a program is shown it: the inverse of `spatial`. */
export function shownAs(dims: Dims, [h, w]: Both): readonly number[] {
  return dims === 1 ? [w] : [h, w]
}

export function checkGroups(op: string, groups: number): number {
  if (!Number.isSafeInteger(groups) || groups < 1)
    throw new ValueError(op, `groups is ${shown(groups)}, but must be a positive integer`)
  return groups
}

/**
 * Zeros on both sides of each dimension, and further ones on the far side, of which 'same' needs one for an even
 * kernel.
 */
export interface Zeros {
  readonly padding: Both
  readonly extra: Both
}

const noExtra: Both = [0, 0]

/** Throws ValueError for an invalid padding, and for 'same' with a stride above 1. */
export function checkPadding(op: string, dims: Dims, padding: Padding<Single | Pair>, stride: Both): void {
  if (typeof padding !== 'string') {
    spatial(op, dims, 'padding', padding, 0)
    return
  }
  if (padding !== 'same' && padding !== 'valid')
    throw new ValueError(
      op,
      `padding is ${shown(padding)}, but must be a number or ${dims === 1 ? '[width]' : '[height, width]'}, 'same' or 'valid'`,
    )
  if (padding === 'same' && (stride[0] !== 1 || stride[1] !== 1))
    throw new ValueError(
      op,
      `padding is 'same', but stride is ${stride.slice(2 - dims).join(' x ')}: a convolution with a stride does not keep the ` +
        'size; give the padding as a number',
    )
}

/** The zeros of a checked padding for a kernel of these sizes. */
export function zerosOf(dims: Dims, padding: Padding<Single | Pair>, dilation: Both, kernel: Both): Zeros {
  if (padding === 'valid') return { padding: [0, 0], extra: noExtra }
  if (padding !== 'same') return { padding: spatial('', dims, 'padding', padding, 0), extra: noExtra }
  const all = [dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1)] as const
  return { padding: [all[0] >> 1, all[1] >> 1], extra: [all[0] & 1, all[1] & 1] }
}

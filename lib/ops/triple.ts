/** The options of three-dimensional windows. */
import { shown, ValueError } from '../core/errors.js'

/** A number for all dimensions, or [depth, height, width]. */
export type Triple = number | readonly [number, number, number]

/** [depth, height, width] */
export type Each3 = readonly [d: number, h: number, w: number]

export function triple(op: string, name: string, value: Triple, least: number): [number, number, number] {
  if (typeof value !== 'number' && !(Array.isArray(value) && value.length === 3))
    throw new ValueError(op, `${name} is ${shown(value)}, but must be a number or [depth, height, width]`)
  const sizes: Each3 = typeof value === 'number' ? [value, value, value] : value
  for (const n of sizes)
    if (!Number.isInteger(n) || n < least || n >= 2 ** 31)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be integers of 32 bits, at least ${least}`)
  return [...sizes]
}

/** The options of a dimension each, as messages show them. */
export const by = (sizes: readonly number[]): string => sizes.join(' x ')

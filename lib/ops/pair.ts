/** The options of two-dimensional windows. */
import { shown, ValueError } from '../core/errors.js'

/** A number for both dimensions, or [height, width]. */
export type Pair = number | readonly [number, number]

export function pair(op: string, name: string, value: Pair, least: number): [number, number] {
  if (typeof value !== 'number' && !(Array.isArray(value) && value.length === 2))
    throw new ValueError(op, `${name} is ${shown(value)}, but must be a number or [height, width]`)
  const [h, w] = typeof value === 'number' ? [value, value] : (value as readonly [number, number])
  for (const n of [h, w])
    if (!Number.isInteger(n) || n < least || n >= 2 ** 31)
      throw new ValueError(op, `${name} is ${shown(value)}, but must be integers of 32 bits, at least ${least}`)
  return [h, w]
}

/** [height, width] */
export type Both = readonly [h: number, w: number]

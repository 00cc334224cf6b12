/** Sizes to which processors bring pictures, as `size` of a `preprocessor_config.json` gives them. */
import type { Picture } from '../data/picture.js'
import { mostSide } from './step.js'

export type Sides = readonly [height: number, width: number]

/**
 * Both sides; or the shorter side, with a bound for the longer one; or a box that the picture fills without exceeding
 * it.
 */
export type Target =
  | { readonly sides: Sides }
  | { readonly shorter: number; readonly longest: number | null }
  | { readonly within: Sides }

export const isSide = (side: unknown): side is number =>
  Number.isInteger(side) && Number(side) > 0 && Number(side) <= mostSide

export const targetForms = `{ height, width }, { shortest_edge }, { shortest_edge, longest_edge } or { max_height, max_width }, from 1 to ${mostSide}`

/**
 * The target of a setting, or null if it is none. Old files have [height, width], or one number, which `square`
 * explains.
 */
export function targetOf(value: unknown, square: boolean): Target | null {
  if (isSide(value)) return square ? { sides: [value, value] } : { shorter: value, longest: null }
  if (Array.isArray(value))
    return value.length === 2 && value.every(isSide) ? { sides: value as readonly number[] as Sides } : null
  const given = new Map(Object.entries(Object(value)).filter(([, side]) => side !== null))
  if (![...given.values()].every(isSide)) return null
  const side = (name: string): number => given.get(name) as number
  switch ([...given.keys()].sort().join()) {
    case 'height,width':
      return { sides: [side('height'), side('width')] }
    case 'shortest_edge':
      return { shorter: side('shortest_edge'), longest: null }
    case 'longest_edge,shortest_edge':
      return { shorter: side('shortest_edge'), longest: side('longest_edge') }
    case 'max_height,max_width':
      return { within: [side('max_height'), side('max_width')] }
    default:
      return null
  }
}

/** Rounds to the nearest integer, and halves to even, as Python does. */
function rounded(x: number): number {
  const below = Math.floor(x)
  return x - below === 0.5 ? below + (below % 2) : Math.round(x)
}

/** The sides of the resulting picture, truncated to integers step by step as in transformers. */
export function sidesFor({ height, width }: Picture, target: Target): Sides {
  if ('sides' in target) return target.sides
  if ('within' in target) {
    const scale = Math.min(target.within[0] / height, target.within[1] / width)
    return [Math.trunc(height * scale), Math.trunc(width * scale)]
  }
  const { shorter, longest } = target
  const [least, most] = [Math.min(height, width), Math.max(height, width)]
  let [side, exact] = [shorter, shorter]
  if (longest !== null && (most / least) * shorter > longest) {
    exact = (longest * least) / most
    side = rounded(exact)
    // The shorter side has that size already, so the longer side need not be computed.
    if (least === side) return [height, width]
  }
  const longer = Math.trunc((exact * most) / least)
  return width <= height ? [longer, side] : [side, longer]
}

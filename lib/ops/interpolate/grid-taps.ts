/**
 * The elements along one axis that count at positions of a grid, and their weights. Formulas are PyTorch's
 * (aten/src/ATen/native/GridSampler.h).
 */
import { noGrad } from '../../autograd/mode.js'
import type { Tensor } from '../../core/tensor.js'
import { castTo } from '../convert.js'
import { full } from '../creation.js'
import {
  add,
  clamp,
  div,
  eq,
  floor,
  ge,
  gt,
  le,
  logicalAnd,
  lt,
  mul,
  neg,
  round,
  sub,
  where,
} from '../elementwise/index.js'
import { detach } from '../shape/index.js'

export type GridMode = 'bilinear' | 'nearest' | 'bicubic'
export type GridPadding = 'zeros' | 'border' | 'reflection'

export const modes: readonly GridMode[] = ['bilinear', 'nearest', 'bicubic']
export const edges: readonly GridPadding[] = ['zeros', 'border', 'reflection']

/** An element for each position. */
export interface Tap {
  /** Its index (int32), which is valid everywhere. */
  readonly index: Tensor
  /** Whether it lies inside (bool); null if it always does. */
  readonly inside: Tensor | null
  /** Its weight; null for 1. */
  readonly weight: Tensor | null
}

interface Sampling {
  readonly mode: GridMode
  readonly paddingMode: GridPadding
  readonly alignCorners: boolean
}

/** Positions from 0 to length - 1, or the border. What lies beyond, or is NaN, gets no gradient. */
function clipped(at: Tensor, length: number): Tensor {
  const [last, still] = [length - 1, detach(at)]
  const border = where(ge(still, last), last, 0)
  return where(logicalAnd(gt(still, 0), lt(still, last)), at, castTo(border, at.dtype))
}

/** Positions mirrored at the centres of the outermost elements, or at their outer edges. */
function reflected(at: Tensor, length: number, alignCorners: boolean): Tensor {
  const least = alignCorners ? 0 : -0.5
  const span = alignCorners ? length - 1 : length
  if (span === 0) return mul(at, 0)
  const from = sub(at, least)
  const distance = where(lt(detach(from), 0), neg(from), from)
  const flips = floor(div(detach(distance), span))
  const rest = sub(distance, mul(flips, span))
  const isEven = eq(mul(floor(div(flips, 2)), 2), flips)
  return where(isEven, add(rest, least), sub(span + least, rest))
}

function within(at: Tensor, length: number, { paddingMode, alignCorners }: Sampling): Tensor {
  if (paddingMode === 'zeros') return at
  return clipped(paddingMode === 'border' ? at : reflected(at, length, alignCorners), length)
}

/** The element at whole positions. */
function tap(at: Tensor, length: number, paddingMode: GridPadding, weight: Tensor | null): Tap {
  return noGrad(() => ({
    index: castTo(clamp(at, 0, length - 1), 'int32'),
    inside: paddingMode === 'zeros' ? logicalAnd(ge(at, 0), le(at, length - 1)) : null,
    weight,
  }))
}

/** Keys' cubic kernel at a distance of less than 1, and of 1 to 2. */
const a = -0.75
const near = (x: Tensor): Tensor => add(mul(mul(sub(mul(x, a + 2), a + 3), x), x), 1)
const far = (x: Tensor): Tensor => sub(mul(add(mul(sub(mul(x, a), 5 * a), x), 8 * a), x), 4 * a)

/** Weights of 1 that give the positions a gradient of 0, as in PyTorch. */
function withoutSlope(places: Tensor): Tensor {
  return where(full([], 0, { dtype: 'bool', device: places.device }), places, 1)
}

/** The taps for places from -1 to 1 along an axis of `length` elements. */
export function tapsAlong(places: Tensor, length: number, sampling: Sampling): readonly Tap[] {
  const { mode, paddingMode, alignCorners } = sampling
  const from1 = add(places, 1)
  const at = alignCorners ? mul(div(from1, 2), length - 1) : div(sub(mul(from1, length), 1), 2)
  if (mode === 'nearest') {
    const weight = places.requiresGrad ? withoutSlope(places) : null
    return [tap(round(within(detach(at), length, sampling)), length, paddingMode, weight)]
  }
  if (mode === 'bilinear') {
    const position = within(at, length, sampling)
    const low = floor(detach(position))
    const high = add(low, 1)
    const rest = sub(position, low)
    return [tap(low, length, paddingMode, sub(1, rest)), tap(high, length, paddingMode, rest)]
  }
  const low = floor(detach(at))
  const rest = sub(at, low)
  const back = sub(1, rest)
  return [far(add(rest, 1)), near(rest), near(back), far(add(back, 1))].map((weight, i) =>
    tap(within(add(low, i - 1), length, sampling), length, paddingMode, weight),
  )
}

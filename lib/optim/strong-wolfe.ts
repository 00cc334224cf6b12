/**
 * A line search for the strong Wolfe conditions: a step must lower the loss enough, and the slope after it must be
 * small. The algorithms are 3.5 and 3.6 of Nocedal and Wright, Numerical Optimization, 2006, with the cubic
 * interpolation of Minfunc.
 */

/** A place along the line: the step to it, the loss and its slope there, and what else the caller keeps of it. */
export interface Place<G> {
  readonly step: number
  readonly loss: number
  readonly slope: number
  readonly gradient: G
}

/** The share of the loss's first fall that a step must reach. */
const sufficientFall = 1e-4
/** The share of the first slope that may remain. */
const remainingSlope = 0.9

/** The minimum of the cubic through two places with their slopes, within bounds; their middle if there is none. */
function cubicMinimum(a: Place<unknown>, b: Place<unknown>, least: number, most: number): number {
  const [left, right] = a.step <= b.step ? [a, b] : [b, a]
  const bend = left.slope + right.slope - (3 * (left.loss - right.loss)) / (left.step - right.step)
  const root = Math.sqrt(bend * bend - left.slope * right.slope)
  const share = (right.slope + root - bend) / (right.slope - left.slope + 2 * root)
  const place = right.step - (right.step - left.step) * share
  return Number.isNaN(place) ? (least + most) / 2 : Math.min(Math.max(place, least), most)
}

const sorted = <G>(a: Place<G>, b: Place<G>): [best: Place<G>, other: Place<G>] => (b.loss < a.loss ? [b, a] : [a, b])

/**
 * Searches from `start`, whose step is 0 and whose slope is negative, and tries `first` at first. `reach` is the largest
 * element of the direction, and `tolerance` the smallest change of a parameter that is worth a try. After `first` it
 * tries at most `mostSteps` places. A loss that is not finite counts as too high. Returns the best place.
 */
export function strongWolfe<G>(
  evaluate: (step: number) => Place<G>,
  start: Place<G>,
  first: number,
  reach: number,
  tolerance: number,
  mostSteps: number,
): Place<G> {
  const isTooHigh = ({ step, loss }: Place<G>) => !(loss <= start.loss + sufficientFall * step * start.slope)
  const isFlat = ({ slope }: Place<G>) => Math.abs(slope) <= -remainingSlope * start.slope
  let before = start
  let here = evaluate(first)
  let tries = 0
  let bracket: [best: Place<G>, other: Place<G>] | null = null
  for (; tries < mostSteps && bracket === null; tries++) {
    if (isTooHigh(here) || (tries > 1 && here.loss >= before.loss)) bracket = sorted(before, here)
    else if (isFlat(here)) return here
    else if (here.slope >= 0) bracket = sorted(before, here)
    else {
      const step = cubicMinimum(before, here, here.step + 0.01 * (here.step - before.step), here.step * 10)
      before = here
      here = evaluate(step)
    }
  }
  if (bracket === null) return sorted(start, here)[0]
  // The round that found the bracket evaluated nothing.
  return zoom(bracket, tries - 1)

  function zoom([best, other]: [best: Place<G>, other: Place<G>], done: number): Place<G> {
    let wasNearEnd = false
    for (let i = done; i < mostSteps; i++) {
      const [least, most] = best.step < other.step ? [best.step, other.step] : [other.step, best.step]
      if ((most - least) * reach < tolerance) break
      let step = cubicMinimum(best, other, least, most)
      const margin = 0.1 * (most - least)
      const isNearEnd = Math.min(most - step, step - least) < margin
      const isMoved: boolean = isNearEnd && (wasNearEnd || step >= most || step <= least)
      if (isMoved) step = Math.abs(step - most) < Math.abs(step - least) ? most - margin : least + margin
      wasNearEnd = isNearEnd && !isMoved
      const found = evaluate(step)
      if (isTooHigh(found) || found.loss >= best.loss) [best, other] = sorted(best, found)
      else {
        if (isFlat(found)) return found
        if (found.slope * (other.step - best.step) >= 0) other = best
        best = found
      }
    }
    return best
  }
}

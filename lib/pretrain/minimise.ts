/**
 * Minimises a smooth convex function by L-BFGS (Liu and Nocedal, 1989), with a line search that halves steps (Armijo).
 */

/** Pairs of steps and changes of the gradient that represent the curvature. */
const remembered = 10
const mostSteps = 1000
/** The largest part of the gradient at the end, relative to the value. */
const tolerance = 1e-8

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * (b[i] as number), 0)

/**
 * Moves `x` to the minimum, and returns the least value. `value` returns the function's value at a point and writes its
 * gradient. Ends when the gradient is 1e-8 of the value, when no step leads down any more, or after 1000 steps.
 */
export function minimise(x: Float64Array, value: (x: Float64Array, gradient: Float64Array) => number): number {
  let gradient = new Float64Array(x.length)
  let best = value(x, gradient)
  const pairs: { readonly step: Float64Array; readonly change: Float64Array; readonly rho: number }[] = []
  for (let count = 0; count < mostSteps; count++) {
    if (gradient.every((g) => Math.abs(g) <= tolerance * Math.max(1, Math.abs(best)))) return best
    const direction = gradient.map((g) => -g)
    const shares: number[] = []
    for (const { step, change, rho } of [...pairs].reverse()) {
      const share = rho * dot(step, direction)
      shares.unshift(share)
      for (let i = 0; i < x.length; i++) direction[i] = (direction[i] as number) - share * (change[i] as number)
    }
    const last = pairs.at(-1)
    const scale =
      last === undefined
        ? 1 / Math.max(1, Math.sqrt(dot(gradient, gradient)))
        : 1 / (last.rho * dot(last.change, last.change))
    for (let i = 0; i < x.length; i++) direction[i] = (direction[i] as number) * scale
    for (const [p, { step, change, rho }] of pairs.entries()) {
      const share = (shares[p] as number) - rho * dot(change, direction)
      for (let i = 0; i < x.length; i++) direction[i] = (direction[i] as number) + share * (step[i] as number)
    }
    const slope = dot(gradient, direction)
    const next = new Float64Array(x.length)
    const nextGradient = new Float64Array(x.length)
    let [length, reached] = [1, Number.POSITIVE_INFINITY]
    for (; length > 1e-12; length /= 2) {
      for (let i = 0; i < x.length; i++) next[i] = (x[i] as number) + length * (direction[i] as number)
      reached = value(next, nextGradient)
      if (reached <= best + 1e-4 * length * slope) break
    }
    if (!(reached < best)) return best
    const step = next.map((each, i) => each - (x[i] as number))
    const change = nextGradient.map((each, i) => each - (gradient[i] as number))
    const curvature = dot(step, change)
    if (curvature > 1e-12 * dot(change, change)) pairs.push({ step, change, rho: 1 / curvature })
    if (pairs.length > remembered) pairs.shift()
    x.set(next)
    gradient = nextGradient
    best = reached
  }
  return best
}

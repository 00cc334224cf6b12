/** Weighted means and squared distances from them, added up without cancellation, and correlations. */
import type { Part } from './parts.js'

/** Sums of one column: weights, items, means of outputs and of targets, and products of distances from these. */
export interface ColumnMoments {
  readonly weight: number
  readonly count: number
  readonly outputSpread: number
  readonly targetSpread: number
  readonly both: number
  /** Sums of the squared errors, and of the squared distances of the errors from their mean. */
  readonly squaredError: number
  readonly errorSpread: number
}

/**
 * The numbers of a column: weight, count, mean output, mean target, output spread, target spread, product, mean error,
 * error spread, squared error.
 */
const fields = 10

/**
 * Moments by column, after Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
 * Variances" (1979).
 */
export class Moments implements Part {
  #values = new Float64Array(0)

  grow(columns: number): void {
    if (columns * fields <= this.#values.length) return
    const longer = new Float64Array(columns * fields)
    longer.set(this.#values)
    this.#values = longer
  }

  add(column: number, output: number, target: number, weight: number): void {
    const error = target - output
    this.#join(column * fields, [weight, 1, output, target, 0, 0, 0, error, 0, weight * error * error])
  }

  /** Adds the moments of other items to those at `at`. */
  #join(at: number, other: ArrayLike<number>): void {
    const own = this.#values.subarray(at, at + fields)
    const of = (i: number) => own[i] as number
    const [weight, otherWeight] = [of(0), other[0] as number]
    own[1] = of(1) + (other[1] as number)
    if (otherWeight === 0) return
    const total = weight + otherWeight
    const [share, factor] = [otherWeight / total, (weight * otherWeight) / total]
    const gap = (i: number) => (other[i] as number) - of(i)
    const [output, target, error] = [gap(2), gap(3), gap(7)]
    own[0] = total
    own[4] = of(4) + (other[4] as number) + factor * output * output
    own[5] = of(5) + (other[5] as number) + factor * target * target
    own[6] = of(6) + (other[6] as number) + factor * output * target
    own[8] = of(8) + (other[8] as number) + factor * error * error
    own[9] = of(9) + (other[9] as number)
    own[2] = of(2) + share * output
    own[3] = of(3) + share * target
    own[7] = of(7) + share * error
  }

  column(column: number): ColumnMoments {
    const [weight, count, , , outputSpread, targetSpread, both, , errorSpread, squaredError] = this.#values.subarray(
      column * fields,
      (column + 1) * fields,
    ) as unknown as readonly [number, number, number, number, number, number, number, number, number, number]
    return { weight, count, outputSpread, targetSpread, both, squaredError, errorSpread }
  }

  dump(): Float64Array {
    return this.#values
  }

  take(numbers: Float64Array): void {
    this.grow(numbers.length / fields)
    for (let at = 0; at < numbers.length; at += fields) this.#join(at, numbers.subarray(at, at + fields))
  }
}

/** Pearson's correlation, within [-1, 1]; NaN where either does not vary. */
export function correlationOf({ outputSpread, targetSpread, both }: ColumnMoments): number {
  const value = both / (Math.sqrt(outputSpread) * Math.sqrt(targetSpread))
  return Math.max(-1, Math.min(1, value))
}

/** Ranks from 1; equal values share the mean of theirs. */
function ranksOf(values: Float64Array): Float64Array {
  const order = [...values.keys()].sort((a, b) => (values[a] as number) - (values[b] as number))
  const ranks = new Float64Array(values.length)
  for (let start = 0; start < order.length; ) {
    let end = start + 1
    while (end < order.length && values[order[end] as number] === values[order[start] as number]) end++
    for (let place = start; place < end; place++) ranks[order[place] as number] = (start + 1 + end) / 2
    start = end
  }
  return ranks
}

export function spearmanOf(outputs: Float64Array, targets: Float64Array): number {
  if (outputs.some(Number.isNaN) || targets.some(Number.isNaN)) return Number.NaN
  const [a, b] = [ranksOf(outputs), ranksOf(targets)]
  const moments = new Moments()
  moments.grow(1)
  for (const [i, rank] of a.entries()) moments.add(0, rank, b[i] as number, 1)
  return correlationOf(moments.column(0))
}

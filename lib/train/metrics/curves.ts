/**
 * Curves over all thresholds of scores, and the areas under them. This file computes with numbers only, not with
 * tensors.
 */

/** Items of one yes-or-no question: scores, 0 or 1, weights. */
export interface Scored {
  readonly scores: Float64Array
  readonly labels: Float64Array
  readonly weights: Float64Array
}

/** The weights of the 1s and of the 0s with at least the score of a threshold, by falling threshold. */
interface Passed {
  readonly thresholds: number[]
  readonly ones: number[]
  readonly zeros: number[]
}

/** One entry for each score with a weight. */
function passed({ scores, labels, weights }: Scored): Passed {
  const order = new Uint32Array(scores.length)
  for (let i = 0; i < order.length; i++) order[i] = i
  // The difference is not used, because that of two infinities is NaN.
  order.sort((a, b) => {
    const [x, y] = [scores[a] as number, scores[b] as number]
    return x === y ? 0 : x > y ? -1 : 1
  })
  const result: Passed = { thresholds: [], ones: [], zeros: [] }
  const { thresholds, ones, zeros } = result
  let [one, zero] = [0, 0]
  for (const i of order) {
    const [score, weight] = [scores[i] as number, weights[i] as number]
    if (weight === 0) continue
    if (labels[i] === 1) one += weight
    else zero += weight
    const at = thresholds.at(-1) === score ? thresholds.length - 1 : thresholds.length
    thresholds[at] = score
    ones[at] = one
    zeros[at] = zero
  }
  return result
}

export interface RocCurve {
  /** The share of 0s with at least the threshold's score. */
  readonly fpr: number[]
  /** The share of 1s with at least the threshold's score. */
  readonly tpr: number[]
  /** In the unit of the outputs. The first is Infinity, which no score reaches. */
  readonly thresholds: number[]
}

export interface PrecisionRecallCurve {
  /**
   * The share of 1s among the items with at least the threshold's score. The last is 1, and belongs to no threshold.
   */
  readonly precision: number[]
  /** The share of the 1s with at least the threshold's score. The last is 0. */
  readonly recall: number[]
  /** Rising. There is one fewer than of the others. */
  readonly thresholds: number[]
}

/** Points at which the curve changes its direction. */
function corners({ thresholds, ones, zeros }: Passed): Passed {
  const bends = (values: readonly number[], i: number) =>
    (values[i + 1] as number) - 2 * (values[i] as number) + (values[i - 1] as number) !== 0
  const kept = thresholds
    .map((_, i) => i)
    .filter((i) => i === 0 || i === thresholds.length - 1 || bends(ones, i) || bends(zeros, i))
  const of = (values: readonly number[]) => kept.map((i) => values[i] as number)
  return { thresholds: of(thresholds), ones: of(ones), zeros: of(zeros) }
}

export function rocCurveOf(items: Scored, dropIntermediate = false): RocCurve {
  const all = passed(items)
  const { thresholds, ones, zeros } = dropIntermediate && all.thresholds.length > 2 ? corners(all) : all
  const shares = (values: readonly number[]) => [0, ...values].map((value) => value / (values.at(-1) ?? Number.NaN))
  return {
    fpr: shares(zeros),
    tpr: shares(ones),
    thresholds: [Number.POSITIVE_INFINITY, ...thresholds],
  }
}

export function precisionRecallCurveOf(items: Scored): PrecisionRecallCurve {
  const { thresholds, ones, zeros } = passed(items)
  const total = ones.at(-1) ?? 0
  return {
    precision: [...ones.map((one, i) => one / (one + (zeros[i] as number))).reverse(), 1],
    // If there is no 1, all of them pass.
    recall: [...ones.map((one) => (total === 0 ? 1 : one / total)).reverse(), 0],
    thresholds: thresholds.reverse(),
  }
}

/** The area under a polyline, by trapezoids. */
function areaUnder(x: readonly number[], y: readonly number[]): number {
  let area = 0
  for (let i = 1; i < x.length; i++)
    area += (((x[i] as number) - (x[i - 1] as number)) * ((y[i] as number) + (y[i - 1] as number))) / 2
  return area
}

/** NaN if there are only 1s or only 0s. */
export function rocAucOf(items: Scored, maxFpr = 1): number {
  const { fpr, tpr } = rocCurveOf(items)
  if (maxFpr === 1 || Number.isNaN(fpr.at(-1)) || Number.isNaN(tpr.at(-1))) return areaUnder(fpr, tpr)
  const after = fpr.findIndex((rate) => rate > maxFpr)
  const [x0, x1] = [fpr[after - 1] as number, fpr[after] as number]
  const [y0, y1] = [tpr[after - 1] as number, tpr[after] as number]
  const end = y0 + ((y1 - y0) * (maxFpr - x0)) / (x1 - x0)
  const area = areaUnder([...fpr.slice(0, after), maxFpr], [...tpr.slice(0, after), end])
  // McClish's correction, which gives 0.5 for chance and 1 for the best.
  const least = maxFpr ** 2 / 2
  return (1 + (area - least) / (maxFpr - least)) / 2
}

/** The mean precision over the 1s, or 0 if there are none. */
export function averagePrecisionOf(items: Scored): number {
  const { precision, recall } = precisionRecallCurveOf(items)
  let sum = 0
  for (let i = 0; i + 1 < recall.length; i++)
    sum += ((recall[i] as number) - (recall[i + 1] as number)) * (precision[i] as number)
  return Math.max(0, sum)
}

export function prAucOf(items: Scored): number {
  const { precision, recall } = precisionRecallCurveOf(items)
  return -areaUnder(recall, precision)
}

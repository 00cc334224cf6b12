/** Conclusions from a handful of noisy samples. */

export interface Interval {
  readonly estimate: number
  readonly low: number
  readonly high: number
  /**
   * The probability with which such an interval holds the true value. It is below the requested one if there are too
   * few samples.
   */
  readonly confidence: number
}

/**
 * The probability that the ranks of the positive numbers sum to less than `limit`, among `n` numbers that are symmetric
 * about 0.
 */
function rankSumBelow(n: number, limit: number): number {
  // ways[s] is the number of subsets of the ranks 1 to n that sum to s.
  const ways = new Float64Array((n * (n + 1)) / 2 + 1)
  ways[0] = 1
  for (let rank = 1; rank <= n; rank++)
    for (let sum = ways.length - 1; sum >= rank; sum--) ways[sum] = (ways[sum] as number) + (ways[sum - rank] as number)
  let below = 0
  for (let sum = 0; sum < limit && sum < ways.length; sum++) below += ways[sum] as number
  return below / 2 ** n
}

/**
 * The centre of a symmetric distribution, with its confidence interval. The centre is the median of all pairs' means.
 * The interval holds the centres that Wilcoxon's signed-rank test does not reject; its ends are two order statistics of
 * the same means (Hodges and Lehmann 1963). One outlier hardly moves it.
 */
export function signedRankInterval(values: readonly number[], confidence = 0.95): Interval {
  const n = values.length
  if (n === 0) throw new Error('an interval needs at least one sample')
  const means: number[] = []
  for (let i = 0; i < n; i++)
    for (let j = i; j < n; j++) means.push(((values[i] as number) + (values[j] as number)) / 2)
  means.sort((a, b) => a - b)
  let cut = 1
  while (cut < means.length / 2 && 2 * rankSumBelow(n, cut + 1) <= 1 - confidence) cut++
  const middle = (means.length - 1) / 2
  return {
    estimate: ((means[Math.floor(middle)] as number) + (means[Math.ceil(middle)] as number)) / 2,
    low: means[cut - 1] as number,
    high: means[means.length - cut] as number,
    confidence: 1 - 2 * rankSumBelow(n, cut),
  }
}

/** The ratio of their times to ours, from samples that were taken in turns. Null without samples. */
export function pairedRatio(theirs: readonly number[], ours: readonly number[]): Interval | null {
  const pairs = Math.min(theirs.length, ours.length)
  if (pairs === 0) return null
  const logarithms = Array.from({ length: pairs }, (_, i) => Math.log((theirs[i] as number) / (ours[i] as number)))
  const { estimate, low, high, confidence } = signedRankInterval(logarithms)
  return { estimate: Math.exp(estimate), low: Math.exp(low), high: Math.exp(high), confidence }
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length)
}

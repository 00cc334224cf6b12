/**
 * Random JavaScript numbers from a generator's positions. Two words of a Philox block make a number of 53 bits, which
 * has no measurable bias for any count that fits in memory.
 */
import { normalQuantile } from './distributions.js'
import type { Generator, RandomPosition } from './generator.js'
import { philox4 } from './philox.js'
import { askHeap, checkEntries, mostEntries } from './room.js'

const words = new Uint32Array(4)

/** A uniform number in [0, 1) from two words of a block: its first half, or its second. */
function unit({ seed, stream, offset }: RandomPosition, block: number, half: 0 | 1): number {
  philox4(seed, stream, offset + block, words)
  const [high, low] = [words[2 * half] as number, words[2 * half + 1] as number]
  return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53
}

/** A uniform number in [0, 1), with 53 bits. */
export function drawUnit(generator: Generator): number {
  return unit(generator.take(2), 0, 0)
}

/** A standard normal number. */
export function drawNormal(generator: Generator): number {
  const { seed, stream, offset } = generator.take(1)
  philox4(seed, stream, offset, words)
  return normalQuantile(words[0] as number)
}

/**
 * Numbers of the exponential distribution with this rate. Each takes one word, and reads it as the middle of its
 * interval.
 */
export function exponentials(count: number, rate: number, generator: Generator): Float64Array {
  const { seed, stream, offset } = generator.take(count)
  return Float64Array.from({ length: count }, (_, i) => {
    if (i % 4 === 0) philox4(seed, stream, offset + i / 4, words)
    return -Math.log(((words[i % 4] as number) + 0.5) / 2 ** 32) / rate
  })
}

/** A random order of 0 .. length - 1 (Fisher and Yates), determined by the generator's state. */
export function permutation(length: number, generator: Generator, op = 'randperm'): number[] {
  checkEntries(op, length, mostEntries, 'places', 'draw from fewer')
  askHeap(8 * length, op, `${length} places`, 'draw from fewer')
  const position = generator.take(2 * length)
  const order = Array.from({ length }, (_, i) => i)
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(unit(position, i >> 1, i % 2 === 1 ? 1 : 0) * (i + 1))
    const moved = order[i] as number
    order[i] = order[j] as number
    order[j] = moved
  }
  return order
}

/** The reason why these weights do not allow `count` draws, or null. */
export function faultOfWeights(weights: ArrayLike<number>, count: number, replacement: boolean): string | null {
  let positive = 0
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] as number
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY))
      return `the weight at ${i} is ${weight}, but must be finite and at least 0`
    if (weight > 0) positive++
  }
  if (count > 0 && positive === 0) return 'no weight is above 0, so there is nothing to choose'
  if (!replacement && count > positive)
    return `cannot choose ${count} of the ${positive} weights above 0; give replacement: true, or choose fewer`
  return null
}

/** Writes the running sums of the weights, and returns the total. */
function sums(weights: ArrayLike<number>, to: Float64Array): number {
  let total = 0
  for (let i = 0; i < to.length; i++) {
    total += weights[i] as number
    to[i] = total
  }
  return total
}

/**
 * The first index whose running sum exceeds `target`. If rounding made `target` the total, the last index with a
 * weight.
 */
function placeOf(target: number, upTo: Float64Array, weights: ArrayLike<number>): number {
  let low = 0
  let high = upTo.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((upTo[middle] as number) > target) high = middle
    else low = middle + 1
  }
  while (low === upTo.length || weights[low] === 0) low--
  return low
}

/** Indices drawn with probabilities proportional to the weights, which must have no fault (`faultOfWeights`). */
export function choices(
  weights: ArrayLike<number>,
  count: number,
  replacement: boolean,
  generator: Generator,
): Int32Array {
  const position = generator.take(4 * count)
  const upTo = new Float64Array(weights.length)
  const left = replacement ? weights : Float64Array.from(weights)
  let total = sums(left, upTo)
  return Int32Array.from({ length: count }, (_, i) => {
    const place = placeOf(unit(position, i, 0) * total, upTo, left)
    if (left instanceof Float64Array && !replacement) {
      left[place] = 0
      // The sums are computed anew, because subtracting the weight from the total would round, and could choose an
      // index again.
      if (i + 1 < count) total = sums(left, upTo)
    }
    return place
  })
}

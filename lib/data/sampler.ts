/** The choice of the rows of a pass, and of their batches. */
import { exponentials, faultOfWeights, permutation } from '../core/draws.js'
import { kindOf, shown, ValueError } from '../core/errors.js'
import type { Generator } from '../core/generator.js'
import { checkFlag, checkOptions, listOf } from '../core/options.js'

/** The facts that a loader gives its sampler at the beginning of a pass. */
export interface SamplerPass {
  /** The number of rows in the dataset. */
  readonly length: number
  readonly batchSize: number
  readonly dropLast: boolean
  readonly shuffle: boolean
}

/** Chooses the rows of each pass. */
export interface Sampler {
  /** The number of batches, the same in each pass. Throws if the dataset or the options of the loader do not fit. */
  count(pass: SamplerPass): number
  /** The indices of each batch, in order. Everything is drawn before this returns. */
  batches(pass: SamplerPass, generator: Generator): Iterable<readonly number[]>
}

/** The number of batches of `batchSize` from this many rows. */
export function countBatches(rows: number, { batchSize, dropLast }: SamplerPass): number {
  return dropLast ? Math.floor(rows / batchSize) : Math.ceil(rows / batchSize)
}

/** Lists of `batchSize` of the indices. */
function* cut(order: ArrayLike<number> | null, rows: number, pass: SamplerPass): Iterable<readonly number[]> {
  for (let batch = 0; batch < countBatches(rows, pass); batch++) {
    const from = batch * pass.batchSize
    const count = Math.min(pass.batchSize, rows - from)
    yield Array.from({ length: count }, (_, i) => (order === null ? from + i : (order[from + i] as number)))
  }
}

/**
 * Every row once, in the order of the dataset or, with `shuffle`, in a random one, as a loader does without a sampler.
 */
export const everyRow: Sampler = {
  count: (pass) => countBatches(pass.length, pass),
  batches: (pass, generator) => cut(pass.shuffle ? permutation(pass.length, generator) : null, pass.length, pass),
}

export interface WeightedOptions {
  /** Rows in a pass. Default: the number of weights with replacement; without it, the number of those above 0. */
  readonly count?: number
  /** Whether a row may occur more than once. Default true. */
  readonly replacement?: boolean
}

/**
 * Draws rows with probabilities proportional to their weights, such as 1 / (rows of the same class). Like PyTorch's
 * WeightedRandomSampler. Without replacement it uses exponential keys (Efraimidis and Spirakis 2006). Throws ValueError
 * for weights that are not numbers of at least 0, and if their number is not that of the rows.
 */
export function weighted(weights: ArrayLike<number>, options: WeightedOptions = {}): Sampler {
  const op = 'weighted'
  const { replacement = true, count } = checkOptions(op, options, { count: true, replacement: true })
  checkFlag(op, 'replacement', replacement)
  const own = numbersOf(op, 'weights', weights)
  const positive = own.reduce((sum, weight) => sum + (weight > 0 ? 1 : 0), 0)
  const rows = count ?? (replacement ? own.length : positive)
  if (!Number.isSafeInteger(rows) || rows < 0 || rows > 2 ** 31 - 1)
    throw new ValueError(op, `count is ${shown(rows)}, but must be an integer from 0 to ${2 ** 31 - 1}`)
  const fault = faultOfWeights(own, rows, replacement)
  if (fault !== null) throw new ValueError(op, fault)
  const check = ({ length, shuffle }: SamplerPass) => {
    if (length !== own.length)
      throw new ValueError(op, `there are ${own.length} weights, but the dataset has ${length} rows; give one for each`)
    if (shuffle) throw new ValueError(op, 'the sampler already orders rows randomly; leave shuffle out')
  }
  return {
    count(pass) {
      check(pass)
      return countBatches(rows, pass)
    },
    batches(pass, generator) {
      check(pass)
      return cut(replacement ? generator.multinomial(own, rows, true) : firstByKeys(own, rows, generator), rows, pass)
    },
  }
}

/** The indices of the smallest keys, which are exponential with the weights as their rates. */
function firstByKeys(weights: Float64Array, count: number, generator: Generator): ArrayLike<number> {
  const keys = exponentials(weights.length, 1, generator).map((key, i) => key / (weights[i] as number))
  return Uint32Array.from(keys.keys())
    .sort((a, b) => (keys[a] as number) - (keys[b] as number) || a - b)
    .subarray(0, count)
}

export interface ByLengthOptions {
  /** The most tokens in a batch, including padding: rows times the longest. Replaces the loader's batchSize. */
  readonly tokens?: number
}

/**
 * Batches of rows of similar length, so that little is padded. The rows are sorted by length and cut into batches of
 * the loader's `batchSize`, or of as many as `tokens` hold. With `shuffle`, rows of the same length and then the
 * batches are in a random order; without, they go from short to long. Throws ValueError for a row that is longer than
 * `tokens`.
 */
export function byLength(lengths: ArrayLike<number>, options: ByLengthOptions = {}): Sampler {
  const op = 'byLength'
  const { tokens } = checkOptions(op, options, { tokens: true })
  const own = numbersOf(op, 'lengths', lengths)
  const wrong = own.findIndex((length) => !Number.isSafeInteger(length) || length < 0)
  if (wrong >= 0)
    throw new ValueError(op, `the length of row ${wrong} is ${own[wrong]}, but must be a non-negative integer`)
  if (tokens !== undefined) {
    if (!Number.isSafeInteger(tokens) || tokens < 1)
      throw new ValueError(op, `tokens is ${shown(tokens)}, but must be a positive integer`)
    const long = own.findIndex((length) => length > tokens)
    if (long >= 0)
      throw new ValueError(
        op,
        `row ${long} has ${own[long]} tokens, but a batch holds ${tokens}; shorten it, or raise tokens`,
      )
  }
  const sorted = (order: ArrayLike<number>) =>
    Uint32Array.from(order).sort((a, b) => (own[a] as number) - (own[b] as number))
  const cutAll = (order: Uint32Array, pass: SamplerPass): (readonly number[])[] => {
    if (pass.length !== own.length)
      throw new ValueError(
        op,
        `there are ${own.length} lengths, but the dataset has ${pass.length} rows; give one for each`,
      )
    if (tokens === undefined) return [...cut(order, order.length, pass)]
    if (pass.dropLast) throw new ValueError(op, 'batches by tokens have different numbers of rows; leave dropLast out')
    return cutByTokens(order, own, tokens)
  }
  return {
    // The sorted lengths do not depend on the order of equal ones, and neither do the cuts.
    count: (pass) => cutAll(sorted(own.map((_, i) => i)), pass).length,
    batches(pass, generator) {
      if (!pass.shuffle) return cutAll(sorted(own.map((_, i) => i)), pass)
      const batches = cutAll(sorted(permutation(own.length, generator)), pass)
      return permutation(batches.length, generator).map((i) => batches[i] as readonly number[])
    },
  }
}

function cutByTokens(order: Uint32Array, lengths: Float64Array, tokens: number): number[][] {
  const batches: number[][] = []
  let batch: number[] = []
  for (const row of order) {
    // This is the longest so far, because rows go from short to long.
    if (batch.length > 0 && (batch.length + 1) * (lengths[row] as number) > tokens) {
      batches.push(batch)
      batch = []
    }
    batch.push(row)
  }
  return batch.length > 0 ? [...batches, batch] : batches
}

function numbersOf(op: string, name: string, values: ArrayLike<number>): Float64Array {
  const own = listOf(op, name, values as unknown as Iterable<number>, 'an array of numbers')
  const wrong = own.findIndex((value) => typeof value !== 'number')
  if (wrong >= 0) throw new ValueError(op, `${name} hold ${kindOf(own[wrong])} at ${wrong}, but must be numbers`)
  return Float64Array.from(own)
}

/** Throws unless it is a sampler, or left out. */
export function checkSampler(op: string, sampler: unknown): void {
  const { count, batches } = (sampler ?? {}) as { readonly [name: string]: unknown }
  if (sampler !== undefined && (typeof count !== 'function' || typeof batches !== 'function'))
    throw new ValueError(
      op,
      `sampler is ${kindOf(sampler)}, but must have count(pass) and batches(pass, generator), such as weighted(weights)`,
    )
}

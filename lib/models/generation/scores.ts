/** Changes to the next token's scores before one is chosen. All work in place, and -Infinity excludes a token. */

export type Scores = Float64Array

const never = Number.NEGATIVE_INFINITY

/** log softmax. */
export function logProbabilities(scores: ArrayLike<number>): Float64Array {
  let peak = never
  for (let i = 0; i < scores.length; i++) peak = Math.max(peak, scores[i] as number)
  let total = 0
  for (let i = 0; i < scores.length; i++) total += Math.exp((scores[i] as number) - peak)
  const shift = peak + Math.log(total)
  const logs = new Float64Array(scores)
  for (let i = 0; i < logs.length; i++) logs[i] = (logs[i] as number) - shift
  return logs
}

/**
 * Divides positive scores of tokens that are already in the text by `penalty`, and multiplies negative ones by it
 * (Keskar et al., 2019).
 */
export function repetitionPenalty(scores: Scores, tokens: Iterable<number>, penalty: number): void {
  for (const token of new Set(tokens)) {
    const score = scores[token]
    if (score !== undefined) scores[token] = score < 0 ? score * penalty : score / penalty
  }
}

/** Excludes tokens that would repeat a run of `size` tokens. */
export function noRepeatNgrams(scores: Scores, tokens: readonly number[], size: number): void {
  const last = tokens.length - (size - 1)
  if (last < 0) return
  for (let start = 0; start + size <= tokens.length; start++) {
    let same = true
    for (let i = 0; i < size - 1 && same; i++) same = tokens[start + i] === tokens[last + i]
    if (same) scores[tokens[start + size - 1] as number] = never
  }
}

/** Excludes tokens. */
export function ban(scores: Scores, tokens: readonly number[]): void {
  for (const token of tokens) if (token < scores.length) scores[token] = never
}

/** Excludes the last token of each word whose other tokens end the text. */
export function banWords(scores: Scores, tokens: readonly number[], words: readonly (readonly number[])[]): void {
  for (const word of words) {
    const last = word.length - 1
    const start = tokens.length - last
    if (start < 0) continue
    let same = true
    for (let i = 0; i < last && same; i++) same = tokens[start + i] === word[i]
    if (same) ban(scores, word.slice(last))
  }
}

/** Divides scores. Below 1 likely tokens become even likelier. */
export function temperature(scores: Scores, value: number): void {
  for (let i = 0; i < scores.length; i++) scores[i] = (scores[i] as number) / value
}

/** Keeps the `count` best tokens, and those that equal the last of them. */
export function topK(scores: Scores, count: number): void {
  if (count >= scores.length) return
  const best = kthLargest(scores, count)
  for (let i = 0; i < scores.length; i++) if ((scores[i] as number) < best) scores[i] = never
}

/** The kth largest score, found without sorting. */
function kthLargest(scores: Scores, k: number): number {
  // A heap of the k best scores, with the smallest on top.
  const heap = new Float64Array(k).fill(never)
  for (const score of scores) {
    if (score <= (heap[0] as number)) continue
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      if (left >= k) break
      const child = left + 1 < k && (heap[left + 1] as number) < (heap[left] as number) ? left + 1 : left
      if ((heap[child] as number) >= score) break
      heap[at] = heap[child] as number
      at = child
    }
    heap[at] = score
  }
  return heap[0] as number
}

/**
 * Keeps the best tokens up to and including the one with which their total probability reaches `mass` (nucleus
 * sampling, Holtzman et al., 2020). Among equally good tokens the later ones come first, as where transformers sorts
 * stably. Its sort on processors with AVX2 or AVX-512 keeps no order of its own there.
 */
export function topP(scores: Scores, mass: number): void {
  const logs = logProbabilities(scores)
  // All tokens below this floor together have less than the probability that may be dropped, so only few remain to be
  // sorted.
  const floor = Math.log((1 - mass) / scores.length)
  const candidates: number[] = []
  for (let i = 0; i < logs.length; i++) if ((logs[i] as number) >= floor) candidates.push(i)
  candidates.sort((a, b) => (logs[b] as number) - (logs[a] as number) || b - a)
  const kept = new Set<number>()
  let sum = 0
  for (const token of candidates) {
    if (sum >= mass && kept.size > 0) break
    kept.add(token)
    sum += Math.exp(logs[token] as number)
  }
  for (let i = 0; i < scores.length; i++) if (!kept.has(i)) scores[i] = never
}

/** Keeps tokens with at least `share` of the best one's probability. */
export function minP(scores: Scores, share: number): void {
  let peak = never
  for (const score of scores) peak = Math.max(peak, score)
  const least = peak + Math.log(share)
  for (let i = 0; i < scores.length; i++) if ((scores[i] as number) < least) scores[i] = never
}

/**
 * Keeps the tokens whose surprise is nearest to the expected surprise, until they reach `mass` (Meister et al., 2023),
 * and those that are as near as the last of them, as in transformers.
 */
export function typicalP(scores: Scores, mass: number): void {
  const logs = logProbabilities(scores)
  let entropy = 0
  for (const log of logs) if (log > never) entropy -= Math.exp(log) * log
  const far = (i: number) => Math.abs(-(logs[i] as number) - entropy)
  const order = Array.from(logs.keys()).sort((a, b) => far(a) - far(b))
  let [farthest, sum] = [Number.NEGATIVE_INFINITY, 0]
  for (const token of order) {
    if (sum >= mass && far(token) > farthest) break
    farthest = far(token)
    sum += Math.exp(logs[token] as number)
  }
  for (let i = 0; i < scores.length; i++) if (far(i) > farthest) scores[i] = never
}

/** The token with the best score. The first if there are several. */
export function best(scores: ArrayLike<number>): number {
  let found = 0
  for (let i = 1; i < scores.length; i++) if ((scores[i] as number) > (scores[found] as number)) found = i
  return found
}

/** Draws a token by its probability. `unit` is uniform in [0, 1). */
export function draw(scores: ArrayLike<number>, unit: number): number {
  let peak = never
  for (let i = 0; i < scores.length; i++) peak = Math.max(peak, scores[i] as number)
  let total = 0
  for (let i = 0; i < scores.length; i++) total += Math.exp((scores[i] as number) - peak)
  let left = unit * total
  let last = 0
  for (let i = 0; i < scores.length; i++) {
    const weight = Math.exp((scores[i] as number) - peak)
    if (weight === 0) continue
    last = i
    left -= weight
    if (left < 0) return i
  }
  // Rounding may leave a remainder after the last possible token.
  return last
}

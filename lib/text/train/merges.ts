/**
 * Training of byte pair encoding: the most frequent pair of neighbours becomes a token, again and again (Sennrich et
 * al. 2016). The pair with lower ids wins if several are equally frequent, as in Hugging Face tokenizers, whose result
 * is equal.
 */

/** Ids are below 2^24, so that a pair of them is a safe integer, and pairs compare like their numbers. */
const base = 2 ** 24

interface Candidate {
  readonly pair: number
  count: number
  /** Words that may contain it. */
  readonly words: ReadonlySet<number>
}

function isBefore(a: Candidate, b: Candidate): boolean {
  return a.count !== b.count ? a.count > b.count : a.pair < b.pair
}

class Queue {
  readonly #items: Candidate[] = []

  push(item: Candidate): void {
    const items = this.#items
    let at = items.push(item) - 1
    for (let parent = (at - 1) >> 1; at > 0 && isBefore(item, items[parent] as Candidate); parent = (at - 1) >> 1) {
      items[at] = items[parent] as Candidate
      at = parent
    }
    items[at] = item
  }

  pop(): Candidate | undefined {
    const items = this.#items
    const [top] = items
    const last = items.pop()
    if (last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && isBefore(items[child + 1] as Candidate, items[child] as Candidate)) child++
      if (!isBefore(items[child] as Candidate, last)) break
      items[at] = items[child] as Candidate
      at = child
    }
    items[at] = last
    return top
  }
}

export interface MergeTraining {
  readonly counts: ReadonlyMap<string, number>
  readonly vocabSize: number
  readonly minFrequency: number
  readonly special: readonly string[]
  /** Characters that are tokens even if no word has them. */
  readonly alphabet: readonly string[]
  /** The prefix of all of a word's tokens but the first. */
  readonly prefix: string
}

export interface TrainedMerges {
  readonly vocabulary: ReadonlyMap<string, number>
  readonly merges: readonly (readonly [left: string, right: string])[]
}

/** Special tokens, then characters by code, then merges. */
export function trainMerges(training: MergeTraining): TrainedMerges {
  const { counts, vocabSize, minFrequency, special, alphabet, prefix } = training
  const tokens: string[] = []
  const vocabulary = new Map<string, number>()
  const idOf = (token: string): number => {
    let id = vocabulary.get(token)
    if (id === undefined) {
      id = tokens.push(token) - 1
      vocabulary.set(token, id)
    }
    return id
  }
  special.forEach(idOf)
  for (const character of charactersOf(counts.keys(), alphabet)) idOf(character)
  const words = [...counts.keys()].map((word) =>
    [...word].map((character, i) => idOf((i > 0 ? prefix : '') + character)),
  )
  const weights = [...counts.values()]

  const pairCounts = new Map<number, number>()
  const places = new Map<number, Set<number>>()
  const note = (pair: number, change: number, word: number) => {
    pairCounts.set(pair, (pairCounts.get(pair) ?? 0) + change * (weights[word] as number))
    if (change < 0) return
    const held = places.get(pair)
    if (held === undefined) places.set(pair, new Set([word]))
    else held.add(word)
  }
  words.forEach((word, w) => {
    for (let i = 1; i < word.length; i++) note((word[i - 1] as number) * base + (word[i] as number), 1, w)
  })
  const queue = new Queue()
  const queueAll = () => {
    for (const [pair, held] of places) {
      const count = pairCounts.get(pair) as number
      if (count > 0) queue.push({ pair, count, words: held })
    }
    places.clear()
  }
  queueAll()

  const merges: [string, string][] = []
  while (vocabulary.size < vocabSize) {
    const top = queue.pop()
    if (top === undefined) break
    const count = pairCounts.get(top.pair) as number
    if (top.count !== count) {
      top.count = count
      queue.push(top)
      continue
    }
    if (count < 1 || count < minFrequency) break
    const [left, right] = [Math.floor(top.pair / base), top.pair % base]
    const [a, b] = [tokens[left] as string, tokens[right] as string]
    const made = idOf(a + b.slice(prefix.length))
    merges.push([a, b])
    for (const w of top.words) merge(words[w] as number[], left, right, made, (pair, change) => note(pair, change, w))
    queueAll()
  }
  return { vocabulary, merges }
}

function charactersOf(words: Iterable<string>, alphabet: readonly string[]): readonly string[] {
  const characters = new Set(alphabet)
  for (const word of words) for (const character of word) characters.add(character)
  return [...characters].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number))
}

/** Merges a pair everywhere in a word, from the left, and reports the pairs that appear and disappear. */
function merge(
  word: number[],
  left: number,
  right: number,
  made: number,
  note: (pair: number, change: 1 | -1) => void,
): void {
  for (let i = 0; i + 1 < word.length; i++) {
    if (word[i] !== left || word[i + 1] !== right) continue
    const before = word[i - 1]
    const after = word[i + 2]
    if (before !== undefined) {
      note(before * base + left, -1)
      note(before * base + made, 1)
    }
    word.splice(i, 2, made)
    if (after !== undefined) {
      note(right * base + after, -1)
      note(made * base + after, 1)
    }
  }
}

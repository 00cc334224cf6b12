/** The text that the examples learn from: your own file, or the pages of this project. */
import { readFileSync } from 'node:fs'

const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'bench/results/README.md']

export function readText(path: string | undefined): string {
  if (path !== undefined) return readFileSync(path, 'utf8')
  return pages.map((page) => readFileSync(new URL(`../${page}`, import.meta.url), 'utf8')).join('\n')
}

/** Characters as numbers, in the order of their code points. */
export function vocabularyOf(text: string) {
  const characters = [...new Set(text)].sort()
  const numbers = new Map(characters.map((character, i) => [character, i]))
  return {
    size: characters.length,
    encode: (some: string) =>
      Int32Array.from(
        [...some].filter((c) => numbers.has(c)),
        (c) => numbers.get(c) ?? 0,
      ),
    decode: (ids: Iterable<number>) => Array.from(ids, (id) => characters[id] ?? '').join(''),
  }
}

/** An index, drawn with the probabilities that the logits express. A lower temperature favours the likely ones. */
export function draw(logits: ArrayLike<number>, temperature: number, random: () => number): number {
  const largest = Array.from(logits).reduce((a, b) => Math.max(a, b))
  const weights = Array.from(logits, (x) => Math.exp((x - largest) / temperature))
  let left = random() * weights.reduce((a, b) => a + b, 0)
  for (const [i, weight] of weights.entries()) {
    left -= weight
    if (left < 0) return i
  }
  return weights.length - 1
}

/**
 * The unigram model: of all ways to cut a text into tokens it takes the one with the largest sum of log probabilities
 * (Kudo 2018). Ties and the cost of unknown characters are those of Hugging Face tokenizers.
 */
import type { Fields } from './fields.js'
import type { Model, WordToken } from './model.js'
import { byteTokens } from './vocabulary.js'

/** The amount by which an unknown character is less probable than the least probable token. */
const unknownPenalty = 10

interface Node {
  readonly next: Map<number, Node>
  /** The token that ends here, or -1. */
  id: number
}

function entriesIn(fields: Fields): readonly (readonly [token: string, score: number])[] {
  return fields.list('vocab').map((entry, i) => {
    const fits =
      Array.isArray(entry) && entry.length === 2 && typeof entry[0] === 'string' && typeof entry[1] === 'number'
    return fits ? (entry as [string, number]) : fields.fail('is not a pair [token, log probability]', `vocab[${i}]`)
  })
}

export function unigram(fields: Fields): Model {
  const entries = entriesIn(fields)
  const unknown = fields.has('unk_id') ? fields.count('unk_id') : null
  if (unknown !== null && unknown >= entries.length)
    fields.fail(`is ${unknown}, but there are ${entries.length} tokens`, 'unk_id')
  const bytes = fields.flag('byte_fallback', false)
  const vocabulary = new Map(entries.map(([token], id) => [token, id]))
  const least = entries.reduce((most, [, score]) => Math.min(most, score), Number.POSITIVE_INFINITY)
  const root: Node = { next: new Map(), id: -1 }
  for (const [token, id] of vocabulary) {
    let node = root
    for (let i = 0; i < token.length; i++) {
      let next = node.next.get(token.charCodeAt(i))
      if (next === undefined) {
        next = { next: new Map(), id: -1 }
        node.next.set(token.charCodeAt(i), next)
      }
      node = next
    }
    node.id = id
  }

  /**
   * The ends of the best way's tokens, from left to right, with their ids. Neighbouring unknown characters are one
   * token.
   */
  const cuts = (text: string): readonly (readonly [from: number, to: number, id: number])[] => {
    const scores = new Float64Array(text.length + 1)
    const starts = new Int32Array(text.length + 1).fill(-1)
    const ids = new Int32Array(text.length + 1)
    const offer = (from: number, to: number, id: number, score: number) => {
      if (starts[to] !== -1 && score <= (scores[to] as number)) return
      scores[to] = score
      starts[to] = from
      ids[to] = id
    }
    for (let from = 0; from < text.length; ) {
      const before = scores[from] as number
      const single = from + String.fromCodePoint(text.codePointAt(from) as number).length
      let covered = false
      let node = root.next.get(text.charCodeAt(from))
      for (let to = from + 1; node !== undefined; node = node.next.get(text.charCodeAt(to++))) {
        if (node.id < 0) continue
        offer(from, to, node.id, (entries[node.id] as readonly [string, number])[1] + before)
        if (to === single) covered = true
      }
      if (!covered) {
        if (unknown === null)
          fields.fail(`is null, but ${JSON.stringify(text.slice(from, single))} is not in the vocabulary`, 'unk_id')
        offer(from, single, unknown as number, least - unknownPenalty + before)
      }
      from = single
    }
    const found: [number, number, number][] = []
    for (let to = text.length; to > 0; to = starts[to] as number) {
      const [from, id] = [starts[to] as number, ids[to] as number]
      const after = found.at(-1)
      if (id === unknown && after?.[2] === unknown) after[0] = from
      else found.push([from, to, id])
    }
    return found.reverse()
  }

  return {
    vocabulary,
    tokenize(word) {
      const tokens: WordToken[] = []
      for (const [from, to] of cuts(word)) {
        const text = word.slice(from, to)
        // The text is looked up, because several unknown characters together may be a token.
        const id = vocabulary.get(text)
        const apart = id === undefined && bytes ? byteTokens(text, vocabulary) : null
        if (apart !== null) for (const byte of apart) tokens.push({ ...byte, from, to })
        else tokens.push({ id: id ?? (unknown as number), text, from, to })
      }
      return tokens
    },
  }
}

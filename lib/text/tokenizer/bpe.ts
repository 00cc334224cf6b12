/**
 * Byte pair encoding: of all neighbouring pairs, the one that was merged first in training is merged first (Sennrich et
 * al. 2016). Edge cases (unknown characters, bytes, prefixes) follow Hugging Face tokenizers.
 */
import type { Fields } from './fields.js'
import type { Model, WordToken } from './model.js'
import { byteTokens, vocabularyIn } from './vocabulary.js'

/** The number of words whose tokens are kept. */
const mostKept = 20_000
const longestKept = 64

/** Ids are below 2^24, so that a pair of them is a safe integer. */
const pairOf = (left: number, right: number) => left * 2 ** 24 + right

/** The merges by pair: rank and new token in one number, `rank * 2^24 + id`. */
type Merges = ReadonlyMap<number, number>

interface Parts {
  readonly ids: number[]
  readonly starts: number[]
  readonly ends: number[]
}

function mergesIn(fields: Fields, vocabulary: ReadonlyMap<string, number>, prefix: string): Merges {
  const merges = new Map<number, number>()
  for (const [rank, entry] of fields.list('merges').entries()) {
    const pair = typeof entry === 'string' ? entry.split(' ') : entry
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === 'string'))
      return fields.fail('is not a pair of tokens', `merges[${rank}]`)
    const [left, right] = pair as [string, string]
    const both = left + right.slice(prefix.length)
    const [a, b, made] = [left, right, both].map((token) => {
      const id = vocabulary.get(token)
      return (
        id ??
        fields.fail(
          `needs the token ${JSON.stringify(token.slice(0, 50))}, which is not in the vocabulary`,
          `merges[${rank}]`,
        )
      )
    }) as [number, number, number]
    // The last of two merges of one pair counts, as in a table that is filled in order.
    merges.set(pairOf(a, b), rank * 2 ** 24 + made)
  }
  return merges
}

/** Merges within a word, by a heap of `[rank, place]` in one number. The left one of equal ranks comes first. */
function merge({ ids, starts, ends }: Parts, merges: Merges): void {
  const count = ids.length
  const next = Int32Array.from(ids, (_, i) => (i + 1 < count ? i + 1 : -1))
  const previous = Int32Array.from(ids, (_, i) => i - 1)
  const places = 2 ** 28
  const heap = new Heap()
  const offer = (left: number) => {
    const right = left < 0 ? -1 : (next[left] as number)
    if (right < 0) return
    const found = merges.get(pairOf(ids[left] as number, ids[right] as number))
    if (found !== undefined) heap.push(Math.floor(found / 2 ** 24) * places + left)
  }
  for (let i = 0; i + 1 < count; i++) offer(i)
  for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
    const left = best % places
    const rank = Math.floor(best / places)
    const right = next[left] as number
    if ((ids[left] as number) < 0 || right < 0) continue
    const found = merges.get(pairOf(ids[left] as number, ids[right] as number))
    // The token that was there when the merge was queued may have been merged with another one.
    if (found === undefined || Math.floor(found / 2 ** 24) !== rank) continue
    ids[left] = found % 2 ** 24
    starts[left] = Math.min(starts[left] as number, starts[right] as number)
    ends[left] = Math.max(ends[left] as number, ends[right] as number)
    ids[right] = -1
    const after = next[right] as number
    next[left] = after
    if (after >= 0) previous[after] = left
    offer(previous[left] as number)
    offer(left)
  }
}

class Heap {
  readonly #items: number[] = []

  push(item: number): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if ((items[parent] as number) <= item) break
      items[at] = items[parent] as number
      at = parent
    }
    items[at] = item
  }

  pop(): number | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (top === undefined || last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) child++
      if ((items[child] as number) >= last) break
      items[at] = items[child] as number
      at = child
    }
    items[at] = last
    return top
  }
}

export function bpe(fields: Fields): Model {
  const vocabulary = vocabularyIn(fields)
  const prefix = fields.text('continuing_subword_prefix', '')
  const suffix = fields.text('end_of_word_suffix', '')
  const merges = mergesIn(fields, vocabulary, prefix)
  if (merges.size >= 2 ** 25) fields.fail('has more merges than are supported', 'merges')
  if (fields.has('dropout') && fields.raw('dropout') !== 0)
    fields.fail('is set, so words would get different tokens every time; set it to null', 'dropout')
  const unknown = fields.has('unk_token') ? fields.text('unk_token') : null
  const unknownId = unknown === null ? undefined : vocabulary.get(unknown)
  const fuses = fields.flag('fuse_unk', false)
  const bytes = fields.flag('byte_fallback', false)
  const whole = fields.flag('ignore_merges', false)
  const tokens = new Map([...vocabulary].map(([token, id]) => [id, token]))

  const partsOf = (word: string): Parts => {
    const parts: Parts = { ids: [], starts: [], ends: [] }
    const add = (id: number, from: number, to: number) => {
      parts.ids.push(id)
      parts.starts.push(from)
      parts.ends.push(to)
    }
    // Unknown characters wait, because neighbours may become one token.
    let waiting: { readonly from: number; to: number } | null = null
    const flush = () => {
      if (waiting && unknownId !== undefined) add(unknownId, waiting.from, waiting.to)
      waiting = null
    }
    let from = 0
    for (const character of word) {
      const to = from + character.length
      const text = (from > 0 ? prefix : '') + character + (to === word.length ? suffix : '')
      const id = vocabulary.get(text)
      const apart = id === undefined && bytes ? byteTokens(text, vocabulary) : null
      if (id !== undefined) {
        flush()
        add(id, from, to)
      } else if (apart !== null) for (const byte of apart) add(byte.id, from, to)
      else if (unknown !== null) {
        if (unknownId === undefined)
          fields.fail(`is ${JSON.stringify(unknown)}, which is not in the vocabulary`, 'unk_token')
        if (!fuses) flush()
        waiting = { from: (waiting as { from: number } | null)?.from ?? from, to }
      }
      from = to
    }
    flush()
    return parts
  }

  const encode = (word: string): readonly WordToken[] => {
    const direct = whole ? vocabulary.get(word) : undefined
    if (direct !== undefined) return [{ id: direct, text: word, from: 0, to: word.length }]
    const parts = partsOf(word)
    merge(parts, merges)
    const found: WordToken[] = []
    parts.ids.forEach((id, i) => {
      if (id >= 0)
        found.push({ id, text: tokens.get(id) as string, from: parts.starts[i] as number, to: parts.ends[i] as number })
    })
    return found
  }

  const kept = new Map<string, readonly WordToken[]>()
  return {
    vocabulary,
    tokenize(word) {
      const known = kept.get(word)
      if (known !== undefined) return known
      const found = encode(word)
      if (word.length <= longestKept) {
        if (kept.size >= mostKept) kept.clear()
        kept.set(word, found)
      }
      return found
    },
  }
}

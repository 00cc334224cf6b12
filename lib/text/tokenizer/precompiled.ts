/**
 * SentencePiece's table of replacements, as its models contain it. It is a double-array trie over UTF-8. Its values are
 * places in a block of texts that end with a zero byte.
 */
import type { Aligned, Change } from './aligned.js'
import type { Fields } from './fields.js'

/** Longer clusters are looked up only character by character, as in the original. */
const longestCluster = 6

export function precompiled(fields: Fields): (aligned: Aligned) => Aligned {
  const name = 'precompiled_charsmap'
  const bytes = Buffer.from(fields.text(name), 'base64')
  const size = bytes.length >= 4 ? bytes.readUInt32LE() : 0
  if (bytes.length < 4 || size % 4 !== 0 || size > bytes.length - 4)
    fields.fail(`is cut off: it has ${bytes.length} bytes, and its trie would have ${size}`, name)
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i))
  const texts = bytes.subarray(4 + size)
  const encoder = new TextEncoder()
  const known = new Map<string, string | null>()

  /** The replacement of the shortest prefix that has one, or null. */
  const search = (chunk: string): string | null => {
    const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6)
    let unit = units[0] ?? 0
    let node = offset(unit)
    for (const byte of encoder.encode(chunk)) {
      if (byte === 0) return null
      node ^= byte
      unit = units[node] ?? 0
      // A leaf's label has its highest bit set, so that it equals no byte.
      if ((unit & 0x800000ff) !== byte) return null
      node ^= offset(unit)
      if (((unit >>> 8) & 1) === 0) continue
      const start = (units[node] ?? 0) & 0x7fffffff
      const end = texts.indexOf(0, start)
      return texts.toString('utf8', start, end < 0 ? texts.length : end)
    }
    return null
  }
  const lookUp = (chunk: string): string | null => {
    let found = known.get(chunk)
    if (found === undefined) {
      found = search(chunk)
      if (known.size < 100_000) known.set(chunk, found)
    }
    return found
  }

  const clusters = new Intl.Segmenter('en', { granularity: 'grapheme' })
  return (aligned) => {
    const changes: Change[] = []
    let modified = false
    const replace = (chunk: string, by: string) => {
      modified = true
      const added = [...by].map((character): [string, number] => [character, 0])
      const more = added.length - [...chunk].length
      for (let i = 0; i < more; i++) (added[added.length - 1 - i] as [string, number])[1] = 1
      changes.push(...added)
      const last = changes.at(-1)
      if (more < 0 && last !== undefined) changes[changes.length - 1] = [last[0], last[1] + more]
    }
    for (const { segment } of clusters.segment(aligned.text)) {
      const whole = Buffer.byteLength(segment) < longestCluster ? lookUp(segment) : null
      if (whole !== null) replace(segment, whole)
      else
        for (const character of segment) {
          const found = lookUp(character)
          if (found === null) changes.push([character, 0])
          else replace(character, found)
        }
    }
    return modified ? aligned.transform(changes) : aligned
  }
}

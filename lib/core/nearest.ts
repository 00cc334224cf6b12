/** Suggestions for misspelt names. */

/**
 * The number of edits that turn one text into the other: a character inserted, left out or replaced, or two neighbours
 * swapped.
 */
export function distance(a: string, b: string): number {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? (before[j - 2] as number) + 1
          : Number.POSITIVE_INFINITY
      next.push(Math.min(replaced, swapped, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    before = row
    row = next
  }
  return row[b.length] as number
}

const plain = (name: string) => name.toLowerCase().replace(/[-_ ]/g, '')

/** The likely intended name, if one is near enough. Case, hyphens and underscores do not count. */
export function nearest(name: string, names: readonly string[]): string | null {
  let [found, least]: [string | null, number] = [null, Math.max(1, Math.floor(name.length / 3)) + 1]
  for (const each of names) {
    const edits = distance(plain(name), plain(each))
    if (edits < least) [found, least] = [each, edits]
  }
  return found
}

/**
 * The names that resemble one, the nearest first, at most `most`. A name that begins or ends with it, or the other way
 * round, counts as one edit.
 */
export function nearby(name: string, names: readonly string[], most = 3): string[] {
  const wanted = plain(name)
  const limit = Math.max(1, Math.floor(name.length / 3))
  const editsTo = (other: string) => {
    const isPart = [other.startsWith(wanted), other.endsWith(wanted), wanted.startsWith(other), wanted.endsWith(other)]
    return other !== '' && wanted !== '' && isPart.includes(true) ? 1 : distance(wanted, other)
  }
  return names
    .map((each) => ({ each, edits: editsTo(plain(each)) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits)
    .slice(0, most)
    .map(({ each }) => each)
}

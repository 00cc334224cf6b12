/** Keys that occur twice in one object of JSON. JSON.parse keeps only the last of their values, silently. */

/** The end of the string that begins at a quote. */
function endOfString(text: string, begin: number): number {
  for (let end = text.indexOf('"', begin + 1); ; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end
  }
}

/** The number of keys in a text of JSON: strings followed by a colon. */
function* keysIn(text: string): Generator<{ readonly begin: number; readonly end: number }, void, void> {
  for (let begin = text.indexOf('"'); begin >= 0; ) {
    const end = endOfString(text, begin)
    let next = end + 1
    while (text[next] === ' ' || text[next] === '\t' || text[next] === '\n' || text[next] === '\r') next++
    if (text[next] === ':') yield { begin, end }
    begin = text.indexOf('"', end + 1)
  }
}

/**
 * The number of keys of a value and of all values in it, without recursion, because JSON may be nested deeper than
 * calls.
 */
function countKeys(value: unknown): number {
  let count = 0
  const open: unknown[] = [value]
  while (open.length > 0) {
    const next = open.pop()
    if (typeof next !== 'object' || next === null) continue
    const inner = Object.values(next)
    if (!Array.isArray(next)) count += inner.length
    for (const each of inner) if (typeof each === 'object' && each !== null) open.push(each)
  }
  return count
}

/** The first key that occurs twice in one object of a text whose JSON value is given, or null. */
export function repeatedKey(text: string, value: unknown): string | null {
  // Most texts have none, and counting finds that out faster than a list of all keys.
  let count = 0
  for (const _ of keysIn(text)) count++
  return count === countKeys(value) ? null : findRepeated(text)
}

function findRepeated(text: string): string | null {
  const seen: Set<string>[] = []
  let from = 0
  for (const { begin, end } of keysIn(text)) {
    for (; from < begin; from++) {
      // Brackets within strings do not count.
      if (text[from] === '"') from = endOfString(text, from)
      else if (text[from] === '{') seen.push(new Set())
      else if (text[from] === '}') seen.pop()
    }
    from = end + 1
    const key = JSON.parse(text.slice(begin, end + 1)) as string
    if (seen.at(-1)?.has(key)) return key
    seen.at(-1)?.add(key)
  }
  return null
}

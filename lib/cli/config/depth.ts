/** Nesting of configs. It is limited, because whoever parses or checks tables in tables calls itself for each, and ends at some depth. */
import { CST, Lexer } from 'yaml'

/** Levels that a config may have. The deepest one that means something has 4. */
export const mostLevels = 64

/** Indicators before which, on one line, a table or list of a deeper level begins. */
const indicators: readonly (string | null)[] = ['seq-item-ind', 'explicit-key-ind', 'map-value-ind']

/**
 * The offset at which YAML is nested too deep; null where it never is. It looks at tokens alone, because the parser ends the process
 * at some thousands of levels, and then has no place to tell.
 */
export function tooDeepAt(text: string): number | null {
  let [offset, lineStart, flow] = [0, 0, 0]
  // Columns at which the tables and lists around the token begin.
  const columns: number[] = []
  let isScalar = false
  let begins = true
  for (const source of new Lexer().lex(text)) {
    const type = isScalar ? 'text' : CST.tokenType(source)
    // Two of the lexer's tokens stand for nothing in the text.
    if (type === 'doc-mode' || type === 'flow-error-end') continue
    if (type === 'scalar') {
      isScalar = true
      continue
    }
    isScalar = false
    if (type === 'flow-seq-start' || type === 'flow-map-start') flow++
    if (type === 'flow-seq-end' || type === 'flow-map-end') flow = Math.max(0, flow - 1)
    const isOutside = flow === 0 && !['space', 'comment', 'newline'].includes(type ?? '')
    if (isOutside && begins) {
      const column = offset - lineStart
      while (columns.length > 0 && (columns.at(-1) as number) >= column) columns.pop()
      columns.push(column)
    }
    if (columns.length + flow > mostLevels) return offset
    if (isOutside) begins = indicators.includes(type)
    if (type === 'newline') begins = true
    const newline = source.lastIndexOf('\n')
    if (newline >= 0) lineStart = offset + newline + 1
    offset += source.length
  }
  return null
}

/** The path at which a value is nested too deep, as aliases and modules can make it; null where it never is. */
export function tooDeepIn(value: unknown): readonly (string | number)[] | null {
  type Place = { readonly value: unknown; readonly path: readonly (string | number)[] }
  const open: Place[] = [{ value, path: [] }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue
    if (next.path.length >= mostLevels) return next.path
    for (const [key, inner] of Object.entries(next.value)) open.push({ value: inner, path: [...next.path, key] })
  }
  return null
}

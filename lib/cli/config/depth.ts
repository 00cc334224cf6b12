/**
 * Nesting of configs. It is limited, because code that parses or checks nested tables recurses for each level, and
 * overflows the stack at some depth.
 */
import { CST, Lexer } from 'yaml'

/** The most levels of a config. The deepest meaningful config has 4. */
export const mostLevels = 64

/** Indicators that can be followed, on the same line, by a table or list of a deeper level. */
const indicators: readonly (string | null)[] = ['seq-item-ind', 'explicit-key-ind', 'map-value-ind']

/**
 * The offset at which YAML is nested too deeply, or null if it never is. Only tokens are examined, because the parser
 * crashes at some thousands of levels and cannot tell the place.
 */
export function tooDeepAt(text: string): number | null {
  let [offset, lineStart, flow] = [0, 0, 0]
  // Columns at which the tables and lists around the token begin.
  const columns: number[] = []
  let isScalar = false
  let begins = true
  for (const source of new Lexer().lex(text)) {
    const type = isScalar ? 'text' : CST.tokenType(source)
    // Two of the lexer's tokens do not correspond to any text.
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

/** The path at which a value is nested too deeply, or null if it never is. Aliases and modules can cause that. */
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

/** Tokens by number. */
import type { Fields } from './fields.js'

/** More than the largest vocabulary has. An id is also a row of an embedding. */
const mostTokens = 2 ** 24

export function checkId(fields: Fields, id: unknown, what: string): number {
  if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= mostTokens)
    fields.fail(
      `has the id ${String(id).slice(0, 20)} for ${what}, but ids are whole numbers from 0 to ${mostTokens - 1}`,
    )
  return id as number
}

/** A vocabulary of the form `{ token: id }`. */
export function vocabularyIn(fields: Fields, name = 'vocab'): ReadonlyMap<string, number> {
  const table = fields.table(name)
  return new Map(table.entries().map(([token, id]) => [token, checkId(table, id, JSON.stringify(token.slice(0, 50)))]))
}

/** The tokens of single bytes, `<0x00>` to `<0xFF>`, if a vocabulary has all that a text needs. */
export function byteTokens(text: string, vocabulary: ReadonlyMap<string, number>) {
  const tokens = [...Buffer.from(text)].map((byte) => {
    const token = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
    return { text: token, id: vocabulary.get(token) }
  })
  return tokens.every((token): token is { text: string; id: number } => token.id !== undefined) ? tokens : null
}

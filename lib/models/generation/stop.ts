/** When a text ends. */
import type { Plan } from './options.js'

/** Why a text ended: a stop token, a stop string, or as many tokens as were asked for. */
export type Finish = 'token' | 'string' | 'length'

/** Tokens at the end of a text that a stop string may be in: a character is four tokens at most. */
function tailOf(tokens: readonly number[], stopStrings: readonly string[]): readonly number[] {
  const longest = Math.max(...stopStrings.map(({ length }) => length))
  return tokens.slice(-(4 * longest + 8))
}

/** Whether the new tokens are a whole text; null: it goes on. */
export function finishOf(
  { stopTokens, stopStrings, tokenizer, maxNewTokens }: Plan,
  added: readonly number[],
): Finish | null {
  if (stopTokens.includes(added.at(-1) as number)) return 'token'
  if (tokenizer !== null && stopStrings.length > 0) {
    const tail = tokenizer.decode(tailOf(added, stopStrings))
    if (stopStrings.some((text) => tail.includes(text))) return 'string'
  }
  return added.length >= maxNewTokens ? 'length' : null
}

/** The new text, without what ended it. */
export function textOf({ tokenizer, stopStrings }: Plan, added: readonly number[], finish: Finish): string | undefined {
  if (tokenizer === null) return undefined
  const text = tokenizer.decode(finish === 'token' ? added.slice(0, -1) : added)
  const ends = finish === 'string' ? stopStrings.map((each) => text.indexOf(each)).filter((at) => at >= 0) : []
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends))
}

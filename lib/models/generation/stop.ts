/** Decides when a text ends. */
import type { Plan } from './options.js'

/** The reason why a text ended: a stop token, a stop string, or the requested number of tokens. */
export type Finish = 'token' | 'string' | 'length'

/** The tokens at the end of a text that may contain a stop string, because a character takes at most four tokens. */
function tailOf(tokens: readonly number[], stopStrings: readonly string[]): readonly number[] {
  const longest = Math.max(...stopStrings.map(({ length }) => length))
  return tokens.slice(-(4 * longest + 8))
}

/** The reason why the new tokens end the text, or null if it continues. */
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

/** The new text, without the stop token or string that ended it. */
export function textOf({ tokenizer, stopStrings }: Plan, added: readonly number[], finish: Finish): string | undefined {
  if (tokenizer === null) return undefined
  const text = tokenizer.decode(finish === 'token' ? added.slice(0, -1) : added)
  const ends = finish === 'string' ? stopStrings.map((each) => text.indexOf(each)).filter((at) => at >= 0) : []
  return ends.length === 0 ? text : text.slice(0, Math.min(...ends))
}

/** The width of texts in a terminal. */
import { latePattern } from './late.js'

const mark = latePattern(String.raw`^[\p{M}\p{Cf}]$`, 'u')
const wide = latePattern(
  String.raw`^(?:[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}]|[\u3000-\u303e\u30fb-\u30ff\uff01-\uff60\uffe0-\uffe6])$`,
  'u',
)
const halfWidth = /^[\uff61-\uffdc]$/

/**
 * The number of terminal columns that a text takes: two for each Chinese, Japanese or Korean character, none for a
 * combining mark.
 */
export function columnsOf(text: string): number {
  let columns = 0
  for (const character of text)
    if (!mark().test(character)) columns += wide().test(character) && !halfWidth.test(character) ? 2 : 1
  return columns
}

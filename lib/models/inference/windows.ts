/** Windows over a text that is too long for a model. */
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'

/** The length of windows, and the number of the text's tokens that a window shares with the one before it. */
export interface WindowOptions {
  readonly maxLength: number
  readonly stride: number
}

/** A question with each window of a text. Throws ValueError if the question leaves no room. */
export function windowsOf(
  tokenizer: Tokenizer,
  question: string,
  context: string,
  { maxLength, stride }: WindowOptions,
): readonly Encoding[] {
  const first = tokenizer.encode(question, {
    pair: context,
    maxLength,
    stride,
    truncation: 'second',
    truncationSide: 'right',
  })
  return [first, ...first.overflowing]
}

/** Models of tokenizer.json, which turn a word into tokens. */

import { bpe } from './bpe.js'
import type { Fields } from './fields.js'
import { unigram } from './unigram.js'
import { wordLevel, wordPiece } from './wordpiece.js'

/** A token, and the units of the word that it represents. */
export interface WordToken {
  readonly id: number
  readonly text: string
  readonly from: number
  readonly to: number
}

export interface Model {
  readonly vocabulary: ReadonlyMap<string, number>
  tokenize(word: string): readonly WordToken[]
}

/** Files of the first versions have no type. */
function typeOf(fields: Fields): string {
  if (fields.has('type')) return fields.text('type')
  if (fields.has('merges')) return 'BPE'
  if (Array.isArray(fields.raw('vocab'))) return 'Unigram'
  return fields.has('continuing_subword_prefix') ? 'WordPiece' : 'WordLevel'
}

export function modelOf(fields: Fields): Model {
  const type = typeOf(fields)
  switch (type) {
    case 'BPE':
      return bpe(fields)
    case 'WordPiece':
      return wordPiece(fields)
    case 'WordLevel':
      return wordLevel(fields)
    case 'Unigram':
      return unigram(fields)
    default:
      return fields.fail(`is ${JSON.stringify(type)}, which is not a supported model`, 'type')
  }
}

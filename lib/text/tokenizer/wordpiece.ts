/**
 * Words cut greedily into the longest pieces of the vocabulary, and whole words. Semantics: Hugging Face tokenizers.
 */
import type { Fields } from './fields.js'
import type { Model, WordToken } from './model.js'
import { vocabularyIn } from './vocabulary.js'

function unknownIn(fields: Fields, vocabulary: ReadonlyMap<string, number>, otherwise: string) {
  const text = fields.text('unk_token', otherwise)
  return (word: string): readonly WordToken[] => {
    const id = vocabulary.get(text)
    if (id === undefined) return fields.fail(`is ${JSON.stringify(text)}, which is not in the vocabulary`, 'unk_token')
    return [{ id, text, from: 0, to: word.length }]
  }
}

export function wordPiece(fields: Fields): Model {
  const vocabulary = vocabularyIn(fields)
  const prefix = fields.text('continuing_subword_prefix', '##')
  const longest = fields.count('max_input_chars_per_word', 100)
  const unknown = unknownIn(fields, vocabulary, '[UNK]')
  const longestToken = [...vocabulary.keys()].reduce((most, token) => Math.max(most, token.length), 0)
  return {
    vocabulary,
    tokenize(word) {
      if (word.length > longest && [...word].length > longest) return unknown(word)
      const found: WordToken[] = []
      for (let from = 0; from < word.length; ) {
        let to = Math.min(word.length, from + longestToken)
        for (; to > from; to--) {
          const text = (from > 0 ? prefix : '') + word.slice(from, to)
          const id = vocabulary.get(text)
          if (id === undefined) continue
          found.push({ id, text, from, to })
          break
        }
        if (to === from) return unknown(word)
        from = to
      }
      return found
    },
  }
}

export function wordLevel(fields: Fields): Model {
  const vocabulary = vocabularyIn(fields)
  const unknown = unknownIn(fields, vocabulary, '<unk>')
  return {
    vocabulary,
    tokenize(word) {
      const id = vocabulary.get(word)
      return id === undefined ? unknown(word) : [{ id, text: word, from: 0, to: word.length }]
    },
  }
}

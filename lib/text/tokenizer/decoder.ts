/** Decoders of tokenizer.json: from tokens to text. Semantics: Hugging Face tokenizers. */
import { fromByteCharacters } from './bytes.js'
import type { Fields } from './fields.js'
import { patternIn } from './pattern.js'
import { prependScheme } from './pre-tokenizer.js'

/** Turns tokens into pieces of text, in order. */
export type Decoder = (tokens: readonly string[]) => readonly string[]

/** Spaces that English does not write, as in Hugging Face's `cleanup`. */
function cleanedUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re")
}

function wordPiece(fields: Fields): Decoder {
  const [prefix, cleanup] = [fields.text('prefix', '##'), fields.flag('cleanup', true)]
  return (tokens) =>
    tokens.map((token, i) => {
      const text = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
      return cleanup ? cleanedUp(text) : text
    })
}

function metaspace(fields: Fields): Decoder {
  const [mark, scheme] = [fields.text('replacement', '▁'), prependScheme(fields)]
  return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && scheme !== 'never' ? '' : ' '))
}

function byteFallback(tokens: readonly string[]): readonly string[] {
  const pieces: string[] = []
  let bytes: number[] = []
  const flush = () => {
    if (bytes.length === 0) return
    try {
      pieces.push(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes)))
    } catch {
      pieces.push(...bytes.map(() => '\ufffd'))
    }
    bytes = []
  }
  for (const token of tokens) {
    const byte = /^<0x([0-9a-fA-F]{2})>$/.exec(token)?.[1]
    if (byte !== undefined) bytes.push(Number.parseInt(byte, 16))
    else {
      flush()
      pieces.push(token)
    }
  }
  flush()
  return pieces
}

function strip(fields: Fields): Decoder {
  const [content, start, stop] = [fields.text('content'), fields.count('start', 0), fields.count('stop', 0)]
  return (tokens) =>
    tokens.map((token) => {
      const characters = [...token]
      let [from, to] = [0, characters.length]
      while (from < Math.min(start, characters.length) && characters[from] === content) from++
      while (to > 0 && characters.length - to < stop && characters[to - 1] === content) to--
      return characters.slice(from, Math.max(from, to)).join('')
    })
}

function ctc(fields: Fields): Decoder {
  const [pad, delimiter] = [fields.text('pad_token', '<pad>'), fields.text('word_delimiter_token', '|')]
  const cleanup = fields.flag('cleanup', true)
  return (tokens) =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map((token) => {
        const text = token.replaceAll(pad, '')
        return cleanup ? cleanedUp(text).replaceAll(delimiter, ' ') : text
      })
      .filter((text) => text !== '')
}

export function decoderOf(fields: Fields): Decoder {
  const type = fields.text('type')
  switch (type) {
    case 'Sequence': {
      const steps = fields.tables('decoders').map(decoderOf)
      return (tokens) => steps.reduce((pieces, step) => step(pieces), tokens)
    }
    case 'ByteLevel':
      return (tokens) => [fromByteCharacters(tokens)]
    case 'WordPiece':
      return wordPiece(fields)
    case 'Metaspace':
      return metaspace(fields)
    case 'BPEDecoder': {
      const suffix = fields.text('suffix', '</w>')
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '))
    }
    case 'ByteFallback':
      return byteFallback
    case 'Fuse':
      return (tokens) => [tokens.join('')]
    case 'Strip':
      return strip(fields)
    case 'Replace': {
      const [pattern, content] = [patternIn(fields), fields.text('content')]
      return (tokens) => tokens.map((token) => token.replace(pattern, () => content))
    }
    case 'CTC':
      return ctc(fields)
    default:
      return fields.fail(`is ${JSON.stringify(type)}, which is not a supported decoder`, 'type')
  }
}

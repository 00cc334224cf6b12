/** Pre-tokenizers of tokenizer.json, which cut a text into words. Semantics: Hugging Face tokenizers. */
import type { Aligned } from './aligned.js'
import { toByteCharacters } from './bytes.js'
import type { Fields } from './fields.js'
import { patternIn, type Stretch, stretchesOf } from './pattern.js'
import { cutByScripts } from './scripts.js'

export type PreTokenizer = (pieces: readonly Aligned[]) => readonly Aligned[]

const behaviours = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
type Behaviour = (typeof behaviours)[number]

/** The way GPT-2 cuts texts. */
const gpt2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

const whiteSpace = /\p{White_Space}/gu
const punctuation = /[!-/:-@[-`{-~\p{P}]/gu
const wordCharacters = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}'
const words = new RegExp(`[${wordCharacters}]+|[^${wordCharacters}\\p{White_Space}]+`, 'gu')

/** The remaining stretches, by the treatment of matches. */
function arranged(stretches: readonly Stretch[], behaviour: Behaviour): readonly (readonly [number, number])[] {
  if (behaviour === 'Isolated') return stretches.map(([from, to]) => [from, to])
  if (behaviour === 'Removed') return stretches.filter(([, , matched]) => !matched).map(([from, to]) => [from, to])
  const joined: [number, number][] = []
  let before = false
  const backwards = behaviour === 'MergedWithNext'
  for (const [from, to, matched] of backwards ? stretches.toReversed() : stretches) {
    const last = joined.at(-1)
    const joins = behaviour === 'Contiguous' ? matched === before : matched && !before
    if (last === undefined || !joins) joined.push([from, to])
    else if (backwards) last[0] = from
    else last[1] = to
    before = matched
  }
  return backwards ? joined.reverse() : joined
}

function cut(piece: Aligned, pattern: RegExp, behaviour: Behaviour, inverted = false): Aligned[] {
  return arranged(stretchesOf(pattern, piece.text, inverted), behaviour)
    .filter(([from, to]) => from < to)
    .map(([from, to]) => piece.slice(from, to))
}

function split(pattern: RegExp, behaviour: Behaviour, inverted = false): PreTokenizer {
  return (pieces) => pieces.flatMap((piece) => cut(piece, pattern, behaviour, inverted))
}

function byteLevel(fields: Fields): PreTokenizer {
  const prefix = fields.flag('add_prefix_space', true)
  const byWords = fields.flag('use_regex', true)
  return (pieces) =>
    pieces
      .flatMap((piece) => {
        const whole = prefix && !piece.text.startsWith(' ') ? piece.prepend(' ') : piece
        return byWords ? cut(whole, gpt2, 'Isolated') : [whole]
      })
      .map(toByteCharacters)
}

/** The cases in which a text gets a mark before it. Files from before 0.19 state them by a flag. */
export function prependScheme(fields: Fields): 'always' | 'first' | 'never' {
  if (fields.has('prepend_scheme') || !fields.has('add_prefix_space'))
    return fields.choice('prepend_scheme', ['always', 'first', 'never'], 'always')
  return fields.flag('add_prefix_space') ? 'always' : 'never'
}

function metaspace(fields: Fields): PreTokenizer {
  const mark = fields.text('replacement', '▁')
  const scheme = prependScheme(fields)
  const cuts = fields.flag('split', true)
  const marks = new RegExp(`\\u{${(mark.codePointAt(0) ?? 0x2581).toString(16)}}`, 'gu')
  return (pieces) =>
    pieces.flatMap((piece) => {
      let marked = piece.replace(
        [...piece.text.matchAll(/ /g)].map(({ index }) => [index, index + 1] as const),
        mark,
      )
      const wanted = scheme === 'always' || (scheme === 'first' && marked.origin === 0)
      if (wanted && !marked.text.startsWith(mark)) marked = marked.prepend(mark)
      return cuts ? cut(marked, marks, 'MergedWithNext') : [marked]
    })
}

function fixedLength(length: number): PreTokenizer {
  return (pieces) =>
    pieces.flatMap((piece) => {
      const parts: Aligned[] = []
      let [start, at, count] = [0, 0, 0]
      for (const character of piece.text) {
        if (count > 0 && count % length === 0) {
          parts.push(piece.slice(start, at))
          start = at
        }
        at += character.length
        count++
      }
      return at > start ? [...parts, piece.slice(start, at)] : parts
    })
}

export function preTokenizerOf(fields: Fields): PreTokenizer {
  const type = fields.text('type')
  switch (type) {
    case 'Sequence': {
      const steps = fields.tables('pretokenizers').map(preTokenizerOf)
      return (pieces) => steps.reduce((parts, step) => step(parts), pieces)
    }
    case 'ByteLevel':
      return byteLevel(fields)
    case 'Metaspace':
      return metaspace(fields)
    case 'Split':
      return split(patternIn(fields), fields.choice('behavior', behaviours), fields.flag('invert', false))
    case 'BertPreTokenizer':
      return (pieces) => split(punctuation, 'Isolated')(split(whiteSpace, 'Removed')(pieces))
    case 'Whitespace':
      return split(words, 'Removed', true)
    case 'WhitespaceSplit':
      return split(whiteSpace, 'Removed')
    case 'Punctuation':
      return split(punctuation, fields.choice('behavior', behaviours, 'Isolated'))
    case 'Digits':
      return split(/\p{N}/gu, fields.flag('individual_digits', false) ? 'Isolated' : 'Contiguous')
    case 'CharDelimiterSplit': {
      const delimiter = fields.text('delimiter')
      const code = delimiter.codePointAt(0) ?? fields.fail('is empty', 'delimiter')
      return split(new RegExp(`\\u{${code.toString(16)}}`, 'gu'), 'Removed')
    }
    case 'UnicodeScripts':
      return (pieces) => pieces.flatMap(cutByScripts)
    case 'FixedLength': {
      const length = fields.count('length')
      return length > 0 ? fixedLength(length) : fields.fail('is 0, but must be at least 1', 'length')
    }
    default:
      return fields.fail(`is ${JSON.stringify(type)}, which is not a supported pre-tokenizer`, 'type')
  }
}

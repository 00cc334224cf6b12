// biome-ignore-all lint/suspicious/noControlCharactersInRegex: texts have such characters
/** Normalizers of tokenizer.json: changes of a text before it is cut. Semantics: Hugging Face tokenizers. */
import type { Aligned, Change } from './aligned.js'
import { toByteCharacters } from './bytes.js'
import type { Fields } from './fields.js'
import { normalizeForm } from './forms.js'
import { matchesOf, patternIn } from './pattern.js'
import { precompiled } from './precompiled.js'

export type Normalizer = (aligned: Aligned) => Aligned

/** Texts that the rules for other characters leave unchanged. */
const printable = /^[ -~]*$/
const whiteSpace = /^\p{White_Space}$/u
const control = /^[\p{Cc}\p{Cf}\p{Co}]$/u
const chinese =
  /^[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]$/u

/** This goes character by character, because the lower case of a whole text has another sigma at the ends of words. */
function lowercase(aligned: Aligned): Aligned {
  return aligned.text.toLowerCase() === aligned.text ? aligned : aligned.map((character) => character.toLowerCase())
}

function cleanText(aligned: Aligned): Aligned {
  if (printable.test(aligned.text)) return aligned
  const breaks = (character: string) => character === '\t' || character === '\n' || character === '\r'
  return aligned
    .filter(
      (character) => breaks(character) || !(character === '\0' || character === '\ufffd' || control.test(character)),
    )
    .map((character) => (breaks(character) || whiteSpace.test(character) ? ' ' : character))
}

function spaceChinese(aligned: Aligned): Aligned {
  if (printable.test(aligned.text)) return aligned
  const changes: Change[] = []
  let found = false
  for (const character of aligned.text)
    if (chinese.test(character)) {
      found = true
      changes.push([' ', 0], [character, 1], [' ', 1])
    } else changes.push([character, 0])
  return found ? aligned.transform(changes) : aligned
}

function strip(left: boolean, right: boolean): Normalizer {
  return (aligned) => {
    const { text } = aligned
    const isSpace = (i: number) => whiteSpace.test(text.charAt(i))
    let [from, to] = [0, text.length]
    if (left) while (from < to && isSpace(from)) from++
    if (right) while (to > from && isSpace(to - 1)) to--
    let at = 0
    return aligned.filter((character) => {
      const keep = at >= from && at < to
      at += character.length
      return keep
    })
  }
}

function bert(fields: Fields): Normalizer {
  const lower = fields.flag('lowercase', true)
  const accents = fields.flag('strip_accents', lower)
  const steps: Normalizer[] = []
  if (fields.flag('clean_text', true)) steps.push(cleanText)
  if (fields.flag('handle_chinese_chars', true)) steps.push(spaceChinese)
  if (accents)
    steps.push((aligned) =>
      printable.test(aligned.text)
        ? aligned
        : normalizeForm(aligned, 'NFD').filter((character) => !/^\p{Mn}$/u.test(character)),
    )
  if (lower) steps.push(lowercase)
  return inTurn(steps)
}

/** SentencePiece's rules for machine translation. */
function nmt(aligned: Aligned): Aligned {
  return aligned
    .filter((character) => !/^[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]$/.test(character))
    .map((character) =>
      /^[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]$/.test(character) ? ' ' : character,
    )
}

function inTurn(steps: readonly Normalizer[]): Normalizer {
  return (aligned) => steps.reduce((text, step) => step(text), aligned)
}

export function normalizerOf(fields: Fields): Normalizer {
  const type = fields.text('type')
  switch (type) {
    case 'Sequence':
      return inTurn(fields.tables('normalizers').map(normalizerOf))
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (aligned) => normalizeForm(aligned, type)
    case 'BertNormalizer':
      return bert(fields)
    case 'Lowercase':
      return lowercase
    case 'Strip':
      return strip(fields.flag('strip_left', true), fields.flag('strip_right', true))
    case 'StripAccents':
      return (aligned) => aligned.filter((character) => !/^\p{M}$/u.test(character))
    case 'Prepend': {
      const prefix = fields.text('prepend')
      return (aligned) => aligned.prepend(prefix)
    }
    case 'Replace': {
      const [pattern, content] = [patternIn(fields), fields.text('content')]
      return (aligned) => aligned.replace(matchesOf(pattern, aligned.text), content)
    }
    case 'Precompiled':
      return precompiled(fields)
    case 'Nmt':
      return nmt
    case 'ByteLevel':
      return toByteCharacters
    default:
      return fields.fail(`is ${JSON.stringify(type)}, which is not a supported normalizer`, 'type')
  }
}

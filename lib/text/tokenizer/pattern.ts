/**
 * Patterns of tokenizer.json: texts, and regular expressions in Oniguruma's language, which are translated into
 * JavaScript's. Expressions without an equivalent are refused by name, because a pattern with other matches would
 * silently give other tokens.
 */
import type { Fields } from './fields.js'

/** Stretches of a text, in order and without gaps: the beginning, the end, and whether it matched. */
export type Stretch = readonly [from: number, to: number, matched: boolean]

/** Unicode's White_Space; JavaScript's `\s` has U+FEFF and lacks U+0085. */
const space = '\\p{White_Space}'
/** Oniguruma's `\w` in a class. It includes only digits among the numbers, and letters such as Ⅷ. */
const word = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}'
/** Further characters that `\w` includes outside a class, where Oniguruma uses a table of Latin 1. */
const latinNumbers = '²³¹¼½¾'

/** Letters with case foldings beyond upper and lower case of ASCII. */
const folds = new Map([
  ['s', 'ſ'],
  ['k', '\u212a'],
])

const posix: { readonly [name: string]: string } = {
  alpha: '\\p{Alphabetic}',
  digit: '\\p{Nd}',
  alnum: '\\p{Alphabetic}\\p{Nd}',
  upper: '\\p{Uppercase}',
  lower: '\\p{Lowercase}',
  space,
  punct: '\\p{P}\\p{S}',
  word,
}

/** Characters that may be escaped under the `u` flag. */
const syntax = new Set('^$\\.*+?()[]{}|/')

class Translator {
  readonly #source: string
  readonly #fail: (why: string) => never
  #at = 0
  #groups = 0

  constructor(source: string, fail: (why: string) => never) {
    this.#source = source
    this.#fail = fail
  }

  translate(): string {
    const result = this.#alternatives(false)
    if (this.#at < this.#source.length) this.#fail('has a ) without its (')
    return result
  }

  #alternatives(fold: boolean): string {
    let result = ''
    let folding = fold
    for (;;) {
      const character = this.#source[this.#at]
      if (character === undefined || character === ')') return result
      if (character === '|') {
        this.#at++
        result += '|'
        continue
      }
      const switched = /^\(\?(-?)i\)/.exec(this.#source.slice(this.#at))
      if (switched) {
        folding = switched[1] === ''
        this.#at += switched[0].length
        continue
      }
      result += this.#quantified(this.#atom(folding))
    }
  }

  /** An atom with the quantifier after it. A possessive one becomes an atomic group: a lookahead, and its capture. */
  #quantified(atom: string): string {
    const found = /^(?:([*+?])|(\{\d*,?\d*\}))([?+]?)/.exec(this.#source.slice(this.#at))
    if (!found) return atom
    const [all, simple, interval, mode] = found
    this.#at += all.length
    const quantifier = simple ?? (interval as string).replace(/^\{,/, '{0,')
    if (mode !== '+') return `${atom}${quantifier}${mode}`
    // Oniguruma reads `{1,3}+` as another repetition, not as possessive.
    return simple === undefined ? `(?:${atom}${quantifier})+` : this.#atomic(`${atom}${quantifier}`)
  }

  #atomic(body: string): string {
    const name = `own${++this.#groups}`
    return `(?=(?<${name}>${body}))\\k<${name}>`
  }

  #atom(fold: boolean): string {
    const character = this.#take()
    if (character === '(') return this.#group(fold)
    if (character === '[') return this.#class(fold)
    if (character === '\\') return this.#escape(false)
    if (character === '.' || character === '^' || character === '$')
      return character === '.' ? '[^\\n]' : `(?:${character === '^' ? '(?<=^|\\n)' : '(?=$|\\n)'})`
    return this.#literal(character, fold)
  }

  #take(): string {
    const point = this.#source.codePointAt(this.#at)
    if (point === undefined) return this.#fail('ends too early')
    const character = String.fromCodePoint(point)
    this.#at += character.length
    return character
  }

  #literal(character: string, fold: boolean): string {
    if (fold && /[a-z]/i.test(character)) {
      const lower = character.toLowerCase()
      return `[${lower}${lower.toUpperCase()}${folds.get(lower) ?? ''}]`
    }
    if (fold && character.toLowerCase() !== character.toUpperCase())
      this.#fail(`ignores the case of ${character}, which is supported only for a to z`)
    return syntax.has(character) ? `\\${character}` : character
  }

  #group(fold: boolean): string {
    const rest = this.#source.slice(this.#at)
    const opening = /^\?(?::|=|!|<=|<!|>|(-?)i:|(?:-?[a-z]+):)/.exec(rest)?.[0]
    if (opening === undefined && rest.startsWith('?'))
      this.#fail(`has the group (${rest.slice(0, 4)}, which is not supported`)
    this.#at += opening?.length ?? 0
    if (opening !== undefined && /[a-z]/.test(opening) && opening !== '?i:' && opening !== '?-i:')
      this.#fail(`has the group (${opening}, which is not supported`)
    const body = this.#alternatives(opening === '?i:' || (fold && opening !== '?-i:'))
    if (this.#source[this.#at] !== ')') this.#fail('has a ( without its )')
    this.#at++
    if (opening === '?>') return this.#atomic(body)
    const kept = ['?=', '?!', '?<=', '?<!'].includes(opening ?? '') ? (opening as string) : '?:'
    return `(${kept}${body})`
  }

  #class(fold: boolean): string {
    let result = '['
    if (this.#source[this.#at] === '^') {
      result += '^'
      this.#at++
    }
    let first = true
    for (;;) {
      const character = this.#take()
      if (character === ']' && !first) return `${result}]`
      first = false
      const named = character === '[' ? /^:([a-z]+):\]/.exec(this.#source.slice(this.#at)) : null
      if (named) {
        result += posix[named[1] as string] ?? this.#fail(`has [:${named[1]}:], which is not supported`)
        this.#at += named[0].length
      } else if (character === '[') this.#fail('has a class within a class, which is not supported')
      else if (character === '&' && this.#source[this.#at] === '&')
        this.#fail('has && in a class, which is not supported')
      else if (character === '\\') result += this.#escape(true)
      else if (fold && /[a-z]/i.test(character) && this.#source[this.#at] !== '-' && !result.endsWith('-'))
        result += this.#literal(character, true).slice(1, -1)
      else if (fold && /[a-z]/i.test(character)) this.#fail('ignores the case of a range, which is not supported')
      else result += syntax.has(character) ? `\\${character}` : character
    }
  }

  #escape(inClass: boolean): string {
    const character = this.#take()
    const set = (inside: string) => (inClass ? inside : `[${inside}]`)
    switch (character) {
      case 's':
        return set(space)
      case 'S':
        return '\\P{White_Space}'
      case 'd':
        return '\\p{Nd}'
      case 'D':
        return '\\P{Nd}'
      case 'w':
        return inClass ? word : `[${word}${latinNumbers}]`
      case 'W':
        return inClass ? this.#fail('has \\W in a class, which is not supported') : `[^${word}${latinNumbers}]`
      case 'h':
        return set('0-9a-fA-F')
      case 'p':
      case 'P':
        return this.#property(character)
      case 'x':
      case 'u':
        return this.#code(character)
      case 'A':
        return '(?<![\\s\\S])'
      case 'z':
        return '(?![\\s\\S])'
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'v':
        return `\\${character}`
    }
    if (/[a-z0-9]/i.test(character)) this.#fail(`has \\${character}, which is not supported`)
    return syntax.has(character) || (inClass && character === '-') ? `\\${character}` : character
  }

  #property(letter: string): string {
    const found = /^\{(\^?)([A-Za-z_ ]+)\}/.exec(this.#source.slice(this.#at))
    if (!found) return this.#fail(`has \\${letter} without the name of a property`)
    this.#at += found[0].length
    const [, not, name] = found as unknown as [string, string, string]
    const sign = (letter === 'P') === (not === '') ? 'P' : 'p'
    for (const property of [name, `Script=${name}`]) {
      const translated = `\\${sign}{${property}}`
      try {
        new RegExp(translated, 'u')
        return translated
      } catch {
        // These have other names. The last one is refused below.
      }
    }
    return this.#fail(`has the property ${name}, which JavaScript does not know`)
  }

  #code(letter: string): string {
    const found = /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{4}|[0-9a-fA-F]{2}))/.exec(this.#source.slice(this.#at))
    const digits = found?.[1] ?? found?.[2]?.slice(0, letter === 'x' ? 2 : 4)
    if (found === null || digits === undefined || Number.parseInt(digits, 16) > 0x10ffff)
      return this.#fail(`has \\${letter} without a code`)
    this.#at += found[1] === undefined ? digits.length : found[0].length
    return `\\u{${digits}}`
  }
}

/** Translates an Oniguruma expression into a JavaScript one that searches through a text. */
export function translated(source: string, fail: (why: string) => never): RegExp {
  const name = `the pattern ${JSON.stringify(source.slice(0, 100))}`
  const text = new Translator(source, (why) => fail(`${name} ${why}`)).translate()
  try {
    return new RegExp(text, 'gu')
  } catch (error) {
    return fail(`${name} is not a valid pattern (${(error as Error).message})`)
  }
}

/** The pattern in a field: `{ String }` or `{ Regex }`. */
export function patternIn(fields: Fields, name = 'pattern'): RegExp {
  const pattern = fields.table(name)
  if (!pattern.has('String')) return translated(pattern.text('Regex'), (why) => pattern.fail(`: ${why}`))
  const text = pattern.text('String')
  return text === '' ? /(?!)/gu : new RegExp([...text].map((c) => (syntax.has(c) ? `\\${c}` : c)).join(''), 'gu')
}

/** All matches of a pattern in a text. */
export function* matchesOf(pattern: RegExp, text: string): Generator<readonly [from: number, to: number]> {
  for (const match of text.matchAll(pattern)) yield [match.index, match.index + match[0].length]
}

/** A text cut at the matches of a pattern. */
export function stretchesOf(pattern: RegExp, text: string, inverted = false): Stretch[] {
  const stretches: Stretch[] = []
  let last = 0
  for (const [from, to] of matchesOf(pattern, text)) {
    if (from > last) stretches.push([last, from, inverted])
    stretches.push([from, to, !inverted])
    last = to
  }
  if (last < text.length) stretches.push([last, text.length, inverted])
  return stretches
}

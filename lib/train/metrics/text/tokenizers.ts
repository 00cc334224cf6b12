/** sacrebleu's tokenizers, which turn texts into words with single spaces between them. */
import { late } from '../../../core/late.js'
import { classOf, trim, wordsOf } from './text.js'

/** sacrebleu's tokenizers: WMT's (13a), for Chinese, international, by character, or none. */
export type TokenizerName = '13a' | 'zh' | 'intl' | 'char' | 'none'

type Rule = readonly [pattern: RegExp, replacement: string]

const applied = (text: string, rules: readonly Rule[]) =>
  rules.reduce((line, [pattern, replacement]) => line.replace(pattern, replacement), text)

/** Separates punctuation of Western languages from words, but not periods, commas and dashes within numbers. */
export const western: readonly Rule[] = [
  [/([{-~[-` -&(-+:-@/])/g, ' $1 '],
  [/([^0-9])([.,])/g, '$1 $2 '],
  [/([.,])([^0-9])/g, ' $1 $2'],
  [/([0-9])(-)/g, '$1 $2 '],
]

export const entities: readonly Rule[] = [
  [/&quot;/g, '"'],
  [/&amp;/g, '&'],
  [/&lt;/g, '<'],
  [/&gt;/g, '>'],
]

const lines: readonly Rule[] = [
  [/<skipped>/g, ''],
  [/-\n/g, ''],
  [/\n/g, ' '],
]

/**
 * The characters that sacrebleu's zh considers Chinese. Two of its ranges were meant for planes beyond the first, but
 * because of their notation begin at 2001 and 2f81. So all symbols in between are included, and nothing beyond the
 * first plane is.
 */
const chinese = new RegExp(
  `(${classOf([
    [0x3400, 0x4db5],
    [0x4e00, 0x9fbb],
    [0xf900, 0xfa2d],
    [0xfa30, 0xfa6a],
    [0xfa70, 0xfad9],
    [0x2001, 0x2a6d],
    [0x2f81, 0x2fa1],
    [0xff00, 0xffef],
    [0x2e80, 0x2eff],
    [0x3000, 0x303f],
    [0x31c0, 0x31ef],
    [0x2f00, 0x2fdf],
    [0x2ff0, 0x2fff],
    [0x3100, 0x312f],
    [0x31a0, 0x31bf],
    [0xfe10, 0xfe1f],
    [0xfe30, 0xfe4f],
    [0x3200, 0x33ff],
  ])})`,
  'g',
)

const international = late((): readonly Rule[] => [
  [/(\P{N})(\p{P})/gu, '$1 $2 '],
  [/(\p{P})(\P{N})/gu, ' $1 $2'],
  [/(\p{S})/gu, ' $1 '],
])

/** Turns a text into its words. */
export const tokenizers: { readonly [name in TokenizerName]: (text: string) => string[] } = {
  '13a': (text) => wordsOf(applied(` ${applied(applied(text, lines), entities)} `, western)),
  zh: (text) => wordsOf(applied(trim(text).replace(chinese, ' $1 '), western)),
  intl: (text) => wordsOf(applied(text, international())),
  char: (text) => wordsOf([...text].join(' ')),
  none: wordsOf,
}

const asianPunctuation: Rule = [/([\u3001\u3002\u3008-\u3011\u3014-\u301f\uff61-\uff65\u30fb])/g, ' $1 ']
const fullWidthPunctuation: Rule = [/([\uff0e\uff0c\uff1f\uff1a\uff1b\uff01\uff02\uff08\uff09])/g, ' $1 ']

const asian: readonly Rule[] = [
  [/([\u4e00-\u9fff\u3400-\u4dbf])/g, ' $1 '],
  [/([\u31c0-\u31ef\u2e80-\u2eff])/g, ' $1 '],
  [/([\u3300-\u33ff\uf900-\ufaff\ufe30-\ufe4f])/g, ' $1 '],
  [/([\u3200-\u3f22])/g, ' $1 '],
  // As in sacrebleu, kana are separated only if the whole text consists of them.
  [/(^|^[\u3040-\u309f])([\u3040-\u309f]+)(?=$|^[\u3040-\u309f])/g, '$1 $2 '],
  [/(^|^[\u30a0-\u30ff])([\u30a0-\u30ff]+)(?=$|^[\u30a0-\u30ff])/g, '$1 $2 '],
  [/(^|^[\u31f0-\u31ff])([\u31f0-\u31ff]+)(?=$|^[\u31f0-\u31ff])/g, '$1 $2 '],
  asianPunctuation,
  fullWidthPunctuation,
]

export interface TercomOptions {
  /** Separates punctuation from words, and undoes XML's escapes. Default false. */
  readonly normalized?: boolean
  /** Leaves out punctuation. Default false. */
  readonly noPunct?: boolean
  /** Applies the two options above to Chinese, Japanese and full-width characters too. Default false. */
  readonly asianSupport?: boolean
  /** Whether upper and lower case differ. Default false. */
  readonly caseSensitive?: boolean
}

/** Tercom's words of a text. */
export function tercomWords(text: string, options: TercomOptions): string[] {
  const { normalized = false, noPunct = false, asianSupport = false, caseSensitive = false } = options
  let line = caseSensitive ? text : text.toLowerCase()
  if (normalized) {
    line = applied(line, [[/\n-/g, ''], [/\n/g, ' '], ...entities])
    const [punctuation, ...numbers] = western as readonly [Rule, ...Rule[]]
    line = applied(` ${line} `, [punctuation, [/'s /g, " 's "], [/'s$/g, " 's"], ...numbers])
    if (asianSupport) line = applied(line, asian)
  }
  if (noPunct) {
    line = line.replace(/[.,?:;!"()]/g, '')
    if (asianSupport) for (const [pattern] of [asianPunctuation, fullWidthPunctuation]) line = line.replace(pattern, '')
  }
  return wordsOf(line)
}

/**
 * Porter's stemmer ("An algorithm for suffix stripping", 1980) with NLTK's extensions, on which rouge-score's numbers
 * depend. It takes lower-case English letters and returns the stem.
 */

/** Words for which the rules give wrong stems. */
const irregular: ReadonlyMap<string, string> = new Map([
  ...['sky', 'skies'].map((form) => [form, 'sky'] as const),
  ...['innings', 'inning'].map((form) => [form, 'inning'] as const),
  ...['outings', 'outing'].map((form) => [form, 'outing'] as const),
  ...['cannings', 'canning'].map((form) => [form, 'canning'] as const),
  ...['news', 'howe', 'proceed', 'exceed', 'succeed'].map((form) => [form, form] as const),
  ['dying', 'die'],
  ['lying', 'lie'],
  ['tying', 'tie'],
])

/** c or v for each letter. A y after a consonant is a vowel. */
function kindsOf(word: string): string {
  let kinds = ''
  for (const letter of word) {
    const vowel = 'aeiou'.includes(letter) || (letter === 'y' && kinds.endsWith('c'))
    kinds += vowel ? 'v' : 'c'
  }
  return kinds
}

/** The number of vowels, or runs of them, that a consonant follows. */
const measure = (stem: string) => kindsOf(stem).split('vc').length - 1
const hasVowel = (stem: string) => kindsOf(stem).includes('v')
const hasMeasure = (stem: string) => measure(stem) > 0
const isLong = (stem: string) => measure(stem) > 1

const endsDoubleConsonant = (word: string) =>
  word.length >= 2 && word.at(-1) === word.at(-2) && kindsOf(word).endsWith('c')

function endsShort(word: string): boolean {
  const kinds = kindsOf(word)
  if (word.length === 2) return kinds === 'vc'
  return kinds.endsWith('cvc') && !'wxy'.includes(word.at(-1) as string)
}

type Rule = readonly [suffix: string, replacement: string, condition?: (stem: string) => boolean]

/** Applies the first rule whose suffix the word has, if its condition holds. No other rule is tried then. */
function byRules(word: string, rules: readonly Rule[]): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix))
  if (rule === undefined) return word
  const [suffix, replacement, condition] = rule
  const stem = word.slice(0, word.length - suffix.length)
  return condition === undefined || condition(stem) ? stem + replacement : word
}

function plural(word: string): string {
  if (word.length === 4 && word.endsWith('ies')) return word.slice(0, -1)
  return byRules(word, [
    ['sses', 'ss'],
    ['ies', 'i'],
    ['ss', 'ss'],
    ['s', ''],
  ])
}

function pastAndGerund(word: string): string {
  if (word.endsWith('ied')) return word.slice(0, word.length === 4 ? -1 : -2)
  if (word.endsWith('eed')) return hasMeasure(word.slice(0, -3)) ? word.slice(0, -1) : word
  const suffix = ['ed', 'ing'].find((each) => word.endsWith(each) && hasVowel(word.slice(0, -each.length)))
  if (suffix === undefined) return word
  const stem = word.slice(0, -suffix.length)
  if (/(at|bl|iz)$/.test(stem)) return `${stem}e`
  if (endsDoubleConsonant(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1)
  return measure(stem) === 1 && endsShort(stem) ? `${stem}e` : stem
}

const finalY = (word: string) => byRules(word, [['y', 'i', (stem) => stem.length > 1 && kindsOf(stem).endsWith('c')]])

const doubleSuffixes: readonly Rule[] = [
  ['ational', 'ate', hasMeasure],
  ['tional', 'tion', hasMeasure],
  ['enci', 'ence', hasMeasure],
  ['anci', 'ance', hasMeasure],
  ['izer', 'ize', hasMeasure],
  ['bli', 'ble', hasMeasure],
  ['alli', 'al', hasMeasure],
  ['entli', 'ent', hasMeasure],
  ['eli', 'e', hasMeasure],
  ['ousli', 'ous', hasMeasure],
  ['ization', 'ize', hasMeasure],
  ['ation', 'ate', hasMeasure],
  ['ator', 'ate', hasMeasure],
  ['alism', 'al', hasMeasure],
  ['iveness', 'ive', hasMeasure],
  ['fulness', 'ful', hasMeasure],
  ['ousness', 'ous', hasMeasure],
  ['aliti', 'al', hasMeasure],
  ['iviti', 'ive', hasMeasure],
  ['biliti', 'ble', hasMeasure],
  ['fulli', 'ful', hasMeasure],
  // The l belongs to the stem, so that the rule applies to short ones: geo, theo.
  ['logi', 'log', (stem) => hasMeasure(`${stem}l`)],
]

function doubled(word: string): string {
  if (word.endsWith('alli') && hasMeasure(word.slice(0, -4))) return doubled(word.slice(0, -2))
  return byRules(word, doubleSuffixes)
}

const adjectives: readonly Rule[] = [
  ['icate', 'ic', hasMeasure],
  ['ative', '', hasMeasure],
  ['alize', 'al', hasMeasure],
  ['iciti', 'ic', hasMeasure],
  ['ical', 'ic', hasMeasure],
  ['ful', '', hasMeasure],
  ['ness', '', hasMeasure],
]

const singleSuffixes: readonly Rule[] = [
  ...['al', 'ance', 'ence', 'er', 'ic', 'able', 'ible', 'ant', 'ement', 'ment', 'ent'].map(
    (suffix): Rule => [suffix, '', isLong],
  ),
  ['ion', '', (stem) => isLong(stem) && /[st]$/.test(stem)],
  ...['ou', 'ism', 'ate', 'iti', 'ous', 'ive', 'ize'].map((suffix): Rule => [suffix, '', isLong]),
]

function finalE(word: string): string {
  if (!word.endsWith('e')) return word
  const stem = word.slice(0, -1)
  return isLong(stem) || (measure(stem) === 1 && !endsShort(stem)) ? stem : word
}

const finalL = (word: string) => byRules(word, [['ll', 'l', (stem) => isLong(`${stem}l`)]])

export function stemOf(word: string): string {
  const known = irregular.get(word)
  if (known !== undefined) return known
  if (word.length <= 2) return word
  const suffixed = doubled(finalY(pastAndGerund(plural(word))))
  return finalL(finalE(byRules(byRules(suffixed, adjectives), singleSuffixes)))
}

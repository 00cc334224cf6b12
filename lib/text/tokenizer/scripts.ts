/**
 * The pre-tokenizer UnicodeScripts of Hugging Face's tokenizers: a text is cut where another script begins. Han,
 * Hiragana and Katakana count as one. Spaces, and characters without a script, belong to the text before them. Text
 * before the first script is dropped, as there. Their table is Unicode 9's; characters that these scripts gained later
 * have no script there, but have one here.
 */
import type { Aligned } from './aligned.js'

/** The scripts of Unicode 10, except for Hiragana and Katakana. */
const names =
  'Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille ' +
  'Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Common Coptic Cuneiform Cypriot Cyrillic Deseret ' +
  'Devanagari Duployan Egyptian_Hieroglyphs Elbasan Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gurmukhi Han Hangul Hanunoo ' +
  'Hatran Hebrew Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Kayah_Li Kharoshthi Khmer ' +
  'Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Malayalam Mandaic Manichaean Marchen Meetei_Mayek ' +
  'Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean New_Tai_Lue Newa Nko Ogham ' +
  'Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_South_Arabian Old_Turkic Oriya Osage Osmanya ' +
  'Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham ' +
  'SignWriting Sinhala Sora_Sompeng Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana ' +
  'Thai Tibetan Tifinagh Tirhuta Ugaritic Vai Warang_Citi Yi'

/** Script by name; 0 means none. */
const none = 0
const han = names.split(' ').indexOf('Han') + 1

let tests: readonly RegExp[] | null = null
const known = new Map<number, number>()

/** The number of the script of a character. */
function scriptOf(character: string): number {
  // This is the prolonged sound mark, which Unicode calls common.
  if (character === '\u30FC') return han
  if (character === ' ') return none
  const code = character.codePointAt(0) as number
  const found = known.get(code)
  if (found !== undefined) return found
  tests ??= names.split(' ').map((name) => new RegExp(`\\p{Script=${name}}`, 'u'))
  const script = /[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(character)
    ? han
    : tests.findIndex((test) => test.test(character)) + 1
  known.set(code, script)
  return script
}

export function cutByScripts(piece: Aligned): Aligned[] {
  const starts: number[] = []
  let [last, at] = [none, 0]
  for (const character of piece.text) {
    const script = scriptOf(character)
    if (script !== none && script !== last) {
      starts.push(at)
      last = script
    }
    at += character.length
  }
  return starts.map((start, i) => piece.slice(start, starts[i + 1] ?? at))
}

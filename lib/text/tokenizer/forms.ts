/** Unicode's normalisation forms, with the place of every character. */
import type { Aligned, Change } from './aligned.js'

export type Form = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/**
 * A character with those that may join or pass it: marks, Hangul vowels and final consonants, half-width voice marks.
 */
const segments = /.[\p{M}\u1160-\u11ff\uff9e\uff9f\uffa0-\uffdc]*/gsu

export function normalizeForm(aligned: Aligned, form: Form): Aligned {
  if (aligned.text.normalize(form) === aligned.text) return aligned
  const changes: Change[] = []
  for (const [segment] of aligned.text.matchAll(segments)) {
    if (segment.normalize(form) === segment) for (const character of segment) changes.push([character, 0])
    else changes.push(...changesOf(segment, form))
  }
  return aligned.transform(changes)
}

function changesOf(segment: string, form: Form): Change[] {
  const apart = form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD'
  // The result is built character by character, in the order of the text and then in Unicode's order.
  const pieces: Change[] = [...segment].flatMap((character) =>
    [...character.normalize(apart)].map((piece, i): Change => [piece, i > 0 ? 1 : 0]),
  )
  const take = (character: string): Change => {
    const at = pieces.findIndex(([piece]) => piece === character)
    return at < 0 ? [character, 1] : (pieces.splice(at, 1)[0] as Change)
  }
  if (form === apart) return [...segment.normalize(apart)].map(take)
  return [...segment.normalize(form)].map((character): Change => {
    const parts = [...character.normalize('NFD')].map(take)
    return [character, parts.reduce((sum, [, change]) => sum + change, 1 - parts.length)]
  })
}

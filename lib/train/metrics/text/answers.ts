/** Metrics of reading comprehension, after SQuAD's evaluation (Rajpurkar et al., 2016 and 2018). */

import { latePattern } from '../../../core/late.js'
import { Sums } from '../parts.js'
import { sharedBy, TextMeasure, type TextMetric, type TextTotals, wordsOf } from './text.js'

const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g
/** Articles between word boundaries as Python defines them. */
const articles = latePattern(String.raw`(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])`, 'gu')

/** The counting words: in lower case, without punctuation and articles. */
function wordsIn(answer: string): string[] {
  return wordsOf(answer.toLowerCase().replace(punctuation, '').replace(articles(), ' '))
}

const countsOf = (words: readonly string[]): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return counts
}

/** The similarity of two answers by their words, from 0 to 1. */
type Compare = (words: readonly string[], reference: readonly string[]) => number

const same: Compare = (words, reference) => (words.join(' ') === reference.join(' ') ? 1 : 0)

const overlap: Compare = (words, reference) => {
  // If one of them is no answer, both must be for the answer to be right.
  if (words.length === 0 || reference.length === 0) return words.length === reference.length ? 1 : 0
  const shared = sharedBy(countsOf(words), countsOf(reference))
  return (2 * shared) / (words.length + reference.length)
}

/** The mean over answers of the best match with their references. */
class OfAnswers extends TextMeasure<number> {
  readonly #compare: Compare

  constructor(op: string, compare: Compare) {
    super(op, {})
    this.#compare = compare
  }

  fresh(): TextMetric {
    return new OfAnswers(this.op, this.#compare)
  }

  protected empty(): TextTotals {
    return { sums: new Sums(2) }
  }

  protected value({ sums }: TextTotals): number {
    return sums.get(0) / sums.get(1)
  }

  protected add(sums: Sums, hypothesis: string, references: readonly string[]): void {
    const words = wordsIn(hypothesis)
    sums.add(
      0,
      references.reduce((best, reference) => Math.max(best, this.#compare(words, wordsIn(reference))), 0),
    )
    sums.add(1, 1)
  }
}

/**
 * The share of answers that equal one of their references, apart from case, punctuation, articles and white space: from
 * 0 to 1, or NaN for none. An empty text means that there is no answer. SQuAD's exact match, divided by 100.
 */
export function answerExactMatch(): TextMetric {
  return new OfAnswers('answerExactMatch', same)
}

/**
 * The mean F1 of the words that answers share with the best of their references, apart from case, punctuation and
 * articles: from 0 to 1, or NaN for none. An empty text means that there is no answer. SQuAD's F1, divided by 100.
 */
export function answerF1(): TextMetric {
  return new OfAnswers('answerF1', overlap)
}

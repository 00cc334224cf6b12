/** chrF and chrF++. */
import { ValueError } from '../../../core/errors.js'
import { checkFlag, ownOptions } from '../../../core/options.js'
import { checkNumber, checkWhole } from '../given.js'
import { Sums } from '../parts.js'
import { ngramsOf, sharedBy, TextMeasure, type TextMetric, type TextTotals, totalOf, wordsOf } from './text.js'

export interface ChrfOptions {
  /** The longest n-grams of characters. Default 6. */
  readonly charOrder?: number
  /** The longest n-grams of words; 2 makes chrF++. Default 0. */
  readonly wordOrder?: number
  /** The weight of recall relative to precision. Default 2. */
  readonly beta?: number
  /** Default false. */
  readonly lowercase?: boolean
  /** Whether spaces count as characters. Default false. */
  readonly whitespace?: boolean
  /**
   * Whether orders for which a text is too short count as 1e-16, as in chrF++.py, instead of being left out. Default
   * false.
   */
  readonly epsSmoothing?: boolean
}

const names = {
  charOrder: true,
  wordOrder: true,
  beta: true,
  lowercase: true,
  whitespace: true,
  epsSmoothing: true,
} as const

const epsilon = 1e-16
const punctuation = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~')

/** Words, with a punctuation mark at their end, or else at their beginning, separated from them. */
function wordsAndMarks(text: string): string[] {
  return wordsOf(text).flatMap((word) => {
    if ([...word].length === 1) return [word]
    if (punctuation.has(word.at(-1) as string)) return [word.slice(0, -1), word.slice(-1)]
    return punctuation.has(word[0] as string) ? [word.slice(0, 1), word.slice(1)] : [word]
  })
}

type Counts = readonly ReadonlyMap<string, number>[]

class Chrf extends TextMeasure<number> {
  readonly #options: ChrfOptions

  constructor(options: ChrfOptions) {
    super('chrf', options)
    this.#options = options
  }

  fresh(): TextMetric {
    return new Chrf(this.#options)
  }

  get #orders(): number {
    const { charOrder = 6, wordOrder = 0 } = this.#options
    return charOrder + wordOrder
  }

  /** The totals by order: n-grams of hypotheses, of references, and common ones. The number of texts follows. */
  protected empty(): TextTotals {
    return { sums: new Sums(3 * this.#orders + 1) }
  }

  #ngrams(text: string): Counts {
    const { charOrder = 6, wordOrder = 0, lowercase = false, whitespace = false } = this.#options
    const line = lowercase ? text.toLowerCase() : text
    const characters = [...(whitespace ? line : wordsOf(line).join(''))]
    const words = wordOrder > 0 ? wordsAndMarks(line) : []
    return [
      ...Array.from({ length: charOrder }, (_, i) => ngramsOf(characters, i + 1, '')),
      ...Array.from({ length: wordOrder }, (_, i) => ngramsOf(words, i + 1, ' ')),
    ]
  }

  protected add(sums: Sums, hypothesis: string, references: readonly string[]): void {
    const own = this.#ngrams(hypothesis)
    let [best, score]: [number[], number] = [[], -1]
    for (const reference of references) {
      const other = this.#ngrams(reference)
      const counts = own.flatMap((grams, i) => {
        const theirs = other[i] as ReadonlyMap<string, number>
        // N-grams of an order that the reference lacks do not count against the hypothesis.
        return [theirs.size > 0 ? totalOf(grams) : 0, totalOf(theirs), sharedBy(grams, theirs)]
      })
      const value = this.#score(counts)
      if (value > score) [best, score] = [counts, value]
    }
    sums.addAll([...best, 1])
  }

  #score(counts: ArrayLike<number>): number {
    const { beta = 2, epsSmoothing = false } = this.#options
    const square = beta * beta
    let [smoothed, precisions, recalls, orders] = [0, 0, 0, 0]
    for (let i = 0; i < this.#orders; i++) {
      const [said, is, shared] = [counts[3 * i], counts[3 * i + 1], counts[3 * i + 2]] as [number, number, number]
      const precision = said > 0 ? shared / said : epsilon
      const recall = is > 0 ? shared / is : epsilon
      const weighed = square * precision + recall
      smoothed += weighed > 0 ? ((1 + square) * precision * recall) / weighed : epsilon
      if (said === 0 || is === 0) continue
      precisions += precision
      recalls += recall
      orders++
    }
    if (epsSmoothing) return (100 * smoothed) / this.#orders
    if (precisions + recalls === 0) return 0
    const [precision, recall] = [precisions / orders, recalls / orders]
    return (100 * (1 + square) * precision * recall) / (square * precision + recall)
  }

  protected value({ sums }: TextTotals): number {
    return sums.get(3 * this.#orders) === 0 ? Number.NaN : this.#score(sums.values)
  }
}

/**
 * chrF of the whole pass, from 0 to 100, and with `wordOrder: 2` chrF++: `update(hypotheses, references)`, with one or
 * more references for each hypothesis, of which the best counts. NaN while there was no text. sacrebleu's corpus_chrf.
 * Throws ValueError unless the orders add up to 1 to 64.
 */
export function chrf(options: ChrfOptions = {}): TextMetric {
  const own = ownOptions('chrf', options, names)
  const { charOrder, wordOrder, beta, lowercase, whitespace, epsSmoothing } = own
  checkWhole('chrf', 'charOrder', charOrder, 0)
  checkWhole('chrf', 'wordOrder', wordOrder, 0)
  const orders = (charOrder ?? 6) + (wordOrder ?? 0)
  if (orders === 0 || orders > 64)
    throw new ValueError(
      'chrf',
      `charOrder and wordOrder add up to ${orders}, but must add up to a number from 1 to 64`,
    )
  checkNumber('chrf', 'beta', beta, 0)
  for (const [name, value] of Object.entries({ lowercase, whitespace, epsSmoothing }))
    if (value !== undefined) checkFlag('chrf', name, value)
  return new Chrf(own)
}

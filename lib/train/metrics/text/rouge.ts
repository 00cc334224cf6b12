/** ROUGE. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004. */
import { kindOf, shown, ValueError } from '../../../core/errors.js'
import { latePattern } from '../../../core/late.js'
import { checkFlag, ownOptions } from '../../../core/options.js'
import { checkOneOf } from '../given.js'
import { Sums } from '../parts.js'
import { stemOf } from './stemmer.js'
import { ngramsOf, sharedBy, TextMeasure, type TextMetric, type TextTotals, totalOf } from './text.js'

/**
 * ROUGE: shares of common words and pairs of words, and of longest common subsequences of the text and of its lines.
 */
export type RougeType = 'rouge1' | 'rouge2' | 'rougeL' | 'rougeLsum'

export interface RougeScore {
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

export interface RougeOptions {
  /**
   * A function from a text to its words, such as `(text: string) => [...text]` for Chinese. Default: words of a to z,
   * in either case, and digits, as in rouge-score. References whose letters give no such word are refused, because
   * every score would be 0.
   */
  readonly tokenize?: (text: string) => readonly string[]
  /**
   * Whether words with more than three letters are reduced to their stems, by Porter's algorithm for English. Default
   * false.
   */
  readonly stem?: boolean
  /** The one type whose F1 is computed, a number for a Trainer. Default: a report of all four. */
  readonly type?: RougeType
}

export type RougeReport = { readonly [type in RougeType]: RougeScore }

const types: readonly RougeType[] = ['rouge1', 'rouge2', 'rougeL', 'rougeLsum']

type Words = readonly string[]

const latinWords = (text: string) =>
  text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')

function wordsOf(text: string, { stem = false, tokenize = latinWords }: RougeOptions): Words {
  const words = tokenize(text)
  return stem ? words.map((word) => (word.length > 3 ? stemOf(word) : word)) : words
}

/** Computes precision, recall and F1 from the common part and both sizes. */
function scoreOf(shared: number, said: number, wanted: number): RougeScore {
  const [precision, recall] = [shared / Math.max(said, 1), shared / Math.max(wanted, 1)]
  const sum = precision + recall
  return { precision, recall, f1: sum > 0 ? (2 * precision * recall) / sum : 0 }
}

/** Lengths of the longest common subsequences of all beginnings. */
function table(a: Words, b: Words): readonly Uint32Array[] {
  const rows = [new Uint32Array(b.length + 1)]
  for (const word of a) {
    const above = rows.at(-1) as Uint32Array
    const row = new Uint32Array(b.length + 1)
    for (let j = 1; j <= b.length; j++)
      row[j] = word === b[j - 1] ? (above[j - 1] as number) + 1 : Math.max(above[j] as number, row[j - 1] as number)
    rows.push(row)
  }
  return rows
}

/** The places in `a` of one of the longest common subsequences. */
function places(a: Words, b: Words): number[] {
  const rows = table(a, b)
  const found: number[] = []
  let [i, j] = [a.length, b.length]
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      found.push(i - 1)
      i--
      j--
    } else if ((rows[i]?.[j - 1] as number) > (rows[i - 1]?.[j] as number)) j--
    else i--
  }
  return found
}

function ofNgrams(said: Words, wanted: Words, n: number): RougeScore {
  const [own, theirs] = [ngramsOf(said, n, ' '), ngramsOf(wanted, n, ' ')]
  return scoreOf(sharedBy(own, theirs), totalOf(own), totalOf(theirs))
}

/**
 * The words of each reference line that are in a subsequence shared with any line. No word counts more often than it
 * occurs.
 */
function ofLines(said: readonly Words[], wanted: readonly Words[]): RougeScore {
  const left = [said, wanted].map((lines) => ngramsOf(lines.flat(), 1, '')) as [
    Map<string, number>,
    Map<string, number>,
  ]
  let shared = 0
  for (const line of wanted) {
    const union = [...new Set(said.flatMap((other) => places(line, other)))].sort((a, b) => a - b)
    for (const place of union) {
      const word = line[place] as string
      if (!left.every((counts) => (counts.get(word) ?? 0) > 0)) continue
      shared++
      for (const counts of left) counts.set(word, (counts.get(word) as number) - 1)
    }
  }
  return scoreOf(shared, said.flat().length, wanted.flat().length)
}

const letter = latePattern(String.raw`\p{L}`, 'u')

function scoresOf(hypothesis: string, reference: string, options: RougeOptions): RougeReport {
  const lines = (text: string) => text.split('\n').map((line) => wordsOf(line, options))
  const [said, wanted] = [wordsOf(hypothesis, options), wordsOf(reference, options)]
  if (wanted.length === 0 && options.tokenize === undefined && letter().test(reference))
    throw new ValueError(
      'rouge',
      `the reference ${shown(reference)} has no words of a to z and digits; give tokenize, such as (text) => [...text] for Chinese`,
    )
  return {
    rouge1: ofNgrams(said, wanted, 1),
    rouge2: ofNgrams(said, wanted, 2),
    rougeL: scoreOf(table(wanted, said).at(-1)?.at(-1) as number, said.length, wanted.length),
    rougeLsum: ofLines(lines(hypothesis), lines(reference)),
  }
}

class Rouge extends TextMeasure<RougeReport | number> {
  readonly #options: RougeOptions

  constructor(options: RougeOptions) {
    super('rouge', options)
    this.#options = options
  }

  fresh(): TextMetric<RougeReport | number> {
    return new Rouge(this.#options)
  }

  /** The totals by type: the sums of precision, recall and F1. The number of texts follows. */
  protected empty(): TextTotals {
    return { sums: new Sums(3 * types.length + 1) }
  }

  protected add(sums: Sums, hypothesis: string, references: readonly string[]): void {
    const all = references.map((reference) => scoresOf(hypothesis, reference, this.#options))
    types.forEach((type, i) => {
      const { precision, recall, f1 } = all
        .map((scores) => scores[type])
        .reduce((best, score) => (score.f1 > best.f1 ? score : best))
      sums.addAll([precision, recall, f1], 3 * i)
    })
    sums.add(3 * types.length, 1)
  }

  protected value({ sums }: TextTotals): RougeReport | number {
    const mean = (index: number) => sums.get(index) / sums.get(3 * types.length)
    const { type } = this.#options
    if (type !== undefined) return mean(3 * types.indexOf(type) + 2)
    const score = (i: number) => ({ precision: mean(3 * i), recall: mean(3 * i + 1), f1: mean(3 * i + 2) })
    return { rouge1: score(0), rouge2: score(1), rougeL: score(2), rougeLsum: score(3) }
  }
}

/** A report, or with `type` a number. */
type RougeMetric<O> = O extends { readonly type: RougeType } ? TextMetric : TextMetric<RougeReport>

/**
 * ROUGE-1, -2, -L and -Lsum, the mean over the texts of the pass: `update(hypotheses, references)`, with one or more
 * references for each hypothesis, of which the one with the best F1 counts. Words consist of Latin letters without
 * accents and of digits, or are the results of `tokenize`. Lines of ROUGE-Lsum end at
 * . NaN while there was no text. rouge-score's RougeScorer. Updates throw ValueError for a reference in another script
 * without `tokenize`.
 */
export function rouge<const O extends RougeOptions = object>(options?: O): RougeMetric<O> {
  const own = ownOptions<RougeOptions>('rouge', options ?? {}, { tokenize: true, stem: true, type: true })
  if (own.tokenize !== undefined && typeof own.tokenize !== 'function')
    throw new ValueError(
      'rouge',
      `tokenize is ${kindOf(own.tokenize)}, but must be a function from a text to its words`,
    )
  if (own.stem !== undefined) checkFlag('rouge', 'stem', own.stem)
  checkOneOf('rouge', 'type', own.type, types)
  return new Rouge(own) as unknown as RougeMetric<O>
}

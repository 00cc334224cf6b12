/** BLEU. */
import { checkFlag, ownOptions } from '../../../core/options.js'
import { checkNumber, checkOneOf, checkWhole } from '../given.js'
import { Sums } from '../parts.js'
import { ngramsOf, sharedBy, TextMeasure, type TextMetric, type TextTotals, totalOf, trimEnd } from './text.js'
import { type TokenizerName, tokenizers } from './tokenizers.js'

export interface BleuOptions {
  /** sacrebleu's tokenizer of that name, or a function from a text to its words. Default 13a. Use zh for Chinese. */
  readonly tokenize?: TokenizerName | ((text: string) => readonly string[])
  /** Default false. */
  readonly lowercase?: boolean
  /**
   * The method for counts without a match: 'exp' replaces them by 1/2, 1/4 and so on; 'floor' replaces them by
   * `smoothValue`; 'add-k' adds `smoothValue` to all counts except those of single words. Default 'exp'.
   */
  readonly smooth?: 'exp' | 'floor' | 'add-k' | 'none'
  /** Default 0.1 for floor, 1 for add-k. */
  readonly smoothValue?: number
  /** The longest n-grams that count. At most 64, default 4. */
  readonly maxOrder?: number
  /** Leaves out orders that are longer than all hypotheses, which is useful for single sentences. Default false. */
  readonly effectiveOrder?: boolean
}

const names = {
  tokenize: true,
  lowercase: true,
  smooth: true,
  smoothValue: true,
  maxOrder: true,
  effectiveOrder: true,
} as const

/**
 * The totals by index: texts, words of hypotheses and of references, then matches by order, and after these n-grams.
 */
const first = 3

class Bleu extends TextMeasure<number> {
  readonly #options: BleuOptions
  readonly #order: number
  readonly #words: (text: string) => readonly string[]

  constructor(options: BleuOptions) {
    super('bleu', options)
    this.#options = options
    this.#order = options.maxOrder ?? 4
    const { tokenize = '13a' } = options
    this.#words = typeof tokenize === 'function' ? tokenize : tokenizers[tokenize]
  }

  fresh(): TextMetric {
    return new Bleu(this.#options)
  }

  protected empty(): TextTotals {
    return { sums: new Sums(first + 2 * this.#order) }
  }

  #split(text: string): readonly string[] {
    return this.#words(trimEnd(this.#options.lowercase ? text.toLowerCase() : text))
  }

  protected add(sums: Sums, hypothesis: string, references: readonly string[]): void {
    const words = this.#split(hypothesis)
    const others = references.map((text) => this.#split(text))
    // The reference with the closest length. The shorter of two counts.
    const lengths = others.map((each) => each.length)
    const closest = lengths.reduce((best, length) => {
      const [gap, least] = [Math.abs(words.length - length), Math.abs(words.length - best)]
      return gap < least || (gap === least && length < best) ? length : best
    })
    sums.addAll([1, words.length, closest])
    for (let n = 1; n <= this.#order; n++) {
      const own = ngramsOf(words, n, ' ')
      const most = new Map<string, number>()
      for (const each of others)
        for (const [gram, count] of ngramsOf(each, n, ' ')) most.set(gram, Math.max(count, most.get(gram) ?? 0))
      sums.add(first + n - 1, sharedBy(own, most))
      sums.add(first + this.#order + n - 1, totalOf(own))
    }
  }

  protected value({ sums }: TextTotals): number {
    if (sums.get(0) === 0) return Number.NaN
    const { smooth = 'exp', effectiveOrder = false } = this.#options
    const { smoothValue = smooth === 'floor' ? 0.1 : 1 } = this.#options
    const order = this.#order
    const [length, wanted] = [sums.get(1), sums.get(2)]
    const right = Array.from({ length: order }, (_, i) => sums.get(first + i))
    if (right.every((count) => count === 0)) return 0
    let [used, halves, logs] = [order, 1, 0]
    for (let n = 1; n <= order; n++) {
      const more = smooth === 'add-k' && n > 1 ? smoothValue : 0
      const total = sums.get(first + order + n - 1) + more
      // Without n-grams of this order there are no longer ones.
      if (total === 0) {
        if (!effectiveOrder) return 0
        break
      }
      if (effectiveOrder) used = n
      const count = (right[n - 1] as number) + more
      let precision = count / total
      if (count === 0 && smooth === 'exp') precision = 1 / ((halves *= 2) * total)
      if (count === 0 && smooth === 'floor') precision = smoothValue / total
      logs += Math.log(precision)
    }
    const penalty = length < wanted ? (length === 0 ? 0 : Math.exp(1 - wanted / length)) : 1
    return 100 * penalty * Math.exp(logs / used)
  }
}

/**
 * BLEU of the whole pass, from 0 to 100: `update(hypotheses, references)`, with one or more references for each
 * hypothesis. NaN while there was no text. Keeps only a few counts, however many texts there are. sacrebleu's
 * corpus_bleu.
 */
export function bleu(options: BleuOptions = {}): TextMetric {
  const own = ownOptions('bleu', options, names)
  const { tokenize, lowercase, smooth, smoothValue, maxOrder, effectiveOrder } = own
  if (typeof tokenize !== 'function') checkOneOf('bleu', 'tokenize', tokenize, Object.keys(tokenizers))
  if (lowercase !== undefined) checkFlag('bleu', 'lowercase', lowercase)
  if (effectiveOrder !== undefined) checkFlag('bleu', 'effectiveOrder', effectiveOrder)
  checkOneOf('bleu', 'smooth', smooth, ['exp', 'floor', 'add-k', 'none'])
  checkNumber('bleu', 'smoothValue', smoothValue, 0)
  checkWhole('bleu', 'maxOrder', maxOrder, 1, 64)
  return new Bleu(own)
}

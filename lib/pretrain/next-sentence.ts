/** Pairs of sentences, half of which follow one another, as BERT (Devlin et al., 2019) learns from them. */
import { kindOf, shown, ValueError } from '../core/errors.js'
import { checkOptions } from '../core/options.js'
import { Dataset } from '../data/dataset.js'
import { type RowContext, rowContext } from '../data/row-context.js'
import { checkTokenizer } from '../tasks/rows/rows.js'
import type { Tokenizer } from '../text/tokenizer/tokenizer.js'
import { type MaskableRow, maskableRow } from './masking.js'

export interface NextSentenceOptions {
  /**
   * The most tokens of a pair, with [CLS] and both [SEP]. The longer sentence is cut first. Default: the tokenizer's
   * `maxLength`.
   */
  readonly maxLength?: number
}

interface Sentence {
  readonly ids: Int32Array
  readonly words: Int32Array
}

/**
 * A row for each sentence that has a next one in its document. The row has the next sentence (label 0) or one of
 * another document (label 1), with even chances, drawn anew in each pass. If there is only one document, the other
 * sentence is from the same one. Pass it to `maskedBatches`. Throws ValueError for a sentence without tokens, and if no
 * document has two sentences.
 */
export function nextSentencePairs(
  documents: readonly (readonly string[])[],
  tokenizer: Tokenizer,
  options: NextSentenceOptions = {},
): Dataset<MaskableRow> {
  return new Pairs(documents, tokenizer, options)
}

class Pairs extends Dataset<MaskableRow> {
  readonly length: number
  readonly #sentences: Sentence[] = []
  /** The first sentence of each document, and the number after the last one. */
  readonly #starts: number[] = [0]
  /** The document of each row, and its first sentence. */
  readonly #rows: (readonly [document: number, sentence: number])[] = []
  readonly #cls: number
  readonly #sep: number
  readonly #most: number

  constructor(documents: readonly (readonly string[])[], tokenizer: Tokenizer, options: NextSentenceOptions) {
    super()
    const op = 'nextSentencePairs'
    checkTokenizer(op, tokenizer)
    const { maxLength = tokenizer.maxLength } = checkOptions(op, options, { maxLength: true })
    const [cls, sep] = [tokenizer.idFor('cls'), tokenizer.idFor('sep')]
    if (cls === null || sep === null)
      throw new ValueError(
        op,
        `the tokenizer has no ${cls === null ? 'cls' : 'sep'} token, which stands around sentences`,
      )
    if (maxLength !== null && (!Number.isSafeInteger(maxLength) || maxLength < 5))
      throw new ValueError(
        op,
        `maxLength is ${shown(maxLength)}, but must be an integer of at least 5: [CLS] a [SEP] b [SEP]`,
      )
    if (!Array.isArray(documents) || !documents.every((each) => Array.isArray(each)))
      throw new ValueError(op, `documents are ${kindOf(documents)}, but must be lists of sentences`)
    for (const [document, sentences] of documents.entries()) {
      for (const [i, text] of sentences.entries()) {
        if (typeof text !== 'string')
          throw new ValueError(op, `sentence ${i} of document ${document} is ${kindOf(text)}, but must be a text`)
        const row = maskableRow(text, tokenizer)
        const own = row.words.map((word, at) => (word === -1 ? -1 : at)).filter((at) => at >= 0)
        if (own.length === 0)
          throw new ValueError(
            op,
            `sentence ${i} of document ${document} has no tokens: ${JSON.stringify(text.slice(0, 50))}`,
          )
        this.#sentences.push({
          ids: own.map((at) => row.ids[at] as number),
          words: own.map((at) => row.words[at] as number),
        })
        if (i + 1 < sentences.length) this.#rows.push([document, this.#sentences.length - 1])
      }
      this.#starts.push(this.#sentences.length)
    }
    if (this.#rows.length === 0) throw new ValueError(op, 'no document has two sentences, so none follows another')
    if (this.#sentences.length < 3)
      throw new ValueError(op, 'there are only two sentences, so every sentence follows another; give more')
    this.#cls = cls
    this.#sep = sep
    this.#most = maxLength ?? Number.POSITIVE_INFINITY
    this.length = this.#rows.length
  }

  get(index: number, context: RowContext = rowContext(undefined, index)): MaskableRow {
    const [document, sentence] = this.#rows[index] as readonly [number, number]
    const follows = context.generator.bernoulli()
    const other = follows ? sentence + 1 : this.#another(document, sentence, context)
    const [first, second] = this.#cut(this.#sentences[sentence] as Sentence, this.#sentences[other] as Sentence)
    const [n, m] = [first.ids.length, second.ids.length]
    const ids = Int32Array.of(this.#cls, ...first.ids, this.#sep, ...second.ids, this.#sep)
    const shift = 1 + (first.words.at(-1) as number)
    const words = Int32Array.of(-1, ...first.words, -1, ...second.words.map((word) => word + shift), -1)
    const typeIds = Int32Array.from(ids, (_, i) => (i > n + 1 && i <= n + m + 2 ? 1 : 0))
    return { ids, words, typeIds, nextSentenceLabel: follows ? 0 : 1 }
  }

  /** A sentence that does not follow. */
  #another(document: number, sentence: number, { generator }: RowContext): number {
    const [start, end] = [this.#starts[document] as number, this.#starts[document + 1] as number]
    const outside = this.#sentences.length - (end - start)
    if (outside > 0) {
      const drawn = generator.randint(0, outside)
      return drawn < start ? drawn : drawn + (end - start)
    }
    // Any sentence but this one and the next.
    const drawn = generator.randint(0, this.#sentences.length - 2)
    return drawn < sentence ? drawn : drawn + 2
  }

  #cut(first: Sentence, second: Sentence): readonly [Sentence, Sentence] {
    const room = this.#most - 3
    const [n, m] = [first.ids.length, second.ids.length]
    if (n + m <= room) return [first, second]
    // The shorter sentence stays whole if it has at most half.
    const half = Math.floor(room / 2)
    const a = n <= m ? Math.min(n, half) : room - Math.min(m, half)
    const part = ({ ids, words }: Sentence, count: number) => ({
      ids: ids.slice(0, count),
      words: words.slice(0, count),
    })
    return [part(first, a), part(second, room - a)]
  }
}

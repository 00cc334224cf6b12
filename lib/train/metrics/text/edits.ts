/** Error rates of words and characters, by Levenshtein's distance. */
import { kindOf, ValueError } from '../../../core/errors.js'
import { ownOptions } from '../../../core/options.js'
import { Sums } from '../parts.js'
import { TextMeasure, type TextMetric, type TextTotals, trim, withoutRunsOfSpace } from './text.js'

export interface ErrorRateOptions {
  /**
   * Changes hypotheses and references before they are compared, for example to lower case without punctuation. Default:
   * no change.
   */
  readonly transform?: (text: string) => string
}

/** The least number of replacements, deletions and insertions that turn one list into the other. */
function distance(a: readonly string[], b: readonly string[]): number {
  const row = Uint32Array.from({ length: b.length + 1 }, (_, j) => j)
  a.forEach((part, i) => {
    let diagonal = i
    row[0] = i + 1
    for (let j = 1; j <= b.length; j++) {
      const above = row[j] as number
      row[j] = Math.min(diagonal + (part === b[j - 1] ? 0 : 1), above + 1, (row[j - 1] as number) + 1)
      diagonal = above
    }
  })
  return row[b.length] as number
}

class ErrorRate extends TextMeasure<number> {
  readonly #options: ErrorRateOptions
  readonly #split: (text: string) => string[]

  constructor(op: string, options: ErrorRateOptions, split: (text: string) => string[]) {
    super(op, options)
    this.#options = options
    this.#split = split
  }

  fresh(): TextMetric {
    return new ErrorRate(this.op, this.#options, this.#split)
  }

  /** Texts, edits, and parts of references. */
  protected empty(): TextTotals {
    return { sums: new Sums(3) }
  }

  protected add(sums: Sums, hypothesis: string, references: readonly string[]): void {
    if (references.length > 1)
      throw new ValueError(this.op, `a hypothesis has ${references.length} references, but must have one`)
    const { transform = (text: string) => text } = this.#options
    const [said, wanted] = [hypothesis, ...references].map((text) => this.#split(transform(text))) as [
      string[],
      string[],
    ]
    sums.addAll([1, distance(wanted, said), wanted.length])
  }

  protected value({ sums }: TextTotals): number {
    const [texts, edits, parts] = [sums.get(0), sums.get(1), sums.get(2)]
    if (texts === 0) return Number.NaN
    return parts === 0 ? edits : edits / parts
  }
}

function checked(op: string, options: ErrorRateOptions): ErrorRateOptions {
  const own = ownOptions(op, options, { transform: true })
  if (own.transform !== undefined && typeof own.transform !== 'function')
    throw new ValueError(op, `transform is ${kindOf(own.transform)}, but must be a function from a text to a text`)
  return own
}

/**
 * Words to replace, delete or insert, divided by the words of the references: `update(hypotheses, references)`, with
 * one reference each. 0 is perfect, and more than 1 is possible. If the references have no words, it is the number of
 * insertions. NaN while there was no text. jiwer's wer.
 */
export function wordErrorRate(options: ErrorRateOptions = {}): TextMetric {
  const words = (text: string) =>
    trim(withoutRunsOfSpace(text))
      .split(' ')
      .filter((word) => word !== '')
  return new ErrorRate('wordErrorRate', checked('wordErrorRate', options), words)
}

/** Like `wordErrorRate`, for characters, including spaces within a text. jiwer's cer. */
export function characterErrorRate(options: ErrorRateOptions = {}): TextMetric {
  return new ErrorRate('characterErrorRate', checked('characterErrorRate', options), (text) => [...trim(text)])
}

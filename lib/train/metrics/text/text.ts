/** The common part of metrics of texts: inputs, words as Python splits them, and n-grams. */
import { kindOf, ShapeError, ValueError } from '../../../core/errors.js'
import { Measure, type ResumableMetric } from '../metric.js'
import type { Parts, Sums } from '../parts.js'

/** References of hypotheses: one for each, or a list of one or more for each. */
export type References = readonly string[] | readonly (readonly string[])[]

/** A metric of texts, which needs no tensors: `update(hypotheses, references)`. */
export type TextMetric<V = number> = ResumableMetric<readonly string[], References, V>

/**
 * Ranges of Python's white space, which differs from JavaScript's \s in information separators and the byte order mark.
 */
const spaces: readonly (readonly [number, number])[] = [
  [0x09, 0x0d],
  [0x1c, 0x20],
  [0x85, 0x85],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
]

/** A class of characters for a regular expression. */
export function classOf(ranges: readonly (readonly [number, number])[]): string {
  const escaped = (code: number) => `\\u${code.toString(16).padStart(4, '0')}`
  return `[${ranges.map(([first, last]) => `${escaped(first)}-${escaped(last)}`).join('')}]`
}

const space = classOf(spaces)
const someSpace = new RegExp(`${space}+`)
const runsOfSpace = new RegExp(`${space}{2,}`, 'g')
const spaceBefore = new RegExp(`^${space}+`)
const spaceAfter = new RegExp(`${space}+$`)

export const wordsOf = (text: string): string[] => text.split(someSpace).filter((word) => word !== '')
export const trimEnd = (text: string): string => text.replace(spaceAfter, '')
export const trim = (text: string): string => trimEnd(text.replace(spaceBefore, ''))
export const withoutRunsOfSpace = (text: string): string => text.replace(runsOfSpace, ' ')

/** The number of occurrences of each run of `n` parts. */
export function ngramsOf(parts: readonly string[], n: number, between: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i + n <= parts.length; i++) {
    const gram = parts.slice(i, i + n).join(between)
    counts.set(gram, (counts.get(gram) ?? 0) + 1)
  }
  return counts
}

export function totalOf(counts: ReadonlyMap<string, number>): number {
  let total = 0
  for (const count of counts.values()) total += count
  return total
}

/** The number of n-grams that two texts share, each counted at most as often as it occurs in both. */
export function sharedBy(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  let shared = 0
  for (const [gram, count] of a) shared += Math.min(count, b.get(gram) ?? 0)
  return shared
}

/** Totals of pairs of texts. */
export interface TextTotals extends Parts {
  readonly sums: Sums
}

export abstract class TextMeasure<V> extends Measure<readonly string[], References, V, TextTotals> {
  /** Adds a hypothesis with its references. */
  protected abstract add(sums: Sums, hypothesis: string, references: readonly string[]): void

  update(hypotheses: readonly string[], references: References): void {
    const { op } = this
    if (!Array.isArray(hypotheses) || !Array.isArray(references))
      throw new ValueError(
        op,
        `takes a list of hypotheses and a list of references, but got ${kindOf(hypotheses)} and ${kindOf(references)}`,
      )
    if (hypotheses.length !== references.length)
      throw new ShapeError(op, `there are ${hypotheses.length} hypotheses, but references for ${references.length}`)
    const pairs = hypotheses.map((hypothesis: unknown, i): readonly [string, readonly string[]] => {
      const given: unknown = references[i]
      const own: readonly unknown[] = Array.isArray(given) ? [...given] : [given]
      const text = [hypothesis, ...own].find((each) => typeof each !== 'string')
      if (text !== undefined || own.length === 0)
        throw new ValueError(
          op,
          own.length === 0
            ? `hypothesis ${i} has no references, but must have one or more`
            : `hypothesis ${i} or one of its references is ${kindOf(text)}, but must be a string`,
        )
      return [hypothesis as string, own as readonly string[]]
    })
    // They are added to separate totals first, so that a text at which a program's function fails leaves the totals
    // unchanged.
    const part = this.empty()
    for (const [hypothesis, own] of pairs) this.add(part.sums, hypothesis, own)
    this.read([], ({ sums }) => sums.take(part.sums.dump()))
  }
}

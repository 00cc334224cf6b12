/** Figures of rows in tokens. */
import { tokensIn } from '../../tasks/rows/rows.js'
import { type TaskRow, textsOf } from '../tasks/formats.js'
import { countText } from '../words.js'
import { type Data, eachOf } from './material.js'

export interface RowFigures {
  readonly format: string
  readonly rows: number
  readonly validation: number
  /** General rows that are mixed into the others. */
  readonly replayed: number
  readonly tokens: number
  /** The share of tokens that are learned. Null if rows, rather than tokens, have labels. */
  readonly learned: number | null
  /** The number of rows that were shortened. */
  readonly cut: number
  /** The number of rows, or parts of rows, that were left out, by reason. */
  readonly skipped: { readonly [reason: string]: number }
  readonly labels: readonly string[]
  readonly longest: number
}

export function rowFigures({ format, train, validation, replay, all, labelling }: Data): RowFigures {
  let [tokens, longest] = [0, 0]
  let learned: number | null = format === 'translation' ? null : 0
  for (const part of validation === null ? [train] : [train, validation])
    for (const row of eachOf(part)) {
      for (const { ids } of textsOf(row)) tokens += ids.length
      longest = Math.max(longest, tokensIn(row))
      const own = learnedIn(row)
      learned = learned === null || own === null ? null : learned + own
    }
  return {
    format,
    rows: train.length,
    validation: validation?.length ?? 0,
    replayed: replay?.length ?? 0,
    tokens,
    learned: learned === null ? null : learned / tokens,
    cut: all.cut,
    skipped: all.skipped,
    labels: labelling.labels,
    longest,
  }
}

/** The number of a row's tokens that are learned, or null if its tokens have no labels. */
export function learnedIn(row: TaskRow): number | null {
  const { labels } = row as { readonly labels?: unknown }
  return labels instanceof Int32Array ? labels.reduce((count, label) => count + (label >= 0 ? 1 : 0), 0) : null
}

export function figuresText(figures: RowFigures): string {
  const { format, rows, validation, replayed, tokens, learned, labels, cut, skipped, longest } = figures
  return [
    `${countText(rows)} rows (${format})${validation === 0 ? '' : ` and ${countText(validation)} for validation`}`,
    ...(replayed === 0 ? [] : [`${countText(replayed)} general ones beside them`]),
    ...(labels.length === 0 ? [] : [labels.length > 12 ? `${labels.length} labels` : `labels ${labels.join(', ')}`]),
    `${countText(tokens)} tokens${learned === null ? '' : `, ${Math.round(100 * learned)}% of them learned`}, the longest row has ${countText(longest)}`,
    cut === 0 ? 'none cut' : `${countText(cut)} cut`,
    ...Object.entries(skipped).map(([reason, count]) => `${countText(count)} ${reason}`),
  ].join('; ')
}

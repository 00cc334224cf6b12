/** Figures of rows in tokens. */
import { listed } from '../../tasks/rows/labels.js'
import { tokensIn } from '../../tasks/rows/rows.js'
import { roles, type Tokenizer } from '../../text/tokenizer/tokenizer.js'
import { type TaskRow, textsOf } from '../tasks/formats.js'
import { countText } from '../words.js'
import { type Data, eachOf, type Rows } from './material.js'
import { type Repeats, repeatsOf, repeatsText } from './repeats.js'

export interface RowFigures extends Repeats {
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
  /** Classes that no row to learn from has. */
  readonly unseen: readonly string[]
  /** Classes whose names differ only in case or white space, so that they may be meant as one. */
  readonly alike: readonly (readonly string[])[]
  /** The number of tokens that stand for texts that the tokenizer does not know. */
  readonly unknown: number
  readonly longest: number
}

/** The token of unknown texts, or null if there is none, or if it also has another meaning. */
function unknownToken(tokenizer: Tokenizer): number | null {
  const { model } = tokenizer.toJSON() as { readonly model?: { readonly unk_token?: string | null } }
  const named = model?.unk_token
  const id = tokenizer.idFor('unk') ?? (typeof named === 'string' ? tokenizer.idOf(named) : undefined) ?? null
  return roles.some((role) => role !== 'unk' && tokenizer.idFor(role) === id) ? null : id
}

/** Classes that no row has. Rows without classes have seen all. */
function unseenIn(rows: Rows, labels: readonly string[]): readonly string[] {
  const seen = new Set<number>()
  for (const row of labels.length === 0 ? [] : eachOf(rows)) {
    const { label, labels: ofTokens } = row as { readonly label?: unknown; readonly labels?: unknown }
    if (typeof label === 'number') seen.add(label)
    else if (label instanceof Float32Array) for (const [i, value] of label.entries()) value > 0 && seen.add(i)
    else if (ofTokens instanceof Int32Array) for (const each of ofTokens) seen.add(each)
  }
  return labels.filter((_, i) => !seen.has(i))
}

function alikeAmong(labels: readonly string[]): readonly (readonly string[])[] {
  const byName = new Map<string, string[]>()
  for (const label of labels) {
    const name = label.trim().replace(/\s+/g, ' ').toLowerCase()
    byName.set(name, [...(byName.get(name) ?? []), label])
  }
  return [...byName.values()].filter(({ length }) => length > 1)
}

export function rowFigures(data: Data): RowFigures {
  const { tokenizer, format, train, validation, replay, read, labelling } = data
  let [tokens, longest, unknown] = [0, 0, 0]
  const names = labelling.kind === 'number' ? [] : labelling.labels
  const unknownId = unknownToken(tokenizer)
  let learned: number | null = format === 'translation' ? null : 0
  for (const part of validation === null ? [train] : [train, validation])
    for (const row of eachOf(part)) {
      for (const { ids } of textsOf(row)) {
        tokens += ids.length
        if (unknownId !== null) for (const id of ids) if (id === unknownId) unknown++
      }
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
    cut: read.reduce((sum, { cut }) => sum + cut, 0),
    skipped: together(read.map(({ skipped }) => skipped)),
    labels: names,
    unseen: unseenIn(train, names),
    alike: alikeAmong(names),
    unknown,
    longest,
    ...repeatsOf(data),
  }
}

/** The number of a row's tokens that are learned, or null if its tokens have no labels. */
export function learnedIn(row: TaskRow): number | null {
  const { labels } = row as { readonly labels?: unknown }
  return labels instanceof Int32Array ? labels.reduce((count, label) => count + (label >= 0 ? 1 : 0), 0) : null
}

/** Counts by reason, added up. */
function together(counts: readonly RowFigures['skipped'][]): RowFigures['skipped'] {
  const sums: { [reason: string]: number } = {}
  for (const each of counts)
    for (const [reason, count] of Object.entries(each)) sums[reason] = (sums[reason] ?? 0) + count
  return sums
}

/** A share that is never rounded to nothing. */
const percent = (share: number): string => (share < 0.01 ? 'less than 1%' : `${Math.round(100 * share)}%`)

export function figuresText(figures: RowFigures): string {
  const { format, rows, validation, replayed, tokens, learned, labels, unseen, alike, unknown, cut, skipped, longest } =
    figures
  return [
    `${countText(rows)} rows (${format})${validation === 0 ? '' : ` and ${countText(validation)} for validation`}`,
    ...(replayed === 0 ? [] : [`${countText(replayed)} general ones beside them`]),
    ...(labels.length === 0 ? [] : [labels.length > 12 ? `${labels.length} labels` : `labels ${labels.join(', ')}`]),
    ...(unseen.length === 0 ? [] : [`no row to learn from has ${listed(unseen)}`]),
    ...alike.map((names) => `${listed(names)} differ only in case or white space`),
    `${countText(tokens)} tokens${learned === null ? '' : `, ${Math.round(100 * learned)}% of them learned`}, the longest row has ${countText(longest)}`,
    ...(unknown === 0
      ? []
      : [
          `${countText(unknown)} tokens (${percent(unknown / tokens)}) stand for text that the tokenizer does not know`,
        ]),
    cut === 0 ? 'none cut' : `${countText(cut)} ${cut === 1 ? 'row' : 'rows'} cut`,
    ...repeatsText(figures),
    ...Object.entries(skipped).map(([reason, count]) => `${countText(count)} ${reason}`),
  ].join('; ')
}

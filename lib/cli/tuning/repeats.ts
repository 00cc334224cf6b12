/** Rows that occur twice, and texts that have different labels in different rows. */
import { createHash } from 'node:crypto'
import { Subset } from '../../data/dataset.js'
import type { Places } from '../data/rows.js'
import { type TaskRow, textsOf } from '../tasks/formats.js'
import { countText } from '../words.js'
import { type Data, eachOf, type Rows } from './material.js'

/** Rows that meet an earlier one. */
export interface Meetings {
  readonly count: number
  /** The places of the earlier and the later row of the first meeting, with the names of their classes. */
  readonly first: readonly [earlier: string, later: string] | null
}

export interface Repeats {
  /** Rows to learn from that are the same, in tokens and labels, as an earlier one. */
  readonly repeated: Meetings
  /** Rows whose tokens an earlier row has with another label. Only classes, tags, numbers and scores are labels. */
  readonly contradictory: Meetings
  /** Rows for validation that are also among the rows to learn from. */
  readonly learnedToo: Meetings
}

/** A row as it can be compared. */
interface Seen {
  readonly label: string
  readonly place: string
  readonly isLearned: boolean
}

/** The parts of a row that it learns to give. They are not its text. */
interface Labelled {
  readonly label?: number | Float32Array
  readonly labels?: Int32Array
  readonly score?: number
  readonly source?: number
}

const bytesOf = (value: Int32Array | Float32Array) => new Uint8Array(value.buffer, value.byteOffset, value.byteLength)

const digest = (parts: readonly (Uint8Array | string)[]): string => {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(`${part.length} `).update(part)
  return hash.digest('base64')
}

/** The label of rows that are classified, tagged or scored, as bytes or text. */
function labelOf({ label, labels, score }: Labelled, isTagged: boolean): Uint8Array | string {
  if (label !== undefined) return typeof label === 'number' ? String(label) : bytesOf(label)
  if (score !== undefined) return String(score)
  return isTagged && labels !== undefined ? bytesOf(labels) : ''
}

/** Everything else: the tokens, and answers and learned tokens of formats in which a text may have several. */
function textOf(row: TaskRow, isTagged: boolean): readonly (Uint8Array | string)[] {
  const ids = textsOf(row).map((text) => bytesOf(text.ids))
  const { labels, start = -1, end = -1 } = row as Labelled & { readonly start?: number; readonly end?: number }
  return [...ids, `${start} ${end}`, ...(isTagged || labels === undefined ? [] : [bytesOf(labels)])]
}

function labelName({ label, score }: Labelled, labels: readonly string[], isNumber: boolean): string {
  if (score !== undefined) return ` (${score})`
  if (label === undefined) return ''
  if (typeof label === 'number') return ` (${isNumber ? label : (labels[label] ?? label)})`
  if (isNumber) return ` (${label.join(', ')})`
  return ` (${[...label].flatMap((value, i) => (value > 0 ? [labels[i] ?? i] : [])).join(', ') || 'none'})`
}

/** A row of a file: all windows of one text together. */
function* wholeRows(rows: Rows): Generator<{ readonly index: number; readonly windows: readonly TaskRow[] }> {
  let windows: TaskRow[] = []
  let [index, first, before]: [number, number, number | undefined] = [0, 0, undefined]
  for (const row of eachOf(rows)) {
    const { source } = row as Labelled
    if (windows.length > 0 && (source === undefined || source !== before)) {
      yield { index: first, windows }
      windows = []
    }
    if (windows.length === 0) first = index
    windows.push(row)
    before = source
    index++
  }
  if (windows.length > 0) yield { index: first, windows }
}

/** The place of a row of a part. Parts that were split off know the numbers of their rows among all. */
export function placeOf(rows: Rows, places: Places, index: number, { source }: { readonly source?: number }): string {
  const among = rows instanceof Subset ? (rows.indices[index] as number) : index
  return places.at(source ?? among) ?? ''
}

export function repeatsOf({ format, labelling, train, validation, places, heldPlaces }: Data): Repeats {
  const isTagged = format === 'tokens'
  const isNumber = labelling.kind === 'number'
  const seen = new Map<string, Seen[]>()
  const found = { repeated: none(), contradictory: none(), learnedToo: none() }
  for (const [part, own, isLearned] of [
    [train, places, true],
    ...(validation === null ? [] : ([[validation, heldPlaces ?? places, false]] as const)),
  ] as const)
    for (const { index, windows } of wholeRows(part)) {
      const [row] = windows as readonly [TaskRow & Labelled, ...TaskRow[]]
      const text = digest(windows.flatMap((each) => textOf(each, isTagged)))
      const label = digest(windows.map((each) => labelOf(each as Labelled, isTagged)))
      const now = {
        label,
        place: placeOf(part, own, index, row) + labelName(row, labelling.labels, isNumber),
        isLearned,
      }
      const before = seen.get(text)
      if (before === undefined) {
        seen.set(text, [now])
        continue
      }
      const [first] = before as [Seen, ...Seen[]]
      const same = before.find((each) => each.label === label)
      if (first.label !== label) meet(found.contradictory, first, now)
      if (same === undefined) before.push(now)
      else if (same.isLearned) meet(isLearned ? found.repeated : found.learnedToo, same, now)
    }
  return found
}

const none = (): { count: number; first: readonly [string, string] | null } => ({ count: 0, first: null })

function meet(meetings: ReturnType<typeof none>, earlier: Seen, later: Seen): void {
  meetings.count++
  meetings.first ??= [earlier.place, later.place]
}

/** A line for each kind of meeting that occurs. */
export function repeatsText({ repeated, contradictory, learnedToo }: Repeats): readonly string[] {
  const said = ({ count, first }: Meetings, one: string, many: string): string[] =>
    first === null
      ? []
      : [`${countText(count)} ${count === 1 ? one : many}, ${count === 1 ? '' : 'first '}${first[1]} and ${first[0]}`]
  return [
    ...said(
      contradictory,
      'row has the text of an earlier one with another label',
      'rows have the text of an earlier one with another label',
    ),
    ...said(repeated, 'row to learn from repeats an earlier one', 'rows to learn from repeat an earlier one'),
    ...said(
      learnedToo,
      'row for validation is also a row to learn from',
      'rows for validation are also rows to learn from',
    ),
  ]
}

/**
 * The translation edit rate: edits of words, where moving a run of them costs one. The source is Snover et al., "A
 * Study of Translation Edit Rate with Targeted Human Annotation", 2006. Tercom's bounds and preferences are as in
 * sacrebleu, and the value depends on them.
 */
import { checkFlag, ownOptions } from '../../../core/options.js'
import { Sums } from '../parts.js'
import { TextMeasure, type TextMetric, type TextTotals, trimEnd } from './text.js'
import { type TercomOptions, tercomWords } from './tokenizers.js'

const longestShift = 10
const farthestShift = 50
const mostCandidates = 1000
const beamWidth = 25

type Edit = 'keep' | 'replace' | 'drop' | 'insert'

/** A row of the table of distances: costs, and the last edit on the way to each. */
interface Row {
  readonly costs: Float64Array
  readonly edits: (Edit | undefined)[]
}

type Words = readonly string[]

/** Distances from a hypothesis to the reference, near the diagonal only. */
class EditTable {
  readonly #reference: Words
  readonly #first: Row

  constructor(reference: Words) {
    this.#reference = reference
    this.#first = {
      costs: Float64Array.from({ length: reference.length + 1 }, (_, j) => j),
      edits: Array.from({ length: reference.length + 1 }, () => 'insert'),
    }
  }

  /** All rows. Those of the first `same` words come from a hypothesis that begins with the same words. */
  rows(words: Words, same = 0, before: readonly Row[] = []): readonly Row[] {
    const rows = same === 0 ? [this.#first] : before.slice(0, same + 1)
    const columns = this.#reference.length
    const ratio = words.length > 0 ? columns / words.length : 1
    const beam = beamWidth < ratio / 2 ? Math.ceil(ratio / 2 + beamWidth) : beamWidth
    for (let i = rows.length; i <= words.length; i++) {
      const diagonal = Math.floor(i * ratio)
      const end = i === words.length ? columns + 1 : Math.min(columns + 1, diagonal + beam)
      rows.push(this.#next(rows[i - 1] as Row, words[i - 1] as string, Math.max(0, diagonal - beam), end))
    }
    return rows
  }

  #next(above: Row, word: string, start: number, end: number): Row {
    const size = this.#reference.length + 1
    const row: Row = { costs: new Float64Array(size).fill(Number.POSITIVE_INFINITY), edits: new Array(size) }
    const better = (j: number, cost: number, edit: Edit) => {
      if (!((row.costs[j] as number) > cost)) return
      row.costs[j] = cost
      row.edits[j] = edit
    }
    for (let j = start; j < end; j++) {
      const up = (above.costs[j] as number) + 1
      if (j > 0) {
        const same = word === this.#reference[j - 1]
        better(j, (above.costs[j - 1] as number) + (same ? 0 : 1), same ? 'keep' : 'replace')
      }
      better(j, up, 'drop')
      if (j > 0) better(j, (row.costs[j - 1] as number) + 1, 'insert')
    }
    return row
  }
}

const distanceOf = (rows: readonly Row[]) => rows.at(-1)?.costs.at(-1) as number

/** The place in the hypothesis that matches each word of the reference, and the wrong words of both. */
function alignmentOf(rows: readonly Row[]) {
  let [i, j] = [rows.length - 1, (rows[0] as Row).costs.length - 1]
  const edits: Edit[] = []
  while (i > 0 || j > 0) {
    const edit = rows[i]?.edits[j] as Edit
    edits.push(edit)
    if (edit !== 'insert') i--
    if (edit !== 'drop') j--
  }
  const result = { places: [] as number[], wrongInReference: [] as boolean[], wrong: [] as boolean[] }
  let place = -1
  for (const edit of edits.reverse()) {
    if (edit !== 'insert') {
      place++
      result.wrong.push(edit !== 'keep')
    }
    if (edit !== 'drop') {
      result.places.push(place)
      result.wrongInReference.push(edit !== 'keep')
    }
  }
  return result
}

function moved(words: Words, start: number, length: number, target: number): string[] {
  const run = words.slice(start, start + length)
  const rest = [...words.slice(0, start), ...words.slice(start + length)]
  // A target within or after the run counts words that the rest lacks.
  const at = target < start ? target : target > start + length ? target - length : target
  return [...rest.slice(0, at), ...run, ...rest.slice(at)]
}

/** Runs of words that both have: their beginnings and lengths. */
function* commonRuns(words: Words, reference: Words): Generator<readonly [start: number, at: number, length: number]> {
  for (let start = 0; start < words.length; start++)
    for (let at = 0; at < reference.length; at++) {
      if (Math.abs(at - start) > farthestShift) continue
      for (let length = 0; length < longestShift; ) {
        if (start + length >= words.length || at + length >= reference.length) break
        if (words[start + length] !== reference[at + length]) break
        yield [start, at, ++length]
      }
    }
}

interface Shift {
  readonly gain: number
  readonly length: number
  readonly start: number
  readonly target: number
  readonly words: string[]
}

/** Whether Tercom prefers the first: by larger gain, then longer run, then earlier run, then earlier target. */
function isBetter(a: Shift, b: Shift): boolean {
  if (a.gain !== b.gain) return a.gain > b.gain
  if (a.length !== b.length) return a.length > b.length
  if (a.start !== b.start) return a.start < b.start
  return a.target < b.target
}

/** The best shift, if there is one, and the number of tried shifts. */
function bestShift(words: Words, reference: Words, table: EditTable): { best: Shift | null; tried: number } {
  const rows = table.rows(words)
  const before = distanceOf(rows)
  const { places, wrongInReference, wrong } = alignmentOf(rows)
  let [best, tried]: [Shift | null, number] = [null, 0]
  for (const [start, at, length] of commonRuns(words, reference)) {
    if (!wrong.slice(start, start + length).includes(true)) continue
    if (!wrongInReference.slice(at, at + length).includes(true)) continue
    const place = places[at] as number
    if (start <= place && place < start + length) continue
    let last = -1
    for (let offset = -1; offset < length; offset++) {
      if (at + offset >= places.length) break
      const target = at + offset === -1 ? 0 : (places[at + offset] as number) + 1
      if (target === last) continue
      last = target
      const shifted = moved(words, start, length, target)
      const gain = before - distanceOf(table.rows(shifted, Math.min(start, target), rows))
      const shift: Shift = { gain, length, start, target, words: shifted }
      tried++
      if (best === null || isBetter(shift, best)) best = shift
    }
    if (tried >= mostCandidates) break
  }
  return { best, tried }
}

function editsBetween(hypothesis: Words, reference: Words): number {
  if (reference.length === 0) return hypothesis.length
  const table = new EditTable(reference)
  let [words, shifts, tried] = [hypothesis, 0, 0]
  for (;;) {
    const found = bestShift(words, reference, table)
    tried += found.tried
    if (tried >= mostCandidates || found.best === null || found.best.gain <= 0) break
    shifts++
    words = found.best.words
  }
  return shifts + distanceOf(table.rows(words))
}

export type TerOptions = TercomOptions

class Ter extends TextMeasure<number> {
  readonly #options: TerOptions

  constructor(options: TerOptions) {
    super('ter', options)
    this.#options = options
  }

  fresh(): TextMetric {
    return new Ter(this.#options)
  }

  /** Texts, edits, and words of references. */
  protected empty(): TextTotals {
    return { sums: new Sums(3) }
  }

  protected add(sums: Sums, hypothesis: string, references: readonly string[]): void {
    const words = tercomWords(trimEnd(hypothesis), this.#options)
    const others = references.map((text) => tercomWords(trimEnd(text), this.#options))
    sums.add(0, 1)
    sums.add(1, Math.min(...others.map((each) => editsBetween(words, each))))
    sums.add(2, others.reduce((total, each) => total + each.length, 0) / others.length)
  }

  protected value({ sums }: TextTotals): number {
    const [texts, edits, words] = [sums.get(0), sums.get(1), sums.get(2)]
    if (texts === 0) return Number.NaN
    if (words > 0) return (100 * edits) / words
    return edits > 0 ? 100 : 0
  }
}

/**
 * The translation edit rate of the whole pass, in percent of the references' words. 0 is perfect, and more than 100 is
 * possible. `update(hypotheses, references)`, with one or more references for each hypothesis. NaN while there was no
 * text. sacrebleu's corpus_ter.
 */
export function ter(options: TerOptions = {}): TextMetric {
  const own = ownOptions('ter', options, { normalized: true, noPunct: true, asianSupport: true, caseSensitive: true })
  for (const [name, value] of Object.entries(own)) checkFlag('ter', name, value)
  return new Ter(own)
}

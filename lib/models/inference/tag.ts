/** Tags parts of texts, such as names. Groups and numbers are those of transformers' token classification. */
import { shown, ValueError } from '../../core/errors.js'
import { listOf, type OptionNames, ownOptions } from '../../core/options.js'
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { EncodeOptions, Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { TokenClassifier } from '../heads.js'
import {
  checkCount,
  checkEncodings,
  checkTokenizer,
  largest,
  lengthFor,
  listOfTexts,
  type ResultRow,
  runTexts,
  softmaxOf,
  type TextsOptions,
} from './run.js'

/**
 * The way in which tokens become entities. 'none': each token is one. 'simple': neighbours with the same tag are one,
 * with B- and I- distinguished. The others first make the tokens of a word agree: on the tag of its first token, of its
 * mean scores, or of its most certain token.
 */
export type Aggregation = 'none' | 'simple' | 'first' | 'average' | 'max'

const aggregations: readonly Aggregation[] = ['none', 'simple', 'first', 'average', 'max']

export interface TagOptions extends TextsOptions {
  /** Default 'simple'. */
  readonly aggregation?: Aggregation
  /** Labels to leave out. Default ['O']. */
  readonly ignore?: readonly string[]
  /**
   * The most tokens of a window. A longer text is read in several windows. Default: the limit of model and tokenizer.
   */
  readonly maxLength?: number
  /**
   * The number of tokens that a window shares with the one before it. Default: a quarter of `maxLength`. The longer of
   * two overlapping entities is kept.
   */
  readonly stride?: number
}

const tagNames: OptionNames<TagOptions> = {
  batchSize: true,
  aggregation: true,
  ignore: true,
  maxLength: true,
  stride: true,
}

/** A tagged part of the text. */
export interface Entity {
  /** The tag, without B- and I-, except for aggregation 'none'. */
  readonly label: string
  /** The mean probability of its tokens or words. */
  readonly score: number
  readonly text: string
  /** [start, end) in UTF-16 units of the text, as `String.slice` counts. */
  readonly start: number
  readonly end: number
}

/** A token of a text with the probabilities of its tags. */
interface Piece {
  readonly scores: Float64Array
  readonly start: number
  readonly end: number
  /** Whether it continues the previous piece's word. */
  readonly goesOn: boolean
}

/** A token or a word with its tag. */
interface Tagged {
  readonly label: string
  readonly score: number
  readonly start: number
  readonly end: number
}

/** Implements `TokenClassifier.tag`. */
export async function tag(
  model: TokenClassifier,
  tokenizer: Tokenizer,
  given: string | readonly string[],
  options: TagOptions,
): Promise<Entity[] | Entity[][]> {
  const op = `${model.constructor.name}.tag`
  const {
    batchSize = 16,
    aggregation = 'simple',
    ignore = ['O'],
    maxLength,
    stride,
  } = ownOptions(op, options, tagNames)
  checkCount(op, 'batchSize', batchSize, 1)
  if (!aggregations.includes(aggregation))
    throw new ValueError(
      op,
      `aggregation is ${shown(aggregation)}, but must be one of ${aggregations.map((each) => `'${each}'`).join(', ')}`,
    )
  const ignored = new Set(listOf(op, 'ignore', ignore, 'a list of labels'))
  checkTokenizer(op, tokenizer)
  const { texts, single } = listOfTexts(op, given, (value) => typeof value === 'string', 'a text')
  const most = lengthFor(op, model, tokenizer, maxLength)
  const shared = stride ?? Math.floor(most / 4)
  checkCount(op, 'stride', shared, 0, most - 1)
  const windows = texts.flatMap((text, i) =>
    windowsFor(tokenizer, text, most, shared).map((encoding) => ({ text: i, encoding })),
  )
  const encodings = windows.map(({ encoding }) => encoding)
  checkEncodings(op, model, encodings)
  const rows = await runTexts(
    model,
    encodings,
    batchSize,
    ({ ids, ...inputs }) => [model.forward(ids, inputs)],
    model.body.hasTypes,
  )
  const words = wordsOf(tokenizer)
  const { labels } = model.config
  const told = texts.map((text, i) => {
    const parts = windows.flatMap(({ text: own, encoding }, k) =>
      own === i ? [entitiesOf(text, encoding, rows[k]?.[0] as ResultRow, { words, labels, aggregation })] : [],
    )
    const found = parts.flat().filter(({ label }) => !ignored.has(label))
    const entities = parts.length > 1 ? withoutOverlaps(text, found) : found
    return entities.map(
      ({ label, score, start, end }): Entity => ({ label, score, text: text.slice(start, end), start, end }),
    )
  })
  return single ? (told[0] as Entity[]) : told
}

function windowsFor(tokenizer: Tokenizer, text: string, maxLength: number, stride: number): readonly Encoding[] {
  const whole = tokenizer.encode(text)
  if (whole.ids.length <= maxLength) return [whole]
  const options: EncodeOptions = { maxLength, stride, truncationSide: 'right' }
  const first = tokenizer.encode(text, options)
  return [first, ...first.overflowing]
}

/** The way in which a tokenizer marks tokens that continue a word. */
interface Words {
  /** Whether tokens within a word are marked, as by ## in WordPiece. Otherwise spaces separate words. */
  readonly marked: boolean
  readonly unknown: number | null
}

function wordsOf(tokenizer: Tokenizer): Words {
  const { continuing_subword_prefix: prefix } = tokenizer.toJSON()['model'] as {
    readonly continuing_subword_prefix?: unknown
  }
  return { marked: typeof prefix === 'string' && prefix !== '', unknown: tokenizer.idFor('unk') }
}

const pointsIn = (text: string): number => [...text].length

function piecesOf(
  text: string,
  { ids, tokens, offsets, specialTokensMask }: Encoding,
  { values, sizes }: ResultRow,
  { marked, unknown }: Words,
): Piece[] {
  const classes = sizes[1] as number
  return ids.flatMap((id, i): Piece[] => {
    if (specialTokensMask[i] === 1) return []
    const [start, end] = offsets[i] as readonly [number, number]
    const within = marked
      ? pointsIn(tokens[i] as string) !== pointsIn(text.slice(start, end))
      : start > 0 && !text.slice(start - 1, start + 1).includes(' ')
    const scores = softmaxOf(values.subarray(i * classes, (i + 1) * classes))
    return [{ scores, start, end, goesOn: within && id !== unknown }]
  })
}

function entitiesOf(
  text: string,
  encoding: Encoding,
  row: ResultRow,
  {
    words,
    labels,
    aggregation,
  }: { readonly words: Words; readonly labels: readonly string[]; readonly aggregation: Aggregation },
): Tagged[] {
  const pieces = piecesOf(text, encoding, row, words)
  const tagged = (scores: ArrayLike<number>, start: number, end: number): Tagged => {
    const best = largest(scores)
    return { label: labels[best] as string, score: scores[best] as number, start, end }
  }
  if (aggregation === 'none') return pieces.map(({ scores, start, end }) => tagged(scores, start, end))
  if (aggregation === 'simple') return grouped(pieces.map(({ scores, start, end }) => tagged(scores, start, end)))
  const groups: Piece[][] = []
  for (const piece of pieces) {
    const last = groups.at(-1)
    if (last !== undefined && piece.goesOn) last.push(piece)
    else groups.push([piece])
  }
  return grouped(
    groups.map((word) => tagged(agreed(word, aggregation), (word[0] as Piece).start, (word.at(-1) as Piece).end)),
  )
}

/** The scores on which the tokens of a word agree. */
function agreed(word: readonly Piece[], aggregation: 'first' | 'average' | 'max'): ArrayLike<number> {
  const [first] = word as readonly [Piece]
  if (aggregation === 'first') return first.scores
  if (aggregation === 'average')
    return first.scores.map((_, k) => word.reduce((sum, { scores }) => sum + (scores[k] as number), 0) / word.length)
  const sureness = ({ scores }: Piece): number => scores[largest(scores)] as number
  return word.reduce((best, piece) => (sureness(piece) > sureness(best) ? piece : best)).scores
}

/** The parts of a tag such as B-PER. A tag without these parts continues an entity, as I- does. */
function partsOf(label: string): { readonly begins: boolean; readonly name: string } {
  if (label.startsWith('B-')) return { begins: true, name: label.slice(2) }
  return { begins: false, name: label.startsWith('I-') ? label.slice(2) : label }
}

/** Joins neighbours with the same tag, up to one that begins a new entity. */
function grouped(tagged: readonly Tagged[]): Tagged[] {
  const groups: Tagged[][] = []
  for (const each of tagged) {
    const group = groups.at(-1)
    const { begins, name } = partsOf(each.label)
    if (group !== undefined && !begins && partsOf((group.at(-1) as Tagged).label).name === name) group.push(each)
    else groups.push([each])
  }
  return groups.map((group) => {
    const [first, last] = [group[0] as Tagged, group.at(-1) as Tagged]
    const dash = first.label.indexOf('-')
    const score = group.reduce((sum, each) => sum + each.score, 0) / group.length
    return { label: dash < 0 ? first.label : first.label.slice(dash + 1), score, start: first.start, end: last.end }
  })
}

/** The entities without those that overlap another window's longer one, or its more certain one of equal length. */
function withoutOverlaps(text: string, entities: readonly Tagged[]): Tagged[] {
  const lengthOf = ({ start, end }: Tagged): number => pointsIn(text.slice(start, end))
  const sorted = entities.toSorted((a, b) => a.start - b.start)
  const kept: Tagged[] = []
  for (const entity of sorted) {
    const last = kept.at(-1)
    if (last === undefined || entity.start >= last.end) {
      kept.push(entity)
      continue
    }
    const [own, before] = [lengthOf(entity), lengthOf(last)]
    if (own > before || (own === before && entity.score > last.score)) kept[kept.length - 1] = entity
  }
  return kept
}

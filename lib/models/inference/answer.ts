/**
 * Answers to questions, as parts of texts, after Chen et al. (2017). Numbers are those of transformers' question
 * answering.
 */
import { kindOf, shown, ValueError } from '../../core/errors.js'
import { checkFlag, type OptionNames, ownOptions } from '../../core/options.js'
import type { Encoding } from '../../text/tokenizer/encoding.js'
import type { Tokenizer } from '../../text/tokenizer/tokenizer.js'
import type { QuestionAnswerer } from '../heads.js'
import {
  checkCount,
  checkEncodings,
  checkTokenizer,
  lengthFor,
  type ResultRow,
  runTexts,
  softmaxOf,
  type TextsOptions,
} from './run.js'
import { windowsOf } from './windows.js'

export interface Question {
  readonly question: string
  readonly context: string
}

export interface AnswerOptions extends TextsOptions {
  /**
   * The most tokens of question and text together. A longer text is read in windows. Default: 384, or the limit of
   * model and tokenizer if that is smaller.
   */
  readonly maxLength?: number
  /**
   * The number of the text's tokens that a window shares with the one before it. Default: 128, or half of `maxLength`
   * if that is smaller.
   */
  readonly stride?: number
  /** The most tokens of an answer. Default 15. */
  readonly maxAnswerTokens?: number
  /**
   * Whether the text may have no answer. An empty answer, with the model's score for it, is then one of the candidates.
   * Default false.
   */
  readonly noAnswer?: boolean
  /** Whether answers begin and end with whole words. Default true. */
  readonly wholeWords?: boolean
}

const answerNames: OptionNames<AnswerOptions & { readonly topK?: number }> = {
  batchSize: true,
  maxLength: true,
  stride: true,
  maxAnswerTokens: true,
  noAnswer: true,
  wholeWords: true,
  topK: true,
}

/** A part of the text. */
export interface Answer {
  readonly text: string
  /** [start, end) in UTF-16 units of the context, as `String.slice` counts. */
  readonly start: number
  readonly end: number
  /** The probability of its first token times that of its last token, relative to the tokens of the window. */
  readonly score: number
}

const nothing = { text: '', start: 0, end: 0 } as const

function checkQuestion(op: string, { question, context }: Question, which: string): void {
  for (const [name, text] of Object.entries({ question, context }))
    if (typeof text !== 'string' || text.trim() === '')
      throw new ValueError(op, `the ${name}${which} is ${kindOf(text)}, but must be a text that is not empty`)
}

/** Implements `QuestionAnswerer.answer`: the best answers to each question. */
export async function answerAll(
  model: QuestionAnswerer,
  tokenizer: Tokenizer,
  questions: readonly Question[],
  options: AnswerOptions & { readonly topK?: number },
): Promise<Answer[][]> {
  const op = `${model.constructor.name}.answer`
  const {
    batchSize = 16,
    maxLength,
    stride,
    maxAnswerTokens = 15,
    noAnswer = false,
    wholeWords = true,
    topK = 1,
  } = ownOptions(op, options, answerNames)
  for (const [name, value] of Object.entries({ batchSize, maxAnswerTokens, topK })) checkCount(op, name, value, 1)
  for (const [name, value] of Object.entries({ noAnswer, wholeWords })) checkFlag(op, name, value)
  checkTokenizer(op, tokenizer)
  const most = lengthFor(op, model, tokenizer, maxLength, 384)
  const shared = stride ?? Math.min(Math.floor(most / 2), 128)
  if (!Number.isSafeInteger(shared) || shared < 0)
    throw new ValueError(op, `stride is ${shown(stride)}, but must be an integer of at least 0`)
  const windows = questions.flatMap((given, question) => {
    if (typeof given !== 'object' || given === null)
      throw new ValueError(op, `question ${question} is ${kindOf(given)}, but must be { question, context }`)
    checkQuestion(op, given, questions.length === 1 ? '' : ` ${question}`)
    return windowsFor(tokenizer, given, most, shared).map((encoding) => ({ question, encoding }))
  })
  const encodings = windows.map(({ encoding }) => encoding)
  checkEncodings(op, model, encodings)
  const rows = await runTexts(
    model,
    encodings,
    batchSize,
    ({ ids, ...inputs }) => {
      const { start, end } = model.forward(ids, inputs)
      return [start, end]
    },
    model.body.hasTypes,
  )
  const cls = tokenizer.idFor('cls')
  return questions.map(({ context }, question) => {
    const answers: Answer[] = []
    let none = Number.POSITIVE_INFINITY
    for (const [i, window] of windows.entries()) {
      if (window.question !== question) continue
      const [start, end] = rows[i] as readonly [ResultRow, ResultRow]
      const scored = scoresOf(window.encoding, start.values, end.values, cls)
      none = Math.min(none, scored.none)
      for (const span of bestSpans(scored, maxAnswerTokens, topK)) {
        const [from, to] = charactersOf(window.encoding, span, wholeWords)
        answers.push({ text: context.slice(from, to), start: from, end: to, score: span.score })
      }
    }
    if (noAnswer) answers.push({ ...nothing, score: none })
    answers.sort((a, b) => b.score - a.score)
    return answers.slice(0, topK)
  })
}

/** One window if everything fits, because then the stride has no effect. */
function windowsFor(
  tokenizer: Tokenizer,
  { question, context }: Question,
  maxLength: number,
  stride: number,
): readonly Encoding[] {
  const whole = tokenizer.encode(question, { pair: context })
  return whole.ids.length <= maxLength ? [whole] : windowsOf(tokenizer, question, context, { maxLength, stride })
}

interface Scores {
  readonly start: Float64Array
  readonly end: Float64Array
  /** Whether a token belongs to the context. */
  readonly own: readonly boolean[]
  /** The score of the window's first token for both ends, with which models say that there is no answer. */
  readonly none: number
}

/** Probabilities among the tokens of the context and the first token, which represents 'no answer'. */
function scoresOf({ ids, sequences }: Encoding, start: Float32Array, end: Float32Array, cls: number | null): Scores {
  const allowed = ids.map((id, i) => sequences[i] === 1 || id === cls)
  const among = (logits: Float32Array) => softmaxOf(allowed.map((may, i) => (may ? (logits[i] as number) : -10_000)))
  const [starts, ends] = [among(start), among(end)]
  const none = (starts[0] as number) * (ends[0] as number)
  starts[0] = 0
  ends[0] = 0
  return { start: starts, end: ends, own: allowed, none }
}

interface SpanScore {
  readonly first: number
  readonly last: number
  readonly score: number
}

/** The best spans up to this number of tokens, the best first. */
function bestSpans({ start, end, own }: Scores, longest: number, count: number): readonly SpanScore[] {
  const spans: SpanScore[] = []
  for (let first = 0; first < start.length; first++) {
    if (own[first] !== true || first === 0) continue
    for (let last = first; last < Math.min(start.length, first + longest); last++) {
      if (own[last] !== true) continue
      const score = (start[first] as number) * (end[last] as number)
      const worst = spans.at(-1)
      if (spans.length === count && worst !== undefined && score <= worst.score) continue
      const place = spans.findIndex((other) => other.score < score)
      spans.splice(place < 0 ? spans.length : place, 0, { first, last, score })
      if (spans.length > count) spans.pop()
    }
  }
  return spans
}

/** The characters of a span, extended to the ends of its words if these are known. */
function charactersOf(
  { words, offsets, sequences }: Encoding,
  { first, last }: SpanScore,
  wholeWords: boolean,
): readonly [from: number, to: number] {
  const [begin, stop] = [words[first], words[last]]
  const known = wholeWords && begin !== null && stop !== null
  const own = (word: number | null | undefined) => (i: number) => sequences[i] === 1 && words[i] === word
  const all = Array.from(words.keys())
  const from = known ? (all.find(own(begin)) as number) : first
  const to = known ? (all.findLast(own(stop)) as number) : last
  return [(offsets[from] as readonly [number, number])[0], (offsets[to] as readonly [number, number])[1]]
}

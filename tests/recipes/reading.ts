/**
 * Reading comprehension. Questions made from a table of films are answered by parts of paragraphs made from it, by a
 * small BERT from random weights. It is compared with the same model in PyTorch, from the same weights with the same
 * batches.
 *
 * Usage: npx tsx tests/recipes/reading.ts --movies FILE --python PYTHON [--steps 500]
 * FILE is data/movies.json of npm vega-datasets 2.7.0. PYTHON must have torch and transformers. The exit code is 1 if
 * one of the first 20 losses is off by more than 1e-3 relative, if F1 or exact matches (from 0 to 1) differ from
 * PyTorch's by more than 0.03, or if F1 rose by less than 0.3.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { qaRows, questionAnswering } from '../../lib/finetune/index.js'
import { manualSeed, metrics } from '../../lib/index.js'
import { AutoModel } from '../../lib/models/index.js'
import { trainTokenizer } from '../../lib/text/index.js'
import { randomOf } from '../cases/case.js'
import { compareLosses, learn, learnInTorch, orderOf } from './beside-torch.js'

const { values: args } = parseArgs({
  options: { movies: { type: 'string' }, python: { type: 'string' }, steps: { type: 'string', default: '500' } },
})
const { movies, python } = args
if (movies === undefined || python === undefined) throw new Error('needs --movies FILE and --python PYTHON')

const [scoreBound, gainBound] = [0.03, 0.3]

type Movie = { readonly [column: string]: string | number | null }

interface Fact {
  readonly column: string
  /** Sentences with the value between their two parts. */
  readonly told: readonly (readonly [before: string, after: string])[]
  /** Questions with the title between their two parts. */
  readonly asked: readonly (readonly [before: string, after: string])[]
}

const facts: readonly Fact[] = [
  {
    column: 'Director',
    told: [
      ['It was directed by ', '.'],
      ['', ' was its director.'],
    ],
    asked: [
      ['Who directed ', '?'],
      ['Who is the director of ', '?'],
    ],
  },
  {
    column: 'Distributor',
    told: [
      ['It was distributed by ', '.'],
      ['', ' brought it to the cinemas.'],
    ],
    asked: [
      ['Who distributed ', '?'],
      ['Which company brought ', ' to the cinemas?'],
    ],
  },
  {
    column: 'Release Date',
    told: [
      ['It was released on ', '.'],
      ['On ', ' it was first shown.'],
    ],
    asked: [
      ['When was ', ' released?'],
      ['On which day was ', ' first shown?'],
    ],
  },
  {
    column: 'Production Budget',
    told: [
      ['It was made for ', ' dollars.'],
      ['', ' dollars were spent on it.'],
    ],
    asked: [
      ['What did ', ' cost?'],
      ['How much was spent on ', '?'],
    ],
  },
  {
    column: 'Worldwide Gross',
    told: [
      ['It earned ', ' dollars.'],
      ['', ' dollars were paid to see it.'],
    ],
    asked: [
      ['What did ', ' earn?'],
      ['How much was paid to see ', '?'],
    ],
  },
  {
    column: 'Source',
    told: [
      ['Its story: ', '.'],
      ['', ': that is where its story is from.'],
    ],
    asked: [
      ['What is the story of ', ' based on?'],
      ['Where is the story of ', ' from?'],
    ],
  },
]

interface Question {
  readonly question: string
  readonly context: string
  readonly answers: { readonly text: string; readonly start: number }
}

/** A paragraph of a film's facts in random order, and questions about half of them. */
function questionsOf(movie: Movie, random: () => number): Question[] {
  const draw = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
  const title = String(movie['Title'])
  let context = `${title} is a film.`
  const places = orderOf(facts.length, random).map((i) => {
    const fact = facts[i] as Fact
    const [before, after] = draw(fact.told)
    const text = String(movie[fact.column])
    const start = context.length + 1 + before.length
    context += ` ${before}${text}${after}`
    return { fact, text, start }
  })
  const asked = new Set(orderOf(facts.length, random).slice(0, facts.length / 2))
  return places
    .filter((_, i) => asked.has(i))
    .map(({ fact, ...answers }) => {
      const [before, after] = draw(fact.asked)
      return { question: `${before}${title}${after}`, context, answers }
    })
}

const whole = (JSON.parse(readFileSync(movies, 'utf8')) as readonly Movie[]).filter((movie) =>
  ['Title', ...facts.map(({ column }) => column)].every((column) => movie[column] !== null),
)
const random = randomOf(0)
const all = whole.map((movie) => questionsOf(movie, random))
const train = all.filter((_, i) => i % 5 !== 0).flat()
const test = all.filter((_, i) => i % 5 === 0).flat()

manualSeed(0)
const texts = train.flatMap(({ question, context }) => [question, context])
const tokenizer = await trainTokenizer('wordpiece', texts, { vocabSize: 2000 })
const rows = await qaRows(train, tokenizer, { maxLength: 160 })
console.log(
  `${whole.length} films, ${train.length} questions to learn from, ${test.length} held back; ${JSON.stringify(rows.skipped)} skipped`,
)
const model = await AutoModel.forQuestionAnswering({
  ...{ model_type: 'bert', vocab_size: tokenizer.size, hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ intermediate_size: 256, max_position_embeddings: 160, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 },
})
const longest = 15
const encodings = test.map(({ question, context }) => tokenizer.encode(question, { pair: context }))
const scoresOf = async (written: readonly string[]) => {
  const wanted = test.map(({ answers }) => answers.text)
  return {
    f1: await metrics.measure(metrics.answerF1(), written, wanted),
    exact: await metrics.measure(metrics.answerExactMatch(), written, wanted),
  }
}
const answered = async () => {
  const answers = await model.answer(tokenizer, test, { maxAnswerTokens: longest, wholeWords: false, batchSize: 64 })
  return answers.map(({ text }) => text)
}

const lesson = { model, objective: questionAnswering(), rows, batchSize: 32, steps: Number(args.steps), lr: 3e-3 }
const before = await scoresOf(await answered())
const torch = await learnInTorch(python, lesson, {
  head: 'answers',
  texts: encodings.map(({ ids, typeIds, sequences }) => ({
    ids,
    types: typeIds,
    own: sequences.map((sequence) => sequence === 1),
  })),
  longest,
})
const peer = await scoresOf(
  torch.answers.map(([first, last], i) => {
    const { offsets } = encodings[i] as (typeof encodings)[number]
    const [from, to] = [offsets[first as number]?.[0], offsets[last as number]?.[1]]
    return (test[i] as Question).context.slice(from, to)
  }),
)
const own = await learn(lesson)
model.eval()
const after = await scoresOf(await answered())
const faults = [...compareLosses('reading', own, torch)]
for (const score of ['f1', 'exact'] as const) {
  console.log(
    `${score} ${before[score].toFixed(4)} before, ${after[score].toFixed(4)} after ${args.steps} steps, PyTorch ${peer[score].toFixed(4)}`,
  )
  if (Math.abs(after[score] - peer[score]) > scoreBound) faults.push(`${score} differs by more than ${scoreBound}`)
}
if (after.f1 - before.f1 < gainBound) faults.push(`F1 rose by less than ${gainBound}`)
for (const { question, context, answers } of test.slice(0, 5)) {
  const { text } = await model.answer(tokenizer, { question, context })
  console.log(`${question} ${text} (${answers.text})`)
}
for (const fault of faults) console.error(fault)
if (faults.length > 0) process.exitCode = 1

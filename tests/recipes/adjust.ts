/**
 * Adjusts models on real data, film reviews of one sentence. It compares an ensemble with its members, and a search
 * over three settings that is killed and resumed with one that is not.
 *
 * Usage: npx tsx tests/recipes/adjust.ts --corpora DIR [--only ensemble,search]
 * DIR holds sentiment/movieReviewSnippets_GroundTruth.txt. The exit code is 1 if the ensemble is not better than each
 * of its members on the test set, or if the killed search has another table.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  choice,
  Ensemble,
  fromTypedArray,
  logUniform,
  manualSeed,
  nn,
  noGrad,
  optim,
  scope,
  search,
  type Tensor,
  Trainer,
  uniform,
} from '../../lib/index.js'
import { randomOf } from '../cases/case.js'
import { orderOf } from './beside-torch.js'

const { values: args } = parseArgs({
  options: {
    corpora: { type: 'string' },
    only: { type: 'string', default: 'ensemble,search' },
    /** The folder of the search whose process is killed. */
    folder: { type: 'string' },
  },
})
if (args.corpora === undefined) throw new Error('needs --corpora DIR')
const corpora = args.corpora

/** The ways in which a member reads a sentence. */
const readings = {
  words: (text: string) => text.split(' '),
  'pairs of words': (text: string) => {
    const words = text.split(' ')
    return [...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)]
  },
  'four characters': (text: string) =>
    Array.from({ length: Math.max(1, text.length - 3) }, (_, i) => text.slice(i, i + 4)),
} as const
type Reading = keyof typeof readings
const names = Object.keys(readings) as Reading[]

interface Row {
  readonly text: string
  readonly label: number
}

const all = readFileSync(join(corpora, 'sentiment', 'movieReviewSnippets_GroundTruth.txt'), 'utf8')
  .split('\n')
  .map((line) => line.replace(/\r$/, '').split('\t'))
  .filter((cells) => cells.length === 3 && Math.abs(Number(cells[1])) >= 1)
  .map(([, rating, text]): Row => ({ text: (text as string).toLowerCase(), label: Number(Number(rating) > 0) }))
const test = all.filter((_, i) => i % 5 === 0)
const validation = all.filter((_, i) => i % 10 === 1)
const train = all.filter((_, i) => i % 5 !== 0 && i % 10 !== 1)

interface Read {
  /** The number of tokens; 0 pads. */
  readonly size: number
  readonly ids: ReadonlyMap<Row, readonly number[]>
}

/** Numbers the parts that occur at least twice in the training rows, and leaves out the others. */
function read(reading: Reading): Read {
  const parts = new Map(all.map((row) => [row, readings[reading](row.text)]))
  const counts = new Map<string, number>()
  for (const row of train) for (const part of parts.get(row) ?? []) counts.set(part, (counts.get(part) ?? 0) + 1)
  const kept = [...counts].filter(([, count]) => count >= 2)
  const numbers = new Map(kept.map(([part], i) => [part, i + 1]))
  const ids = all.map((row) => [row, (parts.get(row) ?? []).flatMap((part) => numbers.get(part) ?? [])] as const)
  return { size: numbers.size + 1, ids: new Map(ids) }
}

const texts: { readonly [R in Reading]: Read } = {
  words: read('words'),
  'pairs of words': read('pairs of words'),
  'four characters': read('four characters'),
}

/** Each reading of a sentence, [B, N]. */
type Sentences = { readonly [R in Reading]: Tensor }

function* batchesOf(rows: readonly Row[], size: number, order: readonly number[]): Generator<[Sentences, Tensor]> {
  for (let from = 0; from < order.length; from += size) {
    const part = order.slice(from, from + size).map((i) => rows[i] as Row)
    const padded = (reading: Reading) => {
      const lists = part.map((row) => texts[reading].ids.get(row) as readonly number[])
      const width = Math.max(1, ...lists.map(({ length }) => length))
      const ids = new Int32Array(part.length * width)
      for (const [i, list] of lists.entries()) ids.set(list, i * width)
      return fromTypedArray(ids, [part.length, width])
    }
    const sentences = Object.fromEntries(names.map((reading) => [reading, padded(reading)])) as unknown as Sentences
    yield [
      sentences,
      fromTypedArray(
        Int32Array.from(part, ({ label }) => label),
        [part.length],
      ),
    ]
  }
}

class Member extends nn.Module {
  readonly bag: nn.EmbeddingBag
  readonly dropout: nn.Dropout
  readonly head: nn.Linear
  readonly #reading: Reading

  constructor(reading: Reading, width: number, dropout: number) {
    super()
    this.bag = new nn.EmbeddingBag(texts[reading].size, width, { paddingIdx: 0 })
    this.dropout = new nn.Dropout(dropout)
    this.head = new nn.Linear(width, 2)
    this.#reading = reading
  }

  forward(sentences: Sentences): Tensor {
    return this.head.forward(this.dropout.forward(this.bag.forward(sentences[this.#reading])))
  }
}

type Voter = nn.Module & { forward(sentences: Sentences): Tensor }

async function learn(model: Member, seed: number, epochs: number, lr: number): Promise<void> {
  const trainer = new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr, weightDecay: 0.01 }),
    step: ([sentences, labels]: [Sentences, Tensor]) => ({
      total: nn.functional.crossEntropy(model.forward(sentences), labels, { reduction: 'sum' }),
      count: labels.numel,
    }),
  })
  const random = randomOf(seed)
  await trainer.fit(() => batchesOf(train, 64, orderOf(train.length, random)), { epochs, progress: false })
  model.eval()
}

function accuracyOf(model: Voter, rows: readonly Row[]): number {
  let right = 0
  for (const [sentences, labels] of batchesOf(rows, 128, Array.from(rows.keys())))
    right += scope(() => noGrad(() => model.forward(sentences).argmax(1).eq(labels).sum().item()))
  return right / rows.length
}

async function ensemble(): Promise<boolean> {
  const members: Member[] = []
  const each: number[] = []
  for (const [seed, reading] of names.entries()) {
    manualSeed(seed)
    const member = new Member(reading, 16, 0.2)
    await learn(member, seed, 4, 1e-2)
    members.push(member)
    each.push(accuracyOf(member, test))
    console.log(`${reading}: accuracy ${each.at(-1)?.toFixed(4)}`)
  }
  const best = Math.max(...each)
  let holds = true
  for (const combine of ['probabilities', 'logits', 'votes'] as const) {
    const accuracy = accuracyOf(new Ensemble(members, { combine }).eval() as Ensemble<Member>, test)
    console.log(
      `ensemble by ${combine}: accuracy ${accuracy.toFixed(4)}, ${(accuracy - best).toFixed(4)} over the best member`,
    )
    if (combine !== 'votes' && accuracy <= best) holds = false
  }
  return holds
}

const space = { lr: logUniform(1e-3, 3e-2), width: choice(8, 16, 32), dropout: uniform(0, 0.5) }
const trials = 6

function searched(folder: string) {
  return search(folder, { space, trials, maximise: 'accuracy', epochs: 1 }, async ({ lr, width, dropout }, trial) => {
    const model = new Member('words', width, dropout)
    await learn(model, trial.seed, trial.epochs, lr)
    return accuracyOf(model, validation)
  })
}

/**
 * Runs a search in its own process, and kills it once this many trials are in the table. Returns the number of trials.
 */
async function killed(folder: string, after: number): Promise<number> {
  const own = [...process.execArgv, fileURLToPath(import.meta.url), '--corpora', corpora, '--folder', folder]
  const child = spawn(process.execPath, own, { stdio: 'inherit' })
  const ended = new Promise<string | number | null>((resolve) =>
    child.on('exit', (code, signal) => resolve(signal ?? code)),
  )
  const path = join(folder, 'trials.jsonl')
  const lines = () => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0)
  const watch = setInterval(() => {
    if (lines() >= after) child.kill('SIGKILL')
  }, 10)
  const how = await ended
  clearInterval(watch)
  if (how !== 'SIGKILL') throw new Error(`the search was to be killed, but ended with ${how}`)
  return lines()
}

async function killedSearch(): Promise<boolean> {
  const root = mkdtempSync(join(tmpdir(), 'firesteel-adjust-'))
  try {
    const folder = join(root, 'killed')
    const before = await killed(folder, 2)
    const resumed = await searched(folder)
    const whole = await searched(join(root, 'whole'))
    const table = (study: typeof whole) => JSON.stringify(study.trials.map(({ seconds: _, ...rest }) => rest))
    for (const { trial, values, value } of whole.trials)
      console.log(
        `trial ${trial}: rate ${values.lr.toExponential(2)}, width ${values.width}, dropout ${values.dropout.toFixed(2)}: ` +
          `accuracy ${value?.toFixed(4)}`,
      )
    const same = table(resumed) === table(whole)
    console.log(`killed after ${before} of ${trials} trials: ${same ? 'the same table' : 'ANOTHER TABLE'}`)
    return same && before < trials
  } finally {
    rmSync(root, { recursive: true })
  }
}

const parts: { readonly [name: string]: () => Promise<boolean> } = { ensemble, search: killedSearch }
if (args.folder !== undefined) await searched(args.folder)
else
  for (const name of args.only.split(',')) {
    const part = parts[name]
    if (part === undefined) throw new Error(`--only has ${name}, but the parts are ${Object.keys(parts).join(' and ')}`)
    if (!(await part())) {
      console.error(`${name}: does not hold`)
      process.exitCode = 1
    }
  }

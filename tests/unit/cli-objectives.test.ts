/**
 * The objectives of a config. Each kind of rows and of batches learns to the bit what a program with the same lines
 * learns.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { embedCommand } from '../../lib/cli/commands/embed.js'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { peekCommand } from '../../lib/cli/commands/peek.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import {
  byLength,
  type ClassificationBatch,
  classification,
  type PairBatch,
  pairRows,
  replay,
  sentenceEmbeddings,
  textRows,
} from '../../lib/finetune/index.js'
import { manualSeed, type Objective, optim, Trainer } from '../../lib/index.js'
import { AutoModel, type PretrainedModel, type SequenceClassifier } from '../../lib/models/index.js'
import { AutoTokenizer, jsonl } from '../../lib/text/index.js'
import { encoderModel, workplace } from './cli-finetune.js'

let folder: string
let stdout: string

const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join('\n')

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(join(folder, 'bert'))
  const labelled = (count: number, text: string) =>
    Array.from({ length: count }, (_, i) => ({ text: `${text} ${i}`, label: i % 2 ? 'go' : 'stay' }))
  writeFileSync(join(folder, 'labels.jsonl'), lines(labelled(12, 'ping')))
  writeFileSync(join(folder, 'general.jsonl'), lines(labelled(10, 'go on and on')))
  const config = {
    model: './bert',
    method: 'full',
    data: { file: 'labels.jsonl' },
    train: { epochs: 2, lr: 1e-2, batchSize: 4 },
    output: 'runs/none',
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(() => {
  stdout = ''
  vi.spyOn(console, 'log').mockImplementation((text) => void (stdout += `${text}\n`))
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
})
afterEach(() => {
  vi.restoreAllMocks()
})

const set = (...values: string[]) => values.flatMap((value) => ['--set', value])
const finetune = (...args: string[]) => finetuneCommand([join(folder, 'config.json'), ...args])
const weights = (run: string) => readFileSync(join(folder, run, 'model/model.safetensors'))

/** Runs the config with other values, and returns what it learned. */
async function learned(name: string, ...values: string[]): Promise<Buffer> {
  expect(await finetune(...set(...values, `output=runs/${name}`))).toBe(0)
  return weights(`runs/${name}`)
}

/** The same run, resumed as if it had been killed after a step with only its newest checkpoint left. */
async function cutAt(step: number, name: string, ...values: string[]): Promise<Buffer> {
  const own = [...values, 'train.checkpoints={ every: 1, keep: 99 }']
  await learned(name, ...own)
  const checkpoints = join(folder, 'runs', name, 'checkpoints')
  for (const file of readdirSync(checkpoints)) if (Number(/\d+/.exec(file)) > step) rmSync(join(checkpoints, file))
  expect(readdirSync(checkpoints)).toHaveLength(step)
  expect(await finetune('--resume', ...set(...own, `output=runs/${name}`))).toBe(0)
  return weights(`runs/${name}`)
}

async function refused(...values: string[]): Promise<string> {
  const error = await finetune('--dry', ...set(...values)).then(
    () => new Error('not refused'),
    (thrown: unknown) => thrown as Error,
  )
  expect(exitCodeOf(error), error.message).toBe(2)
  return error.message.replaceAll(`${folder}/`, '')
}

/** The bytes of a model that a program trains over batches. */
async function programmed<M extends PretrainedModel, B>(
  name: string,
  model: M,
  objective: Objective<M, B, string>,
  batches: AsyncIterable<B>,
): Promise<Buffer> {
  const trainer = new Trainer<string, B, M>(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2 }),
    objective,
    clipGradNorm: 1,
  })
  await trainer.fit(batches, { epochs: 2, progress: false })
  await model.save(join(folder, 'programs', name), { log: () => undefined })
  return readFileSync(join(folder, 'programs', name, 'model.safetensors'))
}

const rowsOf = async (file: string, labels?: readonly string[]) =>
  textRows(jsonl<{ text: string; label: string }>(join(folder, file)), await AutoTokenizer.load(join(folder, 'bert')), {
    text: 'text',
    label: 'label',
    maxLength: 64,
    ...(labels && { labels }),
  })

describe('replay of general rows', () => {
  const values = ['replay={ file: general.jsonl, share: 0.4 }'] as const

  it('learns what a program learns, also where it is cut', async () => {
    const file = await learned('replay', ...values)
    const rows = await rowsOf('labels.jsonl')
    const general = await rowsOf('general.jsonl', rows.labels)
    manualSeed(0)
    const model = await AutoModel.forSequenceClassification(join(folder, 'bert'), { labels: rows.labels })
    const loader = (of: typeof rows) => byLength(of, { batchSize: 4, seed: 0 })
    const batches = replay<ClassificationBatch>(loader(rows), loader(general), { share: 0.4 })
    const wanted = await programmed<SequenceClassifier, ClassificationBatch>('replay', model, classification(), batches)
    expect(file.equals(wanted)).toBe(true)
    expect(file.equals(await learned('alone'))).toBe(false)
    // Three batches of the task and two general ones make a pass.
    for (const step of [2, 6]) expect((await cutAt(step, `replay-${step}`, ...values)).equals(file)).toBe(true)
  })

  it('counts its rows and batches in a dry run', async () => {
    expect(await finetune('--dry', ...set(...values))).toBe(0)
    expect(stdout).toMatch(/12 rows \(classification\); 10 general ones beside them; .*in 10 steps/s)
  })

  it('is refused where it does not fit', async () => {
    expect(await refused('replay={ file: labels.jsonl, share: 0.4 }')).toBe(
      '--set replay: replay.file is labels.jsonl, which the training learns from too, so its rows are not general; name another file, or leave replay out',
    )
    expect(await refused(...values, 'data.validation=general.jsonl')).toContain('so it measures nothing')
    expect(await refused('replay={ file: general.jsonl }')).toContain('replay.share is missing in replay')
    for (const share of [0, 1])
      expect(await refused(`replay={ file: general.jsonl, share: ${share} }`)).toContain(
        `replay.share is ${share}, but must be a number above 0 and below 1`,
      )
    expect(await refused('replay={ file: nothing.jsonl, share: 0.5 }')).toContain(
      'nothing.jsonl: there is no such file',
    )
    writeFileSync(join(folder, 'other.jsonl'), '{"text": "a", "label": "run"}')
    expect(await refused('replay={ file: other.jsonl, share: 0.5 }')).toMatch(
      /^other\.jsonl:1: .*'run', but the labels are 'go', 'stay'/,
    )
  })
})

describe('a model that begins with random weights', () => {
  const sizes = {
    model_type: 'bert',
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  }
  const values = [`model=${JSON.stringify(sizes)}`, 'tokenizer=./bert'] as const

  it('learns labels as a program does, and can be fine-tuned on', async () => {
    const file = await learned('random', ...values)
    const rows = await rowsOf('labels.jsonl')
    const tokenizer = await AutoTokenizer.load(join(folder, 'bert'))
    manualSeed(0)
    const json = { vocab_size: tokenizer.size, ...sizes }
    const model = await AutoModel.forSequenceClassification(json, { labels: rows.labels })
    const batches = byLength(rows, { batchSize: 4, seed: 0 })
    const wanted = await programmed<SequenceClassifier, ClassificationBatch>('random', model, classification(), batches)
    expect(file.equals(wanted)).toBe(true)
    expect((await cutAt(2, 'random-cut', ...values)).equals(file)).toBe(true)
    const next = ['model=runs/random/model', 'method={ lora: { rank: 2 } }', 'output=runs/next']
    expect(await finetune(...set(...next))).toBe(0)
    expect(readdirSync(join(folder, 'runs/next/adapter'))).toContain('adapter_config.json')
  })

  it('is refused where it does not fit', async () => {
    expect(await refused(`model=${JSON.stringify(sizes)}`)).toBe(
      "--set model: model is a table, which has no tokenizer; name a tokenizer's folder with tokenizer",
    )
    expect(await refused(...values, 'method={ lora: { rank: 2 } }')).toContain("the model's weights are random")
    const wrong = (changes: object) => refused(`model=${JSON.stringify({ ...sizes, ...changes })}`, 'tokenizer=./bert')
    expect(await wrong({ hiden_size: 16 })).toMatch(/^--set model: .*hiden_size/)
    expect(await wrong({ num_attention_heads: 3 })).toMatch(/^--set model: /)
    expect(await wrong({ vocab_size: 9 })).toContain('vocabulary, which has 9 tokens')
    expect(await wrong({ model_type: 'brt' })).toMatch(/^--set model: .*'brt'/)
  })
})

describe('pairs of texts', () => {
  const rows = Array.from({ length: 9 }, (_, i) => ({
    anchor: `ping ${i}`,
    positive: `pong ${i} ${'go '.repeat(i % 3)}`,
    negative: `stay ${i}`,
    score: (i - 4) / 4,
  }))
  /** Values of a config, the columns of its rows besides the two texts, and the objective of a program. */
  const kinds: {
    readonly [name: string]: readonly [keys: readonly string[], Objective<never, never, string>, ...string[]]
  } = {
    'in-batch negatives': [[], sentenceEmbeddings()],
    'hard negatives': [['negative'], sentenceEmbeddings({ scale: 10 }), 'data.contrast={ scale: 10 }'],
    triplets: [
      ['negative'],
      sentenceEmbeddings({ loss: 'triplet', margin: 0.5 }),
      'data.contrast={ loss: triplet, margin: 0.5 }',
    ],
    cosines: [['score'], sentenceEmbeddings({ loss: 'cosine' })],
  }
  beforeAll(() => {
    for (const [name, [keys]] of Object.entries(kinds)) {
      const own = rows.map((row) =>
        Object.entries(row).filter(([key]) => !['negative', 'score'].includes(key) || keys.includes(key)),
      )
      writeFileSync(join(folder, `${name}.jsonl`), lines(own.map((entries) => Object.fromEntries(entries))))
    }
  })

  it.each(Object.entries(kinds))('learn by %s what a program learns', async (name, [keys, objective, ...values]) => {
    const file = await learned(name, `data.file=${name}.jsonl`, ...values)
    const made = await pairRows(
      jsonl<(typeof rows)[number]>(join(folder, `${name}.jsonl`)),
      await AutoTokenizer.load(join(folder, 'bert')),
      { anchor: 'anchor', positive: 'positive', maxLength: 64, ...Object.fromEntries(keys.map((key) => [key, key])) },
    )
    manualSeed(0)
    const model = await AutoModel.forEmbedding(join(folder, 'bert'))
    const own = objective as Objective<typeof model, PairBatch, string>
    expect(file.equals(await programmed(name, model, own, byLength(made, { batchSize: 4, seed: 0 })))).toBe(true)
  })

  it('no two of them the same, and one that is cut goes on to the same bytes', async () => {
    const files = Object.keys(kinds).map((name) => weights(`runs/${name}`).toString('latin1'))
    expect(new Set(files).size).toBe(files.length)
    const file = await cutAt(2, 'pairs-cut', 'data.file=in-batch negatives.jsonl')
    expect(file.equals(weights('runs/in-batch negatives'))).toBe(true)
  })

  it('are shown, counted, measured, and their vectors written', async () => {
    const values = set('data.file=hard negatives.jsonl', 'data.contrast={ scale: 10 }', 'output=runs/hard negatives')
    expect(await peekCommand([join(folder, 'config.json'), '1', ...values])).toBe(0)
    expect(stdout).toMatch(
      /hard negatives\.jsonl:1: 3 \+ \d+ \+ \d+ tokens\nanchor: .*ping 0.*\npositive: .*pong 0.*\nnegative: .*stay 0/,
    )
    expect(stdout).toContain('9 rows (pairs); ')
    stdout = ''
    expect(await peekCommand([join(folder, 'config.json'), '9', '--json', ...values])).toBe(0)
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { texts: unknown[] }).texts.length),
    ).toEqual(Array(9).fill(3))
    stdout = ''
    expect(
      await evaluateCommand([
        join(folder, 'config.json'),
        '--json',
        '--data',
        join(folder, 'hard negatives.jsonl'),
        ...values,
      ]),
    ).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ rows: 9, accuracy: expect.any(Number) })
    // The pooler, through which no vector passes, is not a fault of the training.
    for (const method of ['full', 'bitfit', '{ last: 1 }', '{ layerwise: {} }', '{ lora: { rank: 2 } }', '{ ia3: {} }'])
      expect(
        await finetune('--dry', ...values.slice(0, 4), ...set('output=runs/dry', `method=${method}`)),
        method,
      ).toBe(0)
    stdout = ''
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      stdout += text
      return true
    })
    writeFileSync(join(folder, 'lines.txt'), 'ping\n')
    expect(await embedCommand([join(folder, 'runs/hard negatives/model'), join(folder, 'lines.txt')])).toBe(0)
    expect((JSON.parse(stdout) as { embedding: number[] }).embedding).toHaveLength(16)
  })

  it('are refused where they do not fit', async () => {
    const own = (file: string, ...values: string[]) => refused(`data.file=${file}.jsonl`, ...values)
    expect(await own('in-batch negatives', 'data.contrast={ loss: triplet }')).toBe(
      "--set data.contrast: the loss is 'triplet', but the rows have no negative; add the column, or name it with data.columns.negative",
    )
    expect(await own('in-batch negatives', 'data.contrast={ loss: cosine }')).toContain('but the rows have no score')
    expect(await own('cosines', 'data.contrast={ loss: multipleNegatives }')).toContain("does not use the rows' score")
    expect(await own('in-batch negatives', 'train.batchSize=1')).toContain('raise train.batchSize')
    expect(await own('hard negatives', 'data.contrast={ margin: 1 }')).toMatch(
      /^--set data\.contrast: .*margin is of loss 'triplet'/,
    )
    expect(await own('in-batch negatives', 'data.columns.negative=wrong')).toMatch(
      /^in-batch negatives\.jsonl:1, .*: there is no column 'wrong'; the row has 'anchor', 'positive'; name the right one with data\.columns\.negative/,
    )
    expect(await refused('data.contrast={}')).toContain(
      "data.contrast is for pairs, but the rows are of the format 'classification'",
    )
    expect(await own('in-batch negatives', 'data.columns.label=anchor')).toBe(
      "--set data.columns.label: rows of the format 'pairs' have no column for data.columns.label; there are anchor, positive, negative, score",
    )
    expect(await own('in-batch negatives', 'method=head')).toContain("head is for a task's own head")
    writeFileSync(
      join(folder, 'late.jsonl'),
      lines([
        { anchor: 'a', positive: 'b' },
        { anchor: 'a', positive: 'b', negative: 'c' },
      ]),
    )
    expect(await own('late')).toBe(
      'late.jsonl:2: the row has a negative, but the first row has none; give all rows one, or none',
    )
    writeFileSync(join(folder, 'both.jsonl'), lines([{ anchor: 'a', positive: 'b', negative: 'c', score: 1 }]))
    expect(await own('both')).toContain('negative and score are given')
    writeFileSync(join(folder, 'far.jsonl'), lines([{ anchor: 'a', positive: 'b', score: 5 }]))
    expect(await own('far')).toMatch(/^far\.jsonl:1: score is the number 5, but must be a number from -1 to 1/)
  })
})

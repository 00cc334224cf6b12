/** Pre-training from a config: shards of a corpus, a new model, and resumption. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { generateCommand } from '../../lib/cli/commands/generate.js'
import { prepareCommand } from '../../lib/cli/commands/prepare.js'
import { pretrainCommand } from '../../lib/cli/commands/pretrain.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { sentencesOf } from '../../lib/cli/tuning/next-sentences.js'
import type { DataLoader } from '../../lib/data/index.js'
import { seq2seq } from '../../lib/finetune/index.js'
import { manualSeed, type Objective, optim, Trainer } from '../../lib/index.js'
import { AutoModel, type PretrainedModel } from '../../lib/models/index.js'
import {
  type MaskedBatch,
  maskableRow,
  maskedBatches,
  maskedLM,
  nextSentencePairs,
  openShards,
  spanBatches,
} from '../../lib/pretrain/index.js'
import { saveTokenizer, type Tokenizer, trainTokenizer } from '../../lib/text/index.js'
import { workplace } from './cli-finetune.js'

let folder: string
let config: string
let stdout: string

beforeAll(async () => {
  folder = await workplace()
  config = join(folder, 'pretrain.yaml')
  const texts = Array.from({ length: 60 }, (_, i) => `ping ${i} go on and on ${'pong '.repeat(i % 6)}`)
  writeFileSync(join(folder, 'corpus.txt'), [...texts, '  ', texts[0], texts[7]?.toUpperCase()].join('\n'))
  writeFileSync(
    config,
    `tokenizer: ./model
model: { model_type: llama, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 32, initializer_range: 0.3 }
corpus: { file: corpus.txt, folder: shards, validation: 0.2, deduplicate: exact }
length: 16
train:
  epochs: 2
  lr: 1e-2
  batchSize: 4
  schedule: { linear: { warmup: 2 } }
output: runs/tiny
`,
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(() => {
  stdout = ''
  vi.spyOn(console, 'log').mockImplementation((text) => void (stdout += `${text}\n`))
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
})
afterEach(() => {
  vi.restoreAllMocks()
})

const set = (...values: string[]) => values.flatMap((value) => ['--set', value])

it('prepare makes shards, counts what it leaves out, and does it once', async () => {
  expect(await prepareCommand([config, '--json'])).toBe(0)
  const counts = JSON.parse(stdout) as { [name: string]: number }
  expect(counts).toMatchObject({ kept: 60, exactDuplicates: 2 })
  expect(counts['tokens']).toBeGreaterThan(2 * (counts['validationTokens'] ?? 0))
  expect(counts['validationTokens']).toBeGreaterThan(0)
  stdout = ''
  expect(await prepareCommand([config])).toBe(0)
  expect(stdout).toContain('60 kept, ')
  expect(stdout).toContain('2 exact duplicates')
  await expect(prepareCommand([config, ...set('corpus.validation=0.5')])).rejects.toThrow(
    /pretrain\.yaml:3:\d+: corpus: /,
  )
})

it('pretrain learns a model, which generate writes with; --dry writes none', async () => {
  expect(await pretrainCommand([config, '--dry', '--json'])).toBe(0)
  const dry = JSON.parse(stdout) as { steps: number; windows: number; peak: number; findings: object[] }
  expect(dry.steps).toBe(2 * Math.ceil(dry.windows / 4))
  expect(dry.findings).toEqual([])
  expect(existsSync(join(folder, 'runs'))).toBe(false)
  stdout = ''
  expect(await pretrainCommand([config, '--json'])).toBe(0)
  const { result, epochs } = JSON.parse(stdout) as {
    result: string
    epochs: { loss: number; validation: { loss: number } }[]
  }
  expect(epochs[1]?.validation.loss).toBeLessThan((epochs[0]?.loss ?? 0) - 1)
  expect(readFileSync(join(result, 'README.md'), 'utf8')).toMatch(
    /^---\nlibrary_name: transformers\n[\s\S]*tokens in windows of 16\./,
  )
  expect(readdirSync(result).sort()).toEqual([
    'README.md',
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ])
  stdout = ''
  expect(await generateCommand([result, '--plain', '--prompt', 'ping 3 go', '--max-new-tokens', '3'])).toBe(0)
  expect(stdout.trim()).toContain('on')
})

it('pretrain stopped by SIGINT goes on to the same bytes, and with no other config', async () => {
  const values = (output: string) =>
    set('train.epochs=60', 'train.schedule=constant', 'train.checkpoints={ every: 2, keep: 1 }', `output=${output}`)
  const stopping = pretrainCommand([config, ...values('runs/stopped')])
  while (!existsSync(join(folder, 'runs/stopped/checkpoints/step-0000000002.safetensors'))) await sleep(1)
  process.emit('SIGINT')
  expect(await stopping).toBe(130)
  const reached = Number(/step-(\d+)/.exec(readdirSync(join(folder, 'runs/stopped/checkpoints'))[0] ?? '')?.[1])
  const ends = set(`train.steps=${reached + 5}`)
  const other = pretrainCommand([config, '--resume', ...values('runs/stopped'), ...set('model.hidden_size=32')])
  await expect(other).rejects.toThrow('model.hidden_size is 32, but the run began with 16')
  expect(await pretrainCommand([config, '--resume', ...values('runs/stopped'), ...ends])).toBe(0)
  expect(await pretrainCommand([config, ...values('runs/uncut'), ...ends])).toBe(0)
  const weights = (run: string) => readFileSync(join(folder, run, 'model/model.safetensors'))
  expect(weights('runs/stopped').equals(weights('runs/uncut'))).toBe(true)
})

it('wrong configs and corpora are refused with their place', async () => {
  writeFileSync(join(folder, 'rows.jsonl'), '{"text": "a"}\n{"txt": "b"}\n')
  const refused = async (...values: string[]) => {
    const error = await pretrainCommand([config, ...set(...values, 'output=runs/wrong')]).catch(
      (thrown: unknown) => thrown,
    )
    expect(exitCodeOf(error)).toBe(2)
    return (error as Error).message
  }
  expect(await refused('corpus={ file: rows.jsonl, folder: other }')).toContain(
    "rows.jsonl:2: there is no column 'text'",
  )
  expect(await refused('corpus.file=nope.txt')).toContain('corpus.file')
  expect(await refused('model.vocab_size=5')).toContain('the model knows 5 tokens, but the tokenizer has')
  expect(await refused('model.hiden_size=5')).toMatch(/pretrain\.yaml:2:8: model: .*hiden_size/)
  expect(await refused('length=100000')).toContain('a window has 100000; give a smaller length')
  expect(await refused('length=1')).toContain('length is 1, but must be a whole number of at least 2')
  expect(await refused('tokenizer=./empty')).toContain('tokenizer.json')
  const shard = join(
    folder,
    'shards',
    readdirSync(join(folder, 'shards')).find((name) => /^train.*bin/.test(name)) ?? '',
  )
  const written = readFileSync(shard)
  writeFileSync(shard, Buffer.from(written.map((byte, i) => (i === 0 ? byte ^ 1 : byte))))
  expect(await refused('train.epochs=1')).toMatch(
    /pretrain\.yaml:3:\d+: corpus\.folder: the bytes of .*train-\d+\.bin differ from those written/,
  )
  writeFileSync(shard, written)
  expect(await refused('corpsu={}')).toContain("there is no 'corpsu'; did you mean 'corpus'?")
})

/** A tokenizer with the special tokens that encoders and T5 need. */
async function withTokenizer(name: string): Promise<Tokenizer> {
  const sentinels = Array.from({ length: 12 }, (_, i) => `<extra_id_${i}>`)
  const tokenizer = await trainTokenizer('bpe', ['ping pong go on and'], {
    vocabSize: 256 + 40,
    special: ['<pad>', '</s>', '<cls>', '<mask>', ...sentinels],
    roles: { eos: '</s>', sep: '</s>', cls: '<cls>', mask: '<mask>', pad: '<pad>' },
  })
  await saveTokenizer(tokenizer, join(folder, name))
  return tokenizer
}

const sizes = { hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2 }
const bert = { model_type: 'bert', ...sizes, max_position_embeddings: 32, type_vocab_size: 1 }
const t5 = { model_type: 't5', d_model: 16, d_kv: 8, d_ff: 16, num_layers: 1, num_heads: 2, dropout_rate: 0 }
const ends = { pad_token_id: 0, eos_token_id: 1, decoder_start_token_id: 0 }

it.each([
  ['masked', { masked: { wholeWords: true, probability: 0.3 } }, bert],
  ['spans', { spans: { meanSpan: 2, probability: 0.2 } }, { ...t5, ...ends }],
] as const)('pretrain learns by the objective %s what a program learns, to the bit', async (name, objective, model) => {
  const tokenizer = await withTokenizer('tokens')
  const values = set(
    'tokenizer=./tokens',
    `model=${JSON.stringify(model)}`,
    `corpus={ file: corpus.txt, folder: shards-${name}, validation: 0.2 }`,
    `objective=${JSON.stringify(objective)}`,
    'train={ epochs: 2, lr: 1e-2, batchSize: 8 }',
    `output=runs/${name}`,
  )
  expect(await pretrainCommand([config, ...values, '--json'])).toBe(0)
  const { result, epochs } = JSON.parse(stdout) as {
    result: string
    epochs: { loss: number; validation: { loss: number } }[]
  }
  expect(epochs[1]?.validation.loss).toBeLessThan(epochs[0]?.loss ?? 0)
  const shards = await openShards(join(folder, `shards-${name}`))
  manualSeed(0)
  const pass = { batchSize: 8, shuffle: true, seed: 0 }
  const fitted = async <M extends PretrainedModel, B>(
    made: M,
    goal: Objective<M, B>,
    batches: DataLoader<never, B>,
  ) => {
    const optimizer = new optim.AdamW(made.parameters(), { lr: 1e-2 })
    const trainer = new Trainer(made, { optimizer, objective: goal, clipGradNorm: 1 })
    await trainer.fit(batches, { epochs: 2, progress: false })
    return made
  }
  const vocab = { vocab_size: tokenizer.size, ...model }
  if ('masked' in objective) {
    const windows = shards.train.windows({ length: 14 })
    const texts = await Promise.all(Array.from({ length: windows.length }, async (_, i) => windows.get(i)))
    const rows = texts.map(({ ids }) =>
      maskableRow(tokenizer.decode(ids, { skipSpecialTokens: true }), tokenizer, { maxLength: 16 }),
    )
    const batches = maskedBatches(rows, tokenizer, { ...objective.masked, ...pass })
    const made = await fitted(await AutoModel.forMaskedLM(vocab), maskedLM() as never, batches as never)
    await made.save(join(folder, 'programs', name), { log: () => undefined })
  } else {
    const batches = spanBatches(shards.train.windows({ length: 15 }), tokenizer, { ...objective.spans, ...pass })
    const made = await fitted(await AutoModel.forSeq2Seq(vocab), seq2seq() as never, batches as never)
    await made.save(join(folder, 'programs', name), { log: () => undefined })
  }
  await shards.close()
  const own = readFileSync(join(folder, 'programs', name, 'model.safetensors'))
  expect(readFileSync(join(result, 'model.safetensors')).equals(own)).toBe(true)
})

it('pretrain learns masked tokens and next sentences together as a program does, to the bit, also where it is cut', async () => {
  const tokenizer = await withTokenizer('tokens')
  const texts = Array.from({ length: 12 }, (_, i) => ['ping', 'go on', 'pong'].map((each) => `${each} ${i}.`))
  writeFileSync(join(folder, 'sentences.txt'), texts.map((each) => each.join(' ')).join('\n'))
  const model = { ...bert, type_vocab_size: 2 }
  const run = (name: string, ...args: string[]) =>
    pretrainCommand([
      config,
      ...args,
      ...set(
        'tokenizer=./tokens',
        `model=${JSON.stringify(model)}`,
        'corpus={ file: sentences.txt, folder: shards-sentences }',
        'objective={ masked: { nextSentence: true, probability: 0.3 } }',
        'train={ epochs: 2, lr: 1e-2, batchSize: 8, checkpoints: { every: 1, keep: 9 } }',
        `output=runs/${name}`,
      ),
    ])
  for (const name of ['sentences', 'cut']) expect(await run(name)).toBe(0)
  const shards = await openShards(join(folder, 'shards-sentences'))
  // Documents lie in the shards in order.
  const pairs = nextSentencePairs(texts, tokenizer, { maxLength: 16 })
  await shards.close()
  manualSeed(0)
  const made = await AutoModel.forPreTraining({ vocab_size: tokenizer.size, ...model })
  const trainer = new Trainer<string, MaskedBatch, typeof made>(made, {
    optimizer: new optim.AdamW(made.parameters(), { lr: 1e-2 }),
    objective: maskedLM() as never,
    clipGradNorm: 1,
  })
  const batches = maskedBatches(pairs, tokenizer, { probability: 0.3, batchSize: 8, shuffle: true, seed: 0 })
  await trainer.fit(batches, { epochs: 2, progress: false })
  await made.save(join(folder, 'programs/sentences'), { log: () => undefined })
  const weights = (path: string) => readFileSync(join(folder, path, 'model.safetensors'))
  expect(weights('runs/sentences/model').equals(weights('programs/sentences'))).toBe(true)
  const checkpoints = join(folder, 'runs/cut/checkpoints')
  for (const file of readdirSync(checkpoints)) if (Number(/\d+/.exec(file)) > 2) rmSync(join(checkpoints, file))
  expect(await run('cut', '--resume')).toBe(0)
  expect(weights('runs/cut/model').equals(weights('programs/sentences'))).toBe(true)
})

it.each([
  ['One. Two! "Three?" four', ['One.', 'Two!', '"Three?"', 'four']],
  ['你好。他说：“走吧！”然后走了？是', ['你好。', '他说：“走吧！”', '然后走了？', '是']],
  ['version 3.5 is out\nnext line  ', ['version 3.5 is out', 'next line']],
  ['. . .', ['.', '.', '.']],
  ['', []],
])('sentences of %j', (text, sentences) => {
  expect(sentencesOf(text)).toEqual(sentences)
})

it('refuses objectives that the tokenizer, the model or other keys do not go with', async () => {
  await withTokenizer('tokens')
  const refused = async (...values: string[]) => {
    const all = [
      'tokenizer=./tokens',
      'corpus={ file: corpus.txt, folder: shards-wrong }',
      'output=runs/wrong',
      ...values,
    ]
    const error = await pretrainCommand([config, ...set(...all)]).catch((thrown: unknown) => thrown)
    expect(exitCodeOf(error)).toBe(2)
    return (error as Error).message
  }
  const encoder = `model=${JSON.stringify(bert)}`
  expect(await refused('objective=maskd')).toMatch(/^--set objective: objective is 'maskd', but must be 'causal'/)
  expect(await refused('objective={ masked: { whole: true } }')).toContain("there is no 'whole' in objective.masked")
  expect(await refused('objective={ masked: { probability: 1 } }')).toContain('objective.masked.probability is 1, but')
  expect(await refused(encoder, 'objective=masked', 'documents=true')).toContain(
    "--set documents: documents is for the objective 'causal', but the objective is 'masked'; leave it out",
  )
  expect(await refused('objective=masked')).toMatch(/model: .*'llama'/)
  const pairs = 'objective={ masked: { nextSentence: true } }'
  expect(await refused(encoder, pairs)).toContain(
    'model: type_vocab_size is 1, but the two sentences of a pair have two types',
  )
  const judge = `model=${JSON.stringify({ ...bert, type_vocab_size: 2 })}`
  expect(await refused(judge, pairs)).toContain('--set objective: no document has two sentences')
  expect(await refused(judge, pairs, 'length=4')).toContain('maxLength is 4, but must be an integer of at least 5')
  expect(await refused('objective={ masked: { nextSentence: 1 } }')).toContain(
    'objective.masked.nextSentence is 1, but',
  )
  expect(await refused(encoder, 'objective=masked', 'length=33')).toContain('the model has 32 positions')
  expect(
    await refused(
      encoder,
      'objective=masked',
      'tokenizer=./model',
      'corpus={ file: corpus.txt, folder: shards-other }',
    ),
  ).toContain('the tokenizer has no token for the mask; load')
})

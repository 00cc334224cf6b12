/** Pre-training from a config: shards of a corpus, a model from its beginning, resumption. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { generateCommand } from '../../lib/cli/commands/generate.js'
import { prepareCommand } from '../../lib/cli/commands/prepare.js'
import { pretrainCommand } from '../../lib/cli/commands/pretrain.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
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
    /pretrain\.yaml:3:\d+: corpus\.folder: .*train-\d+\.bin has other bytes than were written/,
  )
  writeFileSync(shard, written)
  expect(await refused('corpsu={}')).toContain("there is no 'corpsu'; did you mean 'corpus'?")
})

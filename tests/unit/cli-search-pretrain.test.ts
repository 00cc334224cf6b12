/** `firesteel search` over configs of pre-training: on a corpus, and on a table of numbers. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { pretrainCommand } from '../../lib/cli/commands/pretrain.js'
import { searchCommand } from '../../lib/cli/commands/search.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { saveTokenizer, trainTokenizer } from '../../lib/text/index.js'

let folder: string
let stdout = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firesteel-search-'))
  const texts = Array.from({ length: 60 }, (_, i) => `ping ${i} go on and on ${'pong '.repeat(i % 6)}`)
  const special = { vocabSize: 280, special: ['<|end|>'], roles: { eos: '<|end|>' } } as const
  await saveTokenizer(await trainTokenizer('bpe', texts, special), join(folder, 'tokenizer'))
  writeFileSync(join(folder, 'corpus.txt'), texts.join('\n'))
  writeFileSync(
    join(folder, 'corpus.yaml'),
    `tokenizer: ./tokenizer
model: { model_type: llama, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 32 }
corpus: { file: corpus.txt, folder: shards, validation: 0.2 }
length: 16
train: { epochs: 2, batchSize: 4 }
search: { space: { train.lr: [1e-5, 1e-2], model.hidden_size: [8, 16] }, method: grid }
output: runs/corpus
`,
  )
  const rows = Array.from({ length: 60 }, (_, i) => `${Math.sin(i * 1.7)},${Math.cos(i)}`)
  writeFileSync(join(folder, 'rows.csv'), ['x,y', ...rows].join('\n'))
  writeFileSync(
    join(folder, 'table.yaml'),
    `table: { file: rows.csv, validation: 0.2 }
model: { hiddenSizes: [8, 1] }
train: { epochs: 3, batchSize: 16 }
search: { space: { train.lr: { logUniform: [1e-5, 1e-2] }, model: [{ hiddenSizes: [2] }, { hiddenSizes: [8, 2] }] }, trials: 3 }
output: runs/table
`,
  )
  vi.spyOn(console, 'log').mockImplementation((text) => void (stdout += `${text}\n`))
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  stdout = ''
})

const set = (...values: readonly string[]) => values.flatMap((value) => ['--set', value])

interface Line {
  readonly state: string
  readonly value: number
  readonly values: { readonly [name: string]: number | string }
}

const trials = (run: string) =>
  readFileSync(join(folder, run, 'search/trials.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)

describe.each([
  ['corpus', 4],
  ['table', 3],
] as const)('a search over the config of a %s', (kind, count) => {
  it('measures each trial as its training does, and names the command that trains the best', async () => {
    const config = join(folder, `${kind}.yaml`)
    expect(await searchCommand([config])).toBe(0)
    const found = trials(`runs/${kind}`)
    expect(found.map(({ state }) => state)).toEqual(Array.from({ length: count }, () => 'done'))
    expect(new Set(found.map(({ value }) => value)).size).toBe(count)
    const best = found.reduce((least, each) => (each.value < least.value ? each : least))
    const changes = Object.entries(best.values).map(([name, value]) => `${name}=${value}`)
    const command = `firesteel pretrain ${config}${changes.map((change) => ` --set '${change}'`).join('')}`
    expect(stdout).toContain(`the best is \`${command}\``)
    stdout = ''
    expect(await pretrainCommand([config, '--json', ...set(...changes, `output=runs/${kind}-best`)])).toBe(0)
    const { epochs } = JSON.parse(stdout) as { epochs: { validation: { loss: number } }[] }
    expect(epochs.at(-1)?.validation.loss).toBe(best.value)
  })

  it('goes on with more trials, and its table may change beside a run', async () => {
    const config = join(folder, `${kind}.yaml`)
    const run = `output=runs/${kind}-more`
    const few = set(run, 'search.method=random', 'search.trials=1')
    expect(await searchCommand([config, ...few])).toBe(0)
    const [first] = trials(`runs/${kind}-more`)
    const more = set(run, 'search.method=random', 'search.trials=2')
    expect(await searchCommand([config, ...more, '--resume'])).toBe(0)
    expect(trials(`runs/${kind}-more`)).toHaveLength(2)
    expect(trials(`runs/${kind}-more`)[0]).toEqual(first)
    expect(await pretrainCommand([config, ...more])).toBe(0)
    const longer = set(run, 'search.trials=9', 'train.epochs=4')
    expect(await pretrainCommand([config, ...longer, '--resume'])).toBe(0)
  })
})

it.each([
  ['corpus', 'corpus.validation: [0.1, 0.2]', /search\.space has corpus\.validation, but trials on different rows/],
  ['corpus', 'tokenizer: [a, b]', /has tokenizer, but losses of other tokens cannot be compared/],
  ['corpus', 'length: [8, 16]', /has length, but it cuts the rows, and trials on different rows/],
  ['corpus', 'objective: [causal, masked]', /has objective, but trials that predict other things/],
  ['corpus', 'output: [a, b]', /has output, but each trial writes into a folder of its own/],
  ['corpus', 'train.rate: [1, 2]', /search\.space\.train\.rate has 1: there is no 'rate' in train/],
  ['table', 'table.columns: [[x], [y]]', /has table\.columns, but trials on different rows/],
  ['table', 'objective.denoising.amount: [0.1, 0.2]', /trials that predict other things cannot be compared/],
  ['table', 'train.seed: [0, 1]', /has train\.seed, but it draws the held-out rows too/],
] as const)('a search over a %s is refused with %s', async (kind, space, text) => {
  const args = [join(folder, `${kind}.yaml`), ...set(`search.space={ ${space} }`, 'search.method=grid')]
  const error = await searchCommand([...args, ...set('output=runs/refused')]).catch((thrown: unknown) => thrown)
  expect((error as Error).message).toMatch(text)
  expect(exitCodeOf(error)).toBe(2)
})

it('seeds of the batches may be searched, because the corpus holds its rows out by its own seed', async () => {
  const args = [join(folder, 'corpus.yaml'), ...set('search.space={ train.seed: [0, 1] }', 'output=runs/seeds')]
  expect(await searchCommand(args)).toBe(0)
  const none = set('corpus.validation=0', 'corpus.folder=none', 'output=runs/none')
  await expect(searchCommand([join(folder, 'corpus.yaml'), ...none])).rejects.toThrow(
    /there is no 'validation\.loss' to search for, but only .*; hold rows out with corpus\.validation/,
  )
})

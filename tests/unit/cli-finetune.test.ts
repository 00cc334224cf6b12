/** Trainings from a config: peek, dry run, training, resumption, writing. */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import { embedCommand } from '../../lib/cli/commands/embed.js'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { generateCommand } from '../../lib/cli/commands/generate.js'
import { initCommand } from '../../lib/cli/commands/init.js'
import { peekCommand } from '../../lib/cli/commands/peek.js'
import { loadConfig, loadFinetune } from '../../lib/cli/config/config.js'
import { pretrainSchema, tableSchema } from '../../lib/cli/config/schema.js'
import { exitCodeOf, UsageError } from '../../lib/cli/exit.js'
import type { DryRun } from '../../lib/cli/tuning/dry.js'
import type { RowFigures } from '../../lib/cli/tuning/figures.js'
import { progressLogger } from '../../lib/cli/tuning/progress.js'
import { chatRows, configYaml, encoderModel, workplace, writerModel } from './cli-finetune.js'

let folder: string
let config: string
let stdout: string
let stderr: string

beforeAll(async () => {
  folder = await workplace()
  config = join(folder, 'config.yaml')
})
afterAll(() => rmSync(folder, { recursive: true }))

beforeEach(() => {
  stdout = ''
  stderr = ''
  const line = (text: unknown) => `${text}\n`
  vi.spyOn(console, 'log').mockImplementation((text) => void (stdout += line(text)))
  vi.spyOn(console, 'error').mockImplementation((text) => void (stderr += line(text)))
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

const set = (...values: string[]) => values.flatMap((value) => ['--set', value])
const adapter = (run: string) => readFileSync(join(folder, run, 'adapter', 'adapter_model.safetensors'))

describe('init', () => {
  it('writes a config that fits the data, which the other commands take, and no other file over', async () => {
    writeFileSync(join(folder, 'reviews.csv'), 'text,stars\n"go on",1\nping,2\n')
    for (const [data, format] of [
      ['rows.jsonl', 'chat'],
      ['reviews.csv', 'text'],
    ] as const) {
      const path = join(folder, `${format}.yaml`)
      expect(await initCommand([path, '--model', join(folder, 'model'), '--data', join(folder, data)])).toBe(0)
      const text = readFileSync(path, 'utf8')
      expect(text).toContain(`format: ${format}`)
      expect(text).toContain('model: "./model"')
      expect(await peekCommand([path, '1', ...set('data.validation=1')])).toBe(0)
      await expect(initCommand([path])).rejects.toThrow('already exists')
      expect(readFileSync(path, 'utf8')).toBe(text)
    }
  })
})

describe('peek', () => {
  it('shows rows with what is learned of them, and counts all', async () => {
    expect(await peekCommand([config, '2', ...set('data.validation=1')])).toBe(0)
    const [first, ...rest] = stripVTControlCharacters(stdout).split('\n')
    expect(first).toMatch(/rows\.jsonl:\d+: \d+ tokens, 4 learned$/)
    expect(rest.join('\n')).toContain('⟦pong</s>⟧')
    expect(stdout).toMatch(/19 rows \(chat\) and 1 for validation; [\d,]+ tokens, \d+% of them learned, .*; none cut/)
  })

  it('gives ids and labels as JSON, and says what was cut', async () => {
    expect(
      await peekCommand([config, '20', '--json', ...set('data.learn=all', 'data.maxLength=30', 'data.validation=1')]),
    ).toBe(0)
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { ids: number[]; labels: number[] })
    expect(rows).toHaveLength(20)
    for (const { ids, labels } of rows) {
      expect(labels.slice(1)).toEqual(ids.slice(1))
      expect(labels[0]).toBe(-100)
      expect(ids.length).toBeLessThanOrEqual(30)
    }
    stdout = ''
    expect(await peekCommand([config, ...set('data.maxLength=30', 'data.learn=all')])).toBe(0)
    expect(stdout).toMatch(/the longest row has 30; \d+ rows cut/)
  })

  it('learns completions but not their prompts, and the end of texts', async () => {
    writeFileSync(join(folder, 'pairs.jsonl'), '{"question": "ping", "completion": " pong"}\n')
    const args = ['--json', ...set('data={ file: pairs.jsonl, columns: { prompt: question }, format: completion }')]
    expect(await peekCommand([config, ...args])).toBe(0)
    const { ids, labels } = JSON.parse(stdout) as { ids: number[]; labels: number[] }
    const first = labels.findIndex((label) => label >= 0)
    expect(first).toBeGreaterThan(1)
    expect(labels.slice(first)).toEqual(ids.slice(first))
  })
})

it('warns of a rank above the sizes of layers, one above the limit and not at it', async () => {
  // Layers are 16 by 16 and 16 by 32.
  for (const [rank, says] of [
    [16, ''],
    [17, 'no change of model.layers.0.self_attn.q_proj has a rank above 16, and 13 more layers are smaller'],
  ] as const) {
    stderr = ''
    expect(await finetuneCommand([config, '--dry', ...set(`method.lora.rank=${rank}`)])).toBe(0)
    if (says === '') expect(stderr).not.toContain('rank')
    else expect(stderr).toContain(`--set method.lora.rank: warning: method.lora.rank is 17, but ${says}`)
  }
})

describe('embed', () => {
  it('writes a vector of length 1 for each text, the same in other batches', async () => {
    await encoderModel(join(folder, 'bert'))
    writeFileSync(join(folder, 'lines.txt'), 'ping\n\ngo on and on\npong pong\n')
    const vectors = async (...args: string[]) => {
      stdout = ''
      expect(await embedCommand([join(folder, 'bert'), join(folder, 'lines.txt'), ...args])).toBe(0)
      return stdout
    }
    const lines = (await vectors())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { row: number; embedding: number[] })
    expect(lines.map(({ row }) => row)).toEqual([0, 1, 2])
    for (const { embedding } of lines) {
      expect(embedding).toHaveLength(16)
      expect(embedding.reduce((sum, x) => sum + x * x, 0)).toBeCloseTo(1, 5)
    }
    const out = join(folder, 'vectors.jsonl')
    expect(await vectors('--batch-size', '2', '--out', out)).toContain('3 vectors are in')
    const again = readFileSync(out, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { embedding: number[] })
    for (const [i, { embedding }] of again.entries())
      for (const [j, value] of embedding.entries()) expect(value).toBeCloseTo(lines[i]?.embedding[j] ?? 0, 5)
    await expect(embedCommand([join(folder, 'bert'), join(folder, 'rows.jsonl')])).rejects.toThrow(
      "rows.jsonl:1: there is no column 'text'",
    )
  })
})

describe('finetune --dry', () => {
  it('predicts steps, memory and time, and writes nothing', async () => {
    expect(await finetuneCommand([config, '--dry', '--json', ...set('output=runs/dry')])).toBe(0)
    const run = JSON.parse(stdout) as DryRun & RowFigures
    expect(run).toMatchObject({ format: 'chat', rows: 16, validation: 4, steps: 16, cut: 0, findings: [] })
    expect(run.learned).toBeGreaterThan(0.05)
    expect(run.learned).toBeLessThan(0.3)
    expect(run.parameters.learning).toBeLessThan(run.parameters.all / 4)
    expect(run.peak).toBeGreaterThan(4 * run.parameters.all)
    // The test's process has a few hundred megabytes, beside which this model is small.
    expect((run.process as number) / process.memoryUsage.rss()).toBeGreaterThan(0.5)
    expect((run.process as number) / process.memoryUsage.rss()).toBeLessThan(2)
    expect(run.seconds).toBeGreaterThan(0)
    expect(existsSync(join(folder, 'runs/dry'))).toBe(false)
  })

  it('exits with 2 where the training would be wasted', async () => {
    expect(await finetuneCommand([config, '--dry', ...set('train.memory=1 kB')])).toBe(2)
    expect(stdout).toContain('fault (memory)')
    expect(stdout).toContain('the training would be wasted')
    await expect(finetuneCommand([config, '--dry', '--resume'])).rejects.toThrow('leave one of them out')
  })
})

describe('finetune', () => {
  it('learns an adapter, which generate writes with', async () => {
    expect(await finetuneCommand([config, '--json', ...set('train.epochs=3', 'train.lr=3e-2')])).toBe(0)
    const { result, epochs } = JSON.parse(stdout) as {
      result: string
      epochs: { loss: number; validation: { loss: number } }[]
    }
    expect(readdirSync(result).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    expect(epochs).toHaveLength(3)
    expect(epochs[2]?.loss).toBeLessThan((epochs[0]?.loss ?? 0) - 0.5)
    const [, head = '', card = ''] = readFileSync(join(result, 'README.md'), 'utf8').split('---\n')
    const numbers = [{ type: 'loss' }, { type: 'perplexity' }].map((metric) => ({
      ...metric,
      value: expect.any(Number),
    }))
    expect(parse(head)).toEqual({
      library_name: 'peft',
      base_model: './model',
      pipeline_tag: 'text-generation',
      tags: ['firesteel'],
      'model-index': [
        {
          name: 'first',
          results: [
            {
              task: { type: 'text-generation' },
              dataset: { name: 'rows held back', type: 'held-out' },
              metrics: numbers,
            },
          ],
        },
      ],
    })
    const run = JSON.parse(readFileSync(join(folder, 'runs/first/run.json'), 'utf8')) as {
      model: { trainable: number }
    }
    expect(card).toContain(`| weights that learned | ${run.model.trainable.toLocaleString('en')} |`)
    expect(card).toContain('Method: lora (rank 4, alpha 8).')
    expect(card).toContain('| lr | 0.03 |')
    expect(card).toMatch(
      /3 epochs; after the last one:[\s\S]*\| validation loss \| [\d.]+ \|[\s\S]*4 rows\.[\s\S]*\| perplexity \| [\d.]+ \|/,
    )
    expect(stderr).toContain('epoch 3  step 24/24')
    stdout = ''
    expect(await generateCommand([config, '--prompt', 'ping 3', '--json', '--max-new-tokens', '4'])).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ prompt: 'ping 3', text: 'pong', finishReason: 'stop' })
    stdout = ''
    expect(await generateCommand([config, '--prompt', 'ping 3', '--json', '--max-new-tokens', '1'])).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ finishReason: 'length' })
    expect(stderr).toMatch(
      /the model ended the text\nthe text was cut at --max-new-tokens, 1; raise it for a longer text\n$/,
    )
    stdout = ''
    expect(await evaluateCommand([config, '--json'])).toBe(0)
    const measured = JSON.parse(stdout) as { rows: number; loss: number; perplexity: number }
    expect(measured.rows).toBe(4)
    expect(measured.loss).toBeCloseTo(epochs[2]?.validation.loss ?? 0, 4)
    expect(measured.perplexity).toBeCloseTo(Math.exp(measured.loss), 6)
    stdout = ''
    expect(await evaluateCommand([config, '--json', '--data', join(folder, 'rows.jsonl')])).toBe(0)
    const missing = evaluateCommand([config, '--data', 'missing.jsonl'])
    await expect(missing).rejects.toThrow(/^--data: missing\.jsonl: there is no such file/)
    expect(JSON.parse(stdout)).toMatchObject({ rows: 20 })
    await expect(finetuneCommand([config])).rejects.toThrow(/already has a run; continue it with --resume/)
  })

  it('learns all weights of texts, which generate writes on', async () => {
    writeFileSync(join(folder, 'texts.jsonl'), Array.from({ length: 8 }, () => '{"text": "ping pong"}').join('\n'))
    const values = set(
      'method=full',
      'data={ file: texts.jsonl }',
      'output=runs/full',
      'train.lr=1e-2',
      'train.epochs=5',
    )
    expect(await finetuneCommand([config, ...values])).toBe(0)
    expect(readdirSync(join(folder, 'runs/full/model'))).toContain('config.json')
    stdout = ''
    expect(await generateCommand([config, '--prompt', 'ping', '--max-new-tokens', '3', ...values])).toBe(0)
    expect(stdout).toContain('pong')
    await expect(generateCommand([config, '--prompt', 'x', ...set('output=runs/none')])).rejects.toThrow(
      'has no adapter yet',
    )
  })

  it('learns classes of texts, by each method, and keeps their names', async () => {
    await encoderModel(join(folder, 'bert'))
    const rows = Array.from({ length: 24 }, (_, i) => ({
      text: i % 2 ? `go on ${i}` : `ping ${i}`,
      label: i % 2 ? 'go' : 'stay',
    }))
    writeFileSync(join(folder, 'labels.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'))
    const methods = { lora: '{ lora: { rank: 4 } }', head: 'head', bitfit: 'bitfit', last: '{ last: 1 }', full: 'full' }
    for (const [name, method] of Object.entries(methods)) {
      stdout = ''
      const epochs = ['lora', 'full'].includes(name) ? 6 : 2
      const own = [
        'model=./bert',
        'data={ file: labels.jsonl, validation: 0.25 }',
        `method=${method}`,
        `output=runs/by-${name}`,
      ]
      expect(
        await finetuneCommand([
          config,
          '--json',
          ...set(...own, 'train.lr=2e-2', `train.epochs=${epochs}`, 'train.batchSize=4'),
        ]),
      ).toBe(0)
      const { result, epochs: records } = JSON.parse(stdout) as {
        result: string
        epochs: { loss: number; validation: { accuracy: number } }[]
      }
      expect(records.at(-1)?.loss, name).toBeLessThan(records[0]?.loss ?? 0)
      if (name === 'full') {
        expect(records.at(-1)?.validation.accuracy).toBe(1)
        const { id2label } = JSON.parse(readFileSync(join(result, 'config.json'), 'utf8')) as { id2label: object }
        expect(id2label).toEqual({ 0: 'go', 1: 'stay' })
      }
    }
    await expect(
      generateCommand([config, '--prompt', 'x', ...set('model=./bert', 'output=runs/by-full', 'method=full')]),
    ).rejects.toThrow("the run learned rows of the format 'classification'")
  })

  it('learns translations, with their prefix, which generate gives', async () => {
    await writerModel(join(folder, 't5'))
    writeFileSync(join(folder, 'pairs.tsv'), 'source\ttarget\nping\tpong\ngo\tstay\n')
    const own = set('model=./t5', 'method=full', 'data={ file: pairs.tsv, prefix: "to: " }', 'output=runs/pairs')
    expect(await peekCommand([config, '1', ...own])).toBe(0)
    expect(stripVTControlCharacters(stdout)).toMatch(/pairs\.tsv:2: \d+ tokens, \d+ learned\n.*to: ping\n.*pong/)
    expect(await finetuneCommand([config, ...own, ...set('train.epochs=60', 'train.lr=2e-2')])).toBe(0)
    stdout = ''
    expect(await generateCommand([config, '--prompt', 'go', '--max-new-tokens', '8', ...own])).toBe(0)
    expect(stdout.trim()).toBe('stay')
  })

  const endless = ['train.epochs=1000', 'train.checkpoints={ every: 3, keep: 2 }', 'method.lora.dropout=0.1']

  it('stopped by SIGINT, or killed, it goes on to the same bytes', async () => {
    const values = (output: string, steps: number) => set(...endless, `train.steps=${steps}`, `output=${output}`)
    const reaches = async (run: string) => {
      while (!existsSync(join(folder, run, 'checkpoints/step-0000000003.safetensors'))) await sleep(2)
    }
    const stopping = finetuneCommand([config, ...values('runs/stopped', 100_000)])
    await reaches('runs/stopped')
    process.emit('SIGINT')
    expect(await stopping).toBe(130)
    expect(stderr).toContain('--resume` goes on')
    const main = fileURLToPath(new URL('../../build/compiled/lib/cli/main.js', import.meta.url))
    const args = [main, 'finetune', 'config.yaml', ...values('runs/killed', 100_000)]
    const child = spawn(process.execPath, args, { stdio: 'ignore', cwd: folder })
    const ended = new Promise((resolve) => child.on('close', resolve))
    await reaches('runs/killed')
    child.kill('SIGKILL')
    await ended
    const steps = 3 + Math.max(reachedBy('runs/stopped'), reachedBy('runs/killed'))
    for (const run of ['runs/stopped', 'runs/killed'])
      expect(await finetuneCommand([config, '--resume', ...values(run, steps)])).toBe(0)
    expect(await finetuneCommand([config, ...values('runs/uncut', steps)])).toBe(0)
    for (const run of ['runs/stopped', 'runs/killed'])
      expect(adapter(run).equals(adapter('runs/uncut')), run).toBe(true)
  })

  const reachedBy = (run: string) =>
    Math.max(
      ...readdirSync(join(folder, run, 'checkpoints')).flatMap((name) =>
        Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1] ?? 0),
      ),
    )

  it('does not write over what it begins with, or where it cannot, and a dry run says so too', async () => {
    const weights = readFileSync(join(folder, 'model/model.safetensors'))
    cpSync(join(folder, 'model'), join(folder, 'adapter'), { recursive: true })
    symlinkSync('..', join(folder, 'empty/link'))
    const refused: readonly (readonly [values: readonly string[], says: string])[] = [
      [['method=full', 'output=.'], 'overwrite the model with which the run begins'],
      [['method=full', 'output=empty/link'], 'overwrite the model with which the run begins'],
      [['tokenizer=adapter', 'output=.'], 'overwrite the tokenizer with which the run begins'],
      [['output=rows.jsonl/run'], 'rows.jsonl is a file'],
      [['output="a\\0b"'], 'a zero byte'],
    ]
    for (const [values, says] of refused)
      for (const dry of [[], ['--dry']]) {
        const error = await finetuneCommand([config, ...dry, ...set(...values)]).catch((thrown: unknown) => thrown)
        expect((error as Error).message).toContain(says)
        expect((error as Error).message).toContain('--set output: ')
        expect(exitCodeOf(error)).toBe(2)
      }
    expect(readFileSync(join(folder, 'model/model.safetensors')).equals(weights)).toBe(true)
  })

  it('made longer, it learns what one that was never cut learns, where rates do not follow the length', async () => {
    // Eleven steps are one epoch of eight steps and three steps of the next.
    const values = (output: string, steps: number, schedule: string) =>
      set('train.epochs=9', `output=${output}`, `train.steps=${steps}`, `train.schedule=${schedule}`)
    for (const [name, schedule] of [
      ['constant', 'constant'],
      ['warmed', '{ constant: { warmup: 5 } }'],
    ] as const) {
      const own = (run: string, steps: number) => values(`runs/${run}-${name}`, steps, schedule)
      expect(await finetuneCommand([config, ...own('longer', 3)])).toBe(0)
      expect(await finetuneCommand([config, '--resume', ...own('longer', 11)])).toBe(0)
      expect(await finetuneCommand([config, ...own('whole', 11)])).toBe(0)
      expect(adapter(`runs/longer-${name}`).equals(adapter(`runs/whole-${name}`)), name).toBe(true)
    }
    const warmed = (steps: number) => values('runs/longer-share', steps, '{ constant: { warmup: 0.5 } }')
    expect(await finetuneCommand([config, ...warmed(3)])).toBe(0)
    await expect(finetuneCommand([config, '--resume', ...warmed(11)])).rejects.toThrow(
      '--set train.steps: train.steps is 11, but the run began with 3',
    )
  })

  it('of two that begin in one folder at once, one runs, and the folder tells of that one', async () => {
    const rates = ['1e-3', '2e-3']
    const runs = await Promise.allSettled(
      rates.map((lr) => finetuneCommand([config, ...set('output=runs/both', 'train.steps=2', `train.lr=${lr}`)])),
    )
    const ran = runs.flatMap(({ status }, i) => (status === 'fulfilled' ? [Number(rates[i])] : []))
    const { config: told } = JSON.parse(readFileSync(join(folder, 'runs/both/finetune.json'), 'utf8'))
    expect(ran).toEqual([told.train.lr])
  })

  it('does not go on with another config or other data', async () => {
    const own = ['output=runs/changed', 'train.steps=2']
    expect(await finetuneCommand([config, ...set(...own)])).toBe(0)
    const refused = async (...values: string[]) => {
      const error = await finetuneCommand([config, '--resume', ...set(...own, ...values)]).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(UsageError)
      return (error as Error).message
    }
    expect(await refused('train.lr=1e-4')).toContain('--set train.lr: train.lr is 0.0001, but the run began with 0.005')
    expect(await refused('train.clipGradNorm=2')).toContain('train.clipGradNorm is 2, but the run began with none')
    writeFileSync(join(folder, 'other.jsonl'), chatRows(21).slice(1).join('\n'))
    const message = await refused('data.file=other.jsonl')
    expect(message).toContain('data.file is "other.jsonl", but the run began with "rows.jsonl"')
    writeFileSync(join(folder, 'rows.jsonl'), chatRows(21).slice(1).join('\n'))
    expect(await refused()).toContain('config.yaml:3:1: the rows in tokens are not those that the run began with')
    writeFileSync(join(folder, 'rows.jsonl'), chatRows(20).join('\n'))
    expect(await finetuneCommand([config, '--resume', ...set('output=runs/changed', 'train.steps=4')])).toBe(0)
  })
})

it('the examples are configs, and that of a chat trains in a folder with nothing but a model and rows', async () => {
  const examples = fileURLToPath(new URL('../../examples/configs/', import.meta.url))
  expect(readdirSync(examples).sort()).toEqual(
    ['bert', 'chat', 'classify', 'pairs', 'pretrain', 'table', 'text'].map((name) => `${name}.yaml`),
  )
  for (const name of ['chat', 'classify', 'pairs', 'text']) await loadFinetune(join(examples, `${name}.yaml`))
  for (const name of ['bert', 'pretrain']) await loadConfig(join(examples, `${name}.yaml`), [], pretrainSchema)
  await loadConfig(join(examples, 'table.yaml'), [], tableSchema)
  cpSync(join(examples, 'chat.yaml'), join(folder, 'chat.yaml'))
  writeFileSync(join(folder, 'chats.jsonl'), chatRows(20).join('\n'))
  expect(await finetuneCommand([join(folder, 'chat.yaml')])).toBe(0)
  expect(readdirSync(join(folder, 'runs/chat')).sort()).toEqual([
    'adapter',
    'checkpoints',
    'events.jsonl',
    'finetune.json',
    'run.json',
  ])
})

it('progress tells the time that is left', () => {
  let written = ''
  const stream = { isTTY: true, write: (text: string) => (written += text) } as unknown as NodeJS.WriteStream
  let time = 0
  const logger = progressLogger({ totalSteps: () => 100, minutes: undefined, stream, now: () => time })
  logger.open?.({ resumed: true, reached: { steps: 20, epochs: 0, validated: -1 }, monitors: [], epochs: 1 })
  time = 30_000
  logger.log({ type: 'step', time, step: 40, epoch: 0, numbers: { loss: 2.5, lr: 1e-4 } })
  logger.close?.()
  expect(written).toContain('epoch 1  step 40/100  loss 2.500  lr 1.0e-4')
  // 20 steps took 30 seconds, and 60 are left.
  expect(written).toContain('2 min left')
  expect(configYaml).toContain('runs/first')
})

/** `firesteel evaluate --against`: the result of a run beside another model. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import type { Report } from '../../lib/index.js'
import { AutoModel } from '../../lib/models/index.js'
import { encoderModel, modelFolder, workplace } from './cli-finetune.js'

let folder: string
let stdout = ''
let stderr = ''

const lines = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join('\n')
const at = (name: string) => join(folder, name)
const plain = (text: string) => text.replaceAll(`${folder}/`, '')

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(at('bert'))
  const row = (i: number) => ({ text: i % 2 ? `go on ${i}` : `ping ${i}`, label: i % 2 ? 'go' : 'stay' })
  writeFileSync(at('labels.jsonl'), lines(Array.from({ length: 12 }, (_, i) => row(i))))
  writeFileSync(at('texts.jsonl'), lines(Array.from({ length: 6 }, () => ({ text: 'ping pong' }))))
  const write = (name: string, config: object) => writeFileSync(at(name), JSON.stringify(config))
  const train = { epochs: 4, lr: 1e-2, batchSize: 4 }
  const labelled = { model: './bert', data: { file: 'labels.jsonl', validation: 0.5 }, train }
  write('full.json', { ...labelled, output: 'runs/full' })
  write('head.json', { ...labelled, method: 'head', output: 'runs/head' })
  const lora = { model: './model', method: { lora: { rank: 2 } }, data: { file: 'texts.jsonl' }, train }
  write('lora.json', { ...lora, output: 'runs/lora' })
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
  vi.spyOn(console, 'error').mockImplementation((text) => {
    stderr += `${plain(String(text))}\n`
  })
  vi.spyOn(console, 'log').mockImplementation((text) => {
    stdout += `${plain(String(text))}\n`
  })
  for (const name of ['full', 'head', 'lora']) await finetuneCommand([at(`${name}.json`)])
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  stdout = ''
  stderr = ''
})

async function measured(...args: readonly string[]): Promise<Report & { readonly accuracy: number }> {
  stdout = ''
  expect(await evaluateCommand([...args, '--json'])).toBe(0)
  return JSON.parse(stdout) as never
}

it('classes have intervals, their confusion, and the worst rows by their lines, beside the model before', async () => {
  const alone = await measured(at('full.json'))
  expect(await evaluateCommand([at('full.json'), '--against', at('bert')])).toBe(0)
  expect(stderr).toContain(
    '--against: bert lacks bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight, classifier.bias, or has them in another size, so these begin at random',
  )
  expect(stderr).toContain('wrote runs/full/evaluation.html and runs/full/evaluation.json\n')
  expect(stdout).toMatch(/6 rows\n {2}loss [\d.e-]+, base [\d.]+\n {2}accuracy .* \(.* to .*\), base .*, more by .*/)
  expect(stdout).toMatch(/\n {2}labels\.jsonl:\d+: (go|stay), which is right \(/)
  const report = JSON.parse(readFileSync(at('runs/full/evaluation.json'), 'utf8')) as Report
  expect(report.rows).toBe(alone.rows)
  expect(report.loss).toBeCloseTo(alone.loss, 5)
  expect(report.metrics['accuracy']?.value).toBe(alone.accuracy)
  expect(report.baseLoss ?? 0).toBeGreaterThan(report.loss)
  expect(report.names).toEqual(['go', 'stay'])
  const held = report.classes?.worst.map(({ name, label }) => [plain(String(name)), label])
  // A row's name is its line, whose number tells its class.
  expect(held?.map(([name]) => Number(String(name).split(':')[1]) % 2)).toEqual(held?.map(([, label]) => label))
  const page = readFileSync(at('runs/full/evaluation.html'), 'utf8')
  for (const text of ['base model', 'Confusion', 'labels.jsonl:']) expect(page).toContain(text)
})

it('the base is measured as it is alone, and another run as its own evaluation does', async () => {
  const other = await measured(at('head.json'))
  const report = await measured(at('full.json'), '--against', at('head.json'))
  expect(report.baseLoss).toBeCloseTo(other.loss, 5)
  expect(report.metrics['accuracy']?.base?.value).toBe(other.accuracy)
  const same = await measured(at('full.json'), '--against', at('runs/full/model'), '--data', at('labels.jsonl'))
  expect(same.rows).toBe(12)
  expect(same.metrics['accuracy']?.difference).toEqual({ value: 0, low: 0, high: 0 })
  expect(same.baseLoss).toBe(same.loss)
})

it('a language model has its perplexity and that of the base, whose adapter is off', async () => {
  const args = [at('lora.json'), '--data', at('texts.jsonl')]
  const alone = await measured(...args)
  const report = await measured(...args, '--against', at('model'))
  expect(report.loss).toBe(alone.loss)
  const { value, base, difference } = report.metrics['perplexity'] as Report['metrics'][string]
  expect(value).toBeCloseTo(Math.exp(report.loss), 8)
  expect(base?.value).toBeCloseTo(Math.exp(report.baseLoss ?? 0), 8)
  expect(difference?.value).toBe(value - (base?.value ?? 0))
  expect(report.baseLoss ?? 0).toBeGreaterThan(report.loss)
  expect(stderr).not.toContain('begin at random')
  expect(readFileSync(at('runs/lora/evaluation.html'), 'utf8')).toContain('perplexity')
})

it('refuses a base that cannot be measured on the same rows', async () => {
  await modelFolder(at('other'), { vocab_size: 1403 })
  const tokenizer = JSON.parse(readFileSync(at('other/tokenizer.json'), 'utf8')) as { model: { vocab: object } }
  const [first, second, ...rest] = Object.entries(tokenizer.model.vocab) as [string, number][]
  const swapped = [[first?.[0], second?.[1]], [second?.[0], first?.[1]], ...rest]
  tokenizer.model.vocab = Object.fromEntries(swapped) as object
  writeFileSync(at('other/tokenizer.json'), JSON.stringify(tokenizer))
  const turned = await AutoModel.forSequenceClassification(at('runs/full/model'), { labels: ['stay', 'go'] })
  await turned.save(at('turned'), { log: () => undefined })
  const three = at('three.json')
  const rows = ['go', 'stay', 'run'].map((label) => ({ text: 'ping', label }))
  writeFileSync(at('three.jsonl'), lines(rows))
  cpSync(at('full.json'), three)
  const set = ['--set', 'data={ file: three.jsonl }', '--set', 'output=runs/three', '--set', 'train={ steps: 1 }']
  await finetuneCommand([three, ...set])
  const ran = { model: './bert', data: { file: 'three.jsonl' }, output: 'runs/three', train: { steps: 1 } }
  writeFileSync(three, JSON.stringify(ran))
  const lora = [at('lora.json'), '--data', at('texts.jsonl')]
  for (const [args, says] of [
    [[at('full.json'), '--against', at('nowhere')], 'nowhere: there is no such folder or config; name'],
    [[...lora, '--against', at('runs/lora/adapter')], 'runs/lora/adapter holds an adapter, which is no model alone'],
    [[...lora, '--against', at('other')], 'other has another tokenizer than the run'],
    [[at('full.json'), '--against', at('lora.json')], "lora.json learned rows of the format 'text', but these are"],
    [[at('full.json'), '--against', three], 'three.json has the classes go, run, stay, but the run has go, stay'],
    [
      [at('full.json'), '--against', at('turned')],
      'the head of turned has the classes stay, go, but the run has go, stay',
    ],
  ] as const) {
    const error = (await evaluateCommand(args).catch((thrown: unknown) => thrown)) as Error
    expect(plain(error.message)).toContain(`--against: ${says}`)
    expect(exitCodeOf(error)).toBe(2)
  }
})

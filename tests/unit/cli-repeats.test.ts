/** Rows that repeat or contradict one another, weights that begin at random, and figures: what the commands say of them. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { finetuneCommand } from '../../lib/cli/commands/finetune.js'
import { loadFinetune } from '../../lib/cli/config/config.js'
import type { RowFigures } from '../../lib/cli/tuning/figures.js'
import { finetuning } from '../../lib/cli/tuning/finetuning.js'
import { AutoModel } from '../../lib/models/index.js'
import { encoderModel, workplace } from './cli-finetune.js'

let folder: string
let stdout = ''
let stderr = ''

beforeAll(async () => {
  folder = await workplace()
  await encoderModel(join(folder, 'bert'))
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text
    return true
  })
  vi.spyOn(console, 'error').mockImplementation(() => undefined)
  vi.spyOn(console, 'log').mockImplementation((text) => {
    stdout += `${text}\n`
  })
})
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(() => {
  stdout = ''
  stderr = ''
})

const write = (name: string, rows: readonly object[]) =>
  writeFileSync(join(folder, name), rows.map((row) => JSON.stringify(row)).join('\n'))

function config(more = '', model = './bert'): string {
  const text = `model: ${model}\ndata: { file: rows.jsonl${more} }\ntrain: { steps: 1, batchSize: 2 }\noutput: runs/r\n`
  writeFileSync(join(folder, 'c.yaml'), text)
  return join(folder, 'c.yaml')
}

/** The figures of the rows, as text and as JSON. */
async function figures(more = '', model?: string): Promise<{ readonly text: string; readonly json: RowFigures }> {
  const job = await finetuning(await loadFinetune(config(more, model)))
  await job.close()
  const plain = (text: string) => text.replaceAll(`${folder}/`, '')
  return { text: plain(job.figuresText), json: JSON.parse(plain(JSON.stringify(job.figures))) as RowFigures }
}

const none = { count: 0, first: null }
const row = (text: string, label: unknown) => ({ text, label })

it('a text with two labels is told with both lines, and another text is not', async () => {
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b'), row('good cat', 'b'), row('good cat', 'b')])
  const { text, json } = await figures()
  expect(text).toContain(
    '; 2 rows have the text of an earlier one with another label, first rows.jsonl:3 (b) and rows.jsonl:1 (a); 1 row to learn from repeats an earlier one, rows.jsonl:4 (b) and rows.jsonl:3 (b)',
  )
  expect(json).toMatchObject({
    contradictory: { count: 2, first: ['rows.jsonl:1 (a)', 'rows.jsonl:3 (b)'] },
    repeated: { count: 1, first: ['rows.jsonl:3 (b)', 'rows.jsonl:4 (b)'] },
    learnedToo: none,
  })
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b')])
  const clean = await figures()
  expect(clean.text).not.toMatch(/earlier|also/)
  expect(clean.json).toMatchObject({ contradictory: none, repeated: none, learnedToo: none })
})

it('rows for validation that are learned too are told, of a file and of a share', async () => {
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b')])
  write('held.jsonl', [row('old cat', 'a'), row('bad cat', 'b'), row('good cat', 'b'), row('old cat', 'a')])
  const { json, text } = await figures(', validation: held.jsonl')
  expect(json).toMatchObject({
    learnedToo: { count: 1, first: ['rows.jsonl:2 (b)', 'held.jsonl:2 (b)'] },
    contradictory: { count: 1, first: ['rows.jsonl:1 (a)', 'held.jsonl:3 (b)'] },
    repeated: none,
  })
  expect(text).toContain('1 row for validation is also a row to learn from, held.jsonl:2 (b) and rows.jsonl:2 (b)')
  write('rows.jsonl', [...Array.from({ length: 6 }, () => row('good cat', 'a')), row('bad cat', 'b')])
  const { learnedToo, repeated } = (await figures(', validation: 2')).json
  // Six rows are the same, and each of them is learned or held out.
  expect(learnedToo.count + repeated.count).toBe(5)
  expect(learnedToo.count).toBeGreaterThan(0)
  expect(learnedToo.first?.[0]).toMatch(/^rows\.jsonl:\d \(a\)$/)
  expect(learnedToo.first?.[0]).not.toBe(learnedToo.first?.[1])
})

it.each([
  ['several classes', [row('good cat', ['a', 'b']), row('good cat', ['b']), row('bad', ['a'])], '1 (a, b)', '2 (b)'],
  [
    'tags',
    [
      { words: ['good', 'cat'], tags: ['O', 'X'] },
      { words: ['good', 'cat'], tags: ['O', 'O'] },
    ],
    '1',
    '2',
  ],
  [
    'scores',
    [
      { anchor: 'good', positive: 'cat', score: 0.5 },
      { anchor: 'good', positive: 'cat', score: 0 },
    ],
    '1 (0.5)',
    '2 (0)',
  ],
] as const)('%s contradict one another', async (_, rows, earlier, later) => {
  write('rows.jsonl', rows)
  const first = [`rows.jsonl:${earlier}`, `rows.jsonl:${later}`]
  expect((await figures()).json).toMatchObject({ contradictory: { count: 1, first }, repeated: none })
})

it('numbers to predict contradict one another', async () => {
  write('rows.jsonl', [row('good cat', 1), row('good cat', 2)])
  const first = ['rows.jsonl:1 (1)', 'rows.jsonl:2 (2)']
  expect((await figures(', labelKind: number')).json).toMatchObject({ contradictory: { count: 1, first } })
})

it('two answers to one text are no contradiction, and the same answer twice is a repetition', async () => {
  const chat = (content: string) => ({
    messages: [
      { role: 'user', content: 'ping' },
      { role: 'assistant', content },
    ],
  })
  write('rows.jsonl', [chat('pong'), chat('stay'), chat('pong')])
  const first = ['rows.jsonl:1', 'rows.jsonl:3']
  expect((await figures('', './model')).json).toMatchObject({ contradictory: none, repeated: { count: 1, first } })
  const asked = (text: string) => ({
    question: 'who?',
    context: 'the cat and the dog '.repeat(40),
    answers: { text: [text], answer_start: ['the cat and the dog '.indexOf(text)] },
  })
  write('rows.jsonl', [asked('cat'), asked('dog'), asked('cat')])
  // Windows of one text count as one row.
  expect((await figures()).json).toMatchObject({ contradictory: none, repeated: { count: 1, first } })
})

it('weights that the folder lacks are named where they begin at random, and only those', async () => {
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b')])
  const { text, json } = await figures()
  const names = ['bert.pooler.dense.weight', 'bert.pooler.dense.bias', 'classifier.weight', 'classifier.bias']
  expect(json).toMatchObject({ newWeights: names })
  expect(text).toContain(`\nnew weights, which do not come from ./bert and begin at random: ${names.join(', ')}`)
  write('rows.jsonl', [{ anchor: 'good', positive: 'cat' }])
  const pairs = await figures()
  expect([pairs.json, pairs.text]).toEqual([
    expect.objectContaining({ newWeights: [] }),
    expect.not.stringContaining('new weights'),
  ])
})

it('a head of another number of classes begins anew, and the base still serves the adapter that learned beside it', async () => {
  const path = join(folder, 'three')
  const three = await AutoModel.forSequenceClassification(join(folder, 'bert'), { labels: ['x', 'y', 'z'] })
  await three.save(path, { log: () => undefined })
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(folder, 'bert', name), join(path, name))
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b')])
  const told = vi.mocked(console.error).mockClear()
  const { text, json } = await figures('', './three')
  const line =
    'classifier begins with new weights: classifier.weight is [3, 16] in three/model.safetensors, but [2, 16] in the model'
  expect(told.mock.calls.flat().map((each) => String(each).replaceAll(`${folder}/`, ''))).toEqual([
    `c.yaml:1:8: ${line}`,
  ])
  expect(json).toMatchObject({ newWeights: ['classifier.weight', 'classifier.bias'] })
  expect(text).toContain(
    '\nnew weights, which do not come from ./three and begin at random: classifier.weight, classifier.bias',
  )
  for (const method of ['full', '{ lora: { rank: 2 } }']) {
    const args = [config('', './three'), '--set', `method=${method}`, '--set', `output=runs/${method.length}`]
    expect(await finetuneCommand(args)).toBe(0)
    stdout = ''
    expect(await evaluateCommand([...args, '--data', join(folder, 'rows.jsonl')])).toBe(0)
    expect(stdout).toMatch(/^2 rows: .*loss /)
  }
})

it('an adapter that would not save weights which begin at random is refused', async () => {
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b')])
  const run = (method: string) => finetuneCommand([config(), '--dry', '--set', `method=${method}`])
  const error = (await run('{ lora: { modulesToSave: [classifier] } }').catch((thrown: unknown) => thrown)) as Error
  expect(error.message).toBe(
    '--set method: method.lora.modulesToSave leaves out bert.pooler.dense.weight, bert.pooler.dense.bias, which begin at random, so that the adapter would be loaded beside other ones; add their modules, or leave it out',
  )
  await expect(run('{ ia3: { modulesToSave: [pooler] } }')).rejects.toThrow(
    /ia3\.modulesToSave leaves out .*classifier\.weight/,
  )
  expect(await run('{ lora: { modulesToSave: [classifier, pooler] } }')).toBe(0)
  expect(await run('{ lora: { rank: 2 } }')).toBe(0)
})

it('--json of a training holds every figure that stands on stderr', async () => {
  write('rows.jsonl', [row('good cat', 'a'), row('bad cat', 'b'), row('good cat', 'b')])
  const { json } = await figures()
  expect(await finetuneCommand([config(), '--json'])).toBe(0)
  const trained = JSON.parse(stdout.replaceAll(`${folder}/`, '')) as RowFigures & { readonly result: string }
  for (const name of ['rows', 'tokens', 'labels', 'longest', 'contradictory', 'newWeights'])
    expect(trained).toHaveProperty(name, (json as never)[name])
  expect(trained.result).toBe('runs/r/model')
  expect(stderr).toContain('3 rows (classification)')
  expect(readFileSync(join(folder, 'runs/r/model/config.json'), 'utf8')).toContain('"id2label"')
})

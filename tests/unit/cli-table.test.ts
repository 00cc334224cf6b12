/** Pre-training on a table of numbers from a config: statistics, damage, resumption, and the refusal of wrong tables. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { evaluateCommand } from '../../lib/cli/commands/evaluate.js'
import { initCommand } from '../../lib/cli/commands/init.js'
import { peekCommand } from '../../lib/cli/commands/peek.js'
import { pretrainCommand } from '../../lib/cli/commands/pretrain.js'
import { exitCodeOf } from '../../lib/cli/exit.js'
import { DataLoader, Generator, manualSeed, nn, optim, TensorDataset, Trainer } from '../../lib/index.js'
import { denoising, loadTableAutoEncoder, TableAutoEncoder, type TableColumn } from '../../lib/pretrain/index.js'

let folder: string
let config: string
let stdout: string

/** Two columns that hang together, of other sizes, and a text. */
const rows = Array.from({ length: 90 }, (_, i) => {
  const x = Math.sin(i * 1.7)
  return { x: 1000 + 50 * x, y: -x / 100, name: `n${i}` }
})
const lines = (each: readonly object[]) => each.map((row) => JSON.stringify(row)).join('\n')
const csv = (each: readonly { readonly x: number | null; readonly y: number; readonly name: string }[]) =>
  ['x,y,name', ...each.map(({ x, y, name }) => `${x ?? ''},${y},${name}`)].join('\n')

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'firesteel-table-'))
  config = join(folder, 'table.yaml')
  writeFileSync(join(folder, 'rows.csv'), csv(rows))
  writeFileSync(
    config,
    `table: { file: rows.csv, validation: 0.1 }
model: { hiddenSizes: [8, 1] }
objective: { denoising: { noise: masking, amount: 0.2 } }
train: { epochs: 16, batchSize: 16, lr: 2e-2 }
output: runs/first
`,
  )
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
const weights = (run: string) => readFileSync(join(folder, run, 'model/model.safetensors'))

it('learns codes of the rows, standardised by those that are learned; --dry writes nothing', async () => {
  expect(await pretrainCommand([config, '--dry', '--json'])).toBe(0)
  const dry = JSON.parse(stdout) as { seconds: number; time: { [part: string]: number } }
  // The seconds are those of all parts, each of which takes some.
  const { tried, ...parts } = dry.time
  expect(Object.values(parts).every((each) => each > 0)).toBe(true)
  expect(Object.values(parts).reduce((sum, each) => sum + each)).toBeCloseTo(dry.seconds, 9)
  expect(tried).toBeGreaterThanOrEqual(3)
  expect(dry).toMatchObject({ rows: 81, validation: 9, columns: ['x', 'y'], emptyFields: 0, steps: 96, findings: [] })
  expect(existsSync(join(folder, 'runs'))).toBe(false)
  stdout = ''
  expect(await pretrainCommand([config, '--json'])).toBe(0)
  const { result, epochs } = JSON.parse(stdout) as { result: string; epochs: { validation: { loss: number } }[] }
  expect(readdirSync(result).sort()).toEqual(['README.md', 'config.json', 'model.safetensors'])
  expect(readFileSync(join(result, 'README.md'), 'utf8')).toMatch(/library_name: firesteel\n[\s\S]*81 rows of x, y\./)
  expect(epochs.at(-1)?.validation.loss).toBeLessThan((epochs[0]?.validation.loss ?? 0) / 3)
  const model = await loadTableAutoEncoder(result)
  const [x, y] = model.columns as readonly [TableColumn, TableColumn]
  expect(x.mean).toBeCloseTo(1000, -1)
  expect(x.deviation / y.deviation).toBeCloseTo(5000, 6)
  const seen = model.standardise(rows)
  const code = model.embed(seen)
  expect(code.shape).toEqual([90, 1])
  const [first, last] = [seen.toArray(), model.forward(seen).toArray()] as number[][][]
  const errors = first?.flatMap((row, i) => row.map((value, j) => Math.abs(value - (last?.[i]?.[j] as number)))) ?? []
  expect(errors.reduce((sum, each) => sum + each) / errors.length).toBeLessThan(0.4)
  // A model of another seed that goes on with these weights begins where they ended.
  stdout = ''
  cpSync(result, join(folder, 'before'), { recursive: true })
  const more = ['model=before', 'output=runs/more', 'train.epochs=1', 'train.lr=1e-6', 'train.seed=0']
  expect(await pretrainCommand([config, '--json', ...set(...more)])).toBe(0)
  const again = JSON.parse(stdout) as { epochs: { validation: { loss: number } }[] }
  expect(again.epochs[0]?.validation.loss).toBeCloseTo(epochs.at(-1)?.validation.loss as number, 4)
})

it('learns to the bit what a program with the same lines learns', async () => {
  const all = [...set('table={ file: rows.csv }', 'output=runs/whole', 'train.epochs=1')]
  expect(await pretrainCommand([config, ...all])).toBe(0)
  const { columns } = await loadTableAutoEncoder(join(folder, 'runs/whole/model'))
  manualSeed(0)
  const model = new TableAutoEncoder(columns, { hiddenSizes: [8, 1] })
  const trainer = new Trainer(model, {
    optimizer: new optim.AdamW(model.parameters(), { lr: 2e-2 }),
    objective: denoising({ noise: 'masking', amount: 0.2 }),
    clipGradNorm: 1,
  })
  const set16 = { batchSize: 16, shuffle: true, generator: new Generator(0) }
  await trainer.fit(new DataLoader(new TensorDataset(model.standardise(rows)), set16), { epochs: 1, progress: false })
  await model.save(join(folder, 'own/model'))
  expect(weights('runs/whole').equals(weights('own'))).toBe(true)
})

it('resumes to the same bytes, and with no other rows', async () => {
  const own = set('train.epochs=2', 'train.checkpoints={ every: 4, keep: 99 }', 'output=runs/cut')
  expect(await pretrainCommand([config, ...own])).toBe(0)
  const uncut = weights('runs/cut')
  const checkpoints = join(folder, 'runs/cut/checkpoints')
  for (const file of readdirSync(checkpoints)) if (Number(/\d+/.exec(file)) > 4) rmSync(join(checkpoints, file))
  rmSync(join(folder, 'runs/cut/model'), { recursive: true })
  writeFileSync(join(folder, 'rows.csv'), csv([{ x: 999, y: 0, name: 'other' }, ...rows.slice(1)]))
  const other = pretrainCommand([config, '--resume', ...own])
  await expect(other).rejects.toThrow('table.yaml:1:1: the rows are not those that the run began with')
  writeFileSync(join(folder, 'rows.csv'), csv(rows))
  expect(await pretrainCommand([config, '--resume', ...own])).toBe(0)
  expect(weights('runs/cut').equals(uncut)).toBe(true)
})

it('peek shows rows as the model sees them, and init writes a config', async () => {
  expect(await peekCommand([config, '2', '--json'])).toBe(0)
  const [first, second] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line)) as {
    [name: string]: unknown
  }[]
  expect(first).toMatchObject({ place: `${join(folder, 'rows.csv')}:2`, columns: ['x', 'y'], numbers: [1000, 0] })
  const { standardised, damaged } = second as { standardised: number[]; damaged: number[] }
  expect(standardised[0]).toBeCloseTo(-(standardised[1] as number), 5)
  expect(damaged.every((value, i) => value === 0 || value === standardised[i])).toBe(true)
  stdout = ''
  expect(await peekCommand([config, '1'])).toBe(0)
  expect(stdout).toContain('x: 1000  ')
  expect(stdout).toContain('81 rows of 2 numbers and 9 for validation')
  const path = join(folder, 'init.yaml')
  expect(await initCommand([path, '--format', 'table', '--data', join(folder, 'rows.csv')])).toBe(0)
  expect(await pretrainCommand([path, '--dry'])).toBe(0)
})

it('empty fields are refused, or taken as the mean where the config says so', async () => {
  writeFileSync(join(folder, 'gaps.csv'), csv([...rows.slice(0, 4), { x: null, y: 0, name: 'gap' }, ...rows.slice(5)]))
  const gaps = (missing: string) => set(`table={ file: gaps.csv${missing} }`, 'output=runs/gaps', 'train.epochs=1')
  await expect(pretrainCommand([config, ...gaps('')])).rejects.toThrow(
    /gaps\.csv:6: 'x' is empty, .* table\.missing: mean/,
  )
  await expect(pretrainCommand([config, ...gaps(', missing: refuse')])).rejects.toThrow("gaps.csv:6: 'x' is empty")
  expect(await pretrainCommand([config, '--json', ...gaps(', missing: mean')])).toBe(0)
  const model = await loadTableAutoEncoder(join(folder, 'runs/gaps/model'))
  expect(model.standardise([{ x: '', y: model.columns[1]?.mean }]).toArray()).toEqual([[0, 0]])
  stdout = ''
  expect(await pretrainCommand([config, '--dry', ...gaps(', missing: mean')])).toBe(0)
  expect(stdout).toContain('90 rows of 2 numbers; 1 empty fields are taken as the mean')
  expect(stdout).toMatch(
    /about .* s here: .* s of steps, as \d+ that were tried, .* of reading data; checkpoints are not/,
  )
})

it('wrong configs and tables are refused with their place', async () => {
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write(
    'text.jsonl',
    lines([
      { x: 1, y: 2 },
      { x: 'many', y: 3 },
    ]),
  )
  write(
    'same.jsonl',
    lines([
      { x: 1, y: 2 },
      { x: 1, y: 3 },
    ]),
  )
  write('huge.jsonl', lines([{ x: 1e300 }, { x: -1e300 }]))
  write('words.jsonl', lines([{ x: 'a' }]))
  write('none.jsonl', '')
  const refused = async (...values: string[]) => {
    const error = await pretrainCommand([config, ...set(...values, 'output=runs/wrong')]).catch(
      (thrown: unknown) => thrown,
    )
    expect(exitCodeOf(error)).toBe(2)
    return (error as Error).message
  }
  expect(await refused('table.file=text.jsonl')).toContain(
    "text.jsonl:2: 'x' is 'many', but must be a number; correct it",
  )
  expect(await refused('table.columns=[x, z]')).toContain("rows.csv:2: there is no column 'z'")
  expect(await refused('table.columns=[x, x]')).toContain("table.columns: 'x' is named twice")
  expect(await refused('table.file=same.jsonl', 'table.validation=0')).toContain("column 'x' is 1 in all rows")
  expect(await refused('table.file=huge.jsonl', 'table.validation=0')).toContain("column 'x' has numbers too large")
  expect(await refused('table.file=words.jsonl')).toContain('words.jsonl:1: no column of the row is a number')
  expect(await refused('table.file=none.jsonl')).toContain('there are no rows')
  expect(await refused('table.validation=1')).toContain('table.validation is 1, but must be a number from 0 to below 1')
  expect(await refused('table.validation=0.001')).toContain('table.validation: validation would be empty')
  expect(await refused('model={ hidden: [4] }')).toContain("there is no 'hidden' in model")
  expect(await refused('model.hiddenSizes=[]')).toContain('model.hiddenSizes is [], but must be a list of sizes')
  expect(await refused('objective={ denoising: { noise: masking, amount: 1 } }')).toContain(
    'amount is 1, but must be a share',
  )
  expect(await refused('objective=masked')).toContain("objective is 'masked', but must be 'denoising'")
  expect(await refused('corpus={ file: a.txt, folder: b }')).toContain("there is no 'corpus'")
  expect(await refused('model=before', 'table.columns=[y, x]')).toContain(
    'table.columns is y, x, but the model has x, y',
  )
  expect(await refused('model=before', 'table.missing=mean')).toContain(
    'table.missing is mean, but the model has refuse',
  )
  await expect(evaluateCommand([config])).rejects.toThrow('table stands in a config of `firesteel pretrain`')
})

it('a model of a table refuses other rows, columns and folders', async () => {
  const columns = [{ name: 'x', mean: 0, deviation: 1 }]
  const model = new TableAutoEncoder(columns, { hiddenSizes: [2] })
  expect(() => model.standardise([{ x: 1 }, { x: null }])).toThrow("row 1: 'x' is null, but must be a number")
  expect(() => model.standardise([{ y: 1 }])).toThrow("row 0: 'x' is undefined")
  expect(() => model.standardise([{ x: 1e39 }])).toThrow("row 0: 'x' is 1e+39")
  expect(model.standardise([{ x: ' 2e1 ' }, { x: 3n }]).toArray()).toEqual([[20], [3]])
  expect(() => model.standardise([{ x: '0x10' }])).toThrow("'x' is '0x10'")
  expect(() => model.forward(model.standardise([]).reshape([0, 1]).reshape([1, 0]))).toThrow('must be [rows, 1]')
  expect(() => new TableAutoEncoder([], { hiddenSizes: [2] })).toThrow('the columns are []')
  expect(() => new TableAutoEncoder([...columns, ...columns], { hiddenSizes: [2] })).toThrow('the name of column 1')
  expect(() => new TableAutoEncoder([{ name: 'x', mean: 0, deviation: 0 }], { hiddenSizes: [2] })).toThrow(
    'deviation 0',
  )
  expect(() => new TableAutoEncoder(columns, { hiddenSizes: [0] })).toThrow('hiddenSizes are [0]')
  expect(() => new TableAutoEncoder(columns, { hiddenSizes: [2], missing: 'skip' as never })).toThrow(
    "missing is 'skip'",
  )
  const wrong = join(folder, 'wrong')
  await model.save(wrong)
  writeFileSync(join(wrong, 'config.json'), '{"model_type": "bert"}')
  await expect(loadTableAutoEncoder(wrong)).rejects.toThrow("model_type is 'bert'")
  writeFileSync(join(wrong, 'config.json'), '{"model_type": "firesteel-table", "columns": [], "hiddenSizes": [2]}')
  await expect(loadTableAutoEncoder(wrong)).rejects.toThrow(/config\.json: the columns are \[\]/)
  expect(new nn.Sequential(model.encoder, new nn.Linear(2, 1)).forward(model.standardise([{ x: 1 }])).shape).toEqual([
    1, 1,
  ])
})

/**
 * Estimates the weight of penguins from their beaks and flippers: a regression on a table, as a run in a folder.
 *
 * Shows: the learning-rate range test, a run's folder with its events, a table of the epochs, averages of the weights,
 * the best weights of the run, metrics of numbers, and the curves at the end.
 * Usage: npx tsx examples/regression.ts [--epochs 40] [--run runs/penguins]
 */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  bestWeights,
  csvLogger,
  DataLoader,
  findLearningRate,
  fromTypedArray,
  Generator,
  manualSeed,
  metrics,
  nn,
  optim,
  splitRows,
  type Tensor,
  Trainer,
} from 'firesteel'

const { values: options } = parseArgs({
  options: { epochs: { type: 'string', default: '40' }, run: { type: 'string' } },
})
const run = options.run ?? join(mkdtempSync(join(tmpdir(), 'firesteel-')), 'penguins')

// The numbers of a row. Rows that lack a measurement are left out, and counted.
const numbers = ['beak_length_mm', 'beak_depth_mm', 'flipper_length_mm'] as const
const text = readFileSync(new URL('data/penguins.csv', import.meta.url), 'utf8')
const [header = [], ...lines] = text
  .trim()
  .split('\n')
  .map((line) => line.split(','))
const cell = (cells: readonly string[], column: string) => cells[header.indexOf(column)] ?? ''
const whole = lines.filter((cells) => [...numbers, 'body_mass_g', 'sex'].every((column) => cell(cells, column) !== ''))
console.log(`${whole.length} penguins; ${lines.length - whole.length} were not measured in full`)
const rows = whole.map((cells) => ({
  x: [...numbers.map((column) => Number(cell(cells, column))), Number(cell(cells, 'sex') === 'male')],
  kilograms: Number(cell(cells, 'body_mass_g')) / 1000,
  species: cell(cells, 'species'),
}))
const { train, validation } = splitRows(rows, { validation: 0.2, stratify: 'species', seed: 0 })

// Means and deviations are those of the training rows.
const scales = train[0]?.x.map((_, column) => {
  const values = train.map(({ x }) => x[column] ?? 0)
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  return { mean, std: Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length) }
})
type Row = (typeof rows)[number]
const collate = (some: readonly Row[]): readonly [Tensor, Tensor] => {
  const scaled = some.flatMap(({ x }) =>
    x.map((value, i) => (value - (scales?.[i]?.mean ?? 0)) / (scales?.[i]?.std ?? 1)),
  )
  return [
    fromTypedArray(Float32Array.from(scaled), [some.length, numbers.length + 1]),
    fromTypedArray(
      Float32Array.from(some, ({ kilograms }) => kilograms),
      [some.length, 1],
    ),
  ]
}
const batches = new DataLoader(train, { batchSize: 16, shuffle: true, generator: new Generator(0), collate })
const held = new DataLoader(validation, { batchSize: 128, collate })

manualSeed(0)
const model = new nn.Sequential(new nn.Linear(numbers.length + 1, 32), new nn.ReLU(), new nn.Linear(32, 1))
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 })
const trainer = new Trainer(model, {
  optimizer,
  loss: nn.functional.mseLoss,
  metrics: { mae: metrics.mae, r2: metrics.r2 },
  average: optim.ema(0.9),
  callbacks: [bestWeights()],
  run,
  loggers: [csvLogger(join(run, 'epochs.csv'))],
})

// A short training at growing rates, which leaves the model unchanged.
const found = await findLearningRate(trainer, batches, { from: 1e-5, to: 1, steps: 60 })
console.log(found)
for (const group of optimizer.paramGroups) group.lr = Math.min(0.02, found.suggestion ?? 0.01)

const history = await trainer.fit(batches, { epochs: Number(options.epochs), validation: held })
console.log(history)
console.log(`events and table in ${run}`)
const { mae, r2 } = await trainer.evaluate(held)
console.log(
  `of ${validation.length} held penguins: off by ${(1000 * mae).toFixed(0)} g on average, r2 ${r2.toFixed(3)}`,
)

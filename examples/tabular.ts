/**
 * Predicts the species of a penguin from a table with numbers, categories and gaps.
 *
 * Shows: tensors of your own data, a TensorDataset, parameter groups (no decay on biases and norms), a schedule, early
 * stopping, predictions as probabilities, saving and loading.
 * Usage: npx tsx examples/tabular.ts [--epochs 60]
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  DataLoader,
  earlyStopping,
  fromTypedArray,
  Generator,
  manualSeed,
  metrics,
  nn,
  noGrad,
  optim,
  scope,
  softmax,
  TensorDataset,
  Trainer,
} from 'firesteel'

const { values: options } = parseArgs({ options: { epochs: { type: 'string', default: '60' } } })

// A row is an object of strings, whose names are in the first line.
type Row = { readonly [column: string]: string }
const text = await readFile(new URL('data/penguins.csv', import.meta.url), 'utf8')
const [header = [], ...lines] = text
  .trim()
  .split('\n')
  .map((line) => line.split(','))
const rows: Row[] = lines.map((cells) => Object.fromEntries(header.map((name, i) => [name, cells[i] ?? ''])))

const species = ['Adelie', 'Chinstrap', 'Gentoo']
const numbers = ['beak_length_mm', 'beak_depth_mm', 'flipper_length_mm', 'body_mass_g']
const categories = { island: ['Biscoe', 'Dream', 'Torgersen'], sex: ['female', 'male'] }

// Every fifth row is held back, and its numbers are not used before the end.
const training = rows.filter((_, i) => i % 5 !== 0)
const held = rows.filter((_, i) => i % 5 === 0)

/** Mean and standard deviation of a column in the training rows. */
const scales = numbers.map((name) => {
  const known = training.filter((row) => row[name] !== '').map((row) => Number(row[name]))
  const mean = known.reduce((a, b) => a + b, 0) / known.length
  const std = Math.sqrt(known.reduce((a, b) => a + (b - mean) ** 2, 0) / known.length)
  return { mean, std }
})

/** A number becomes its distance from the mean (0 if it is missing), and a category becomes a 1 among zeros. */
function features(row: Row): number[] {
  const measured = numbers.map((name, i) => {
    const { mean, std } = scales[i] ?? { mean: 0, std: 1 }
    return row[name] === '' ? 0 : (Number(row[name]) - mean) / std
  })
  const chosen = Object.entries(categories).flatMap(([name, known]) =>
    known.map((value) => Number(row[name] === value)),
  )
  return [...measured, ...chosen]
}

const width = numbers.length + Object.values(categories).flat().length

function tensors(from: readonly Row[]) {
  const x = fromTypedArray(Float32Array.from(from.flatMap(features)), [from.length, width])
  const y = fromTypedArray(
    Int32Array.from(from, (row) => species.indexOf(row['species'] ?? '')),
    [from.length],
  )
  return new TensorDataset(x, y)
}

manualSeed(0)
const network = () =>
  new nn.Sequential(
    new nn.Linear(width, 32),
    new nn.BatchNorm1d(32),
    new nn.ReLU(),
    new nn.Dropout(0.1),
    new nn.Linear(32, species.length),
  )
const model = network()
const train = new DataLoader(tensors(training), { batchSize: 32, shuffle: true, generator: new Generator(0) })
const epochs = Number(options.epochs)

const parameters = [...model.parameters()]
const optimizer = new optim.AdamW(
  [
    { params: parameters.filter((p) => p.ndim > 1), weightDecay: 0.05 },
    { params: parameters.filter((p) => p.ndim <= 1), weightDecay: 0 },
  ],
  { lr: 0.01 },
)
const trainer = new Trainer(model, {
  optimizer,
  loss: nn.functional.crossEntropy,
  metrics: { accuracy: metrics.accuracy() },
  // Schedules count steps, not epochs.
  schedule: new optim.WarmupCosineLR(optimizer, { warmupSteps: 20, totalSteps: epochs * train.length }),
  callbacks: [earlyStopping({ monitor: 'validation.loss', patience: 15, restoreBest: true })],
})
const history = await trainer.fit(train, { epochs, validation: new DataLoader(tensors(held), { batchSize: 128 }) })
const last = history.epochs.at(-1)
console.log(`${history.epochs.length} epochs, loss ${last?.loss.toFixed(3)}; ${history.stopped ?? 'ran to the end'}`)

// A program that predicts makes the same network and loads the weights.
const folder = await mkdtemp(join(tmpdir(), 'penguins-'))
await model.save(join(folder, 'model.safetensors'))
const served = network()
await served.load(join(folder, 'model.safetensors'))
await rm(folder, { recursive: true })
served.eval()

/** The probabilities of the species of some rows. */
function predict(some: readonly Row[]): Float32Array {
  return scope(() =>
    noGrad(() => {
      const x = fromTypedArray(Float32Array.from(some.flatMap(features)), [some.length, width])
      return softmax(served.forward(x), 1).dataSync() as Float32Array
    }),
  )
}

const probabilities = predict(held)
const confusion = species.map(() => species.map(() => 0))
for (const [i, row] of held.entries()) {
  const of = [...probabilities.subarray(i * species.length, (i + 1) * species.length)]
  const counts = confusion[species.indexOf(row['species'] ?? '')] ?? []
  const told = of.indexOf(Math.max(...of))
  counts[told] = (counts[told] ?? 0) + 1
}
const named = (counts: readonly number[]) => Object.fromEntries(counts.map((n, j) => [`told ${species[j]}`, n]))
console.table(Object.fromEntries(confusion.map((counts, i) => [species[i], named(counts)])))
const right = confusion.reduce((total, counts, i) => total + (counts[i] ?? 0), 0)
console.log(`accuracy on ${held.length} held rows ${(right / held.length).toFixed(4)}`)

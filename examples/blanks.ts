/**
 * Restores the blanks of a text that has lost them: for every character of a line, it predicts whether a word ends
 * there.
 *
 * Shows: a sequence task by an objective over batches of any form, in which padding does not count; lines of any length
 * in buckets; F1 over the characters that count; a warm-up; lines in the console; predictions for new lines.
 * Usage: npx tsx examples/blanks.ts [--text FILE] [--epochs 5] [--lines 1500]
 */
import { parseArgs } from 'node:util'
import {
  byLength,
  consoleLogger,
  DataLoader,
  fromTypedArray,
  Generator,
  manualSeed,
  metrics,
  nn,
  noGrad,
  type Objective,
  optim,
  scope,
  type Tensor,
  Trainer,
} from 'firesteel'
import { readText, vocabularyOf } from './text.js'

const { values: options } = parseArgs({
  options: {
    text: { type: 'string' },
    epochs: { type: 'string', default: '5' },
    lines: { type: 'string', default: '1500' },
  },
})
const longest = 100
const ignored = -100
/** Lines of words that are separated by single blanks. */
const lines = [...new Set(readText(options.text).split('\n'))]
  .map((line) => line.slice(0, longest).trim().replaceAll(/\s+/g, ' '))
  .filter((line) => line.split(' ').length > 4)
  .slice(0, Number(options.lines))
const vocabulary = vocabularyOf(lines.join('').replaceAll(' ', ''))
console.log(`${lines.length} lines, ${vocabulary.size} characters`)

/** A batch of lines without their blanks, as wide as the longest. Places behind the ends of the others are ignored. */
interface Lines {
  readonly ids: Tensor
  /** 1 where a blank follows. */
  readonly labels: Tensor
}

function collate(some: readonly string[]): Lines {
  const bare = some.map((line) => line.replaceAll(' ', ''))
  const width = Math.max(...bare.map(({ length }) => length))
  const ids = new Int32Array(some.length * width)
  const labels = new Int32Array(some.length * width).fill(ignored)
  for (const [i, line] of some.entries()) {
    ids.set(vocabulary.encode(bare[i] ?? ''), i * width)
    let at = i * width
    for (const word of line.split(' ')) {
      labels.fill(0, at, at + word.length)
      at += word.length
      if (at > i * width) labels[at - 1] = 1
    }
  }
  const shape = [some.length, width] as const
  return { ids: fromTypedArray(ids, shape), labels: fromTypedArray(labels, shape) }
}

class Blanks extends nn.Module {
  readonly embed = new nn.Embedding(vocabulary.size, 24)
  readonly lstm = new nn.LSTM(24, 48, { bidirectional: true, batchFirst: true })
  readonly head = new nn.Linear(96, 2)

  /** Characters [B, T] to two logits for each [B, T, 2]. */
  forward(ids: Tensor): Tensor {
    return this.head.forward(this.lstm.forward(this.embed.forward(ids)).output)
  }
}

/** Losses are sums over characters, so that lines count by their number of characters. */
const objective: Objective<Blanks, Lines, 'f1'> = {
  loss(network, { ids, labels }) {
    const logits = network.forward(ids).flatten(0, 1)
    const flat = labels.flatten()
    const total = nn.functional.crossEntropy(logits, flat, { ignoreIndex: ignored, reduction: 'sum' })
    return { total, count: flat.ne(ignored).sum(), output: logits, target: flat }
  },
  metrics: { f1: () => metrics.f1({ ignoreIndex: ignored, average: 'binary' }) },
}

// Every tenth line is held back.
const train = lines.filter((_, i) => i % 10 !== 0)
const held = lines.filter((_, i) => i % 10 === 0)
const sampler = byLength(train.map((line) => line.length))
const batches = new DataLoader(train, { batchSize: 32, sampler, collate, generator: new Generator(0) })

manualSeed(0)
const model = new Blanks()
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 })
const epochs = Number(options.epochs)
const trainer = new Trainer(model, {
  optimizer,
  objective,
  clipGradNorm: 1,
  schedule: new optim.WarmupCosineLR(optimizer, { warmupSteps: 10, totalSteps: epochs * batches.length }),
  loggers: [consoleLogger()],
})
await trainer.fit(batches, { epochs, validation: new DataLoader(held, { batchSize: 128, collate }) })

/** The line with blanks at the predicted ends of words. */
function spaced(line: string): string {
  model.eval()
  const bare = line.replaceAll(' ', '')
  const told = scope(() =>
    noGrad(() =>
      model
        .forward(collate([bare]).ids)
        .argmax(-1)
        .dataSync(),
    ),
  )
  return [...bare].map((character, i) => (told[i] === 1 ? `${character} ` : character)).join('')
}

for (const line of held.slice(0, 5)) console.log(spaced(line))
const { loss, f1 } = await trainer.evaluate(new DataLoader(held, { batchSize: 128, collate }))
console.log(`blanks of ${held.length} held lines: loss ${loss.toFixed(3)}, f1 ${f1.toFixed(3)}`)

/**
 * Tells TypeScript from C++ by a single line of code, with a transformer over lines of any length.
 *
 * Shows: padding, and the mask for it in attention and in the mean; your own dataset; your own metric; predictions for
 * new lines.
 * Usage: npx tsx examples/classify-text.ts [--epochs 3] [--lines 6000]
 */
import { readdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import {
  arange,
  DataLoader,
  FunctionDataset,
  fromTypedArray,
  type Metric,
  manualSeed,
  metrics,
  nn,
  noGrad,
  optim,
  scope,
  softmax,
  type Tensor,
  Trainer,
  where,
} from 'firesteel'

const { values: options } = parseArgs({
  options: { epochs: { type: 'string', default: '3' }, lines: { type: 'string', default: '6000' } },
})

const languages = ['TypeScript', 'C++']
const longest = 64
const width = 64

/** The bytes of a line as ids from 1. 0 is the padding. */
const encode = (line: string) =>
  Uint8Array.from(Buffer.from(line.trim()).subarray(0, longest), (byte) => Math.max(1, byte & 127))

function linesOf(folder: string, endings: readonly string[]): string[] {
  const root = new URL(`../${folder}/`, import.meta.url)
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .flatMap((name) => readFileSync(new URL(name, root), 'utf8').split('\n'))
    .filter((line) => /[a-z].*[^\s*/]/.test(line) && !/^\s*(\*|\/\/|\/\*)/.test(line))
}

type Line = { readonly ids: Uint8Array; readonly label: number }
const all: Line[] = [linesOf('lib', ['.ts']), linesOf('native', ['.cpp', '.h'])].flatMap((lines, label) =>
  lines.map((line) => ({ ids: encode(line), label })),
)

/** Lines as a batch, padded with 0 to the longest of them: [B, T] ids and [B] labels. */
function collate(items: readonly Line[]): readonly [Tensor, Tensor] {
  const length = Math.max(1, ...items.map(({ ids }) => ids.length))
  const padded = new Int32Array(items.length * length)
  for (const [i, { ids }] of items.entries()) padded.set(ids, i * length)
  const labels = Int32Array.from(items, ({ label }) => label)
  return [fromTypedArray(padded, [items.length, length]), fromTypedArray(labels, [items.length])]
}

class Classifier extends nn.Module {
  readonly embed = new nn.Embedding(128, width, { paddingIdx: 0 })
  readonly positions = new nn.Embedding(longest, width)
  readonly layer = new nn.TransformerEncoderLayer(width, 4, { dimFeedforward: 128, normFirst: true })
  readonly head = new nn.Linear(width, languages.length)

  forward(ids: Tensor): Tensor {
    const [, length = 0] = ids.shape
    const padding = ids.eq(0)
    const x = this.embed.forward(ids).add(this.positions.forward(arange(length)))
    // No line attends to the padding of its batch, so its result does not depend on the batch's other lines.
    const y = this.layer.forward(x, { srcKeyPaddingMask: padding })
    const real = where(padding, 0, 1).unsqueeze(2)
    const mean = y.mul(real).sum(1).div(real.sum(1))
    return this.head.forward(mean)
  }
}

/** The share of C++ lines that were recognised. The Trainer reports your own metrics beside the loss. */
function recall(of: number): Metric {
  const found = new Map<'hits' | 'all', number>()
  let pending: Promise<void>[] = []
  return {
    reset() {
      found.clear()
      pending = []
    },
    update(output, target) {
      // The reads are only started here, because waiting for the device within a step would make it slow.
      const guesses = output.argmax(1).data()
      const labels = target.data()
      pending.push(
        Promise.all([guesses, labels]).then(([guess, label]) => {
          for (const [i, value] of label.entries())
            if (value === of) {
              found.set('all', (found.get('all') ?? 0) + 1)
              if (guess[i] === of) found.set('hits', (found.get('hits') ?? 0) + 1)
            }
        }),
      )
    },
    async compute() {
      await Promise.all(pending)
      return (found.get('hits') ?? 0) / (found.get('all') ?? 0)
    },
  }
}

manualSeed(0)
// Every seventh line is held back. The two languages are mixed, so that a cut at --lines keeps both.
const mixed = all.map((line, i) => ({ line, key: Math.imul(i, 0x9e3779b1) >>> 0 })).sort((a, b) => a.key - b.key)
const chosen = mixed.slice(0, Number(options.lines)).map(({ line }) => line)
const dataset = (lines: readonly Line[]) => new FunctionDataset(lines.length, (i) => lines[i] as Line, collate)
const train = dataset(chosen.filter((_, i) => i % 7 !== 0))
const held = dataset(chosen.filter((_, i) => i % 7 === 0))
console.log(`${train.length} lines to train, ${held.length} held back`)

const model = new Classifier()
const trainer = new Trainer(model, {
  optimizer: new optim.AdamW(model.parameters(), { lr: 2e-3 }),
  loss: nn.functional.crossEntropy,
  metrics: { accuracy: metrics.accuracy(), recall: recall(1) },
  clipGradNorm: 1,
})
const history = await trainer.fit(new DataLoader(train, { batchSize: 64, shuffle: true }), {
  epochs: Number(options.epochs),
  validation: new DataLoader(held, { batchSize: 256 }),
})
for (const { epoch, loss, validation } of history.epochs)
  console.log(
    `epoch ${epoch + 1}: loss ${loss.toFixed(3)}, accuracy ${validation?.['accuracy']?.toFixed(4)}, C++ found ${validation?.['recall']?.toFixed(4)}`,
  )

/** The probability of each language for each line. */
function predict(lines: readonly string[]): Float32Array {
  model.eval()
  const [ids] = collate(lines.map((line) => ({ ids: encode(line), label: 0 })))
  return scope(() => noGrad(() => softmax(model.forward(ids), 1).dataSync() as Float32Array))
}

const lines = ['export const half = (x: number) => x / 2', 'for (size_t i = 0; i < count; i++) out[i] = x[i];']
const likely = predict(lines)
for (const [i, line] of lines.entries())
  console.log(`${line}  ->  ${languages.map((name, j) => `${name} ${likely[2 * i + j]?.toFixed(3)}`).join(', ')}`)
